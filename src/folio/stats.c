// SPDX-License-Identifier: MIT
/*
 * stats.c: what callers may know of a quire: its counters and its blocks.
 */
#include "folio/extent.h"
#include "folio/folios.h"
#include "frame/node.h"

#include <errno.h>
#include <string.h>

int quire_stats_get(struct quire *q, struct quire_stats *stats)
{
	struct quire_stats s = { .size = sizeof(s) };
	size_t size;

	if (!q || !stats)
		return -EINVAL;
	size = stats->size;
	if (size < 2 * sizeof(uint64_t))
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
#define COPY(name, text) s.name = load_relaxed(&q->counts.name);
	QUIRE_COUNTERS(COPY)
#undef COPY
	for (unsigned i = 0; i < QUIRE_REASON_COUNT; i++)
		s.not_moved[i] = load_relaxed(&q->counts.not_moved[i]);
	s.frames = (uint64_t)node_blocks(q->node) * QUIRE_BLOCK_FRAMES;
	s.frames_free = node_free_frames(q->node);
	s.frames_idle = node_idle_frames(q->node);
	s.folios_live = load_relaxed(&q->folios->live);
	s.folios_retired = load_relaxed(&q->folios->retired);
	s.frames_extents = extents_frames(q);
	s.frames_limbo = load_relaxed(&q->folios->limbo_frames);
	pthread_mutex_lock(&q->folios->table_lock);
	s.metadata_bytes =
		node_metadata_bytes(q->node) + q->folios->high * sizeof(struct quire_folio);
	pthread_mutex_unlock(&q->folios->table_lock);
	memcpy(stats, &s, size < sizeof(s) ? size : sizeof(s));
	stats->size = size;
	return 0;
}

uint32_t quire_blocks(const struct quire *q)
{
	return node_blocks(q->node);
}

int quire_block_info(struct quire *q, uint32_t block, struct quire_block_info *info)
{
	struct quire_block_info i = { .size = sizeof(i) };
	struct node_block b;
	struct quire_folio *folio;
	size_t size;

	if (!q || !info || info->size < sizeof(size_t) || block >= node_blocks(q->node))
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	size = info->size;
	node_look(q->node, block, &b);
	i.used = QUIRE_BLOCK_FRAMES - b.free;
	i.claimed = b.claim != NULL;
	i.idle = b.idle;
	i.extents = extents_in_block(q, block);
	for (unsigned f = 0; f < QUIRE_BLOCK_FRAMES; f++) {
		if (!bits_test(&b.used, f))
			continue;
		folio = folio_peek_at(q, quire_frame(block * QUIRE_BLOCK_FRAMES + f));
		if (!folio)
			continue;
		i.folios++;
		i.long_pins += COUNT_PINS(load_relaxed(&folio->count_)) != 0;
	}
	memcpy(info, &i, size < sizeof(i) ? size : sizeof(i));
	info->size = size;
	return 0;
}
