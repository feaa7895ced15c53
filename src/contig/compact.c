// SPDX-License-Identifier: MIT
/*
 * compact.c: one step in the background: look, ask the policy, check what it says, do it within the
 * budget.
 *
 * The budget, at any time t since it was begun:
 *
 *	bytes moved, copied in vain too   <=  burst + bytes_per_s * t	(+ one block copied in vain)
 *	time worked before the latest rest  <=  share * t
 *
 * A step that would be too early is put off, never cut.
 */
#include "contig/background.h"

#include "contig/plan.h"
#include "frame/node.h"
#include "os/os.h"
#include "util/points.h"

#include <errno.h>
#include <string.h>

#define BLOCK_BYTES ((uint64_t)QUIRE_BLOCK_FRAMES * QUIRE_FRAME_BYTES)
#define AFTER_MIN_NS 1000000u
#define EXTRA_FIRST 8u
#define RUN_FRAMES_MAX (1u << 18)
#define THOUSAND 1000u
#define SECOND_NS 1000000000u

static uint64_t later(uint64_t now, uint64_t ns)
{
	return now > UINT64_MAX - ns ? UINT64_MAX : now + ns;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* a * b / c, where that is below 2^64; else that is what it is. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 x = (unsigned __int128)a * b / c;

	return x > UINT64_MAX ? UINT64_MAX : (uint64_t)x;
}

/* --- the budget --- */

static uint64_t burst(const struct background *b)
{
	uint64_t second = b->options.bytes_per_s;

	return second > BLOCK_BYTES ? second : BLOCK_BYTES;
}

static void fill(struct background *b, uint64_t now)
{
	uint64_t rate = b->options.bytes_per_s, n, paid;

	if (!rate || now <= b->filled_ns)
		return;
	n = scale(now - b->filled_ns, rate, SECOND_NS);
	/* Only the time that made whole bytes is used up. */
	b->filled_ns = earlier(now, later(b->filled_ns, scale(n, SECOND_NS, rate)));
	paid = n < b->debt ? n : b->debt;
	b->debt -= paid;
	b->tokens += earlier(n - paid, burst(b) - b->tokens);
}

static void spend(struct background *b, uint64_t bytes)
{
	if (!b->options.bytes_per_s)
		return;
	if (bytes > b->tokens) {
		b->debt += bytes - b->tokens;
		b->tokens = 0;
	} else {
		b->tokens -= bytes;
	}
}

/* When a block may be moved. */
static uint64_t affordable_at(const struct background *b, uint64_t now)
{
	uint64_t rate = b->options.bytes_per_s;

	if (!rate || b->tokens >= BLOCK_BYTES)
		return now;
	return later(b->filled_ns, scale(BLOCK_BYTES - b->tokens + b->debt, SECOND_NS, rate) + 1);
}

static void worked(struct background *b, uint64_t start, uint64_t now)
{
	uint64_t ns = now - start;

	b->now.worked_ns += ns;
	if (b->now.longest_ns < ns)
		b->now.longest_ns = ns;
	b->rest_until = later(now, scale(ns, THOUSAND - b->options.share, b->options.share));
}

/* --- what others may see --- */

static void show(struct background *b, enum quire_background_state state, uint64_t until)
{
	b->now.state = state;
	b->now.next_ns = until;
	b->now.blockers = b->held.all;
	pthread_mutex_lock(&b->lock);
	b->shown = b->now;
	pthread_mutex_unlock(&b->lock);
}

/* --- the view --- */

/* Runs that somebody can get: in one node, and that is not offline. watched: those that end by a
 * word of the allocator's. */
