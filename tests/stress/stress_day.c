/* SPDX-License-Identifier: MIT */
/*
 * stress_day.c: 24 hours of work in the background under a load with days and nights, in the time
 * that the work itself takes: the clock is the test's, and stands still but where somebody waits,
 * and for a millisecond a batch.
 *
 * By day much of the arena is in use and comes and goes; in the evening most of it goes, here and
 * there; at night little happens. Some pages are pinned for minutes, and now and then their owner
 * lets none of them move for a while. Every few minutes somebody wants some 2 MiB folios at once.
 * A thread reads all of it by handle meanwhile, in real time.
 *
 * What has to hold: no byte is wrong; in every minute and every hour no more was moved, and no
 * longer worked, than the budget allows; what is wanted is ready, except where it is told who
 * stands in the way; and it wakes for a reason, so not more often than something happened.
 *
 * QUIRE_SEED, QUIRE_HOURS (24), QUIRE_FIRST_HOUR (0: it begins at midnight).
 */
#include "support.h"

#include <inttypes.h>
#include <poll.h>
#include <sched.h>

#define BLOCKS 64u
#define FRAMES (BLOCKS * 512u)
#define LOW 6u
#define HIGH 9u
#define RATE (1ull << 20) /* bytes a second */
#define BURST (2ull << 20)
#define SHARE 50u /* of 1000 */
#define STEP (5 * MSEC)
#define BATCH MSEC /* what a batch takes of the day */
#define MINUTE (60 * SEC)
#define SLICES 6u /* a minute: load comes in so many parts */
#define PINS 5u
#define WORDS 512u
#if QUIRE_TSAN_ /* some fifteen times as slow: the evening, then a night that costs little */
#define FIRST_HOUR 16u
#define HOURS 8u
#else
#define FIRST_HOUR 0u
#define HOURS 24u
#endif

/* A folio that is there: its cookie is stored before it, and it is taken away first. */
struct live {
	struct quire_folio *folio; /* atomic */
	uint64_t cookie;	   /* atomic */
	unsigned order;
	bool pinned;
};

static struct quire *q;
static struct quire_owner *owner;
static struct live live[FRAMES];
static uint32_t lives, frames_used;
static uint64_t first_hour, now, rng, reads, wrong, stop_reading, vetoes;
static bool refusing;

static struct pinned {
	struct quire_pin *pin;
	struct live *of;
	uint64_t until;
} pins[PINS];

static struct wanted {
	struct quire_folio *folio[LOW];
	unsigned n;
	uint64_t until;
} wanted;

/* What is checked for every minute and hour. */
struct account {
	uint64_t at, moved, worked;
};

static uint64_t word_of(uint64_t cookie, uint64_t i)
{
	uint64_t state = cookie ^ i * 0x9e3779b97f4a7c15ull;

	return prng(&state);
}

/* --- the owner ---------------------------------------------------------------------------- */

static int may_move(struct quire_folio *folio, enum quire_mode mode, void *arg)
{
	(void)folio;
	(void)mode;
	(void)arg;
	vetoes += refusing;
	return refusing ? -EPERM : 0;
}

static void put_back(struct quire_folio *folio, void *arg)
{
	(void)folio;
	(void)arg;
}

static const struct quire_owner_ops ops = {
	.size = sizeof(ops),
	.isolate = may_move,
	.putback = put_back,
};

/* --- load --------------------------------------------------------------------------------- */

static void make(void)
{
	unsigned order = prng(&rng) % 8 ? 0 : (unsigned)(prng(&rng) % 5);
	struct live *l = &live[lives];
	struct quire_folio *folio;
	uint64_t *content;

	if (quire_folio_create(owner, order, &folio))
		return; /* no aligned place: for these nothing is kept ready */
	PUT(&l->cookie, prng(&rng));
	l->order = order;
	l->pinned = false;
	content = quire_pin(folio);
	for (uint64_t i = 0; i < WORDS << order; i++)
		content[i] = word_of(l->cookie, i);
	quire_unpin(folio);
	PUT(&l->folio, folio);
	lives++;
	frames_used += 1u << order;
}

