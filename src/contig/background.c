// SPDX-License-Identifier: MIT
/*
 * background.c: the life of who works in the background: begun, paused, ended; its thread, or the
 * host's steps. What it does in a step stands in compact.c.
 */
#include "contig/background.h"

#include "folio/folios.h"
#include "frame/node.h"
#include "os/os.h"
#include "os/socket.h"
#include "util/mem.h"

#include <errno.h>

enum life {
	LIFE_OFF,
	LIFE_STARTING,
	LIFE_ON,
	LIFE_STOPPING,
	LIFE_ENDED,   /* its thread has done all but end */
	LIFE_JOINING, /* somebody waits for that */
};

#define SHARE_DEFAULT 100u
#define STEP_DEFAULT_NS 5000000u
#define STEP_MIN_NS 100000u
#define STEP_MAX_NS 1000000000u
#define RUN_FRAMES_MAX (1u << 18)
#define LOW_DIVISOR 64u

static uint32_t life_of(const struct background *b)
{
	return __atomic_load_n(&b->life, __ATOMIC_SEQ_CST);
}

bool background_ends(const struct background *b)
{
	return life_of(b) != LIFE_ON || __atomic_load_n(&b->paused, __ATOMIC_SEQ_CST);
}

static void set_life(struct background *b, enum life life)
{
	__atomic_store_n(&b->life, (uint32_t)life, __ATOMIC_SEQ_CST);
	os_futex_wake_all(&b->life);
}

/* --- who steps --- */

/*
 * seq_cst against background_ends(): either who pauses or ends it finds it busy and waits, or this
 * finds that it is not to begin.
 */
static int enter(struct background *b)
{
	struct thread *t = thread_self();
	uint32_t idle = 0;

	if (!compare_exchange(&b->busy, &idle, 1u))
		return -EBUSY;
	store_release(&b->worker, os_thread_id());
	if (t)
		t->background = true;
	return 0;
}

static void leave(struct background *b)
{
	struct thread *t = thread_self();

	if (t)
		t->background = false;
	store_release(&b->worker, 0);
	(void)exchange(&b->busy, 0u);
	if (background_ends(b))
		os_futex_wake_all(&b->busy);
}

/* Would waiting for it be waiting for oneself? */
static bool is_ours(const struct background *b)
{
	const struct thread *t = (const struct thread *)(const void *)quire_thread_self_;

	return (t && t->in_op) || load_acquire(&b->worker) == os_thread_id();
}

static uint64_t end_of(const struct quire *q, uint64_t deadline_ns)
{
	uint64_t now = os_clock_ns();

	if (!deadline_ns)
		deadline_ns = q->options.deadline_ns;
	return now > UINT64_MAX - deadline_ns ? UINT64_MAX : now + deadline_ns;
}

/* Until *word is no longer what it was; false: the time is over. */
static bool wait_while(uint32_t *word, uint32_t was, uint64_t end)
{
	uint64_t now;

	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == was) {
		now = os_clock_ns();
		if (now >= end)
			return false;
		os_futex_wait(word, was, end - now);
	}
	return true;
}

/* --- the thread --- */

/* Before the wait everything is listened to, so what comes after these looks changes notices. */
static void sleep_until(struct background *b, uint32_t seen, uint64_t until)
{
	struct quire *q = b->q;
	uint64_t now = until == UINT64_MAX ? 0 : os_clock_ns();

	if (until <= now || background_ends(b) || __atomic_load_n(&q->noticed, __ATOMIC_SEQ_CST))
		return;
	SYNC_POINT("background:sleeps", q);
	os_futex_wait(&q->notices, seen, until == UINT64_MAX ? until : until - now);
	b->now.wakeups++;
}

/* Kept still: nothing but that is waited for. */
static void sleep_paused(struct background *b)
{
	struct quire *q = b->q;
	uint32_t seen = __atomic_load_n(&q->notices, __ATOMIC_SEQ_CST);

	__atomic_fetch_or(&q->listens, (uint32_t)NOTICE_CONTROL, __ATOMIC_SEQ_CST);
	if (life_of(b) == LIFE_ON && __atomic_load_n(&b->paused, __ATOMIC_SEQ_CST))
		os_futex_wait(&q->notices, seen, UINT64_MAX);
}

static void *work(void *background)
{
	struct background *b = background;

	(void)wait_while(&b->life, LIFE_STARTING, UINT64_MAX);
	while (life_of(b) == LIFE_ON) {
		uint32_t seen = __atomic_load_n(&b->q->notices, __ATOMIC_SEQ_CST);
		uint64_t until = UINT64_MAX;
		int did = -EAGAIN;

		while (enter(b)) /* a step that came too late, for a moment */
			os_yield();
		if (!background_ends(b))
			did = background_advance(b, &until);
		leave(b);
		if (did == 0)
			sleep_until(b, seen, until);
		else if (did < 0)
			sleep_paused(b);
	}
	set_life(b, LIFE_ENDED);
	return NULL;
}