static uint32_t runs_of(const struct quire *q, uint32_t frames, bool watched)
{
	uint32_t each = frames / QUIRE_BLOCK_FRAMES, blocks = node_blocks(q->node), n = 0, i;

	for (uint32_t first = 0; first + each <= blocks; first += each) {
		if (!node_has_all(q->node, first, each) ||
		    node_is_offline(q->node, node_of_block(q->node, first)))
			continue;
		for (i = 0; i < each; i++)
			if (watched ? !node_is_counted(q->node, first + i)
				    : node_free_of(q->node, first + i) != QUIRE_BLOCK_FRAMES)
				break;
		n += i == each;
	}
	return n;
}

static uint32_t free_runs(const struct quire *q, uint32_t frames)
{
	return runs_of(q, frames, false);
}

static void look(struct background *b, uint64_t now, struct quire_policy_view *view)
{
	const struct quire *q = b->q;

	memset(view, 0, sizeof(*view));
	view->size = sizeof(*view);
	view->now_ns = now;
	view->blocks = node_blocks(q->node);
	view->frames = (uint64_t)view->blocks * QUIRE_BLOCK_FRAMES;
	for (uint32_t i = 0; i < view->blocks; i++) {
		uint32_t free = node_free_of(q->node, i), used = QUIRE_BLOCK_FRAMES - free;

		view->frames_free += free;
		view->blocks_by_use[(used + 63) / 64]++;
	}
	view->folios_freed = load_relaxed(&q->counts.folios_freed);
	view->run_frames = b->options.run_frames;
	view->runs_low = b->options.runs_low;
	view->runs_high = b->options.runs_high;
	view->runs_free = free_runs(q, view->run_frames);
	view->events = b->events;
	view->places_missed = load_relaxed(&q->counts.no_place);
	view->last = b->last;
	view->last_code = b->last_code;
	view->last_gain = b->last_gain;
	view->last_bytes = b->last_bytes;
	view->last_ns = b->last_ns;
	view->blocked = b->held.blocked;
	view->blockers = b->held.all;
	view->bytes_left = b->options.bytes_per_s ? b->tokens : UINT64_MAX;
}

/* --- the choice --- */

static bool makes_sense(const struct quire_policy_choice *c, const struct quire_policy_view *view)
{
	if (c->after_ns && c->after_ns < AFTER_MIN_NS)
		return false;
	switch (c->what) {
	case QUIRE_CHOICE_REST:
		return true;
	case QUIRE_CHOICE_RUNS:
		return c->frames >= QUIRE_BLOCK_FRAMES && c->frames <= RUN_FRAMES_MAX &&
		       !(c->frames & (c->frames - 1)) && c->count &&
		       c->count <= view->blocks / (c->frames / QUIRE_BLOCK_FRAMES) &&
		       (!c->bytes || c->bytes >= BLOCK_BYTES);
	case QUIRE_CHOICE_GIVE_BACK:
		return c->bytes != 0;
	}
	return false;
}

static void ask(struct background *b, const struct quire_policy_view *view,
		struct quire_policy_choice *choice)
{
	memset(choice, 0, sizeof(*choice));
	choice->size = sizeof(*choice);
	b->events = 0;
	b->now.asked++;
	b->policy.choose(view, choice, b->options.policy_arg);
	if (makes_sense(choice, view))
		return;
	b->now.bad_choices++;
	quire_log(b->q, QUIRE_LOG_WARNING,
		  "the background's policy chose %d, %u runs of %u frames, %llu bytes: no sense",
		  (int)choice->what, choice->count, choice->frames,
		  (unsigned long long)choice->bytes);
	memset(choice, 0, sizeof(*choice));
}

/*
 * Has the allocator give word when fewer than runs_below runs are left; false: so it is already,
 * since the look. Runs of several blocks: each block that is begun ends one run at most, so there
 * are fewer after so many blocks at the earliest; blocks that become empty elsewhere must not be
 * set off against them.
 */
