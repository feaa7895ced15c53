// SPDX-License-Identifier: MIT
/*
 * buffer.c: buffers, their registrations, and who has a buffer for itself.
 *
 * Invariants, whenever the ring's lock is free:
 *   holder != NULL           =>  stops > 0, flying == 0
 *   slot != NO_SLOT          =>  pin != NULL, or held
 *   pin != NULL              =>  slot != NO_SLOT, or flying > 0, or held
 *   outstanding              =   flying + held requests
 *   held requests            =>  stops > 0
 *   gone                     =>  closed, outstanding == 0, slot == NO_SLOT, pin == NULL
 *   not gone                 =>  the ring has a reference on the folio
 *   bound <= reserved        =   the sum of the lengths of buffers whose slot is taken
 *
 * Whoever stops a buffer and then holds it may register, have it moved, and register again, with no
 * lock held: nothing is started meanwhile, for stops > 0, and nobody else has it, for there is one
 * holder. These are: who creates it, the migrate op, and whoever finds at the end of something that
 * it is closed and nothing is left of its I/O.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUFFERS_PER_CHUNK 64u

struct ring_buffer_chunk {
	struct ring_buffer_chunk *next;
	struct ring_buffer buffer[BUFFERS_PER_CHUNK];
};

uint64_t ring_deadline(uint64_t ns)
{
	struct timespec now;
	uint64_t at;

	clock_gettime(CLOCK_MONOTONIC, &now);
	at = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
	return at > UINT64_MAX - ns ? UINT64_MAX : at + ns;
}

bool ring_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t deadline)
{
	struct timespec at;

	at.tv_sec = (time_t)(deadline / 1000000000ull);
	at.tv_nsec = (long)(deadline % 1000000000ull);
	return pthread_cond_timedwait(cond, lock, &at) != ETIMEDOUT;
}

/* The pool. */

static struct ring_buffer *buffer_take(struct ring *ring)
{
	struct ring_buffer *b;

	pthread_mutex_lock(&ring->lock);
	if (!ring->pool) {
		struct ring_buffer_chunk *chunk = calloc(1, sizeof(*chunk));

		if (chunk) {
			chunk->next = ring->chunks;
			ring->chunks = chunk;
			for (size_t i = BUFFERS_PER_CHUNK; i-- > 0;) {
				chunk->buffer[i].ring = ring;
				chunk->buffer[i].closed = true;
				chunk->buffer[i].next = ring->pool;
				ring->pool = &chunk->buffer[i];
			}
		}
	}
	b = ring->pool;
	if (b) {
		ring->pool = b->next;
		memset(b, 0, sizeof(*b));
		b->ring = ring;
		b->slot = RING_NO_SLOT;
		b->last = &b->first;
		b->stops = 1;
		b->holder = b;
	}
	pthread_mutex_unlock(&ring->lock);
	return b;
}

void ring_buffer_free_locked(struct ring_buffer *b)
{
	b->folio = NULL;
	b->closed = true;
	b->next = b->ring->pool;
	b->ring->pool = b;
}

void ring_buffers_finish(struct ring *ring)
{
	struct ring_buffer_chunk *chunk;

	while ((chunk = ring->chunks)) {
		ring->chunks = chunk->next;
		free(chunk);
	}
}

/* Slots, and how much may be locked. */

/*
 * Bytes of this process that count against RLIMIT_MEMLOCK, as far as the kernel tells: locked, and
 * pinned by io_uring and others. What other processes of the same user have pinned is known to the
 * kernel alone, which then refuses.
 */
static uint64_t memlock_used(void)
{
	unsigned long long kib, sum = 0;
	FILE *file = fopen("/proc/self/status", "re");
	char line[128];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmLck: %llu kB", &kib) == 1 ||
		    sscanf(line, "VmPin: %llu kB", &kib) == 1)
			sum += kib;
	fclose(file);
	return sum << 10;
}

/* Would so many bytes more keep within the limit? What is reserved and not bound yet counts. */
static bool limit_allows_locked(struct ring *ring, size_t bytes)
{
	uint64_t used = memlock_used();

	if (used < ring->bound) /* a kernel that does not tell */
		used = ring->bound;
	return used + (ring->reserved - ring->bound) + bytes <= ring->memlock;
}

static uint32_t slot_take_locked(struct ring *ring, size_t bytes)
{
	for (unsigned i = 0; i * 64 < ring->slots; i++) {
		unsigned slot;

		if (!~ring->slot_map[i])
			continue;
		slot = i * 64 + (unsigned)__builtin_ctzll(~ring->slot_map[i]);
		if (slot >= ring->slots)
			break;
		ring->slot_map[i] |= 1ull << (slot % 64);
		ring->reserved += bytes;
		return slot;
	}
	return RING_NO_SLOT;
}

