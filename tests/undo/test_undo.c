/* SPDX-License-Identifier: MIT */
/*
 * test_undo.c: every undo edge. Each operation runs with its 1st, 2nd, 3rd, … fault point failing,
 * until none fires any more. After each: the failure was reported or made good, every folio is
 * whole, the counters balance, and the same operation, unhindered, succeeds. How many edges there
 * were is printed; none would mean that the points are gone, and fails.
 */
#include "core/fence.h"
#include "support.h"

#include <unistd.h>

#define SMALL 24
#define LARGE 4

/* What the operations work on: two owners, small and large folios, a named pin. */
struct scene {
	struct quire *q;
	struct probe with, without;
	struct item small[SMALL], large[LARGE];
	struct quire_plan *plan;
	uint64_t free_before;
};

struct operation {
	const char *name;
	/* 0: it did all it was to do; -errno or 1: it did not, and said so. On failure it leaves
	 * nothing behind; on success it may, and undo takes it away. */
	int (*run)(struct scene *s);
	void (*undo)(struct scene *s);
	bool absorbs; /* some faults are made good: success with a fault fired is no error */
};

static void scene_fill(struct scene *s)
{
	for (uint32_t i = 0; i < SMALL; i++)
		place(i % 2 ? &s->with : &s->without, &s->small[i], 0, quire_frame(i * 70), i);
	for (uint32_t i = 0; i < LARGE; i++)
		place(i % 2 ? &s->with : &s->without, &s->large[i], 2 + i,
		      quire_frame(4 * 512 + i * 64), 100 + i);
}

static void scene_start(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	s->q = make_quire(6);
	make_probe(s->q, "with", OP_ALL, &s->with);
	make_probe(s->q, "without", OP_NONE, &s->without);
	scene_fill(s);
	s->free_before = stats_of(s->q).frames_free;
}

static void scene_check(struct scene *s)
{
	assert_frames_free(s->q, s->free_before);
	assert_ledger_closed(s->q);
	assert_int_equal(stats_of(s->q).folios_live, SMALL + LARGE);
	assert_row_intact(s->small, SMALL);
	assert_row_intact(s->large, LARGE);
	for (size_t i = 1; i < SMALL; i += 2)
		assert_item_ledger(&s->small[i]);
	for (uint32_t b = 0; b < quire_blocks(s->q); b++) {
		struct quire_block_info info = { .size = sizeof(info) };

		assert_int_equal(quire_block_info(s->q, b, &info), 0);
		assert_int_equal(info.claimed, 0);
		assert_int_equal(info.long_pins, 0);
	}
}

static void scene_end(struct scene *s)
{
	drop_row(s->small, SMALL);
	drop_row(s->large, LARGE);
	assert_frames_free(s->q, stats_of(s->q).frames);
	assert_int_equal(quire_owner_destroy(s->with.owner), 0);
	end_quire(s->q);
}

static void visit_every_edge(const struct operation *op, int err)
{
	uint64_t fired = 0, absorbed = 0;
	struct scene s;

	scene_start(&s);
	for (uint64_t n = 1;; n++) {
		bool hit;
		int code;

		assert_true(n < 10000);
		quire_fault_arm_(NULL, n, err);
		code = op->run(&s);
		hit = quire_fault_disarm_();
		if (!hit) {
			assert_int_equal(code, 0);
			if (op->undo)
				op->undo(&s);
			break;
		}
		fired++;
		if (!code) {
			if (!op->absorbs)
				fail_msg("%s: fault %llu at %s was not reported", op->name,
					 (unsigned long long)n, quire_fault_name_());
			absorbed++;
			if (op->undo)
				op->undo(&s);
		}
		scene_check(&s);
		assert_int_equal(op->run(&s), 0); /* the same again, unhindered */
		if (op->undo)
			op->undo(&s);
		scene_check(&s);
	}
	scene_check(&s);
	scene_end(&s);
	printf("# undo: %-22s %3llu edges with %s, %llu made good\n", op->name,
	       (unsigned long long)fired, strerror(-err), (unsigned long long)absorbed);
	assert_true(fired > 0);
}

