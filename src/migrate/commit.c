// SPDX-License-Identifier: MIT
/*
 * commit.c: the commit: from "quiesced" to "published".
 *
 * For a chunk of folios at a time:
 *   1. MOVING into each word (seq_cst): a new pin waits from here on
 *   2. one membarrier: pairs with the signal fences of pin.h. A pin published before it is seen in
 *      3; one published after it sees MOVING
 *   3. scan the slots and the counts (acquire): the pinned fall out, named, MOVING cleared. Empty
 *      slots are read with acquire: what was stored under a pin that is gone is visible to us
 *   4. copy the rest, non-temporal
 *   5. sfence
 *   6. publish: frame and version + 1 in one release store, which clears MOVING too. Readers that
 *      looked before it find the version changed; those that look after it see the copy
 * The source is authoritative until 6, so every undo before it is to clear MOVING. No user code
 * runs between 1 and 6, and nothing waits.
 */
#include "frame/node.h"
#include "migrate/batch.h"
#include "os/os.h"
#include "util/check.h"
#include "util/points.h"

#include <errno.h>

/*
 * Frames a chunk; a larger folio is a chunk of its own. A writer that meets MOVING waits for its
 * chunk, 64 frames being copied in about 25 us; each chunk costs one membarrier and one scan of the
 * slots. Measured with bench/move on 512 MiB, median of 3: chunks of 8, 16, 32, 64, 128, 512 frames
 * move single pages at 0.51, 0.57, 0.52, 0.62, 0.65, 0.65 of a bare copy's rate, and folios of 16
 * at 0.80, 0.83, 0.86, 0.94, 0.93, 0.98.
 */
#define CHUNK_FRAMES 64

struct chunk {
	struct quire *q;
	struct batch_entry *entry[CHUNK_FRAMES];
	size_t n;
	size_t frames;
};

static char *address(const struct quire *q, struct quire_frame frame)
{
	return node_base(q->node) + ((size_t)frame.n << QUIRE_FRAME_SHIFT);
}

static void mark(struct chunk *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct batch_entry *e = c->entry[i];

		word_step_set(e->folio, STEP_MARK, QUIRE_MOVING_);
		e->pinned = false;
		SYNC_POINT("commit:marked", e->folio);
	}
}

/* Takes entry i out of the chunk; its place is taken by the last. */
static void fall_out(struct chunk *c, size_t i, enum quire_reason why, int code)
{
	struct batch_entry *e = c->entry[i];

	folio_clear(e->folio, QUIRE_MOVING_);
	if (why != QUIRE_REASON_NONE)
		folio_describe(e->folio, why, code, &e->who);
	c->entry[i] = c->entry[--c->n];
}

static void note_short_pins(const struct chunk *c)
{
	struct quire_folio *folio;
	struct batch_entry *e;

	for_each_thread(t)
	{
		for (unsigned s = 0; s < QUIRE_SHORT_PINS; s++) {
			folio = load_acquire(&t->pub.slot[s].folio);
			if (!folio || !folio_is_ours(c->q->folios, folio))
				continue;
			/* The folio's link is our entry while we have it isolated; any other value
			 * belongs to somebody else and compares with none of ours. */
			e = load_relaxed(&folio->link_);
			for (size_t i = 0; i < c->n; i++) {
				if (c->entry[i] != e || e->folio != folio)
					continue;
				e->pinned = true;
				slot_describe(t, s, folio, &e->who);
			}
		}
	}
}

static void scan(struct chunk *c)
{
	note_short_pins(c);
	for (size_t i = 0; i < c->n;) {
		struct batch_entry *e = c->entry[i];

		/* acquire: pairs with the release of unpin_long */
		if (COUNT_PINS(load_acquire(&e->folio->count_))) {
			/* A pin that went between the count and its name is still why. */
			if (!folio_pinned_long_by(c->q, e->folio, false, &e->who) && !e->pinned)
				folio_describe(e->folio, QUIRE_REASON_LONG_PIN, -EAGAIN, &e->who);
			e->pinned = true;
		}
		if (e->pinned) {
			fall_out(c, i, QUIRE_REASON_NONE, 0);
			continue;
		}
		SYNC_POINT("commit:scanned", e->folio);
		i++;
	}
}

static void copy(struct quire_batch *batch, struct chunk *c)
{
	for (size_t i = 0; i < c->n;) {
		struct batch_entry *e = c->entry[i], *next = c->entry[i + 1 < c->n ? i + 1 : i];
		size_t bytes = (size_t)QUIRE_FRAME_BYTES << e->order;
		int error;

		/* Written after the copies, anywhere in memory. */
		node_prefetch_tag(c->q->node, e->dst);
		node_prefetch_tag(c->q->node, e->src);
		error = copy_frames(address(c->q, e->dst), address(c->q, e->src), bytes,
				    address(c->q, next->src));

		if (error) {
			/* The destination holds rubbish that nobody will see (contract X11). */
			e->state = ENTRY_FAILED;
			batch->recopied += bytes;
			count(c->q, recopied_bytes, bytes);
			fall_out(c, i, QUIRE_REASON_COPY, error);
			continue;
		}
		i++;
	}
	copy_done();
}

/*
 * Only this mover changes the frame and the version while ISOLATED is set; others may still raise
 * WAITERS, so the store is a compare-and-exchange. Before: the tag of dst names the folio.
 */
