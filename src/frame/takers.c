// SPDX-License-Identifier: MIT
/*
 * takers.c: frames that owners have taken out of the allocator. Under the nodes' lock, besides what
 * node.h says:
 *
 *	taken(block)       = frames of it that have a taker, idle or lent
 *	some_taken's bit   = taken(block) is not 0
 */
#include "frame/node.h"
#include "os/os.h"
#include "util/check.h"
#include "util/mem.h"

#include <errno.h>

static void set_taker(struct nodes *nodes, uint32_t frame, uint16_t taker)
{
	uint32_t block = frame / QUIRE_BLOCK_FRAMES;
	uint64_t bit = 1ull << (block % 64);

	if (!nodes->taker[frame] != !taker)
		nodes->taken[block] = (uint16_t)(nodes->taken[block] + (taker ? 1 : -1));
	if (nodes->taken[block])
		nodes->some_taken[block / 64] |= bit;
	else
		nodes->some_taken[block / 64] &= ~bit;
	/* release: who finds it forgotten (node_is_lent()) may free it */
	store_release(&nodes->taker[frame], taker);
}

static void set_takers(struct nodes *nodes, unsigned order, struct quire_frame frame,
		       uint16_t taker)
{
	for (uint32_t i = 0; i < 1u << order; i++)
		set_taker(nodes, frame.n + i, taker);
}

static bool takers_are(const struct nodes *nodes, unsigned order, struct quire_frame frame,
		       uint16_t taker)
{
	if (order > QUIRE_MAX_ORDER || frame.n >= nodes->frames || (frame.n & ((1u << order) - 1)))
		return false;
	for (uint32_t i = 0; i < 1u << order; i++)
		if (nodes->taker[frame.n + i] != taker)
			return false;
	return true;
}

static void add_idle(struct nodes *nodes, struct quire_frame frame, unsigned order)
{
	nodes->idle[frame.n / QUIRE_BLOCK_FRAMES] += 1u << order;
	nodes->idle_frames += 1u << order;
}

static void sub_idle(struct nodes *nodes, struct quire_frame frame, unsigned order)
{
	nodes->idle[frame.n / QUIRE_BLOCK_FRAMES] -= 1u << order;
	nodes->idle_frames -= 1u << order;
}

int node_take(struct nodes *nodes, unsigned order, uint16_t number, struct quire_frame *frame)
{
	const struct node_wish anywhere = { 0 };
	int error = node_alloc(nodes, anywhere, order, NODE_ANY, BLOCK_PINNED, frame);

	if (error)
		return error;
	pthread_mutex_lock(&nodes->lock);
	set_takers(nodes, order, *frame, number);
	add_idle(nodes, *frame, order);
	pthread_mutex_unlock(&nodes->lock);
	return 0;
}

int node_give(struct nodes *nodes, unsigned order, uint16_t number, struct quire_frame frame)
{
	int error = -EINVAL;

	pthread_mutex_lock(&nodes->lock);
	if (takers_are(nodes, order, frame, number)) {
		set_takers(nodes, order, frame, 0);
		sub_idle(nodes, frame, order);
		error = 0;
	}
	pthread_mutex_unlock(&nodes->lock);
	if (!error)
		node_free(nodes, order, frame);
	return error;
}

int node_lend(struct nodes *nodes, unsigned order, uint16_t number, struct quire_frame frame)
{
	int error = -EPROTO;

	pthread_mutex_lock(&nodes->lock);
	if (takers_are(nodes, order, frame, number)) {
		set_takers(nodes, order, frame, number | NODE_LENT);
		sub_idle(nodes, frame, order);
		error = 0;
	}
	pthread_mutex_unlock(&nodes->lock);
	return error;
}

void node_unlend(struct nodes *nodes, unsigned order, struct quire_frame frame)
{
	pthread_mutex_lock(&nodes->lock);
	CHECK(!node_tag(nodes, frame) && node_is_lent(nodes, frame));
	set_takers(nodes, order, frame, nodes->taker[frame.n] & NODE_TAKERS);
	add_idle(nodes, frame, order);
	pthread_mutex_unlock(&nodes->lock);
}

void node_free_lent(struct nodes *nodes, unsigned order, struct quire_frame frame)
{
	pthread_mutex_lock(&nodes->lock);
	CHECK(!node_tag(nodes, frame));
	set_takers(nodes, order, frame, 0);
	pthread_mutex_unlock(&nodes->lock);
	node_free(nodes, order, frame);
}

