// SPDX-License-Identifier: MIT
/*
 * thrifty.c: a policy of one's own, for a host with an event loop: runs are kept ready while there
 * is work; once it has been quiet for some time, memory is squeezed together as far as it goes, and
 * what is free beyond a small reserve goes back to the system.
 */
#include <poll.h>
#include <quire.h>
#include <stdio.h>
#include <string.h>

#define PAGES 16384
#define QUIET_NS 50000000u /* in a real program rather minutes */

/* What the policy remembers from one question to the next. */
struct thrifty {
	uint64_t freed, since; /* how busy it was, and since when it is no busier */
	uint64_t squeezed;     /* as busy as that when all was squeezed and given back */
};

static void choose(const struct quire_policy_view *view, struct quire_policy_choice *choice,
		   void *arg)
{
	struct thrifty *t = arg;
	uint32_t filled;

	if (view->folios_freed != t->freed) {
		t->freed = view->folios_freed;
		t->since = view->now_ns;
	}
	quire_policy_ready(view, choice, NULL); /* while there is work, the usual */
	if (choice->what != QUIRE_CHOICE_REST || t->squeezed == t->freed)
		return;
	if (view->now_ns - t->since < QUIET_NS) {
		choice->after_ns = QUIET_NS; /* asked again then, once */
		return;
	}
	/* How scattered it is: blocks that live memory fills, and those that it would fill. */
	filled = (uint32_t)((view->frames - view->frames_free + 511) / 512);
	if (view->last != QUIRE_CHOICE_GIVE_BACK && !view->blocked &&
	    view->blocks - view->blocks_by_use[0] > filled) {
		choice->what = QUIRE_CHOICE_RUNS;
		choice->frames = 512;
		/* All at once: made one by one, they would have pages moved more than once. */
		choice->count = view->blocks - filled;
		return;
	}
	if (view->last == QUIRE_CHOICE_GIVE_BACK || view->runs_free <= view->runs_high) {
		t->squeezed = t->freed;
		return;
	}
	choice->what = QUIRE_CHOICE_GIVE_BACK;
	choice->bytes = (uint64_t)(view->runs_free - view->runs_high) * view->run_frames * 4096;
}

static const struct quire_policy_ops thrifty = { .size = sizeof(thrifty), .choose = choose };

/* An event loop that has nothing else to do; until nothing is left to do by itself. */
static int serve_events(struct quire *q)
{
	struct pollfd fd = { .fd = quire_background_fd(q), .events = POLLIN };
	uint64_t next;
	int did;

	do {
		did = quire_background_step(q, &next);
		if (did)
			continue;
		if (next == UINT64_MAX)
			return 0;
		if (poll(&fd, 1, (int)(next / 1000000) + 1) < 0)
			return -1;
	} while (did >= 0);
	return -1;
}

int main(void)
{
	static struct quire_folio *page[PAGES];
	struct quire_background_stats s = { .size = sizeof(s) };
	struct thrifty memory = { .squeezed = UINT64_MAX };
	struct quire_owner *cache;
	struct quire *q;

	if (quire_create(QUIRE_OPTIONS(.arena_bytes = 128 << 20), &q) ||
	    quire_owner_create(q, "cache", NULL, NULL, &cache))
		return 1;
	for (int i = 0; i < PAGES; i++) {
		if (quire_folio_create(cache, 0, &page[i]))
			return 1;
		memset(quire_pin(page[i]), i, 4096);
		quire_unpin(page[i]);
	}
	for (int i = 0; i < PAGES; i++)
		if (i % 16)
			quire_folio_put(page[i]);
	if (quire_background_start(q, QUIRE_BACKGROUND_OPTIONS(.flags = QUIRE_BACKGROUND_NO_THREAD,
							       .runs_low = 4, .runs_high = 6,
							       .share = 500, .policy = &thrifty,
							       .policy_arg = &memory)) ||
	    serve_events(q) || quire_background_stats_get(q, &s))
		return 1;
	printf("%lu runs made, %lu KiB moved, %lu MiB given back; %s\n", s.runs,
	       s.moved_bytes >> 10, s.given_back_bytes >> 20, quire_background_state_text(s.state));
	return quire_destroy(q) ? 1 : 0; /* which stops it */
}