static bool watch_runs(struct background *b, const struct quire_policy_view *view, uint32_t below)
{
	struct nodes *node = b->q->node;
	uint32_t empty, runs, level;

	if (below > view->runs_free)
		below = view->runs_free; /* the policy knows, and rests all the same */
	if (view->run_frames == QUIRE_BLOCK_FRAMES && !node_any_offline(node))
		return node_watch(node, BLOCKS_WATCH_BOTH, below) >= below;
	empty = node_watch(node, BLOCKS_WATCH_TAKES, 0);
	runs = runs_of(b->q, view->run_frames, true);
	if (runs < below)
		return false;
	level = below ? empty - (runs - below < empty ? runs - below : empty) : 0;
	/* Not counted again: what became empty since is in no run of these. */
	return node_watch_below(node, level) >= level;
}

/* --- doing it --- */

/* It ends for others, and when enough is free: some windows may be there in reserve. */
static int between_batches(void *background, const struct quire_result *so_far)
{
	const struct background *b = background;

	(void)so_far;
	SYNC_POINT("background:batch", b->q);
	return background_ends(b) || load_acquire(&b->q->ops) > 1 || /* one is this step's */
	       (b->extra && free_runs(b->q, b->wanted_frames) >= b->wanted);
}

static void done(struct background *b, int code, uint64_t gain, uint64_t bytes, uint64_t ns)
{
	b->last_code = code;
	b->last_gain = gain;
	b->last_bytes = bytes;
	b->last_ns = ns;
}

/* What came of an execution. Returns whether it was any use. */
static bool account(struct background *b, int code, const struct quire_result *r,
		    uint64_t runs_free)
{
	uint64_t gain = r->obtained > runs_free ? r->obtained - runs_free : 0;
	bool cut = code == -EDQUOT || code == -ETIMEDOUT;

	spend(b, r->bytes_moved + r->bytes_recopied);
	b->now.steps++;
	b->now.runs += gain;
	b->now.moved_bytes += r->bytes_moved;
	b->now.recopied_bytes += r->bytes_recopied;
	if (b->now.longest_step_ns < r->elapsed_ns)
		b->now.longest_step_ns = r->elapsed_ns;
	if (code == -ECANCELED && (background_ends(b) || load_acquire(&b->q->ops)))
		b->now.gave_way++;
	done(b, code, gain, r->bytes_moved, r->elapsed_ns);
	return gain || code == -ECANCELED || (cut && r->bytes_moved);
}

static void start_over(struct background *b)
{
	b->mode = QUIRE_ASYNC;
	b->extra = 0;
	held_reset(b);
}

/*
 * A plan that was in vain, or that could not be made. It is over only when all windows were tried,
 * and with patience.
 */
static void in_vain(struct background *b, const struct quire_plan *plan, int code, bool executed)
{
	uint64_t now = os_clock_ns();

	SYNC_POINT("background:hold", b->q);
	held_by(b, plan, now);
	if (executed && code == -ETIMEDOUT && b->extra < node_blocks(b->q->node)) {
		b->extra = b->extra ? 2 * b->extra : EXTRA_FIRST;
		return;
	}
	if (executed && b->mode == QUIRE_ASYNC) {
		b->mode = QUIRE_SYNC;
		return;
	}
	b->mode = QUIRE_ASYNC;
	b->extra = 0;
	b->now.in_vain++;
	held_block(b);
	/* What went before it was watched gave no word. */
	if (held_let_go(b, 0, now))
		held_forget(b);
}

static int execute(struct background *b, const struct quire_policy_choice *c,
		   struct quire_plan *plan, struct quire_result *r)
{
	uint64_t limit = b->options.bytes_per_s ? b->tokens : 0;

	if (c->bytes && (!limit || c->bytes < limit))
		limit = c->bytes;
	return quire_plan_execute(plan,
				  QUIRE_BUDGET(.mode = b->mode, .mode_set = 1, .bytes = limit,
					       .flags = QUIRE_BUDGET_NO_QUEUE,
					       .deadline_ns = b->options.step_ns,
					       .folio_ns = b->options.step_ns / 2,
					       .progress = between_batches, .arg = b),
				  r);
}

