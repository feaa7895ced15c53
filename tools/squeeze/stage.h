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
struct gem;
struct gem_object;
struct ring;
struct ring_buffer;
struct legacy;
struct watch;
struct inject;

enum holder {
	HOLDER_KV,
	HOLDER_FILLER,
	HOLDER_GEM,
	HOLDER_RING,
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
	uint32_t unit;	/* of gem: its object's number; else its own number with its holder */
	uint32_t at;	/* of gem: its first page in that object */
	uint8_t order;
	uint8_t holder; /* enum holder */
	/* Bound, or registered: whoever cannot ask its owner has to leave it where it is. */
	bool in_use;
};

struct stage {
	uint64_t seed;
	size_t n;
	struct thing *things;	 /* ascending by frame */
	size_t held[HOLDERS];	 /* how many each holder has */
	size_t in_use;		 /* how many of gem and ring are in use */
	size_t ring_wanted;	 /* how many ring would have, were there no limit */
	uint32_t *used[HOLDERS]; /* those of gem, and of ring, that are in use, ascending */
	size_t nused[HOLDERS];
	uint32_t blocks;	   /* with the free ones at the end */
	uint32_t recorded;	   /* without them */
	uint32_t pages;		   /* frames in use */
	bool huge;		   /* arenas are to have 2 MiB pages */
	uint32_t *first;	   /* first[b] to first[b + 1] - 1: the things of block b */
	struct sequence *sequence; /* of each page, see content.h */
	uint64_t *base;		   /* of each page: atomic, changed by who has its sequence */
};

struct stage_shares {
	double pins_pct;     /* in use */
	double refuse_pct;   /* legacy's */
	unsigned owners;     /* OWNERS_..., see options.h */
	uint64_t ring_bytes; /* ring may have registered, at most */
	uint64_t seed;
	bool huge; /* arenas have 2 MiB pages behind them */
};

/*
 * Gives each recorded allocation its holder, chosen by the seed: exactly round(pct * n / 100) are
 * legacy's, and so many in use. A quarter of those in use is ring's, as far as ring_bytes goes, the
 * others are gem's. Of the rest gem has what Linux held to be unmovable, and a tenth of the
 * movable, kv all else. What an owner that takes no part would have had is kv's, or the filler's
 * where kv takes none. -ENOMEM.
 */
int stage_init(struct stage *stage, const struct layout *layout, const struct stage_shares *shares);
void stage_finish(struct stage *stage);

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
	struct gem *gem;
	struct gem_object **objects; /* of gem, those in use first */
	size_t nobjects, nobjects_used;
	struct ring *ring;
	struct ring_buffer **buffers; /* of ring, by unit */
	int file;		      /* what they are compared in; if there are some */
	size_t registered;	      /* of these, before anything moved */
	size_t fixed;		      /* and those used as such when all was compared */
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
