// SPDX-License-Identifier: MIT
/*
 * stall.c: what it is like to work while everything moves: one thread that reads and pins at
 * random, by handle, and one that moves all of it from one half of the arena to the other and back,
 * without a pause. The control is the same with nothing moving. As many threads as there are cores
 * at most: with one core there is no row.
 *
 * stall        an access, from the first attempt to its success, p99.9 over all of them
 * stall-max    the longest one
 * preempted    the longest one in a window in which the thread was preempted
 *
 * Windows are some hundred accesses; one in which the kernel counts an involuntary switch, or time
 * that one of the two threads was ready and did not run, is preempted, and counts for that row
 * alone: who waits for a folio waits for a mover that does not run, too. That is the machine's
 * doing, and happens with nothing moving as well; its share is told.
 */
#include "bench.h"

#include <fcntl.h>
#include <pthread.h>
#include <quire.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ARENA (256ull << 20)
#define FOLIOS 16384u /* of 4 KiB, a quarter of the arena */
#define WINDOW 256u
#define SAMPLES 2000000u
#define BATCH 512u
#define LINE 64u

static struct quire *q;
static struct quire_folio *folio[FOLIOS];
static int stop_moving;		      /* atomic */
static uint64_t moved;		      /* atomic */
static int schedstat[2] = { -1, -1 }; /* of the accessor, the mover */

struct side {
	uint32_t *ns; /* of each access in a quiet window */
	size_t n;
	double preempted_max;
	size_t windows, preempted;
};

static uint64_t next(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}

static int schedstat_open(void)
{
	return open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
}

