/* SPDX-License-Identifier: MIT */
/*
 * test_scenario.c: a program's whole life, from quire_create() to quire_destroy(), with its nth
 * fault point failing: an allocation of the library's, a system call, a place, a copy; n = 1, 2, …
 * until none fires. A step that fails says so and the program goes on with what it has. Whatever
 * failed: every error is the one that was injected or -ENOMEM, what lives has its content, all can
 * be ended, and nothing is left: no frame, no file, no mapping, no socket; under the address
 * sanitizer no byte either. Then the same, unhindered, does all of it.
 *
 * test_undo.c has each operation by itself, and looks more closely.
 */
#include "ask.h"
#include "os/os.h"

#include <dirent.h>
#include <stdlib.h>

#define SMALL 12
#define POOL 8

/* Of the address sanitizer, where it is there. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

struct life {
	int err;      /* what is injected */
	unsigned bad; /* steps that failed */
	struct quire *q;
	struct quire_owner *plain, *asked, *lender, *mortal;
	struct quire_fence *fence;
	struct quire_folio *small[SMALL], *large, *lent, *brief;
	struct quire_pin *pin;
	struct quire_plan *plan;
	struct quire_server *server;
	struct quire_frame pool; /* POOL frames of the lender's, or none */
	bool out;		 /* they are lent */
	bool asked_to_wait;
};

static struct life life_;

/* The only errors there may be. */
#define fine(life, code) fine_((life), (code), QUIRE_SITE)

static bool fine_(struct life *l, int code, const char *site)
{
	if (!code)
		return true;
	l->bad++;
	if (code != l->err && code != -ENOMEM)
		printf("# %s: %s, after %s failed\n", site, strerror(-code), quire_fault_name_());
	CHECK(code == l->err || code == -ENOMEM);
	return false;
}

/* --- owners ------------------------------------------------------------------------------- */

static int asked_isolate(struct quire_folio *folio, enum quire_mode mode, void *arg)
{
	struct life *l = arg;

	/* Once, where it can be waited for. */
	if (mode == QUIRE_ASYNC || !l->fence || l->asked_to_wait)
		return 0;
	l->asked_to_wait = true;
	CHECK(quire_op_wait(folio, l->fence) == 0);
	quire_fence_signal(l->fence);
	return -EAGAIN;
}

static int asked_migrate(struct quire_batch *batch, enum quire_mode mode, void *arg)
{
	(void)mode;
	(void)arg;
	return quire_move_commit(batch);
}

static void asked_putback(struct quire_folio *folio, void *arg)
{
	(void)folio;
	(void)arg;
}

static void asked_free(struct quire_folio *folio, enum quire_free_reason reason, void *arg)
{
	(void)folio;
	(void)reason;
	(void)arg;
}

static int asked_split(struct quire_folio *const *part, size_t parts, void *arg)
{
	(void)part;
	(void)parts;
	(void)arg;
	return 0;
}

static int lender_get(unsigned order, enum quire_mode mode, struct quire_frame *frame, void *arg)
{
	struct life *l = arg;

	(void)mode;
	if (order != 3 || l->out || quire_frame_is_none(l->pool))
		return -ENOMEM;
	l->out = true;
	*frame = l->pool;
	return 0;
}

static void lender_put(unsigned order, struct quire_frame frame, void *arg)
{
	struct life *l = arg;

	CHECK(order == 3 && frame.n == l->pool.n && l->out);
	l->out = false;
}

static const struct quire_owner_ops asked_ops = {
	.size = sizeof(asked_ops),
	.isolate = asked_isolate,
	.migrate = asked_migrate,
	.putback = asked_putback,
	.free = asked_free,
	.split = asked_split,
};

static const struct quire_owner_ops lender_ops = {
	.size = sizeof(lender_ops),
	.frame_get = lender_get,
	.frame_put = lender_put,
};

/* --- content: each folio's is made of where it stands in the life -------------------------- */

static void fill(struct quire_folio *folio, uint64_t cookie)
{
	char *content = folio ? quire_pin(folio) : NULL;

	for (size_t f = 0; content && f < quire_folio_bytes(folio) / 4096; f++)
		content_write(content + f * 4096, cookie + f, 4096);
	if (content)
		quire_unpin(folio);
}

static bool holds(struct quire_folio *folio, uint64_t cookie)
{
	const char *content = quire_pin(folio);
	bool ok = content != NULL;

	for (size_t f = 0; ok && f < quire_folio_bytes(folio) / 4096; f++)
		ok = content_is(content + f * 4096, cookie + f, 4096);
	if (content)
		quire_unpin(folio);
	return ok;
}

static void all_holds(struct life *l)
{
	/* Without memory for a thread's record a pin fails, and that is said: then nothing is
	 * known. */
	if (quire_read_enter()) {
		l->bad++;
		return;
	}
	quire_read_leave();
	for (uint64_t i = 0; i < SMALL; i++)
		CHECK(!l->small[i] || holds(l->small[i], 1000 * i));
	CHECK(!l->large || holds(l->large, 50000));
	CHECK(!l->lent || holds(l->lent, 60000));
}

