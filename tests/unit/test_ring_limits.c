// SPDX-License-Identifier: MIT
/*
 * test_ring_limits.c: what the owner ring does where something is not to be had: registrations,
 * memory to lock, io_uring, the kernel's attention, memory.
 */
#include "rings.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- limits and back ends ----------------------------------------------------------------- */

static void test_ring_more_buffers_than_slots(void **state)
{
	struct ring_buffer *b[5];
	struct rig rig;

	rig_start(&rig, state, RING_OPTIONS(.slots = 3));
	for (size_t i = 0; i < COUNT_OF(b); i++) {
		b[i] = buffer_of(&rig, 0);
		assert_int_equal(ring_buffer_registered(b[i]), i < 3);
	}
	assert_int_equal(ring_stats_of(rig.ring).registered, 3);
	assert_int_equal(ring_stats_of(rig.ring).over_slots, 2);
	for (size_t i = 0; i < COUNT_OF(b); i++) {
		struct ring_result r =
			io_now(&rig, false, RING_IO(.buffer = b[i], .fd = rig.file, .bytes = 4096));

		assert_int_equal(r.code, 4096);
		assert_int_equal(r.fixed, i < 3);
		assert_true(buffer_holds_file(b[i], 0, 0, 4096));
	}
	/* a slot that becomes free is the next one's */
	ring_buffer_put(b[1]);
	b[1] = buffer_of(&rig, 0);
	assert_true(ring_buffer_registered(b[1]));
	rig_end(&rig);
}

static void test_ring_no_more_than_it_was_told(void **state)
{
	struct ring_buffer *b[4];
	struct rig rig;

	rig_start(&rig, state, RING_OPTIONS(.memlock = 32768));
	assert_true(ring_stats_of(rig.ring).memlock <= 32768);
	b[0] = buffer_of(&rig, 3);
	b[1] = buffer_of(&rig, 0);
	assert_true(ring_buffer_registered(b[0]));
	assert_false(ring_buffer_registered(b[1]));
	assert_int_equal(ring_stats_of(rig.ring).over_limit, 1);
	ring_buffer_put(b[0]);
	b[2] = buffer_of(&rig, 2);
	b[3] = buffer_of(&rig, 2);
	assert_int_equal(ring_stats_of(rig.ring).registered_bytes, 32768);
	rig_end(&rig);
}

static void test_ring_registration_that_fails(void **state)
{
	struct ring_buffer *b;
	struct ring_result r;
	struct rig rig;

	rig_start(&rig, state, RING_OPTIONS(.slots = 1));
	proxy.bind = -ENOMEM;
	b = buffer_of(&rig, 0);
	proxy.bind = 0;
	assert_int_equal(proxy.binds, 1);
	assert_false(ring_buffer_registered(b));
	assert_int_equal(ring_stats_of(rig.ring).register_failures, 1);
	r = io_now(&rig, false, RING_IO(.buffer = b, .fd = rig.file, .bytes = 4096));
	assert_int_equal(r.code, 4096);
	assert_int_equal(r.fixed, 0);
	assert_true(buffer_holds_file(b, 0, 0, 4096));
	/* the slot is free again */
	assert_true(ring_buffer_registered(buffer_of(&rig, 0)));
	rig_end(&rig);
}

/* A slot that cannot be emptied is nobody's any more. */
static void test_ring_slot_that_cannot_be_emptied(void **state)
{
	struct ring_buffer *b;
	struct rig rig;

	rig_start(&rig, state, RING_OPTIONS(.slots = 1));
	b = buffer_of(&rig, 0);
	proxy.unbind = -ENOMEM;
	ring_buffer_put(b);
	proxy.unbind = 0;
	assert_int_equal(ring_stats_of(rig.ring).slots_stuck, 1);
	assert_int_equal(ring_stats_of(rig.ring).registered, 0);
	assert_false(ring_buffer_registered(buffer_of(&rig, 0)));
	assert_int_equal(ring_stats_of(rig.ring).over_slots, 1);
	rig_end(&rig);
}

static void test_ring_io_that_cannot_be_started(void **state)
{
	struct ring_request *request = NULL;
	struct ring_buffer *b;
	struct rig rig;

	rig_start(&rig, state, RING_OPTIONS(.entries = 1));
	b = buffer_of(&rig, 0);
	proxy.start = -EAGAIN;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(
			ring_read(rig.ring, RING_IO(.buffer = b, .fd = rig.file), &request),
			-EAGAIN);
	proxy.start = 0;
	assert_int_equal(ring_stats_of(rig.ring).in_flight, 0);
	assert_int_equal(ring_stats_of(rig.ring).submitted, 0);
	assert_int_equal(io_now(&rig, false, RING_IO(.buffer = b, .fd = rig.file)).code, 0);
	rig_end(&rig);
}

