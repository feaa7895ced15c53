// SPDX-License-Identifier: MIT
/*
 * owner.c: registration, and the only places where ops are called. An op runs without any lock of
 * the library; in_op of the thread says so, so that calls which could deadlock are refused.
 */
#include "folio/folios.h"
#include "frame/node.h"
#include "os/os.h"
#include "util/mem.h"

#include <errno.h>

int quire_owner_create(struct quire *q, const char *name, const struct quire_owner_ops *ops,
		       void *arg, struct quire_owner **result)
{
	struct folios *folios;
	struct quire_owner *owner;
	size_t length;

	if (!result)
		return -EINVAL;
	*result = NULL;
	if (!q || !name)
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	folios = q->folios;
	length = strnlen(name, sizeof(owner->name));
	if (!length || length == sizeof(owner->name))
		return -EINVAL;
	owner = mem_zalloc(1, sizeof(*owner));
	if (!owner)
		return -ENOMEM;
	if (ops && sized_copy(&owner->ops, sizeof(owner->ops), ops))
		goto invalid;
	if (owner->ops.isolate && !owner->ops.putback)
		goto invalid;
	if (owner->ops.putback && !owner->ops.isolate && !owner->ops.migrate)
		goto invalid;
	if (!owner->ops.frame_get != !owner->ops.frame_put)
		goto invalid;
	if ((unsigned)owner->ops.cheapest > QUIRE_SYNC)
		goto invalid;
	memcpy(owner->name, name, length);
	owner->quire = q;
	owner->arg = arg;
	owner->head.base = node_base(q->node);
	owner->has_ops = owner->ops.isolate || owner->ops.migrate || owner->ops.putback ||
			 owner->ops.free || owner->ops.frame_get;
	owner->folios = 1;
	if (owner->ops.frame_get && lender_add(folios, owner)) {
		mem_free(owner);
		return -ENOMEM;
	}
	pthread_mutex_lock(&folios->owners_lock);
	owner->next = folios->owners;
	folios->owners = owner;
	pthread_mutex_unlock(&folios->owners_lock);
	*result = owner;
	return 0;
invalid:
	mem_free(owner);
	return -EINVAL;
}

void owner_put(struct quire_owner *owner)
{
	struct folios *folios = owner->quire->folios;
	struct quire_owner **at;

	if (fetch_sub(&owner->folios, 1u) != 1)
		return;
	pthread_mutex_lock(&folios->owners_lock);
	for (at = &folios->owners; *at != owner; at = &(*at)->next)
		;
	*at = owner->next;
	lender_remove_locked(folios, owner);
	pthread_mutex_unlock(&folios->owners_lock);
	mem_free(owner);
}

int quire_owner_destroy(struct quire_owner *owner)
{
	struct thread *t = thread_self();

	if (!owner)
		return 0;
	if (owner->quire->forked)
		return -ENXIO;
	if (t && t->in_op)
		return -EDEADLK;
	/* What was freed and is out of sight no longer counts. */
	(void)quire_reclaim(owner->quire);
	if (!owner_detached(owner) && load_acquire(&owner->folios) != 1)
		return -EBUSY;
	owner_forget_frames(owner);
	owner_put(owner);
	return 0;
}

/* --- detaching --- */

static void name_busy(struct quire_owner *owner, struct quire_folio *folio, enum quire_reason why,
		      const char *op, int thread, struct quire_blocker *who)
{
	memset(who, 0, sizeof(*who));
	who->folio = folio;
	who->frame = folio ? quire_folio_frame(folio) : quire_frame(QUIRE_FRAME_NONE_N);
	who->owner = owner->name;
	who->site = op;
	who->why = why;
	who->reason = quire_reason_text(why);
	who->code = -ETIMEDOUT;
	who->thread = thread;
}

/* What keeps it attached: an op that runs, else a folio that a mover has. */
static void name_running(struct quire_owner *owner, struct quire_blocker *who)
{
	struct folios *folios = owner->quire->folios;
	uint64_t high;

	for_each_thread(t)
	{
		for (unsigned i = 0; i < OPS_NAMED; i++) {
			if (load_acquire(&t->op[i].owner) != owner)
				continue;
			name_busy(owner, load_relaxed(&t->op[i].folio), QUIRE_REASON_OWNER_BUSY,
				  load_relaxed(&t->op[i].name), load_relaxed(&t->tid), who);
			return;
		}
	}
	pthread_mutex_lock(&folios->table_lock);
	high = folios->high;
	pthread_mutex_unlock(&folios->table_lock);
	for (uint64_t i = 0; i < high; i++) {
		struct quire_folio *folio = &folios->table[i];

		if (!(load_acquire(&folio->word_) & QUIRE_ISOLATED_) ||
		    load_relaxed(&folio->owner_) != owner)
			continue;
		name_busy(owner, folio, QUIRE_REASON_ISOLATED, "", 0, who);
		return;
	}
	/* It has just ended. */
	name_busy(owner, NULL, QUIRE_REASON_OWNER_BUSY, "", 0, who);
}

