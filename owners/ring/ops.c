// SPDX-License-Identifier: MIT
/*
 * ops.c: what the ring says when one of its folios is to move.
 *
 * isolate   In the modes that do not wait for I/O, a buffer with I/O in flight is not to be had,
 *           and that is known before a destination is looked for: -EAGAIN, with a fence that is
 *           signaled once nothing is in flight. In mode SYNC it is to be had; I/O goes on until
 *           migrate.
 * migrate   Stops every buffer of the batch first, so that no new I/O is started on the last while
 *           the first is waited for; then has each for itself, waiting by mode, and leaves out what
 *           is not to be had; drops its own pins; commits; registers anew what has moved; lets all
 *           go on. The registration of a buffer that has not moved is left alone.
 * putback   Only counts: migrate has undone whatever it did before it returned.
 *
 * The kernel has the old pages until a registration is made anew, and would go on reading into
 * them. No I/O is on its way then, nothing is started before the slot names the new place, and the
 * old frames are not free before the op has returned.
 */
#include "internal.h"

#include <errno.h>

/*
 * I/O in flight: -EAGAIN, and the fence of its end. Without memory for a fence the mover tries
 * again after a while.
 */
static int busy_locked(struct ring_buffer *b, struct quire_folio *folio)
{
	struct quire_fence *fence = ring_fence_locked(b);

	b->ring->stats.busy++;
	if (fence)
		(void)quire_op_wait(folio, fence);
	return -EAGAIN;
}

static int op_isolate(struct quire_folio *folio, enum quire_mode mode, void *arg)
{
	struct ring *ring = arg;
	struct ring_buffer *b = quire_folio_private(folio);
	int rc = 0;

	pthread_mutex_lock(&ring->lock);
	if (mode != QUIRE_SYNC && b->flying) {
		rc = busy_locked(b, folio);
		goto unlock;
	}
	ring->stats.unbalanced += b->isolated;
	ring->stats.isolated++;
	b->isolated = true;
	b->isolations++;
unlock:
	pthread_mutex_unlock(&ring->lock);
	if (rc)
		RING_POINT("ring:busy", b);
	if (!rc && ring->on_isolate) {
		ring_inside++;
		ring->on_isolate(ring->arg, folio);
		ring_inside--;
	}
	return rc;
}

/* Each stopped buffer of the batch for this op alone, or left out of the batch. */
static void hold_all(struct ring *ring, struct quire_batch *batch, uint64_t deadline)
{
	size_t n = quire_batch_count(batch);

	for (size_t i = 0; i < n; i++) {
		struct quire_folio *folio = quire_batch_folio(batch, i);
		struct ring_buffer *b = quire_folio_private(folio);
		bool waits;

		pthread_mutex_lock(&ring->lock);
		waits = b->flying && deadline;
		if (ring_hold_locked(b, batch, deadline)) {
			ring->stats.quiesced += waits;
			pthread_mutex_unlock(&ring->lock);
			quire_unpin_long(b->pin);
			b->pin = NULL;
			continue;
		}
		ring->stats.quiesce_timeouts += waits;
		(void)quire_batch_skip(batch, i, busy_locked(b, folio));
		b->stops--;
		ring_go_on_unlock(b);
	}
}

static void let_go(struct ring *ring, struct ring_buffer *b, bool moved)
{
	/* also where it was put meanwhile: requests that it held back are still to run */
	ring_register_again(b, moved);
	pthread_mutex_lock(&ring->lock);
	if (moved) {
		ring->stats.unbalanced += !b->isolated;
		ring->stats.moved++;
		b->isolated = false;
	}
	pthread_mutex_unlock(&ring->lock);
	ring_let_go(b);
}

static int op_migrate(struct quire_batch *batch, enum quire_mode mode, void *arg)
{
	struct ring *ring = arg;
	size_t n = quire_batch_count(batch);
	uint64_t deadline = mode == QUIRE_SYNC ? ring_deadline(ring->quiesce_ns) : 0;
	int rc;

	pthread_mutex_lock(&ring->lock);
	for (size_t i = 0; i < n; i++) {
		struct ring_buffer *b = quire_folio_private(quire_batch_folio(batch, i));

		b->stops++;
	}
	pthread_mutex_unlock(&ring->lock);
	hold_all(ring, batch, deadline);
	rc = quire_move_commit(batch);
	for (size_t i = 0; i < n; i++) {
		struct ring_buffer *b = quire_folio_private(quire_batch_folio(batch, i));
		bool ours;

		pthread_mutex_lock(&ring->lock);
		ours = b->holder == batch;
		pthread_mutex_unlock(&ring->lock);
		if (ours)
			let_go(ring, b, quire_batch_moved(batch, i));
	}
	return rc;
}

static void op_putback(struct quire_folio *folio, void *arg)
{
	struct ring *ring = arg;
	struct ring_buffer *b = quire_folio_private(folio);

	pthread_mutex_lock(&ring->lock);
	ring->stats.unbalanced += !b->isolated;
	ring->stats.putbacks++;
	b->isolated = false;
	pthread_mutex_unlock(&ring->lock);
}

static void op_free(struct quire_folio *folio, enum quire_free_reason reason, void *arg)
{
	struct ring *ring = arg;
	struct ring_buffer *b = quire_folio_private(folio);

	(void)reason;
	pthread_mutex_lock(&ring->lock);
	ring->stats.freed_isolated += b->isolated;
	ring_buffer_free_locked(b);
	pthread_mutex_unlock(&ring->lock);
}

const struct quire_owner_ops ring_ops = {
	.size = sizeof(struct quire_owner_ops),
	.isolate = op_isolate,
	.migrate = op_migrate,
	.putback = op_putback,
	.free = op_free,
};
