/* SPDX-License-Identifier: MIT */
/*
 * instance.h: a quire: one arena of frames, its owners, its counters.
 *
 * A child of fork() has none of its parent's quires: calls on them answer -ENXIO, or NULL, or do
 * nothing, and quire_destroy() gives back what describes them. Once the child has made a quire of
 * its own, pins and views of a parent's folio are undefined there.
 */
#ifndef QUIRE_INSTANCE_H
#define QUIRE_INSTANCE_H

#include <quire/node.h>

#ifdef __cplusplus
extern "C" {
#endif

enum quire_log_level { QUIRE_LOG_ERROR = 0, QUIRE_LOG_WARNING = 1, QUIRE_LOG_INFO = 2 };

struct quire_options {
	size_t size;	/* sizeof(struct quire_options) */
	uint32_t abi;	/* QUIRE_ABI */
	uint32_t flags; /* must be 0 */
	/* Rounded up to 2 MiB; 2 MiB to 8 TiB; no default. 0 where the nodes say how much. */
	uint64_t arena_bytes;
	/*
	 * How long a move may wait for one folio in mode SYNC where no budget says otherwise,
	 * in nanoseconds; 0: one second.
	 */
	uint64_t deadline_ns;
	/* What the library has to say; NULL: nothing is said. Called from any thread, no lock held.
	 */
	void (*log)(void *arg, enum quire_log_level level, const char *message);
	void *log_arg;
	/* What is behind the one node of arena_bytes. 4K where nodes are given. */
	enum quire_backing backing;
	/*
	 * 0: one node, of arena_bytes. Else so many, up to QUIRE_NODES_MAX, as node[0], node[1],
	 * ... say; the array is read by quire_create() alone.
	 */
	unsigned nodes;
	const struct quire_node_options *node;
	size_t node_size; /* sizeof(struct quire_node_options) */
};

/* QUIRE_OPTIONS(.arena_bytes = 64 << 20), in C. */
#define QUIRE_OPTIONS(...)                                                                         \
	(&(const struct quire_options){ .size = sizeof(struct quire_options),                      \
					.abi = QUIRE_ABI,                                          \
					.node_size = sizeof(struct quire_node_options),            \
					__VA_ARGS__ })

/*
 * Makes a quire. Its memory is a memory file for each node, mapped once: the direct map.
 * -EINVAL  options that make no sense     -EPROTO  another ABI than the library's
 * -ENOMEM  no memory or address space, or not so many huge pages as HUGETLB needs
 * -EFBIG   RLIMIT_FSIZE is below the size of a node: a memory file is a file
 * -EOPNOTSUPP  COLLAPSE, and this kernel has no MADV_COLLAPSE
 * or what memfd_create, ftruncate, mmap, mbind answered
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_create(const struct quire_options *options,
					     struct quire **quire);

/*
 * Ends a quire and gives its memory back. Each folio still alive gets its owner's free op, once,
 * with QUIRE_FREE_DESTROY; owners go too. No other call on this quire may be running or follow.
 * What works in the background is stopped first.
 * -EBUSY    a pin is held, an extent or a plan is alive, something moves, or it is served
 * -EDEADLK  inside of an op, or of a policy
 * Nothing was changed then. Pins of threads that are gone do not count: nobody could release them.
 * destroy(NULL) is 0.
 */
QUIRE_EXPORT int quire_destroy(struct quire *quire);

/*
 * Takes back what was freed and is now out of every reader's sight. Not needed for correctness:
 * creating folios and planning do it by themselves. Returns how many freed folios and old places
 * still wait for a pin or a reader.
 */
QUIRE_EXPORT size_t quire_reclaim(struct quire *quire);

/*
 * Gives memory that nobody uses back to the system: blocks of 512 free frames are punched out of
 * their memory files, those at the end of the arena first, until it was bytes bytes or a little
 * more (whole blocks; QUIRE_MAX: all there is). The address space stays, and the blocks stay free:
 * whoever gets their frames next finds zeroes, at the price of page faults. Returns how many bytes
 * that was, by what the memory file had there, swapped memory included; 0 is no error.
 *
 * Only free blocks: execute a plan before, so that there are more of them (QUIRE_GOAL_RUNS, .frames
 * = 512). What was freed or moved away from and a reader or a pin may still see is not free, nor is
 * what an owner keeps, nor, as long as it runs, what a plan works on. The same holds for what is
 * registered with the kernel or a device (io_uring's fixed buffers): their pages would stay with
 * it, and new ones would come to the file. So whoever registers memory registers folios, and keeps
 * them pinned as long.
 *
 * From any thread, while everything goes on. A block is in use while it is punched, one at a time:
 * for that moment nobody is given its frames, not even where there are no others.
 * -EINVAL  no quire     -ENXIO  in a child of fork()
 * or what lseek, fallocate answered, if nothing was given back by then; nothing else was changed
 */
QUIRE_EXPORT int64_t quire_give_back(struct quire *quire, uint64_t bytes);

/*
 * Counters: X(name, what it counts). Those of reasons are an array in struct quire_stats.
 */
#define QUIRE_COUNTERS(X)                                                                          \
	X(folios_created, "folios created")                                                        \
	X(folios_freed, "folios whose last reference went")                                        \
	X(isolated, "isolations that succeeded")                                                   \
	X(moved, "folios moved")                                                                   \
	X(moved_bytes, "bytes moved")                                                              \
	X(recopied_bytes, "bytes copied for nothing, the move having failed afterwards")           \
	X(putbacks, "isolations that ended without a move or a free")                              \
	X(freed_isolated, "isolations whose folio was freed meanwhile")                            \
	X(op_isolate, "calls of isolate ops")                                                      \
	X(op_migrate, "calls of migrate ops")                                                      \
	X(op_putback, "calls of putback ops")                                                      \
	X(op_free, "calls of free ops")                                                            \
	X(owner_errors, "ops that failed after a commit")                                          \
	X(commits, "commits")                                                                      \
	X(barriers, "membarriers of movers and freers")                                            \
	X(pin_waits, "pins that waited for a move")                                                \
	X(spilled_pins, "short pins that became long ones")                                        \
	X(retries, "moves tried again")                                                            \
	X(plans, "plans made")                                                                     \
	X(runs, "runs obtained by plans")                                                          \
	X(stuck_readers, "waits for readers that ended at a deadline")                             \
	X(op_frame_get, "calls of frame_get ops")                                                  \
	X(op_frame_put, "calls of frame_put ops")                                                  \
	X(given_back_bytes, "bytes given back to the system")                                      \
	X(extents, "extents handed out")                                                           \
	X(no_place, "times that no place was found for a folio of an order above 0")               \
	X(collapsed_bytes, "bytes of small pages that became 2 MiB pages")

struct quire_stats {
	size_t size; /* sizeof(struct quire_stats) */
	/* The state now; exact when nothing else runs. */
	uint64_t frames;	 /* all of them */
	uint64_t frames_free;	 /* ready to be allocated */
	uint64_t folios_live;	 /* with a reference */
	uint64_t folios_retired; /* freed, waiting for a pin or a reader */
	uint64_t frames_limbo;	 /* places moved away from, waiting for a reader */
	uint64_t metadata_bytes; /* what describes the arena, resident */
	uint64_t frames_idle;	 /* taken by owners, and empty */
	uint64_t frames_extents; /* handed out as extents */
	/* How often something was not moved, by reason; room for reasons to come. */
	uint64_t not_moved[QUIRE_REASON_ROOM];
	/* Last, since new counters go to the end. */
#define QUIRE_COUNTER_FIELD_(name, text) uint64_t name;
	QUIRE_COUNTERS(QUIRE_COUNTER_FIELD_)
#undef QUIRE_COUNTER_FIELD_
};

/*
 * Fills *stats as far as its size goes.
 * -EINVAL: a size of 0 or less than one counter; -ENXIO: in a child of fork()
 */
QUIRE_EXPORT int quire_stats_get(struct quire *quire, struct quire_stats *stats);

/* One block of 512 frames, for heat maps and tests; a snapshot. */
struct quire_block_info {
	size_t size;
	uint32_t used;	    /* frames not free */
	uint32_t folios;    /* folios in it */
	uint32_t long_pins; /* of those, folios with named pins */
	uint32_t claimed;   /* 1: a running plan keeps allocations out */
	uint32_t idle;	    /* of those used: taken by owners, and empty */
	uint32_t extents;   /* of those used: handed out as extents */
};

/* Number of blocks of the arena. */
QUIRE_EXPORT uint32_t quire_blocks(const struct quire *quire);
/* -EINVAL: no such block, or a size of 0; -ENXIO: in a child of fork(). */
QUIRE_EXPORT int quire_block_info(struct quire *quire, uint32_t block,
				  struct quire_block_info *info);

#ifdef __cplusplus
}
#endif
#endif
