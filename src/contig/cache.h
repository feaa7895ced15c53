/* SPDX-License-Identifier: MIT */
/*
 * cache.h: what a look at a block found, for the next look, so that planning costs by the blocks
 * that have changed and not by the folios there are.
 *
 * A block is remembered only if all its frames in use were those of live folios, none of them in
 * frames of their owner: then nothing of it changes but by an allocation, a free or a split, which
 * its stamp shows (blocks.h), by a folio's end or move, which is over when nothing is retired or in
 * limbo, or by a pin. So
 *
 *	remembered(b).stamp = stamp(b), nothing retired, in limbo, or pinned by name
 *		=>  remembered(b) is what a look would find
 *
 * What is remembered is of the block alone: whose node it is of, whether that is online, and what
 * the plan's goal says of it are looked at each time.
 *
 * The stamp is of 18 bits, and the frames in use: some 262,144 allocations in a block between two
 * looks, to the very number, would be taken for none. A plan describes a moment that never was
 * exactly in any case; its execution looks at the folios themselves.
 */
#ifndef QUIRE_SRC_CONTIG_CACHE_H
#define QUIRE_SRC_CONTIG_CACHE_H

#include "contig/choose.h"
#include "core/instance.h"

extern const struct quire_layer cache_layer;

struct cached {
	uint32_t stamp;
	uint16_t known; /* 0: nothing is */
	uint16_t cost;
	uint16_t moves[CHOOSE_ORDERS];
	uint16_t slots[CHOOSE_ORDERS];
};

/*
 * What is remembered of all blocks, or NULL: somebody else looks at it just now, there is no memory
 * for it, or what it rests on does not hold. To be given back.
 */
struct cached *cache_get(struct quire *q);
void cache_put(struct quire *q, struct cached *blocks);

#endif
