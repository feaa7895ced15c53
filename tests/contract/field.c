// SPDX-License-Identifier: MIT
#include "field.h"

struct quire_plan *range_of(struct quire *q, uint32_t block, uint32_t blocks)
{
	struct quire_plan *plan = NULL;

	assert_int_equal(quire_plan_create(q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RANGE,
						      .first = quire_frame(block * 512),
						      .frames = blocks * 512),
					   &plan),
			 0);
	return plan;
}

struct quire_result run(struct quire_plan *plan, const struct quire_budget *budget, int expected)
{
	struct quire_result r = { .size = sizeof(r) };

	assert_int_equal(quire_plan_execute(plan, budget, &r), expected);
	return r;
}

void field_start(struct field *f)
{
	memset(f, 0, sizeof(*f));
	f->q = make_quire(BLOCKS);
	make_probe(f->q, "with", OP_ALL, &f->with);
	make_probe(f->q, "without", OP_NONE, &f->without);
}

struct item *put_at(struct field *f, unsigned order, uint32_t at)
{
	struct item *item = &f->item[f->n];

	assert_true(f->n < MOST);
	place(f->n % 2 ? &f->with : &f->without, item, order, quire_frame(at), f->n + 1);
	f->n++;
	return item;
}

/* Folios of all sizes up to 16 frames in all blocks, half of the frames free, by a seed. */
void field_fill(struct field *f, uint64_t seed)
{
	for (uint32_t b = 0; b < BLOCKS; b++) {
		for (uint32_t i = 0; i < 512;) {
			unsigned order = (unsigned)(prng(&seed) % 5);

			while (i & ((1u << order) - 1))
				order--;
			if (prng(&seed) % 2)
				put_at(f, order, b * 512 + i);
			i += 1u << order;
		}
	}
}

/* By brute force: bytes of the folios that meet these blocks. */
uint64_t bytes_in(const struct field *f, uint32_t block, uint32_t blocks)
{
	uint64_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		uint32_t at = f->item[i].folio ? at_frame(&f->item[i]) : QUIRE_FRAME_NONE_N;
		uint32_t end = at + (1u << f->item[i].order);

		if (at != QUIRE_FRAME_NONE_N && at < (block + blocks) * 512 && end > block * 512)
			n += 4096u << f->item[i].order;
	}
	return n;
}

unsigned free_blocks(struct quire *q, uint32_t block, uint32_t blocks)
{
	unsigned n = 0;

	for (uint32_t b = block; b < block + blocks; b++) {
		struct quire_block_info info = { .size = sizeof(info) };

		assert_int_equal(quire_block_info(q, b, &info), 0);
		n += !info.used;
	}
	return n;
}

void leave(struct item *item)
{
	drop(item);
	item->folio = NULL;
}

void field_end(struct field *f)
{
	assert_nothing_claimed(f->q);
	assert_ledger_closed(f->q);
	for (size_t i = 0; i < f->n; i++) {
		if (!f->item[i].folio)
			continue;
		assert_intact(&f->item[i]);
		if (f->item[i].probe == &f->with)
			assert_item_ledger(&f->item[i]);
		drop(&f->item[i]);
	}
	assert_frames_free(f->q, BLOCKS * 512);
	end_quire(f->q);
}
