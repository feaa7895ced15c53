// SPDX-License-Identifier: MIT
/*
 * pin.c: what it costs to keep an address, to read without keeping it, and to make and drop a
 * folio.
 *
 * pin           a pin and its unpin, with call site, against an atomic add and sub on one word
 * pin-2t        the same in two threads on one folio, against one thread
 * read-section  64 bytes read in a read section, in ns more than the bare read
 * folio         a folio of one page made and dropped, against four atomic operations
 */
#include "bench.h"

#include <pthread.h>
#include <quire.h>
#include <string.h>

#define LOOPS 2000000u

static struct quire_folio *folio;

static double pin_loop(void)
{
	double t = bench_now();

	for (unsigned i = 0; i < LOOPS; i++) {
		char *p = quire_pin(folio);

		bench_keep(p);
		quire_unpin(folio);
	}
	return (bench_now() - t) / LOOPS;
}

static double atomic_loop(void)
{
	static uint64_t word;
	double t = bench_now();

	for (unsigned i = 0; i < LOOPS; i++) {
		__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_sub(&word, 1, __ATOMIC_SEQ_CST);
	}
	return (bench_now() - t) / LOOPS;
}

struct thread_bench {
	pthread_barrier_t *start;
	double ns;
};

static void *pin_thread(void *arg)
{
	struct thread_bench *b = arg;

	pthread_barrier_wait(b->start);
	b->ns = pin_loop();
	return NULL;
}

static double pin_two(void)
{
	struct thread_bench b[2];
	pthread_barrier_t start;
	pthread_t other;

	pthread_barrier_init(&start, NULL, 2);
	b[0].start = b[1].start = &start;
	if (pthread_create(&other, NULL, pin_thread, &b[1]))
		return -1;
	pin_thread(&b[0]);
	pthread_join(other, NULL);
	pthread_barrier_destroy(&start);
	return b[0].ns > b[1].ns ? b[0].ns : b[1].ns;
}

static double section_loop(void)
{
	double t = bench_now();
	uint64_t line[8];

	for (unsigned i = 0; i < LOOPS; i++) {
		struct quire_view view;

		if (quire_read_enter())
			return -1;
		do {
			view = quire_view(folio);
			quire_read_bytes(line, view.data, sizeof(line));
		} while (quire_view_stale(folio, view));
		quire_read_leave();
		bench_keep(line[7]);
	}
	return (bench_now() - t) / LOOPS;
}

static double bare_loop(const char *from)
{
	double t = bench_now();
	uint64_t line[8];

	for (unsigned i = 0; i < LOOPS; i++) {
		quire_read_bytes(line, from, sizeof(line));
		bench_keep(line[7]);
	}
	return (bench_now() - t) / LOOPS;
}

static double folio_loop(struct quire_owner *owner)
{
	enum { BATCH = 4096, BATCHES = 16 };
	static struct quire_folio *f[BATCH];
	double t = bench_now();

	for (int b = 0; b < BATCHES; b++) {
		for (int i = 0; i < BATCH; i++)
			if (quire_folio_create(owner, 0, &f[i]))
				return -1;
		for (int i = 0; i < BATCH; i++)
			quire_folio_put(f[i]);
	}
	return (bench_now() - t) / (BATCH * BATCHES);
}

int main(void)
{
	double v[4][BENCH_ROUNDS], c[4][BENCH_ROUNDS], r[4][BENCH_ROUNDS];
	static const char *const name[4] = { "pin", "pin-2t", "read-section", "folio" };
	static const double target[4] = { 0.16, 1.1, 1, 0 };
	static const enum bench_aim aim[4] = { BENCH_AT_MOST, BENCH_AT_MOST, BENCH_MORE,
					       BENCH_NO_TARGET };
	struct quire_owner *owner;
	struct quire *q;
	char *p;

	if (quire_create(QUIRE_OPTIONS(.arena_bytes = 64 << 20), &q) ||
	    quire_owner_create(q, "bench", NULL, NULL, &owner) ||
	    quire_folio_create(owner, 0, &folio)) {
		fprintf(stderr, "pin: out of memory\n");
		return 1;
	}
	p = quire_pin(folio);
	memset(p, 1, 4096);
	quire_unpin(folio);
	for (int i = 0; i < BENCH_ROUNDS; i++) {
		v[0][i] = pin_loop();
		c[0][i] = atomic_loop();
		v[1][i] = pin_two();
		c[1][i] = pin_loop();
		v[2][i] = section_loop();
		c[2][i] = bare_loop(p);
		v[3][i] = folio_loop(owner);
		c[3][i] = 2 * atomic_loop();
		for (int k = 0; k < 4; k++)
			r[k][i] = v[k][i] / c[k][i];
	}
	for (int k = 0; k < 4; k++)
		bench_row(&(struct bench_result){ .name = name[k],
						  .unit = "ns",
						  .value = bench_median(v[k], BENCH_ROUNDS),
						  .control = bench_median(c[k], BENCH_ROUNDS),
						  .ratio = bench_median(r[k], BENCH_ROUNDS),
						  .target = target[k],
						  .aim = aim[k] });
	quire_folio_put(folio);
	return quire_destroy(q) ? 1 : 0;
}