static void forget_in(struct nodes *nodes, uint32_t block, uint16_t number)
{
	/*
	 * From the last frame to the first: a place is asked for by its first frame, and whoever
	 * finds that one forgotten (node_is_lent()) may free all of them at once.
	 */
	for (uint32_t i = QUIRE_BLOCK_FRAMES; i-- > 0;) {
		struct quire_frame frame = quire_frame(block * QUIRE_BLOCK_FRAMES + i);
		uint16_t taker = load_relaxed(&nodes->taker[frame.n]);

		if ((taker & NODE_TAKERS) != number)
			continue;
		if (!(taker & NODE_LENT) && !node_give(nodes, 0, number, frame))
			continue;
		pthread_mutex_lock(&nodes->lock);
		if ((nodes->taker[frame.n] & NODE_TAKERS) == number)
			set_taker(nodes, frame.n, 0);
		pthread_mutex_unlock(&nodes->lock);
		SYNC_POINT("node:forgot", nodes);
	}
}

/* Only blocks in which owners have frames are looked at. */
void node_forget_taker(struct nodes *nodes, uint16_t number)
{
	uint32_t words = (nodes->blocks + 63) / 64;
	uint64_t some;

	for (uint32_t w = words; w-- > 0;) {
		pthread_mutex_lock(&nodes->lock);
		some = nodes->some_taken[w];
		pthread_mutex_unlock(&nodes->lock);
		for (; some; some &= ~(1ull << (63 - __builtin_clzll(some))))
			forget_in(nodes, w * 64 + 63 - (uint32_t)__builtin_clzll(some), number);
	}
}

uint16_t node_idle_taker(const struct nodes *nodes, struct quire_frame frame)
{
	uint16_t taker = load_relaxed(&nodes->taker[frame.n]);

	return taker & NODE_LENT ? 0 : taker;
}

bool node_is_lent(const struct nodes *nodes, struct quire_frame frame)
{
	return load_acquire(&nodes->taker[frame.n]) & NODE_LENT;
}

uint64_t node_idle_frames(struct nodes *nodes)
{
	uint64_t n;

	pthread_mutex_lock(&nodes->lock);
	n = nodes->idle_frames;
	pthread_mutex_unlock(&nodes->lock);
	return n;
}

const char *takers_validate(struct nodes *nodes)
{
	uint64_t idle = 0, lying = 0;
	bool wrong = false;

	pthread_mutex_lock(&nodes->lock);
	for (uint32_t b = 0; b < nodes->blocks; b++) {
		uint32_t taken = 0;

		idle += nodes->idle[b];
		for (uint32_t f = 0; nodes->taken[b] && f < QUIRE_BLOCK_FRAMES; f++) {
			uint16_t taker = nodes->taker[b * QUIRE_BLOCK_FRAMES + f];

			taken += taker != 0;
			lying += taker && !(taker & NODE_LENT);
		}
		wrong |= taken != nodes->taken[b] ||
			 (taken != 0) != ((nodes->some_taken[b / 64] >> (b % 64)) & 1);
	}
	wrong |= idle != nodes->idle_frames || idle != lying;
	pthread_mutex_unlock(&nodes->lock);
	return wrong ? "the frames of owners are counted wrong" : NULL;
}

int takers_init(struct nodes *nodes)
{
	void *p = NULL;
	int error = os_reserve(nodes->frames * sizeof(*nodes->taker), &p);

	if (error)
		return error;
	nodes->taker = p;
	nodes->idle = mem_zalloc(nodes->blocks, sizeof(*nodes->idle));
	nodes->taken = mem_zalloc(nodes->blocks, sizeof(*nodes->taken));
	nodes->some_taken = mem_zalloc((nodes->blocks + 63u) / 64, sizeof(*nodes->some_taken));
	if (!nodes->idle || !nodes->taken || !nodes->some_taken) {
		takers_finish(nodes);
		return -ENOMEM;
	}
	return 0;
}

void takers_finish(struct nodes *nodes)
{
	mem_free(nodes->some_taken);
	mem_free(nodes->taken);
	mem_free(nodes->idle);
	os_unmap(nodes->taker, nodes->frames * sizeof(*nodes->taker));
}