static void publish(struct batch_entry *e)
{
	const struct quire_owner *owner = e->folio->owner_;
	bool has_op = e->entered && owner->ops.migrate;
	uint64_t word = load_relaxed(&e->folio->word_), new;
	/* With an op the folio stays isolated until the op has returned. */
	uint64_t flags = has_op ? QUIRE_ISOLATED_ | QUIRE_MOVED_ : 0;

	SYNC_POINT("commit:copied", e->folio);
	if (!flags) /* the next mover may have it as soon as it is published */
		store_relaxed(&e->folio->link_, NULL);
	CHECK(word_frame(word) == e->src.n);
	do
		new = word_make(word + QUIRE_WORD_VERSION_ONE_, e->dst.n, e->order) | flags;
	while (!word_step_release(e->folio, STEP_PUBLISH, &word, new));
	if (word & QUIRE_WAITERS_)
		os_futex_wake_all(folio_futex(e->folio));
	e->state = ENTRY_MOVED;
	SYNC_POINT("commit:published", e->folio);
}

/*
 * Three passes, since each tag is a cache miss and the processor waits for all stores before it
 * does an atomic operation: in passes the misses overlap (bench/move: 40 ns less a folio). A tag
 * that names a folio which is not there yet, or not any more, leads to nothing. The places at src
 * are this mover's still, whoever moves the folio on.
 */
static uint64_t publish_all(struct chunk *c)
{
	struct quire *q = c->q;
	uint64_t frames = 0;

	for (size_t i = 0; i < c->n; i++)
		node_set_tag(q->node, c->entry[i]->dst,
			     folio_number(q->folios, c->entry[i]->folio));
	for (size_t i = 0; i < c->n; i++)
		publish(c->entry[i]);
	for (size_t i = 0; i < c->n; i++) {
		node_set_tag(q->node, c->entry[i]->src, 0);
		frames += 1u << c->entry[i]->order;
	}
	return frames * QUIRE_FRAME_BYTES;
}

static void commit_chunk(struct quire_batch *batch, struct chunk *c)
{
	struct quire_owner *owner = c->entry[0]->folio->owner_; /* a batch is of one */
	uint64_t closed = os_clock_ns(), start, bytes;
	int error;

	copy_ahead(address(c->q, c->entry[0]->src));
	mark(c);
	count(c->q, barriers, 1);
	error = threads_barrier();
	if (error) {
		/* Nothing may be concluded about pins: nobody moves. */
		while (c->n) {
			c->entry[0]->state = ENTRY_FAILED;
			fall_out(c, 0, QUIRE_REASON_BARRIER, error);
		}
	} else {
		scan(c);
		start = os_clock_ns();
		copy(batch, c);
		batch->copy_ns += os_clock_ns() - start;
		bytes = publish_all(c);
		count(c->q, moved_bytes, bytes);
		count(c->q, moved, c->n);
		owner_note_moved(owner, c->n, bytes);
	}
	owner_note_closed(owner, os_clock_ns() - closed);
	c->n = 0;
	c->frames = 0;
}

int batch_commit(struct quire_batch *batch)
{
	struct chunk c = { .q = batch->quire };
	int result = 0;

	count(batch->quire, commits, 1);
	for (size_t i = 0; i < batch->n; i++) {
		struct batch_entry *e = batch->entry[i];

		if (e->state != ENTRY_ISOLATED || e->skipped)
			continue;
		if (c.n && c.frames + (1u << e->order) > CHUNK_FRAMES)
			commit_chunk(batch, &c);
		c.entry[c.n++] = e;
		c.frames += 1u << e->order;
	}
	if (c.n)
		commit_chunk(batch, &c);
	for (size_t i = 0; i < batch->n; i++)
		if (batch->entry[i]->state == ENTRY_ISOLATED && !batch->entry[i]->skipped)
			result = -EAGAIN;
	return result;
}

/* --- what an op sees of its batch --- */

static bool mine(const struct quire_batch *batch)
{
	const struct thread *t = (const struct thread *)(const void *)quire_thread_self_;

	return batch && t && batch == &t->batch && batch->active;
}

int quire_move_commit(struct quire_batch *batch)
{
	int error;

	if (!mine(batch))
		return -EINVAL;
	if (batch->done)
		return -EALREADY;
	error = batch_commit(batch);
	batch->done = !error;
	return error;
}

size_t quire_batch_count(const struct quire_batch *batch)
{
	return mine(batch) ? batch->n : 0;
}

struct quire_folio *quire_batch_folio(const struct quire_batch *batch, size_t i)
{
	return mine(batch) && i < batch->n ? batch->entry[i]->folio : NULL;
}

bool quire_batch_moved(const struct quire_batch *batch, size_t i)
{
	return mine(batch) && i < batch->n && batch->entry[i]->state == ENTRY_MOVED;
}

int quire_batch_skip(struct quire_batch *batch, size_t i, int code)
{
	struct batch_entry *e;

	if (!mine(batch) || i >= batch->n || code >= 0)
		return -EINVAL;
	e = batch->entry[i];
	if (e->state == ENTRY_MOVED)
		return -EALREADY;
	e->skipped = true;
	folio_describe(e->folio, QUIRE_REASON_OWNER_BUSY, code, &e->who);
	return 0;
}