static void end(uint32_t i)
{
	struct live *l = &live[i], *last = &live[lives - 1];
	struct quire_folio *folio = l->folio;

	if (l->pinned)
		return;
	PUT(&l->folio, NULL);
	frames_used -= 1u << l->order;
	quire_folio_put(folio);
	if (l != last) {
		struct quire_folio *moved = last->folio;

		PUT(&last->folio, NULL);
		PUT(&l->cookie, last->cookie);
		l->order = last->order;
		l->pinned = last->pinned;
		for (unsigned k = 0; k < PINS; k++)
			if (pins[k].of == last)
				pins[k].of = l;
		PUT(&l->folio, moved);
	}
	lives--;
}

/* How much of the arena is in use at this hour, in thousandths. */
static unsigned share_of(uint64_t hour)
{
	static const unsigned by_hour[24] = { 200, 200, 200, 200, 200, 250, 350, 500,
					      600, 650, 680, 700, 700, 650, 700, 700,
					      680, 600, 500, 400, 300, 250, 220, 200 };

	return by_hour[hour % 24];
}

static void come_and_go(void)
{
	uint64_t hour = first_hour + (now - CLOCK_START) / (60 * MINUTE);
	uint32_t target = FRAMES / 1000 * share_of(hour);
	unsigned churn = share_of(hour) > 300 ? 60 : 3;

	for (unsigned i = 0; i < churn && lives; i++)
		end((uint32_t)(prng(&rng) % lives));
	for (unsigned i = 0; frames_used < target && i < 400; i++)
		make();
	for (unsigned i = 0; frames_used > target && i < 400; i++)
		end((uint32_t)(prng(&rng) % lives));
}

static void pin_some(void)
{
	for (unsigned i = 0; i < PINS; i++) {
		struct pinned *p = &pins[i];

		if (p->pin && now >= p->until) {
			quire_unpin_long(p->pin);
			p->pin = NULL;
			p->of->pinned = false;
			p->of = NULL;
		}
		if (p->pin || !lives || prng(&rng) % 20)
			continue;
		p->of = &live[prng(&rng) % lives];
		if (p->of->pinned) {
			p->of = NULL;
			continue;
		}
		assert_int_equal(quire_pin_long(p->of->folio, owner, &p->pin), 0);
		p->of->pinned = true;
		p->until = now + (1 + prng(&rng) % 15) * MINUTE;
	}
	if (refusing ? prng(&rng) % 20 == 0 : prng(&rng) % 2000 == 0) {
		refusing = !refusing;
		if (!refusing)
			quire_movable_again(q);
	}
}

/* --- what is wanted at once --------------------------------------------------------------- */

static uint64_t demands, given, short_of, refilled_at;

static struct quire_background_stats seen(void)
{
	struct quire_background_stats s = { .size = sizeof(s) };

	assert_int_equal(quire_background_stats_get(q, &s), 0);
	return s;
}

/*
 * What was freed is free once no reader can see it, and a reader is a thread in real time, which
 * may be off its processor for longer than a day takes here. It gets on with its section; that is
 * waited for, so that what falls short then is not its doing.
 */
static void until_readers_left(void)
{
	struct quire_stats stats = { .size = sizeof(stats) };

	do {
		(void)quire_reclaim(q);
		assert_int_equal(quire_stats_get(q, &stats), 0);
		sched_yield();
	} while (stats.folios_retired || stats.frames_limbo);
}