/* Time that a thread waited for a processor, as the kernel counts it; 0 where it does not. */
static uint64_t waited_one(int fd)
{
	char text[96];
	ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);
	char *at;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strchr(text, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

static uint64_t waited(void)
{
	return waited_one(schedstat[0]) +
	       waited_one(__atomic_load_n(&schedstat[1], __ATOMIC_ACQUIRE));
}

static long preemptions(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nivcsw;
}

static bool read_line(struct quire_folio *f, uint64_t at)
{
	struct quire_view view;
	uint64_t line[LINE / 8];

	if (quire_read_enter())
		return false;
	do {
		view = quire_view(f);
		quire_read_bytes(line, view.data + at, LINE);
	} while (quire_view_stale(f, view));
	quire_read_leave();
	bench_keep(line[0]);
	return true;
}

static bool pin_line(struct quire_folio *f, uint64_t at)
{
	uint64_t *line = quire_pin(f);

	if (!line)
		return false;
	line[at / 8]++;
	quire_unpin(f);
	return true;
}

static bool window(struct side *side, uint64_t *state)
{
	uint32_t ns[WINDOW], most = 0;
	uint64_t waited_before = waited();
	long before = preemptions();

	for (unsigned i = 0; i < WINDOW; i++) {
		struct quire_folio *f = folio[next(state) % FOLIOS];
		uint64_t at = next(state) % (QUIRE_FRAME_BYTES / LINE) * LINE;
		double t = bench_now();

		if (!(i % 2 ? pin_line(f, at) : read_line(f, at)))
			return false;
		ns[i] = (uint32_t)(bench_now() - t);
		most = ns[i] > most ? ns[i] : most;
	}
	side->windows++;
	if (preemptions() != before || waited() != waited_before) {
		side->preempted++;
		if (most > side->preempted_max)
			side->preempted_max = most;
		return true;
	}
	memcpy(side->ns + side->n, ns, sizeof(ns));
	side->n += WINDOW;
	return true;
}

/* All of it there and back, while accesses go on. */
static void *mover(void *arg)
{
	static struct quire_move move[BATCH];
	uint32_t half = (uint32_t)(ARENA / QUIRE_FRAME_BYTES / 2), to = half;

	__atomic_store_n(&schedstat[1], schedstat_open(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&stop_moving, __ATOMIC_ACQUIRE)) {
		for (uint32_t i = 0; i < FOLIOS; i += BATCH) {
			memset(move, 0, sizeof(move));
			for (uint32_t k = 0; k < BATCH; k++) {
				move[k].folio = folio[i + k];
				move[k].to = quire_frame(to + i + k);
				move[k].to_set = 1;
			}
			if (quire_move_folios(q, move, BATCH, QUIRE_SYNC, 0) < 0) {
				*(int *)arg = 1;
				return NULL;
			}
		}
		__atomic_fetch_add(&moved, FOLIOS, __ATOMIC_RELAXED);
		to = half - to;
	}
	return NULL;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double at(const struct side *side, double share)
{
	return side->n ? side->ns[(size_t)((double)(side->n - 1) * share)] : 0;
}

static bool measure(struct side *side, bool moving)
{
	uint64_t state = 7;
	pthread_t thread;
	int failed = 0;
	bool good = true;

	side->ns = malloc((SAMPLES + WINDOW) * sizeof(*side->ns));
	if (!side->ns)
		return false;
	__atomic_store_n(&stop_moving, 0, __ATOMIC_RELEASE);
	if (moving && pthread_create(&thread, NULL, mover, &failed))
		return false;
	/* Windows that were preempted do not count, and are not to keep it for ever either. */
	while (good && side->n < SAMPLES && side->windows < 4 * SAMPLES / WINDOW)
		good = window(side, &state);
	__atomic_store_n(&stop_moving, 1, __ATOMIC_RELEASE);
	if (moving)
		pthread_join(thread, NULL);
	qsort(side->ns, side->n, sizeof(*side->ns), by_number);
	return good && !failed && side->n;
}

static void row(const char *name, double value, double control, double target)
{
	bench_row(&(struct bench_result){ .name = name,
					  .unit = "us",
					  .value = value / 1e3,
					  .control = control / 1e3,
					  .ratio = value / control,
					  .target = target,
					  .aim = target > 0 ? BENCH_MORE : BENCH_NO_TARGET });
}

static bool setup(void)
{
	struct quire_owner *owner;

	if (quire_create(QUIRE_OPTIONS(.arena_bytes = ARENA), &q) ||
	    quire_owner_create(q, "bench", NULL, NULL, &owner))
		return false;
	for (uint32_t i = 0; i < FOLIOS; i++) {
		if (quire_folio_create_with(owner, QUIRE_FOLIO(.at = quire_frame(i), .at_set = 1),
					    &folio[i]))
			return false;
		memset(quire_pin(folio[i]), 1, QUIRE_FRAME_BYTES);
		quire_unpin(folio[i]);
	}
	return true;
}

int main(void)
{
	struct side still = { 0 }, moving = { 0 };

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		printf("stall          needs two cores: threads that share one wait for each "
		       "other\n");
		return 0;
	}
	schedstat[0] = schedstat_open();
	if (!setup() || !measure(&still, false) || !measure(&moving, true)) {
		fprintf(stderr, "stall: it could not be measured\n");
		free(still.ns);
		free(moving.ns);
		return 1;
	}
	row("stall", at(&moving, 0.999), at(&still, 0.999), 5);
	row("stall-max", at(&moving, 1), at(&still, 1), 0);
	row("preempted", moving.preempted_max, still.preempted_max, 0);
	printf("# %zu and %zu accesses, %.1f %% and %.1f %% of windows preempted; %.1f GiB moved "
	       "meanwhile\n",
	       moving.n, still.n, 100.0 * (double)moving.preempted / (double)moving.windows,
	       100.0 * (double)still.preempted / (double)still.windows,
	       (double)moved * QUIRE_FRAME_BYTES / (1u << 30));
	close(schedstat[0]);
	close(schedstat[1]);
	free(still.ns);
	free(moving.ns);
	return quire_destroy(q) ? 1 : 0;
}
