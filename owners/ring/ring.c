// SPDX-License-Identifier: MIT
/*
 * ring.c: a ring as a whole: which back end it has, its beginning and end, its counters.
 */
#include "internal.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define ENTRIES 128u
#define ENTRIES_MAX 4096u
#define SLOTS 1024u
#define SLOTS_MAX 16384u
#define THREADS 4u
#define THREADS_MAX 64u
#define SECOND 1000000000ull

/* What the limit leaves, at most so much as was asked for. */
static uint64_t memlock_limit(uint64_t asked)
{
	struct rlimit limit;
	uint64_t bytes = UINT64_MAX;

	if (!getrlimit(RLIMIT_MEMLOCK, &limit) && limit.rlim_cur != RLIM_INFINITY)
		bytes = limit.rlim_cur;
	return asked && asked < bytes ? asked : bytes;
}

static int check_options(struct ring_options *o)
{
	if (o->entries > ENTRIES_MAX || o->slots > SLOTS_MAX || o->threads > THREADS_MAX ||
	    (o->choice != RING_BEST && o->choice != RING_THREADS))
		return -EINVAL;
	o->entries = o->entries ? o->entries : ENTRIES;
	o->slots = o->slots ? o->slots : SLOTS;
	o->threads = o->threads ? o->threads : THREADS;
	o->quiesce_ns = o->quiesce_ns ? o->quiesce_ns : SECOND;
	return 0;
}

/* io_uring if it is wanted and works, else threads; why says what it is. */
static int open_backend(struct ring *ring, const struct ring_options *o,
			const struct ring_backend *uring, const struct ring_backend *threads)
{
	char said[RING_WHY_ROOM] = "not built with liburing";
	unsigned slots = o->slots;
	int rc;

	if (o->choice == RING_THREADS) {
		snprintf(said, sizeof(said), "asked for");
	} else if (uring) {
		said[0] = '\0';
		rc = uring->open(ring, o->threads, &slots, &ring->state, said);
		if (!rc) {
			ring->backend = uring;
			ring->slots = slots;
			snprintf(ring->why, sizeof(ring->why), "%s", said[0] ? said : uring->name);
			return 0;
		}
		if (!said[0])
			snprintf(said, sizeof(said), "io_uring: no memory");
	}
	rc = threads->open(ring, o->threads, &slots, &ring->state, said);
	if (rc)
		return rc;
	ring->backend = threads;
	ring->slots = slots;
	snprintf(ring->why, sizeof(ring->why), "%s: %s", threads->name, said);
	return 0;
}

static int make_requests(struct ring *ring)
{
	pthread_condattr_t attr;

	ring->requests = calloc(ring->entries, sizeof(*ring->requests));
	if (!ring->requests)
		return -ENOMEM;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ring->calm, &attr);
	for (unsigned i = ring->entries; i-- > 0;) {
		struct ring_request *r = &ring->requests[i];

		r->ring = ring;
		pthread_cond_init(&r->completed, &attr);
		r->next = ring->free_requests;
		ring->free_requests = r;
	}
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&ring->lock, NULL);
	return 0;
}

static void drop_requests(struct ring *ring)
{
	for (unsigned i = 0; i < ring->entries; i++)
		pthread_cond_destroy(&ring->requests[i].completed);
	pthread_cond_destroy(&ring->calm);
	pthread_mutex_destroy(&ring->lock);
	free(ring->requests);
}

int ring_create_with(struct quire *quire, const struct ring_options *options,
		     const struct ring_backend *uring, const struct ring_backend *threads,
		     struct ring **made)
{
	struct ring_options o = { .size = sizeof(o) };
	struct ring *ring;
	int rc;

	if (!quire || !made || (options && options->size < sizeof(options->size)))
		return -EINVAL;
	if (options)
		memcpy(&o, options, options->size < sizeof(o) ? options->size : sizeof(o));
	rc = check_options(&o);
	if (rc)
		return rc;
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	ring->quire = quire;
	ring->entries = o.entries;
	ring->quiesce_ns = o.quiesce_ns;
	ring->memlock = memlock_limit(o.memlock);
	ring->on_isolate = o.on_isolate;
	ring->arg = o.arg;
	rc = make_requests(ring);
	if (rc)
		goto free_ring;
	rc = -ENOMEM;
	ring->slot_map = calloc(o.slots / 64 + 1, sizeof(*ring->slot_map));
	if (!ring->slot_map)
		goto free_requests;
	rc = quire_owner_create(quire, o.name ? o.name : "ring", &ring_ops, ring, &ring->owner);
	if (rc)
		goto free_map;
	rc = open_backend(ring, &o, uring, threads);
	if (rc)
		goto destroy_owner;
	*made = ring;
	return 0;
destroy_owner:
	(void)quire_owner_destroy(ring->owner); /* it has had no folio */
free_map:
	free(ring->slot_map);
free_requests:
	drop_requests(ring);
free_ring:
	free(ring);
	return rc;
}

int ring_create(struct quire *quire, const struct ring_options *options, struct ring **ring)
{
	return ring_create_with(quire, options, ring_backend_uring, &ring_backend_threads, ring);
}

int ring_destroy(struct ring *ring)
{
	uint64_t deadline;
	bool idle;
	int rc;

	if (!ring)
		return 0;
	/* nothing is moved by this; it says whether something could be */
	if (ring_inside || quire_move_folios(ring->quire, NULL, 0, QUIRE_SYNC, 0) == -EDEADLK)
		return -EDEADLK;
	ring_buffers_put(ring);
	RING_POINT("ring:destroying", ring);
	deadline = ring_deadline(ring->quiesce_ns);
	pthread_mutex_lock(&ring->lock);
	while (ring->requests_used || ring->callbacks)
		if (!ring_wait_until(&ring->calm, &ring->lock, deadline))
			break;
	idle = !ring->requests_used && !ring->callbacks;
	pthread_mutex_unlock(&ring->lock);
	if (!idle)
		return -EBUSY;
	/* movers come to their end; what others still hold on to needs no ops and no ring */
	rc = quire_owner_detach(ring->owner, ring->quiesce_ns, NULL);
	if (rc && rc != -ENOENT) /* detached by the caller */
		return rc == -ETIMEDOUT ? -EBUSY : rc;
	rc = quire_owner_destroy(ring->owner);
	if (rc)
		return rc;
	ring->backend->close(ring->state);
	ring_buffers_finish(ring);
	free(ring->slot_map);
	drop_requests(ring);
	free(ring);
	return 0;
}

const char *ring_backend(const struct ring *ring)
{
	return ring->why;
}

bool ring_is_uring(const struct ring *ring)
{
	return ring->backend->bind != NULL;
}

struct quire_owner *ring_owner(const struct ring *ring)
{
	return ring->owner;
}

int ring_stats_get(struct ring *ring, struct ring_stats *stats)
{
	struct ring_stats all;

	if (stats->size < offsetof(struct ring_stats, buffers) + sizeof(stats->buffers))
		return -EINVAL;
	pthread_mutex_lock(&ring->lock);
	all = ring->stats;
	pthread_mutex_unlock(&ring->lock);
	all.memlock = ring->memlock;
	all.size = stats->size;
	memcpy(stats, &all, stats->size < sizeof(all) ? stats->size : sizeof(all));
	return 0;
}
