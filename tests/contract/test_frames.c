/* SPDX-License-Identifier: MIT */
/*
 * test_frames.c: owners with frames of their own. The pool of these tests hands out the frame that
 * came back last, and counts: gets = puts + what is lent.
 */
#include "support.h"

#define POOL_MAX 600

struct pool {
	struct probe p;
	uint32_t frame[POOL_MAX]; /* idle, of order 0 */
	unsigned n;
	unsigned gets, puts;
	enum quire_mode mode; /* of the latest get */
	struct script says;
	bool gives; /* what comes back goes to the allocator at once */
	void (*on_put)(struct pool *pool);
	uint32_t offer; /* not NONE: what get offers, whatever it is */
	pthread_mutex_t lock;
};

static int pool_get(unsigned order, enum quire_mode mode, struct quire_frame *frame, void *arg)
{
	struct pool *pool = ((struct probe *)arg)->arg;
	int answer = pool->says.n
			     ? pool->says.answers[pool->says.at < pool->says.n ? pool->says.at++
									       : pool->says.n - 1]
			     : 0;

	CHECK(order == 0);
	pool->mode = mode;
	if (answer)
		return answer;
	if (pool->offer != QUIRE_FRAME_NONE_N) {
		*frame = quire_frame(pool->offer);
		return 0;
	}
	pthread_mutex_lock(&pool->lock);
	if (pool->n)
		*frame = quire_frame(pool->frame[--pool->n]);
	else
		answer = -ENOMEM;
	pool->gets += !answer;
	pthread_mutex_unlock(&pool->lock);
	return answer;
}

static void pool_put(unsigned order, struct quire_frame frame, void *arg)
{
	struct pool *pool = ((struct probe *)arg)->arg;

	CHECK(order == 0);
	pthread_mutex_lock(&pool->lock);
	pool->puts++;
	if (!pool->gives)
		pool->frame[pool->n++] = frame.n;
	pthread_mutex_unlock(&pool->lock);
	if (pool->gives)
		quire_frames_give(pool->p.owner, 0, frame);
	if (pool->on_put)
		pool->on_put(pool);
}

static void make_pool(struct quire *q, const char *name, struct pool *pool)
{
	memset(pool, 0, sizeof(*pool));
	make_probe(q, name, OP_ALL, &pool->p);
	assert_int_equal(quire_owner_destroy(pool->p.owner), 0);
	pool->p.ops.frame_get = pool_get;
	pool->p.ops.frame_put = pool_put;
	pool->p.arg = pool;
	pool->offer = QUIRE_FRAME_NONE_N;
	pthread_mutex_init(&pool->lock, NULL);
	assert_int_equal(quire_owner_create(q, name, &pool->p.ops, &pool->p, &pool->p.owner), 0);
}

/* Takes 2^order frames and keeps them as single ones, the lowest on top. */
static uint32_t fill_pool(struct pool *pool, unsigned order)
{
	struct quire_frame frame;

	assert_int_equal(quire_frames_take(pool->p.owner, order, &frame), 0);
	for (uint32_t i = 1u << order; i-- > 0;)
		pool->frame[pool->n++] = frame.n + i;
	return frame.n;
}

static unsigned lent(const struct pool *pool)
{
	return pool->gets - pool->puts;
}

/* A quire of four blocks, a pool of 64 frames, one folio. */
struct own {
	struct quire *q;
	struct pool pool;
	struct item it;
	uint32_t first; /* of the pool's frames */
};

static void own_start(struct own *o)
{
	o->q = make_quire(4);
	make_pool(o->q, "pool", &o->pool);
	o->first = fill_pool(&o->pool, 6);
	assert_int_equal(stats_of(o->q).frames_idle, 64);
	place(&o->pool.p, &o->it, 0, ANYWHERE, 77);
	assert_int_equal(stats_of(o->q).frames_idle, 63);
}

