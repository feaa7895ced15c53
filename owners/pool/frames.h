/* SPDX-License-Identifier: MIT */
/*
 * frames.h: the free frames of a pool: chunks with a bitmap each. The caller has the pool's lock.
 */
#ifndef QUIRE_OWNERS_POOL_FRAMES_H
#define QUIRE_OWNERS_POOL_FRAMES_H

#include "pool.h"

#define CHUNK_WORDS (QUIRE_BLOCK_FRAMES / 64u)

struct chunk {
	uint32_t first;		    /* its first frame */
	uint32_t free;		    /* frames not in use */
	uint64_t used[CHUNK_WORDS]; /* a bit a frame; those past the chunk's end are set */
};

/* In the order of their first frames. */
struct frames {
	struct chunk *chunk;
	size_t n, room;
	unsigned order; /* of a chunk */
	uint64_t free;
};

/* Room for n more chunks. -ENOMEM. */
int frames_reserve(struct frames *frames, uint64_t n);
/* One more chunk, all of it free; there is room. */
void frames_add(struct frames *frames, struct quire_frame first);
/* Takes an empty chunk out, the last one but `skip`: *first. false: there is none. */
bool frames_remove_empty(struct frames *frames, size_t skip, struct quire_frame *first);

/* A free place, aligned to its order. false: there is none. */
bool frames_take(struct frames *frames, unsigned order, struct quire_frame *frame);
/* The place is free; returns how many of its frames were in use. -EINVAL: it is no place here. */
int frames_give(struct frames *frames, unsigned order, struct quire_frame frame);

/* The chunk a frame is in, or NULL. */
struct chunk *frames_chunk(const struct frames *frames, struct quire_frame frame);
/* The largest order that frames_take() can serve; -1: none. */
int frames_largest(const struct frames *frames);
/* NULL, or what is wrong. */
const char *frames_validate(const struct frames *frames);

#endif
