/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/* The ioctls of the test driver for mirrors of user memory, /dev/userptr. */
#ifndef _LIB_TEST_USERPTR_UAPI_H
#define _LIB_TEST_USERPTR_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

struct up_args {
	__u64 addr;
	__u64 pfn;
	__u64 at;		/* when the last notification came */
	__u32 index;
	__u32 count;
	__u32 flags;
	__u32 notifications;
	__s32 result;
	__u32 unused;
};

#define UP_MIRROR	_IO('U', 0x20)	/* addr, count, flags: subscribe, look up */
#define UP_REFRESH	_IO('U', 0x21)	/* look up what has been invalidated */
#define UP_LOOK		_IO('U', 0x22)	/* index: pfn, 0 if there is none */
#define UP_STATS	_IO('U', 0x23)	/* notifications, at; and reset them */
#define UP_CONTIG	_IO('U', 0x24)	/* pfn: allocate that page */

/* flags of UP_MIRROR */
#define UP_PIN		1	/* keep a reference to each page until invalidated */

#endif /* _LIB_TEST_USERPTR_UAPI_H */
