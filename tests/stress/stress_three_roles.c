/* SPDX-License-Identifier: MIT */
/*
 * stress_three_roles.c: mutators, readers and movers at once, over the same folios.
 *
 *	mutators  make folios, write them under pins, check them, hold long pins and references,
 *	          drop them; each slot of the table is one mutator's at a time (its lock)
 *	readers   find folios in the table and read them in sections, without any lock
 *	movers    plans with random goals and budgets, of ranges too; single folios from the table;
 *	          and they give back what is free
 *
 * Every word of a folio's content is its cookie: slot, generation, and where the word stands. What
 * must hold while all of it runs: no reader and no mutator ever sees a word of another slot or
 * place; within one generation of a slot (its sequence), all words agree. When everything is quiet:
 * every folio is whole, created = freed, isolated = moved + putbacks + freed_isolated, free ops =
 * folios of owners that have one, and all frames are free.
 *
 * QUIRE_SEED and QUIRE_STRESS_OPS (of each mutator; the others go on as long as they do) are read
 * from the environment; the seed is printed. Threads race, so a seed repeats what each thread does,
 * not how they interleave.
 */
#include "support.h"

#include <sched.h>
#include <stdlib.h>

#define SLOTS 192
#define BLOCKS 24
#define MUTATORS 2
#define READERS 2
#define MOVERS 2
#define OWNERS 3
#define HELD 6 /* long pins of one mutator at once */
#if QUIRE_TSAN_
#define DEFAULT_OPS 25000 /* of each mutator: some seconds everywhere */
#else
#define DEFAULT_OPS 150000
#endif

struct slot {
	pthread_mutex_t lock;
	struct quire_folio *folio; /* atomic; the index */
	uint64_t sequence;	   /* atomic; odd while the content is being written */
	uint64_t generation;	   /* atomic; raised by each writing */
	unsigned order;		   /* under lock */
};

struct table {
	struct quire *q;
	struct quire_owner *owner[OWNERS];
	struct slot slot[SLOTS];
	uint64_t ops;
	uint64_t seed;
	unsigned mutating; /* atomic: mutators that have not finished */
	/* found by the threads; atomic */
	uint64_t wrong, reads, read_retries, read_dead, moved, not_moved, plans, runs;
	uint64_t freed_told, full;
};

struct worker {
	struct table *t;
	uint64_t rng;
	struct hand hand;
	struct {
		struct quire_pin *pin;
		uint32_t slot;
	} held[HELD];
};

static struct table table_;

static void wrong(const char *what, uint64_t slot)
{
	if (BUMP(&table_.wrong) <= 10)
		fprintf(stderr, "wrong: %s, slot %llu\n", what, (unsigned long long)slot);
}

/* Now and then the others get the processor at the worst moment. */
static void let_others(uint64_t dice)
{
	if (dice % 64 == 0)
		sched_yield();
}

/* --- owners: one without ops, two that answer as they please ------------------------------- */

/* Random, but of no thread's state: ops run anywhere. */
static uint64_t dice(void)
{
	static uint64_t state;
	uint64_t s = __atomic_add_fetch(&state, 0x9e3779b97f4a7c15ull, __ATOMIC_RELAXED);

	return prng(&s);
}

static int moody_isolate(struct quire_folio *folio, enum quire_mode mode, void *arg)
{
	uint64_t d = dice() % 32;

	(void)folio;
	(void)mode;
	(void)arg;
	return d == 0 ? -EPERM : d == 1 ? -EAGAIN : 0;
}

static int moody_migrate(struct quire_batch *batch, enum quire_mode mode, void *arg)
{
	uint64_t d = dice() % 32;
	int code;

	(void)mode;
	(void)arg;
	for (size_t i = 0; i < quire_batch_count(batch); i++) {
		struct quire_folio *folio = quire_batch_folio(batch, i);

		if (dice() % 16 == 0)
			(void)quire_batch_skip(batch, i, dice() % 2 ? -EAGAIN : -EIO);
		else if (dice() % 16 == 0 && quire_pin(folio))
			quire_unpin(folio);
	}
	let_others(dice());
	if (d == 0)
		return -EAGAIN;
	if (d == 1)
		return 0; /* forgot the commit */
	code = quire_move_commit(batch);
	if (code == -EAGAIN && d < 16)
		code = quire_move_commit(batch);
	return d == 2 ? -EIO : code;
}