/*
 * The kernel takes no more requests: the one that was to go is not lost in the queue, to be run
 * later when nobody expects it. A thread that may not call io_uring_enter() stands for that.
 */
struct refused {
	struct rig *rig;
	struct ring_buffer *buffer;
	int filter, code;
};

static void *submit_refused(void *arg)
{
	struct sock_filter steps[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EBUSY),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { COUNT_OF(steps), steps };
	struct refused *r = arg;
	struct ring_request *request;

	r->filter = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
	if (!r->filter)
		r->code = ring_read(r->rig->ring,
				    RING_IO(.buffer = r->buffer, .fd = r->rig->file, .bytes = 4096),
				    &request);
	return NULL;
}

static void test_ring_submission_that_the_kernel_refuses(void **state)
{
	struct refused refused = { .code = 1 };
	struct ring_buffer *other;
	struct ring_result r;
	struct rig rig;

	rig_start(&rig, state, RING_OPTIONS(.entries = 2));
	refused.rig = &rig;
	refused.buffer = buffer_of(&rig, 0);
	other = buffer_of(&rig, 0);
	buffer_fill(refused.buffer, 8);
	for (unsigned i = 0; i < 5; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, submit_refused, &refused), 0);
		pthread_join(thread, NULL);
		if (refused.filter) {
			printf("# skipped: no seccomp filters here\n");
			rig_end(&rig);
			skip();
		}
		assert_true(refused.code == -EBUSY || refused.code == -EAGAIN);
		assert_int_equal(ring_stats_of(rig.ring).in_flight, 0);
		r = io_now(&rig, false, RING_IO(.buffer = other, .fd = rig.file, .bytes = 4096));
		assert_int_equal(r.code, 4096);
	}
	assert_true(buffer_holds(refused.buffer, 8));
	assert_int_equal(ring_stats_of(rig.ring).submitted, 5);
	rig_end(&rig);
}

/* io_uring is refused: threads do it, and the ring says so. */
static void test_ring_without_io_uring(void **state)
{
	struct ring *ring;
	struct rig rig;

	rig_start(&rig, state, NULL);
	proxy.open = -EPERM;
	assert_int_equal(
		ring_create_with(rig.q, NULL, rig.ring->backend, &ring_backend_threads, &ring), 0);
	assert_string_equal(ring_backend(ring), "threads: refused by the test");
	assert_false(ring_is_uring(ring));
	assert_int_equal(ring_destroy(ring), 0);
	proxy.open = 0;
	assert_int_equal(ring_create(rig.q, RING_OPTIONS(.choice = RING_THREADS), &ring), 0);
	assert_string_equal(ring_backend(ring), "threads: asked for");
	assert_int_equal(ring_destroy(ring), 0);
	assert_int_equal(ring_create_with(rig.q, NULL, NULL, &ring_backend_threads, &ring), 0);
	assert_string_equal(ring_backend(ring), "threads: not built with liburing");
	assert_int_equal(ring_destroy(ring), 0);
	rig_end(&rig);
}

static void test_ring_says_what_it_is(void **state)
{
	struct rig rig;

	rig_start(&rig, state, NULL);
	printf("# %s\n", ring_backend(rig.ring));
	if (rig.kind == KIND_THREADS)
		assert_int_equal(strncmp(ring_backend(rig.ring), "threads: ", 9), 0);
	assert_int_equal(ring_is_uring(rig.ring), rig.kind != KIND_THREADS);
	assert_string_equal(quire_owner_name(ring_owner(rig.ring)), "ring");
	rig_end(&rig);
}

static void test_ring_options_that_make_no_sense(void **state)
{
	struct quire *q = make_quire(1);
	struct ring *ring;

	(void)state;
	assert_int_equal(ring_create(NULL, NULL, &ring), -EINVAL);
	assert_int_equal(ring_create(q, NULL, NULL), -EINVAL);
	assert_int_equal(ring_create(q, &(struct ring_options){ .size = 1 }, &ring), -EINVAL);
	assert_int_equal(ring_create(q, RING_OPTIONS(.entries = 4097), &ring), -EINVAL);
	assert_int_equal(ring_create(q, RING_OPTIONS(.slots = 16385), &ring), -EINVAL);
	assert_int_equal(ring_create(q, RING_OPTIONS(.threads = 65), &ring), -EINVAL);
	assert_int_equal(ring_create(q, RING_OPTIONS(.choice = (enum ring_choice)2), &ring),
			 -EINVAL);
	assert_int_equal(ring_create(q, RING_OPTIONS(.name = ""), &ring), -EINVAL);
	assert_int_equal(ring_destroy(NULL), 0);
	end_quire(q);
}

