// SPDX-License-Identifier: MIT
/*
 * test_ring.c: the owner ring by itself: bytes, results, done(), its end. Limits and back ends are
 * in test_ring_limits.c, moves in test_ring_move.c.
 */
#include "rings.h"

#include <fcntl.h>
#include <unistd.h>

/* --- bytes -------------------------------------------------------------------------------- */

/* Every order: a piece of the file comes in, is changed, goes out, comes in again. */
static void there_and_back(struct rig *rig, int fd)
{
	for (unsigned order = 0; order <= QUIRE_MAX_ORDER; order++) {
		struct ring_buffer *b = buffer_of(rig, order);
		size_t n = ring_buffer_bytes(b);
		bool fixed = ring_buffer_registered(b);
		struct ring_result r;

		buffer_fill(b, 1);
		r = io_now(rig, false, RING_IO(.buffer = b, .fd = fd, .offset = n, .bytes = n));
		assert_int_equal(r.code, (long)n);
		assert_int_equal(r.fixed, fixed);
		assert_int_equal(r.held, 0);
		assert_int_equal(r.overlapped, 0);
		assert_true(buffer_holds_file(b, 0, n, n));
		buffer_fill(b, order + 10);
		r = io_now(rig, true,
			   RING_IO(.buffer = b, .fd = fd, .offset = FILE_BYTES + n, .bytes = n));
		assert_int_equal(r.code, (long)n);
		buffer_fill(b, 2);
		r = io_now(rig, false,
			   RING_IO(.buffer = b, .fd = fd, .offset = FILE_BYTES + n, .bytes = n));
		assert_int_equal(r.code, (long)n);
		assert_true(buffer_holds(b, order + 10));
		ring_buffer_put(b);
	}
}

static void test_ring_bytes_through_the_page_cache(void **state)
{
	struct rig rig;

	rig_start(&rig, state, NULL);
	there_and_back(&rig, rig.file);
	rig_end(&rig);
}

static void test_ring_bytes_by_o_direct(void **state)
{
	struct rig rig;

	rig_start(&rig, state, NULL);
	if (rig.direct < 0) {
		printf("# skipped: this file system takes no O_DIRECT\n");
		rig_end(&rig);
		skip();
	}
	there_and_back(&rig, rig.direct);
	rig_end(&rig);
}

/* Any offset and length: the bytes asked for change, and no others. */
static void test_ring_only_the_bytes_asked_for(void **state)
{
	static const struct {
		size_t at, n;
		uint64_t offset;
	} parts[] = { { 0, 1, 0 },	  { 1, 7, 3 },	   { 4095, 2, 4095 }, { 5000, 3000, 12345 },
		      { 8191, 8193, 99 }, { 16383, 1, 5 }, { 16384, 0, 0 },   { 0, 0, 17 } };
	struct ring_buffer *b;
	struct rig rig;

	rig_start(&rig, state, NULL);
	b = buffer_of(&rig, 2);
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		size_t at = parts[i].at, n = parts[i].n;
		struct ring_result r;
		char before[16384], after[16384];

		buffer_fill(b, i);
		content_write(before, i, sizeof(before));
		r = io_now(&rig, false,
			   RING_IO(.buffer = b, .fd = rig.file, .offset = parts[i].offset, .at = at,
				   .bytes = n));
		assert_int_equal(r.code, (long)n);
		assert_true(buffer_holds_file(b, at, parts[i].offset, n));
		quire_read_bytes(after, quire_pin(ring_buffer_folio(b)), sizeof(after));
		quire_unpin(ring_buffer_folio(b));
		assert_memory_equal(after, before, at);
		assert_memory_equal(after + at + n, before + at + n, sizeof(after) - at - n);
	}
	rig_end(&rig);
}

static void test_ring_streams(void **state)
{
	struct ring_buffer *b;
	struct ring_result r;
	struct rig rig;

	rig_start(&rig, state, NULL);
	b = buffer_of(&rig, 0);
	buffer_fill(b, 5);
	r = io_now(&rig, true,
		   RING_IO(.buffer = b, .fd = rig.pipe[1], .offset = RING_STREAM, .bytes = 4096));
	assert_int_equal(r.code, 4096);
	buffer_fill(b, 6);
	/* an offset that a pipe does not have */
	r = io_now(&rig, false,
		   RING_IO(.buffer = b, .fd = rig.pipe[0], .offset = 4096, .bytes = 4096));
	assert_int_equal(r.code, 4096);
	assert_true(buffer_holds(b, 5));
	/* a file's own position moves */
	assert_int_equal(lseek(rig.file, 8192, SEEK_SET), 8192);
	for (unsigned i = 0; i < 2; i++) {
		r = io_now(
			&rig, false,
			RING_IO(.buffer = b, .fd = rig.file, .offset = RING_STREAM, .bytes = 4096));
		assert_int_equal(r.code, 4096);
		assert_true(buffer_holds_file(b, 0, 8192 + 4096 * i, 4096));
	}
	rig_end(&rig);
}

