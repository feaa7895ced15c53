// SPDX-License-Identifier: MIT
#include "frame/node.h"

#include "os/os.h"
#include "util/check.h"
#include "util/mem.h"

#include <errno.h>
#include <pthread.h>

struct node {
	struct blocks blocks;
	char *base;
	int fd;
	uint64_t frames;
	uint32_t *tag;
	uint16_t *taker; /* atomic; changed under the lock */
	uint32_t *idle;	 /* of each block: frames of it that an owner has taken, and not lent */
	uint64_t idle_frames;
	pthread_mutex_t lock; /* of takers */
};

int node_alloc(struct node *node, unsigned order, enum node_source from, enum block_class class,
	       struct quire_frame *frame)
{
	uint32_t n;
	int error;

	if (order > QUIRE_MAX_ORDER)
		return -EINVAL;
	if (FAULT_POINT("frame:alloc"))
		return -ENOMEM;
	error = blocks_alloc(&node->blocks, order, class, from == NODE_ANY, &n);
	if (!error)
		*frame = quire_frame(n);
	return error;
}

int node_alloc_at(struct node *node, unsigned order, struct quire_frame frame)
{
	if (FAULT_POINT("frame:alloc"))
		return -ENOMEM;
	return blocks_alloc_at(&node->blocks, order, BLOCK_MOVABLE, frame.n);
}

void node_free(struct node *node, unsigned order, struct quire_frame frame)
{
	CHECK(!node_tag(node, frame));
	CHECK(!load_relaxed(&node->taker[frame.n]));
	blocks_free(&node->blocks, order, frame.n);
}

/* The order of the largest place that begins at first, and ends at end at the latest. */
static unsigned order_within(uint32_t first, uint32_t end)
{
	unsigned order = NODE_BLOCK_ORDER;

	while ((first & ((1u << order) - 1)) || end - first < 1u << order)
		order--;
	return order;
}

void node_free_run(struct node *node, uint32_t first, uint32_t n)
{
	unsigned order;

	for (uint32_t end = first + n; first < end; first += 1u << order) {
		order = order_within(first, end);
		node_free(node, order, quire_frame(first));
	}
}

int node_take_run(struct node *node, uint32_t first, uint32_t n)
{
	uint32_t end = first + n, at = first;
	unsigned order;
	int error;

	while (at < end) {
		order = order_within(at, end);
		error = FAULT_POINT("frame:alloc")
				? -ENOMEM
				: blocks_alloc_at(&node->blocks, order, BLOCK_PINNED, at);
		if (error)
			goto undo;
		at += 1u << order;
	}
	return 0;
undo:
	/* In the same pieces. */
	for (uint32_t back = first; back < at; back += 1u << order) {
		order = order_within(back, end);
		node_free(node, order, quire_frame(back));
	}
	return error;
}

/* --- takers --- */

static void set_takers(struct node *node, unsigned order, struct quire_frame frame, uint16_t taker)
{
	for (uint32_t i = 0; i < 1u << order; i++)
		store_relaxed(&node->taker[frame.n + i], taker);
}

static bool takers_are(const struct node *node, unsigned order, struct quire_frame frame,
		       uint16_t taker)
{
	if (order > QUIRE_MAX_ORDER || frame.n >= node->frames || (frame.n & ((1u << order) - 1)))
		return false;
	for (uint32_t i = 0; i < 1u << order; i++)
		if (node->taker[frame.n + i] != taker)
			return false;
	return true;
}

static void add_idle(struct node *node, struct quire_frame frame, unsigned order)
{
	node->idle[frame.n / QUIRE_BLOCK_FRAMES] += 1u << order;
	node->idle_frames += 1u << order;
}

static void sub_idle(struct node *node, struct quire_frame frame, unsigned order)
{
	node->idle[frame.n / QUIRE_BLOCK_FRAMES] -= 1u << order;
	node->idle_frames -= 1u << order;
}

int node_take(struct node *node, unsigned order, uint16_t number, struct quire_frame *frame)
{
	int error = node_alloc(node, order, NODE_ANY, BLOCK_PINNED, frame);

	if (error)
		return error;
	pthread_mutex_lock(&node->lock);
	set_takers(node, order, *frame, number);
	add_idle(node, *frame, order);
	pthread_mutex_unlock(&node->lock);
	return 0;
}