/* --- RLIMIT_MEMLOCK ----------------------------------------------------------------------- */

#define LIMIT (64u << 10)

/* The number in a line of /proc/self/status. */
static uint64_t status_of(const char *format)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long n = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, format, &n) == 1)
			break;
	if (file)
		fclose(file);
	return n;
}

static uint64_t pinned_kib(void)
{
	return status_of("VmPin: %llu kB");
}

/* CAP_IPC_LOCK: the kernel lets it lock what it likes. */
static bool is_privileged(void)
{
	return status_of("CapEff: %llx") >> 14 & 1;
}

/* 0, or the line at which something is wrong; 77: there is no io_uring. */
#define DEMAND(what)                                                                               \
	do {                                                                                       \
		if (!(what))                                                                       \
			return __LINE__;                                                           \
	} while (0)

static char locked[2 * 4096] __attribute__((aligned(4096)));

static int under_the_limit(int file, bool privileged)
{
	struct rlimit limit = { LIMIT, LIMIT };
	struct ring_stats s = { .size = sizeof(s) };
	uint64_t registered, pinned;
	struct ring_buffer *b[40];
	struct quire *q;
	struct ring *ring;

	if (setrlimit(RLIMIT_MEMLOCK, &limit)) {
		printf("# skipped: not even %u bytes may be locked\n", LIMIT);
		return 77;
	}
	if (!privileged && is_privileged())
		DEMAND(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
	/* what is locked otherwise counts as well */
	DEMAND(syscall(SYS_mlock, locked, sizeof(locked)) ==
	       0); /* sanitizers make mlock() nothing */
	DEMAND(quire_create(QUIRE_OPTIONS(.arena_bytes = 4 << 20), &q) == 0);
	DEMAND(ring_create(q, NULL, &ring) == 0);
	if (!ring_is_uring(ring)) {
		printf("# skipped: %s\n", ring_backend(ring));
		return 77;
	}
	for (size_t i = 0; i < COUNT_OF(b); i++)
		DEMAND(ring_buffer_create(ring, 0, &b[i]) == 0);
	DEMAND(ring_stats_get(ring, &s) == 0);
	registered = s.registered;
	pinned = pinned_kib();
	printf("# %s: of %zu buffers %" PRIu64 " registered, %" PRIu64 " over the limit of %u KiB, "
	       "%" PRIu64 " refused by the kernel; pinned: %" PRIu64 " KiB\n",
	       privileged ? "privileged" : "unprivileged", COUNT_OF(b), registered, s.over_limit,
	       LIMIT >> 10, s.register_failures, pinned);
	DEMAND(s.memlock == LIMIT);
	/* the kernel counts what an io_uring itself needs, too */
	DEMAND(registered >= 4 && registered <= (LIMIT - sizeof(locked)) / 4096);
	DEMAND(registered + s.over_limit + s.register_failures == COUNT_OF(b));
	DEMAND(pinned == registered * 4);
	if (privileged)
		DEMAND(registered == (LIMIT - sizeof(locked)) / 4096 && !s.register_failures);
	/* all work, and all move, and it is never more than the limit */
	for (size_t i = 0; i < COUNT_OF(b); i++) {
		struct ring_request *request;
		struct ring_result r = { .size = sizeof(r) };
		struct quire_move move = { .folio = ring_buffer_folio(b[i]) };

		DEMAND(quire_move_folios(q, &move, 1, QUIRE_SYNC, 0) == 0);
		DEMAND(pinned_kib() == pinned);
		DEMAND(ring_read(ring,
				 RING_IO(.buffer = b[i], .fd = file, .offset = i * 4096,
					 .bytes = 4096),
				 &request) == 0);
		DEMAND(ring_wait(request, 30 * SEC, &r) == 0);
		DEMAND(r.code == 4096 && r.fixed == (i < registered));
		DEMAND(buffer_holds_file(b[i], 0, i * 4096, 4096));
	}
	DEMAND(ring_stats_get(ring, &s) == 0);
	DEMAND(s.registered == registered && s.updates == registered && !s.update_failures);
	DEMAND(ring_destroy(ring) == 0);
	DEMAND(pinned_kib() == 0);
	DEMAND(quire_destroy(q) == 0);
	return 0;
}

/* The exit status has eight bits: the line comes by a pipe. */
static int child_under_the_limit(bool privileged)
{
	int file = file_make(FILE_BYTES, NULL), said[2], line = -1, status;
	pid_t child;

	assert_int_equal(pipe2(said, O_CLOEXEC), 0);
	fflush(stdout);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		line = under_the_limit(file, privileged);
		fflush(stdout);
		_exit(write(said[1], &line, sizeof(line)) != sizeof(line));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read(said[0], &line, sizeof(line)), sizeof(line));
	close(said[0]);
	close(said[1]);
	close(file);
	return line;
}