/* --- results ------------------------------------------------------------------------------ */

static void test_ring_short_reads(void **state)
{
	struct ring_buffer *b;
	struct ring_result r;
	struct rig rig;

	rig_start(&rig, state, NULL);
	b = buffer_of(&rig, 1);
	r = io_now(&rig, false,
		   RING_IO(.buffer = b, .fd = rig.file, .offset = FILE_BYTES - 100, .bytes = 8192));
	assert_int_equal(r.code, 100);
	assert_true(buffer_holds_file(b, 0, FILE_BYTES - 100, 100));
	r = io_now(&rig, false,
		   RING_IO(.buffer = b, .fd = rig.file, .offset = FILE_BYTES, .bytes = 8192));
	assert_int_equal(r.code, 0);
	assert_int_equal(ring_stats_of(rig.ring).ended_short, 2);
	assert_int_equal(ring_stats_of(rig.ring).bytes_read, 100);
	rig_end(&rig);
}

static void test_ring_errors_are_results(void **state)
{
	struct ring_buffer *b;
	struct ring_result r;
	struct rig rig;
	int full, mem, closed;

	rig_start(&rig, state, NULL);
	b = buffer_of(&rig, 0);
	full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	closed = dup(rig.file);
	assert_true(full >= 0 && mem >= 0 && closed >= 0);
	close(closed);
	r = io_now(&rig, false, RING_IO(.buffer = b, .fd = -1, .bytes = 1));
	assert_int_equal(r.code, -EBADF);
	r = io_now(&rig, false, RING_IO(.buffer = b, .fd = closed, .bytes = 1));
	assert_int_equal(r.code, -EBADF);
	r = io_now(&rig, false, RING_IO(.buffer = b, .fd = full, .bytes = 1));
	assert_int_equal(r.code, -EBADF); /* not open for that */
	r = io_now(&rig, true, RING_IO(.buffer = b, .fd = full, .bytes = 4096));
	assert_int_equal(r.code, -ENOSPC);
	r = io_now(&rig, false, RING_IO(.buffer = b, .fd = mem, .offset = 0, .bytes = 4096));
	assert_int_equal(r.code, -EIO); /* nothing is mapped there */
	assert_int_equal(ring_stats_of(rig.ring).failed, 5);
	assert_int_equal(ring_stats_of(rig.ring).done, 0);
	/* and it works after all that */
	r = io_now(&rig, false, RING_IO(.buffer = b, .fd = rig.file, .bytes = 4096));
	assert_int_equal(r.code, 4096);
	close(full);
	close(mem);
	rig_end(&rig);
}

static void test_ring_refusals_change_nothing(void **state)
{
	struct ring_request *request = NULL;
	struct ring_buffer *b, *other;
	struct rig rig;

	rig_start(&rig, state, NULL);
	b = buffer_of(&rig, 1);
#define REFUSED(code, ...)                                                                         \
	assert_int_equal(ring_read(rig.ring, RING_IO(.fd = rig.file, __VA_ARGS__), &request), code)
	REFUSED(-EINVAL, .buffer = NULL, .bytes = 1);
	REFUSED(-EINVAL, .buffer = b, .bytes = 8193);
	REFUSED(-EINVAL, .buffer = b, .at = 8193, .bytes = 0);
	REFUSED(-EINVAL, .buffer = b, .at = 1, .bytes = 8192);
	REFUSED(-EINVAL, .buffer = b, .at = SIZE_MAX, .bytes = 2);
	REFUSED(-EINVAL, .buffer = b, .at = 2, .bytes = SIZE_MAX);
	assert_int_equal(ring_read(rig.ring, &(struct ring_io){ .size = 1, .buffer = b }, &request),
			 -EINVAL);
	assert_int_equal(ring_read(rig.ring, RING_IO(.buffer = b, .fd = 0), NULL), -EINVAL);
	assert_int_equal(ring_read(rig.ring, NULL, &request), -EINVAL);
	assert_int_equal(ring_buffer_create(rig.ring, 10, &other), -EINVAL);
	assert_int_equal(ring_buffer_create_at(rig.ring, quire_frame(1), 1, &other), -EINVAL);
	assert_int_equal(
		ring_buffer_create_at(rig.ring, quire_folio_frame(ring_buffer_folio(b)), 1, &other),
		-EBUSY);
	ring_buffer_put(b);
	REFUSED(-ESTALE, .buffer = b, .bytes = 1);
	ring_buffer_put(b);
	ring_buffer_put(NULL);
	assert_int_equal(ring_stats_of(rig.ring).submitted, 0);
	assert_int_equal(ring_stats_of(rig.ring).buffers, 0);
	assert_frames_free(rig.q, rig.free_before);
	rig_end(&rig);
#undef REFUSED
}