static void moody_putback(struct quire_folio *folio, void *arg)
{
	(void)folio;
	(void)arg;
}

static void moody_free(struct quire_folio *folio, enum quire_free_reason reason, void *arg)
{
	struct table *t = arg;

	(void)reason;
	BUMP(&t->freed_told);
	if (quire_folio_get(folio))
		wrong("a dead folio gave a reference", 0);
}

static const struct quire_owner_ops moody_ops = {
	.size = sizeof(moody_ops),
	.isolate = moody_isolate,
	.migrate = moody_migrate,
	.putback = moody_putback,
	.free = moody_free,
};

static const struct quire_owner_ops told_ops = {
	.size = sizeof(told_ops),
	.free = moody_free,
};

/* --- content ------------------------------------------------------------------------------ */

static uint64_t cookie(uint64_t slot, uint64_t generation, uint64_t i)
{
	return slot << 48 | (generation & 0xffffff) << 24 | (i & 0xffffff);
}

static void write_all(struct slot *s, uint64_t number, char *content)
{
	uint64_t generation = s->generation + 1;
	size_t words = ((size_t)4096 << s->order) / 8;

	__atomic_store_n(&s->generation, generation, __ATOMIC_RELAXED);
	for (size_t i = 0; i < words; i++) {
		uint64_t word = cookie(number, generation, i);

		quire_write_bytes(content + i * 8, &word, 8);
	}
}

/* Under the slot's lock: nobody writes but us. */
static void check_all(struct slot *s, uint64_t number, const char *content)
{
	size_t words = ((size_t)4096 << s->order) / 8;

	for (size_t i = 0; i < words; i++) {
		uint64_t word;

		quire_read_bytes(&word, content + i * 8, 8);
		if (word != cookie(number, s->generation, i)) {
			wrong("content under a pin", number);
			return;
		}
	}
}

static void sequence_begin(struct slot *s)
{
	__atomic_fetch_add(&s->sequence, 1, __ATOMIC_SEQ_CST);
}

static void sequence_end(struct slot *s)
{
	__atomic_fetch_add(&s->sequence, 1, __ATOMIC_SEQ_CST);
}

/* --- mutators ----------------------------------------------------------------------------- */

static void make(struct table *t, struct worker *w, struct slot *s, uint64_t number)
{
	unsigned order = (unsigned)(prng(&w->rng) % 16 ? prng(&w->rng) % 3 : prng(&w->rng) % 6);
	struct quire_folio *folio;
	char *content;

	if (quire_folio_create(t->owner[prng(&w->rng) % OWNERS], order, &folio)) {
		BUMP(&t->full);
		return;
	}
	sequence_begin(s);
	s->order = order;
	content = quire_pin(folio);
	if (!content) {
		wrong("a new folio cannot be pinned", number);
		return;
	}
	write_all(s, number, content);
	quire_unpin(folio);
	__atomic_store_n(&s->folio, folio, __ATOMIC_RELEASE);
	sequence_end(s);
}

static void rewrite(struct slot *s, uint64_t number)
{
	char *content = quire_pin(s->folio);

	if (!content) {
		wrong("a live folio cannot be pinned", number);
		return;
	}
	check_all(s, number, content);
	sequence_begin(s);
	write_all(s, number, content);
	sequence_end(s);
	let_others(s->generation);
	check_all(s, number, content);
	quire_unpin(s->folio);
}

static void drop_slot(struct slot *s)
{
	struct quire_folio *folio = s->folio;

	sequence_begin(s);
	__atomic_store_n(&s->folio, NULL, __ATOMIC_RELEASE);
	sequence_end(s);
	quire_folio_put(folio);
}

