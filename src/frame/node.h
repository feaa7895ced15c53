/* SPDX-License-Identifier: MIT */
/*
 * node.h: the nodes of an instance: pools of frames over memory files, their allocators, and what
 * lives in each frame.
 *
 * One reservation of address space holds the arena; each node's memory file is mapped at its place
 * in it, so that the address of any frame is base + frame * 4096. Blocks are numbered through all
 * nodes:
 *
 *	node i has the blocks first(i) ... first(i + 1) - 1,  first(0) = 0
 *
 * Which frames are in use stands in blocks.h, of each node by itself; that is lock-free. A node
 * that is offline gives nothing out. What is behind a block: backing.c.
 *
 * An owner may take frames out of the allocator (contract H-E4): they are in use for the allocator,
 * and the owner's number stands in their taker. While the owner has lent them, for a folio, they
 * are marked as LENT as well: general -take-> idle -lend-> lent -unlend-> idle -give-> general.
 * Takers (takers.c) are changed under the nodes' lock and read by anybody. Under the lock:
 *
 *	idle(block)  = frames of it that an owner has taken and not lent
 *	idle_frames  = sum of idle(block)
 *
 * Each frame has a tag: the head frame of a folio carries its number, all else 0. Tags are written
 * by whoever has the frames allocated, with release, and read by anybody, with acquire; a reader
 * checks what it found there against the folio itself.
 *
 * Lock order: the nodes' lock is innermost.
 */
#ifndef QUIRE_SRC_FRAME_NODE_H
#define QUIRE_SRC_FRAME_NODE_H

#include "core/instance.h"
#include "frame/blocks.h"
#include "util/bits.h"

#include <pthread.h>
#include <quire/node.h>

#define NODE_BLOCK_ORDER 9

extern const struct quire_layer node_layer;

struct node {
	struct blocks blocks; /* frames are numbered from 0 in it */
	char *base;
	uint32_t first;	  /* block */
	uint32_t offline; /* atomic: nothing is given out. What may be stale is harmless:
			     quire/node.h */
	enum quire_backing backing;
	int fd;
	uint64_t *huge; /* atomic, a bit a block: it is one 2 MiB page; of COLLAPSE, else NULL */
	char name[32];
};

struct nodes {
	struct node node[QUIRE_NODES_MAX];
	uint32_t count;
	uint32_t blocks; /* of all */
	struct blocks_counts counts;
	char *base;
	uint64_t frames;
	uint32_t *tag;
	uint16_t *taker; /* atomic; changed under the lock */
	uint32_t *idle;	 /* of each block: frames of it that an owner has taken, and not lent */
	uint64_t idle_frames;
	uint16_t *taken;      /* the same, lent or not; takers.c */
	uint64_t *some_taken; /* a bit a block */
	pthread_mutex_t lock; /* of takers */
};

/* What one block holds, at one moment. */
struct node_block {
	struct block_bits used;
	uint32_t free;
	uint32_t idle;
	bool filled;	   /* had a frame in use since its memory was given back, if it was */
	const void *claim; /* the plan that keeps allocations out, or NULL */
};

char *node_base(const struct nodes *nodes);
uint32_t node_blocks(const struct nodes *nodes);
uint64_t node_free_frames(struct nodes *nodes);
uint64_t node_metadata_bytes(const struct nodes *nodes);

/* The node of a block that there is. */
static inline uint32_t node_of_block(const struct nodes *nodes, uint32_t block)
{
	uint32_t i = nodes->count - 1;

	while (block < nodes->node[i].first)
		i--;
	return i;
}

static inline uint32_t node_of(const struct nodes *nodes, struct quire_frame frame)
{
	return node_of_block(nodes, frame.n / QUIRE_BLOCK_FRAMES);
}

static inline bool node_is_offline(const struct nodes *nodes, uint32_t node)
{
	return load_relaxed(&nodes->node[node].offline);
}

/* Are these blocks of one node? */
static inline bool node_has_all(const struct nodes *nodes, uint32_t first, uint32_t blocks)
{
	const struct node *node = &nodes->node[node_of_block(nodes, first)];

	return first - node->first + blocks <= node->blocks.n;
}

enum node_source {
	NODE_UNCLAIMED, /* only blocks that no plan works on: what movers use */
	NODE_ANY,	/* claimed ones too, when nothing else is left */
};

/* In which node a place is looked for first; only: and nowhere else. */
struct node_wish {
	uint32_t node;
	bool only;
};

/* An aligned place of 2^order frames. 0 or -ENOMEM. */
int node_alloc(struct nodes *nodes, struct node_wish wish, unsigned order, enum node_source from,
	       enum block_class class, struct quire_frame *frame);
/* The free frames among which it looks, claimed ones too. */
uint64_t node_free_for(const struct nodes *nodes, struct node_wish wish);
/*
 * That very place. -EINVAL: not aligned or outside; -EBUSY: not free, or offline. Claims do not
 * matter.
 */
