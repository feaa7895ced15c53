/* SPDX-License-Identifier: GPL-2.0-only */
/* The driver lib/test_movable.c, seen from its selftests. */
#ifndef _MOVABLE_DEVICE_H
#define _MOVABLE_DEVICE_H

#include "owner_selftest.h"
#include "../../../../lib/test_movable_uapi.h"

static inline struct tm_args tell(int fd, unsigned int cmd, struct tm_args args)
{
	if (ioctl(fd, cmd, &args) < 0) {
		printf("# ioctl %#x: %s\n", cmd, strerror(errno));
		args.result = -errno;
	}
	return args;
}

#define TELL(fd, cmd, ...) tell(fd, cmd, (struct tm_args){ __VA_ARGS__ })

static inline struct tm_stats stats(int fd)
{
	struct tm_stats s = { 0 };

	ioctl(fd, TM_STATS, &s);
	return s;
}

static inline unsigned int migrates(const struct tm_stats *s)
{
	return s->migrates[ASYNC] + s->migrates[SYNC_LIGHT] + s->migrates[SYNC];
}

static inline int pool(unsigned int pages)
{
	int fd = open_device("/dev/movable");

	TELL(fd, TM_CREATE, .count = pages);
	return fd;
}

/* By an owner; on a kernel without, the test ends here. */
static inline int owned_pool(unsigned int pages, unsigned int flags,
			     unsigned int min_mode, unsigned int patience)
{
	int fd = open_device("/dev/movable");

	CHECK_EQ(TELL(fd, TM_CREATE, .count = pages, .flags = TM_OWNER | flags,
		      .mode = min_mode, .value = patience).result, 0);
	return fd;
}

static inline int isolate(int fd, unsigned int index, unsigned int count)
{
	return TELL(fd, TM_ISOLATE, .index = index, .count = count).result;
}

static inline struct tm_args migrate(int fd, unsigned int mode)
{
	return TELL(fd, TM_MIGRATE, .mode = mode);
}

static inline struct tm_args look(int fd, unsigned int index)
{
	return TELL(fd, TM_LOOK, .index = index);
}

static inline bool is(int fd, unsigned int index, unsigned int what)
{
	return look(fd, index).value & what;
}

static inline long wrong(int fd)
{
	return TELL(fd, TM_VERIFY).value;
}

static inline void behave(int fd, int behaviour)
{
	TELL(fd, TM_BEHAVE, .value = behaviour);
}

struct job {
	pthread_t thread;
	int fd;
	unsigned int cmd;
	struct tm_args args;
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

static bool stop;

static inline void *isolate_loop(void *data)
{
	int fd = *(int *)data;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		isolate(fd, 0, 128);
		if (migrate(fd, SYNC).result)
			TELL(fd, TM_PUTBACK);
	}
	return NULL;
}

/* Does this kernel have owners of movable pages? */
static inline bool have_movable_owners(void)
{
	int fd = open_device("/dev/movable");
	bool have = TELL(fd, TM_CREATE, .count = 1, .flags = TM_OWNER).result !=
		    -EOPNOTSUPP;

	close_devices();
	return have;
}

#endif /* _MOVABLE_DEVICE_H */
