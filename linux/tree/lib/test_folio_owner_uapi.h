/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The ioctls of the test driver for owners of folios and shmem files.
 * Each open file of /dev/folio_owner is one object.
 */
#ifndef _LIB_TEST_FOLIO_OWNER_UAPI_H
#define _LIB_TEST_FOLIO_OWNER_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* One argument for all; what a command does not name it leaves alone. */
struct tfo_args {
	__u64 addr;
	__u32 index;
	__u32 count;
	__u32 flags;
	__u32 mode;		/* enum migrate_mode */
	__s32 result;		/* what the function under test returned */
	__u32 moved;		/* base pages */
	__u32 dst_taken;	/* destinations asked for, and given back */
	__u32 dst_returned;
	__u64 pfn;
	__u64 value;
};

struct tfo_stats {
	__u32 calls[3];		/* of the migrate op, by mode */
	__u32 moved;		/* how often it answered 0 */
	__u32 direct;		/* ... without a pin, hence without the lock */
	__u32 lock_busy;	/* the object's lock was held by somebody else */
	__u32 violations;	/* the op found what it was promised it would not */
	__s32 inside;		/* what a call from inside the op returned */
	__u32 notifications;	/* of the mmu notifier */
	__u32 freed[2];		/* folios, by enum folio_owner_reason */
	__u32 freed_pages;
	__u32 followed;		/* owner moved to another folio */
	__u32 freed_early;	/* the count was not 0 */
	__u32 asked[3];		/* of the isolate op, by mode */
	__u32 putbacks;
	__u32 batches;		/* begun, and ended */
	__u32 batches_ended;
	__u32 batch_folios;	/* what was announced */
	__u32 truncated;	/* pages that the truncate op was told of */
	__u64 invalidated_at;	/* the last notification; the last migrate op: */
	__u64 migrated_at;	/* of one sequence of events in this driver */
};

/* an object and its owner */
#define TFO_CREATE	_IO('F', 0x20)	/* count, flags */
#define TFO_REGISTER	_IO('F', 0x21)	/* flags */
#define TFO_UNREGISTER	_IO('F', 0x22)
#define TFO_BEHAVE	_IO('F', 0x23)	/* value: enum tfo_behaviour */
#define TFO_WAIT_INSIDE	_IO('F', 0x24)	/* until an op waits */
#define TFO_GO		_IO('F', 0x25)	/* let it go on */
#define TFO_CHANGE_OPS	_IO('F', 0x26)	/* write to the table after the fact */
#define TFO_STATS	_IO('F', 0x27)	/* struct tfo_stats, and reset it */
#define TFO_ATTEMPTS	_IO('F', 0x28)	/* value: that have not ended; forget them */

/* its pages */
#define TFO_PIN		_IO('F', 0x30)	/* index, count: the owner's pin */
#define TFO_UNPIN	_IO('F', 0x31)
#define TFO_HOLD	_IO('F', 0x32)	/* index: a pin that is not the owner's */
#define TFO_RELEASE	_IO('F', 0x33)
#define TFO_LOCK	_IO('F', 0x34)	/* the object's lock, by another thread */
#define TFO_UNLOCK	_IO('F', 0x35)
#define TFO_PFN		_IO('F', 0x36)	/* index: pfn, count: pages of the folio */
#define TFO_VERIFY	_IO('F', 0x37)	/* value: pages that are not as they must be */
#define TFO_MIGRATE	_IO('F', 0x38)	/* index, count, mode */
#define TFO_TRUNCATE	_IO('F', 0x39)	/* index, count */
#define TFO_PRIVATE	_IO('F', 0x3a)	/* index, value: set; 0: return it */
#define TFO_NOTIFIER	_IO('F', 0x3b)	/* count notifications of this process */
#define TFO_CONTIG	_IO('F', 0x3c)	/* index, flags: allocate that page */
#define TFO_LOCK_FOLIO	_IO('F', 0x3d)	/* index: its folio lock, by another thread */

/* folios that have an owner; of this process's memory, or (addr 0) an object's */
#define TFO_OWN		_IO('F', 0x40)	/* addr or index */
#define TFO_DISOWN	_IO('F', 0x41)
#define TFO_OWNED	_IO('F', 0x42)	/* value: 0 or 1 */
#define TFO_USE		_IO('F', 0x43)	/* references, lock, dirty, writeback */
#define TFO_SPLIT	_IO('F', 0x44)
#define TFO_DRAIN	_IO('F', 0x46)	/* the per-CPU batches of the LRU */
#define TFO_CYCLE	_IO('F', 0x47)	/* count: uses of folios of a pool that owns
					 * them, index: how to begin; value: wrong
					 */
#define TFO_MOVE	_IO('F', 0x45)	/* addr, mode: migrate that one folio */

/* flags of TFO_CREATE */
#define TFO_PUBLIC	1	/* such a file as users can have, too */

/* flags of TFO_REGISTER; its mode is the owner's min_mode */
#define TFO_NO_OPS	1	/* NULL */
#define TFO_EMPTY_OPS	2	/* a table without a migrate op */
#define TFO_NO_FILE	4	/* not a shmem file */
#define TFO_MORE_OPS	8	/* isolate, putback, batches, truncate */
#define TFO_OLD_SIZE	16	/* a table that ends with the migrate op */
#define TFO_NEW_SIZE	32	/* one that goes on beyond what is known */
#define TFO_HALF_BATCH	64	/* a beginning without an end */
#define TFO_LONE_PUTBACK 128	/* without a migrate op */

/* flags of TFO_CONTIG */
#define TFO_SLAB	1	/* a page of the driver's memory instead */

/* flags of TFO_OWN */
#define TFO_FRAME	1	/* the owner wants the frame: no migrate op */

enum tfo_behaviour {
	TFO_NORMAL,
	TFO_AGAIN,		/* -EAGAIN */
	TFO_BUSY,		/* -EBUSY: purgeable, or the device sleeps */
	TFO_IO_ERROR,		/* -EIO */
	TFO_LIE_MOVED,		/* 0, and did nothing */
	TFO_LIE_FAILED,		/* -EIO, and did move it */
	TFO_WAIT,		/* wait inside for TFO_GO */
	TFO_REGISTER_INSIDE,
	TFO_UNREGISTER_INSIDE,
	TFO_FORGET,		/* to unregister, when the object goes */
	TFO_SET_PRIVATE,	/* the op gives the destination a value of its own */
	TFO_AGAIN_TWICE,	/* -EAGAIN for the first two calls */
	TFO_VETO,		/* isolate: -EBUSY */
	TFO_VETO_AGAIN,		/* isolate: -EAGAIN */
	TFO_VETO_NOMEM,		/* isolate: -ENOMEM */
};

#endif /* _LIB_TEST_FOLIO_OWNER_UAPI_H */