int node_alloc_at(struct nodes *nodes, unsigned order, struct quire_frame frame);
/* Before: allocated, its tag 0. */
void node_free(struct nodes *nodes, unsigned order, struct quire_frame frame);

/* One of the last two will be called for that place soon. */
void node_prefetch(const struct nodes *nodes, struct quire_frame frame);
/* Aligned or not, n frames from first on: all of them, or -EBUSY and none; -ENOMEM. */
int node_take_run(struct nodes *nodes, uint32_t first, uint32_t n);
void node_free_run(struct nodes *nodes, uint32_t first, uint32_t n);

/* --- frames of owners; a number is 1 to NODE_TAKERS, 0 is nobody --- */

#define NODE_TAKERS 0x7fffu
#define NODE_LENT 0x8000u

/* As node_alloc(), for an owner; the frames are idle then. */
int node_take(struct nodes *nodes, unsigned order, uint16_t number, struct quire_frame *frame);
/* Idle frames of that owner go back to the allocator. -EINVAL, and nothing, if one is none. */
int node_give(struct nodes *nodes, unsigned order, uint16_t number, struct quire_frame frame);
/* Idle frames of that owner, aligned, become lent; -EPROTO, and nothing, if they are not that. */
int node_lend(struct nodes *nodes, unsigned order, uint16_t number, struct quire_frame frame);
/* Lent frames, tag 0, become idle. */
void node_unlend(struct nodes *nodes, unsigned order, struct quire_frame frame);
/* Frames that were lent, tag 0, and are the owner's no more, become free. */
void node_free_lent(struct nodes *nodes, unsigned order, struct quire_frame frame);
/* An owner is gone: its idle frames become free, those it has lent ordinary ones. */
void node_forget_taker(struct nodes *nodes, uint16_t number);
/* Who has this frame idle: a number, or 0. */
uint16_t node_idle_taker(const struct nodes *nodes, struct quire_frame frame);
bool node_is_lent(const struct nodes *nodes, struct quire_frame frame);
uint64_t node_idle_frames(struct nodes *nodes);
/* What node_init(), node_finish() and node_validate() do of it. */
int takers_init(struct nodes *nodes);
void takers_finish(struct nodes *nodes);
const char *takers_validate(struct nodes *nodes);

/* --- claims --- */

/* Does a plan keep allocations out of the block of this frame? */
bool node_is_claimed(struct nodes *nodes, struct quire_frame frame);
/* The plan that has claimed a block, or NULL. */
const void *node_claimed_by(const struct nodes *nodes, uint32_t block);
/*
 * Keeps allocations out of n blocks from first on: all of them, or -EBUSY and none. Across nodes
 * only by who has no claim in them so far.
 */
int node_claim(struct nodes *nodes, uint32_t first, uint32_t n, const void *who);
/* Lets them in again; blocks that are not who's stay as they are. */
void node_unclaim(struct nodes *nodes, uint32_t first, uint32_t n, const void *who);

/* --- what is behind the frames: backing.c --- */

/*
 * Maps a memory file at node->base, for all its blocks, with the backing that can be had. 0 or
 * -errno.
 */
int backing_init(struct quire *q, struct node *node, const struct quire_node_options *options);
void backing_finish(struct node *node);

/*
 * Gives the memory of a block back to the system, if nobody has a frame of it and no plan works on
 * it; the block is in use meanwhile. Returns the bytes that it had, 0 if it had none or is not
 * free, or -errno.
 */
int64_t node_give_back(struct nodes *nodes, uint32_t number);
/* Makes a block one 2 MiB page. The bytes that it has become so, 0 if it was one, or -errno. */
int64_t node_collapse(struct nodes *nodes, uint32_t number);

/* As blocks_stamp(), and blocks_touch() of the block of a frame. */
uint32_t node_stamp(const struct nodes *nodes, uint32_t block);
void node_touch(struct nodes *nodes, struct quire_frame frame);

/* As blocks_free_of(). */
uint32_t node_free_of(const struct nodes *nodes, uint32_t block);
void node_look(struct nodes *nodes, uint32_t block, struct node_block *out);

/*
 * blocks_watch(), of all nodes; who begins a block when fewer than below are empty gives
 * NOTICE_LOW. Returns how many are empty.
 */
uint32_t node_watch(struct nodes *nodes, enum blocks_watch watch, uint32_t below);

uint32_t node_watch_below(struct nodes *nodes, uint32_t below);
bool node_is_counted(const struct nodes *nodes, uint32_t block);
bool node_any_offline(const struct nodes *nodes);

/* NULL, or which of the invariants above does not hold. When nothing else runs. */
const char *node_validate(struct nodes *nodes);

uint32_t node_tag(const struct nodes *nodes, struct quire_frame frame);
void node_set_tag(struct nodes *nodes, struct quire_frame frame, uint32_t tag);
/* The tag will be set soon. */
void node_prefetch_tag(const struct nodes *nodes, struct quire_frame frame);

#endif