/*
 * Waits until life is DETACHED, or, where another detach is at it, until that has given up. 0 or
 * -ETIMEDOUT; the deadline is a time of os_clock_ns().
 */
static int await_life(struct quire_owner *owner, uint64_t deadline)
{
	uint32_t life;
	uint64_t now;

	for (;;) {
		life = load_acquire(&owner->life);
		if (!(life & OWNER_DETACHING))
			return 0;
		now = os_clock_ns();
		if (now >= deadline)
			return -ETIMEDOUT;
		SYNC_POINT("detach:waiting", owner);
		os_futex_wait(&owner->life, life, deadline - now);
	}
}

/* Takes back what this detach announced; false: it came to its end just then. */
static bool stay_attached(struct quire_owner *owner)
{
	uint32_t life;

	SYNC_POINT("detach:late", owner);
	life = load_acquire(&owner->life);
	do
		if (life & OWNER_DETACHED)
			return false;
	while (!compare_exchange(&owner->life, &life, life & ~OWNER_DETACHING));
	os_futex_wake_all(&owner->life); /* for a detach that waits for the outcome of this one */
	return true;
}

int quire_owner_detach(struct quire_owner *owner, uint64_t deadline_ns, struct quire_blocker *who)
{
	struct thread *t = thread_self();
	uint64_t now, deadline;
	uint32_t life, new;

	if (!owner)
		return -EINVAL;
	if (owner->quire->forked)
		return -ENXIO;
	if (t && t->in_op)
		return -EDEADLK;
	if (!deadline_ns)
		deadline_ns = owner->quire->options.deadline_ns;
	now = os_clock_ns();
	deadline = now > UINT64_MAX - deadline_ns ? UINT64_MAX : now + deadline_ns;
	life = load_acquire(&owner->life);
	for (;;) {
		if (life & OWNER_DETACHED)
			return -ENOENT;
		if (life & OWNER_DETACHING) {
			/* Another one's; only its end says whether this is the second. */
			if (await_life(owner, deadline))
				goto late;
			life = load_acquire(&owner->life);
			continue;
		}
		new = OWNER_RUNNING(life) ? life | OWNER_DETACHING : OWNER_DETACHED;
		if (compare_exchange(&owner->life, &life, new))
			break;
	}
	SYNC_POINT("detach:announced", owner);
	if ((new &OWNER_DETACHED) || !await_life(owner, deadline) || !stay_attached(owner)) {
		owner_forget_frames(owner);
		/* Its folios need not wait for its fences any more, nor for the detach itself. */
		instance_signal(owner->quire);
		instance_event(owner->quire);
		notice(owner->quire, NOTICE_MOVABLE);
		return 0;
	}
late:
	if (who)
		name_running(owner, who);
	return -ETIMEDOUT;
}

const char *quire_owner_name(const struct quire_owner *owner)
{
	return owner->name;
}

void *quire_owner_arg(const struct quire_owner *owner)
{
	return owner->arg;
}

struct quire *quire_owner_quire(const struct quire_owner *owner)
{
	return owner->quire;
}

/* --- calls --- */

int owner_enter(struct quire_owner *owner)
{
	uint32_t life;

	if (!owner->has_ops)
		return 0;
	SYNC_POINT("owner:entering", owner);
	life = fetch_add(&owner->life, 1u);
	if (!(life & (OWNER_DETACHING | OWNER_DETACHED)))
		return 1;
	owner_leave(owner);
	return life & OWNER_DETACHED ? 0 : -EAGAIN;
}

void owner_leave(struct quire_owner *owner)
{
	uint32_t life = load_relaxed(&owner->life), new;

	do {
		new = life - 1;
		if (new == OWNER_DETACHING)
			new = OWNER_DETACHED;
	} while (!compare_exchange(&owner->life, &life, new));
	/* The owner may be gone already: waking whoever sleeps at that address harms nobody. */
	if (life == (OWNER_DETACHING | 1u))
		os_futex_wake_all(&owner->life);
}

static void op_begin(struct thread *t, struct quire_owner *owner, struct quire_folio *folio,
		     const char *name)
{
	struct op_run *run;

	if (t->in_op < OPS_NAMED) {
		run = &t->op[t->in_op];
		store_relaxed(&run->folio, folio);
		store_relaxed(&run->name, name);
		store_release(&run->owner, owner);
	}
	t->in_op++;
}

static void op_end(struct thread *t)
{
	if (--t->in_op < OPS_NAMED)
		store_release(&t->op[t->in_op].owner, NULL);
}

int owner_isolate(struct quire_folio *folio, enum quire_mode mode)
{
	struct quire_owner *owner = folio->owner_;
	struct thread *t;
	int error;

	if (!owner->ops.isolate)
		return 0;
	t = thread_self();
	count(owner->quire, op_isolate, 1);
	op_begin(t, owner, folio, "isolate");
	error = owner->ops.isolate(folio, mode, owner->arg);
	op_end(t);
	/* A positive answer is no answer. */
	return error > 0 ? -EINVAL : error;
}