int node_give(struct node *node, unsigned order, uint16_t number, struct quire_frame frame)
{
	int error = -EINVAL;

	pthread_mutex_lock(&node->lock);
	if (takers_are(node, order, frame, number)) {
		set_takers(node, order, frame, 0);
		sub_idle(node, frame, order);
		error = 0;
	}
	pthread_mutex_unlock(&node->lock);
	if (!error)
		blocks_free(&node->blocks, order, frame.n);
	return error;
}

int node_lend(struct node *node, unsigned order, uint16_t number, struct quire_frame frame)
{
	int error = -EPROTO;

	pthread_mutex_lock(&node->lock);
	if (takers_are(node, order, frame, number)) {
		set_takers(node, order, frame, number | NODE_LENT);
		sub_idle(node, frame, order);
		error = 0;
	}
	pthread_mutex_unlock(&node->lock);
	return error;
}

void node_unlend(struct node *node, unsigned order, struct quire_frame frame)
{
	pthread_mutex_lock(&node->lock);
	CHECK(!node_tag(node, frame) && node_is_lent(node, frame));
	set_takers(node, order, frame, node->taker[frame.n] & NODE_TAKERS);
	add_idle(node, frame, order);
	pthread_mutex_unlock(&node->lock);
}

void node_free_lent(struct node *node, unsigned order, struct quire_frame frame)
{
	pthread_mutex_lock(&node->lock);
	CHECK(!node_tag(node, frame));
	set_takers(node, order, frame, 0);
	pthread_mutex_unlock(&node->lock);
	blocks_free(&node->blocks, order, frame.n);
}

/*
 * From the last frame to the first: a place is asked for by its first frame, and whoever finds that
 * one forgotten (node_is_lent()) may free all of them at once.
 */
void node_forget_taker(struct node *node, uint16_t number)
{
	for (uint64_t f = node->frames; f-- > 0;) {
		struct quire_frame frame = quire_frame((uint32_t)f);
		uint16_t taker = load_relaxed(&node->taker[f]);

		if ((taker & NODE_TAKERS) != number)
			continue;
		if (!(taker & NODE_LENT) && !node_give(node, 0, number, frame))
			continue;
		pthread_mutex_lock(&node->lock);
		if ((node->taker[f] & NODE_TAKERS) == number)
			store_release(&node->taker[f], (uint16_t)0);
		pthread_mutex_unlock(&node->lock);
		SYNC_POINT("node:forgot", node);
	}
}

uint16_t node_idle_taker(const struct node *node, struct quire_frame frame)
{
	uint16_t taker = load_relaxed(&node->taker[frame.n]);

	return taker & NODE_LENT ? 0 : taker;
}

bool node_is_lent(const struct node *node, struct quire_frame frame)
{
	return load_acquire(&node->taker[frame.n]) & NODE_LENT;
}

uint64_t node_idle_frames(struct node *node)
{
	uint64_t n;

	pthread_mutex_lock(&node->lock);
	n = node->idle_frames;
	pthread_mutex_unlock(&node->lock);
	return n;
}

bool node_is_claimed(struct node *node, struct quire_frame frame)
{
	return blocks_is_claimed(&node->blocks, frame.n / QUIRE_BLOCK_FRAMES);
}

uint32_t node_stamp(const struct node *node, uint32_t block)
{
	return blocks_stamp(&node->blocks, block);
}

const void *node_claimed_by(const struct node *node, uint32_t block)
{
	return blocks_claimed_by(&node->blocks, block);
}

int node_claim(struct node *node, uint32_t first, uint32_t n, const void *who)
{
	return blocks_claim(&node->blocks, first, n, who);
}

void node_unclaim(struct node *node, uint32_t first, uint32_t n, const void *who)
{
	blocks_unclaim(&node->blocks, first, n, who);
}

void node_look(struct node *node, uint32_t block, struct node_block *out)
{
	blocks_look(&node->blocks, block, &out->used, &out->free, &out->claim);
	pthread_mutex_lock(&node->lock);
	out->idle = node->idle[block];
	pthread_mutex_unlock(&node->lock);
}