static void own_end(struct own *o)
{
	assert_intact(&o->it);
	assert_item_ledger(&o->it);
	drop(&o->it);
	assert_frames_free(o->q, 4 * 512 - 64);
	assert_int_equal(o->it.freed, 1);
	assert_int_equal(lent(&o->pool), 0);
	assert_int_equal(o->pool.n, 64);
	assert_int_equal(stats_of(o->q).frames_idle, 64);
	assert_ledger_closed(o->q);
	no_points();
	assert_null(folios_validate(o->q));
	/* What it has taken goes back with it. */
	assert_int_equal(quire_owner_destroy(o->pool.p.owner), 0);
	assert_frames_free(o->q, 4 * 512);
	end_quire(o->q);
}

static bool is_own(const struct own *o, uint32_t frame)
{
	return frame >= o->first && frame < o->first + 64;
}

static void test_HE4_registration_and_arguments(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_owner *owner = NULL;
	struct quire_frame frame;
	struct pool pool, other;
	struct probe plain;

	(void)state;
	make_pool(q, "pool", &pool);
	make_pool(q, "other", &other);
	make_probe(q, "plain", OP_NONE, &plain);
	pool.p.ops.frame_put = NULL;
	assert_int_equal(quire_owner_create(q, "half", &pool.p.ops, NULL, &owner), -EINVAL);
	pool.p.ops.frame_put = pool_put;
	pool.p.ops.frame_get = NULL;
	assert_int_equal(quire_owner_create(q, "half", &pool.p.ops, NULL, &owner), -EINVAL);
	assert_int_equal(quire_frames_take(NULL, 0, &frame), -EINVAL);
	assert_int_equal(quire_frames_take(plain.owner, 0, &frame), -EINVAL);
	assert_int_equal(quire_frames_take(pool.p.owner, 10, &frame), -EINVAL);
	assert_int_equal(quire_frames_take(pool.p.owner, 0, NULL), -EINVAL);
	assert_int_equal(quire_frames_take(pool.p.owner, 9, &frame), 0);
	assert_int_equal(frame.n, 0);
	assert_int_equal(quire_frames_take(other.p.owner, 0, &frame), -ENOMEM);
	assert_true(quire_frame_is_none(frame));
	/* Frames that are not its own, not idle, or not aligned, stay where they are. */
	assert_int_equal(quire_frames_give(NULL, 0, quire_frame(0)), -EINVAL);
	assert_int_equal(quire_frames_give(plain.owner, 0, quire_frame(0)), -EINVAL);
	assert_int_equal(quire_frames_give(other.p.owner, 0, quire_frame(0)), -EINVAL);
	assert_int_equal(quire_frames_give(pool.p.owner, 1, quire_frame(1)), -EINVAL);
	assert_int_equal(quire_frames_give(pool.p.owner, 0, quire_frame(512)), -EINVAL);
	assert_int_equal(stats_of(q).frames_idle, 512);
	/* In parts, as it likes. */
	quire_frames_give(pool.p.owner, 8, quire_frame(256));
	quire_frames_give(pool.p.owner, 8, quire_frame(256));
	assert_int_equal(stats_of(q).frames_idle, 256);
	assert_int_equal(quire_frames_take(other.p.owner, 8, &frame), 0);
	assert_int_equal(frame.n, 256);
	assert_int_equal(quire_owner_destroy(other.p.owner), 0);
	assert_int_equal(stats_of(q).frames_free, 256);
	end_quire(q);
}