static void visit(const struct operation *op)
{
	visit_every_edge(op, -ENOMEM);
	visit_every_edge(op, -EIO);
}

/* --- the operations ----------------------------------------------------------------------- */

/* The number that the next file would get: the same as before if none was left open. */
static int next_file(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* Nothing is left of a quire that was not made, and of one that was and is gone. */
static int create(const struct quire_options *options, struct quire *q, uint64_t frames)
{
	unsigned mapped = arenas_mapped();
	int file = next_file();
	int code = quire_create(options, &q);

	if (code) {
		CHECK(q == NULL);
	} else {
		CHECK(stats_of(q).frames_free == frames);
		CHECK(quire_destroy(q) == 0);
	}
	CHECK(next_file() == file);
	CHECK(arenas_mapped() == mapped);
	return code;
}

static int run_quire_create(struct scene *s)
{
	return create(QUIRE_OPTIONS(.arena_bytes = 4 << 20), (struct quire *)s, 1024);
}

static void test_undo_quire_create(void **state)
{
	(void)state;
	visit(&(struct operation){ .name = "quire_create", .run = run_quire_create });
}

/* Some containers forbid it. */
static unsigned may_bind(void)
{
	const struct quire_node_options node = { .bytes = 2 << 20, .numa_set = 1 };
	struct quire *q;

	if (quire_create(QUIRE_OPTIONS(.nodes = 1, .node = &node), &q))
		return 0;
	assert_int_equal(quire_destroy(q), 0);
	return 1;
}

static unsigned bind;

static int run_quire_create_nodes(struct scene *s)
{
	const struct quire_node_options node[] = {
		{ .bytes = 2 << 20 },
		{ .bytes = 4 << 20, .numa_set = bind },
		{ .bytes = 2 << 20, .backing = QUIRE_BACKING_2M },
		{ .bytes = 2 << 20, .backing = QUIRE_BACKING_2M, .name = "last" },
	};

	return create(QUIRE_OPTIONS(.nodes = 4, .node = node), (struct quire *)s, 5 * 512);
}

static void test_undo_quire_create_nodes(void **state)
{
	(void)state;
	bind = may_bind();
	/* Pages of 2 MiB that are not to be had are made good by others. */
	visit(&(struct operation){
		.name = "quire_create nodes", .run = run_quire_create_nodes, .absorbs = true });
}

static int run_owner_create(struct scene *s)
{
	struct quire_owner *owner = (struct quire_owner *)s;
	int code = quire_owner_create(s->q, "fresh", NULL, NULL, &owner);

	if (code) {
		CHECK(owner == NULL);
		return code;
	}
	CHECK(quire_owner_destroy(owner) == 0);
	return 0;
}

static void test_undo_owner_create(void **state)
{
	(void)state;
	visit(&(struct operation){ .name = "owner_create", .run = run_owner_create });
}

static int run_folio_create(struct scene *s)
{
	struct quire_folio *folio = s->small[0].folio;
	int code = quire_folio_create(s->without.owner, 3, &folio);

	if (code) {
		CHECK(folio == NULL);
		return code;
	}
	quire_folio_put(folio);
	return 0;
}

static void test_undo_folio_create(void **state)
{
	(void)state;
	/* A full arena is told from a failing one by trying again after a reclaim. */
	visit(&(struct operation){
		.name = "folio_create", .run = run_folio_create, .absorbs = true });
}

static int run_folio_create_at(struct scene *s)
{
	struct quire_folio *folio = NULL;
	int code = quire_folio_create_with(
		s->with.owner, QUIRE_FOLIO(.order = 1, .at_set = 1, .at = quire_frame(2000)),
		&folio);

	if (code) {
		CHECK(folio == NULL);
		return code;
	}
	quire_folio_put(folio);
	return 0;
}

static void test_undo_folio_create_at(void **state)
{
	(void)state;
	visit(&(struct operation){
		.name = "folio_create at", .run = run_folio_create_at, .absorbs = true });
}

static struct quire_folio *part_[8];

static int run_split(struct scene *s)
{
	struct quire_blocker who;
	int code = quire_folio_split(s->large[2].folio, 1, part_, &who);

	if (code) {
		CHECK(part_[0] == NULL);
		CHECK(who.code == code && who.folio == s->large[2].folio);
		CHECK(who.why == QUIRE_REASON_NO_MEMORY || who.why == QUIRE_REASON_BARRIER);
	}
	return code;
}

static void undo_split(struct scene *s)
{
	for (size_t i = 0; i < COUNT_OF(part_); i++) {
		CHECK(quire_folio_order(part_[i]) == 1);
		quire_folio_put(part_[i]);
	}
	place(&s->without, &s->large[2], 4, quire_frame(4 * 512 + 2 * 64), 102);
}

static void test_undo_folio_split(void **state)
{
	(void)state;
	visit(&(struct operation){ .name = "folio_split", .run = run_split, .undo = undo_split });
}

static int run_pin_long(struct scene *s)
{
	struct quire_pin *pin = (struct quire_pin *)s;
	int code = quire_pin_long(s->small[3].folio, s->without.owner, &pin);

	if (code) {
		CHECK(pin == NULL);
		return code;
	}
	quire_unpin_long(pin);
	return 0;
}

static void test_undo_pin_long(void **state)
{
	(void)state;
	visit(&(struct operation){ .name = "pin_long", .run = run_pin_long });
}

/* Nine pins of one thread: the ninth needs memory. */
static int run_nine_pins(struct scene *s)
{
	unsigned n = 0;

	while (n < QUIRE_SHORT_PINS + 1 && quire_pin(s->small[n].folio))
		n++;
	for (unsigned i = n; i-- > 0;)
		quire_unpin(s->small[i].folio);
	CHECK(n >= QUIRE_SHORT_PINS);
	return n == QUIRE_SHORT_PINS + 1 ? 0 : -ENOMEM;
}

static void test_undo_the_ninth_pin(void **state)
{
	(void)state;
	visit(&(struct operation){ .name = "ninth pin", .run = run_nine_pins });
}

/* A thread's first pin and section, each of which makes its record. */
struct first {
	struct scene *s;
	bool section;
	int code;
};

static void *first_thread(void *arg)
{
	struct first *f = arg;

	f->code = 0;
	if (f->section) {
		f->code = quire_read_enter();
		if (f->code)
			return NULL;
		CHECK(quire_view(f->s->small[0].folio).data != NULL);
		quire_read_leave();
	} else if (quire_pin(f->s->small[0].folio)) {
		quire_unpin(f->s->small[0].folio);
	} else {
		f->code = -ENOMEM;
	}
	return NULL;
}

static struct hand keeper_[8];

static int run_first(struct scene *s, bool section)
{
	struct first f = { s, section, 0 };
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, first_thread, &f) == 0);
	pthread_join(thread, NULL);
	return f.code;
}

