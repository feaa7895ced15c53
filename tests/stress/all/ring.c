// SPDX-License-Identifier: MIT
/*
 * ring.c: files through registered buffers: a slot of the file is written from one buffer, read
 * into another, and compared, while both move.
 */
#include "ring/ring.h"

#include <sys/mman.h>
#include <unistd.h>

#include "all.h"

#define BUFFERS 8u
#define SLOTS 32u
#define SLOT_BYTES (16u << 10)
#define ORDER 2u

static struct ring *ring;
static struct ring_buffer *buffers[BUFFERS];
static int file = -1;
/* What was written last into each slot of the file; 0: nothing. */
static uint64_t version[SLOTS];

static void transfer(struct all *all, struct ring_buffer *buffer, unsigned slot, bool write)
{
	const struct ring_io io = { .size = sizeof(io),
				    .buffer = buffer,
				    .fd = file,
				    .offset = (uint64_t)slot * SLOT_BYTES,
				    .bytes = SLOT_BYTES };
	struct ring_result result = { .size = sizeof(result) };
	struct ring_request *request;
	int error = write ? ring_write(ring, &io, &request) : ring_read(ring, &io, &request);

	if (!error)
		error = ring_wait(request, 60 * SEC, &result);
	if (error || result.code != SLOT_BYTES)
		all_wrong(all, "%s of slot %u: %d, %ld", write ? "write" : "read", slot, error,
			  result.code);
}

static void fill(struct ring_buffer *buffer, unsigned slot, uint64_t v)
{
	struct quire_folio *folio = ring_buffer_folio(buffer);
	uint64_t *word = quire_pin(folio);

	assert_non_null(word);
	for (size_t i = 0; i < SLOT_BYTES / 8; i++)
		word[i] = all_word(v * SLOTS + slot, i);
	quire_unpin(folio);
}

static void compare(struct all *all, struct ring_buffer *buffer, unsigned slot)
{
	struct quire_folio *folio = ring_buffer_folio(buffer);
	const uint64_t *word = quire_pin(folio);
	size_t i = 0;

	assert_non_null(word);
	while (i < SLOT_BYTES / 8 && word[i] == all_word(version[slot] * SLOTS + slot, i))
		i++;
	quire_unpin(folio);
	if (i < SLOT_BYTES / 8)
		all_wrong(all, "slot %u: wrong at word %zu", slot, i);
}

static void begin(struct all *all)
{
	file = memfd_create("stress_all", MFD_CLOEXEC);
	assert_true(file >= 0);
	assert_int_equal(ftruncate(file, SLOTS * SLOT_BYTES), 0);
	/* every other pair of seeds without io_uring */
	assert_int_equal(
		ring_create(all->q,
			    RING_OPTIONS(.choice = all->seed & 2 ? RING_THREADS : RING_BEST),
			    &ring),
		0);
	for (unsigned i = 0; i < BUFFERS; i++)
		assert_int_equal(ring_buffer_create(ring, ORDER, &buffers[i]), 0);
}

static uint64_t work(struct worker *w, uint64_t n)
{
	n = n < 4 ? n : 4;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t r = prng(&w->random);
		unsigned slot = (unsigned)(r >> 32) % SLOTS, b = (unsigned)(r >> 8) % BUFFERS;

		if (r % 64 == 0) {
			ring_buffer_put(buffers[b]);
			buffers[b] = NULL;
		}
		if (!buffers[b] && all_refused(w->all, "ring_buffer_create",
					       ring_buffer_create(ring, ORDER, &buffers[b]))) {
			buffers[b] = NULL;
			continue;
		}
		if (r % 4 == 2)
			all_scatter(w, ring_buffer_folio(buffers[b]));
		if (r % 4 == 1 || !version[slot]) {
			uint64_t v = 1 + (r >> 16) % 0xffffff;

			fill(buffers[b], slot, v);
			transfer(w->all, buffers[b], slot, true);
			version[slot] = v;
		} else {
			transfer(w->all, buffers[b], slot, false);
			compare(w->all, buffers[b], slot);
		}
	}
	return n;
}

static void end(struct all *all)
{
	struct ring_stats s = { .size = sizeof(s) };

	for (unsigned b = 0; b < BUFFERS; b++)
		ring_buffer_put(buffers[b]);
	(void)all;
	assert_int_equal(ring_stats_get(ring, &s), 0);
	assert_int_equal(s.submitted, s.done + s.failed);
	assert_int_equal(s.isolated, s.moved + s.putbacks + s.freed_isolated);
	assert_int_equal(s.unbalanced + s.failed, 0);
	printf("# ring (%s): %llu I/Os, %llu of them overlapped a move, %llu registrations made "
	       "anew, "
	       "%llu folios moved\n",
	       ring_backend(ring), (unsigned long long)s.done, (unsigned long long)s.overlapped,
	       (unsigned long long)s.updates, (unsigned long long)s.moved);
	assert_int_equal(ring_destroy(ring), 0);
	close(file);
}

const struct role ring_role = { "ring", 1, begin, work, end };