static void make_runs(struct background *b, const struct quire_policy_choice *c)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_plan *plan;
	uint64_t runs_free;
	int code;

	b->wanted = c->count;
	b->wanted_frames = c->frames;
	code = quire_plan_create(b->q,
				 QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = c->frames,
					    .count = (uint64_t)c->count + b->extra),
				 &plan);
	if (code) {
		b->now.errors++;
		done(b, code, 0, 0, 0);
		in_vain(b, NULL, code, false);
		return;
	}
	runs_free = plan->info.runs_free;
	if (runs_free >= c->count) { /* what was freed is taken back by planning */
		done(b, 0, 0, 0, 0);
		start_over(b);
	} else if (plan->info.runs == runs_free) { /* nothing can be moved for it */
		done(b, -EBUSY, 0, 0, 0);
		in_vain(b, plan, -EBUSY, false);
	} else {
		code = execute(b, c, plan, &r);
		if (account(b, code, &r, runs_free))
			start_over(b);
		else
			in_vain(b, plan, code, true);
	}
	quire_plan_destroy(plan);
}

static void give_back(struct background *b, uint64_t bytes)
{
	int64_t n = quire_give_back(b->q, bytes);

	if (n < 0)
		b->now.errors++;
	else
		b->now.given_back_bytes += (uint64_t)n;
	done(b, n < 0 ? (int)n : 0, n < 0 ? 0 : (uint64_t)n, 0, 0);
}

/* --- one step --- */

/*
 * From here on only what can end this wait is listened to, so that nobody pays for waking who would
 * go back to sleep.
 */
static int wait_for(struct background *b, enum quire_background_state state, uint64_t until)
{
	uint32_t listens = NOTICE_LOW | NOTICE_FAILED | NOTICE_ASKED | NOTICE_CONTROL;

	if (b->held.blocked)
		listens |= b->held.listens;
	if (state == QUIRE_BACKGROUND_OTHERS)
		listens |= NOTICE_ENDED;
	__atomic_fetch_and(&b->q->listens, listens, __ATOMIC_SEQ_CST);
	show(b, state, until);
	return 0;
}

static int rest(struct background *b, const struct quire_policy_view *view, uint32_t runs_below)
{
	if (!watch_runs(b, view, runs_below)) {
		b->events |= 1u << QUIRE_EVENT_LOW;
		return 1;
	}
	return wait_for(b, QUIRE_BACKGROUND_RESTING, b->ask_at);
}

static int follow(struct background *b, const struct quire_policy_view *view,
		  const struct quire_policy_choice *c, uint64_t *until)
{
	uint64_t at;
	uint32_t free;

	*until = b->ask_at;
	switch (c->what) {
	case QUIRE_CHOICE_RUNS:
		free = c->frames == view->run_frames ? view->runs_free : free_runs(b->q, c->frames);
		if (free >= c->count) /* it is so already */
			return rest(b, view,
				    c->runs_below > view->runs_free ? c->runs_below
								    : view->runs_free);
		b->last = c->what;
		if (b->held.blocked) {
			*until = earlier(*until, b->held.look_at);
			return wait_for(b, QUIRE_BACKGROUND_BLOCKED, *until);
		}
		if (load_acquire(&b->q->ops)) {
			b->now.gave_way++;
			return wait_for(b, QUIRE_BACKGROUND_OTHERS, *until);
		}
		at = affordable_at(b, view->now_ns);
		if (at > view->now_ns) {
			*until = earlier(*until, at);
			return wait_for(b, QUIRE_BACKGROUND_BUDGET, *until);
		}
		make_runs(b, c);
		return 1;
	case QUIRE_CHOICE_GIVE_BACK:
		b->last = c->what;
		give_back(b, c->bytes);
		return b->last_gain ? 1 : rest(b, view, c->runs_below);
	case QUIRE_CHOICE_REST:
		break;
	}
	b->last = QUIRE_CHOICE_REST;
	return rest(b, view, c->runs_below);
}