static void want(void)
{
	struct quire_background_stats s = seen();
	unsigned n;

	if (wanted.n && now >= wanted.until) {
		while (wanted.n)
			quire_folio_put(wanted.folio[--wanted.n]);
		refilled_at = now;
	}
	if (wanted.n || now < refilled_at + 4 * MINUTE || prng(&rng) % 12)
		return;
	until_readers_left();
	demands++;
	n = 1 + (unsigned)(prng(&rng) % LOW);
	while (wanted.n < n && !quire_folio_create(owner, 9, &wanted.folio[wanted.n]))
		wanted.n++;
	given += wanted.n;
	wanted.until = now + (1 + prng(&rng) % 3) * MINUTE;
	if (wanted.n == n)
		return;
	/* It has had minutes. Then somebody stands in the way, and it says so. */
	short_of++;
	if (s.state != QUIRE_BACKGROUND_BLOCKED || !s.blockers)
		fail_msg("hour %.2f: %u of %u runs, %s, %u blockers, %u free",
			 (double)(now - CLOCK_START) / (double)(60 * MINUTE), wanted.n, n,
			 quire_background_state_text(s.state), s.blockers, s.runs_free);
}

/* --- reading ------------------------------------------------------------------------------ */

static void read_one(uint64_t *state)
{
	struct live *l = &live[prng(state) % FRAMES];
	struct quire_folio *folio = SEE(&l->folio);
	uint64_t cookie = SEE(&l->cookie), i = prng(state) % WORDS, word;
	struct quire_view view;

	if (!folio)
		return;
	do {
		view = quire_view(folio);
		if (!view.data)
			return;
		quire_read_bytes(&word, view.data + i * sizeof(word), sizeof(word));
	} while (quire_view_stale(folio, view));
	/* Still the one that this cookie is of? */
	if (SEE(&l->folio) != folio || SEE(&l->cookie) != cookie)
		return;
	__atomic_add_fetch(&reads, 1, __ATOMIC_RELAXED);
	if (word != word_of(cookie, i))
		BUMP(&wrong);
}

static void *read_all(void *arg)
{
	uint64_t state = 1;

	(void)arg;
	while (!SEE(&stop_reading)) {
		if (quire_read_enter())
			break;
		for (unsigned i = 0; i < 16; i++)
			read_one(&state);
		quire_read_leave();
	}
	return NULL;
}

/* --- the day ------------------------------------------------------------------------------ */

static void set_clock(uint64_t to)
{
	now = to;
	quire_clock_set_(now);
}

/* Waiting moves the clock on, too. */
static void batch(void *arg)
{
	(void)arg;
	set_clock(now + BATCH);
}

static uint64_t looks, due;