static void slot_give_locked(struct ring *ring, uint32_t slot, size_t bytes)
{
	ring->slot_map[slot / 64] &= ~(1ull << (slot % 64));
	ring->reserved -= bytes;
}

static int bind_slot(struct ring *ring, uint32_t slot, void *address, size_t bytes)
{
	return ring->backend->bind(ring->state, slot, address, bytes);
}

/* The buffer has its registration from here on. */
static void registered_locked(struct ring_buffer *b, uint32_t slot, struct quire_pin *pin)
{
	struct ring *ring = b->ring;
	size_t bytes = quire_folio_bytes(b->folio);

	b->slot = slot;
	b->pin = pin;
	b->lost = false;
	ring->bound += bytes;
	ring->stats.registered++;
	ring->stats.registered_bytes += bytes;
	ring->stats.registrations++;
}

/*
 * And here it has no more. A slot that could not be emptied is never used again, for I/O by it
 * would go to pages that are somebody else's.
 */
static void unregistered_locked(struct ring_buffer *b, bool emptied)
{
	struct ring *ring = b->ring;
	size_t bytes = quire_folio_bytes(b->folio);

	ring->stats.registered--;
	ring->stats.registered_bytes -= bytes;
	if (emptied) {
		ring->bound -= bytes;
		slot_give_locked(ring, b->slot, bytes);
	} else {
		ring->stats.slots_stuck++;
	}
	b->slot = RING_NO_SLOT;
}

/* What counts where there is no slot: the first time, that is; later it is lost anyway. */
static uint32_t slot_for_locked(struct ring_buffer *b)
{
	struct ring *ring = b->ring;
	size_t bytes = quire_folio_bytes(b->folio);
	uint32_t slot;

	if (!limit_allows_locked(ring, bytes)) {
		ring->stats.over_limit += !b->lost;
		return RING_NO_SLOT;
	}
	slot = slot_take_locked(ring, bytes);
	if (slot == RING_NO_SLOT)
		ring->stats.over_slots += !b->lost;
	return slot;
}

void ring_register(struct ring_buffer *b)
{
	struct ring *ring = b->ring;
	size_t bytes = quire_folio_bytes(b->folio);
	struct quire_pin *pin = NULL;
	uint32_t slot;
	int rc;

	if (!ring->slots)
		return;
	pthread_mutex_lock(&ring->lock);
	slot = slot_for_locked(b);
	pthread_mutex_unlock(&ring->lock);
	if (slot == RING_NO_SLOT)
		return;
	rc = quire_pin_long(b->folio, ring->owner, &pin);
	if (!rc)
		rc = bind_slot(ring, slot, quire_pin_address(pin), bytes);
	pthread_mutex_lock(&ring->lock);
	if (!rc) {
		registered_locked(b, slot, pin);
	} else {
		slot_give_locked(ring, slot, bytes);
		ring->stats.register_failures += !b->lost;
	}
	pthread_mutex_unlock(&ring->lock);
	if (rc)
		quire_unpin_long(pin);
}

void ring_register_again(struct ring_buffer *b, bool moved)
{
	struct ring *ring = b->ring;
	size_t bytes = quire_folio_bytes(b->folio);
	struct quire_pin *pin = NULL;
	bool emptied = false;
	int rc;

	if (b->slot == RING_NO_SLOT) {
		if (b->lost)
			ring_register(b);
		return;
	}
	rc = quire_pin_long(b->folio, ring->owner, &pin);
	if (!rc && moved) {
		/* the old pages first: at the limit there is no room for both */
		(void)bind_slot(ring, b->slot, NULL, 0);
		rc = bind_slot(ring, b->slot, quire_pin_address(pin), bytes);
	}
	if (rc)
		emptied = bind_slot(ring, b->slot, NULL, 0) == 0;
	pthread_mutex_lock(&ring->lock);
	if (!rc) {
		b->pin = pin;
		pin = NULL;
		ring->stats.updates += moved;
		ring->stats.registrations += moved;
	} else {
		unregistered_locked(b, emptied);
		b->lost = true;
		ring->stats.update_failures++;
	}
	pthread_mutex_unlock(&ring->lock);
	quire_unpin_long(pin);
}

/* Holding. */

bool ring_hold_locked(struct ring_buffer *b, const void *holder, uint64_t deadline)
{
	struct ring *ring = b->ring;

	if (deadline && (b->flying || b->holder)) {
		pthread_mutex_unlock(&ring->lock);
		RING_POINT("ring:quiescing", b);
		pthread_mutex_lock(&ring->lock);
		while (b->flying || b->holder)
			if (!ring_wait_until(&ring->calm, &ring->lock, deadline))
				break;
	}
	if (b->flying || b->holder)
		return false;
	b->holder = holder;
	return true;
}

struct quire_fence *ring_fence_locked(struct ring_buffer *b)
{
	if (!b->fence && quire_fence_create(b->ring->quire, "I/O in flight", &b->fence))
		b->fence = NULL;
	return b->fence;
}

