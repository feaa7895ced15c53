// SPDX-License-Identifier: MIT
/*
 * backend_threads.c: I/O by threads that read and write; for where there is no io_uring.
 *
 * Requests are done in the order of their start, as many at once as there are threads. One that
 * waits for a pipe has its thread to itself until the pipe gives.
 */
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct ring_request *first;
	struct ring_request **last;
	bool stop;
	unsigned n;
	pthread_t thread[];
};

static long do_io(const struct ring_request *r)
{
	bool stream = r->offset == RING_STREAM;
	ssize_t n;

again:
	do {
		if (r->write)
			n = stream ? write(r->fd, r->address, r->bytes)
				   : pwrite(r->fd, r->address, r->bytes, (off_t)r->offset);
		else
			n = stream ? read(r->fd, r->address, r->bytes)
				   : pread(r->fd, r->address, r->bytes, (off_t)r->offset);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == ESPIPE && !stream) { /* io_uring takes no offset of a pipe either */
		stream = true;
		goto again;
	}
	return -errno;
}

static void *worker(void *arg)
{
	struct pool *pool = arg;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct ring_request *r = pool->first;

		if (!r) {
			if (pool->stop)
				break;
			pthread_cond_wait(&pool->work, &pool->lock);
			continue;
		}
		pool->first = r->next;
		if (!pool->first)
			pool->last = &pool->first;
		pthread_mutex_unlock(&pool->lock);
		ring_complete(r, do_io(r));
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static void threads_close(void *state)
{
	struct pool *pool = state;

	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->n; i++)
		pthread_join(pool->thread[i], NULL);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

static int threads_open(struct ring *ring, unsigned threads, unsigned *slots, void **state,
			char *why)
{
	struct pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->thread[0]));
	sigset_t all, before;

	(void)ring;
	(void)why;
	if (!pool)
		return -ENOMEM;
	*slots = 0;
	pool->last = &pool->first;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	/* the program's signals are for its own threads */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (pool->n < threads && !pthread_create(&pool->thread[pool->n], NULL, worker, pool))
		pool->n++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!pool->n) {
		threads_close(pool);
		return -EAGAIN;
	}
	*state = pool;
	return 0;
}

static int threads_start(void *state, struct ring_request *request)
{
	struct pool *pool = state;

	request->next = NULL;
	pthread_mutex_lock(&pool->lock);
	*pool->last = request;
	pool->last = &request->next;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	return 0;
}

const struct ring_backend ring_backend_threads = {
	.name = "threads",
	.open = threads_open,
	.close = threads_close,
	.start = threads_start,
};