/* Made, moved and freed, a folio never leaves its owner's frames; and each of them comes back. */
static void test_HE4_folios_live_in_their_owners_frames(void **state)
{
	struct quire_block_info info = { .size = sizeof(info) };
	struct own o;

	(void)state;
	own_start(&o);
	assert_int_equal(o.pool.mode, QUIRE_SYNC);
	for (unsigned i = 0; i < 10; i++) {
		uint32_t old = at_frame(&o.it);

		assert_int_equal(move_folio(o.it.folio, QUIRE_SYNC_LIGHT, 0).code, 0);
		assert_int_not_equal(at_frame(&o.it), old);
		assert_true(is_own(&o, at_frame(&o.it)));
		assert_int_equal(o.pool.mode, QUIRE_SYNC_LIGHT);
		assert_int_equal(lent(&o.pool), 1);
		assert_int_equal(o.pool.frame[o.pool.n - 1], old);
		assert_int_equal(stats_of(o.q).frames_free, 4 * 512 - 64);
	}
	assert_int_equal(quire_block_info(o.q, o.first / 512, &info), 0);
	assert_int_equal(info.used, 64);
	assert_int_equal(info.idle, 63);
	assert_int_equal(stats_of(o.q).op_frame_get, 11);
	assert_int_equal(stats_of(o.q).op_frame_put, 10);
	own_end(&o);
}

/* Nothing comes back that a reader may still be looking at. */
static void test_HE4_frames_come_back_after_their_readers(void **state)
{
	struct deed d;
	struct hand hand;
	struct own o;

	(void)state;
	own_start(&o);
	hand_start(&hand);
	d = (struct deed){ .folio = o.it.folio };
	hand_do(&hand, deed_enter, &d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_int_equal(o.pool.puts, 0);
	assert_int_equal(lent(&o.pool), 2);
	(void)quire_reclaim(o.q);
	assert_int_equal(o.pool.puts, 0);
	assert_true(content_is(d.view.data, 77, 4096));
	hand_do(&hand, deed_leave, &d);
	assert_int_equal(quire_reclaim(o.q), 0);
	assert_int_equal(o.pool.puts, 1);
	/* The same for one that is freed. */
	hand_do(&hand, deed_enter, &d);
	drop(&o.it);
	assert_int_equal(quire_reclaim(o.q), 1);
	assert_int_equal(o.pool.puts, 1);
	hand_do(&hand, deed_leave, &d);
	assert_int_equal(quire_reclaim(o.q), 0);
	assert_int_equal(o.pool.puts, 2);
	hand_stop(&hand);
	place(&o.pool.p, &o.it, 0, ANYWHERE, 77);
	own_end(&o);
}

/* A destination that was not used comes back, whyever. */
static void test_HE4_an_unused_frame_comes_back(void **state)
{
	static const int code[] = { -EIO, -EBUSY, -EAGAIN };
	struct quire_pin *pin;
	struct own o;

	(void)state;
	own_start(&o);
	for (size_t i = 0; i < COUNT_OF(code); i++) {
		o.pool.p.migrate_says = SCRIPT(code[i]);
		assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, code[i]);
		assert_int_equal(lent(&o.pool), 1);
	}
	o.pool.p.migrate_says = SCRIPT(0);
	quire_fault_arm_("copy", 1, -EIO);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EIO);
	assert_true(quire_fault_disarm_());
	assert_int_equal(lent(&o.pool), 1);
	assert_int_equal(quire_pin_long(o.it.folio, o.pool.p.owner, &pin), 0);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, -EAGAIN);
	quire_unpin_long(pin);
	assert_int_equal(lent(&o.pool), 1);
	assert_int_equal(o.pool.puts, 5);
	/* No descriptor for a folio that has its place. */
	quire_fault_arm_("mem", 1, -ENOMEM);
	assert_int_equal(quire_folio_create(o.pool.p.owner, 0, &(struct quire_folio *){ NULL }),
			 -ENOMEM);
	assert_true(quire_fault_disarm_());
	assert_int_equal(lent(&o.pool), 1);
	own_end(&o);
}

/* The folio's last reference goes while a place for it has been found. */
static void let_it_go(void *arg)
{
	drop(arg);
}