static int run_first_section(struct scene *s)
{
	return run_first(s, true);
}

static int run_first_pin(struct scene *s)
{
	return run_first(s, false);
}

static void first_of_a_thread(const char *name, int (*run)(struct scene *))
{
	struct scene s;
	bool fired;
	int code;

	/* Threads that are gone leave their records to the next; so somebody keeps them all. */
	scene_start(&s);
	for (size_t i = 0; i < COUNT_OF(keeper_); i++) {
		struct deed d = { .folio = s.small[0].folio };

		hand_start(&keeper_[i]);
		hand_do(&keeper_[i], deed_enter, &d);
		hand_do(&keeper_[i], deed_leave, &d);
	}
	quire_fault_arm_(NULL, 1, -ENOMEM);
	code = run(&s);
	fired = quire_fault_disarm_();
	for (size_t i = 0; i < COUNT_OF(keeper_); i++)
		hand_stop(&keeper_[i]);
	assert_true(fired);
	/* A section answers -ENOMEM; a pin does without a record, by a named pin. */
	assert_int_equal(code, run == run_first_section ? -ENOMEM : 0);
	scene_check(&s);
	assert_int_equal(run(&s), 0);
	scene_check(&s);
	scene_end(&s);
	printf("# undo: %-22s   1 edge\n", name);
}

static void test_undo_first_section_of_a_thread(void **state)
{
	(void)state;
	first_of_a_thread("a thread's first section", run_first_section);
}