/* --- options --- */

static int complete(const struct quire *q, struct quire_background_options *o)
{
	uint32_t runs;

	o->run_frames = o->run_frames ? o->run_frames : QUIRE_BLOCK_FRAMES;
	if (o->run_frames < QUIRE_BLOCK_FRAMES || o->run_frames > RUN_FRAMES_MAX ||
	    (o->run_frames & (o->run_frames - 1)))
		return -EINVAL;
	runs = node_blocks(q->node) / (o->run_frames / QUIRE_BLOCK_FRAMES);
	if (!o->runs_low)
		o->runs_low = runs / LOW_DIVISOR ? runs / LOW_DIVISOR : 1;
	if (!o->runs_high) {
		o->runs_high = o->runs_low + o->runs_low / 2;
		o->runs_high = o->runs_high < runs ? o->runs_high : runs;
	}
	o->share = o->share ? o->share : SHARE_DEFAULT;
	o->step_ns = o->step_ns ? o->step_ns : STEP_DEFAULT_NS;
	if (o->flags & ~QUIRE_BACKGROUND_NO_THREAD || o->reserved || o->share > 1000 ||
	    o->runs_low > o->runs_high || o->runs_high > runs || o->step_ns < STEP_MIN_NS ||
	    o->step_ns > STEP_MAX_NS)
		return -EINVAL;
	return 0;
}

static int set_policy(struct background *b, const struct quire_policy_ops *ops)
{
	if (!ops) {
		b->policy.choose = quire_policy_ready;
		return 0;
	}
	if (sized_copy(&b->policy, sizeof(b->policy), ops) || !b->policy.choose)
		return -EINVAL;
	return 0;
}

/* --- beginning and ending --- */

static int set_event(struct quire *q, bool wanted)
{
	int fd;

	if (!wanted || q->notice_event >= 0)
		return 0;
	fd = os_event_create();
	if (fd < 0)
		return fd;
	q->notice_event = fd;
	return 0;
}

static int begin(struct background *b, const struct quire_background_options *options)
{
	struct quire_background_options o = { .size = sizeof(o) };
	struct quire *q = b->q;
	int error = options ? sized_copy(&o, sizeof(o), options) : 0;

	if (!error)
		error = complete(q, &o);
	if (!error)
		error = set_policy(b, o.policy);
	if (!error)
		error = set_event(q, o.flags & QUIRE_BACKGROUND_NO_THREAD);
	if (error)
		return error;
	b->options = o;
	b->has_thread = !(o.flags & QUIRE_BACKGROUND_NO_THREAD);
	background_begin(b);
	error = b->has_thread ? os_thread_start(&b->thread, work, b) : 0;
	if (error) {
		background_end(b);
		return error;
	}
	__atomic_store_n(&q->listens, (uint32_t)NOTICE_ALL, __ATOMIC_SEQ_CST);
	if (!b->has_thread)
		os_event_raise(q->notice_event); /* there is a first step to make */
	set_life(b, LIFE_ON);
	return 0;
}

/* May this thread start or stop what works in the background? */
static int may_change(const struct quire *q)
{
	if (!q)
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	return is_ours(q->background) ? -EDEADLK : 0;
}

int quire_background_start(struct quire *q, const struct quire_background_options *options)
{
	struct background *b;
	uint32_t off = LIFE_OFF;
	int error = may_change(q);

	if (error)
		return error;
	b = q->background;
	if (!compare_exchange(&b->life, &off, (uint32_t)LIFE_STARTING))
		return -EALREADY;
	error = begin(b, options);
	if (error)
		set_life(b, LIFE_OFF);
	return error;
}

/* Nobody steps any more: what is left of it. */
static void end(struct background *b)
{
	struct quire *q = b->q;

	__atomic_store_n(&q->listens, 0u, __ATOMIC_SEQ_CST);
	if (b->has_thread)
		os_thread_join(b->thread);
	background_end(b);
	while (__atomic_load_n(&q->noticing, __ATOMIC_SEQ_CST))
		os_yield();
	if (q->notice_event >= 0)
		os_event_clear(q->notice_event);
	(void)exchange(&q->noticed, 0u);
	set_life(b, LIFE_OFF);
}