static void hold(struct table *t, struct worker *w, struct slot *s, uint32_t number)
{
	size_t k = prng(&w->rng) % HELD;
	const struct quire_folio *was;

	if (w->held[k].pin) {
		was = quire_pin_folio(w->held[k].pin);
		/* It may be dead by now; the address holds all the same. */
		if (quire_pin_address(w->held[k].pin) != quire_folio_content(was))
			wrong("a long pin lost its address", w->held[k].slot);
		quire_unpin_long(w->held[k].pin);
		w->held[k].pin = NULL;
		return;
	}
	if (quire_pin_long(s->folio, t->owner[prng(&w->rng) % OWNERS], &w->held[k].pin)) {
		wrong("a live folio cannot be pinned long", number);
		return;
	}
	w->held[k].slot = number;
	check_all(s, number, quire_pin_address(w->held[k].pin));
}

static void many_pins(struct slot *s, uint64_t number, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (!quire_pin(s->folio))
			wrong("a live folio cannot be pinned again", number);
	check_all(s, number, quire_folio_content(s->folio));
	for (uint64_t i = 0; i < n; i++)
		quire_unpin(s->folio);
}

static void mutate(void *arg)
{
	struct worker *w = arg;
	struct table *t = w->t;

	for (uint64_t done = 0; done < t->ops; done++) {
		uint32_t number = (uint32_t)(prng(&w->rng) % SLOTS);
		struct slot *s = &t->slot[number];
		uint64_t what = prng(&w->rng) % 16;

		if (pthread_mutex_trylock(&s->lock))
			continue;
		if (!s->folio) {
			make(t, w, s, number);
		} else if (what < 4) {
			drop_slot(s);
		} else if (what < 10) {
			rewrite(s, number);
		} else if (what < 12) {
			hold(t, w, s, number);
		} else if (what < 13) {
			many_pins(s, number, 1 + prng(&w->rng) % 11);
		} else if (quire_folio_get(s->folio)) {
			many_pins(s, number, 1);
			quire_folio_put(s->folio);
		} else {
			wrong("a live folio gave no reference", number);
		}
		pthread_mutex_unlock(&s->lock);
	}
	for (size_t k = 0; k < HELD; k++)
		quire_unpin_long(w->held[k].pin);
	__atomic_sub_fetch(&t->mutating, 1u, __ATOMIC_SEQ_CST);
}

/* --- readers ------------------------------------------------------------------------------ */

#define PEEK 512 /* words at most */

static void read_one(struct table *t, struct worker *w, uint32_t number)
{
	struct slot *s = &t->slot[number];
	uint64_t words[PEEK], before, after, first, offset;
	uint64_t n = prng(&w->rng) % 4 ? 16 : PEEK;
	struct quire_folio *folio;
	struct quire_view view;

	before = __atomic_load_n(&s->sequence, __ATOMIC_ACQUIRE);
	folio = __atomic_load_n(&s->folio, __ATOMIC_ACQUIRE);
	if (!folio)
		return;
	for (;;) {
		view = quire_view(folio);
		if (!view.data) {
			BUMP(&t->read_dead);
			return;
		}
		offset = prng(&w->rng) % ((quire_folio_bytes(folio) / 8) - n + 1);
		let_others(prng(&w->rng));
		quire_read_bytes(words, view.data + offset * 8, n * 8);
		if (!quire_view_stale(folio, view))
			break;
		BUMP(&t->read_retries);
	}
	BUMP(&t->reads);
	/* Whoever writes: it is this slot's, and these words stand at this place. */
	for (uint64_t i = 0; i < n; i++) {
		if (words[i] >> 48 == number && (words[i] & 0xffffff) == offset + i)
			continue;
		wrong("content in a section", number);
		return;
	}
	QUIRE_FENCE_ACQUIRE_();
	after = __atomic_load_n(&s->sequence, __ATOMIC_ACQUIRE);
	if (before != after || before & 1)
		return; /* written or replaced meanwhile: the generations may differ */
	first = words[0] >> 24;
	for (uint64_t i = 1; i < n; i++)
		if (words[i] >> 24 != first)
			wrong("a torn generation in a section", number);
}

static void read_all(void *arg)
{
	struct worker *w = arg;
	struct table *t = w->t;

	while (SEE(&t->mutating)) {
		uint64_t n = 1 + prng(&w->rng) % 8;

		if (quire_read_enter()) {
			wrong("a section cannot be entered", 0);
			return;
		}
		for (; n; n--)
			read_one(t, w, (uint32_t)(prng(&w->rng) % SLOTS));
		quire_read_leave();
	}
}

