/* SPDX-License-Identifier: GPL-2.0-only */
/* The driver lib/test_folio_owner.c, seen from its selftests. */
#ifndef _FOLIO_OWNER_DEVICE_H
#define _FOLIO_OWNER_DEVICE_H

#include "owner_selftest.h"
#include "../../../../lib/test_folio_owner_uapi.h"

static inline int device(void)
{
	return open_device("/dev/folio_owner");
}

/* Most commands need few of the arguments. */
static inline struct tfo_args tell(int fd, unsigned int cmd, struct tfo_args args)
{
	if (ioctl(fd, cmd, &args) < 0) {
		printf("# ioctl %#x: %s\n", cmd, strerror(errno));
		args.result = -errno;
		args.moved = 0;
	}
	return args;
}

#define TELL(fd, cmd, ...) tell(fd, cmd, (struct tfo_args){ __VA_ARGS__ })

static inline struct tfo_stats stats(int fd)
{
	struct tfo_stats s = { 0 };

	ioctl(fd, TFO_STATS, &s);
	return s;
}

static inline unsigned int calls(const struct tfo_stats *s)
{
	return s->calls[ASYNC] + s->calls[SYNC_LIGHT] + s->calls[SYNC];
}

static inline int object(unsigned int pages)
{
	int fd = device();

	TELL(fd, TFO_CREATE, .count = pages);
	return fd;
}

static inline int owned_object(unsigned int pages)
{
	int fd = object(pages);

	TELL(fd, TFO_REGISTER);
	TELL(fd, TFO_PIN, .count = pages);
	return fd;
}

static inline struct tfo_args migrate(int fd, unsigned int pages, unsigned int mode)
{
	return TELL(fd, TFO_MIGRATE, .count = pages, .mode = mode);
}

static inline long wrong(int fd)
{
	return TELL(fd, TFO_VERIFY).value;
}

static inline unsigned long pfn(int fd, unsigned int index)
{
	return TELL(fd, TFO_PFN, .index = index).pfn;
}

/* Pages of an object that fills whole pageblocks, others having been put together before. */
#define MANY 8192

static inline void make_room(void)
{
	write_file("/proc/sys/vm/compact_memory", "1");
}

/*
 * An index whose page lies in a pageblock with as few pages of others as can
 * be: one that cannot be moved makes a contiguous allocation of any part fail.
 */
static inline unsigned int index_among_own(int fd, unsigned int pages)
{
	static unsigned int own[1 << 16];
	unsigned int i, best = 0, most = 0;

	memset(own, 0, sizeof(own));
	for (i = 0; i < pages; i++) {
		unsigned int *n = &own[pfn(fd, i) / 512 % (1 << 16)];

		if (++*n > most) {
			most = *n;
			best = i;
		}
	}
	return best;
}

/* A thread that does one command. */
struct job {
	pthread_t thread;
	int fd;
	unsigned int cmd;
	struct tfo_args args;
	bool done;
};

static inline void *job_run(void *data)
{
	struct job *job = data;

	job->args = tell(job->fd, job->cmd, job->args);
	__atomic_store_n(&job->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static inline void job_start(struct job *job)
{
	pthread_create(&job->thread, NULL, job_run, job);
}

static inline void job_join(struct job *job)
{
	pthread_join(job->thread, NULL);
}

/* Does this kernel have owners? */
static inline bool have_owners(void)
{
	bool have = TELL(object(1), TFO_REGISTER).result != -EOPNOTSUPP;

	close_devices();
	return have;
}

#endif /* _FOLIO_OWNER_DEVICE_H */
