// SPDX-License-Identifier: MIT
/*
 * request.c: I/O from its submission to its end.
 *
 * A request is taken from a fixed number of them, so submitting allocates nothing. It is held in
 * its buffer's list while the buffer is stopped, and started otherwise. It counts as flying from
 * before the back end hears of it until after its result is known: while anything flies the buffer
 * keeps its place.
 *
 * requests_used = requests held or flying + those done that ring_wait() has yet to give back
 */
#include "internal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

__thread unsigned ring_inside;

static void set_state(struct ring_request *r, enum ring_request_state state)
{
	/* release: pairs with ring_done(), which takes no lock */
	__atomic_store_n(&r->state, state, __ATOMIC_RELEASE);
}

static enum ring_request_state state_of(const struct ring_request *r)
{
	return __atomic_load_n(&r->state, __ATOMIC_ACQUIRE);
}

static struct ring_request *request_take_locked(struct ring *ring)
{
	struct ring_request *r = ring->free_requests;

	if (r) {
		ring->free_requests = r->next;
		ring->requests_used++;
		r->next = NULL;
	}
	return r;
}

void ring_request_free_locked(struct ring_request *r)
{
	struct ring *ring = r->ring;

	set_state(r, RING_REQUEST_FREE);
	r->buffer = NULL;
	r->next = ring->free_requests;
	ring->free_requests = r;
	if (--ring->requests_used == 0)
		pthread_cond_broadcast(&ring->calm);
}

/* It flies from here on; what its back end needs to know is settled. */
static void launch_locked(struct ring_request *r)
{
	struct ring_buffer *b = r->buffer;

	r->error = 0;
	r->slot = b->slot;
	r->result.fixed = b->slot != RING_NO_SLOT;
	if (!b->pin)
		r->error = quire_pin_long(b->folio, b->ring->owner, &b->pin);
	if (!r->error)
		r->address = (char *)quire_pin_address(b->pin) + r->at;
	b->flying++;
	set_state(r, RING_REQUEST_FLYING);
}

struct ring_request *ring_launch_locked(struct ring_buffer *b)
{
	struct ring_request *chain = b->first;

	for (struct ring_request *r = chain; r; r = r->next)
		launch_locked(r);
	b->first = NULL;
	b->last = &b->first;
	return chain;
}

static int start(struct ring_request *r)
{
	struct ring *ring = r->ring;

	return r->error ? r->error : ring->backend->start(ring->state, r);
}

void ring_start(struct ring_request *chain)
{
	while (chain) {
		struct ring_request *r = chain;
		int rc;

		chain = r->next; /* the back end's, once started */
		rc = start(r);
		if (rc)
			ring_complete(r, rc);
	}
}

/* It flies no more. ring_go_on_unlock() has to follow: the buffer may be at its end. */
static void land_locked(struct ring_buffer *b)
{
	b->outstanding--;
	b->ring->stats.in_flight--;
	if (--b->flying)
		return;
	if (b->slot == RING_NO_SLOT) {
		quire_unpin_long(b->pin);
		b->pin = NULL;
	}
	ring_tell_locked(b);
}

static void count_locked(struct ring *ring, const struct ring_request *r)
{
	struct ring_stats *stats = &ring->stats;
	long code = r->result.code;

	if (r->result.fixed)
		stats->fixed++;
	else
		stats->plain++;
	if (code < 0) {
		stats->failed++;
		return;
	}
	stats->done++;
	stats->overlapped += r->result.overlapped;
	stats->ended_short += (size_t)code < r->bytes;
	if (r->write)
		stats->bytes_written += (uint64_t)code;
	else
		stats->bytes_read += (uint64_t)code;
}

/* The request is free already, so that done() can have it again. */
static void call_done(struct ring *ring, void (*done)(void *arg, const struct ring_result *result),
		      void *arg, const struct ring_result *result)
{
	ring_inside++;
	done(arg, result);
	ring_inside--;
	pthread_mutex_lock(&ring->lock);
	if (--ring->callbacks == 0)
		pthread_cond_broadcast(&ring->calm);
	pthread_mutex_unlock(&ring->lock);
}