int quire_background_stop(struct quire *q, uint64_t deadline_ns)
{
	struct background *b;
	uint32_t life;
	uint64_t by;
	int error = may_change(q);

	if (error)
		return error;
	b = q->background;
	by = end_of(q, deadline_ns);
	for (;;) {
		life = life_of(b);
		switch (life) {
		case LIFE_OFF:
			return 0;
		case LIFE_ON:
			if (compare_exchange(&b->life, &life, (uint32_t)LIFE_STOPPING))
				notice(q, NOTICE_CONTROL);
			continue;
		case LIFE_STOPPING:
			if (b->has_thread)
				break;
			if (!wait_while(&b->busy, 1, by))
				return -ETIMEDOUT;
			(void)compare_exchange(&b->life, &life, (uint32_t)LIFE_ENDED);
			continue;
		case LIFE_ENDED:
			if (compare_exchange(&b->life, &life, (uint32_t)LIFE_JOINING)) {
				end(b);
				return 0;
			}
			continue;
		default: /* somebody else is at it */
			break;
		}
		SYNC_POINT("background:stopping", q);
		if (!wait_while(&b->life, life, by))
			return -ETIMEDOUT;
	}
}

/* --- the host's steps, and words --- */

/* It is on, and has no thread. */
static int may_step(struct quire *q)
{
	if (!q)
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	return life_of(q->background) == LIFE_ON && !q->background->has_thread ? 0 : -EINVAL;
}

int quire_background_step(struct quire *q, uint64_t *next_ns)
{
	uint64_t until = UINT64_MAX, now;
	struct background *b;
	int error, did;

	if (next_ns)
		*next_ns = UINT64_MAX;
	error = may_step(q);
	if (error)
		return error;
	b = q->background;
	if (is_ours(b))
		return -EDEADLK;
	error = may_move(q);
	if (error)
		return error;
	error = enter(b);
	if (error)
		return error;
	if (background_ends(b) || b->has_thread) { /* just now */
		leave(b);
		return -EINVAL;
	}
	os_event_clear(q->notice_event);
	did = background_advance(b, &until);
	leave(b);
	now = os_clock_ns();
	if (next_ns && until != UINT64_MAX)
		*next_ns = until > now ? until - now : 0;
	return did;
}

int quire_background_fd(struct quire *q)
{
	int error = may_step(q);

	return error ? error : q->notice_event;
}

int quire_background_wake(struct quire *q)
{
	if (!q)
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	notice(q, NOTICE_ASKED);
	return 0;
}

int quire_background_stats_get(struct quire *q, struct quire_background_stats *stats)
{
	struct quire_background_stats s;
	uint64_t now;
	size_t size;

	if (!q || !stats || stats->size < sizeof(size_t))
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	pthread_mutex_lock(&q->background->lock);
	s = q->background->shown;
	pthread_mutex_unlock(&q->background->lock);
	now = os_clock_ns();
	if (s.next_ns != UINT64_MAX)
		s.next_ns = s.next_ns > now ? s.next_ns - now : 0;
	size = stats->size;
	memcpy(stats, &s, size < sizeof(s) ? size : sizeof(s));
	stats->size = size;
	return 0;
}

const char *quire_background_state_text(enum quire_background_state state)
{
	static const char *const texts[] = {
#define STATE_TEXT(name, text) text,
		QUIRE_BACKGROUND_STATES(STATE_TEXT)
#undef STATE_TEXT
	};

	return (unsigned)state < QUIRE_BACKGROUND_STATE_COUNT ? texts[state] : "unknown";
}

/* --- the layer --- */

static int background_init(struct quire *q)
{
	struct background *b = mem_zalloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->q = q;
	b->now.size = sizeof(b->now);
	b->now.next_ns = UINT64_MAX;
	b->shown = b->now;
	b->held.look_at = UINT64_MAX;
	pthread_mutex_init(&b->lock, NULL);
	q->background = b;
	return 0;
}

/* quire_destroy() looks whether it may; if not, it goes on as if nothing had been. */
static int background_pause(struct quire *q)
{
	struct background *b = q->background;

	if (life_of(b) == LIFE_OFF)
		return 0;
	if (is_ours(b))
		return -EDEADLK;
	__atomic_store_n(&b->paused, 1u, __ATOMIC_SEQ_CST);
	notice(q, NOTICE_CONTROL);
	if (wait_while(&b->busy, 1, end_of(q, 0)))
		return 0;
	__atomic_store_n(&b->paused, 0u, __ATOMIC_SEQ_CST);
	return -EBUSY;
}

static void background_resume(struct quire *q)
{
	__atomic_store_n(&q->background->paused, 0u, __ATOMIC_SEQ_CST);
	notice(q, NOTICE_CONTROL);
}

/* Paused, so its thread ends at once; in a child of fork() there is none. */
static void background_finish(struct quire *q)
{
	struct background *b = q->background;

	if (!q->forked) {
		while (quire_background_stop(q, UINT64_MAX) == -ETIMEDOUT)
			;
		pthread_mutex_destroy(&b->lock);
	}
	if (q->notice_event >= 0)
		os_close(q->notice_event);
	q->notice_event = -1;
	mem_free(b);
	q->background = NULL;
}

const struct quire_layer background_layer = {
	.init = background_init,
	.finish = background_finish,
	.pause = background_pause,
	.resume = background_resume,
};
