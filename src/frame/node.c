// SPDX-License-Identifier: MIT
#include "frame/node.h"

#include "os/os.h"
#include "util/check.h"
#include "util/mem.h"

#include <errno.h>
#include <stdio.h>

static struct node *node_at(struct nodes *nodes, uint32_t block)
{
	return &nodes->node[node_of_block(nodes, block)];
}

/* --- places --- */

static int alloc_in(struct nodes *nodes, uint32_t i, unsigned order, enum node_source from,
		    enum block_class class, struct quire_frame *frame)
{
	struct node *node = &nodes->node[i];
	uint32_t n;
	int error;

	if (node_is_offline(nodes, i))
		return -ENOMEM;
	error = blocks_alloc(&node->blocks, order, class, from == NODE_ANY, &n);
	if (!error)
		*frame = quire_frame(node->first * QUIRE_BLOCK_FRAMES + n);
	return error;
}

/* Claimed blocks of one node are no better than others of the next. */
int node_alloc(struct nodes *nodes, struct node_wish wish, unsigned order, enum node_source from,
	       enum block_class class, struct quire_frame *frame)
{
	const uint32_t n = wish.only ? 1 : nodes->count;
	int error = -ENOMEM;

	if (order > QUIRE_MAX_ORDER || wish.node >= nodes->count)
		return -EINVAL;
	if (FAULT_POINT("frame:alloc"))
		return -ENOMEM;
	if (n == 1)
		return alloc_in(nodes, wish.node, order, from, class, frame);
	for (int source = NODE_UNCLAIMED; source <= (int)from && error; source++) {
		error = alloc_in(nodes, wish.node, order, (enum node_source)source, class, frame);
		for (uint32_t i = 0; i < n && error; i++)
			if (i != wish.node)
				error = alloc_in(nodes, i, order, (enum node_source)source, class,
						 frame);
	}
	return error;
}

uint64_t node_free_for(const struct nodes *nodes, struct node_wish wish)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < nodes->count; i++)
		if (!node_is_offline(nodes, i) && (i == wish.node || !wish.only))
			n += blocks_free_frames(&nodes->node[i].blocks);
	return n;
}

static int alloc_at(struct nodes *nodes, unsigned order, enum block_class class,
		    struct quire_frame frame)
{
	uint32_t i;

	if (FAULT_POINT("frame:alloc"))
		return -ENOMEM;
	if (frame.n >= nodes->frames)
		return -EINVAL;
	i = node_of(nodes, frame);
	if (node_is_offline(nodes, i))
		return -EBUSY;
	return blocks_alloc_at(&nodes->node[i].blocks, order, class,
			       frame.n - nodes->node[i].first * QUIRE_BLOCK_FRAMES);
}

int node_alloc_at(struct nodes *nodes, unsigned order, struct quire_frame frame)
{
	return alloc_at(nodes, order, BLOCK_MOVABLE, frame);
}

void node_free(struct nodes *nodes, unsigned order, struct quire_frame frame)
{
	struct node *node = node_at(nodes, frame.n / QUIRE_BLOCK_FRAMES);

	CHECK(!node_tag(nodes, frame));
	CHECK(!load_relaxed(&nodes->taker[frame.n]));
	blocks_free(&node->blocks, order, frame.n - node->first * QUIRE_BLOCK_FRAMES);
}

void node_prefetch(const struct nodes *nodes, struct quire_frame frame)
{
	const struct node *node;

	if (frame.n >= nodes->frames)
		return;
	node = &nodes->node[node_of(nodes, frame)];
	blocks_prefetch(&node->blocks, frame.n - node->first * QUIRE_BLOCK_FRAMES);
}

/* The order of the largest place that begins at first, and ends at end at the latest. */
static unsigned order_within(uint32_t first, uint32_t end)
{
	unsigned order = NODE_BLOCK_ORDER;

	while ((first & ((1u << order) - 1)) || end - first < 1u << order)
		order--;
	return order;
}

void node_free_run(struct nodes *nodes, uint32_t first, uint32_t n)
{
	unsigned order;

	for (uint32_t end = first + n; first < end; first += 1u << order) {
		order = order_within(first, end);
		node_free(nodes, order, quire_frame(first));
	}
}

int node_take_run(struct nodes *nodes, uint32_t first, uint32_t n)
{
	uint32_t end = first + n, at = first;
	unsigned order;
	int error;

	while (at < end) {
		order = order_within(at, end);
		error = alloc_at(nodes, order, BLOCK_PINNED, quire_frame(at));
		if (error)
			goto undo;
		at += 1u << order;
	}
	return 0;
undo:
	/* In the same pieces. */
	for (uint32_t back = first; back < at; back += 1u << order) {
		order = order_within(back, end);
		node_free(nodes, order, quire_frame(back));
	}
	return error;
}

/* --- claims --- */

bool node_is_claimed(struct nodes *nodes, struct quire_frame frame)
{
	struct node *node = node_at(nodes, frame.n / QUIRE_BLOCK_FRAMES);

	return blocks_is_claimed(&node->blocks, frame.n / QUIRE_BLOCK_FRAMES - node->first);
}