static const struct {
	uint32_t notice;
	enum quire_event event;
} heard[] = {
	{ NOTICE_LOW, QUIRE_EVENT_LOW },
	{ NOTICE_FAILED, QUIRE_EVENT_FAILED },
	{ NOTICE_UNBLOCKED, QUIRE_EVENT_UNBLOCKED },
	{ NOTICE_MOVABLE, QUIRE_EVENT_MOVABLE },
	{ NOTICE_FREED, QUIRE_EVENT_FREED },
	{ NOTICE_ENDED, QUIRE_EVENT_ENDED },
	{ NOTICE_ASKED, QUIRE_EVENT_ASKED },
};

/* What happened since the last time; and everything is listened to again. */
static uint32_t take_events(struct background *b, uint64_t now)
{
	uint32_t noticed = exchange(&b->q->noticed, 0u), events = 0;

	__atomic_store_n(&b->q->listens, NOTICE_ALL, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < sizeof(heard) / sizeof(heard[0]); i++)
		if (noticed & heard[i].notice)
			events |= 1u << heard[i].event;
	if (now >= b->now.next_ns)
		events |= 1u << QUIRE_EVENT_TIME;
	for (unsigned i = 0; i < QUIRE_EVENT_COUNT; i++)
		b->now.events[i] += (events >> i) & 1;
	return events;
}

/* Nothing but what may have been in the way, and it still is. */
static bool still_blocked(struct background *b, uint32_t events, uint64_t now)
{
	const uint32_t others = 1u << QUIRE_EVENT_LOW | 1u << QUIRE_EVENT_FAILED;

	if (!b->held.blocked)
		return false;
	if (!held_let_go(b, events, now))
		return b->told && !(events & others) && now < b->ask_at;
	if (events & 1u << QUIRE_EVENT_ASKED)
		held_reset(b);
	else
		held_forget(b);
	return false;
}

int background_advance(struct background *b, uint64_t *until)
{
	uint64_t now = os_clock_ns();
	uint32_t events = take_events(b, now);
	struct quire_policy_choice choice;
	struct quire_policy_view view;
	int did;

	b->events |= events;
	if (still_blocked(b, events, now)) {
		*until = earlier(b->ask_at, b->held.look_at);
		return wait_for(b, QUIRE_BACKGROUND_BLOCKED, *until);
	}
	if (now < b->rest_until) {
		*until = b->rest_until;
		return wait_for(b, QUIRE_BACKGROUND_BUDGET, *until);
	}
	fill(b, now);
	show(b, QUIRE_BACKGROUND_WORKING, UINT64_MAX);
	look(b, now, &view);
	ask(b, &view, &choice);
	b->told = view.blocked;
	b->ask_at = choice.after_ns ? later(now, choice.after_ns) : UINT64_MAX;
	b->now.runs_free = view.runs_free;
	b->now.runs_wanted = choice.what == QUIRE_CHOICE_RUNS ? choice.count : 0;
	did = follow(b, &view, &choice, until);
	worked(b, now, os_clock_ns());
	if (did)
		show(b, QUIRE_BACKGROUND_WORKING, UINT64_MAX);
	return did;
}

void background_begin(struct background *b)
{
	b->events = 1u << QUIRE_EVENT_ASKED;
	b->filled_ns = os_clock_ns();
	b->tokens = burst(b);
	b->debt = 0;
	b->rest_until = 0;
	b->ask_at = UINT64_MAX;
	b->last = QUIRE_CHOICE_REST;
	done(b, 0, 0, 0, 0);
	start_over(b);
	show(b, QUIRE_BACKGROUND_WORKING, UINT64_MAX);
}

void background_end(struct background *b)
{
	(void)node_watch(b->q->node, BLOCKS_WATCH_OFF, 0);
	held_reset(b);
	b->now.runs_wanted = 0;
	show(b, QUIRE_BACKGROUND_OFF, UINT64_MAX);
}
