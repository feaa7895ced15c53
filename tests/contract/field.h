/* SPDX-License-Identifier: MIT */
/*
 * field.h: a quire full of folios, each of which is known, so that what lives where is counted by
 * brute force, folio by folio. What goals are tested with.
 */
#ifndef QUIRE_TESTS_FIELD_H
#define QUIRE_TESTS_FIELD_H

#include "support.h"

#define BLOCKS 8
#define MOST 2048

/* The item of a folio that is gone has none. */
struct field {
	struct quire *q;
	struct probe with, without;
	struct item item[MOST];
	size_t n;
};

void field_start(struct field *field);
/* One folio at this frame; every other one has an owner with ops. */
struct item *put_at(struct field *field, unsigned order, uint32_t at);
/* Folios of all sizes up to 16 frames in all blocks, half of the frames free, by a seed. */
void field_fill(struct field *field, uint64_t seed);
/* Drops a folio. */
void leave(struct item *item);
/* Bytes of the folios that meet these blocks. */
uint64_t bytes_in(const struct field *field, uint32_t block, uint32_t blocks);
unsigned free_blocks(struct quire *quire, uint32_t block, uint32_t blocks);
/* Everything is whole and accounted for; ends it. */
void field_end(struct field *field);

/* A plan for these blocks as a range. */
struct quire_plan *range_of(struct quire *quire, uint32_t block, uint32_t blocks);
/* Executes it; it has to answer that. */
struct quire_result run(struct quire_plan *plan, const struct quire_budget *budget, int expected);

#endif
