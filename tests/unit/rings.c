// SPDX-License-Identifier: MIT
#include "rings.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

/* What these tests register at once. */
#define NEEDED (4u << 20)

const enum kind kind_uring = KIND_URING;
const enum kind kind_threads = KIND_THREADS;
const enum kind kind_pretend = KIND_PRETEND;

struct proxy proxy;

/* The one below: io_uring, or threads that pretend. */
static const struct ring_backend *below;

static int proxy_open(struct ring *ring, unsigned threads, unsigned *slots, void **state, char *why)
{
	unsigned asked = *slots;
	int rc;

	if (proxy.open) {
		snprintf(why, RING_WHY_ROOM, "refused by the test");
		return proxy.open;
	}
	rc = below->open(ring, threads, slots, state, why);
	if (!rc && !below->bind)
		*slots = asked;
	return rc;
}

static void proxy_close(void *state)
{
	below->close(state);
}

static int proxy_start(void *state, struct ring_request *request)
{
	return proxy.start ? proxy.start : below->start(state, request);
}

static int proxy_bind(void *state, uint32_t slot, void *address, size_t bytes)
{
	int error = address ? proxy.bind : proxy.unbind;

	BUMP(address ? &proxy.binds : &proxy.unbinds);
	if (error)
		return error;
	if (proxy.skip || !below->bind)
		return 0;
	return below->bind(state, slot, address, bytes);
}

static const struct ring_backend between = {
	.name = "between",
	.open = proxy_open,
	.close = proxy_close,
	.start = proxy_start,
	.bind = proxy_bind,
};

int file_make(size_t bytes, int *direct)
{
	const char *dir = getenv("TMPDIR");
	char path[512];
	char *content;
	int fd;

	snprintf(path, sizeof(path), "%s/quire-ring-XXXXXX", dir && *dir ? dir : "/var/tmp");
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	content = malloc(bytes);
	assert_non_null(content);
	content_write(content, FILE_COOKIE, bytes);
	assert_int_equal(pwrite(fd, content, bytes, 0), (ssize_t)bytes);
	free(content);
	if (direct)
		*direct = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	unlink(path);
	return fd;
}

void rig_start(struct rig *rig, void **state, const struct ring_options *options)
{
	struct ring_options o = { .size = sizeof(o) };
	enum kind kind = *(const enum kind *)*state;
	const struct ring_backend *first = kind == KIND_THREADS ? NULL : &between;

	*rig = (struct rig){ .kind = kind };
	proxy = (struct proxy){ 0 };
	below = kind == KIND_URING ? ring_backend_uring : &ring_backend_threads;
	if (!below) {
		printf("# skipped: built without liburing\n");
		skip();
	}
	if (options)
		o = *options;
	if (kind == KIND_PRETEND && !o.memlock)
		o.memlock = 64 << 20;
	rig->q = make_quire(8);
	rig->free_before = stats_of(rig->q).frames_free;
	assert_int_equal(ring_create_with(rig->q, &o, first, &ring_backend_threads, &rig->ring), 0);
	if (kind == KIND_URING && !ring_is_uring(rig->ring)) {
		printf("# skipped: %s\n", ring_backend(rig->ring));
		assert_int_equal(ring_destroy(rig->ring), 0);
		end_quire(rig->q);
		skip();
	}
	if (kind == KIND_URING && !o.memlock && rig->ring->memlock < NEEDED) {
		printf("# skipped: RLIMIT_MEMLOCK is %" PRIu64 " bytes\n", rig->ring->memlock);
		assert_int_equal(ring_destroy(rig->ring), 0);
		end_quire(rig->q);
		skip();
	}
	/* what is pretended has no limit of the system's */
	if (kind == KIND_PRETEND)
		rig->ring->memlock = o.memlock;
	rig->file = file_make(FILE_BYTES, &rig->direct);
	assert_int_equal(pipe2(rig->pipe, O_CLOEXEC), 0);
}

struct ring_stats ring_stats_of(struct ring *ring)
{
	struct ring_stats stats = { .size = sizeof(stats) };

	assert_int_equal(ring_stats_get(ring, &stats), 0);
	return stats;
}

