/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The ioctls of the test driver for movable pages that are on no LRU list.
 * Each open file of /dev/movable is one pool of pages.
 */
#ifndef _LIB_TEST_MOVABLE_UAPI_H
#define _LIB_TEST_MOVABLE_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* One argument for all; what a command does not name it leaves alone. */
struct tm_args {
	__u32 index;
	__u32 count;
	__u32 flags;
	__u32 mode;		/* enum migrate_mode, or isolate_mode_t */
	__s32 result;
	__u32 moved;		/* pages */
	__u32 dst_taken;	/* destinations asked for, and given back */
	__u32 dst_returned;
	__u64 pfn;
	__u64 value;
};

struct tm_stats {
	__u32 isolates;		/* calls of the op */
	__u32 isolate_mode;	/* flags of the last one */
	__u32 migrates[3];	/* calls of the op, by mode */
	__u32 putbacks;
	__u32 violations;	/* an op found what it was promised it would not */
	__u32 listed;		/* pages on the driver's list now */
	__u32 batches;
	__u32 batches_ended;
	__u32 batch_pages;
	__u32 freed_late;	/* pages that a worker had to free */
	__u32 taken;		/* isolate said yes: each ends as one of these, */
	__u32 moved;		/* migrate answered 0, */
	__u32 released;		/* freed while isolated, or putback */
	__u32 pad;
};

/* a pool, and how it behaves */
#define TM_CREATE	_IO('M', 0x20)	/* count, flags, mode: its min_mode,
					 * value: its patience in ms
					 */
#define TM_BEHAVE	_IO('M', 0x21)	/* value: enum tm_behaviour */
#define TM_STATS	_IO('M', 0x22)	/* struct tm_stats, and reset it */
#define TM_WAIT_INSIDE	_IO('M', 0x23)	/* until an op waits */
#define TM_GO		_IO('M', 0x24)	/* let it go on */
#define TM_VERIFY	_IO('M', 0x25)	/* value: pages that are not as they must be */
#define TM_READY	_IO('M', 0x26)	/* index: say that it can be moved again */
#define TM_REVOKE	_IO('M', 0x27)
#define TM_UNREGISTER	_IO('M', 0x28)	/* and leave the pages marked */

/* its pages; what is isolated waits on a list of the file */
#define TM_ISOLATE	_IO('M', 0x30)	/* index, count, mode: result: how many */
#define TM_MIGRATE	_IO('M', 0x31)	/* mode: what is on the list */
#define TM_PUTBACK	_IO('M', 0x32)	/* what is on the list */
#define TM_FREE		_IO('M', 0x33)	/* index, count, flags */
#define TM_CLEAR	_IO('M', 0x34)	/* index: not movable any more */
#define TM_LOOK		_IO('M', 0x35)	/* index: value: TM_IS_...; result: references */
#define TM_LOOK_PFN	_IO('M', 0x36)	/* pfn, likewise */
#define TM_HOLD		_IO('M', 0x37)	/* index: one more reference */
#define TM_RELEASE	_IO('M', 0x38)
#define TM_LOCK		_IO('M', 0x39)	/* index: its lock, by another thread */
#define TM_READ		_IO('M', 0x3a)	/* reads its content, by another thread */
#define TM_CONTIG	_IO('M', 0x3b)	/* index: allocate that page */
#define TM_SKIP		_IO('M', 0x3c)	/* index: value: is its pageblock skipped?
					 * flags 1: mark it first
					 */
#define TM_OTHERS	_IO('M', 0x3d)	/* value: enum tm_other; result: isolated? */

/* real users */
#define TM_ZSMALLOC	_IO('M', 0x40)	/* count objects, mode rounds: moved, value: wrong */
#define TM_BALLOON	_IO('M', 0x41)	/* count, index isolated: value: dequeued */

/* flags of TM_CREATE */
#define TM_OWNER	1	/* by an owner, not by ops of our own */
#define TM_BATCH	2	/* with ops for batches */

/* flags of TM_FREE */
#define TM_NO_WAIT	1	/* the page lock is tried for, a worker does the rest */

/* what TM_LOOK sees */
#define TM_IS_TAGGED	1	/* __PageMovable() */
#define TM_IS_MOVABLE	2	/* PageMovable(), under the page lock */
#define TM_IS_ISOLATED	4
#define TM_IS_LOCKED	8
#define TM_IS_ALIGNED	16	/* nothing but the tag in the low bits */
#define TM_IS_CLEAN	32	/* no mapping at all */

enum tm_behaviour {
	TM_NORMAL,
	TM_REFUSE,		/* isolate: no */
	TM_AGAIN,		/* migrate: -EAGAIN */
	TM_BUSY,		/* migrate: -EBUSY */
	TM_WAIT,		/* migrate: wait inside for TM_GO */
	TM_AGAIN_ONCE,		/* migrate: -EAGAIN, then as usual */
};

enum tm_other {
	TM_SLAB,
	TM_LRU,
	TM_FREED,
	TM_TAIL,
	TM_HEAD,
};

#endif /* _LIB_TEST_MOVABLE_UAPI_H */