/* --- movers ------------------------------------------------------------------------------- */

static enum quire_mode any_mode(struct worker *w)
{
	return prng(&w->rng) % 3 == 0 ? QUIRE_SYNC_LIGHT : QUIRE_ASYNC;
}

static void move_some(struct table *t, struct worker *w)
{
	struct quire_move moves[16];
	size_t n = 0, want = 1 + prng(&w->rng) % COUNT_OF(moves);
	long left;

	if (quire_read_enter())
		return;
	for (size_t i = 0; i < want; i++) {
		struct slot *s = &t->slot[prng(&w->rng) % SLOTS];
		struct quire_folio *folio = __atomic_load_n(&s->folio, __ATOMIC_ACQUIRE);

		if (folio && quire_folio_get(folio))
			moves[n++] = (struct quire_move){ .folio = folio };
	}
	quire_read_leave();
	left = quire_move_folios(t->q, moves, n, any_mode(w), 200000);
	if (left < 0 || left > (long)n)
		wrong("move_folios", (uint64_t)-left);
	for (size_t i = 0; i < n; i++) {
		if (moves[i].code) {
			BUMP(&t->not_moved);
			if (moves[i].who.why == QUIRE_REASON_NONE)
				wrong("not moved without a reason", i);
		} else {
			BUMP(&t->moved);
		}
		quire_folio_put(moves[i].folio);
	}
}

static struct quire_goal any_goal(struct worker *w)
{
	struct quire_goal goal = { .size = sizeof(goal) };
	uint32_t first = (uint32_t)(prng(&w->rng) % BLOCKS);

	goal.kind = prng(&w->rng) % 2 ? QUIRE_GOAL_RUNS : QUIRE_GOAL_RANGE;
	if (goal.kind == QUIRE_GOAL_RUNS) {
		goal.frames = 512;
		goal.count = prng(&w->rng) % 2 ? QUIRE_MAX : 1 + prng(&w->rng) % 8;
	} else {
		goal.first = quire_frame(first * 512);
		goal.frames = 512 * (1 + (uint32_t)(prng(&w->rng) % (BLOCKS - first)));
	}
	return goal;
}

static void plan_some(struct table *t, struct worker *w)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_goal goal = any_goal(w);
	struct quire_plan *plan;
	int code;

	code = quire_plan_create(t->q, &goal, &plan);
	if (code) {
		wrong("plan_create", (uint64_t)-code);
		return;
	}
	code = quire_plan_execute(
		plan,
		QUIRE_BUDGET(.mode = any_mode(w), .mode_set = 1, .folio_ns = 200000,
			     .bytes = prng(&w->rng) % 2 ? 0 : prng(&w->rng) % (8 << 20),
			     .deadline_ns = prng(&w->rng) % 2 ? 0 : 5 * MSEC),
		&r);
	if (code && code != -EBUSY && code != -ENOSPC && code != -ETIMEDOUT && code != -EDQUOT)
		wrong("plan_execute", (uint64_t)-code);
	for (size_t i = 0; i < quire_plan_blockers(plan); i++) {
		const struct quire_blocker *b = quire_plan_blocker(plan, i);

		if (!b->owner || !b->site || !*b->reason || b->why == QUIRE_REASON_NONE)
			wrong("a blocker without a name", i);
	}
	BUMP(&t->plans);
	__atomic_fetch_add(&t->runs, r.obtained, __ATOMIC_RELAXED);
	quire_plan_destroy(plan);
	if (prng(&w->rng) % 2 && quire_give_back(t->q, prng(&w->rng) % (16 << 20)) < 0)
		wrong("give_back", 0);
}

static void move_all(void *arg)
{
	struct worker *w = arg;
	struct table *t = w->t;

	while (SEE(&t->mutating)) {
		if (prng(&w->rng) % 8 == 0)
			plan_some(t, w);
		else
			for (unsigned i = 0; i < 4; i++)
				move_some(t, w);
	}
}

/* --- all of it ---------------------------------------------------------------------------- */