static void test_HE4_freed_with_a_destination(void **state)
{
	struct own o;

	(void)state;
	own_start(&o);
	at_point("migrate:before", o.it.folio, let_it_go, &o.it);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).who.why, QUIRE_REASON_FREED);
	assert_int_equal(o.it.freed, 1);
	assert_int_equal(quire_reclaim(o.q), 0);
	assert_int_equal(lent(&o.pool), 0);
	no_points();
	place(&o.pool.p, &o.it, 0, ANYWHERE, 77);
	own_end(&o);
}

/* --- what an owner may answer ------------------------------------------------------------- */

static void test_HE4_frame_get_may_refuse(void **state)
{
	struct quire_folio *folio;
	struct quire_move move;
	struct own o;

	(void)state;
	own_start(&o);
	o.pool.says = SCRIPT(-EAGAIN, 0);
	move = move_folio(o.it.folio, QUIRE_SYNC, SEC);
	assert_int_equal(move.code, 0);
	assert_int_equal(move.tries, 2);
	assert_int_equal(o.it.putback, 1);
	o.pool.says = SCRIPT(-ENOMEM);
	move = move_folio(o.it.folio, QUIRE_SYNC, SEC);
	assert_int_equal(move.code, -ENOMEM);
	assert_int_equal(move.who.why, QUIRE_REASON_NO_FRAMES);
	assert_string_equal(move.who.owner, "pool");
	assert_int_equal(o.it.putback, 2);
	assert_int_equal(quire_folio_create(o.pool.p.owner, 0, &folio), -ENOMEM);
	assert_null(folio);
	o.pool.says = SCRIPT(0);
	own_end(&o);
}

/* What is not an idle frame of its own is refused, and nothing is lost by it. */
static void test_HE4_a_frame_that_is_not_the_owners_is_refused(void **state)
{
	struct pool other;
	struct quire_folio *folio;
	struct own o;

	(void)state;
	own_start(&o);
	make_pool(o.q, "other", &other);
	fill_pool(&other, 0);
	{
		const uint32_t wrong[] = {
			at_frame(&o.it), other.frame[0], 1000,
			4 * 512,	 1u << 31,	 QUIRE_FRAME_NONE_N - 1
		};

		for (size_t i = 0; i < COUNT_OF(wrong); i++) {
			struct quire_move move;

			o.pool.offer = wrong[i];
			move = move_folio(o.it.folio, QUIRE_SYNC, SEC);
			assert_int_equal(move.code, -EPROTO);
			assert_int_equal(move.who.why, QUIRE_REASON_OWNER_PROTO);
			assert_int_equal(quire_folio_create(o.pool.p.owner, 0, &folio), -EPROTO);
			assert_null(folio);
			assert_intact(&o.it);
		}
	}
	assert_int_equal(o.pool.puts, 0);
	o.pool.offer = QUIRE_FRAME_NONE_N;
	assert_int_equal(quire_owner_destroy(other.p.owner), 0);
	own_end(&o);
}

static int misaligned(unsigned order, enum quire_mode mode, struct quire_frame *frame, void *arg)
{
	(void)mode;
	CHECK(order == 1);
	*frame = quire_frame(*(uint32_t *)arg + 1);
	return 0;
}

static void test_HE4_a_misaligned_frame_is_refused(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_owner_ops ops = { .size = sizeof(ops),
				       .frame_get = misaligned,
				       .frame_put = pool_put };
	struct quire_owner *owner;
	struct quire_folio *folio;
	struct quire_frame frame;
	uint32_t first;

	(void)state;
	assert_int_equal(quire_owner_create(q, "crooked", &ops, &first, &owner), 0);
	assert_int_equal(quire_frames_take(owner, 3, &frame), 0);
	first = frame.n;
	assert_int_equal(quire_folio_create(owner, 1, &folio), -EPROTO);
	assert_int_equal(stats_of(q).frames_idle, 8);
	end_quire(q);
}

