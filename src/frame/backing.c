// SPDX-License-Identifier: MIT
/*
 * backing.c: what pages are behind a node's frames, and giving them back.
 *
 * A node with 2 MiB pages has its blocks filled (blocks.h): a block gets its page before the first
 * of its frames is given out, and loses it when all of it is free and given back. So
 *
 *	HUGETLB   filled(block)  <=>  the memory file has its page, and nothing faults there
 *	COLLAPSE  filled(block)   =>  it was tried to make it one 2 MiB page
 *
 * A page of hugetlb that was punched belongs to the system, its promise included: touching the hole
 * could end the program (SIGBUS). Nobody does: a free frame is looked at by no reader (its epoch
 * has passed) and by no pin, and before it is given out its block is filled, or refused.
 *
 * One 2 MiB page made of a block with nothing in it costs 0.25 ms, touching its 512 small pages
 * 1.04 ms (Linux 6.18, quiet): so it is cheaper from the first touch on.
 */
#include "frame/node.h"

#include "os/os.h"
#include "util/mem.h"
#include "util/points.h"

#include <errno.h>
#include <stdio.h>

static uint64_t bytes_of(const struct node *node)
{
	return (uint64_t)node->blocks.n * OS_BLOCK_BYTES;
}

static char *address_of(const struct node *node, uint32_t block)
{
	return node->base + (uint64_t)block * OS_BLOCK_BYTES;
}

/* --- filling; called with the whole block in use --- */

static int fill_hugetlb(void *arg, uint32_t block)
{
	const struct node *node = arg;

	return os_fill(node->fd, (uint64_t)block * OS_BLOCK_BYTES, OS_BLOCK_BYTES);
}

/*
 * Bits of `huge` are set by who has seen it become so, and cleared by who punches it, with all of
 * it in use. One that is missing costs a look of the kernel.
 */
static int collapse(struct node *node, uint32_t block)
{
	int error = os_collapse(address_of(node, block));

	if (!error)
		__atomic_fetch_or(&node->huge[block / 64], 1ull << (block % 64), __ATOMIC_RELAXED);
	return error;
}

/* A collapse needs one page to begin with. Where it fails small pages come by being touched. */
static int fill_collapse(void *arg, uint32_t block)
{
	struct node *node = arg;

	if (!os_fill(node->fd, (uint64_t)block * OS_BLOCK_BYTES, QUIRE_FRAME_BYTES))
		(void)collapse(node, block);
	return 0;
}

/* --- coming and going --- */

/* A memory file, mapped; the descriptor, or -errno. */
static int map(struct node *node, enum os_pages pages)
{
	char name[40];
	int fd, error;

	(void)snprintf(name, sizeof(name), "quire:%s", node->name);
	fd = os_memfd(name, bytes_of(node), pages);
	if (fd < 0)
		return fd;
	error = os_map_file(fd, bytes_of(node), node->base);
	if (error) {
		os_close(fd);
		return error;
	}
	return fd;
}

static int map_small(struct quire *q, struct node *node, enum quire_backing wanted)
{
	int fd = map(node, OS_PAGES_SMALL), error;

	node->backing = QUIRE_BACKING_4K;
	if (fd < 0 || wanted == QUIRE_BACKING_4K)
		return fd;
	error = os_collapse_exists(node->base);
	if (!error) {
		node->huge = mem_zalloc((node->blocks.n + 63u) / 64, sizeof(*node->huge));
		if (!node->huge) {
			os_close(fd);
			return -ENOMEM;
		}
		node->backing = QUIRE_BACKING_COLLAPSE;
		node->blocks.fill = fill_collapse;
		node->blocks.fill_arg = node;
		return fd;
	}
	if (wanted == QUIRE_BACKING_2M) {
		quire_log(q, QUIRE_LOG_WARNING,
			  "%s has 4 KiB pages: this kernel makes no 2 MiB pages by MADV_COLLAPSE "
			  "(%d)",
			  node->name, error);
		return fd;
	}
	os_close(fd);
	return -EOPNOTSUPP;
}

