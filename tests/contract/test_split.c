/* SPDX-License-Identifier: MIT */
/*
 * test_split.c: contract H-E6: a folio becomes several, in place. The content of a whole is that of
 * its parts one after the other, each from its own cookie, so that every part can be looked at by
 * itself afterwards.
 */
#include "support.h"

#include <sys/wait.h>
#include <unistd.h>

#define PARTS 512

/* A quire of four blocks, an owner with a split op, a folio. */
struct rig {
	struct quire *q;
	struct probe p;
	struct item whole;
	struct item part[PARTS];
	struct quire_folio *got[PARTS];
	unsigned order; /* of the parts */
	size_t n;
	struct quire_blocker who;
	/* the op */
	unsigned asked;
	int says;
	void (*on_split)(struct rig *rig, struct quire_folio *const *part, size_t parts);
};

static struct rig rig_;

static int split_op(struct quire_folio *const *part, size_t parts, void *arg)
{
	struct rig *r = ((struct probe *)arg)->arg;

	BUMP(&r->asked);
	CHECK(part[0] == r->whole.folio);
	CHECK(parts == r->n);
	CHECK(quire_folio_order(part[0]) == r->order);
	CHECK(quire_folio_on_the_move(part[0]));
	for (size_t i = 0; i < parts; i++)
		CHECK(quire_folio_private(part[i]) == &r->whole);
	if (r->on_split)
		r->on_split(r, part, parts);
	if (r->says)
		return r->says;
	for (size_t i = 0; i < parts; i++)
		quire_folio_set_private(part[i], &r->part[i]);
	return 0;
}

/* The owner of a probe, made again with other ops. */
static void remake(struct probe *p, struct rig *r)
{
	assert_int_equal(quire_owner_destroy(p->owner), 0);
	p->arg = r;
	assert_int_equal(quire_owner_create(p->quire, "splits", &p->ops, p, &p->owner), 0);
}

static struct rig *rig_start(unsigned ops, unsigned whole, unsigned order, struct quire_frame at)
{
	struct rig *r = &rig_;
	char *content;

	memset(r, 0, sizeof(*r));
	r->q = make_quire(4);
	make_probe(r->q, "splits", ops, &r->p);
	if (ops) {
		r->p.ops.split = split_op;
		remake(&r->p, r);
	}
	r->order = order;
	r->n = (size_t)1 << (whole - order);
	place(&r->p, &r->whole, whole, at, 1);
	content = quire_pin(r->whole.folio);
	assert_non_null(content);
	for (size_t i = 0; i < r->n; i++) {
		r->part[i] = (struct item){ .probe = &r->p, .cookie = 100 + i, .order = order };
		content_write(content + (i << (12 + order)), 100 + i, (size_t)4096 << order);
	}
	quire_unpin(r->whole.folio);
	return r;
}

static int try_split(struct rig *r)
{
	int code;

	r->got[0] = r->whole.folio;
	memset(&r->who, 0, sizeof(r->who));
	code = quire_folio_split(r->whole.folio, r->order, r->got, &r->who);
	CHECK(r->who.code == code);
	for (size_t i = 0; !code && i < r->n; i++)
		r->part[i].folio = r->got[i];
	return code;
}

/* Nothing has come of it: as before. */
static void assert_whole(struct rig *r)
{
	char *content;

	assert_null(r->got[0]);
	assert_int_equal(quire_folio_order(r->whole.folio), r->whole.order);
	assert_ptr_equal(quire_folio_private(r->whole.folio), &r->whole);
	assert_false(quire_folio_on_the_move(r->whole.folio));
	content = quire_pin(r->whole.folio);
	assert_non_null(content);
	for (size_t i = 0; i < r->n; i++)
		assert_true(content_is(content + (i << (12 + r->order)), r->part[i].cookie,
				       (size_t)4096 << r->order));
	quire_unpin(r->whole.folio);
	assert_int_equal(stats_of(r->q).folios_live, 1);
	assert_int_equal(stats_of(r->q).folios_split, 0);
	assert_int_equal(r->p.frees, 0);
	assert_frames_free(r->q, 4 * 512 - (1u << r->whole.order));
	assert_null(folios_validate(r->q));
}

static void assert_refused(struct rig *r, int code, enum quire_reason why)
{
	assert_int_equal(try_split(r), code);
	assert_int_equal(r->who.why, why);
	assert_string_equal(r->who.reason, quire_reason_text(why));
	assert_ptr_equal(r->who.folio, r->whole.folio);
}

/* Each part is a folio of its own. */
static void assert_parts(struct rig *r)
{
	assert_ptr_equal(r->part[0].folio, r->whole.folio);
	assert_int_equal(stats_of(r->q).folios_live, r->n);
	assert_int_equal(stats_of(r->q).folios_split, 1);
	assert_frames_free(r->q, 4 * 512 - (1u << r->whole.order));
	for (size_t i = 0; i < r->n; i++) {
		assert_ptr_equal(quire_folio_owner(r->part[i].folio), r->p.owner);
		assert_intact(&r->part[i]);
		assert_true(item_reads(&r->part[i]));
	}
	assert_null(folios_validate(r->q));
}

