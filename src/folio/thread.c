// SPDX-License-Identifier: MIT
#include "folio/thread.h"

#include "os/os.h"
#include "util/mem.h"

#include <pthread.h>

__thread struct quire_thread_ *quire_thread_self_;
uint64_t quire_epoch_ = 1;

static struct thread *threads; /* atomic; records are pushed and never taken off */
static uint32_t no_membarrier; /* atomic; set once, before the first record that needs it */
static uint32_t orphaned;      /* atomic; this process is a fork's child without a quire */
static pthread_key_t exit_key;
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t initialised; /* atomic; set under init_lock */

static bool holds_pins(const struct thread *t)
{
	if (t->spilled)
		return true;
	for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++) {
		struct quire_folio *folio = load_acquire(&t->pub.slot[i].folio);

		if (folio && folio != SLOT_HOLE)
			return true;
	}
	return false;
}

/* Leaves a record without pins to the next thread: nothing above the top, so no holes either. */
static void record_leave(struct thread *t)
{
	t->pub.npins = 0;
	for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++)
		store_release(&t->pub.slot[i].folio, NULL);
	store_release(&t->used, 0);
}

/* At a thread's exit: what it still pins stays pinned, and is named as such. */
static void thread_exit(void *record)
{
	struct thread *t = record;

	quire_thread_self_ = NULL;
	t->pub.nest = 0;
	store_release(&t->pub.epoch, 0);
	if (holds_pins(t)) {
		store_release(&t->gone, 1);
		return;
	}
	record_leave(t);
}

static void ops_forget(struct thread *t)
{
	t->in_op = 0;
	t->movers = 0;
	t->isolating = NULL;
	t->batch.active = false;
	for (unsigned i = 0; i < OPS_NAMED; i++)
		store_release(&t->op[i].owner, NULL);
}

/*
 * In a child of fork() the other threads do not exist, nor does the arena. Their records are
 * emptied; this thread's is forgotten, and it gets none until the child makes a quire of its own.
 */
static void after_fork_in_child(void)
{
	for_each_thread(t)
	{
		memset(&t->pub.slot, 0, sizeof(t->pub.slot));
		t->pub.npins = 0;
		t->pub.nest = 0;
		t->pub.epoch = 0;
		t->gone = 0;
		ops_forget(t);
		t->spilled = 0;
		t->used = 0;
	}
	quire_thread_self_ = NULL;
	orphaned = 1;
	(void)pthread_setspecific(exit_key, NULL);
}

static int initialise(void)
{
	int error = 0;

	if (load_acquire(&initialised))
		return 0;
	pthread_mutex_lock(&init_lock);
	if (!load_relaxed(&initialised)) {
		error = -pthread_key_create(&exit_key, thread_exit);
		if (!error) {
			(void)pthread_atfork(NULL, NULL, after_fork_in_child);
			store_release(&no_membarrier, os_membarrier_register() ? 1u : 0u);
			store_release(&initialised, 1u);
		}
	}
	pthread_mutex_unlock(&init_lock);
	return error;
}

int threads_init(void)
{
	int error = initialise();

	if (!error)
		store_release(&orphaned, 0);
	return error;
}

void threads_forget(const struct quire_folio *from, const struct quire_folio *to)
{
	struct quire_folio *folio;

	for_each_thread(t)
	{
		if (!load_acquire(&t->gone))
			continue;
		for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++) {
			folio = load_relaxed(&t->pub.slot[i].folio);
			if (folio >= from && folio < to)
				store_release(&t->pub.slot[i].folio, NULL);
		}
		if (holds_pins(t))
			continue;
		store_release(&t->gone, 0);
		record_leave(t);
	}
}

struct thread *threads_first(void)
{
	return load_acquire(&threads);
}

static struct thread *reuse(void)
{
	for_each_thread(t)
	{
		uint32_t unused = 0;

		if (!load_relaxed(&t->used) && compare_exchange(&t->used, &unused, 1u))
			return t;
	}
	return NULL;
}

/*
 * What the thread before left in the record is not this one's: ages, an op it did not return from.
 */
static void record_take(struct thread *t)
{
	store_relaxed(&t->tid, os_thread_id());
	ops_forget(t);
	t->background = false;
	for (unsigned i = 0; i < QUIRE_SHORT_PINS; i++)
		store_relaxed(&t->met[i].folio, NULL);
}

static struct thread *attach(void)
{
	struct thread *t, *head;

	if (load_acquire(&orphaned) || initialise())
		return NULL;
	t = reuse();
	if (!t) {
		t = mem_zalloc(1, sizeof(*t));
		if (!t)
			return NULL;
		t->used = 1;
		t->pub.fence = load_acquire(&no_membarrier);
		head = load_relaxed(&threads);
		do
			t->next = head;
		while (!compare_exchange(&threads, &head, t));
	}
	record_take(t);
	if (pthread_setspecific(exit_key, t)) {
		store_release(&t->used, 0);
		return NULL;
	}
	quire_thread_self_ = &t->pub;
	return t;
}

struct thread *thread_self(void)
{
	if (quire_thread_self_)
		return (struct thread *)(void *)quire_thread_self_; /* its first member */
	return attach();
}

struct quire_thread_ *quire_thread_attach_(void)
{
	struct thread *t = thread_self();

	return t ? &t->pub : NULL;
}

int threads_barrier(void)
{
	QUIRE_FENCE_FULL_();
	if (load_relaxed(&no_membarrier))
		return 0;
	return os_membarrier();
}

uint64_t epoch_advance(void)
{
	return fetch_add(&quire_epoch_, 1u) + 1;
}

struct thread *epoch_blocker(uint64_t target)
{
	for_each_thread(t)
	{
		/* acquire: what the reader read is read before it left the section */
		uint64_t epoch = load_acquire(&t->pub.epoch);

		if (epoch && epoch < target)
			return t;
	}
	return NULL;
}

uint64_t epoch_oldest(void)
{
	uint64_t oldest = UINT64_MAX, epoch;

	for_each_thread(t)
	{
		epoch = load_acquire(&t->pub.epoch); /* as in epoch_blocker() */
		if (epoch && epoch < oldest)
			oldest = epoch;
	}
	return oldest;
}

bool epoch_passed(uint64_t target)
{
	return epoch_blocker(target) == NULL;
}