void ring_complete(struct ring_request *r, long code)
{
	void (*done)(void *arg, const struct ring_result *result);
	struct ring_result result;
	struct ring *ring = r->ring;
	struct ring_buffer *b;
	void *arg;

	pthread_mutex_lock(&ring->lock);
	b = r->buffer;
	done = r->done;
	arg = r->arg;
	r->result.code = code;
	r->result.overlapped = r->on_the_move || b->isolations != r->isolations;
	count_locked(ring, r);
	result = r->result;
	land_locked(b);
	/* last: who sees this knows that a mover can have the buffer, as far as this I/O goes */
	set_state(r, RING_REQUEST_DONE);
	if (done) {
		ring->callbacks++;
		ring_request_free_locked(r);
	} else {
		pthread_cond_signal(&r->completed);
	}
	/* the request is somebody else's from here on */
	ring_go_on_unlock(b);
	if (done)
		call_done(ring, done, arg, &result);
}

/* 0, or why it cannot be an I/O of this buffer. */
static int check_locked(struct ring *ring, const struct ring_io *io)
{
	const struct ring_buffer *b = io->buffer;
	size_t size;

	if (b->closed)
		return -ESTALE;
	size = quire_folio_bytes(b->folio);
	if (b->ring != ring || io->at > size || io->bytes > size - io->at)
		return -EINVAL;
	return 0;
}

static struct ring_request *request_make_locked(struct ring *ring, const struct ring_io *io,
						bool write)
{
	struct ring_request *r = request_take_locked(ring);
	struct ring_buffer *b = io->buffer;

	if (!r)
		return NULL;
	r->buffer = b;
	r->write = write;
	r->fd = io->fd;
	r->offset = io->offset;
	r->at = io->at;
	r->bytes = io->bytes;
	r->done = io->done;
	r->arg = io->arg;
	r->isolations = b->isolations;
	r->on_the_move = b->isolated;
	memset(&r->result, 0, sizeof(r->result));
	r->result.size = sizeof(r->result);
	b->outstanding++;
	ring->stats.submitted++;
	ring->stats.in_flight++;
	return r;
}

static int submit(struct ring *ring, const struct ring_io *given, bool write,
		  struct ring_request **request)
{
	struct ring_io io = { .size = 0 };
	struct ring_request *r;
	struct ring_buffer *b;
	int rc;

	if (!ring || !given || given->size < offsetof(struct ring_io, done))
		return -EINVAL;
	memcpy(&io, given, given->size < sizeof(io) ? given->size : sizeof(io));
	b = io.buffer;
	if (!b || !io.done == !request)
		return -EINVAL;
	pthread_mutex_lock(&ring->lock);
	rc = check_locked(ring, &io);
	if (rc)
		goto unlock;
	rc = -EAGAIN;
	r = request_make_locked(ring, &io, write);
	if (!r)
		goto unlock;
	if (request)
		*request = r;
	if (b->stops) {
		r->result.held = 1;
		ring->stats.held++;
		set_state(r, RING_REQUEST_HELD);
		*b->last = r;
		b->last = &r->next;
		pthread_mutex_unlock(&ring->lock);
		return 0;
	}
	launch_locked(r);
	pthread_mutex_unlock(&ring->lock);
	rc = start(r);
	if (!rc)
		return 0;
	pthread_mutex_lock(&ring->lock);
	ring->stats.submitted--;
	ring_request_free_locked(r);
	land_locked(b);
	ring_go_on_unlock(b);
	return rc;
unlock:
	pthread_mutex_unlock(&ring->lock);
	return rc;
}

int ring_read(struct ring *ring, const struct ring_io *io, struct ring_request **request)
{
	return submit(ring, io, false, request);
}

int ring_write(struct ring *ring, const struct ring_io *io, struct ring_request **request)
{
	return submit(ring, io, true, request);
}

bool ring_done(const struct ring_request *r)
{
	return state_of(r) == RING_REQUEST_DONE;
}

int ring_wait(struct ring_request *r, uint64_t deadline_ns, struct ring_result *result)
{
	struct ring *ring = r->ring;
	uint64_t deadline;
	int rc = 0;

	if (ring_inside)
		return -EDEADLK;
	deadline = ring_deadline(deadline_ns);
	pthread_mutex_lock(&ring->lock);
	while (state_of(r) != RING_REQUEST_DONE)
		if (!ring_wait_until(&r->completed, &ring->lock, deadline))
			break;
	if (state_of(r) != RING_REQUEST_DONE) {
		rc = -ETIMEDOUT;
		goto unlock;
	}
	if (result) {
		size_t size = result->size;

		r->result.size = size;
		memcpy(result, &r->result, size < sizeof(*result) ? size : sizeof(*result));
	}
	ring_request_free_locked(r);
unlock:
	pthread_mutex_unlock(&ring->lock);
	return rc;
}
