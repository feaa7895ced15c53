/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* --- checks ------------------------------------------------------------------------------- */

static unsigned failed_;

bool check_note_(bool ok, const char *expr, const char *site)
{
	if (!ok) {
		fprintf(stderr, "CHECK failed: %s at %s\n", expr, site);
		BUMP(&failed_);
	}
	return ok;
}

unsigned checks_failed(void)
{
	return SEE(&failed_);
}

int thread_id(void)
{
	return (int)syscall(SYS_gettid);
}

uint64_t prng(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

uint64_t seed_of(const char *what, uint64_t otherwise)
{
	uint64_t seed = number_of("QUIRE_SEED", otherwise);

	printf("# %s: QUIRE_SEED=%llu\n", what, (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

/* --- points ------------------------------------------------------------------------------- */

static struct at_point rules_[16];
static unsigned nrules_;

static void hook(const char *point, void *what)
{
	unsigned n = SEE(&nrules_);

	for (unsigned i = 0; i < n; i++) {
		struct at_point *r = &rules_[i];
		unsigned hit;

		if ((r->what && r->what != what) || strcmp(r->point, point) != 0)
			continue;
		hit = BUMP(&r->hits);
		if (r->fn && hit >= r->from && hit - r->from < r->times)
			r->fn(r->arg);
	}
}

struct at_point *at_point_nth(const char *point, const void *what, unsigned from, unsigned times,
			      void (*fn)(void *), void *arg)
{
	struct at_point *r = &rules_[nrules_];

	assert_true(nrules_ < COUNT_OF(rules_));
	*r = (struct at_point){ point, what, from, times, fn, arg, 0 };
	BUMP(&nrules_);
	quire_sync_hook_ = hook;
	return r;
}

struct at_point *at_point(const char *point, const void *what, void (*fn)(void *), void *arg)
{
	return at_point_nth(point, what, 1, 1, fn, arg);
}

unsigned hits(const struct at_point *rule)
{
	return SEE(&rule->hits);
}

void no_points(void)
{
	quire_sync_hook_ = NULL;
	PUT(&nrules_, 0u);
}

/* QUIRE_TEST: the only test to run, by name. */
__attribute__((constructor)) static void only_one(void)
{
	const char *name = getenv("QUIRE_TEST");

	if (name)
		cmocka_set_test_filter(name);
}

int support_setup(void **state)
{
	(void)state;
	no_points();
	quire_fault_disarm_();
	quire_clock_set_(UINT64_MAX);
	PUT(&failed_, 0u);
	return 0;
}

int support_teardown(void **state)
{
	(void)state;
	no_points();
	quire_fault_disarm_();
	quire_clock_set_(UINT64_MAX);
	return checks_failed() ? -1 : 0;
}

/* --- a quire ------------------------------------------------------------------------------ */

struct quire *make_quire(unsigned blocks)
{
	struct quire *quire = NULL;

	assert_int_equal(quire_create(QUIRE_OPTIONS(.arena_bytes = (uint64_t)blocks << 21), &quire),
			 0);
	assert_non_null(quire);
	return quire;
}

void end_quire(struct quire *quire)
{
	const char *wrong = folios_validate(quire);

	if (wrong)
		fail_msg("%s", wrong);
	assert_int_equal(quire_destroy(quire), 0);
}

struct quire_stats stats_of(struct quire *quire)
{
	struct quire_stats stats = { .size = sizeof(stats) };

	assert_int_equal(quire_stats_get(quire, &stats), 0);
	return stats;
}

void assert_frames_free(struct quire *quire, uint64_t frames)
{
	struct quire_stats stats;

	assert_int_equal(quire_reclaim(quire), 0);
	stats = stats_of(quire);
	assert_int_equal(stats.folios_retired, 0);
	assert_int_equal(stats.frames_limbo, 0);
	assert_int_equal(stats.frames_free, frames);
}

unsigned empty_blocks(struct quire *quire)
{
	unsigned n = 0;

	for (uint32_t b = 0; b < quire_blocks(quire); b++) {
		struct quire_block_info info = { .size = sizeof(info) };

		assert_int_equal(quire_block_info(quire, b, &info), 0);
		n += info.used == 0;
	}
	return n;
}

void assert_ledger_closed(struct quire *quire)
{
	struct quire_stats s = stats_of(quire);

	assert_int_equal(s.isolated, s.moved + s.putbacks + s.freed_isolated);
}

/* --- owners and folios -------------------------------------------------------------------- */

static int say(struct script *script)
{
	unsigned at;

	if (!script->n)
		return 0;
	at = __atomic_fetch_add(&script->at, 1u, __ATOMIC_SEQ_CST);
	return script->answers[at < script->n ? at : script->n - 1];
}

static int probe_isolate(struct quire_folio *folio, enum quire_mode mode, void *arg)
{
	struct probe *p = arg;
	struct item *it = quire_folio_private(folio);
	int code;

	BUMP(&p->isolates);
	PUT(&p->mode, mode);
	PUT(&p->thread, thread_id());
	CHECK(quire_folio_owner(folio) == p->owner);
	CHECK(quire_folio_on_the_move(folio));
	if (it)
		CHECK(SEE(&it->taken) == 0 && SEE(&it->freed) == 0);
	if (p->on_isolate)
		p->on_isolate(p, folio);
	code = say(&p->isolate_says);
	if (!code && it) {
		PUT(&it->taken, 1u);
		BUMP(&it->isolated);
	}
	return code;
}

static void note_moved(struct quire_batch *batch)
{
	for (size_t i = 0; i < quire_batch_count(batch); i++) {
		struct item *it = quire_folio_private(quire_batch_folio(batch, i));

		if (it && quire_batch_moved(batch, i) && SEE(&it->taken)) {
			PUT(&it->taken, 0u);
			BUMP(&it->moved);
		}
	}
}

int probe_commit(struct probe *probe, struct quire_batch *batch, int answer)
{
	(void)probe;
	return answer ? answer : quire_move_commit(batch);
}

static int probe_migrate(struct quire_batch *batch, enum quire_mode mode, void *arg)
{
	struct probe *p = arg;
	size_t n = quire_batch_count(batch);
	unsigned frames = 0;
	int code;

	BUMP(&p->migrates);
	PUT(&p->mode, mode);
	PUT(&p->thread, thread_id());
	CHECK(n > 0);
	for (size_t i = 0; i < n; i++) {
		struct quire_folio *folio = quire_batch_folio(batch, i);
		struct item *it = quire_folio_private(folio);

		frames += 1u << quire_folio_order(folio);
		CHECK(quire_folio_owner(folio) == p->owner);
		CHECK(quire_folio_on_the_move(folio));
		CHECK(!quire_batch_moved(batch, i));
		if (it) {
			if (!p->ops.isolate && !SEE(&it->taken)) {
				BUMP(&it->isolated);
				PUT(&it->taken, 1u);
			}
			CHECK(SEE(&it->taken) == 1 && SEE(&it->freed) == 0);
			BUMP(&it->offered);
		}
	}
	CHECK(frames <= QUIRE_BLOCK_FRAMES);
	if (frames > SEE(&p->batch_frames))
		PUT(&p->batch_frames, frames);
	code = say(&p->migrate_says);
	code = p->on_migrate ? p->on_migrate(p, batch, code) : probe_commit(p, batch, code);
	note_moved(batch);
	return code;
}

static void probe_putback(struct quire_folio *folio, void *arg)
{
	struct probe *p = arg;
	struct item *it = quire_folio_private(folio);

	BUMP(&p->putbacks);
	PUT(&p->thread, thread_id());
	CHECK(quire_folio_owner(folio) == p->owner);
	CHECK(quire_folio_on_the_move(folio));
	if (it) {
		if (p->ops.isolate)
			CHECK(SEE(&it->taken) == 1);
		CHECK(SEE(&it->freed) == 0);
		PUT(&it->taken, 0u);
		BUMP(&it->putback);
	}
	if (p->on_putback)
		p->on_putback(p, folio);
}

static void probe_free(struct quire_folio *folio, enum quire_free_reason reason, void *arg)
{
	struct probe *p = arg;
	struct item *it = quire_folio_private(folio);

	BUMP(&p->frees);
	PUT(&p->thread, thread_id());
	CHECK(quire_folio_owner(folio) == p->owner);
	if (it) {
		CHECK(BUMP(&it->freed) == 1);
		PUT(&it->free_thread, thread_id());
		it->free_reason = reason;
		if (SEE(&it->taken)) {
			PUT(&it->taken, 0u);
			BUMP(&it->freed_taken);
		}
	}
	if (p->on_free)
		p->on_free(p, folio);
}

void make_probe(struct quire *quire, const char *name, unsigned ops, struct probe *probe)
{
	*probe = (struct probe){ .quire = quire };
	probe->ops.size = sizeof(probe->ops);
	probe->ops.isolate = ops & OP_ISOLATE ? probe_isolate : NULL;
	probe->ops.migrate = ops & OP_MIGRATE ? probe_migrate : NULL;
	probe->ops.putback = ops & OP_PUTBACK ? probe_putback : NULL;
	probe->ops.free = ops & OP_FREE ? probe_free : NULL;
	assert_int_equal(
		quire_owner_create(quire, name, ops ? &probe->ops : NULL, probe, &probe->owner), 0);
}

static uint64_t content_word(uint64_t cookie, size_t i)
{
	return (cookie ^ (i * 0x9e3779b97f4a7c15ull)) * 0xd6e8feb86659fd93ull + i;
}

void content_write(void *to, uint64_t cookie, size_t bytes)
{
	char *at = to;

	for (size_t i = 0; i < bytes / 8; i++) {
		uint64_t word = content_word(cookie, i);

		quire_write_bytes(at + i * 8, &word, 8);
	}
}

bool content_is(const void *content, uint64_t cookie, size_t bytes)
{
	const char *at = content;

	for (size_t i = 0; i < bytes / 8; i++) {
		uint64_t word;

		quire_read_bytes(&word, at + i * 8, 8);
		if (word != content_word(cookie, i))
			return false;
	}
	return true;
}

void place(struct probe *probe, struct item *item, unsigned order, struct quire_frame at,
	   uint64_t cookie)
{
	struct quire_folio_args args = { .size = sizeof(args),
					 .order = order,
					 .at_set = !quire_frame_is_none(at),
					 .at = at,
					 .private_data = item };
	void *content;

	*item = (struct item){ .probe = probe, .cookie = cookie, .order = order };
	assert_int_equal(quire_folio_create_with(probe->owner, &args, &item->folio), 0);
	content = quire_pin(item->folio);
	assert_non_null(content);
	content_write(content, cookie, (size_t)4096 << order);
	quire_unpin(item->folio);
}

void place_row(struct probe *probe, struct item *items, size_t n, unsigned order, uint32_t at,
	       uint64_t cookie)
{
	for (size_t i = 0; i < n; i++)
		place(probe, &items[i], order, quire_frame(at + (uint32_t)(i << order)),
		      cookie + i);
}

void drop(struct item *item)
{
	quire_folio_put(item->folio);
}

void drop_row(struct item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		drop(&items[i]);
}

uint32_t at_frame(const struct item *item)
{
	return quire_folio_frame(item->folio).n;
}

bool item_intact(const struct item *item)
{
	const void *content = quire_pin(item->folio);
	bool ok;

	if (!content)
		return false;
	ok = quire_folio_order(item->folio) == item->order &&
	     content_is(content, item->cookie, (size_t)4096 << item->order);
	quire_unpin(item->folio);
	return ok;
}

bool item_reads(const struct item *item)
{
	struct quire_view view;
	bool ok;

	if (quire_read_enter())
		return false;
	do {
		view = quire_view(item->folio);
		ok = view.data && content_is(view.data, item->cookie, (size_t)4096 << item->order);
	} while (quire_view_stale(item->folio, view));
	quire_read_leave();
	return ok;
}

void assert_row_intact(const struct item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_intact(&items[i]);
}

void assert_item_ledger(const struct item *item)
{
	assert_int_equal(SEE(&item->taken), 0);
	assert_int_equal(SEE(&item->isolated),
			 SEE(&item->moved) + SEE(&item->putback) + SEE(&item->freed_taken));
}

/* --- moving ------------------------------------------------------------------------------- */

struct quire_move move_folio(struct quire_folio *folio, enum quire_mode mode, uint64_t deadline)
{
	struct quire *quire = quire_owner_quire(quire_folio_owner(folio));
	struct quire_move move = { .folio = folio };
	long left = quire_move_folios(quire, &move, 1, mode, deadline);

	CHECK(left == (move.code != 0));
	CHECK((move.code == 0) ==
	      (move.who.why == QUIRE_REASON_NONE || move.who.why == QUIRE_REASON_FREED));
	CHECK(move.code <= 0);
	CHECK(move.who.reason && strcmp(move.who.reason, quire_reason_text(move.who.why)) == 0);
	CHECK(move.who.owner && move.who.site);
	return move;
}

long move_row(struct item *items, size_t n, struct quire_move *moves, enum quire_mode mode,
	      uint64_t deadline)
{
	struct quire_move *own = moves ? moves : calloc(n, sizeof(*own));
	long left;
	long failed = 0;

	assert_non_null(own);
	for (size_t i = 0; i < n; i++)
		own[i] = (struct quire_move){ .folio = items[i].folio };
	left = quire_move_folios(items[0].probe->quire, own, n, mode, deadline);
	for (size_t i = 0; i < n; i++)
		failed += own[i].code != 0;
	if (left >= 0)
		CHECK(left == failed);
	if (!moves)
		free(own);
	return left;
}

void one_start(struct one *one, unsigned ops)
{
	one->q = make_quire(4);
	make_probe(one->q, "probe", ops, &one->p);
	place(&one->p, &one->it, 0, ANYWHERE, 0xc0ffee);
	one->free_before = stats_of(one->q).frames_free;
}

void one_end(struct one *one)
{
	assert_intact(&one->it);
	assert_false(quire_folio_on_the_move(one->it.folio));
	assert_item_ledger(&one->it);
	assert_ledger_closed(one->q);
	assert_frames_free(one->q, one->free_before);
	assert_int_equal(one->it.freed, 0);
	drop(&one->it);
	one_end_freed(one);
}

void one_end_freed(struct one *one)
{
	assert_int_equal(one->it.freed, 1);
	assert_item_ledger(&one->it);
	assert_ledger_closed(one->q);
	assert_frames_free(one->q, stats_of(one->q).frames);
	no_points();
	end_quire(one->q);
}

/* --- plans -------------------------------------------------------------------------------- */

struct quire_plan *plan_of(struct quire *quire, uint32_t frames, uint64_t count)
{
	struct quire_plan *plan = NULL;

	assert_int_equal(quire_plan_create(quire,
					   QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = frames,
						      .count = count),
					   &plan),
			 0);
	assert_non_null(plan);
	return plan;
}

struct quire_plan_info info_of(const struct quire_plan *plan)
{
	struct quire_plan_info info = { .size = sizeof(info) };

	assert_int_equal(quire_plan_info(plan, &info), 0);
	return info;
}

bool is_claimed(struct quire *quire, uint32_t block)
{
	struct quire_block_info info = { .size = sizeof(info) };

	CHECK(quire_block_info(quire, block, &info) == 0);
	return info.claimed != 0;
}

void assert_nothing_claimed(struct quire *quire)
{
	for (uint32_t b = 0; b < quire_blocks(quire); b++)
		assert_false(is_claimed(quire, b));
}

/* --- other threads ------------------------------------------------------------------------ */

#define PATIENCE 30

static struct timespec patience(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_sec += PATIENCE;
	return ts;
}

static void stuck(const char *what)
{
	fprintf(stderr, "%s: stuck for %d s\n", what, PATIENCE);
	abort();
}

void gate_init(struct gate *gate)
{
	sem_init(&gate->sem, 0, 0);
}

void gate_open(void *gate)
{
	sem_post(&((struct gate *)gate)->sem);
}

void gate_pass(void *gate)
{
	struct timespec end = patience();

	while (sem_timedwait(&((struct gate *)gate)->sem, &end))
		if (errno != EINTR)
			stuck("a gate");
}

static void *hand_main(void *arg)
{
	struct hand *hand = arg;

	PUT(&hand->tid, thread_id());
	pthread_mutex_lock(&hand->lock);
	pthread_cond_broadcast(&hand->cond);
	while (!hand->stop || hand->fn) {
		void (*fn)(void *) = hand->fn;

		if (!fn) {
			pthread_cond_wait(&hand->cond, &hand->lock);
			continue;
		}
		pthread_mutex_unlock(&hand->lock);
		fn(hand->arg);
		pthread_mutex_lock(&hand->lock);
		hand->fn = NULL;
		pthread_cond_broadcast(&hand->cond);
	}
	pthread_mutex_unlock(&hand->lock);
	return NULL;
}

void hand_start(struct hand *hand)
{
	memset(hand, 0, sizeof(*hand));
	pthread_mutex_init(&hand->lock, NULL);
	pthread_cond_init(&hand->cond, NULL);
	assert_int_equal(pthread_create(&hand->thread, NULL, hand_main, hand), 0);
	pthread_mutex_lock(&hand->lock);
	while (!SEE(&hand->tid))
		pthread_cond_wait(&hand->cond, &hand->lock);
	pthread_mutex_unlock(&hand->lock);
}

void hand_post(struct hand *hand, void (*fn)(void *), void *arg)
{
	pthread_mutex_lock(&hand->lock);
	CHECK(!hand->fn);
	hand->fn = fn;
	hand->arg = arg;
	pthread_cond_broadcast(&hand->cond);
	pthread_mutex_unlock(&hand->lock);
}

void hand_wait(struct hand *hand)
{
	struct timespec end = patience();

	pthread_mutex_lock(&hand->lock);
	while (hand->fn)
		if (pthread_cond_timedwait(&hand->cond, &hand->lock, &end) == ETIMEDOUT)
			stuck("a hand");
	pthread_mutex_unlock(&hand->lock);
}

void hand_do(struct hand *hand, void (*fn)(void *), void *arg)
{
	hand_post(hand, fn, arg);
	hand_wait(hand);
}

void hand_stop(struct hand *hand)
{
	hand_wait(hand);
	hand_join(hand);
}

void hand_join(struct hand *hand)
{
	pthread_mutex_lock(&hand->lock);
	hand->stop = true;
	pthread_cond_broadcast(&hand->cond);
	pthread_mutex_unlock(&hand->lock);
	pthread_join(hand->thread, NULL);
}

void deed_pin(void *deed)
{
	struct deed *d = deed;

	d->address = quire_pin(d->folio), d->site = QUIRE_SITE;
}

void deed_unpin(void *deed)
{
	quire_unpin(((struct deed *)deed)->folio);
}

void deed_pin_long(void *deed)
{
	struct deed *d = deed;

	d->code = quire_pin_long(d->folio, d->who, &d->pin), d->site = QUIRE_SITE;
	d->address = d->code ? NULL : quire_pin_address(d->pin);
}

void deed_unpin_long(void *deed)
{
	quire_unpin_long(((struct deed *)deed)->pin);
}

void deed_put(void *deed)
{
	quire_folio_put(((struct deed *)deed)->folio);
}

void deed_get(void *deed)
{
	struct deed *d = deed;

	CHECK(quire_read_enter() == 0);
	d->got = quire_folio_get(d->folio);
	quire_read_leave();
}

void deed_move(void *deed)
{
	struct deed *d = deed;

	d->move = move_folio(d->folio, d->mode, d->deadline);
}

void deed_enter(void *deed)
{
	struct deed *d = deed;

	CHECK(quire_read_enter() == 0);
	d->view = quire_view(d->folio);
}

void deed_leave(void *deed)
{
	(void)deed;
	quire_read_leave();
}

void by_hand_pin(void *deed)
{
	hand_do(((struct deed *)deed)->hand, deed_pin, deed);
}

void by_hand_pin_until_it_waits(void *deed)
{
	hand_post(((struct deed *)deed)->hand, deed_pin, deed);
	gate_pass(((struct deed *)deed)->gate);
}

void by_hand_pin_long_until_it_waits(void *deed)
{
	hand_post(((struct deed *)deed)->hand, deed_pin_long, deed);
	gate_pass(((struct deed *)deed)->gate);
}

void by_hand_unpin(void *deed)
{
	hand_do(((struct deed *)deed)->hand, deed_unpin, deed);
}

void by_hand_put(void *deed)
{
	hand_do(((struct deed *)deed)->hand, deed_put, deed);
}

void by_hand_move(void *deed)
{
	hand_do(((struct deed *)deed)->hand, deed_move, deed);
}

void by_hand_enter(void *deed)
{
	hand_do(((struct deed *)deed)->hand, deed_enter, deed);
}

/* --- two threads and a folio -------------------------------------------------------------- */

void two_start(struct two *two)
{
	two->q = make_quire(2);
	make_probe(two->q, "probe", OP_ALL, &two->p);
	place(&two->p, &two->it, 0, ANYWHERE, 0x9107);
	two->old = at_frame(&two->it);
	hand_start(&two->hand);
	gate_init(&two->gate);
	two->d = (struct deed){ .folio = two->it.folio,
				.who = two->p.owner,
				.hand = &two->hand,
				.gate = &two->gate,
				.mode = QUIRE_ASYNC };
	/* Its record is there: its first pin is the inline one. */
	hand_do(&two->hand, deed_enter, &two->d);
	hand_do(&two->hand, deed_leave, &two->d);
}

void two_end(struct two *two)
{
	no_points();
	hand_stop(&two->hand);
	assert_item_ledger(&two->it);
	assert_ledger_closed(two->q);
	if (!two->it.freed) {
		assert_intact(&two->it);
		assert_frames_free(two->q, 1023);
		drop(&two->it);
	}
	assert_int_equal(two->it.freed, 1);
	assert_frames_free(two->q, 1024);
	end_quire(two->q);
}

bool two_here(const struct two *two, const void *address)
{
	return address && address == quire_folio_content(two->it.folio) &&
	       content_is(address, two->it.cookie, 4096);
}

unsigned arenas_mapped(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned n = 0;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:quire") != NULL;
	CHECK(maps != NULL);
	if (maps)
		fclose(maps);
	return n;
}