static void test_undo_first_pin_of_a_thread(void **state)
{
	(void)state;
	first_of_a_thread("a thread's first pin", run_first_pin);
}

/* Moves everything; counts what was not moved. */
static int run_move(struct scene *s, enum quire_mode mode)
{
	struct quire_move moves[SMALL + LARGE];
	long left;
	int code = 0;

	for (size_t i = 0; i < SMALL; i++)
		moves[i] = (struct quire_move){ .folio = s->small[i].folio };
	for (size_t i = 0; i < LARGE; i++)
		moves[SMALL + i] = (struct quire_move){ .folio = s->large[i].folio };
	left = quire_move_folios(s->q, moves, COUNT_OF(moves), mode, 2 * MSEC);
	if (left < 0)
		return (int)left;
	for (size_t i = 0; i < COUNT_OF(moves); i++) {
		if (!moves[i].code)
			continue;
		CHECK(moves[i].code < 0 && moves[i].who.why != QUIRE_REASON_NONE);
		CHECK(moves[i].who.folio == moves[i].folio);
		code = 1;
		left--;
	}
	CHECK(left == 0);
	return code;
}

static int run_move_async(struct scene *s)
{
	return run_move(s, QUIRE_ASYNC);
}

static int run_move_sync(struct scene *s)
{
	return run_move(s, QUIRE_SYNC);
}

static void test_undo_move_folios(void **state)
{
	(void)state;
	/* Absorbed: the barrier of the reclaim afterwards; old places then wait for the next. */
	visit(&(struct operation){
		.name = "move_folios async", .run = run_move_async, .absorbs = true });
	visit(&(struct operation){
		.name = "move_folios sync", .run = run_move_sync, .absorbs = true });
}

/* One folio: whatever fails, it is where it was or it is moved; never in between. */
static int run_move_one(struct scene *s)
{
	struct item *it = &s->small[1];
	uint32_t old = at_frame(it);
	unsigned moved = it->moved, putback = it->putback, isolated = it->isolated;
	struct quire_move move = { .folio = it->folio };
	long left = quire_move_folios(s->q, &move, 1, QUIRE_ASYNC, 0);

	CHECK((at_frame(it) != old) == (left == 0));
	CHECK(it->moved - moved == (left == 0));
	/* Isolated and put back, or not even isolated. */
	CHECK(it->isolated - isolated == it->moved - moved + it->putback - putback);
	CHECK(left >= 0 || left == -ENOMEM || left == -EIO);
	return left ? 1 : 0;
}

static void test_undo_move_of_one_folio(void **state)
{
	(void)state;
	visit(&(struct operation){ .name = "move of one", .run = run_move_one, .absorbs = true });
}

static int run_plan_create(struct scene *s)
{
	int code = quire_plan_create(
		s->q, QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = QUIRE_MAX),
		&s->plan);

	if (code)
		CHECK(s->plan == NULL);
	return code;
}

static void undo_plan(struct scene *s)
{
	quire_plan_destroy(s->plan);
	s->plan = NULL;
}

static void test_undo_plan_create(void **state)
{
	(void)state;
	/* Absorbed: a barrier that fails only means that what was freed is reclaimed later. */
	visit(&(struct operation){ .name = "plan_create",
				   .run = run_plan_create,
				   .undo = undo_plan,
				   .absorbs = true });
}

/* Everything anew, as it was at the start, so that there is always something to do. */
static void scatter(struct scene *s)
{
	drop_row(s->small, SMALL);
	drop_row(s->large, LARGE);
	assert_frames_free(s->q, stats_of(s->q).frames);
	scene_fill(s);
}

static void plan_four(struct scene *s)
{
	assert_int_equal(
		quire_plan_create(s->q,
				  QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = 4),
				  &s->plan),
		0);
}

/* The first four blocks: nearly all of the small folios. */
static void plan_range(struct scene *s)
{
	assert_int_equal(quire_plan_create(s->q,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RANGE, .frames = 4 * 512),
					   &s->plan),
			 0);
}

