// SPDX-License-Identifier: MIT
/*
 * alloc.c: what it costs to take a place and give it back, below folios: the frame allocator alone.
 *
 * alloc-0, alloc-9  an alloc and its free, in batches of thousands, against four uncontended atomic
 *                   operations
 * alloc-2t          alloc-0 in two threads, against one thread
 */
#include "bench.h"

#include <frame/blocks.h>
#include <pthread.h>

#define BLOCKS 8192u /* 16 GiB, of which only the bookkeeping is real */
#define BATCH 4096u
#define BATCHES 64u

static struct blocks blocks;
static struct blocks_counts counts;

/* Nanoseconds for a pair; negative if there was no memory. */
static double pairs(uint32_t *frame, unsigned order, unsigned batch, unsigned batches)
{
	double t = bench_now();

	for (unsigned b = 0; b < batches; b++) {
		for (unsigned i = 0; i < batch; i++)
			if (blocks_alloc(&blocks, order, BLOCK_MOVABLE, false, &frame[i]))
				return -1;
		for (unsigned i = 0; i < batch; i++)
			blocks_free(&blocks, order, frame[i]);
	}
	return (bench_now() - t) / ((double)batch * batches);
}

static double four_atomics(void)
{
	static uint64_t word;
	double t = bench_now();

	for (unsigned i = 0; i < BATCH * BATCHES; i++) {
		__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_sub(&word, 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_sub(&word, 1, __ATOMIC_SEQ_CST);
	}
	return (bench_now() - t) / (BATCH * BATCHES);
}

struct thread_bench {
	pthread_barrier_t *start;
	double ns;
	uint32_t frame[BATCH];
};

static void *pairs_thread(void *arg)
{
	struct thread_bench *b = arg;

	pthread_barrier_wait(b->start);
	b->ns = pairs(b->frame, 0, BATCH, BATCHES);
	return NULL;
}

static double pairs_two(void)
{
	static struct thread_bench b[2];
	pthread_barrier_t start;
	pthread_t other;

	pthread_barrier_init(&start, NULL, 2);
	b[0].start = b[1].start = &start;
	if (pthread_create(&other, NULL, pairs_thread, &b[1]))
		return -1;
	pairs_thread(&b[0]);
	pthread_join(other, NULL);
	pthread_barrier_destroy(&start);
	return b[0].ns > b[1].ns ? b[0].ns : b[1].ns;
}

int main(void)
{
	static const char *const name[3] = { "alloc-0", "alloc-9", "alloc-2t" };
	static const double target[3] = { 1.5, 1.5, 1.15 };
	double v[3][BENCH_ROUNDS], c[3][BENCH_ROUNDS], r[3][BENCH_ROUNDS];
	static uint32_t frame[BATCH];

	if (blocks_init(&blocks, BLOCKS, &counts)) {
		fprintf(stderr, "alloc: out of memory\n");
		return 1;
	}
	for (int i = 0; i < BENCH_ROUNDS; i++) {
		v[0][i] = pairs(frame, 0, BATCH, BATCHES);
		c[0][i] = four_atomics();
		v[1][i] = pairs(frame, 9, BATCH, BATCHES);
		c[1][i] = c[0][i];
		v[2][i] = pairs_two();
		c[2][i] = v[0][i];
		for (int k = 0; k < 3; k++)
			r[k][i] = v[k][i] / c[k][i];
	}
	for (int k = 0; k < 3; k++)
		bench_row(&(struct bench_result){ .name = name[k],
						  .unit = "ns",
						  .value = bench_median(v[k], BENCH_ROUNDS),
						  .control = bench_median(c[k], BENCH_ROUNDS),
						  .ratio = bench_median(r[k], BENCH_ROUNDS),
						  .target = target[k] });
	blocks_finish(&blocks);
	return 0;
}