static void check_quiet(struct table *t)
{
	uint64_t live = 0, frames = 0;
	struct quire_stats s;

	for (uint64_t i = 0; i < SLOTS; i++) {
		struct slot *slot = &t->slot[i];
		char *content;

		if (!slot->folio)
			continue;
		live++;
		frames += 1u << slot->order;
		assert_int_equal(quire_folio_order(slot->folio), slot->order);
		assert_false(quire_folio_on_the_move(slot->folio));
		content = quire_pin(slot->folio);
		assert_non_null(content);
		check_all(slot, i, content);
		quire_unpin(slot->folio);
	}
	assert_int_equal(t->wrong, 0);
	assert_frames_free(t->q, BLOCKS * 512 - frames);
	s = stats_of(t->q);
	assert_int_equal(s.folios_live, live);
	assert_int_equal(s.folios_created, s.folios_freed + live);
	assert_ledger_closed(t->q);
	/* Everything moves now but what its owner refuses: nothing is pinned, nothing isolated. */
	for (uint64_t i = 0; i < SLOTS; i++) {
		struct quire_folio *folio = t->slot[i].folio;

		if (folio && quire_folio_owner(folio) != t->owner[0])
			assert_int_equal(move_folio(folio, QUIRE_ASYNC, 0).code, 0);
	}
}

static void test_stress_three_roles(void **state)
{
	static struct worker workers[MUTATORS + READERS + MOVERS];
	struct table *t = &table_;
	struct quire_stats s;

	(void)state;
	t->seed = seed_of("stress", 20261121);
	t->mutating = MUTATORS;
	t->ops = number_of("QUIRE_STRESS_OPS", DEFAULT_OPS);
	t->q = make_quire(BLOCKS);
	assert_int_equal(quire_owner_create(t->q, "moody", &moody_ops, t, &t->owner[0]), 0);
	assert_int_equal(quire_owner_create(t->q, "told", &told_ops, t, &t->owner[1]), 0);
	assert_int_equal(quire_owner_create(t->q, "plain", NULL, NULL, &t->owner[2]), 0);
	for (size_t i = 0; i < SLOTS; i++)
		pthread_mutex_init(&t->slot[i].lock, NULL);
	for (size_t i = 0; i < COUNT_OF(workers); i++) {
		workers[i].t = t;
		workers[i].rng = t->seed + i;
		hand_start(&workers[i].hand);
	}
	for (size_t i = 0; i < COUNT_OF(workers); i++)
		hand_post(&workers[i].hand,
			  i < MUTATORS		   ? mutate
			  : i < MUTATORS + READERS ? read_all
						   : move_all,
			  &workers[i]);
	for (size_t i = 0; i < COUNT_OF(workers); i++)
		hand_join(&workers[i].hand);
	check_quiet(t);
	for (size_t i = 0; i < SLOTS; i++)
		if (t->slot[i].folio)
			drop_slot(&t->slot[i]);
	assert_frames_free(t->q, BLOCKS * 512);
	s = stats_of(t->q);
	assert_int_equal(s.folios_created, s.folios_freed);
	assert_int_equal(s.op_free, t->freed_told);
	assert_int_equal(t->wrong, 0);
	printf("# stress: %llu folios, %llu moved, %llu put back, %llu freed isolated; "
	       "%llu reads, %llu again, %llu dead; %llu plans, %llu runs; %llu pins waited, "
	       "%llu spilled; %llu MiB given back; 0 wrong\n",
	       (unsigned long long)s.folios_created, (unsigned long long)s.moved,
	       (unsigned long long)s.putbacks, (unsigned long long)s.freed_isolated,
	       (unsigned long long)t->reads, (unsigned long long)t->read_retries,
	       (unsigned long long)t->read_dead, (unsigned long long)t->plans,
	       (unsigned long long)t->runs, (unsigned long long)s.pin_waits,
	       (unsigned long long)s.spilled_pins, (unsigned long long)s.given_back_bytes >> 20);
	/* All three roles had their part. */
	assert_true(s.given_back_bytes > 0);
	assert_true(s.moved > 0 && t->reads > 0 && s.folios_created > SLOTS / 2);
	end_quire(t->q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stress_three_roles),
	};

	return cmocka_run_group_tests_name("stress", tests, NULL, NULL);
}