/* Places that are given must be idle frames of the owner, too. */
static void test_HE4_given_places(void **state)
{
	struct quire_move move = { .to_set = 1 };
	struct item at;
	struct own o;

	(void)state;
	own_start(&o);
	move.folio = o.it.folio;
	move.to = quire_frame(1500);
	assert_int_equal(quire_move_folios(o.q, &move, 1, QUIRE_SYNC, 0), 1);
	assert_int_equal(move.code, -EBUSY);
	assert_int_equal(move.who.why, QUIRE_REASON_NO_PLACE);
	move.to = quire_frame(1u << 31);
	assert_int_equal(quire_move_folios(o.q, &move, 1, QUIRE_SYNC, 0), 1);
	assert_int_equal(move.code, -EINVAL);
	/* The lowest that is left in the pool is taken out of it by hand. */
	move.to = quire_frame(o.pool.frame[--o.pool.n]);
	o.pool.gets++;
	assert_int_equal(quire_move_folios(o.q, &move, 1, QUIRE_SYNC, 0), 0);
	assert_int_equal(at_frame(&o.it), move.to.n);
	o.pool.gets++;
	place(&o.pool.p, &at, 0, quire_frame(o.pool.frame[--o.pool.n]), 5);
	assert_int_equal(quire_folio_create_with(o.pool.p.owner,
						 QUIRE_FOLIO(.at_set = 1, .at = move.to),
						 &(struct quire_folio *){ NULL }),
			 -EBUSY);
	drop(&at);
	own_end(&o);
}

static void calls_much(struct pool *pool)
{
	struct quire *q = pool->p.quire;
	struct quire_frame frame;

	CHECK(quire_owner_detach(pool->p.owner, 0, NULL) == -EDEADLK);
	CHECK(quire_owner_destroy(pool->p.owner) == -EDEADLK);
	(void)quire_reclaim(q); /* takes the lock that frames are collected under */
	CHECK(quire_frames_take(pool->p.owner, 0, &frame) == 0);
	quire_frames_give(pool->p.owner, 0, frame);
	CHECK(stats_of(q).frames != 0);
}

static void test_HE4_frame_put_runs_without_locks(void **state)
{
	struct own o;

	(void)state;
	own_start(&o);
	o.pool.on_put = calls_much;
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	assert_int_equal(o.pool.puts, 1);
	own_end(&o);
}

/* --- plans -------------------------------------------------------------------------------- */

/* Idle frames keep a block from being free: they are named, and are gone when they are given. */
static void test_HE4_a_plan_names_idle_frames(void **state)
{
	const struct quire_blocker *who;
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct pool first, second;
	struct quire *q = make_quire(2);

	(void)state;
	make_pool(q, "first", &first);
	make_pool(q, "second", &second);
	fill_pool(&first, 2);
	fill_pool(&second, 3);
	plan = plan_of(q, 512, 2);
	assert_int_equal(info_of(plan).feasible, 1);
	assert_int_equal(quire_plan_blockers(plan), 2); /* one for each that has some */
	for (size_t i = 0; i < 2; i++) {
		who = quire_plan_blocker(plan, i);
		assert_int_equal(who->why, QUIRE_REASON_POOL);
		assert_string_equal(who->reason, "kept empty by its owner");
		assert_string_equal(who->owner, i ? "second" : "first");
		assert_null(who->folio);
		assert_int_equal(who->frame.n, i ? 8 : 0);
	}
	assert_int_equal(quire_plan_execute(plan, NULL, &r), -EBUSY);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(quire_plan_blockers(plan), 2);
	quire_plan_destroy(plan);
	quire_frames_give(first.p.owner, 2, quire_frame(0));
	quire_frames_give(second.p.owner, 3, quire_frame(8));
	plan = plan_of(q, 512, 2);
	assert_int_equal(info_of(plan).runs_free, 2);
	quire_plan_destroy(plan);
	end_quire(q);
}

