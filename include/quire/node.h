/* SPDX-License-Identifier: MIT */
/*
 * node.h: the parts of an arena: nodes, and what is behind them.
 *
 * A node is a pool of frames over a memory file of its own. Frames, and blocks of 512, are numbered
 * through all nodes of a quire: a node has those that follow the one before it, and a block belongs
 * to one node. So does a folio at any time, and so does a window of a plan. Folios move from node
 * to node as within one (quire_move_folios(), plans); which node a folio is in says its frame.
 *
 * Backing is what pages the system puts behind the frames:
 *
 *  4K        small ones, each when it is touched first
 *  HUGETLB   2 MiB pages which the system has set aside (/proc/sys/vm/nr_hugepages). As many as the
 *            node has blocks are promised to it when it is made
 *  COLLAPSE  2 MiB pages which the system makes when it is asked to (MADV_COLLAPSE, since Linux
 *            6.1; no privilege). Where there is none left just then a block has small ones, for
 *            quire_collapse()
 *  2M        HUGETLB if so many can be had, else COLLAPSE, else 4K; the log says which it became
 *
 * A node with 2 MiB pages has memory for a block as a whole, from before the first of its frames is
 * given out until quire_give_back(). So what is resident follows the blocks in use, not the frames:
 * squeeze, then give back. A HUGETLB page that was given back is the system's, and somebody else's
 * perhaps when the block is wanted again: then the block is passed over, as if it were in use. What
 * has a frame, and whoever may still read there, never finds its page missing (SIGBUS).
 */
#ifndef QUIRE_NODE_H
#define QUIRE_NODE_H

#include <quire/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QUIRE_NODES_MAX 16u

enum quire_backing {
	QUIRE_BACKING_4K = 0,
	QUIRE_BACKING_2M = 1,
	QUIRE_BACKING_HUGETLB = 2,
	QUIRE_BACKING_COLLAPSE = 3,
};

/* One node of those that quire_create() is to make; what is left out is 0. */
struct quire_node_options {
	uint64_t bytes; /* rounded up to 2 MiB; 2 MiB or more, 8 TiB all nodes together */
	enum quire_backing backing;
	unsigned numa_set; /* 1: its memory comes from the system's NUMA node numa alone */
	unsigned numa;
	const char *name; /* up to 31 bytes; NULL: "node0", "node1", ... It is copied */
};

/* How many nodes there are: 1 or more. */
QUIRE_EXPORT uint32_t quire_nodes(const struct quire *quire);
/* The node of a frame; -EINVAL: there is no such frame. */
QUIRE_EXPORT int quire_node_of(const struct quire *quire, struct quire_frame frame);

struct quire_node_info {
	size_t size;
	struct quire_frame first;
	uint32_t frames;	    /* all of them, from first on */
	uint32_t frames_free;	    /* ready to be allocated, or they were, if it is offline */
	enum quire_backing backing; /* what it became: not 2M */
	uint32_t offline;	    /* 1: nothing is put there */
	uint64_t memory_bytes;	    /* what its memory file has: resident or swapped out */
	char name[32];
};

/*
 * Fills *info as far as its size goes.
 * -EINVAL: no such node, or a size of 0; -ENXIO: in a child of fork(); or what fstat answered
 */
QUIRE_EXPORT int quire_node_info(struct quire *quire, uint32_t node, struct quire_node_info *info);

/*
 * Offline: from now on nothing is put into the node, be it made or moved, asked for or not; what is
 * there stays, and may be moved away and freed. Who was just being given a place still gets it. So
 * a node is emptied for good by taking it offline, executing a plan for it (QUIRE_GOAL_NODE), and
 * quire_node_give_back(). Online again it is as any other. 0, also where it was so before.
 * -EINVAL: no such node; -ENXIO: in a child of fork()
 */
QUIRE_EXPORT int quire_node_offline(struct quire *quire, uint32_t node);
QUIRE_EXPORT int quire_node_online(struct quire *quire, uint32_t node);

/* quire_give_back(), of one node alone. -EINVAL: no such node. */
QUIRE_EXPORT int64_t quire_node_give_back(struct quire *quire, uint32_t node, uint64_t bytes);

/*
 * Makes 2 MiB pages of the small ones behind blocks of COLLAPSE nodes, the fullest first: of blocks
 * with used_min (1 to 512) or more frames in use, until it was bytes bytes or a little more
 * (QUIRE_MAX: all there are). Nothing moves: a block keeps its content and its addresses, and who
 * touches it meanwhile waits for the kernel, some 0.3 ms a block on a quiet machine. What is empty
 * in a block takes memory afterwards. Returns the bytes that became 2 MiB pages by it; 0 is no
 * error, and so is a block that could not be done, since the kernel has something of it pinned
 * (registered with io_uring, say) or finds no 2 MiB page: the next call tries it again.
 * -EINVAL: no quire, a wrong used_min; -ENXIO: in a child of fork()
 */
QUIRE_EXPORT int64_t quire_collapse(struct quire *quire, uint32_t used_min, uint64_t bytes);

#ifdef __cplusplus
}
#endif
#endif