static int run_plan_execute(struct scene *s)
{
	struct quire_result r = { .size = sizeof(r) };
	int code = quire_plan_execute(s->plan, QUIRE_BUDGET(.folio_ns = MSEC), &r);

	/* Every run that a result claims is really free. */
	CHECK(empty_blocks(s->q) >= r.obtained);
	CHECK(r.bytes_moved <= stats_of(s->q).moved_bytes);
	if (!code)
		CHECK(r.obtained >= 4);
	undo_plan(s);
	return code;
}

static void execute_edges(const char *name, void (*plan)(struct scene *s))
{
	uint64_t fired = 0, absorbed = 0;
	struct scene s;

	scene_start(&s);
	for (uint64_t n = 1;; n++) {
		bool hit;
		int code;

		assert_true(n < 10000);
		scatter(&s);
		plan(&s);
		quire_fault_arm_(NULL, n, -ENOMEM);
		code = run_plan_execute(&s);
		hit = quire_fault_disarm_();
		scene_check(&s);
		if (!hit) {
			assert_int_equal(code, 0);
			break;
		}
		fired++;
		absorbed += code == 0;
		scatter(&s);
		plan(&s);
		assert_int_equal(run_plan_execute(&s), 0);
		scene_check(&s);
	}
	scene_end(&s);
	printf("# undo: %-22s %3llu edges with %s, %llu made good\n", name,
	       (unsigned long long)fired, strerror(ENOMEM), (unsigned long long)absorbed);
	assert_true(fired > 20);
}

static void test_undo_plan_execute(void **state)
{
	(void)state;
	execute_edges("plan_execute", plan_four);
	execute_edges("plan_execute of a range", plan_range);
}

/* There is something to give: a block that was used. */
static int run_give_back(struct scene *s)
{
	struct quire_folio *folio;
	uint64_t before = stats_of(s->q).given_back_bytes;
	int64_t n = quire_folio_create(s->without.owner, 9, &folio);

	if (n)
		return (int)n;
	content_write(quire_pin(folio), 1, 512 * 4096);
	quire_unpin(folio);
	quire_folio_put(folio);
	n = quire_give_back(s->q, QUIRE_MAX);
	CHECK(stats_of(s->q).given_back_bytes - before == (n < 0 ? 0 : (uint64_t)n));
	return n < 0 ? (int)n : 0;
}

static void test_undo_give_back(void **state)
{
	(void)state;
	/* Absorbed: a barrier that fails, as above. */
	visit(&(struct operation){ .name = "give_back", .run = run_give_back, .absorbs = true });
}

/* --- fences, and owners with frames of their own ------------------------------------------- */

static int run_fence_create(struct scene *s)
{
	struct quire_fence *fence = (struct quire_fence *)s;
	int code = quire_fence_create(s->q, "job", &fence);

	if (code) {
		CHECK(fence == NULL);
		return code;
	}
	quire_fence_put(fence);
	return 0;
}

static void test_undo_fence_create(void **state)
{
	(void)state;
	visit(&(struct operation){ .name = "fence_create", .run = run_fence_create });
}

static struct quire_fence *fence_;

static int names_the_fence(struct probe *p, struct quire_batch *batch, int answer)
{
	(void)p;
	(void)answer;
	for (size_t i = 0; i < quire_batch_count(batch); i++)
		CHECK(quire_op_wait(quire_batch_folio(batch, i), fence_) == 0);
	return -EAGAIN;
}

/* A plan in which every folio of one owner waits for a fence: none of its references is lost. */
static int run_plan_fenced(struct scene *s)
{
	struct quire_result r = { .size = sizeof(r) };
	int code;

	code = run_plan_create(s);
	if (code)
		return code;
	s->with.on_migrate = names_the_fence;
	code = quire_plan_execute(s->plan, QUIRE_BUDGET(.folio_ns = MSEC), &r);
	s->with.on_migrate = NULL;
	undo_plan(s);
	CHECK(SEE(&fence_->refs) == 1);
	return code;
}