/* Two blocks of three: one holds folios in their owner's frames, another has frames of it idle. */
static void emptied(bool gives)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct quire *q = make_quire(3);
	struct item it[4], big;
	struct pool pool;
	struct probe plain;
	struct quire_frame frame;
	int code;

	make_pool(q, "pool", &pool);
	make_probe(q, "plain", OP_NONE, &plain);
	/* Block 0 is filled meanwhile, so that the pool's frames lie in two blocks. */
	place(&plain, &big, 9, quire_frame(0), 1);
	fill_pool(&pool, 2);
	place_row(&pool.p, it, 0, 0, 0, 0);
	for (size_t i = 0; i < 4; i++)
		place(&pool.p, &it[i], 0, ANYWHERE, 10 + i);
	assert_int_equal(at_frame(&it[0]) / 512, 1);
	drop(&big);
	assert_int_equal(quire_reclaim(q), 0);
	/* Now four more, of which two lie where nothing else is. */
	assert_int_equal(quire_frames_take(pool.p.owner, 9, &frame), 0);
	quire_frames_give(pool.p.owner, 8, quire_frame(frame.n + 256));
	for (uint32_t i = 0; i < 256; i++)
		pool.frame[pool.n++] = frame.n + i;
	pool.gives = gives;
	quire_clock_set_(CLOCK_START);
	plan = plan_of(q, 512, 2);
	assert_int_equal(info_of(plan).runs, 2); /* the one with the folios is one of them */
	assert_int_equal(info_of(plan).folios, 4);
	code = quire_plan_execute(plan, NULL, &r);
	quire_clock_set_(UINT64_MAX);
	assert_row_intact(it, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(at_frame(&it[i]) / 512, frame.n / 512);
	if (gives) {
		assert_int_equal(code, 0);
		assert_int_equal(r.obtained, 2);
	} else {
		assert_int_equal(code, -EBUSY);
		assert_int_equal(r.obtained, 1);
		assert_int_equal(r.bytes_wasted, 4 * 4096);
		assert_int_equal(stats_of(q).not_moved[QUIRE_REASON_POOL], 1);
		assert_int_equal(quire_plan_blocker(plan, 0)->why, QUIRE_REASON_POOL);
	}
	assert_nothing_claimed(q);
	quire_plan_destroy(plan);
	drop_row(it, 4);
	assert_int_equal(quire_reclaim(q), 0);
	assert_int_equal(lent(&pool), 0);
	end_quire(q);
}

static void test_HE4_a_plan_empties_a_block_of_owned_frames(void **state)
{
	(void)state;
	emptied(true);
	emptied(false);
}

/* The owner has only frames in the very block that a plan empties: refused, given back, named. */
static void test_HE4_a_place_in_the_emptied_block_is_refused(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	const struct quire_blocker *who;
	struct quire_plan *plan;
	struct quire *q = make_quire(2);
	struct item it, big;
	struct pool pool;
	struct probe plain;
	unsigned gets;

	(void)state;
	make_pool(q, "pool", &pool);
	make_probe(q, "plain", OP_NONE, &plain);
	place(&plain, &big, 9, quire_frame(0), 1);
	fill_pool(&pool, 0);
	place(&pool.p, &it, 0, ANYWHERE, 2);
	plan = plan_of(q, 512, 1);
	assert_int_equal(info_of(plan).folios, 1);
	fill_pool(&pool, 3); /* all of it beside the folio */
	gets = pool.gets;
	assert_int_equal(quire_plan_execute(plan, NULL, &r), -EBUSY);
	assert_int_equal(r.obtained, 0);
	assert_int_equal(r.bytes_moved, 0);
	assert_true(pool.gets > gets);
	assert_int_equal(lent(&pool), 1);
	assert_int_equal(pool.n, 8);
	assert_int_equal(quire_plan_blockers(plan), 2);
	who = quire_plan_blocker(plan, 0);
	assert_int_equal(who->why, QUIRE_REASON_NO_PLACE);
	assert_ptr_equal(who->folio, it.folio);
	assert_int_equal(quire_plan_blocker(plan, 1)->why, QUIRE_REASON_POOL);
	assert_item_ledger(&it);
	quire_plan_destroy(plan);
	drop(&big);
	drop(&it);
	assert_int_equal(quire_reclaim(q), 0);
	end_quire(q);
}

