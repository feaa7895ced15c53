/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The ioctls of the mock graphics driver, lib/test_gpu*.c.
 * Each open file of /dev/test_gpu is a device with memory of its own.
 */
#ifndef _LIB_TEST_GPU_UAPI_H
#define _LIB_TEST_GPU_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TGPU_MAX_PAGES	64	/* of an object */
#define TGPU_JOB_OBJECTS 8	/* that a job can use */
#define TGPU_WORDS	512	/* of 64 bits, in a page */

/* One argument for all; what a command does not name it leaves alone. */
struct tgpu_args {
	__u64 addr;
	__u32 handle;		/* of an object; never 0 */
	__u32 others;		/* how many more handles there are at addr */
	__u32 index;
	__u32 count;
	__u32 mode;		/* enum migrate_mode */
	__s32 result;		/* what the function under test returned */
	__u32 moved;		/* base pages */
	__u32 dst_taken;	/* destinations asked for, and given back */
	__u32 dst_returned;
	__u32 pad;
	__u64 pfn;
	__u64 value;
};

/* A page that is wanted at @pfn. */
struct tgpu_place {
	__u64 pfn;		/* in the pool */
	__u64 addr;		/* of the caller's memory, or 0 ... */
	__u32 handle;		/* ... for a page of an object */
	__u32 index;
};

/* Counters by enum migrate_mode have three elements. */
struct tgpu_stats {
	__u64 calls[3];		/* of the migrate op */
	__u64 moved;		/* how often it answered 0 */
	__u64 moved_direct;	/* ... for a page without a pin */
	__u64 moved_in_use;	/* ... of an object that has jobs */
	__u64 moved_running;	/* ... while the engine was executing one */
	__u64 busy[3];		/* object locked, mostly by the engine: -EAGAIN */
	__u64 waited[3];	/* locked at first, and then not any more */
	__u64 binding;		/* pages are just being pinned: -EAGAIN */
	__u64 foreign;		/* pinned by somebody else: -EBUSY */
	__u64 asleep;		/* the device is suspended: -EBUSY */
	__u64 again;		/* somebody looked at the page just then: -EAGAIN */
	__u64 other_error;
	__u64 unbound;		/* objects, by the migrate op */
	__u64 bound;		/* objects, by anybody */
	__u64 bind_failed;
	__u64 deferred;		/* jobs put off because their object was wanted */
	__u64 overdue;		/* ... that went ahead, as it took too long */
	__u64 jobs;		/* executed */
	__u64 words;		/* read and checked by the engine */
	__u64 wrong;		/* ... that were not what they had to be */
	__u64 faults;		/* addresses without a translation */
	__u64 violations;	/* the op found what it was promised not to, or slept */
	__u64 objects;		/* now */
	__u64 objects_bound;
	__u64 least_runs;	/* of all objects with endless jobs */
};

/* objects */
#define TGPU_CREATE	_IO('G', 0x20)	/* count: pages, value: seed -> handle, result */
#define TGPU_DESTROY	_IO('G', 0x21)	/* handle */
#define TGPU_BIND	_IO('G', 0x22)	/* handle: pin all pages */
#define TGPU_UNBIND	_IO('G', 0x23)	/* handle */
#define TGPU_TRUNCATE	_IO('G', 0x24)	/* handle, count: pages that stay */
#define TGPU_READ	_IO('G', 0x25)	/* handle, index, count, addr */
#define TGPU_PFN		_IO('G', 0x26)	/* handle, index -> pfn */
#define TGPU_SUM		_IO('G', 0x27)	/* handle -> value: what jobs added to each word */
#define TGPU_UNREGISTER	_IO('G', 0x28)	/* handle: has no owner any more -> result */
#define TGPU_HOLD	_IO('G', 0x29)	/* handle, index: a pin that is nobody's */
#define TGPU_RELEASE	_IO('G', 0x2a)
#define TGPU_MIGRATE	_IO('G', 0x2b)	/* handle, index, count, mode */
#define TGPU_BOUND	_IO('G', 0x2c)	/* handle -> value: 0 or 1 */

/*
 * the engine
 *
 * A job checks each word of the object @handle and the others against what it
 * must be, and adds @value to each word of @handle.
 */
#define TGPU_RUN		_IO('G', 0x30)	/* handle, others, addr, value, count; 0: endless */
#define TGPU_STOP	_IO('G', 0x31)	/* endless jobs end */
#define TGPU_FINISH	_IO('G', 0x32)	/* wait until all other jobs have ended */
#define TGPU_STALL	_IO('G', 0x33)	/* handle: a job on it stops halfway */
#define TGPU_INSIDE	_IO('G', 0x34)	/* wait until it does */
#define TGPU_GO		_IO('G', 0x35)	/* let it go on */
#define TGPU_SUSPEND	_IO('G', 0x36)	/* the device sleeps */
#define TGPU_RESUME	_IO('G', 0x37)
#define TGPU_STATS	_IO('G', 0x38)	/* struct tgpu_stats */

/*
 * memory
 *
 * The pool takes nearly all free memory. Of its page frames user space chooses
 * which are to hold what, so that the layout is the same on every boot.
 */
#define TGPU_POOL_TAKE	_IO('G', 0x40)	/* value: pages to leave free */
#define TGPU_POOL_LIST	_IO('G', 0x41)	/* addr, count: bytes of a bitmap by pfn */
#define TGPU_PLACE	_IO('G', 0x42)	/* addr, count: struct tgpu_place -> value: as wanted */
#define TGPU_POOL_DROP	_IO('G', 0x43)	/* the rest becomes free */
#define TGPU_DRAIN	_IO('G', 0x44)	/* per-CPU lists of pages */
#define TGPU_CONTIG	_IO('G', 0x45)	/* count: pages in one piece -> result, pfn */

/* Word @i of page @index of an object created with @seed, before any job. */
static inline __u64 tgpu_word(__u64 seed, __u32 index, __u32 i)
{
	return (seed * 0xd1342543de82ef95ULL + index * TGPU_WORDS + i) *
	       0x9e3779b97f4a7c15ULL;
}

#endif /* _LIB_TEST_GPU_UAPI_H */
