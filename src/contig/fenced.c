// SPDX-License-Identifier: MIT
#include "contig/fenced.h"

#include "util/mem.h"

#include <errno.h>

#define SAME (QUIRE_WORD_FRAME_MASK_ | QUIRE_WORD_VERSION_MASK_ | QUIRE_DEAD_)

int fenced_hold(struct fenced *f, struct quire_fence *fence)
{
	struct quire_fence **grown =
		mem_grow(f->held, &f->held_capacity, f->held_n + 1, sizeof(struct quire_fence *));

	if (!grown)
		return -ENOMEM;
	f->held = grown;
	f->held[f->held_n++] = fence;
	return 0;
}

int fenced_add(struct fenced *f, struct quire_folio *folio, struct quire_frame frame,
	       struct quire_fence *fence, uint32_t window, const struct quire_blocker *who)
{
	uint64_t word = load_acquire(&folio->word_);
	struct fenced_folio *grown;

	if (word_frame(word) != frame.n) /* somebody else moved it meanwhile */
		return 0;
	grown = mem_grow(f->at, &f->capacity, f->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	f->at = grown;
	f->at[f->n++] = (struct fenced_folio){
		.folio = folio,
		.word = word,
		.fence = fence,
		.window = window,
		.who = *who,
	};
	return 0;
}

bool fenced_valid(const struct fenced_folio *entry)
{
	return !entry->done && !((load_acquire(&entry->folio->word_) ^ entry->word) & SAME);
}

static int by_folio(const void *a, const void *b)
{
	const struct fenced_folio *x = a, *y = b;

	return (x->folio > y->folio) - (x->folio < y->folio);
}

void fenced_sort(struct fenced *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		if (fenced_valid(&f->at[i]))
			f->at[n++] = f->at[i];
	f->n = f->sorted = n;
	if (n)
		qsort(f->at, n, sizeof(*f->at), by_folio);
}

struct fenced_folio *fenced_find(const struct fenced *f, const struct quire_folio *folio)
{
	size_t low = 0, high = f->sorted;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->at[mid].folio < folio)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == f->sorted || f->at[low].folio != folio || !fenced_valid(&f->at[low]))
		return NULL;
	return &f->at[low];
}

void fenced_finish(struct fenced *f)
{
	while (f->held_n)
		quire_fence_put(f->held[--f->held_n]);
	mem_free(f->held);
	mem_free(f->at);
	memset(f, 0, sizeof(*f));
}