/* A frame of that block becomes the pool's, idle, wherever the allocator would have taken it. */
static void fill_from(struct pool *pool, uint32_t block)
{
	static struct quire_frame taken[1024];
	size_t n = 0;

	do {
		assert_true(n < COUNT_OF(taken));
		assert_int_equal(quire_frames_take(pool->p.owner, 0, &taken[n++]), 0);
	} while (taken[n - 1].n / 512 != block);
	pool->frame[pool->n++] = taken[--n].n;
	while (n)
		assert_int_equal(quire_frames_give(pool->p.owner, 0, taken[--n]), 0);
}

/* "Not now" is no "never", though the owner has offered a useless place before it. */
static void test_HE4_frame_get_says_again_after_a_refused_place(void **state)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	struct quire *q = make_quire(2);
	struct item it, stays;
	struct quire_pin *pin;
	struct pool pool;
	struct probe plain;

	(void)state;
	make_pool(q, "pool", &pool);
	make_probe(q, "plain", OP_NONE, &plain);
	place(&plain, &stays, 0, quire_frame(0), 1);
	assert_int_equal(quire_pin_long(stays.folio, plain.owner, &pin), 0);
	fill_from(&pool, 1);
	place(&pool.p, &it, 0, ANYWHERE, 2);
	plan = plan_of(q, 512, 1);
	assert_int_equal(info_of(plan).folios, 1);
	fill_from(&pool, 0);
	fill_from(&pool, 1); /* offered first, and refused */
	pool.gives = true;
	pool.says = SCRIPT(0, -EAGAIN, 0);
	assert_int_equal(quire_plan_execute(plan, NULL, &r), 0);
	assert_int_equal(r.obtained, 1);
	assert_int_equal(r.tries, 2);
	assert_int_equal(at_frame(&it) / 512, 0);
	assert_item_ledger(&it);
	quire_plan_destroy(plan);
	quire_unpin_long(pin);
	drop(&stays);
	drop(&it);
	assert_int_equal(quire_reclaim(q), 0);
	assert_int_equal(lent(&pool), 0);
	end_quire(q);
}

/* --- the owner goes ----------------------------------------------------------------------- */

/* Detached, its idle frames are the allocator's, and the others are so when their folios go. */
static void test_HE8_frames_of_a_detached_owner(void **state)
{
	struct quire_frame frame;
	struct item it[3];
	struct deed d;
	struct hand hand;
	struct own o;
	uint32_t old;

	(void)state;
	own_start(&o);
	hand_start(&hand);
	for (size_t i = 0; i < 3; i++)
		place(&o.pool.p, &it[i], 0, ANYWHERE, i);
	/* One place is in limbo, and one folio retired, when the owner goes. */
	d = (struct deed){ .folio = o.it.folio };
	hand_do(&hand, deed_enter, &d);
	assert_int_equal(move_folio(o.it.folio, QUIRE_ASYNC, 0).code, 0);
	drop(&it[2]);
	assert_int_equal(o.pool.puts, 0);
	assert_int_equal(quire_owner_detach(o.pool.p.owner, 0, NULL), 0);
	assert_int_equal(stats_of(o.q).frames_idle, 0);
	assert_int_equal(stats_of(o.q).frames_free, 4 * 512 - 5);
	hand_do(&hand, deed_leave, &d);
	assert_frames_free(o.q, 4 * 512 - 3);
	assert_int_equal(quire_frames_take(o.pool.p.owner, 0, &frame), -ENOENT);
	/* Ordinary folios: they move to ordinary places, and are made there. */
	old = at_frame(&it[0]);
	assert_int_equal(move_folio(it[0].folio, QUIRE_ASYNC, 0).code, 0);
	assert_int_not_equal(at_frame(&it[0]), old);
	place(&o.pool.p, &it[2], 0, ANYWHERE, 2);
	assert_row_intact(it, 3);
	assert_int_equal(quire_owner_destroy(o.pool.p.owner), 0);
	drop_row(it, 3);
	drop(&o.it);
	assert_frames_free(o.q, 4 * 512);
	assert_int_equal(o.pool.puts, 0);
	hand_stop(&hand);
	end_quire(o.q);
}

