// SPDX-License-Identifier: MIT
/*
 * backend_uring.c: I/O by io_uring, with a table of registered buffers.
 *
 * One thread reaps; any thread submits, one request a call, under a lock of its own: the two ends
 * of an io_uring may be used at once, each by one thread. No more requests are submitted than the
 * submission queue has entries, and the completion queue has twice as many, so neither is ever
 * full.
 *
 * What is registered is a range of addresses, and behind it the pages that were there at that
 * moment. base[] says which addresses, for each slot: requests are made from it, not from where the
 * folio is, as is right as long as every move is followed by a bind. A slot's base is written while
 * nothing flies on it, by whoever has the buffer to himself.
 *
 * A request goes from who submits it to who reaps it through the kernel, which orders the two, but
 * that is nothing that C knows of: `handed` is stored by the one and loaded by the other.
 */
#include "internal.h"

#ifdef RING_WITH_URING

#include <errno.h>
#include <liburing.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In place of a request. */
static char told_to_stop, nobodys;

struct uring {
	struct io_uring ring;
	pthread_mutex_t submit; /* of the submission queue */
	pthread_t reaper;
	char **base;
};

static void say(char *why, const char *what, int error)
{
	char text[80];

	snprintf(why, RING_WHY_ROOM, "%s: %s", what, strerror_r(-error, text, sizeof(text)));
}

static void *reaper(void *arg)
{
	struct uring *u = arg;

	for (;;) {
		struct io_uring_cqe *cqe;
		void *data;
		long code;
		int rc = io_uring_wait_cqe(&u->ring, &cqe);

		if (rc) {
			/* -EINTR, or no memory just now: there is nobody to tell */
			sched_yield();
			continue;
		}
		data = io_uring_cqe_get_data(cqe);
		code = cqe->res;
		io_uring_cqe_seen(&u->ring, cqe);
		if (data == &told_to_stop)
			return NULL;
		if (data != &nobodys) {
			struct ring_request *r = data;

			(void)__atomic_load_n(&r->handed, __ATOMIC_ACQUIRE); /* uring_start()'s */
			ring_complete(r, code);
		}
	}
}

/*
 * Hands the one prepared entry to the kernel. On failure it is still in the queue, and it is ours
 * to change: it becomes one that does nothing, and goes with the next.
 */
static int submit_locked(struct uring *u, struct io_uring_sqe *sqe)
{
	int rc;

	do {
		rc = io_uring_submit(&u->ring);
	} while (rc == -EINTR);
	if (!io_uring_sq_ready(&u->ring))
		return 0;
	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data(sqe, &nobodys);
	return rc < 0 ? rc : -EAGAIN;
}

static int uring_start(void *state, struct ring_request *r)
{
	struct uring *u = state;
	struct io_uring_sqe *sqe;
	unsigned bytes = (unsigned)r->bytes; /* a folio is no longer than 2 MiB */
	int rc = -EAGAIN;

	pthread_mutex_lock(&u->submit);
	sqe = io_uring_get_sqe(&u->ring);
	if (!sqe)
		goto out;
	if (r->slot != RING_NO_SLOT && r->write)
		io_uring_prep_write_fixed(sqe, r->fd, u->base[r->slot] + r->at, bytes, r->offset,
					  (int)r->slot);
	else if (r->slot != RING_NO_SLOT)
		io_uring_prep_read_fixed(sqe, r->fd, u->base[r->slot] + r->at, bytes, r->offset,
					 (int)r->slot);
	else if (r->write)
		io_uring_prep_write(sqe, r->fd, r->address, bytes, r->offset);
	else
		io_uring_prep_read(sqe, r->fd, r->address, bytes, r->offset);
	io_uring_sqe_set_data(sqe, r);
	/* release: all that was read of it and of base[] is before whoever completes it */
	__atomic_store_n(&r->handed, 1, __ATOMIC_RELEASE);
	rc = submit_locked(u, sqe);
out:
	pthread_mutex_unlock(&u->submit);
	return rc;
}

static int uring_bind(void *state, uint32_t slot, void *address, size_t bytes)
{
	struct uring *u = state;
	struct iovec range = { .iov_base = address, .iov_len = address ? bytes : 0 };
	__u64 tag = 0;
	int rc = io_uring_register_buffers_update_tag(&u->ring, slot, &range, &tag, 1);

	if (rc < 0)
		return rc;
	if (rc != 1)
		return -EIO;
	u->base[slot] = address;
	return 0;
}

static void uring_close(void *state)
{
	struct uring *u = state;
	struct io_uring_sqe *sqe;
	int rc;

	pthread_mutex_lock(&u->submit);
	do {
		sqe = io_uring_get_sqe(&u->ring);
		rc = -EAGAIN;
		if (sqe) {
			io_uring_prep_nop(sqe);
			io_uring_sqe_set_data(sqe, &told_to_stop);
			rc = submit_locked(u, sqe);
		}
	} while (rc && sched_yield() == 0);
	pthread_mutex_unlock(&u->submit);
	pthread_join(u->reaper, NULL);
	io_uring_queue_exit(&u->ring);
	pthread_mutex_destroy(&u->submit);
	free(u->base);
	free(u);
}

static bool can_do_io(struct io_uring *ring)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool can;

	if (!probe)
		return false;
	can = io_uring_opcode_supported(probe, IORING_OP_READ) &&
	      io_uring_opcode_supported(probe, IORING_OP_WRITE) &&
	      io_uring_opcode_supported(probe, IORING_OP_READ_FIXED) &&
	      io_uring_opcode_supported(probe, IORING_OP_WRITE_FIXED) &&
	      (ring->features & IORING_FEAT_RW_CUR_POS) != 0;
	io_uring_free_probe(probe);
	return can;
}

static int uring_open(struct ring *ring, unsigned threads, unsigned *slots, void **state, char *why)
{
	struct uring *u = calloc(1, sizeof(*u));
	sigset_t all, before;
	int rc = -ENOMEM;

	(void)threads;
	if (!u)
		return -ENOMEM;
	u->base = calloc(*slots, sizeof(*u->base));
	if (!u->base)
		goto free_state;
	rc = io_uring_queue_init(ring->entries, &u->ring, 0);
	if (rc) {
		say(why, "io_uring_queue_init", rc);
		goto free_state;
	}
	if (!can_do_io(&u->ring)) {
		rc = -EOPNOTSUPP;
		say(why, "io_uring of this kernel", rc);
		goto exit_queue;
	}
	rc = io_uring_register_buffers_sparse(&u->ring, *slots);
	if (rc) {
		say(why, "io_uring, nothing registered: the table", rc);
		*slots = 0;
	}
	pthread_mutex_init(&u->submit, NULL);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = -pthread_create(&u->reaper, NULL, reaper, u);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc) {
		say(why, "a thread for io_uring", rc);
		pthread_mutex_destroy(&u->submit);
		goto exit_queue;
	}
	*state = u;
	return 0;
exit_queue:
	io_uring_queue_exit(&u->ring);
free_state:
	free(u->base);
	free(u);
	return rc;
}

static const struct ring_backend uring = {
	.name = "io_uring",
	.open = uring_open,
	.close = uring_close,
	.start = uring_start,
	.bind = uring_bind,
};

const struct ring_backend *const ring_backend_uring = &uring;

#else

const struct ring_backend *const ring_backend_uring = NULL;

#endif