static int run_move_fenced(struct scene *s)
{
	struct quire_move move[SMALL];
	long left;

	for (size_t i = 0; i < SMALL; i++)
		move[i] = (struct quire_move){ .folio = s->small[i].folio };
	s->with.on_migrate = names_the_fence;
	left = quire_move_folios(s->q, move, SMALL, QUIRE_SYNC, MSEC);
	s->with.on_migrate = NULL;
	for (size_t i = 0; i < SMALL; i++)
		quire_fence_put(move[i].wait);
	CHECK(SEE(&fence_->refs) == 1);
	/* Half of them wait for it; the others may fail, and say so. */
	return left < 0 ? (int)left : left > SMALL / 2;
}

/* Once without, and once with each fault. A fence's references balance in any case. */
static void fenced_edges(const char *name, int (*run)(struct scene *s), int unhindered)
{
	uint64_t fired = 0;
	struct scene s;

	scene_start(&s);
	assert_int_equal(quire_fence_create(s.q, "job", &fence_), 0);
	for (uint64_t n = 1;; n++) {
		bool hit;
		int code;

		assert_true(n < 10000);
		scatter(&s);
		quire_fault_arm_(NULL, n, -ENOMEM);
		code = run(&s);
		hit = quire_fault_disarm_();
		scene_check(&s);
		if (!hit) {
			assert_int_equal(code, unhindered);
			break;
		}
		fired++;
	}
	quire_fence_put(fence_);
	scene_end(&s);
	printf("# undo: %-22s %3llu edges\n", name, (unsigned long long)fired);
	assert_true(fired > 10);
}

static void test_undo_fenced(void **state)
{
	(void)state;
	quire_clock_set_(CLOCK_START);
	fenced_edges("move with fences", run_move_fenced, 0);
	fenced_edges("plan with fences", run_plan_fenced, 0);
	quire_clock_set_(UINT64_MAX);
}

/* An owner with frames: the pool is a run of eight, handed out in turn. */
struct pool {
	struct quire_owner *owner;
	uint32_t first;
	unsigned out; /* bit i: lent */
};

static int pool_get(unsigned order, enum quire_mode mode, struct quire_frame *frame, void *arg)
{
	struct pool *pool = arg;

	(void)mode;
	CHECK(order == 0);
	for (unsigned i = 0; i < 8; i++) {
		if (pool->out & (1u << i))
			continue;
		pool->out |= 1u << i;
		*frame = quire_frame(pool->first + i);
		return 0;
	}
	return -ENOMEM;
}

static void pool_put(unsigned order, struct quire_frame frame, void *arg)
{
	struct pool *pool = arg;

	CHECK(order == 0);
	CHECK(pool->out & (1u << (frame.n - pool->first)));
	pool->out &= ~(1u << (frame.n - pool->first));
}

/* All of it: the owner, its frames, two folios, moves of them, and everything back. */
static int run_pool(struct scene *s)
{
	static const struct quire_owner_ops ops = { .size = sizeof(ops),
						    .frame_get = pool_get,
						    .frame_put = pool_put };
	struct quire_folio *folio[2] = { NULL, NULL };
	struct quire_move move[2];
	struct pool pool = { 0 };
	struct quire_frame frame;
	int code = quire_owner_create(s->q, "pool", &ops, &pool, &pool.owner);
	long left;

	if (code)
		return code;
	code = quire_frames_take(pool.owner, 3, &frame);
	pool.first = frame.n;
	for (size_t i = 0; i < 2 && !code; i++)
		code = quire_folio_create(pool.owner, 0, &folio[i]);
	for (size_t i = 0; i < 2; i++)
		move[i] = (struct quire_move){ .folio = folio[i] };
	if (!code) {
		left = quire_move_folios(s->q, move, 2, QUIRE_ASYNC, 0);
		code = left < 0 ? (int)left : left ? 1 : 0;
	}
	quire_folio_put(folio[0]);
	quire_folio_put(folio[1]);
	while (quire_reclaim(s->q))
		;
	CHECK(pool.out == 0);
	CHECK(quire_owner_destroy(pool.owner) == 0);
	return code;
}

static void test_undo_frames_of_an_owner(void **state)
{
	(void)state;
	visit(&(struct operation){
		.name = "frames of an owner", .run = run_pool, .absorbs = true });
}