/* --- a life ------------------------------------------------------------------------------- */

static void begin(struct life *l)
{
	if (!fine(l, quire_create(QUIRE_OPTIONS(.arena_bytes = 8 << 20), &l->q)))
		return;
	(void)fine(l, quire_owner_create(l->q, "plain", NULL, NULL, &l->plain));
	(void)fine(l, quire_owner_create(l->q, "asked", &asked_ops, l, &l->asked));
	(void)fine(l, quire_owner_create(l->q, "mortal", &asked_ops, l, &l->mortal));
	(void)fine(l, quire_owner_create(l->q, "lender", &lender_ops, l, &l->lender));
	(void)fine(l, quire_fence_create(l->q, "job", &l->fence));
	/* A pin that is not to be had without memory is NULL; from here on the record is there. */
	if (quire_read_enter())
		l->bad++;
	else
		quire_read_leave();
	for (uint32_t i = 0; i < SMALL; i++) {
		struct quire_owner *owner = i % 2 ? l->asked : l->plain;

		if (owner)
			(void)fine(l, quire_folio_create_with(
					      owner,
					      QUIRE_FOLIO(.at_set = 1, .at = quire_frame(i * 100)),
					      &l->small[i]));
		fill(l->small[i], 1000 * i);
	}
	if (l->asked)
		(void)fine(l, quire_folio_create(l->asked, 4, &l->large));
	fill(l->large, 50000);
	if (l->mortal)
		(void)fine(l, quire_folio_create(l->mortal, 0, &l->brief));
	if (l->lender && fine(l, quire_frames_take(l->lender, 3, &l->pool)))
		(void)fine(l, quire_folio_create(l->lender, 3, &l->lent));
	fill(l->lent, 60000);
}

static void pins(struct life *l)
{
	struct quire_folio *held[SMALL];
	unsigned n = 0;

	/* More than a thread's slots. */
	for (uint32_t i = 0; i < SMALL; i++) {
		if (!l->small[i])
			continue;
		if (quire_pin(l->small[i]))
			held[n++] = l->small[i];
		else
			l->bad++;
	}
	while (n)
		quire_unpin(held[--n]);
	if (l->small[3] && l->plain)
		(void)fine(l, quire_pin_long(l->small[3], l->plain, &l->pin));
}

static void moves(struct life *l)
{
	static const enum quire_mode modes[] = { QUIRE_ASYNC, QUIRE_SYNC_LIGHT, QUIRE_SYNC };

	for (size_t m = 0; m < COUNT_OF(modes); m++) {
		struct quire_move move[SMALL];
		size_t n = 0;
		long left;

		for (uint32_t i = 0; i < SMALL; i++)
			if (l->small[i] && i != 3)
				move[n++] = (struct quire_move){ .folio = l->small[i] };
		l->asked_to_wait = false;
		left = quire_move_folios(l->q, move, n, modes[m], 5 * MSEC);
		if (left < 0) {
			(void)fine(l, (int)left);
			continue;
		}
		for (size_t i = 0; i < n; i++) {
			(void)fine(l, move[i].code);
			quire_fence_put(move[i].wait);
		}
	}
}

static void splits(struct life *l)
{
	struct quire_folio *parts[4];
	struct quire_blocker who;

	if (!l->large || !fine(l, quire_folio_split(l->large, 2, parts, &who)))
		return;
	for (size_t i = 1; i < COUNT_OF(parts); i++) {
		CHECK(holds(parts[i], 50000 + 4 * i));
		quire_folio_put(parts[i]);
	}
}

static void ask_it(struct life *l)
{
	static struct answer answer;
	char err[256] = "";

	(void)fine(l,
		   quire_serve_create(
			   l->q, QUIRE_SERVE_OPTIONS(.path = ask_path("life"), .deadline_ns = SEC),
			   &l->server));
	/* A client that is not answered takes its second; system calls alone are worth that. */
	if (!l->server || l->err == -ENOMEM)
		return;
	if (client_ask(quire_serve_path(l->server), 1, &answer, err, sizeof(err))) {
		CHECK(err[0] != '\0');
		l->bad++;
	}
}

static void plans(struct life *l, const struct quire_goal *goal)
{
	struct quire_result r = { .size = sizeof(r) };
	uint64_t counts[QUIRE_REASON_ROOM];
	struct quire_blocker who[8];
	int code;

	if (!fine(l, quire_plan_create(l->q, goal, &l->plan)))
		return;
	code = quire_plan_execute(l->plan, QUIRE_BUDGET(.folio_ns = MSEC), &r);
	/* A folio that could not be moved keeps its window, and is named. */
	if (code == -EBUSY && quire_fault_name_()[0]) {
		CHECK(quire_plan_blockers(l->plan) != 0 || r.folios_failed != 0);
		l->bad++;
	} else {
		(void)fine(l, code);
	}
	CHECK(quire_plan_histogram(l->plan, counts) == 0);
	(void)quire_plan_blockers_now(l->plan, who, COUNT_OF(who));
	quire_plan_destroy(l->plan);
	l->plan = NULL;
}

