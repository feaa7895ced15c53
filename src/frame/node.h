/* SPDX-License-Identifier: MIT */
/*
 * node.h: a node: a pool of frames over a memory file, its allocator, and what lives in each frame.
 *
 * Which frames are in use stands in blocks.h; that is lock-free.
 *
 * An owner may take frames out of the allocator (contract H-E4): they are in use for the allocator,
 * and the owner's number stands in their taker. While the owner has lent them, for a folio, they
 * are marked as LENT as well: general -take-> idle -lend-> lent -unlend-> idle -give-> general.
 * Takers are changed under the node's lock and read by anybody. Under the lock:
 *
 *	idle(block)  = frames of it that an owner has taken and not lent
 *	idle_frames  = sum of idle(block)
 *
 * Each frame has a tag: the head frame of a folio carries its number, all else 0. Tags are written
 * by whoever has the frames allocated, with release, and read by anybody, with acquire; a reader
 * checks what it found there against the folio itself.
 *
 * Lock order: the node's lock is innermost.
 */
#ifndef QUIRE_SRC_FRAME_NODE_H
#define QUIRE_SRC_FRAME_NODE_H

#include "core/instance.h"
#include "frame/blocks.h"
#include "util/bits.h"

#include <quire/base.h>

#define NODE_BLOCK_ORDER 9

extern const struct quire_layer node_layer;

/* What one block holds, at one moment. */
struct node_block {
	struct block_bits used;
	uint32_t free;
	uint32_t idle;
	const void *claim; /* the plan that keeps allocations out, or NULL */
};

char *node_base(const struct node *node);
uint32_t node_blocks(const struct node *node);
uint64_t node_free_frames(struct node *node);
uint64_t node_metadata_bytes(const struct node *node);

enum node_source {
	NODE_UNCLAIMED, /* only blocks that no plan works on: what movers use */
	NODE_ANY,	/* claimed ones too, when nothing else is left */
};

/* An aligned place of 2^order frames. 0 or -ENOMEM. */
int node_alloc(struct node *node, unsigned order, enum node_source from, enum block_class class,
	       struct quire_frame *frame);
/* That very place. -EINVAL: not aligned or outside; -EBUSY: not free. Claims do not matter. */
int node_alloc_at(struct node *node, unsigned order, struct quire_frame frame);
/* Before: allocated, its tag 0. */
void node_free(struct node *node, unsigned order, struct quire_frame frame);

/* Aligned or not, n frames from first on: all of them, or -EBUSY and none; -ENOMEM. */
int node_take_run(struct node *node, uint32_t first, uint32_t n);
void node_free_run(struct node *node, uint32_t first, uint32_t n);

/* --- frames of owners; a number is 1 to NODE_TAKERS, 0 is nobody --- */

#define NODE_TAKERS 0x7fffu
#define NODE_LENT 0x8000u

/* As node_alloc(), for an owner; the frames are idle then. */
int node_take(struct node *node, unsigned order, uint16_t number, struct quire_frame *frame);
/* Idle frames of that owner go back to the allocator. -EINVAL, and nothing, if one is none. */
int node_give(struct node *node, unsigned order, uint16_t number, struct quire_frame frame);
/* Idle frames of that owner, aligned, become lent; -EPROTO, and nothing, if they are not that. */
int node_lend(struct node *node, unsigned order, uint16_t number, struct quire_frame frame);
/* Lent frames, tag 0, become idle. */
void node_unlend(struct node *node, unsigned order, struct quire_frame frame);
/* Frames that were lent, tag 0, and are the owner's no more, become free. */
void node_free_lent(struct node *node, unsigned order, struct quire_frame frame);
/* An owner is gone: its idle frames become free, those it has lent ordinary ones. */
void node_forget_taker(struct node *node, uint16_t number);
/* Who has this frame idle: a number, or 0. */
uint16_t node_idle_taker(const struct node *node, struct quire_frame frame);
bool node_is_lent(const struct node *node, struct quire_frame frame);
uint64_t node_idle_frames(struct node *node);
/* Does a plan keep allocations out of the block of this frame? */
bool node_is_claimed(struct node *node, struct quire_frame frame);

/* As blocks_stamp(). */
uint32_t node_stamp(const struct node *node, uint32_t block);
/* The plan that has claimed a block, or NULL. */
const void *node_claimed_by(const struct node *node, uint32_t block);

/* Keeps allocations out of n blocks from first on: all of them, or -EBUSY and none. */
int node_claim(struct node *node, uint32_t first, uint32_t n, const void *who);
/* Lets them in again; blocks that are not who's stay as they are. */
void node_unclaim(struct node *node, uint32_t first, uint32_t n, const void *who);

/*
 * Gives the memory of a block back to the system, if nobody has a frame of it and no plan works on
 * it; the block is in use meanwhile. Returns the bytes that it had, 0 if it had none or is not
 * free, or -errno.
 */
int64_t node_give_back(struct node *node, uint32_t block);

void node_look(struct node *node, uint32_t block, struct node_block *out);

/* NULL, or which of the invariants above does not hold. When nothing else runs. */
const char *node_validate(struct node *node);

uint32_t node_tag(const struct node *node, struct quire_frame frame);
void node_set_tag(struct node *node, struct quire_frame frame, uint32_t tag);

#endif