static void rig_end(struct rig *r)
{
	no_points();
	assert_ledger_closed(r->q);
	assert_frames_free(r->q, 4 * 512);
	assert_null(folios_validate(r->q));
	end_quire(r->q);
}

static void end_whole(struct rig *r)
{
	assert_whole(r);
	quire_folio_put(r->whole.folio);
	assert_int_equal(r->p.frees, r->p.ops.free ? 1 : 0);
	rig_end(r);
}

/* Drops the parts, the last first; each is freed for itself. */
static void end_parts(struct rig *r)
{
	uint64_t free_frames = stats_of(r->q).frames_free;

	assert_parts(r);
	for (size_t i = r->n; i-- > 0;) {
		quire_folio_put(r->part[i].folio);
		free_frames += 1u << r->order;
		if (r->n <= 8)
			assert_frames_free(r->q, free_frames);
		if (r->p.ops.free)
			assert_int_equal(r->part[i].freed, 1);
	}
	rig_end(r);
}

/* --- what a split is ---------------------------------------------------------------------- */

static void test_HE6_parts_keep_place_content_and_owner(void **state)
{
	struct rig *r;

	(void)state;
	for (unsigned whole = 1; whole <= QUIRE_MAX_ORDER; whole++) {
		for (unsigned order = 0; order < whole; order++) {
			r = rig_start(OP_ALL, whole, order, quire_frame(512));
			assert_int_equal(try_split(r), 0);
			assert_int_equal(r->asked, 1);
			for (size_t i = 0; i < r->n; i++)
				assert_int_equal(at_frame(&r->part[i]), 512 + (i << order));
			end_parts(r);
		}
	}
}

static void test_HE6_each_part_moves_by_itself(void **state)
{
	struct rig *r = rig_start(OP_ALL, 3, 1, quire_frame(64));

	(void)state;
	assert_int_equal(try_split(r), 0);
	for (size_t i = 0; i < r->n; i++) {
		assert_int_equal(move_folio(r->part[i].folio, QUIRE_SYNC, 0).code, 0);
		assert_int_equal(r->part[i].moved, 1);
		assert_int_equal(r->p.isolates, i + 1);
	}
	assert_int_equal(r->whole.moved, 0);
	end_parts(r);
}

/* A part may be split again, and some of it go before the rest. */
static void test_HE6_parts_are_split_again(void **state)
{
	struct rig *r = rig_start(OP_NONE, 4, 2, quire_frame(0));
	struct quire_folio *part[4], *again[4];

	(void)state;
	assert_int_equal(quire_folio_split(r->whole.folio, 2, part, NULL), 0);
	assert_int_equal(quire_folio_split(part[2], 0, again, NULL), 0);
	assert_ptr_equal(again[0], part[2]);
	assert_int_equal(quire_folio_frame(again[3]).n, 11);
	assert_int_equal(quire_folio_order(part[1]), 2);
	quire_folio_put(again[1]);
	quire_folio_put(part[0]);
	assert_frames_free(r->q, 4 * 512 - 11);
	quire_folio_put(part[1]);
	quire_folio_put(part[3]);
	quire_folio_put(again[0]);
	quire_folio_put(again[2]);
	quire_folio_put(again[3]);
	rig_end(r);
}

/* A plan empties the block of a folio that was split since. */
static void test_HE6_a_plan_moves_the_parts(void **state)
{
	struct rig *r = rig_start(OP_ALL, 5, 2, quire_frame(0));
	struct quire_result result = { .size = sizeof(result) };
	struct quire_plan *plan = plan_of(r->q, 512, 4);

	(void)state;
	assert_int_equal(try_split(r), 0);
	quire_plan_destroy(plan);
	assert_int_equal(
		quire_plan_create(r->q, QUIRE_GOAL(.kind = QUIRE_GOAL_RANGE, .frames = 512), &plan),
		0);
	assert_int_equal(info_of(plan).folios, r->n);
	assert_int_equal(quire_plan_execute(plan, NULL, &result), 0);
	assert_int_equal(result.folios_moved, r->n);
	quire_plan_destroy(plan);
	for (size_t i = 0; i < r->n; i++)
		assert_true(at_frame(&r->part[i]) >= 512);
	end_parts(r);
}

/* The plan was made for the whole, and is carried out on the parts. */
static void test_HE6_a_plan_that_knew_the_whole(void **state)
{
	struct rig *r = rig_start(OP_ALL, 5, 2, quire_frame(0));
	struct quire_result result = { .size = sizeof(result) };
	struct quire_plan *plan;

	(void)state;
	assert_int_equal(
		quire_plan_create(r->q, QUIRE_GOAL(.kind = QUIRE_GOAL_RANGE, .frames = 512), &plan),
		0);
	assert_int_equal(try_split(r), 0);
	assert_int_equal(quire_plan_execute(plan, NULL, &result), 0);
	assert_int_equal(result.folios_moved, r->n);
	assert_int_equal(result.bytes_moved, 32 * 4096);
	quire_plan_destroy(plan);
	end_parts(r);
}

