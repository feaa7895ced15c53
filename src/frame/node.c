// SPDX-License-Identifier: MIT
#include "frame/node.h"

#include "os/os.h"
#include "util/check.h"
#include "util/mem.h"

#include <errno.h>
#include <pthread.h>

#define LISTS (QUIRE_BLOCK_FRAMES + 1)
#define NIL UINT32_MAX

struct block {
	struct block_bits used;
	uint32_t free;
	uint32_t idle;	     /* frames of it that an owner has taken, and not lent */
	uint32_t next, prev; /* on the list of its free count */
	const void *claim;   /* the plan that has it, or NULL */
};

struct node {
	pthread_mutex_t lock;
	char *base;
	int fd;
	uint32_t blocks;
	uint64_t frames;
	uint64_t free;
	uint64_t idle;
	struct block *block;
	uint32_t *tag;
	uint16_t *taker; /* atomic */
	uint32_t head[LISTS];
	struct block_bits lists; /* bit i: list i + 1 is not empty */
};

static bool on_list(const struct block *b)
{
	return !b->claim && b->free;
}

static void list_add(struct node *node, uint32_t i)
{
	struct block *b = &node->block[i];
	uint32_t l = b->free;

	if (!on_list(b))
		return;
	b->prev = NIL;
	b->next = node->head[l];
	if (b->next != NIL)
		node->block[b->next].prev = i;
	node->head[l] = i;
	node->lists.word[(l - 1) / 64] |= 1ull << ((l - 1) % 64);
}

static void list_remove(struct node *node, uint32_t i)
{
	struct block *b = &node->block[i];
	uint32_t l = b->free;

	if (!on_list(b))
		return;
	if (b->next != NIL)
		node->block[b->next].prev = b->prev;
	if (b->prev != NIL)
		node->block[b->prev].next = b->next;
	else
		node->head[l] = b->next;
	if (node->head[l] == NIL)
		node->lists.word[(l - 1) / 64] &= ~(1ull << ((l - 1) % 64));
}

/* The first list from l on (1 to 512) that is not empty, or NIL. */
static uint32_t list_from(const struct node *node, uint32_t l)
{
	uint32_t w = (l - 1) / 64;
	uint64_t x;

	if (l > QUIRE_BLOCK_FRAMES)
		return NIL;
	x = node->lists.word[w] & (~0ull << ((l - 1) % 64));
	for (;;) {
		if (x)
			return w * 64 + (uint32_t)__builtin_ctzll(x) + 1;
		if (++w == BLOCK_WORDS)
			return NIL;
		x = node->lists.word[w];
	}
}

static void take(struct node *node, uint32_t i, unsigned offset, unsigned order)
{
	struct block *b = &node->block[i];

	CHECK(bits_range_clear(&b->used, offset, order));
	list_remove(node, i);
	bits_range_set(&b->used, offset, order);
	b->free -= 1u << order;
	node->free -= 1u << order;
	list_add(node, i);
}

/* The fullest unclaimed block with a place; then any claimed one. */
static uint32_t find(const struct node *node, unsigned order, enum node_source from,
		     unsigned *offset)
{
	uint32_t l, i;

	for (l = list_from(node, 1u << order); l != NIL; l = list_from(node, l + 1)) {
		for (i = node->head[l]; i != NIL; i = node->block[i].next) {
			*offset = bits_find_clear(&node->block[i].used, order);
			if (*offset != BLOCK_NONE)
				return i;
		}
	}
	if (from == NODE_UNCLAIMED)
		return NIL;
	for (i = 0; i < node->blocks; i++) {
		const struct block *b = &node->block[i];

		if (!b->claim || b->free < (1u << order))
			continue;
		*offset = bits_find_clear(&b->used, order);
		if (*offset != BLOCK_NONE)
			return i;
	}
	return NIL;
}

int node_alloc(struct node *node, unsigned order, enum node_source from, struct quire_frame *frame)
{
	unsigned offset = 0;
	uint32_t i;

	if (order > QUIRE_MAX_ORDER)
		return -EINVAL;
	if (FAULT_POINT("frame:alloc"))
		return -ENOMEM;
	pthread_mutex_lock(&node->lock);
	i = find(node, order, from, &offset);
	if (i != NIL)
		take(node, i, offset, order);
	pthread_mutex_unlock(&node->lock);
	if (i == NIL)
		return -ENOMEM;
	*frame = quire_frame(i * QUIRE_BLOCK_FRAMES + offset);
	return 0;
}

int node_alloc_at(struct node *node, unsigned order, struct quire_frame frame)
{
	uint32_t i = frame.n / QUIRE_BLOCK_FRAMES;
	unsigned offset = frame.n % QUIRE_BLOCK_FRAMES;
	int error = 0;

	if (order > QUIRE_MAX_ORDER || i >= node->blocks || (frame.n & ((1u << order) - 1)))
		return -EINVAL;
	if (FAULT_POINT("frame:alloc"))
		return -ENOMEM;
	pthread_mutex_lock(&node->lock);
	if (bits_range_clear(&node->block[i].used, offset, order))
		take(node, i, offset, order);
	else
		error = -EBUSY;
	pthread_mutex_unlock(&node->lock);
	return error;
}

static void release(struct node *node, unsigned order, struct quire_frame frame)
{
	uint32_t i = frame.n / QUIRE_BLOCK_FRAMES;
	struct block *b = &node->block[i];

	CHECK(bits_range_all_set(&b->used, frame.n % QUIRE_BLOCK_FRAMES, order));
	list_remove(node, i);
	bits_range_reset(&b->used, frame.n % QUIRE_BLOCK_FRAMES, order);
	b->free += 1u << order;
	node->free += 1u << order;
	list_add(node, i);
}

