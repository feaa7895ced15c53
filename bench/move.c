// SPDX-License-Identifier: MIT
/*
 * move.c: how fast do folios move, against a bare non-temporal copy of the same pages in the same
 * order? One thread, one owner without ops, places random over an arena of 4 GiB, or as many MiB as
 * the argument says.
 */
#include "bench.h"

#include <quire.h>
#include <string.h>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

static void copy(char *to, const char *from, size_t bytes, const char *next)
{
#if defined(__x86_64__)
	__m128i *d = (__m128i *)(void *)to;
	const __m128i *s = (const __m128i *)(const void *)from;

	for (size_t i = 0; i < bytes / 16; i += 4) {
		/* The page after this one, which no hardware prefetcher can guess. */
		_mm_prefetch(i + 256 < bytes / 16 ? (const char *)(s + i + 256)
						  : next + (i * 16) % 4096,
			     _MM_HINT_NTA);
		_mm_stream_si128(d + i, _mm_load_si128(s + i));
		_mm_stream_si128(d + i + 1, _mm_load_si128(s + i + 1));
		_mm_stream_si128(d + i + 2, _mm_load_si128(s + i + 2));
		_mm_stream_si128(d + i + 3, _mm_load_si128(s + i + 3));
	}
#else
	(void)next;
	memcpy(to, from, bytes);
#endif
}

static uint64_t rng = 88172645463325252ull;

static uint64_t random_next(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static void shuffle(uint32_t *v, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = random_next() % i;
		uint32_t t = v[i - 1];

		v[i - 1] = v[j];
		v[j] = t;
	}
}

/*
 * Half the places of an arena hold a folio; in each round all of them move to the other half, in
 * random order. The control copies the same pages between the same addresses, there and back.
 */
static int measure(const char *name, unsigned order, uint64_t arena)
{
	size_t places = (size_t)(arena >> (12 + order)), n = places / 2;
	uint32_t *at = calloc(places, sizeof(*at)), *to = calloc(n, sizeof(*to));
	struct quire_folio **folio = calloc(n, sizeof(struct quire_folio *));
	struct quire_move *move = calloc(n, sizeof(*move));
	double rate[BENCH_ROUNDS], control[BENCH_ROUNDS], ratio[BENCH_ROUNDS];
	size_t bytes = (size_t)4096 << order;
	struct quire_owner *owner;
	struct quire *q;
	int failed = 1;
	char *base;

	if (!at || !to || !folio || !move ||
	    quire_create(QUIRE_OPTIONS(.arena_bytes = arena), &q) ||
	    quire_owner_create(q, "bench", NULL, NULL, &owner))
		goto out;
	for (size_t i = 0; i < places; i++)
		at[i] = (uint32_t)i;
	shuffle(at, places);
	for (size_t i = 0; i < n; i++) {
		if (quire_folio_create_with(owner,
					    QUIRE_FOLIO(.order = order, .at_set = 1,
							.at = quire_frame(at[i] << order)),
					    &folio[i]))
			goto out;
		memset(quire_pin(folio[i]), (int)i, bytes);
		quire_unpin(folio[i]);
	}
	base = (char *)quire_pin(folio[0]) - ((size_t)at[0] << (12 + order));
	quire_unpin(folio[0]);
	for (size_t i = n; i < places; i++)
		memset(base + ((size_t)at[i] << (12 + order)), 0, bytes);
	for (int r = 0; r < BENCH_ROUNDS; r++) {
		double t0, t1, t2;

		shuffle(at + n, places - n);
		t0 = bench_now();
		for (size_t i = 0; i < n; i++)
			copy(base + ((size_t)at[n + i] << (12 + order)),
			     base + ((size_t)at[i] << (12 + order)), bytes,
			     base + ((size_t)at[i + 1] << (12 + order)));
		t1 = bench_now();
		for (size_t i = 0; i < n; i++) {
			move[i].folio = folio[i];
			move[i].to_set = 1;
			move[i].to = quire_frame(at[n + i] << order);
		}
		t2 = bench_now();
		if (quire_move_folios(q, move, n, QUIRE_ASYNC, 0))
			goto out;
		rate[r] = (double)(n * bytes) / (bench_now() - t2);
		control[r] = (double)(n * bytes) / (t1 - t0);
		ratio[r] = rate[r] / control[r];
		memcpy(to, at, n * sizeof(*to));
		memcpy(at, at + n, n * sizeof(*at));
		memcpy(at + n, to, n * sizeof(*at));
	}
	bench_row(&(struct bench_result){ .name = name,
					  .unit = "GB/s",
					  .value = bench_median(rate, BENCH_ROUNDS),
					  .control = bench_median(control, BENCH_ROUNDS),
					  .ratio = bench_median(ratio, BENCH_ROUNDS),
					  .target = order ? 0.95 : 0.80,
					  .aim = BENCH_AT_LEAST });
	for (size_t i = 0; i < n; i++)
		quire_folio_put(folio[i]);
	failed = quire_destroy(q) ? 1 : 0;
out:
	free(at);
	free(to);
	free(folio);
	free(move);
	return failed;
}

int main(int argc, char **argv)
{
	uint64_t arena = (uint64_t)(argc > 1 ? atoi(argv[1]) : 4096) << 20;

	if (measure("move-4k", 0, arena) || measure("move-64k", 4, arena) ||
	    measure("move-2m", 9, arena)) {
		fprintf(stderr, "move: out of memory, or a move failed\n");
		return 1;
	}
	return 0;
}