/* Freeing cannot fail: it has no caller to tell. It waits for the next occasion instead. */
static int run_free(struct scene *s)
{
	struct quire_folio *folio[70];
	bool all = true;

	for (size_t i = 0; i < COUNT_OF(folio); i++) {
		all &= quire_folio_create(s->with.owner, 0, &folio[i]) == 0;
		if (!all) {
			while (i)
				quire_folio_put(folio[--i]);
			return -ENOMEM;
		}
	}
	for (size_t i = 0; i < COUNT_OF(folio); i++)
		quire_folio_put(folio[i]);
	(void)quire_reclaim(s->q);
	return 0;
}

static void test_undo_put_and_reclaim(void **state)
{
	(void)state;
	visit(&(struct operation){ .name = "put, reclaim", .run = run_free, .absorbs = true });
}

/* --- in the background -------------------------------------------------------------------- */

static int begin_background(struct scene *s, uint32_t flags)
{
	return quire_background_start(s->q,
				      QUIRE_BACKGROUND_OPTIONS(.flags = flags, .share = 1000,
							       .runs_low = 4, .runs_high = 4));
}

static void stop_background(struct scene *s)
{
	assert_int_equal(quire_background_stop(s->q, 0), 0);
}

/* Its thread meets faults too, and has nobody to tell but its counters. */
static int run_background_thread(struct scene *s)
{
	int error = begin_background(s, 0);

	if (!error)
		stop_background(s);
	return error;
}

static int run_background_fd(struct scene *s)
{
	return begin_background(s, QUIRE_BACKGROUND_NO_THREAD);
}

/* Until it has nothing to do, or nothing that it could do. */
static void make_steps(struct scene *s)
{
	unsigned n = 0;
	int did;

	while ((did = quire_background_step(s->q, NULL)) == 1)
		assert_true(++n < 100);
	assert_int_equal(did, 0);
}

/* Each fault meets an arena with work in it; what it spoils is made good by the next who works. */
static void visit_steps(int err)
{
	uint64_t fired = 0;
	struct scene s;

	for (uint64_t n = 1;; n++) {
		bool hit;

		scene_start(&s);
		assert_int_equal(begin_background(&s, QUIRE_BACKGROUND_NO_THREAD), 0);
		quire_fault_arm_(NULL, n, err);
		make_steps(&s);
		hit = quire_fault_disarm_();
		stop_background(&s);
		scene_check(&s);
		assert_int_equal(begin_background(&s, QUIRE_BACKGROUND_NO_THREAD), 0);
		make_steps(&s);
		stop_background(&s);
		assert_true(empty_blocks(s.q) >= 4);
		scene_check(&s);
		scene_end(&s);
		if (!hit)
			break;
		fired++;
	}
	assert_true(fired > 5);
	print_message("# undo: steps in the background, %llu edges\n", (unsigned long long)fired);
}

static void test_W28_background_undoes_every_edge(void **state)
{
	(void)state;
	visit(&(struct operation){
		.name = "background_start", .run = run_background_fd, .undo = stop_background });
	visit(&(struct operation){
		.name = "background thread", .run = run_background_thread, .absorbs = true });
	visit_steps(-ENOMEM);
	visit_steps(-EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_undo_quire_create),
		TEST(test_undo_quire_create_nodes),
		TEST(test_undo_owner_create),
		TEST(test_undo_folio_create),
		TEST(test_undo_folio_create_at),
		TEST(test_undo_folio_split),
		TEST(test_undo_pin_long),
		TEST(test_undo_the_ninth_pin),
		TEST(test_undo_first_section_of_a_thread),
		TEST(test_undo_first_pin_of_a_thread),
		TEST(test_undo_move_of_one_folio),
		TEST(test_undo_move_folios),
		TEST(test_undo_plan_create),
		TEST(test_undo_plan_execute),
		TEST(test_undo_give_back),
		TEST(test_undo_fence_create),
		TEST(test_undo_fenced),
		TEST(test_undo_frames_of_an_owner),
		TEST(test_undo_put_and_reclaim),
		TEST(test_W28_background_undoes_every_edge),
	};

	return cmocka_run_group_tests_name("undo edges", tests, NULL, NULL);
}