const void *node_claimed_by(const struct nodes *nodes, uint32_t block)
{
	const struct node *node = &nodes->node[node_of_block(nodes, block)];

	return blocks_claimed_by(&node->blocks, block - node->first);
}

/* How many of n blocks from first on are of the node. */
static uint32_t part_of(const struct node *node, uint32_t first, uint32_t n)
{
	uint32_t left = node->blocks.n - (first - node->first);

	return n < left ? n : left;
}

int node_claim(struct nodes *nodes, uint32_t first, uint32_t n, const void *who)
{
	uint32_t end = first + n, part;

	for (uint32_t at = first; at < end; at += part) {
		struct node *node = node_at(nodes, at);

		part = part_of(node, at, end - at);
		if (!blocks_claim(&node->blocks, at - node->first, part, who))
			continue;
		node_unclaim(nodes, first, at - first, who);
		return -EBUSY;
	}
	return 0;
}

void node_unclaim(struct nodes *nodes, uint32_t first, uint32_t n, const void *who)
{
	uint32_t end = first + n, part;

	for (uint32_t at = first; at < end; at += part) {
		struct node *node = node_at(nodes, at);

		part = part_of(node, at, end - at);
		blocks_unclaim(&node->blocks, at - node->first, part, who);
	}
}

/* --- looking --- */

uint32_t node_free_of(const struct nodes *nodes, uint32_t block)
{
	const struct node *node = &nodes->node[node_of_block(nodes, block)];

	return blocks_free_of(&node->blocks, block - node->first);
}

uint32_t node_stamp(const struct nodes *nodes, uint32_t block)
{
	const struct node *node = &nodes->node[node_of_block(nodes, block)];

	return blocks_stamp(&node->blocks, block - node->first);
}

void node_touch(struct nodes *nodes, struct quire_frame frame)
{
	struct node *node = node_at(nodes, frame.n / QUIRE_BLOCK_FRAMES);

	blocks_touch(&node->blocks, frame.n / QUIRE_BLOCK_FRAMES - node->first);
}

void node_look(struct nodes *nodes, uint32_t block, struct node_block *out)
{
	struct node *node = node_at(nodes, block);

	blocks_look(&node->blocks, block - node->first, &out->used, &out->free, &out->claim);
	out->filled = blocks_is_filled(&node->blocks, block - node->first);
	pthread_mutex_lock(&nodes->lock);
	out->idle = nodes->idle[block];
	pthread_mutex_unlock(&nodes->lock);
}

const char *node_validate(struct nodes *nodes)
{
	const char *wrong = NULL;
	uint32_t counted = 0;

	for (uint32_t i = 0; i < nodes->count && !wrong; i++)
		wrong = blocks_validate(&nodes->node[i].blocks, &counted);
	if (!wrong && counted != load_acquire(&nodes->counts.empty))
		wrong = "the empty blocks are counted wrong";
	return wrong ? wrong : takers_validate(nodes);
}

uint32_t node_tag(const struct nodes *nodes, struct quire_frame frame)
{
	return load_acquire(&nodes->tag[frame.n]);
}

void node_set_tag(struct nodes *nodes, struct quire_frame frame, uint32_t tag)
{
	store_release(&nodes->tag[frame.n], tag);
}

void node_prefetch_tag(const struct nodes *nodes, struct quire_frame frame)
{
	__builtin_prefetch(&nodes->tag[frame.n], 1);
}

char *node_base(const struct nodes *nodes)
{
	return nodes->base;
}

uint32_t node_blocks(const struct nodes *nodes)
{
	return nodes->blocks;
}

uint64_t node_free_frames(struct nodes *nodes)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < nodes->count; i++)
		n += blocks_free_frames(&nodes->node[i].blocks);
	return n;
}

uint64_t node_metadata_bytes(const struct nodes *nodes)
{
	uint64_t n = nodes->frames * sizeof(*nodes->tag) +
		     nodes->blocks * (sizeof(*nodes->idle) + sizeof(*nodes->taken));

	for (uint32_t i = 0; i < nodes->count; i++)
		n += nodes->node[i].blocks.bytes;
	return n;
}

/* --- watching --- */

static void low(void *quire)
{
	notice(quire, NOTICE_LOW);
}

uint32_t node_watch(struct nodes *nodes, enum blocks_watch watch, uint32_t below)
{
	uint32_t empty = 0;

	for (uint32_t i = 0; i < nodes->count; i++)
		empty = blocks_watch(&nodes->node[i].blocks, watch, below);
	return empty;
}

uint32_t node_watch_below(struct nodes *nodes, uint32_t below)
{
	return blocks_watch_below(&nodes->counts, below);
}

bool node_is_counted(const struct nodes *nodes, uint32_t block)
{
	const struct node *node = &nodes->node[node_of_block(nodes, block)];

	return blocks_is_counted(&node->blocks, block - node->first);
}

bool node_any_offline(const struct nodes *nodes)
{
	for (uint32_t i = 0; i < nodes->count; i++)
		if (node_is_offline(nodes, i))
			return true;
	return false;
}

