// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners when memory fails them: each allocation in a call fails once, alone and
 * then together with all that come after it. The call must say -ENOMEM or do
 * without, leave everything as it was, and succeed when it is made again.
 *
 * Needs CONFIG_FAULT_INJECTION_DEBUG_FS, CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include "folio_owner_device.h"
#include "../../../../lib/test_gpu_uapi.h"
#include "../../../../lib/test_movable_uapi.h"
#include "../../../../lib/test_userptr_uapi.h"

#define DEBUG	"/sys/kernel/debug/"
#define STEP	256		/* bytes: no more than a node of an xarray */
#define MANY_TIMES 1000000

/* Once, or from there on */
enum { ONE, ALL, MODES };

/* Kept open: while allocations fail nothing can be opened. */
static int fail_nth = -1, space, times, probability;

static long read_number(const char *path)
{
	FILE *f = fopen(path, "r");
	long value = -1;

	if (f) {
		if (fscanf(f, "%ld", &value) != 1)
			value = -1;
		fclose(f);
	}
	return value;
}

static void write_number(int to, long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", value);
	if (write(to, text, strlen(text)) < 0)
		perror("fault injection");
}

static bool faults_can_be_had(void)
{
	space = open(DEBUG "failslab/space", O_RDWR);
	times = open(DEBUG "failslab/times", O_RDWR);
	probability = open(DEBUG "failslab/probability", O_RDWR);
	if (space < 0 || times < 0 || probability < 0 ||
	    access(DEBUG "fail_page_alloc/min-order", W_OK))
		return false;
	fail_nth = open("/proc/self/fail-nth", O_RDWR);
	if (fail_nth < 0)
		return false;
	write_file(DEBUG "failslab/ignore-gfp-wait", "N");
	write_file(DEBUG "failslab/verbose", "0");
	write_file(DEBUG "failslab/task-filter", "Y");
	write_file(DEBUG "failslab/probability", "0");
	write_file(DEBUG "fail_page_alloc/ignore-gfp-wait", "N");
	write_file(DEBUG "fail_page_alloc/ignore-gfp-highmem", "N");
	write_file(DEBUG "fail_page_alloc/verbose", "0");
	write_file(DEBUG "fail_page_alloc/min-order", "0");
	write_file("/proc/self/make-it-fail", "1");
	return true;
}

/* From here on the @n-th allocation of this thread fails, or all behind it. */
static void arm(int mode, unsigned int n)
{
	if (mode == ONE) {
		write_number(fail_nth, n);
		return;
	}
	write_number(times, MANY_TIMES);
	write_number(space, (n - 1) * STEP);
	write_number(probability, 100);
}

/* Has one failed? */
static bool disarm(int mode)
{
	char text[24] = "";
	bool failed;

	if (mode == ONE) {
		failed = pread(fail_nth, text, sizeof(text) - 1, 0) > 0 &&
			 !atol(text);
		write_number(fail_nth, 0);
		return failed;
	}
	write_number(probability, 0);
	return read_number(DEBUG "failslab/times") < MANY_TIMES;
}

/*
 * @prepare, then @call with one fault, then @look at what it has left behind,
 * again and again until none is left to fail. Some of the faults must have been
 * noticed, or the sweep has missed what it is for.
 */
static void sweep(void (*prepare)(void), int (*call)(void), void (*look)(int rc))
{
	unsigned int n, noticed = 0, fired = 0;
	int mode;

	for (mode = ONE; mode < MODES; mode++) {
		for (n = 1; n < 600; n++) {
			bool failed;
			int rc;

			prepare();
			arm(mode, n);
			rc = call();
			failed = disarm(mode);
			if (rc == -ENOMEM)
				noticed++;
			else
				CHECK_EQ(rc, 0);
			CHECK(failed || !rc);
			look(rc);
			close_devices();
			if (!failed)
				break;
			fired++;
		}
		CHECK(n < 600);
	}
	printf("# %u faults, %u of them noticed\n", fired, noticed);
	CHECK(noticed > 0);
}

static bool ready(void)
{
	if (fail_nth >= 0 || faults_can_be_had())
		return true;
	snprintf(why, sizeof(why), "no fault injection in this kernel");
	return false;
}

/* Files */

static int fd;

static void file(void)
{
	fd = object(4);
}

static int file_create(void)
{
	int rc = DO(fd, TFO_CREATE, tfo_args, .count = 4).result;

	/* What shmem says if there is no memory for an inode. */
	return rc == -ENOSPC ? -ENOMEM : rc;
}

static void file_device(void)
{
	fd = device();
}