static int map_hugetlb(struct node *node)
{
	int fd = map(node, OS_PAGES_HUGETLB);

	if (fd < 0)
		return fd;
	node->backing = QUIRE_BACKING_HUGETLB;
	node->blocks.fill = fill_hugetlb;
	node->blocks.fill_arg = node;
	return fd;
}

int backing_init(struct quire *q, struct node *node, const struct quire_node_options *options)
{
	enum quire_backing wanted = options->backing;
	int fd = -ENOMEM, error;

	if (wanted == QUIRE_BACKING_HUGETLB || wanted == QUIRE_BACKING_2M) {
		fd = map_hugetlb(node);
		if (fd < 0 && wanted == QUIRE_BACKING_2M)
			quire_log(
				q, QUIRE_LOG_INFO,
				"%s: no %llu huge pages to be had (%d), so they are made on demand",
				node->name, (unsigned long long)node->blocks.n, fd);
	}
	if (fd < 0 && wanted != QUIRE_BACKING_HUGETLB)
		fd = map_small(q, node, wanted);
	if (fd < 0)
		return fd;
	node->fd = fd;
	error = options->numa_set ? os_mbind(node->base, bytes_of(node), options->numa) : 0;
	if (error)
		backing_finish(node);
	return error;
}

/* The mapping goes with the arena. */
void backing_finish(struct node *node)
{
	os_close(node->fd);
	mem_free(node->huge);
}

/* --- giving back, and putting together --- */

/* Of memory files of huge pages the system does not say where they have holes. */
static int64_t bytes_behind(const struct node *node, uint32_t block)
{
	if (node->backing == QUIRE_BACKING_HUGETLB)
		return blocks_is_filled(&node->blocks, block) ? OS_BLOCK_BYTES : 0;
	return os_file_data(node->fd, (uint64_t)block * OS_BLOCK_BYTES, OS_BLOCK_BYTES);
}

static void free_punched(struct node *node, uint32_t block)
{
	if (node->huge)
		__atomic_fetch_and(&node->huge[block / 64], ~(1ull << (block % 64)),
				   __ATOMIC_RELAXED);
	blocks_free_hole(&node->blocks, block);
}

int64_t node_give_back(struct nodes *nodes, uint32_t number)
{
	struct node *node = &nodes->node[node_of_block(nodes, number)];
	uint32_t block = number - node->first;
	int64_t bytes;
	int error;

	/* A look first, so that what is of no use is in nobody's way. */
	if (blocks_free_of(&node->blocks, block) != QUIRE_BLOCK_FRAMES ||
	    blocks_is_claimed(&node->blocks, block))
		return 0;
	bytes = bytes_behind(node, block);
	if (bytes <= 0)
		return bytes;
	/* Claims keep out only who can go elsewhere; having all frames keeps everybody out. */
	if (blocks_take_whole(&node->blocks, block))
		return 0;
	SYNC_POINT("shrink:taken", nodes);
	bytes = bytes_behind(node, block);
	error = bytes > 0 ? os_punch(node->fd, (uint64_t)block * OS_BLOCK_BYTES, OS_BLOCK_BYTES)
			  : 0;
	SYNC_POINT("shrink:punched", nodes);
	if (error)
		blocks_free(&node->blocks, NODE_BLOCK_ORDER, block * QUIRE_BLOCK_FRAMES);
	else
		free_punched(node, block);
	return error ? error : bytes;
}

int64_t node_collapse(struct nodes *nodes, uint32_t number)
{
	struct node *node = &nodes->node[node_of_block(nodes, number)];
	uint32_t block = number - node->first;
	int error;

	if (!node->huge || (load_relaxed(&node->huge[block / 64]) >> (block % 64) & 1))
		return 0;
	error = collapse(node, block);
	return error ? error : (int64_t)OS_BLOCK_BYTES;
}