void rig_quiet(struct rig *rig)
{
	struct quire_stats qs = stats_of(rig->q);
	uint64_t bound, reserved;
	struct ring_stats s;

	/* the end of a buffer that was put may still go on in a thread of the ring */
	pthread_mutex_lock(&rig->ring->lock);
	s = rig->ring->stats;
	bound = rig->ring->bound;
	reserved = rig->ring->reserved;
	pthread_mutex_unlock(&rig->ring->lock);
	assert_int_equal(s.in_flight, 0);
	assert_int_equal(s.unbalanced, 0);
	assert_int_equal(s.submitted, s.done + s.failed);
	assert_int_equal(s.fixed + s.plain, s.done + s.failed);
	assert_int_equal(s.isolated, s.moved + s.putbacks + s.freed_isolated);
	assert_int_equal(s.isolated, qs.isolated);
	assert_int_equal(s.moved, qs.moved);
	assert_int_equal(s.putbacks, qs.putbacks);
	assert_int_equal(s.freed_isolated, qs.freed_isolated);
	assert_int_equal(qs.owner_errors, 0);
	if (!s.slots_stuck) {
		assert_int_equal(bound, s.registered_bytes);
		assert_int_equal(reserved, s.registered_bytes);
	}
	assert_true(s.registered_bytes <= rig->ring->memlock);
}

void rig_end(struct rig *rig)
{
	int rc;

	if (rig->ring)
		rig_quiet(rig);
	rc = ring_destroy(rig->ring);
	assert_int_equal(rc, 0);
	assert_frames_free(rig->q, rig->free_before);
	end_quire(rig->q);
	close(rig->file);
	if (rig->direct >= 0)
		close(rig->direct);
	close(rig->pipe[0]);
	close(rig->pipe[1]);
}

struct ring_buffer *buffer_of(struct rig *rig, unsigned order)
{
	struct ring_buffer *b = NULL;

	assert_int_equal(ring_buffer_create(rig->ring, order, &b), 0);
	assert_int_equal(ring_buffer_bytes(b), (size_t)4096 << order);
	return b;
}

void buffer_fill(struct ring_buffer *b, uint64_t cookie)
{
	void *content = quire_pin(ring_buffer_folio(b));

	assert_non_null(content);
	content_write(content, cookie, ring_buffer_bytes(b));
	quire_unpin(ring_buffer_folio(b));
}

bool buffer_holds(struct ring_buffer *b, uint64_t cookie)
{
	const void *content = quire_pin(ring_buffer_folio(b));
	bool ok;

	assert_non_null(content);
	ok = content_is(content, cookie, ring_buffer_bytes(b));
	quire_unpin(ring_buffer_folio(b));
	return ok;
}

bool buffer_holds_file(struct ring_buffer *b, size_t at, uint64_t offset, size_t n)
{
	static char want[FILE_BYTES], got[2u << 20];
	static bool composed;
	const char *content = quire_pin(ring_buffer_folio(b));

	if (!composed)
		content_write(want, FILE_COOKIE, FILE_BYTES);
	composed = true;
	if (!content)
		return false;
	quire_read_bytes(got, content + at, n);
	quire_unpin(ring_buffer_folio(b));
	return memcmp(got, want + offset, n) == 0;
}

uint32_t buffer_frame(struct ring_buffer *b)
{
	return quire_folio_frame(ring_buffer_folio(b)).n;
}

struct ring_result wait_for(struct ring_request *request)
{
	struct ring_result result = { .size = sizeof(result) };

	assert_int_equal(ring_wait(request, 30 * SEC, &result), 0);
	return result;
}

struct ring_result io_now(struct rig *rig, bool write, const struct ring_io *io)
{
	struct ring_request *request = NULL;

	assert_int_equal((write ? ring_write : ring_read)(rig->ring, io, &request), 0);
	return wait_for(request);
}

struct ring_request *read_pipe(struct rig *rig, struct ring_buffer *b, size_t at, size_t n)
{
	struct ring_request *request = NULL;

	assert_int_equal(ring_read(rig->ring,
				   RING_IO(.buffer = b, .fd = rig->pipe[0], .offset = RING_STREAM,
					   .at = at, .bytes = n),
				   &request),
			 0);
	assert_false(ring_done(request));
	return request;
}

void feed(struct rig *rig, uint64_t cookie, size_t n)
{
	char bytes[4096];

	CHECK(n <= sizeof(bytes));
	content_write(bytes, cookie, sizeof(bytes));
	CHECK(write(rig->pipe[1], bytes, n) == (ssize_t)n);
}

struct quire_move move_buffer(struct ring_buffer *b, enum quire_mode mode)
{
	return move_folio(ring_buffer_folio(b), mode, 0);
}