static void ends(struct life *l)
{
	struct quire_move move = { .folio = l->brief };
	int64_t bytes;

	if (l->mortal) {
		CHECK(quire_owner_detach(l->mortal, 0, NULL) == 0);
		CHECK(quire_owner_destroy(l->mortal) == 0);
	}
	if (l->brief) {
		if (quire_move_folios(l->q, &move, 1, QUIRE_SYNC, MSEC))
			l->bad++;
		quire_folio_put(l->brief);
	}
	bytes = quire_give_back(l->q, QUIRE_MAX);
	if (bytes < 0)
		(void)fine(l, (int)bytes);
}

/*
 * Takes down what there is; this cannot fail. Without faults: a server that is not told whether the
 * file at its path is its own leaves it there.
 */
static void finish(struct life *l)
{
	quire_fault_disarm_();
	if (!l->q)
		return;
	quire_serve_destroy(l->server);
	quire_unpin_long(l->pin);
	for (uint32_t i = 0; i < SMALL; i++)
		quire_folio_put(l->small[i]);
	quire_folio_put(l->large);
	quire_folio_put(l->lent);
	quire_fence_put(l->fence);
	CHECK(quire_reclaim(l->q) == 0);
	CHECK(!l->out);
	CHECK(folios_validate(l->q) == NULL);
	CHECK(quire_owner_destroy(l->lender) == 0);
	CHECK(quire_owner_destroy(l->asked) == 0);
	CHECK(quire_owner_destroy(l->plain) == 0);
	CHECK(stats_of(l->q).frames_free == 4 * 512);
	CHECK(quire_destroy(l->q) == 0);
}

/* Files that are open, and files in the folder of sockets. */
static unsigned entries(const char *folder)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* A wait without an end is no failing call: it is for tests that wake it. */
static int in_time(const char *call)
{
	return strcmp(call, "os:futex-timeout") ? quire_fault_(call) : 0;
}

/* The whole of it; returns how many steps failed, and whether the fault fired. */
static unsigned live(uint64_t nth, int err, bool *fired)
{
	unsigned files = entries("/proc/self/fd"), sockets = entries(ask_folder);
	struct life *l = &life_;

	*l = (struct life){ .err = err, .pool = quire_frame(QUIRE_FRAME_NONE_N) };
	if (nth) {
		quire_fault_arm_(NULL, nth, err);
		__atomic_store_n(&os_fail_hook, in_time, __ATOMIC_RELEASE);
	}
	begin(l);
	if (l->q) {
		pins(l);
		moves(l);
		splits(l);
		ask_it(l);
		plans(l, QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = QUIRE_MAX));
		quire_unpin_long(l->pin);
		l->pin = NULL;
		plans(l, QUIRE_GOAL(.kind = QUIRE_GOAL_RANGE, .frames = 1024));
		all_holds(l);
		ends(l);
	}
	*fired = quire_fault_name_()[0] != '\0';
	finish(l);
	CHECK(entries("/proc/self/fd") == files);
	CHECK(entries(ask_folder) == sockets);
	CHECK(arenas_mapped() == 0);
	return l->bad;
}

static void every_fault(int err)
{
	static const char *seen[64];
	unsigned n = 0, edges = 0, told = 0, all;
	bool fired = true;

	assert_int_equal(live(0, err, &fired), 0);
	for (uint64_t nth = 1; fired || nth == 1; nth++) {
		const char *name;
		unsigned i;

		assert_true(nth < 5000);
		told += live(nth, err, &fired) != 0;
		edges += fired;
		name = quire_fault_name_();
		for (i = 0; i < n && strcmp(seen[i], name) != 0; i++)
			;
		if (i == n && fired && n < COUNT_OF(seen))
			seen[n++] = name;
		if (checks_failed())
			fail_msg("fault %llu, at %s", (unsigned long long)nth, name);
	}
	all = live(0, err, &fired);
	assert_int_equal(all, 0);
	printf("# a life with %s: %u faults at %u kinds of points, %u told, %u made good\n",
	       strerror(-err), edges, n, told, edges - told);
	for (unsigned i = 0; i < n; i++)
		printf("#   %s\n", seen[i]);
	if (__lsan_do_recoverable_leak_check)
		assert_int_equal(__lsan_do_recoverable_leak_check(), 0);
	/* The server's thread passes points in its own time, so the number of them varies. */
	assert_true(edges > 60 && told > 20 && n >= 15);
}

static void test_a_life_without_memory(void **state)
{
	(void)state;
	every_fault(-ENOMEM);
}

static void test_a_life_with_errors_of_the_system(void **state)
{
	(void)state;
	every_fault(-EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_life_without_memory),
		TEST(test_a_life_with_errors_of_the_system),
	};

	return cmocka_run_group_tests_name("undo: a whole life", tests, ask_setup, ask_teardown);
}
