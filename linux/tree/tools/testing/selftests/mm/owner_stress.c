// SPDX-License-Identifier: GPL-2.0-only
/*
 * All owners at once: threads that migrate, free, attach and detach, truncate,
 * bind, run jobs, own folios and let go of them, while others compact all memory
 * or want some of it in one piece. At the end every byte must be what it was
 * made, every isolation must have ended in one way, and all memory be back.
 *
 * OWNER_STRESS_SEED and OWNER_STRESS_SECONDS can be set. A seed repeats what
 * each thread does, not the order in which they meet.
 */
#define _GNU_SOURCE
#include <time.h>
#include "owner_stress_ops.h"

static unsigned long ran[OPS];

static void *work(void *data)
{
	struct worker *w = data;
	unsigned int i, sum = 0, at;

	for (i = 0; i < OPS; i++)
		sum += ops[i].weight;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		at = any(w, sum);
		for (i = 0; at >= ops[i].weight; i++)
			at -= ops[i].weight;
		ops[i].run(w);
		__atomic_fetch_add(&ran[i], 1, __ATOMIC_RELAXED);
		w->ops++;
	}
	return NULL;
}

/* All of it for some time; then it is looked at, and everything is closed. */

static void worker_begin(struct worker *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->random = seed;
	w->fd = open_path("/dev/folio_owner");
	anon_make(w);
	w->mirrored = mmap(NULL, MIRROR * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(w->mirrored, MIRROR * PAGE, MADV_NOHUGEPAGE);
	mirror_make(w);
}

static void worker_end(struct worker *w)
{
	struct tfo_stats s;
	unsigned int i;

	for (i = 0; i < ANON; i++)
		anon_check(w, i);
	munmap(w->anon, ANON * PAGE);
	close(w->mirror);
	munmap(w->mirrored, MIRROR * PAGE);
	FILE_DO(w->fd, TFO_DRAIN);
	s = stats(w->fd);
	if (w->owns != w->disowns + s.freed[0])
		fail("%lu folios owned, %lu disowned, %u freed", w->owns,
		     w->disowns, s.freed[0]);
	if (s.followed != s.freed[1] || s.freed_early)
		fail("%u owners followed, %u folios left behind, %u early",
		     s.followed, s.freed[1], s.freed_early);
	close(w->fd);
}

static void begin(uint64_t seed)
{
	struct worker *w = &workers[0];
	unsigned int i;

	gpu = open_path("/dev/test_gpu");
	for (i = 0; i < WORKERS; i++)
		worker_begin(&workers[i], seed + i);
	for (i = 0; i < FILES; i++)
		file_make(w, &files[i]);
	for (i = 0; i < POOLS; i++)
		pool_make(w, &pools[i]);
	for (i = 0; i < OBJECTS; i++)
		object_make(w, &objects[i]);
}

static void end(void)
{
	struct tgpu_stats s = { 0 };
	unsigned int i;

	GPU_DO(TGPU_RELEASE);
	GPU_DO(TGPU_FINISH);
	for (i = 0; i < OBJECTS; i++)
		object_check(&objects[i]);
	ioctl(gpu, TGPU_STATS, &s);
	if (s.wrong || s.faults || s.violations)
		fail("engine: %llu words wrong, %llu faults, %llu promises broken",
		     (unsigned long long)s.wrong, (unsigned long long)s.faults,
		     (unsigned long long)s.violations);
	printf("# engine: %llu jobs, %llu pages moved, %llu of them in use\n",
	       (unsigned long long)s.jobs, (unsigned long long)s.moved,
	       (unsigned long long)s.moved_in_use);
	close(gpu);
	for (i = 0; i < FILES; i++) {
		file_check(&files[i]);
		if (files[i].putback && FILE_DO(files[i].fd, TFO_ATTEMPTS).value)
			fail("an attempt has not ended");
		close(files[i].fd);
	}
	for (i = 0; i < POOLS; i++)
		pool_end(&pools[i]);
	for (i = 0; i < WORKERS; i++)
		worker_end(&workers[i]);
}

static void run(uint64_t seed, unsigned int seconds)
{
	time_t end_at = time(NULL) + seconds;
	unsigned int i;

	stop = false;
	begin(seed);
	for (i = 0; i < WORKERS; i++)
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	while (time(NULL) < end_at && !__atomic_load_n(&stop, __ATOMIC_RELAXED))
		usleep(100000);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < WORKERS; i++)
		pthread_join(workers[i].thread, NULL);
	end();
}