/* --- what callers may know, and say --- */

uint32_t quire_nodes(const struct quire *q)
{
	return q->node->count;
}

int quire_node_of(const struct quire *q, struct quire_frame frame)
{
	return frame.n < q->node->frames ? (int)node_of(q->node, frame) : -EINVAL;
}

int quire_node_info(struct quire *q, uint32_t number, struct quire_node_info *info)
{
	struct quire_node_info i = { .size = sizeof(i) };
	const struct node *node;
	int64_t bytes;
	size_t size;

	if (!q || !info || info->size < sizeof(size_t) || number >= q->node->count)
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	node = &q->node->node[number];
	bytes = os_file_memory(node->fd);
	if (bytes < 0)
		return (int)bytes;
	i.first = quire_frame(node->first * QUIRE_BLOCK_FRAMES);
	i.frames = node->blocks.n * QUIRE_BLOCK_FRAMES;
	i.frames_free = (uint32_t)blocks_free_frames(&node->blocks);
	i.backing = node->backing;
	i.offline = node_is_offline(q->node, number);
	i.memory_bytes = (uint64_t)bytes;
	memcpy(i.name, node->name, sizeof(i.name));
	size = info->size;
	memcpy(info, &i, size < sizeof(i) ? size : sizeof(i));
	info->size = size;
	return 0;
}

static int set_offline(struct quire *q, uint32_t number, uint32_t offline)
{
	if (!q || number >= q->node->count)
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	__atomic_store_n(&q->node->node[number].offline, offline, __ATOMIC_SEQ_CST);
	notice(q, NOTICE_LOW); /* who has runs ready counts anew */
	return 0;
}

int quire_node_offline(struct quire *q, uint32_t number)
{
	return set_offline(q, number, 1);
}

int quire_node_online(struct quire *q, uint32_t number)
{
	return set_offline(q, number, 0);
}

/* --- the layer --- */

static int one_init(struct quire *q, struct nodes *nodes, const struct quire_node_options *options)
{
	struct node *node = &nodes->node[nodes->count];
	uint32_t blocks = (uint32_t)(options->bytes / OS_BLOCK_BYTES);
	int error = blocks_init(&node->blocks, blocks, &nodes->counts);

	if (error)
		return error;
	node->first = nodes->blocks;
	node->base = nodes->base + (uint64_t)node->first * OS_BLOCK_BYTES;
	if (options->name)
		(void)snprintf(node->name, sizeof(node->name), "%s", options->name);
	else
		(void)snprintf(node->name, sizeof(node->name), "node%u", (unsigned)nodes->count);
	error = backing_init(q, node, options);
	if (error) {
		blocks_finish(&node->blocks);
		return error;
	}
	nodes->blocks += blocks;
	nodes->count++;
	return 0;
}

static void each_finish(struct nodes *nodes)
{
	while (nodes->count) {
		struct node *node = &nodes->node[--nodes->count];

		backing_finish(node);
		blocks_finish(&node->blocks);
	}
}

static int nodes_init(struct quire *q)
{
	struct nodes *nodes = mem_zalloc(1, sizeof(*nodes));
	uint64_t bytes = 0;
	void *p = NULL;
	int error;

	if (!nodes)
		return -ENOMEM;
	for (uint32_t i = 0; i < q->options.nodes; i++)
		bytes += q->options.node[i].bytes;
	nodes->frames = bytes / QUIRE_FRAME_BYTES;
	nodes->counts.low = low;
	nodes->counts.low_arg = q;
	error = os_reserve_arena(bytes, &p);
	if (error)
		goto undo_nodes;
	nodes->base = p;
	for (uint32_t i = 0; i < q->options.nodes && !error; i++)
		error = one_init(q, nodes, &q->options.node[i]);
	if (error)
		goto undo_each;
	error = os_reserve(nodes->frames * sizeof(*nodes->tag), &p);
	if (error)
		goto undo_each;
	nodes->tag = p;
	error = takers_init(nodes);
	if (error)
		goto undo_tags;
	pthread_mutex_init(&nodes->lock, NULL);
	q->node = nodes;
	return 0;
undo_tags:
	os_unmap(nodes->tag, nodes->frames * sizeof(*nodes->tag));
undo_each:
	each_finish(nodes);
	os_unmap(nodes->base, bytes);
undo_nodes:
	mem_free(nodes);
	return error;
}

static void nodes_finish(struct quire *q)
{
	struct nodes *nodes = q->node;

	pthread_mutex_destroy(&nodes->lock);
	takers_finish(nodes);
	os_unmap(nodes->tag, nodes->frames * sizeof(*nodes->tag));
	each_finish(nodes);
	/* Not inherited by a child of fork(): something else may have the address by now. */
	if (!q->forked)
		os_unmap(nodes->base, nodes->frames * QUIRE_FRAME_BYTES);
	mem_free(nodes);
	q->node = NULL;
}

const struct quire_layer node_layer = {
	.init = nodes_init,
	.finish = nodes_finish,
};