int64_t node_give_back(struct node *node, uint32_t block)
{
	uint64_t offset = (uint64_t)block * OS_BLOCK_BYTES;
	uint32_t frame = block * QUIRE_BLOCK_FRAMES;
	int64_t bytes;
	int error;

	/* A look first, so that what is of no use is in nobody's way. */
	if (blocks_free_of(&node->blocks, block) != QUIRE_BLOCK_FRAMES ||
	    blocks_is_claimed(&node->blocks, block))
		return 0;
	bytes = os_file_data(node->fd, offset, OS_BLOCK_BYTES);
	if (bytes <= 0)
		return bytes;
	/* Claims keep out only who can go elsewhere; having all frames keeps everybody out. */
	if (blocks_alloc_at(&node->blocks, NODE_BLOCK_ORDER, BLOCK_MOVABLE, frame))
		return 0;
	SYNC_POINT("shrink:taken", node);
	bytes = os_file_data(node->fd, offset, OS_BLOCK_BYTES);
	error = bytes > 0 ? os_punch(node->fd, offset, OS_BLOCK_BYTES) : 0;
	SYNC_POINT("shrink:punched", node);
	blocks_free(&node->blocks, NODE_BLOCK_ORDER, frame);
	return error ? error : bytes;
}

const char *node_validate(struct node *node)
{
	const char *wrong = blocks_validate(&node->blocks);
	uint64_t idle = 0, taken = 0;

	pthread_mutex_lock(&node->lock);
	for (uint32_t i = 0; i < node->blocks.n; i++) {
		idle += node->idle[i];
		for (uint32_t f = 0; node->idle[i] && f < QUIRE_BLOCK_FRAMES; f++)
			taken +=
				node_idle_taker(node, quire_frame(i * QUIRE_BLOCK_FRAMES + f)) != 0;
	}
	if (idle != node->idle_frames || idle != taken)
		wrong = "the idle frames of owners are counted wrong";
	pthread_mutex_unlock(&node->lock);
	return wrong;
}

uint32_t node_tag(const struct node *node, struct quire_frame frame)
{
	return load_acquire(&node->tag[frame.n]);
}

void node_set_tag(struct node *node, struct quire_frame frame, uint32_t tag)
{
	store_release(&node->tag[frame.n], tag);
}

char *node_base(const struct node *node)
{
	return node->base;
}

uint32_t node_blocks(const struct node *node)
{
	return node->blocks.n;
}

uint64_t node_free_frames(struct node *node)
{
	return blocks_free_frames(&node->blocks);
}

uint64_t node_metadata_bytes(const struct node *node)
{
	return node->frames * sizeof(*node->tag) + node->blocks.bytes +
	       node->blocks.n * sizeof(*node->idle);
}

static int node_init(struct quire *q)
{
	struct node *node = mem_zalloc(1, sizeof(*node));
	uint32_t blocks = (uint32_t)(q->options.arena_bytes / OS_BLOCK_BYTES);
	void *p = NULL;
	int error;

	if (!node)
		return -ENOMEM;
	node->frames = (uint64_t)blocks * QUIRE_BLOCK_FRAMES;
	error = os_memfd("quire", q->options.arena_bytes);
	if (error < 0)
		goto undo_node;
	node->fd = error;
	error = os_map_file(node->fd, q->options.arena_bytes, &p);
	if (error)
		goto undo_file;
	node->base = p;
	error = os_reserve(node->frames * sizeof(*node->tag), &p);
	if (error)
		goto undo_map;
	node->tag = p;
	error = os_reserve(node->frames * sizeof(*node->taker), &p);
	if (error)
		goto undo_tags;
	node->taker = p;
	node->idle = mem_zalloc(blocks, sizeof(*node->idle));
	if (!node->idle) {
		error = -ENOMEM;
		goto undo_takers;
	}
	error = blocks_init(&node->blocks, blocks);
	if (error)
		goto undo_idle;
	pthread_mutex_init(&node->lock, NULL);
	q->node = node;
	return 0;
undo_idle:
	mem_free(node->idle);
undo_takers:
	os_unmap(node->taker, node->frames * sizeof(*node->taker));
undo_tags:
	os_unmap(node->tag, node->frames * sizeof(*node->tag));
undo_map:
	os_unmap(node->base, q->options.arena_bytes);
undo_file:
	os_close(node->fd);
undo_node:
	mem_free(node);
	return error;
}

static void node_finish(struct quire *q)
{
	struct node *node = q->node;

	pthread_mutex_destroy(&node->lock);
	blocks_finish(&node->blocks);
	mem_free(node->idle);
	os_unmap(node->taker, node->frames * sizeof(*node->taker));
	os_unmap(node->tag, node->frames * sizeof(*node->tag));
	/* Not inherited by a child of fork(): something else may have the address by now. */
	if (!q->forked)
		os_unmap(node->base, q->options.arena_bytes);
	os_close(node->fd);
	mem_free(node);
	q->node = NULL;
}

const struct quire_layer node_layer = {
	.init = node_init,
	.finish = node_finish,
};
