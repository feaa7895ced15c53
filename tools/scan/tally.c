// SPDX-License-Identifier: MIT
#include "tally.h"

static const uint16_t steps[TALLY_STEPS] = { 1, 8, 64, PAGES_BLOCK - 1, PAGES_BLOCK };

void tally_begin(struct tally *t, const struct pages *p)
{
	const struct pages_zone *zones;

	t->parts = pages_zones(p, &zones) + 1;
	for (size_t i = 0; i + 1 < t->parts; i++) {
		t->per_cpu += zones[i].per_cpu;
		t->unmanaged += zones[i].unmanaged;
	}
	t->each = 1;
}

static struct tally_part *part_of(struct tally *t, const struct pages *p, uint64_t number)
{
	const struct pages_zone *zones;
	size_t n = pages_zones(p, &zones);
	uint64_t first = number * PAGES_BLOCK, last = first + PAGES_BLOCK - 1;

	for (size_t i = 0; i < n; i++)
		if ((first >= zones[i].frames.from && first < zones[i].frames.to) ||
		    (last >= zones[i].frames.from && last < zones[i].frames.to))
			return &t->part[i];
	return &t->part[n];
}

/* Two entries become one; used is kept as the mean, rounded up so that little is not nothing. */
static void halve(struct tally *t)
{
	for (size_t i = 0; i < TALLY_MAP / 2; i++) {
		struct heat a = t->heat[2 * i], b = t->heat[2 * i + 1];

		t->heat[i].used = (uint16_t)((a.used + b.used + 1) / 2);
		t->heat[i].stays = a.stays || b.stays;
	}
	t->map /= 2;
	t->each *= 2;
}

static void close_entry(struct tally *t)
{
	if (!t->in_last)
		return;
	t->heat[t->map - 1].used = (uint16_t)((t->last_used + t->in_last - 1) / t->in_last);
	t->in_last = 0;
	t->last_used = 0;
}

static void map_block(struct tally *t, unsigned used, bool stays)
{
	if (t->in_last == t->each)
		close_entry(t);
	if (!t->in_last) {
		if (t->map == TALLY_MAP)
			halve(t);
		t->heat[t->map++] = (struct heat){ 0 };
	}
	t->in_last++;
	t->last_used += used;
	t->heat[t->map - 1].stays |= stays;
}

static void part_block(struct tally_part *part, unsigned free, unsigned blocking)
{
	part->blocks++;
	if (blocking) {
		part->blocked++;
		part->frames_blocked += free;
	} else if (free == PAGES_BLOCK) {
		part->free++;
	} else {
		part->movable++;
		part->pages_moved += PAGES_BLOCK - free;
	}
}

void tally_block(struct tally *t, const struct pages *p, const struct pages_block *b)
{
	unsigned count[PAGE_COUNT] = { 0 }, blocking = 0, kinds = 0, step = 0;

	for (unsigned i = 0; i < PAGES_BLOCK; i++)
		count[b->kind[i]]++;
	for (unsigned k = 0; k < PAGE_COUNT; k++) {
		t->kind[k].pages += count[k];
		if (count[k] && !pages_moves(p, k)) {
			blocking += count[k];
			kinds++;
		}
	}
	for (unsigned k = 0; k < PAGE_COUNT; k++) {
		if (!count[k] || pages_moves(p, k))
			continue;
		t->kind[k].blocks++;
		t->kind[k].alone += kinds == 1;
		t->kind[k].by_one += blocking == 1;
	}
	if (blocking) {
		while (blocking > steps[step])
			step++;
		t->by_pages[step]++;
	}
	part_block(&t->all, count[PAGE_free], blocking);
	part_block(part_of(t, p, b->number), count[PAGE_free], blocking);
	map_block(t, PAGES_BLOCK - count[PAGE_free], blocking != 0);
}

void tally_end(struct tally *t)
{
	close_entry(t);
}

void tally_step(unsigned step, unsigned *from, unsigned *to)
{
	*from = step ? steps[step - 1] + 1u : 1;
	*to = steps[step];
}

uint64_t tally_at_best(const struct tally *t)
{
	uint64_t best = 0;

	for (size_t i = 0; i < t->parts; i++) {
		const struct tally_part *p = &t->part[i];
		uint64_t kept =
			p->pages_moved > p->frames_blocked ? p->pages_moved - p->frames_blocked : 0;

		best += p->free + p->movable - (kept + PAGES_BLOCK - 1) / PAGES_BLOCK;
	}
	return best;
}