void ring_tell_locked(struct ring_buffer *b)
{
	if (!b->fence || b->flying || b->holder)
		return;
	quire_fence_signal(b->fence);
	quire_fence_put(b->fence);
	b->fence = NULL;
}

/*
 * The end of a buffer that was put: its registration, its pin, its folio. A mover may have the
 * folio still, and then waits, or is about to hold the buffer; the free op comes after that.
 */
static void end_buffer_unlock(struct ring_buffer *b)
{
	struct ring *ring = b->ring;
	struct quire_folio *folio = b->folio;
	struct quire_pin *pin = b->pin;
	bool emptied = true;

	b->stops++;
	b->holder = b;
	pthread_mutex_unlock(&ring->lock);
	if (b->slot != RING_NO_SLOT)
		emptied = bind_slot(ring, b->slot, NULL, 0) == 0;
	quire_unpin_long(pin);
	pthread_mutex_lock(&ring->lock);
	if (b->slot != RING_NO_SLOT)
		unregistered_locked(b, emptied);
	b->pin = NULL;
	b->holder = NULL;
	b->stops--;
	b->gone = true;
	ring_tell_locked(b);
	pthread_cond_broadcast(&ring->calm);
	pthread_mutex_unlock(&ring->lock);
	quire_folio_put(folio);
}

void ring_go_on_unlock(struct ring_buffer *b)
{
	struct ring *ring = b->ring;
	struct ring_request *chain = NULL;

	if (b->stops)
		pthread_cond_broadcast(&ring->calm);
	ring_tell_locked(b);
	if (b->closed && !b->gone && !b->outstanding && !b->holder) {
		end_buffer_unlock(b);
	} else {
		if (!b->stops)
			chain = ring_launch_locked(b);
		pthread_mutex_unlock(&ring->lock);
		ring_start(chain);
	}
}

void ring_let_go(struct ring_buffer *b)
{
	pthread_mutex_lock(&b->ring->lock);
	b->holder = NULL;
	b->stops--;
	pthread_cond_broadcast(&b->ring->calm);
	ring_go_on_unlock(b);
}

/* For users. */

static int buffer_create(struct ring *ring, const struct quire_folio_args *where,
			 struct ring_buffer **buffer)
{
	struct quire_folio_args args = *where;
	struct quire_folio *folio = NULL;
	struct ring_buffer *b;
	int rc;

	b = buffer_take(ring);
	if (!b)
		return -ENOMEM;
	args.private_data = b;
	args.pinned_long = 1;
	rc = quire_folio_create_with(ring->owner, &args, &folio);
	pthread_mutex_lock(&ring->lock);
	if (rc)
		ring_buffer_free_locked(b);
	else
		ring->stats.buffers++;
	b->folio = folio;
	pthread_mutex_unlock(&ring->lock);
	if (rc)
		return rc;
	ring_register(b);
	ring_let_go(b);
	*buffer = b;
	return 0;
}

int ring_buffer_create(struct ring *ring, unsigned order, struct ring_buffer **buffer)
{
	if (!ring || !buffer || order > QUIRE_MAX_ORDER)
		return -EINVAL;
	return buffer_create(ring, QUIRE_FOLIO(.order = order), buffer);
}

int ring_buffer_create_at(struct ring *ring, struct quire_frame at, unsigned order,
			  struct ring_buffer **buffer)
{
	if (!ring || !buffer || order > QUIRE_MAX_ORDER)
		return -EINVAL;
	return buffer_create(ring, QUIRE_FOLIO(.order = order, .at_set = 1, .at = at), buffer);
}

void ring_buffer_put(struct ring_buffer *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->ring->lock);
	if (b->closed) {
		pthread_mutex_unlock(&b->ring->lock);
		return;
	}
	b->closed = true;
	b->ring->stats.buffers--;
	ring_go_on_unlock(b);
}

void ring_buffers_put(struct ring *ring)
{
	for (struct ring_buffer_chunk *chunk = ring->chunks; chunk; chunk = chunk->next)
		for (size_t i = 0; i < BUFFERS_PER_CHUNK; i++)
			ring_buffer_put(&chunk->buffer[i]);
}

struct quire_folio *ring_buffer_folio(const struct ring_buffer *b)
{
	return b->folio;
}

size_t ring_buffer_bytes(const struct ring_buffer *b)
{
	return quire_folio_bytes(b->folio);
}

bool ring_buffer_registered(const struct ring_buffer *b)
{
	bool registered;

	pthread_mutex_lock(&b->ring->lock);
	registered = b->slot != RING_NO_SLOT;
	pthread_mutex_unlock(&b->ring->lock);
	return registered;
}

struct ring_buffer *ring_folio_buffer(const struct quire_folio *folio)
{
	return quire_folio_private(folio);
}