struct half {
	struct own *o;
	struct probe other;
	struct item it;	     /* of two frames, lent */
	uint32_t at;	     /* where it was */
	struct item anybody; /* made in the second of them */
};

/* The folio goes while its places are being forgotten; another owner's takes one of them, and goes.
 */
static void reuse_the_places(void *arg)
{
	struct half *h = arg;

	drop(&h->it);
	(void)quire_reclaim(h->o->q);
	place(&h->other, &h->anybody, 0, quire_frame(h->at + 1), 9);
	drop(&h->anybody);
	(void)quire_reclaim(h->o->q);
}

/* Places that are forgotten are ordinary at once, all frames of one together. */
static void test_HE8_a_folio_goes_while_its_place_is_forgotten(void **state)
{
	struct half h;
	struct own o;

	(void)state;
	own_start(&o);
	drop(&o.it);
	assert_int_equal(quire_reclaim(o.q), 0);
	h = (struct half){ .o = &o, .at = o.first };
	make_probe(o.q, "other", OP_NONE, &h.other);
	place(&o.pool.p, &h.it, 1, quire_frame(h.at), 5);
	/* When one of the two frames has been forgotten. */
	at_point_nth("node:forgot", NULL, 1, 1, reuse_the_places, &h);
	assert_int_equal(quire_owner_detach(o.pool.p.owner, 0, NULL), 0);
	no_points();
	assert_int_equal(h.it.freed, 0);
	assert_int_equal(stats_of(o.q).frames_idle, 0);
	assert_frames_free(o.q, 4 * 512);
	assert_null(folios_validate(o.q));
	assert_int_equal(quire_owner_destroy(o.pool.p.owner), 0);
	end_quire(o.q);
}

/* A quire that ends takes the frames along, in whatever state they are. */
static void test_HE4_frames_at_the_quires_end(void **state)
{
	struct own o;

	(void)state;
	own_start(&o);
	assert_int_equal(quire_destroy(o.q), 0);
	assert_int_equal(o.it.freed, 1);
	assert_int_equal(o.it.free_reason, QUIRE_FREE_DESTROY);
	assert_int_equal(o.pool.puts, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_HE4_registration_and_arguments),
		TEST(test_HE4_folios_live_in_their_owners_frames),
		TEST(test_HE4_frames_come_back_after_their_readers),
		TEST(test_HE4_an_unused_frame_comes_back),
		TEST(test_HE4_freed_with_a_destination),
		TEST(test_HE4_frame_get_may_refuse),
		TEST(test_HE4_a_frame_that_is_not_the_owners_is_refused),
		TEST(test_HE4_a_misaligned_frame_is_refused),
		TEST(test_HE4_given_places),
		TEST(test_HE4_frame_put_runs_without_locks),
		TEST(test_HE4_a_plan_names_idle_frames),
		TEST(test_HE4_a_plan_empties_a_block_of_owned_frames),
		TEST(test_HE4_a_place_in_the_emptied_block_is_refused),
		TEST(test_HE4_frame_get_says_again_after_a_refused_place),
		TEST(test_HE8_frames_of_a_detached_owner),
		TEST(test_HE8_a_folio_goes_while_its_place_is_forgotten),
		TEST(test_HE4_frames_at_the_quires_end),
	};

	return cmocka_run_group_tests_name("frames of owners", tests, NULL, NULL);
}
