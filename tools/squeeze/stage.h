/* SPDX-License-Identifier: MIT */
/*
 * stage.h: the recorded layout as a cast of things, each with a holder, and arenas to put it in.
 *
 * A stage is made once from layout, shares and seed. It knows where each thing belongs, who holds
 * it, and, outside of every arena, what each of its bytes should be. An arena puts the things in
 * place as folios; one exists at a time.
 */
#ifndef SQUEEZE_STAGE_H
#define SQUEEZE_STAGE_H

#include <quire.h>

#include "../layout.h"

struct kv;
struct sequence;
struct busy;
struct legacy;
struct watch;
struct inject;

enum holder {
	HOLDER_KV,
	HOLDER_FILLER,
	HOLDER_BUSY,
	HOLDER_LEGACY,
	HOLDERS,
};

/* As its owner is called. */
const char *holder_name(enum holder holder);

/* One recorded allocation. */
struct thing {
	/*
	 * Atomic. Set when it is put in place; of kv, which hands no folios out, when it is first
	 * on the move: NULL until then.
	 */
	struct quire_folio *folio;
	uint32_t frame; /* where it is laid out */
	uint32_t page;	/* its first page, counting those of all things */
	uint32_t unit;	/* its number with its holder */
	uint8_t order;
	uint8_t holder; /* enum holder */
};

struct stage {
	uint64_t seed;
	size_t n;
	struct thing *things;	   /* ascending by frame */
	size_t held[HOLDERS];	   /* how many each holder has */
	uint32_t blocks;	   /* with the free ones at the end */
	uint32_t recorded;	   /* without them */
	uint32_t pages;		   /* frames in use */
	uint32_t *first;	   /* first[b] to first[b + 1] - 1: the things of block b */
	struct sequence *sequence; /* of each page, see content.h */
};

/*
 * Gives each recorded allocation its holder: exactly round(pct * n / 100) of each kind, chosen by
 * the seed; the rest is kv's and the filler's in halves. -ENOMEM.
 */
int stage_init(struct stage *stage, const struct layout *layout, double pins_pct, double refuse_pct,
	       uint64_t seed);
void stage_finish(struct stage *stage);

/* Gives a thing another holder, before there is an arena; to: not legacy. */
void stage_give(struct stage *stage, size_t thing, enum holder to);

/* Bytes of memory that putting it in an arena and squeezing it can take, at most. */
uint64_t stage_memory(const struct stage *stage);

/* What the harness tells while it works; returning other than 0 ends the work. */
struct stage_progress {
	int (*step)(void *arg, size_t done, size_t all);
	void *arg;
};

/* Who is told about moves, in the mover's thread: this thing is on the move from now on. */
struct arena_hooks {
	void (*isolated)(void *arg, size_t thing);
	void *arg;
	const struct inject *inject; /* NULL: no owner refuses */
};

struct arena {
	struct stage *stage;
	bool owners; /* false: whoever uses a page cannot be asked */
	struct arena_hooks hooks;
	struct quire *quire;
	struct quire_owner *filler;
	struct kv *kv;
	struct busy *busy;
	struct legacy *legacy;
	struct watch *watch; /* of the owners; NULL without them */
};

/*
 * Makes an arena, puts all things in place, and fills them with version 0 of their content.
 * 0, -errno, or -ECANCELED if progress said so; *what then says what failed. The arena is to be
 * destroyed in any case.
 */
int arena_create(struct arena *arena, struct stage *stage, bool owners,
		 const struct arena_hooks *hooks, const struct stage_progress *progress,
		 const char **what);

/*
 * Uses, and frees again, as many free frames as are to be moved, where best fit will want them:
 * outside of the blocks with taken[b] != 0, smallest places first. A machine's free memory was in
 * use before; without this, moving would be timed together with the kernel's first-touch faults.
 * 0, -errno, or -ECANCELED.
 */
int arena_warm(struct arena *arena, const uint8_t *taken, uint64_t frames,
	       const struct stage_progress *progress);

/* After moves: the filler has no op in which its watch would have seen where its things went. */
void arena_find_again(struct arena *arena);

/* Where a thing is now. */
static inline uint32_t thing_frame(const struct thing *t)
{
	return t->folio ? quire_folio_frame(t->folio).n : t->frame;
}

/* Who holds a thing in this arena. */
enum holder arena_holder(const struct arena *arena, const struct thing *thing);

/*
 * Compares every byte of every thing with what it should be; nothing else may write meanwhile.
 * Adds to *wrong. 0, -errno, or -ECANCELED.
 */
int arena_verify(struct arena *arena, const struct stage_progress *progress, uint64_t *wrong);

/* 0; -EBUSY where the library says that something is still held. */
int arena_destroy(struct arena *arena);

#endif