static bool is_raised(void)
{
	struct pollfd fd = { .fd = quire_background_fd(q), .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

/* The host's event loop: a look where it is woken, or when it is time, and none otherwise. */
static void work_until(uint64_t end_of_slice)
{
	unsigned same = 0;
	uint64_t next;
	int did;

	while (now < end_of_slice) {
		if (!is_raised() && now < due) {
			if (due >= end_of_slice)
				break;
			set_clock(due);
		}
		did = quire_background_step(q, &next);
		assert_true(did == 0 || did == 1);
		if (++same > 100000)
			fail_msg("it looks again and again: %s, %u free, %u wanted, %u blockers",
				 quire_background_state_text(seen().state), seen().runs_free,
				 seen().runs_wanted, seen().blockers);
		looks++;
		due = did ? now : next > UINT64_MAX - now ? UINT64_MAX : now + next;
	}
	if (now < end_of_slice)
		set_clock(end_of_slice);
}

static void check_account(struct account *a, const char *what)
{
	struct quire_background_stats s = seen();
	uint64_t moved = s.moved_bytes + s.recopied_bytes, dt = now - a->at;
	uint64_t most = s.longest_ns + dt * SHARE / 1000;

	if (moved - a->moved > BURST + (uint64_t)((double)dt * (double)RATE / (double)SEC))
		fail_msg("%s: %" PRIu64 " bytes moved", what, moved - a->moved);
	if (s.worked_ns - a->worked > most)
		fail_msg("%s: %" PRIu64 " us worked", what, (s.worked_ns - a->worked) / 1000);
	*a = (struct account){ .at = now, .moved = moved, .worked = s.worked_ns };
}

static void check_all(void)
{
	for (uint32_t i = 0; i < lives; i++) {
		const uint64_t *content = quire_pin(live[i].folio);

		for (uint64_t w = 0; w < WORDS << live[i].order; w++)
			if (content[w] != word_of(live[i].cookie, w))
				BUMP(&wrong);
		quire_unpin(live[i].folio);
	}
	assert_int_equal(wrong, 0);
}

static void report(const struct quire_background_stats *s, uint64_t hours)
{
	printf("# %" PRIu64 " h: %" PRIu64 " times some 2 MiB folios were wanted, %" PRIu64
	       " were given, %" PRIu64 " times fewer, who was in the way being named\n",
	       hours, demands, given, short_of);
	printf("# %" PRIu64 " steps, %" PRIu64 " runs, %" PRIu64 " MiB moved, %" PRIu64
	       " in vain, %.3f %% of the time, longest step %.1f ms; %" PRIu64 " looks; %" PRIu64
	       " reads; %" PRIu64 " vetoes\n",
	       s->steps, s->runs, s->moved_bytes >> 20, s->in_vain,
	       (double)s->worked_ns * 100 / (double)(hours * 60 * MINUTE),
	       (double)s->longest_step_ns / 1e6, looks, reads, vetoes);
	for (unsigned i = 0; i < QUIRE_EVENT_COUNT; i++)
		printf("# %8" PRIu64 " %s\n", s->events[i], quire_event_text((enum quire_event)i));
}

static void test_W28_a_day_in_minutes(void **state)
{
	uint64_t hours = number_of("QUIRE_HOURS", HOURS), minutes = hours * 60;
	struct account minute = { .at = CLOCK_START }, hour = { .at = CLOCK_START };
	struct quire_background_stats s;
	pthread_t reader;

	(void)state;
	rng = seed_of("a day", 20261121);
	first_hour = number_of("QUIRE_FIRST_HOUR", FIRST_HOUR);
	q = make_quire(BLOCKS);
	assert_int_equal(quire_owner_create(q, "town", &ops, NULL, &owner), 0);
	set_clock(CLOCK_START);
	refilled_at = now;
	at_point("background:batch", NULL, batch, NULL);
	assert_int_equal(pthread_create(&reader, NULL, read_all, NULL), 0);
	assert_int_equal(quire_background_start(
				 q, QUIRE_BACKGROUND_OPTIONS(.flags = QUIRE_BACKGROUND_NO_THREAD,
							     .runs_low = LOW, .runs_high = HIGH,
							     .bytes_per_s = RATE, .share = SHARE,
							     .step_ns = STEP)),
			 0);
	for (uint64_t m = 0; m < minutes; m++) {
		for (unsigned slice = 1; slice <= SLICES; slice++) {
			come_and_go();
			pin_some();
			want();
			work_until(CLOCK_START + m * MINUTE + slice * MINUTE / SLICES);
		}
		check_account(&minute, "a minute");
		if (m % 60 == 59) {
			check_account(&hour, "an hour");
			check_all();
		}
	}
	PUT(&stop_reading, 1);
	pthread_join(reader, NULL);
	no_points();
	s = seen();
	report(&s, hours);
	check_all();
	assert_true(reads > 1000);
	assert_true(given > demands);
	/* It is told who is in the way now and then, and it is rare. */
	assert_true(short_of * 20 <= demands);
	assert_int_equal(s.bad_choices + s.errors, 0);
	/*
	 * Of a day as a whole, with its night: it had something to do, and it looks for a reason,
	 * less than once in two minutes. A few hours may have had nothing to do, or nothing else.
	 */
	assert_true(hours < 24 || (s.runs > 0 && s.events[QUIRE_EVENT_LOW] > 0));
	assert_true(hours < 24 ||
		    looks * 2 <= minutes + 2 * s.steps + 2 * s.events[QUIRE_EVENT_TIME]);
	assert_int_equal(quire_background_stop(q, 0), 0);
	refusing = false;
	for (unsigned i = 0; i < PINS; i++)
		quire_unpin_long(pins[i].pin);
	while (wanted.n)
		quire_folio_put(wanted.folio[--wanted.n]);
	for (uint32_t i = 0; i < lives; i++)
		quire_folio_put(live[i].folio);
	quire_clock_set_(UINT64_MAX);
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_W28_a_day_in_minutes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