/* Pages that are free, or of which the kernel can say what they are. */
static long accounted(void)
{
	static const char * const names[] = { "MemFree:", "Buffers:", "Cached:",
		"AnonPages:", "Slab:", "KernelStack:", "PageTables:", "Percpu:" };
	FILE *f;
	char word[80];
	long value, sum = 0;
	unsigned int i;
	int fd = open_path("/dev/test_gpu");

	ioctl(fd, TGPU_DRAIN, &(struct tgpu_args){ 0 });
	close(fd);
	write_file("/proc/sys/vm/drop_caches", "3");
	/* What each processor has counted by itself is added up. */
	write_file("/proc/sys/vm/stat_refresh", "1");
	f = fopen("/proc/meminfo", "r");
	if (!f)
		return 0;
	while (fscanf(f, "%79s %ld%*[^\n]", word, &value) == 2)
		for (i = 0; i < ARRAY_SIZE(names); i++)
			if (!strcmp(word, names[i]))
				sum += value / 4;
	fclose(f);
	return sum;
}

static long setting(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? strtol(text, NULL, 0) : otherwise;
}

static long before, after, shmem_before, shmem_after;

static int test_X14_A15_A16_everything_at_once(void)
{
	uint64_t seed = setting("OWNER_STRESS_SEED", time(NULL));
	unsigned int seconds = setting("OWNER_STRESS_SECONDS", 20), i;

	printf("# seed %llu, %u seconds\n", (unsigned long long)seed, seconds);
	for (i = 0; i < FILES; i++) {
		pthread_rwlock_init(&files[i].lock, NULL);
		pthread_mutex_init(&files[i].attaching, NULL);
	}
	for (i = 0; i < POOLS; i++)
		pthread_rwlock_init(&pools[i].lock, NULL);
	for (i = 0; i < OBJECTS; i++)
		pthread_rwlock_init(&objects[i].lock, NULL);
	write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	/* What is allocated once and stays is there after a first, short run. */
	run(seed, seconds / 5 + 1);
	before = accounted();
	shmem_before = read_vmstat("nr_shmem");
	if (!wrong_what[0])
		run(seed + WORKERS, seconds - seconds / 5);
	after = accounted();
	shmem_after = read_vmstat("nr_shmem");
	for (i = 0; i < OPS; i++)
		printf("# %s %lu\n", ops[i].name, ran[i]);
	snprintf(why, sizeof(why), "%s", wrong_what);
	return !!wrong_what[0];
}

static int test_C16_C18_every_isolation_has_ended(void)
{
	printf("# %lu moved, %lu put back, %lu freed while isolated\n",
	       pool_moved, pool_put_back, pool_released);
	CHECK(pool_moved && pool_put_back && pool_released);
	CHECK_EQ(read_vmstat("nr_isolated_anon"), 0);
	CHECK_EQ(read_vmstat("nr_isolated_file"), 0);
	return 0;
}

static int test_X14_no_page_is_lost(void)
{
	printf("# %ld pages less than before\n", before - after);
	CHECK(before - after < 256);
	CHECK_EQ(shmem_after, shmem_before);
	return 0;
}

static const struct test tests[] = {
	TEST(test_X14_A15_A16_everything_at_once),
	TEST(test_C16_C18_every_isolation_has_ended),
	TEST(test_X14_no_page_is_lost),
	{ 0 }
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, have_owners());
}