static void file_created(int rc)
{
	int again;

	/* Half of it may be there, and then it cannot be made again. */
	again = rc ? DO(fd, TFO_CREATE, tfo_args, .count = 4).result : 0;
	CHECK(!again || again == -EINVAL);
	if (!again)
		CHECK_EQ(wrong(fd), 0);
}

static int file_register(void)
{
	return DO(fd, TFO_REGISTER, tfo_args, .flags = TFO_MORE_OPS).result;
}

static void file_registered(int rc)
{
	CHECK_EQ(DO(fd, TFO_REGISTER, tfo_args, .flags = TFO_MORE_OPS).result,
		 rc ? 0 : -EEXIST);
	TELL(fd, TFO_PIN, .count = 4);
	CHECK_EQ(migrate(fd, 4, SYNC).moved, 4);
	CHECK_EQ(wrong(fd), 0);
}

static int test_enomem_making_an_object(void)
{
	if (!ready())
		return SKIP;
	sweep(file_device, file_create, file_created);
	return 0;
}

static int test_A1_registering_without_memory(void)
{
	if (!ready())
		return SKIP;
	sweep(file, file_register, file_registered);
	return 0;
}

/* Folios */

static char *map, *memory;
static unsigned int pages;
static unsigned int moved;

static void memory_make(unsigned int nr)
{
	unsigned int i;

	pages = nr;
	moved = 0;
	map = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(map != MAP_FAILED);
	memory = map + -(uintptr_t)map % HUGE;
	madvise(memory, HUGE, nr == 512 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	for (i = 0; i < nr; i++)
		*(uint64_t *)(memory + i * PAGE) = ~(uint64_t)i;
	fd = device();
}

static void small(void)
{
	memory_make(1);
}

static void large(void)
{
	write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	memory_make(512);
	CHECK_EQ(TELL(fd, TFO_OWNED, .addr = (uintptr_t)memory).count, 512);
}

static int own(void)
{
	return DO(fd, TFO_OWN, tfo_args, .addr = (uintptr_t)memory).result;
}

/* All pages have their content and an owner, who is asked for each at the end. */
static void owned(unsigned int have)
{
	unsigned int i;
	struct tfo_stats s;

	for (i = 0; i < pages; i++) {
		CHECK_EQ(TELL(fd, TFO_OWNED,
			      .addr = (uintptr_t)memory + i * PAGE).value, have);
		CHECK(*(uint64_t *)(memory + i * PAGE) == ~(uint64_t)i);
	}
	if (!have)
		return;
	munmap(map, 2 * HUGE);
	s = stats(fd);
	CHECK_EQ(s.freed_pages, pages + moved);
	CHECK_EQ(s.freed[1], s.followed);
	CHECK_EQ(s.freed_early, 0);
}

static void after_own(int rc)
{
	if (rc) {
		owned(0);
		CHECK_EQ(own(), 0);
	}
	owned(1);
}

static void small_owned(void)
{
	small();
	CHECK_EQ(own(), 0);
}

static void large_owned(void)
{
	large();
	CHECK_EQ(own(), 0);
}

/* What does not move is counted, or -ENOMEM. */
static int move(void)
{
	struct tfo_args a = DO(fd, TFO_MOVE, tfo_args, .mode = SYNC,
			       .addr = (uintptr_t)memory);

	moved += a.moved;
	return a.result > 0 ? -ENOMEM : a.result;
}

static void after_move(int rc)
{
	struct tfo_args a;

	if (rc) {
		a = TELL(fd, TFO_MOVE, .mode = SYNC, .addr = (uintptr_t)memory);
		CHECK_EQ(a.result, 0);
		moved += a.moved;
	}
	owned(1);
}

static int test_E1_owning_without_memory(void)
{
	if (!ready())
		return SKIP;
	sweep(small, own, after_own);
	return 0;
}

static int test_E1_owning_a_large_folio_without_memory(void)
{
	if (!ready())
		return SKIP;
	sweep(large, own, after_own);
	return 0;
}

static int test_X9_H_E4_moving_without_memory(void)
{
	if (!ready())
		return SKIP;
	sweep(small_owned, move, after_move);
	return 0;
}

static int test_X9_H_E4_moving_a_large_folio_without_memory(void)
{
	if (!ready())
		return SKIP;
	sweep(large_owned, move, after_move);
	return 0;
}

static int cycle(void)
{
	return DO(fd, TFO_CYCLE, tfo_args, .count = 10).result;
}

static void after_cycle(int rc)
{
	(void)rc;
	CHECK_EQ(TELL(fd, TFO_CYCLE, .count = 10).value, 0);
}

static int test_E6_coming_back_without_memory(void)
{
	if (!ready())
		return SKIP;
	sweep(file_device, cycle, after_cycle);
	return 0;
}

/* Movable pages */

static void pool_device(void)
{
	fd = open_device("/dev/movable");
}

static int pool_create(void)
{
	return DO(fd, TM_CREATE, tm_args, .count = 8,
		  .flags = TM_OWNER | TM_BATCH).result;
}

static void pool_created(int rc)
{
	int all = rc ? 0 : 8;

	if (rc)
		return;
	CHECK_EQ(DO(fd, TM_ISOLATE, tm_args, .count = 8).result, all);
	CHECK_EQ(DO(fd, TM_MIGRATE, tm_args, .mode = SYNC).moved, all);
	CHECK_EQ(DO(fd, TM_VERIFY, tm_args, 0).value, 0);
}

static int pool_move(void)
{
	int rc;

	DO(fd, TM_ISOLATE, tm_args, .count = 8);
	rc = DO(fd, TM_MIGRATE, tm_args, .mode = SYNC).result;
	DO(fd, TM_PUTBACK, tm_args, 0);
	return rc > 0 ? -ENOMEM : rc;
}

static void pool(void)
{
	pool_device();
	CHECK_EQ(pool_create(), 0);
}

static void pool_moved(int rc)
{
	(void)rc;
	pool_created(0);
}

static int test_C1_making_a_pool_without_memory(void)
{
	if (!ready())
		return SKIP;
	sweep(pool_device, pool_create, pool_created);
	return 0;
}

static int test_X9_C14_moving_a_pool_without_memory(void)
{
	if (!ready())
		return SKIP;
	sweep(pool, pool_move, pool_moved);
	return 0;
}

/* Objects of the mock graphics driver, and mirrors: all of it in one call */

static void nothing(void)
{
}

static int gpu;
static unsigned int bo;
static bool submitted;

static int gpu_work(void)
{
	struct tgpu_args a;

	submitted = false;
	gpu = open("/dev/test_gpu", O_RDWR);
	if (gpu < 0)
		return -errno;
	opened[nr_opened++] = gpu;
	a = DO(gpu, TGPU_CREATE, tgpu_args, .count = 5, .value = 7);
	if (a.result)
		return a.result == -ENOSPC ? -ENOMEM : a.result;
	bo = a.handle;
	a = DO(gpu, TGPU_BIND, tgpu_args, .handle = bo);
	if (a.result)
		return a.result;
	a = DO(gpu, TGPU_RUN, tgpu_args, .handle = bo, .value = 3, .count = 2);
	submitted = !a.result;
	return a.result;
}

static void gpu_worked(int rc)
{
	struct tgpu_stats s = { 0 };

	(void)rc;
	if (gpu < 0)
		return;
	DO(gpu, TGPU_FINISH, tgpu_args, 0);
	ioctl(gpu, TGPU_STATS, &s);
	CHECK_EQ(s.wrong + s.faults + s.violations, 0);
	if (submitted)
		CHECK_EQ(DO(gpu, TGPU_SUM, tgpu_args, .handle = bo).value, 6);
}

static int test_enomem_binding_and_jobs(void)
{
	if (!ready())
		return SKIP;
	sweep(nothing, gpu_work, gpu_worked);
	return 0;
}

static int mirror;

static int mirror_make(void)
{
	mirror = open("/dev/userptr", O_RDWR);
	if (mirror < 0)
		return -errno;
	opened[nr_opened++] = mirror;
	return DO(mirror, UP_MIRROR, up_args, .addr = (uintptr_t)memory,
		  .count = 1, .flags = UP_PIN).result;
}

static void mirror_made(int rc)
{
	if (!rc)
		CHECK(DO(mirror, UP_LOOK, up_args, 0).pfn);
	munmap(map, 2 * HUGE);
}

static int test_B1_mirroring_without_memory(void)
{
	if (!ready())
		return SKIP;
	sweep(small, mirror_make, mirror_made);
	return 0;
}

static const struct test tests[] = {
	TEST(test_enomem_making_an_object),
	TEST(test_A1_registering_without_memory),
	TEST(test_E1_owning_without_memory),
	TEST(test_E1_owning_a_large_folio_without_memory),
	TEST(test_X9_H_E4_moving_without_memory),
	TEST(test_X9_H_E4_moving_a_large_folio_without_memory),
	TEST(test_E6_coming_back_without_memory),
	TEST(test_C1_making_a_pool_without_memory),
	TEST(test_X9_C14_moving_a_pool_without_memory),
	TEST(test_enomem_binding_and_jobs),
	TEST(test_B1_mirroring_without_memory),
	{ 0 }
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, have_owners());
}