static void the_limit(bool privileged)
{
	int line = child_under_the_limit(privileged);

	if (line == 77)
		skip();
	if (line)
		fail_msg("line %d", line);
}

static void test_ring_keeps_to_rlimit_memlock(void **state)
{
	(void)state;
	the_limit(false);
}

/* Where the kernel would let it have more. */
static void test_ring_keeps_to_rlimit_memlock_privileged(void **state)
{
	(void)state;
	if (!is_privileged()) {
		printf("# skipped: no CAP_IPC_LOCK\n");
		skip();
	}
	the_limit(true);
}

/* --- undo --------------------------------------------------------------------------------- */

/* A life of a buffer in which anything may fail once. */
static void a_life(struct rig *rig)
{
	struct ring_buffer *b;
	struct quire_move move;
	int rc = ring_buffer_create(rig->ring, 1, &b);

	if (rc) {
		CHECK(rc == -ENOMEM);
		return;
	}
	for (unsigned i = 0; i < 2; i++) {
		struct ring_request *request;
		bool there;

		rc = ring_read(
			rig->ring,
			RING_IO(.buffer = b, .fd = rig->file, .offset = i * 8192, .bytes = 8192),
			&request);
		CHECK(rc == 0 || rc == -ENOMEM);
		there = rc == 0 && wait_for(request).code == 8192;
		CHECK(there == (rc == 0));
		move = (struct quire_move){ .folio = ring_buffer_folio(b) };
		/* memory is what may be missing here, too */
		(void)!quire_move_folios(rig->q, &move, 1, QUIRE_SYNC, 0);
		if (there)
			CHECK(buffer_holds_file(b, 0, i * 8192, 8192));
	}
	ring_buffer_put(b);
}

static void test_ring_undo_wherever_memory_fails(void **state)
{
	struct rig rig;
	uint64_t n;

	rig_start(&rig, state, NULL);
	for (n = 1;; n++) {
		quire_fault_arm_("mem", n, -ENOMEM);
		a_life(&rig);
		if (!quire_fault_disarm_())
			break;
		rig_quiet(&rig);
		assert_int_equal(ring_stats_of(rig.ring).registered, 0);
		assert_frames_free(rig.q, rig.free_before);
	}
	printf("# %llu edges\n", (unsigned long long)n - 1);
	assert_true(n > 4);
	rig_end(&rig);
}

static void test_ring_no_room_for_a_buffer(void **state)
{
	struct ring_buffer *b[8], *more;
	struct rig rig;

	rig_start(&rig, state, NULL);
	for (size_t i = 0; i < COUNT_OF(b); i++)
		b[i] = buffer_of(&rig, 9);
	for (unsigned i = 0; i < 100; i++) /* more than descriptors in a chunk of them */
		assert_int_equal(ring_buffer_create(rig.ring, 9, &more), -ENOMEM);
	assert_int_equal(ring_stats_of(rig.ring).buffers, 8);
	ring_buffer_put(b[3]);
	b[3] = buffer_of(&rig, 9);
	rig_end(&rig);
}

int main(void)
{
#define ON_ALL(f) ON(f, uring), ON(f, threads)
#define ON_TABLES(f) ON(f, uring), ON(f, pretend)
	const struct CMUnitTest tests[] = {
		ON_TABLES(test_ring_more_buffers_than_slots),
		ON_TABLES(test_ring_no_more_than_it_was_told),
		ON_TABLES(test_ring_registration_that_fails),
		ON_TABLES(test_ring_slot_that_cannot_be_emptied),
		ON_TABLES(test_ring_io_that_cannot_be_started),
		ON(test_ring_submission_that_the_kernel_refuses, uring),
		ON(test_ring_without_io_uring, pretend),
		ON_ALL(test_ring_says_what_it_is),
		TEST(test_ring_options_that_make_no_sense),
		TEST(test_ring_keeps_to_rlimit_memlock),
		TEST(test_ring_keeps_to_rlimit_memlock_privileged),
		ON_ALL(test_ring_undo_wherever_memory_fails),
		ON(test_ring_undo_wherever_memory_fails, pretend),
		ON(test_ring_no_room_for_a_buffer, threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