void node_free(struct node *node, unsigned order, struct quire_frame frame)
{
	CHECK(!node_tag(node, frame));
	pthread_mutex_lock(&node->lock);
	CHECK(!node->taker[frame.n]);
	release(node, order, frame);
	pthread_mutex_unlock(&node->lock);
}

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
	node->block[frame.n / QUIRE_BLOCK_FRAMES].idle += 1u << order;
	node->idle += 1u << order;
}

static void sub_idle(struct node *node, struct quire_frame frame, unsigned order)
{
	node->block[frame.n / QUIRE_BLOCK_FRAMES].idle -= 1u << order;
	node->idle -= 1u << order;
}

int node_take(struct node *node, unsigned order, uint16_t number, struct quire_frame *frame)
{
	int error = node_alloc(node, order, NODE_ANY, frame);

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
		release(node, order, frame);
		error = 0;
	}
	pthread_mutex_unlock(&node->lock);
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
	release(node, order, frame);
	pthread_mutex_unlock(&node->lock);
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
	n = node->idle;
	pthread_mutex_unlock(&node->lock);
	return n;
}

bool node_is_claimed(struct node *node, struct quire_frame frame)
{
	bool claimed;

	pthread_mutex_lock(&node->lock);
	claimed = node->block[frame.n / QUIRE_BLOCK_FRAMES].claim != NULL;
	pthread_mutex_unlock(&node->lock);
	return claimed;
}

int node_claim(struct node *node, uint32_t first, uint32_t n, const void *who)
{
	int error = 0;
	uint32_t i;

	pthread_mutex_lock(&node->lock);
	for (i = first; i < first + n; i++)
		if (node->block[i].claim && node->block[i].claim != who)
			error = -EBUSY;
	for (i = first; !error && i < first + n; i++) {
		list_remove(node, i);
		node->block[i].claim = who;
	}
	pthread_mutex_unlock(&node->lock);
	return error;
}

void node_unclaim(struct node *node, uint32_t first, uint32_t n, const void *who)
{
	pthread_mutex_lock(&node->lock);
	for (uint32_t i = first; i < first + n; i++) {
		if (node->block[i].claim != who)
			continue;
		node->block[i].claim = NULL;
		list_add(node, i);
	}
	pthread_mutex_unlock(&node->lock);
}

void node_look(struct node *node, uint32_t block, struct node_block *out)
{
	const struct block *b = &node->block[block];

	pthread_mutex_lock(&node->lock);
	out->used = b->used;
	out->free = b->free;
	out->idle = b->idle;
	out->claim = b->claim;
	pthread_mutex_unlock(&node->lock);
}

const char *node_validate(struct node *node)
{
	uint64_t free = 0, idle = 0, listed = 0, should = 0;
	const char *wrong = NULL;
	uint64_t taken = 0;

	pthread_mutex_lock(&node->lock);
	for (uint32_t i = 0; i < node->blocks; i++) {
		const struct block *b = &node->block[i];

		free += b->free;
		idle += b->idle;
		for (uint32_t f = 0; b->idle && f < QUIRE_BLOCK_FRAMES; f++)
			taken +=
				node_idle_taker(node, quire_frame(i * QUIRE_BLOCK_FRAMES + f)) != 0;
		should += on_list(b);
		if (bits_count_clear(&b->used, 0) != b->free)
			wrong = "a block's count is not the number of its clear bits";
	}
	for (uint32_t l = 1; l < LISTS; l++) {
		bool marked = (node->lists.word[(l - 1) / 64] >> ((l - 1) % 64)) & 1;

		if (marked != (node->head[l] != NIL))
			wrong = "the summary of the lists is wrong";
		for (uint32_t i = node->head[l]; i != NIL && listed <= should;
		     i = node->block[i].next, listed++)
			if (node->block[i].free != l || node->block[i].claim)
				wrong = "a block is on a list it does not belong on";
	}
	if (listed != should)
		wrong = "a block is missing from the lists";
	if (idle != node->idle || idle != taken)
		wrong = "the idle frames of owners are counted wrong";
	if (free != node->free)
		wrong = "the node's count is not the sum of its blocks'";
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
	return node->blocks;
}

uint64_t node_free_frames(struct node *node)
{
	uint64_t n;

	pthread_mutex_lock(&node->lock);
	n = node->free;
	pthread_mutex_unlock(&node->lock);
	return n;
}

uint64_t node_metadata_bytes(const struct node *node)
{
	return node->frames * sizeof(*node->tag) + node->blocks * sizeof(*node->block);
}

static int node_init(struct quire *q)
{
	struct node *node = mem_zalloc(1, sizeof(*node));
	void *p = NULL;
	int error;

	if (!node)
		return -ENOMEM;
	node->blocks = (uint32_t)(q->options.arena_bytes / OS_BLOCK_BYTES);
	node->frames = (uint64_t)node->blocks * QUIRE_BLOCK_FRAMES;
	node->free = node->frames;
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
	node->block = mem_zalloc(node->blocks, sizeof(*node->block));
	if (!node->block) {
		error = -ENOMEM;
		goto undo_takers;
	}
	pthread_mutex_init(&node->lock, NULL);
	for (unsigned l = 0; l < LISTS; l++)
		node->head[l] = NIL;
	/* The lowest block ends up first: memory is handed out from the arena's start. */
	for (uint32_t i = node->blocks; i-- > 0;) {
		node->block[i].free = QUIRE_BLOCK_FRAMES;
		list_add(node, i);
	}
	q->node = node;
	return 0;
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
	mem_free(node->block);
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