/* No more requests at once than entries; each that ends makes room for one. */
static void test_ring_as_many_requests_as_entries(void **state)
{
	struct ring_request *request[8], *more = NULL;
	struct ring_buffer *b;
	struct rig rig;

	rig_start(&rig, state, RING_OPTIONS(.entries = 8, .threads = 8));
	b = buffer_of(&rig, 0);
	for (unsigned i = 0; i < 8; i++)
		request[i] = read_pipe(&rig, b, i * 8, 8);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(ring_read(rig.ring, RING_IO(.buffer = b, .fd = rig.file), &more),
				 -EAGAIN);
	assert_int_equal(ring_stats_of(rig.ring).in_flight, 8);
	feed(&rig, 1, 8 * 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(wait_for(request[i]).code, 8);
	assert_int_equal(io_now(&rig, false, RING_IO(.buffer = b, .fd = rig.file)).code, 0);
	rig_end(&rig);
}

static void test_ring_a_wait_has_a_deadline(void **state)
{
	struct ring_request *request;
	struct rig rig;

	rig_start(&rig, state, NULL);
	request = read_pipe(&rig, buffer_of(&rig, 0), 0, 8);
	assert_int_equal(ring_wait(request, 1, NULL), -ETIMEDOUT);
	assert_int_equal(ring_wait(request, 0, NULL), -ETIMEDOUT);
	feed(&rig, 1, 8);
	assert_int_equal(wait_for(request).code, 8);
	rig_end(&rig);
}

/* --- done() ------------------------------------------------------------------------------- */

struct chain {
	struct rig *rig;
	struct ring_buffer *buffer;
	unsigned left, calls;
	struct gate end;
};

static void next_link(void *arg, const struct ring_result *result)
{
	struct chain *chain = arg;

	chain->calls++;
	CHECK(result->size == sizeof(*result));
	CHECK(result->code == 512);
	CHECK(ring_destroy(chain->rig->ring) == -EDEADLK);
	if (!--chain->left) {
		ring_buffer_put(chain->buffer);
		gate_open(&chain->end);
		return;
	}
	CHECK(ring_read(chain->rig->ring,
			RING_IO(.buffer = chain->buffer, .fd = chain->rig->file, .bytes = 512,
				.done = next_link, .arg = chain),
			NULL) == 0);
}

/* Each done() submits the next, and the last one puts the buffer. */
static void test_ring_done_is_called_once_each(void **state)
{
	struct chain chain = { .left = 100 };
	struct rig rig;

	rig_start(&rig, state, RING_OPTIONS(.entries = 2));
	chain.rig = &rig;
	chain.buffer = buffer_of(&rig, 0);
	gate_init(&chain.end);
	assert_int_equal(ring_read(rig.ring,
				   RING_IO(.buffer = chain.buffer, .fd = rig.file, .bytes = 512,
					   .done = next_link, .arg = &chain),
				   NULL),
			 0);
	gate_pass(&chain.end);
	assert_int_equal(chain.calls, 100);
	assert_int_equal(ring_stats_of(rig.ring).done, 100);
	rig_end(&rig);
}

struct waiting {
	struct ring_request *other;
	int code;
	struct gate end;
};

static void wait_in_done(void *arg, const struct ring_result *result)
{
	struct waiting *w = arg;

	CHECK(result->code == 1);
	w->code = ring_wait(w->other, SEC, NULL);
	gate_open(&w->end);
}

static void test_ring_done_must_not_wait(void **state)
{
	struct waiting w = { .code = 1 };
	struct ring_buffer *b;
	struct rig rig;

	rig_start(&rig, state, NULL);
	b = buffer_of(&rig, 0);
	w.other = read_pipe(&rig, b, 8, 8);
	gate_init(&w.end);
	assert_int_equal(ring_read(rig.ring,
				   RING_IO(.buffer = b, .fd = rig.file, .bytes = 1,
					   .done = wait_in_done, .arg = &w),
				   NULL),
			 0);
	gate_pass(&w.end);
	assert_int_equal(w.code, -EDEADLK);
	feed(&rig, 1, 8);
	assert_int_equal(wait_for(w.other).code, 8);
	rig_end(&rig);
}

/* --- the end ------------------------------------------------------------------------------ */

/* A buffer that is put with I/O in flight: the I/O ends as it would have, then the frames go. */
static void test_ring_put_with_io_in_flight(void **state)
{
	struct ring_request *request[2], *refused;
	struct ring_buffer *b;
	struct rig rig;

	rig_start(&rig, state, NULL);
	b = buffer_of(&rig, 0);
	request[0] = read_pipe(&rig, b, 0, 8);
	request[1] = read_pipe(&rig, b, 8, 8);
	ring_buffer_put(b);
	assert_int_equal(ring_read(rig.ring, RING_IO(.buffer = b, .fd = rig.file), &refused),
			 -ESTALE);
	assert_int_equal(stats_of(rig.q).folios_live, 1);
	feed(&rig, 1, 8);
	feed(&rig, 1, 8);
	assert_int_equal(wait_for(request[0]).code, 8);
	assert_int_equal(wait_for(request[1]).code, 8);
	rig_end(&rig);
}

static void count_done(void *arg, const struct ring_result *result)
{
	CHECK(result->code == 8);
	BUMP((unsigned *)arg);
}

static void feed_eight(void *arg)
{
	feed(arg, 1, 8);
}

/* I/O that ends while the ring is being destroyed: its done() is called, and then it goes. */
static void test_ring_destroy_waits_for_io(void **state)
{
	unsigned done = 0;
	struct rig rig;

	rig_start(&rig, state, RING_OPTIONS(.quiesce_ns = 30 * SEC));
	assert_int_equal(ring_read(rig.ring,
				   RING_IO(.buffer = buffer_of(&rig, 0), .fd = rig.pipe[0],
					   .offset = RING_STREAM, .bytes = 8, .done = count_done,
					   .arg = &done),
				   NULL),
			 0);
	at_point("ring:destroying", rig.ring, feed_eight, &rig);
	assert_int_equal(ring_destroy(rig.ring), 0);
	assert_int_equal(SEE(&done), 1);
	rig.ring = NULL;
	rig_end(&rig);
}

static void test_ring_destroy_waits_and_can_be_tried_again(void **state)
{
	struct ring_request *request;
	struct rig rig;

	rig_start(&rig, state, RING_OPTIONS(.quiesce_ns = 1));
	request = read_pipe(&rig, buffer_of(&rig, 0), 0, 8);
	assert_int_equal(ring_destroy(rig.ring), -EBUSY); /* in flight */
	feed(&rig, 1, 8);
	while (!ring_done(request))
		sched_yield();
	assert_int_equal(ring_destroy(rig.ring), -EBUSY); /* not waited for */
	assert_int_equal(wait_for(request).code, 8);
	rig_end(&rig);
}

int main(void)
{
#define ON_ALL(f) ON(f, uring), ON(f, threads)
	const struct CMUnitTest tests[] = {
		ON_ALL(test_ring_bytes_through_the_page_cache),
		ON_ALL(test_ring_bytes_by_o_direct),
		ON_ALL(test_ring_only_the_bytes_asked_for),
		ON_ALL(test_ring_streams),
		ON_ALL(test_ring_short_reads),
		ON_ALL(test_ring_errors_are_results),
		ON_ALL(test_ring_refusals_change_nothing),
		ON_ALL(test_ring_as_many_requests_as_entries),
		ON_ALL(test_ring_a_wait_has_a_deadline),
		ON_ALL(test_ring_done_is_called_once_each),
		ON_ALL(test_ring_done_must_not_wait),
		ON_ALL(test_ring_put_with_io_in_flight),
		ON_ALL(test_ring_destroy_waits_for_io),
		ON_ALL(test_ring_destroy_waits_and_can_be_tried_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