int owner_migrate(struct quire_owner *owner, struct quire_batch *batch, struct quire_folio *first)
{
	struct thread *t = thread_self();
	int error;

	count(owner->quire, op_migrate, 1);
	op_begin(t, owner, first, "migrate");
	error = owner->ops.migrate(batch, batch->mode, owner->arg);
	op_end(t);
	return error > 0 ? -EINVAL : error;
}

void owner_putback(struct quire_folio *folio)
{
	struct quire_owner *owner = folio->owner_;
	struct thread *t;

	if (!owner->ops.putback)
		return;
	t = thread_self();
	count(owner->quire, op_putback, 1);
	op_begin(t, owner, folio, "putback");
	owner->ops.putback(folio, owner->arg);
	op_end(t);
}

bool owner_begin_anyway(struct quire_owner *owner)
{
	return !(fetch_add(&owner->life, 1u) & OWNER_DETACHED);
}

/*
 * Ends before the folio is retired: until then the folio keeps the owner's memory. entered: it ends
 * an isolation, which a detach waits for, so that the owner is told; and leaves.
 */
void owner_free(struct quire_folio *folio, enum quire_free_reason reason, bool entered)
{
	struct quire_owner *owner = folio->owner_;
	struct thread *t;

	if (!owner->ops.free) {
		if (entered)
			owner_leave(owner);
		return;
	}
	if (entered || owner_begin_anyway(owner)) {
		t = thread_self();
		count(owner->quire, op_free, 1);
		if (t)
			op_begin(t, owner, folio, "free");
		owner->ops.free(folio, reason, owner->arg);
		if (t)
			op_end(t);
	}
	owner_leave(owner);
}

int owner_call_frame_get(struct quire_owner *owner, unsigned order, enum quire_mode mode,
			 struct quire_frame *frame)
{
	struct thread *t = thread_self();
	int error;

	count(owner->quire, op_frame_get, 1);
	if (t)
		op_begin(t, owner, NULL, "frame_get");
	error = owner->ops.frame_get(order, mode, frame, owner->arg);
	if (t)
		op_end(t);
	return error > 0 ? -EINVAL : error;
}

void owner_call_frame_put(struct quire_owner *owner, unsigned order, struct quire_frame frame)
{
	struct thread *t = thread_self();

	count(owner->quire, op_frame_put, 1);
	if (t)
		op_begin(t, owner, NULL, "frame_put");
	owner->ops.frame_put(order, frame, owner->arg);
	if (t)
		op_end(t);
}

/* --- stalls --- */

static void note_most(uint64_t *most, uint64_t ns)
{
	uint64_t was = load_relaxed(most);

	while (was < ns && !compare_exchange(most, &was, ns))
		;
}

void owner_note_op(struct quire_owner *owner, uint64_t ns)
{
	add_relaxed(&owner->stalls.ops, 1u);
	add_relaxed(&owner->stalls.op_ns, ns);
	note_most(&owner->stalls.longest_op_ns, ns);
}

void owner_note_closed(struct quire_owner *owner, uint64_t ns)
{
	add_relaxed(&owner->stalls.closed, 1u);
	add_relaxed(&owner->stalls.closed_ns, ns);
	note_most(&owner->stalls.longest_closed_ns, ns);
}

void owner_note_moved(struct quire_owner *owner, uint64_t folios, uint64_t bytes)
{
	add_relaxed(&owner->stalls.folios, folios);
	add_relaxed(&owner->stalls.bytes, bytes);
}

int quire_owner_stalls(const struct quire_owner *owner, struct quire_owner_stalls *stalls)
{
	struct quire_owner_stalls s = { .size = sizeof(s) };
	size_t size;

	if (!owner || !stalls || stalls->size < sizeof(size_t))
		return -EINVAL;
	if (owner->quire->forked)
		return -ENXIO;
	size = stalls->size;
#define STALL_COPY(name) s.name = load_relaxed(&owner->stalls.name)
	STALL_COPY(folios);
	STALL_COPY(bytes);
	STALL_COPY(ops);
	STALL_COPY(op_ns);
	STALL_COPY(longest_op_ns);
	STALL_COPY(closed);
	STALL_COPY(closed_ns);
	STALL_COPY(longest_closed_ns);
#undef STALL_COPY
	memcpy(stalls, &s, size < sizeof(s) ? size : sizeof(s));
	stalls->size = size;
	return 0;
}

bool movers_event(struct quire *q)
{
	const struct thread *t = (const struct thread *)(const void *)quire_thread_self_;

	if (t && t->in_op && t->movers)
		return false;
	instance_event(q);
	return true;
}

int may_move(struct quire *q)
{
	struct thread *t;

	if (q->forked)
		return -ENXIO;
	t = thread_self();
	if (!t)
		return -ENOMEM;
	return t->in_op || t->pub.nest ? -EDEADLK : 0;
}