static void test_HE6_arguments(void **state)
{
	struct rig *r = rig_start(OP_ALL, 3, 1, ANYWHERE);
	struct quire_folio *parts[8];

	(void)state;
	assert_int_equal(quire_folio_split(NULL, 0, parts, NULL), -EINVAL);
	assert_int_equal(quire_folio_split(r->whole.folio, 0, NULL, NULL), -EINVAL);
	parts[0] = r->whole.folio;
	assert_int_equal(quire_folio_split(r->whole.folio, 3, parts, NULL), -EINVAL);
	assert_null(parts[0]);
	assert_int_equal(quire_folio_split(r->whole.folio, 10, parts, NULL), -EINVAL);
	assert_int_equal(r->asked, 0);
	r->got[0] = NULL;
	end_whole(r);
}

static int in_destroy_;

static void split_in_free(struct probe *p, struct quire_folio *folio)
{
	struct quire_folio *parts[8];

	(void)p;
	in_destroy_ = quire_folio_split(folio, 1, parts, NULL);
}

static void test_HE6_not_where_nothing_may_begin(void **state)
{
	struct rig *r = rig_start(OP_ALL, 3, 1, ANYWHERE);
	struct quire_folio *parts[8];
	int status;
	pid_t child;

	(void)state;
	child = fork();
	if (!child)
		_exit(quire_folio_split(r->whole.folio, 1, parts, NULL) == -ENXIO ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	r->p.on_free = split_in_free;
	end_quire(r->q);
	assert_int_equal(in_destroy_, -ESHUTDOWN);
	/* In its own free op it is dead. */
	r = rig_start(OP_ALL, 3, 1, ANYWHERE);
	r->p.on_free = split_in_free;
	quire_folio_put(r->whole.folio);
	assert_int_equal(in_destroy_, -ESTALE);
	rig_end(r);
}

/* --- the owner's say ---------------------------------------------------------------------- */

static void unborn(struct rig *r, struct quire_folio *const *part, size_t parts)
{
	struct quire_pin *pin;

	for (size_t i = 1; i < parts; i++) {
		CHECK(quire_folio_owner(part[i]) == r->p.owner);
		CHECK(!quire_folio_get(part[i]));
		CHECK(quire_pin(part[i]) == NULL);
		CHECK(quire_pin_long(part[i], r->p.owner, &pin) == -ESTALE);
	}
	CHECK(quire_owner_detach(r->p.owner, 0, NULL) == -EDEADLK);
	CHECK(stats_of(r->q).folios_live == 1);
	/* The first one is alive, and has its new size. */
	CHECK(quire_pin(part[0]) != NULL);
	CHECK(quire_folio_bytes(part[0]) == (size_t)4096 << r->order);
	quire_unpin(part[0]);
}

static void test_HE6_the_owner_has_the_last_word(void **state)
{
	struct rig *r = rig_start(OP_ALL, 4, 1, ANYWHERE);

	(void)state;
	r->on_split = unborn;
	r->says = -ENOSPC;
	assert_refused(r, -ENOSPC, QUIRE_REASON_VETO);
	assert_int_equal(r->asked, 1);
	assert_whole(r);
	r->says = 7; /* no answer */
	assert_refused(r, -EINVAL, QUIRE_REASON_VETO);
	assert_whole(r);
	assert_int_equal(stats_of(r->q).splits_refused, 2);
	assert_int_equal(r->p.isolates + r->p.putbacks, 0); /* it is no move */
	r->says = 0;
	assert_int_equal(try_split(r), 0);
	assert_int_equal(r->asked, 3);
	assert_int_equal(stats_of(r->q).op_split, 3);
	assert_int_equal(stats_of(r->q).splits_refused, 2);
	end_parts(r);
}

static void test_HE6_an_owner_without_the_op_refuses(void **state)
{
	struct rig *r = rig_start(OP_ALL, 2, 0, ANYWHERE);

	(void)state;
	quire_folio_put(r->whole.folio);
	r->p.frees = 0;
	r->p.ops.split = NULL;
	remake(&r->p, r);
	place(&r->p, &r->whole, 2, ANYWHERE, 1);
	assert_int_equal(try_split(r), -EOPNOTSUPP);
	assert_int_equal(r->who.why, QUIRE_REASON_VETO);
	assert_intact(&r->whole);
	/* An older program's table ends before it. */
	drop(&r->whole);
	r->p.ops.split = split_op;
	r->p.ops.size = offsetof(struct quire_owner_ops, split);
	remake(&r->p, r);
	place(&r->p, &r->whole, 2, ANYWHERE, 1);
	assert_int_equal(try_split(r), -EOPNOTSUPP);
	assert_int_equal(r->asked, 0);
	drop(&r->whole);
	rig_end(r);
}

static void test_HE6_without_ops_the_pointer_is_inherited(void **state)
{
	struct rig *r = rig_start(OP_NONE, 3, 0, ANYWHERE);

	(void)state;
	assert_int_equal(try_split(r), 0);
	for (size_t i = 0; i < r->n; i++)
		assert_ptr_equal(quire_folio_private(r->part[i].folio), &r->whole);
	end_parts(r);
}

/* --- detaching ---------------------------------------------------------------------------- */

struct detach {
	struct rig *r;
	struct hand hand;
	struct gate waits;
	int code, in_between;
};

static void do_detach(void *arg)
{
	struct detach *d = arg;

	d->code = quire_owner_detach(d->r->p.owner, 20 * SEC, NULL);
}

static struct detach detach_;

static void detach_in_op(struct rig *r, struct quire_folio *const *part, size_t parts)
{
	(void)r;
	(void)part;
	(void)parts;
	hand_post(&detach_.hand, do_detach, &detach_);
	gate_pass(&detach_.waits);
	detach_.in_between = (int)SEE(&r->asked);
}

/* A detach waits for the op; afterwards all parts are ordinary folios. */
static void test_HE6_a_detach_reaches_every_part(void **state)
{
	struct rig *r = rig_start(OP_ALL, 3, 1, ANYWHERE);

	(void)state;
	memset(&detach_, 0, sizeof(detach_));
	detach_.r = r;
	gate_init(&detach_.waits);
	hand_start(&detach_.hand);
	at_point_nth("detach:waiting", NULL, 1, 1, gate_open, &detach_.waits);
	r->on_split = detach_in_op;
	assert_int_equal(try_split(r), 0);
	hand_stop(&detach_.hand);
	assert_int_equal(detach_.code, 0);
	assert_int_equal(detach_.in_between, 1);
	for (size_t i = 0; i < r->n; i++)
		assert_int_equal(move_folio(r->part[i].folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(r->p.isolates, 0);
	/* Nor is it asked any more when they are split further. */
	assert_int_equal(quire_folio_split(r->part[3].folio, 0, r->got, NULL), 0);
	assert_int_equal(r->asked, 1);
	quire_folio_put(r->got[0]);
	quire_folio_put(r->got[1]);
	for (size_t i = 0; i < 3; i++)
		quire_folio_put(r->part[i].folio);
	assert_int_equal(r->p.frees, 0);
	assert_int_equal(quire_owner_destroy(r->p.owner), 0);
	rig_end(r);
}

static void split_while_detaching(void *arg)
{
	struct rig *r = arg;

	detach_.in_between = try_split(r);
}

static int isolates_until_detach(struct probe *p, struct quire_batch *batch, int answer)
{
	hand_post(&detach_.hand, do_detach, &detach_);
	gate_pass(&detach_.waits);
	return probe_commit(p, batch, answer);
}

static void test_HE6_no_split_begins_while_a_detach_waits(void **state)
{
	struct rig *r = rig_start(OP_ALL, 3, 1, ANYWHERE);
	struct item other;

	(void)state;
	memset(&detach_, 0, sizeof(detach_));
	detach_.r = r;
	gate_init(&detach_.waits);
	hand_start(&detach_.hand);
	place(&r->p, &other, 0, ANYWHERE, 9);
	at_point_nth("detach:waiting", NULL, 1, 1, gate_open, &detach_.waits);
	/* In the middle of another folio's move. */
	r->p.on_migrate = isolates_until_detach;
	at_point("commit:copied", other.folio, split_while_detaching, r);
	assert_int_equal(move_folio(other.folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(detach_.in_between, -EAGAIN);
	assert_int_equal(r->who.why, QUIRE_REASON_OWNER_BUSY);
	hand_stop(&detach_.hand);
	assert_int_equal(detach_.code, 0);
	assert_int_equal(r->asked, 0);
	drop(&other);
	quire_folio_put(r->whole.folio);
	assert_int_equal(quire_owner_destroy(r->p.owner), 0);
	rig_end(r);
}

/* --- who is in the way -------------------------------------------------------------------- */

static void test_HE6_pins_and_references_are_named(void **state)
{
	struct rig *r = rig_start(OP_ALL, 2, 0, ANYWHERE);
	struct quire_pin *pin;
	struct hand hand;
	struct deed d;

	(void)state;
	hand_start(&hand);
	d = (struct deed){ .folio = r->whole.folio, .who = r->p.owner, .hand = &hand };
	by_hand_pin(&d);
	assert_refused(r, -EBUSY, QUIRE_REASON_SHORT_PIN);
	assert_string_equal(r->who.site, d.site);
	assert_int_equal(r->who.thread, hand.tid);
	by_hand_unpin(&d);
	assert_whole(r);
	assert_non_null(quire_pin(r->whole.folio)); /* one's own is no better */
	assert_refused(r, -EBUSY, QUIRE_REASON_SHORT_PIN);
	assert_int_equal(r->who.thread, thread_id());
	quire_unpin(r->whole.folio);
	assert_whole(r);
	assert_int_equal(quire_pin_long(r->whole.folio, r->p.owner, &pin), 0);
	assert_refused(r, -EBUSY, QUIRE_REASON_LONG_PIN);
	assert_string_equal(r->who.owner, "splits");
	quire_unpin_long(pin);
	assert_whole(r);
	hand_do(&hand, deed_get, &d);
	assert_true(d.got);
	assert_refused(r, -EBUSY, QUIRE_REASON_REFERENCED);
	assert_int_equal(quire_folio_order(r->whole.folio), 2);
	hand_do(&hand, deed_put, &d);
	assert_whole(r);
	assert_int_equal(r->asked, 0);
	hand_stop(&hand);
	assert_int_equal(try_split(r), 0);
	end_parts(r);
}

static void split_now(void *arg)
{
	struct rig *r = arg;

	detach_.code = try_split(r);
}

/* A mover has it, from its isolation on until it is let go. */
static void test_HE6_not_while_it_moves(void **state)
{
	static const struct {
		const char *point;
		int code;
		enum quire_reason why;
	} at[] = {
		{ "isolate:marked", -EAGAIN, QUIRE_REASON_ISOLATED },
		{ "isolate:done", -EAGAIN, QUIRE_REASON_ISOLATED },
		{ "commit:marked", -EAGAIN, QUIRE_REASON_ISOLATED },
		{ "commit:copied", -EAGAIN, QUIRE_REASON_ISOLATED },
		{ "commit:published", -EAGAIN, QUIRE_REASON_ISOLATED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(at); i++) {
		struct rig *r = rig_start(OP_ALL, 2, 0, ANYWHERE);

		detach_.code = 0;
		at_point_nth(at[i].point, r->whole.folio, 1, 1, split_now, r);
		assert_int_equal(move_folio(r->whole.folio, QUIRE_SYNC, 0).code, 0);
		assert_int_equal(detach_.code, at[i].code);
		assert_int_equal(r->who.why, at[i].why);
		assert_int_equal(r->whole.moved, 1);
		no_points();
		assert_int_equal(try_split(r), 0);
		end_parts(r);
	}
}

struct halves {
	struct quire_folio *folio, *half[2];
	int code;
};

static void split_in_half(void *arg)
{
	struct halves *h = arg;

	no_points();
	h->code = quire_folio_split(h->folio, quire_folio_order(h->folio) - 1, h->half, NULL);
}

/* One reference that two think they have: the second one's order is no more, and it is told so. */
static void test_HE6_a_split_of_what_was_split_meanwhile_is_tried_again(void **state)
{
	struct rig *r = rig_start(OP_NONE, 3, 0, ANYWHERE);
	struct halves h = { .folio = r->whole.folio };

	(void)state;
	at_point_nth("split:prepared", r->whole.folio, 1, 1, split_in_half, &h);
	assert_int_equal(try_split(r), -EAGAIN);
	assert_int_equal(h.code, 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(quire_folio_order(h.half[i]), 2);
		quire_folio_put(h.half[i]);
	}
	r->whole.folio = NULL;
	assert_int_equal(quire_reclaim(r->q), 0);
	assert_frames_free(r->q, 4 * 512);
	end_quire(r->q);
}

/* --- against others, step by step ---------------------------------------------------------- */

struct race {
	struct rig *r;
	struct hand hand;
	struct gate waits;
	struct deed d;
	size_t bytes; /* as whoever got at it saw them */
};

static struct race race_;

static struct race *race_start(struct rig *r, const char *point, void (*fn)(void *))
{
	struct race *a = &race_;

	memset(a, 0, sizeof(*a));
	a->r = r;
	gate_init(&a->waits);
	hand_start(&a->hand);
	a->d = (struct deed){ .folio = r->whole.folio,
			      .who = r->p.owner,
			      .hand = &a->hand,
			      .gate = &a->waits,
			      .mode = QUIRE_ASYNC };
	hand_do(&a->hand, deed_enter, &a->d); /* its record is there */
	hand_do(&a->hand, deed_leave, &a->d);
	at_point_nth(point, NULL, 1, 1, fn, a);
	return a;
}

static void pin_and_measure(void *arg)
{
	struct race *a = arg;

	deed_pin(&a->d);
	a->bytes = quire_folio_bytes(a->r->whole.folio);
}

static void pin_long_and_measure(void *arg)
{
	struct race *a = arg;

	deed_pin_long(&a->d);
	a->bytes = quire_folio_bytes(a->r->whole.folio);
}

static void get_and_measure(void *arg)
{
	struct race *a = arg;

	deed_get(&a->d);
	a->bytes = quire_folio_bytes(a->r->whole.folio);
}

static void race_pin(void *arg)
{
	hand_do(&race_.hand, pin_and_measure, arg);
}

static void race_pin_long(void *arg)
{
	hand_do(&race_.hand, pin_long_and_measure, arg);
}

static void race_get(void *arg)
{
	hand_do(&race_.hand, get_and_measure, arg);
}

static void race_pin_waits(void *arg)
{
	hand_post(&race_.hand, pin_and_measure, arg);
	gate_pass(&race_.waits);
}

static void race_pin_long_waits(void *arg)
{
	hand_post(&race_.hand, pin_long_and_measure, arg);
	gate_pass(&race_.waits);
}

static void race_get_waits(void *arg)
{
	hand_post(&race_.hand, get_and_measure, arg);
	gate_pass(&race_.waits);
}

/* Who comes before the mark has the whole, and the split finds him. */
static void test_HE6_who_comes_first_keeps_the_whole(void **state)
{
	void (*const comes[])(void *) = { race_pin, race_pin_long, race_get };
	void (*const goes[])(void *) = { deed_unpin, deed_unpin_long, deed_put };
	static const enum quire_reason why[] = { QUIRE_REASON_SHORT_PIN, QUIRE_REASON_LONG_PIN,
						 QUIRE_REASON_REFERENCED };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(comes); i++) {
		struct rig *r = rig_start(OP_ALL, 3, 1, ANYWHERE);
		struct race *a = race_start(r, "split:isolated", comes[i]);

		assert_refused(r, -EBUSY, why[i]);
		assert_int_equal(a->bytes, 8 * 4096);
		hand_do(&a->hand, goes[i], &a->d);
		hand_stop(&a->hand);
		assert_int_equal(r->asked, 0);
		end_whole(r);
	}
}

/* A reference that comes between the scan and the freeze is seen by the freeze. */
static void test_HE6_a_reference_after_the_scan_is_seen(void **state)
{
	static const char *const at[] = { "split:marked", "split:scanned" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(at); i++) {
		struct rig *r = rig_start(OP_ALL, 3, 1, ANYWHERE);
		struct race *a = race_start(r, at[i], race_get);

		assert_refused(r, -EBUSY, QUIRE_REASON_REFERENCED);
		assert_true(a->d.got);
		assert_int_equal(a->bytes, 8 * 4096);
		assert_int_equal(quire_folio_order(r->whole.folio), 3);
		hand_do(&a->hand, deed_put, &a->d);
		hand_stop(&a->hand);
		end_whole(r);
	}
}

/* Who comes later waits, and sees the new size. */
static void test_HE6_who_comes_later_waits_and_sees_the_part(void **state)
{
	static const struct {
		const char *at, *waits;
		void (*comes)(void *), (*goes)(void *);
	} race[] = {
		{ "split:marked", "pin:waiting", race_pin_waits, deed_unpin },
		{ "split:frozen", "pin:waiting", race_pin_waits, deed_unpin },
		{ "split:shrunk", "pin:waiting", race_pin_waits, deed_unpin },
		{ "split:marked", "pin:waiting", race_pin_long_waits, deed_unpin_long },
		{ "split:frozen", "pin:waiting", race_pin_long_waits, deed_unpin_long },
		{ "split:frozen", "pin:waiting", race_get_waits, deed_put },
		{ "split:shrunk", "pin:waiting", race_get_waits, deed_put },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(race); i++) {
		struct rig *r = rig_start(OP_ALL, 3, 1, ANYWHERE);
		struct race *a = race_start(r, race[i].at, race[i].comes);

		at_point_nth(race[i].waits, r->whole.folio, 1, 1, gate_open, &a->waits);
		assert_int_equal(try_split(r), 0);
		hand_wait(&a->hand);
		assert_int_equal(a->bytes, 2 * 4096);
		assert_true(a->d.got || a->d.address);
		hand_do(&a->hand, race[i].goes, &a->d);
		hand_stop(&a->hand);
		end_parts(r);
	}
}

static void race_view(void *arg)
{
	struct race *a = arg;

	hand_do(&a->hand, deed_enter, &a->d);
}

/* A reader sees the whole, or its first part, and knows that its view is old. */
static void test_HE6_readers_see_the_whole_or_the_part(void **state)
{
	static const struct {
		const char *at;
		size_t frames;
	} look[] = { { "split:isolated", 8 }, { "split:marked", 8 }, { "split:frozen", 8 },
		     { "split:shrunk", 2 },   { "split:asking", 2 }, { "split:birth", 2 } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(look); i++) {
		struct rig *r = rig_start(OP_ALL, 3, 1, ANYWHERE);
		struct race *a = race_start(r, look[i].at, race_view);
		const char *whole;

		assert_int_equal(try_split(r), 0);
		whole = a->d.view.data;
		assert_int_equal(quire_view_bytes(a->d.view), look[i].frames * 4096);
		assert_int_equal(quire_view_stale(r->whole.folio, a->d.view), look[i].frames == 8);
		/* What it saw is there, though a part has gone since: its section is open. */
		quire_folio_put(r->part[3].folio);
		(void)quire_reclaim(r->q);
		assert_true(content_is(whole + 6 * 4096, r->part[3].cookie, 2 * 4096));
		assert_int_equal(stats_of(r->q).folios_retired, 1);
		hand_do(&a->hand, deed_leave, &a->d);
		hand_stop(&a->hand);
		for (size_t p = 0; p < 3; p++)
			quire_folio_put(r->part[p].folio);
		rig_end(r);
	}
}

static void race_move(void *arg)
{
	struct race *a = arg;

	by_hand_move(&a->d);
	CHECK(a->d.move.code == -EAGAIN && a->d.move.who.why == QUIRE_REASON_ISOLATED);
}

/* A mover leaves it where it is; its reference alone may refuse the split, never both. */
static void test_HE6_a_mover_finds_it_isolated(void **state)
{
	static const char *const at[] = { "split:isolated", "split:marked", "split:asking",
					  "split:birth" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(at); i++) {
		struct rig *r = rig_start(OP_ALL, 3, 1, quire_frame(8));
		struct race *a = race_start(r, at[i], race_move);

		assert_int_equal(try_split(r), 0);
		hand_stop(&a->hand);
		assert_int_equal(r->p.isolates, 0);
		assert_int_equal(at_frame(&r->part[0]), 8);
		end_parts(r);
	}
}

static void move_born(void *arg)
{
	struct race *a = arg;

	a->d.folio = a->r->got[1];
	by_hand_move(&a->d);
	CHECK(a->d.move.code == 0);
}

/* A part is a folio as soon as it is born, while others are not yet. */
static void test_HE6_a_born_part_may_move_before_the_last_is_born(void **state)
{
	struct rig *r = rig_start(OP_ALL, 3, 1, quire_frame(8));
	struct race *a = race_start(r, "none", NULL);

	(void)state;
	at_point_nth("split:birth", NULL, 2, 1, move_born, a);
	assert_int_equal(try_split(r), 0);
	hand_stop(&a->hand);
	assert_int_equal(r->part[1].moved, 1);
	end_parts(r);
}

/* --- taken back, and a mover that knew the part ------------------------------------------- */

static struct gate let_isolate_;
static struct quire_move both_[2];
static long both_left_;

static void move_both(void *arg)
{
	struct race *a = arg;

	both_left_ = quire_move_folios(a->r->q, both_, 2, QUIRE_ASYNC, 0);
}

static void hold_mover(void *arg)
{
	struct race *a = arg;

	gate_open(&a->waits);
	gate_pass(&let_isolate_);
}

static void move_in_op(struct rig *r, struct quire_folio *const *part, size_t parts)
{
	(void)r;
	(void)part;
	(void)parts;
	hand_post(&race_.hand, move_both, &race_);
	gate_pass(&race_.waits);
}

/* A mover took its reference while the folio was small: it does not move it as such. */
static void test_HE6_a_mover_that_knew_the_part_of_a_whole(void **state)
{
	struct rig *r = rig_start(OP_ALL, 3, 1, quire_frame(8));
	struct race *a = race_start(r, "none", NULL);
	struct item other;

	(void)state;
	place(&r->p, &other, 0, ANYWHERE, 5);
	gate_init(&let_isolate_);
	both_[0] = (struct quire_move){ .folio = other.folio };
	both_[1] = (struct quire_move){ .folio = r->whole.folio };
	at_point_nth("isolate:done", other.folio, 1, 1, hold_mover, a);
	r->on_split = move_in_op;
	r->says = -EPERM;
	assert_refused(r, -EPERM, QUIRE_REASON_VETO);
	gate_open(&let_isolate_);
	hand_stop(&a->hand);
	assert_int_equal(both_left_, 1);
	assert_int_equal(both_[0].code, 0);
	assert_int_equal(both_[1].code, -EAGAIN);
	drop(&other);
	r->p.frees = 0;
	assert_int_equal(at_frame(&r->whole), 8);
	end_whole(r);
}

/* --- frames of the owner's own, and merging ----------------------------------------------- */

struct lender {
	struct rig *r;
	struct quire_frame whole;
	unsigned out; /* frames that are lent */
	unsigned puts;
};

static struct lender lender_;

static int lend_get(unsigned order, enum quire_mode mode, struct quire_frame *frame, void *arg)
{
	(void)mode;
	(void)arg;
	if (lender_.out)
		return -ENOMEM;
	lender_.out = 1u << order;
	*frame = lender_.whole;
	return 0;
}

static void lend_put(unsigned order, struct quire_frame frame, void *arg)
{
	(void)arg;
	CHECK(frame.n >= lender_.whole.n && frame.n + (1u << order) <= lender_.whole.n + 8);
	CHECK(lender_.out >= 1u << order);
	lender_.out -= 1u << order;
	lender_.puts++;
}

/*
 * Parts of lent frames are lent, each by itself, and come back one by one; when the last is back
 * the place is whole again, and a folio of the old order is made of it: what merging takes (H-E6).
 */
static void test_HE6_lent_frames_come_back_part_by_part(void **state)
{
	struct rig *r = rig_start(OP_ALL, 3, 1, ANYWHERE);

	(void)state;
	quire_folio_put(r->whole.folio);
	r->p.ops.frame_get = lend_get;
	r->p.ops.frame_put = lend_put;
	remake(&r->p, r);
	memset(&lender_, 0, sizeof(lender_));
	assert_int_equal(quire_frames_take(r->p.owner, 3, &lender_.whole), 0);
	for (unsigned round = 0; round < 2; round++) {
		place(&r->p, &r->whole, 3, ANYWHERE, 1);
		assert_int_equal(at_frame(&r->whole), lender_.whole.n);
		lender_.puts = 0;
		assert_int_equal(try_split(r), 0);
		assert_int_equal(lender_.out, 8);
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(quire_owner_destroy(r->p.owner), -EBUSY);
			quire_folio_put(r->part[i].folio);
			(void)quire_reclaim(r->q);
			assert_int_equal(r->part[i].freed, 1);
			r->part[i].freed = 0;
			assert_int_equal(lender_.puts, i + 1);
			assert_int_equal(lender_.out, 6 - 2 * i);
			assert_int_equal(stats_of(r->q).frames_idle, 2 * (i + 1));
		}
	}
	assert_int_equal(quire_frames_give(r->p.owner, 3, lender_.whole), 0);
	rig_end(r);
}

/* What was to be pinned long lies where such things lie, in parts as well. */
static void test_HE6_parts_stay_among_what_is_pinned_long(void **state)
{
	struct quire *q = make_quire(4);
	struct quire_folio *whole, *other, *part[8], *small;
	struct quire_pin *pin;
	struct probe p;

	(void)state;
	make_probe(q, "pins", OP_NONE, &p);
	assert_int_equal(
		quire_folio_create_with(p.owner, QUIRE_FOLIO(.order = 3, .pinned_long = 1), &whole),
		0);
	assert_int_equal(quire_folio_create(p.owner, 3, &other), 0);
	assert_int_not_equal(quire_folio_frame(whole).n / 512, quire_folio_frame(other).n / 512);
	assert_int_equal(quire_folio_split(whole, 0, part, NULL), 0);
	assert_int_equal(quire_pin_long(part[5], p.owner, &pin), 0);
	for (unsigned i = 0; i < 8; i++)
		if (i != 5)
			quire_folio_put(part[i]);
	assert_int_equal(quire_reclaim(q), 0);
	/* What may move is still put elsewhere, and what is pinned long beside it. */
	assert_int_equal(quire_folio_create(p.owner, 0, &small), 0);
	assert_int_equal(quire_folio_frame(small).n / 512, quire_folio_frame(other).n / 512);
	quire_folio_put(small);
	assert_int_equal(quire_folio_create_with(p.owner, QUIRE_FOLIO(.pinned_long = 1), &small),
			 0);
	assert_int_equal(quire_folio_frame(small).n / 512, quire_folio_frame(part[5]).n / 512);
	quire_folio_put(small);
	quire_unpin_long(pin);
	quire_folio_put(part[5]);
	quire_folio_put(other);
	end_quire(q);
}

/* --- plans -------------------------------------------------------------------------------- */

static struct quire_plan_info plan_first_block(struct quire *q)
{
	struct quire_plan_info info = { .size = sizeof(info) };
	struct quire_plan *plan = NULL;

	assert_int_equal(
		quire_plan_create(q, QUIRE_GOAL(.kind = QUIRE_GOAL_RANGE, .frames = 512), &plan),
		0);
	assert_int_equal(quire_plan_info(plan, &info), 0);
	quire_plan_destroy(plan);
	return info;
}

/* A plan that remembers the whole has no place for it; its parts find theirs. */
static void test_W1_what_a_plan_remembers_ends_with_a_split(void **state)
{
	static struct item whole, single[32];
	struct quire_folio *got[16] = { NULL };
	struct quire *q = make_quire(2);
	struct quire_plan_info info;
	struct probe p;

	(void)state;
	make_probe(q, "plain", 0, &p);
	place(&p, &whole, 4, quire_frame(0), 1);
	for (uint32_t i = 0; i < COUNT_OF(single); i++)
		place(&p, &single[i], 0, quire_frame(512 + i * 16), 100 + i);
	info = plan_first_block(q);
	assert_int_equal(info.no_place, 1);
	assert_int_equal(info.runs, 0);
	assert_int_equal(quire_folio_split(whole.folio, 0, got, NULL), 0);
	info = plan_first_block(q);
	assert_int_equal(info.no_place, 0);
	assert_int_equal(info.runs, 1);
	assert_int_equal(info.folios, 16);
	for (size_t i = 0; i < COUNT_OF(got); i++)
		quire_folio_put(got[i]);
	drop_row(single, COUNT_OF(single));
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_HE6_parts_keep_place_content_and_owner),
		TEST(test_HE6_each_part_moves_by_itself),
		TEST(test_HE6_parts_are_split_again),
		TEST(test_HE6_a_plan_moves_the_parts),
		TEST(test_HE6_a_plan_that_knew_the_whole),
		TEST(test_HE6_arguments),
		TEST(test_HE6_not_where_nothing_may_begin),
		TEST(test_HE6_the_owner_has_the_last_word),
		TEST(test_HE6_an_owner_without_the_op_refuses),
		TEST(test_HE6_without_ops_the_pointer_is_inherited),
		TEST(test_HE6_a_detach_reaches_every_part),
		TEST(test_HE6_no_split_begins_while_a_detach_waits),
		TEST(test_HE6_pins_and_references_are_named),
		TEST(test_HE6_not_while_it_moves),
		TEST(test_HE6_a_split_of_what_was_split_meanwhile_is_tried_again),
		TEST(test_HE6_who_comes_first_keeps_the_whole),
		TEST(test_HE6_a_reference_after_the_scan_is_seen),
		TEST(test_HE6_who_comes_later_waits_and_sees_the_part),
		TEST(test_HE6_readers_see_the_whole_or_the_part),
		TEST(test_HE6_a_mover_finds_it_isolated),
		TEST(test_HE6_a_born_part_may_move_before_the_last_is_born),
		TEST(test_HE6_a_mover_that_knew_the_part_of_a_whole),
		TEST(test_HE6_lent_frames_come_back_part_by_part),
		TEST(test_HE6_parts_stay_among_what_is_pinned_long),
		TEST(test_W1_what_a_plan_remembers_ends_with_a_split),
	};

	return cmocka_run_group_tests_name("contract H-E6: splitting", tests, NULL, NULL);
}
