// SPDX-License-Identifier: MIT
#include "contig/queue.h"

#include "contig/plan.h"
#include "folio/thread.h"
#include "frame/node.h"
#include "os/os.h"
#include "util/mem.h"
#include "util/points.h"

#include <errno.h>

struct queue {
	pthread_mutex_t lock;
	struct queue_entry *oldest;
	uint32_t event;	  /* atomic, futex */
	uint32_t waiters; /* atomic */
};

void queue_wake(struct quire *q)
{
	struct queue *queue = q->queue;

	/* As instance_event(): one of the two sees the other. */
	fetch_add(&queue->event, 1u);
	if (__atomic_load_n(&queue->waiters, __ATOMIC_SEQ_CST))
		os_futex_wake_all(&queue->event);
}

void queue_enter(struct quire *q, struct queue_entry *entry, struct quire_plan *plan)
{
	struct queue *queue = q->queue;
	struct queue_entry **at = &queue->oldest;

	*entry = (struct queue_entry){
		.plan = plan,
		.site = plan->goal.site ? plan->goal.site : "",
		.since = os_clock_ns(),
		.tid = os_thread_id(),
	};
	pthread_mutex_lock(&queue->lock);
	while (*at)
		at = &(*at)->next;
	*at = entry;
	pthread_mutex_unlock(&queue->lock);
}

void queue_leave(struct quire *q, struct queue_entry *entry)
{
	struct queue *queue = q->queue;
	struct queue_entry **at = &queue->oldest;

	pthread_mutex_lock(&queue->lock);
	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	pthread_mutex_unlock(&queue->lock);
	mem_free(entry->wanted);
	queue_wake(q);
}

void queue_want(struct quire *q, struct queue_entry *entry, uint64_t *wanted)
{
	uint64_t *was = entry->wanted;

	pthread_mutex_lock(&q->queue->lock);
	entry->wanted = wanted;
	pthread_mutex_unlock(&q->queue->lock);
	mem_free(was);
}

void queue_wanted(struct quire *q, const struct quire_plan *plan, uint64_t *bits)
{
	uint32_t words = (node_blocks(q->node) + 63) / 64;

	pthread_mutex_lock(&q->queue->lock);
	for (const struct queue_entry *e = q->queue->oldest; e && e->plan != plan; e = e->next)
		for (uint32_t w = 0; e->wanted && w < words; w++)
			bits[w] |= e->wanted[w];
	pthread_mutex_unlock(&q->queue->lock);
}

static bool wants(const struct queue_entry *e, uint32_t block)
{
	return e->wanted && (e->wanted[block / 64] >> (block % 64) & 1);
}

void queue_describe(struct quire *q, const struct quire_plan *plan, const void *claim,
		    uint32_t block, struct quire_blocker *who)
{
	uint64_t now = os_clock_ns();

	pthread_mutex_lock(&q->queue->lock);
	for (const struct queue_entry *e = q->queue->oldest; e; e = e->next) {
		if (!claim && e->plan == plan)
			break; /* the others are younger */
		if (claim ? e->plan != claim : !wants(e, block))
			continue;
		who->thread = e->tid;
		who->site = e->site;
		who->age_ns = now > e->since ? now - e->since : 0;
		break;
	}
	pthread_mutex_unlock(&q->queue->lock);
}

/* Of what the entry wants, how many blocks are taken; mine: is one of them this thread's? */
static uint32_t count_taken(struct quire *q, const struct queue_entry *entry, bool *mine)
{
	uint32_t n = 0;

	*mine = false;
	pthread_mutex_lock(&q->queue->lock);
	for (uint32_t b = 0; b < node_blocks(q->node); b++) {
		const struct queue_entry *by = NULL;
		const void *claim;

		if (!wants(entry, b))
			continue;
		claim = node_claimed_by(q->node, b);
		for (const struct queue_entry *e = q->queue->oldest; e && !by; e = e->next) {
			if (e == entry && !claim)
				break; /* the others are younger */
			if (claim ? e->plan == claim : wants(e, b))
				by = e;
		}
		if (!claim && !by)
			continue;
		n++;
		*mine |= by && by->tid == entry->tid;
	}
	pthread_mutex_unlock(&q->queue->lock);
	return n;
}

bool queue_wait(struct quire *q, struct queue_entry *entry, uint64_t deadline)
{
	struct queue *queue = q->queue;
	uint32_t event = load_acquire(&queue->event), first, n;
	uint64_t now;
	bool mine;

	first = n = count_taken(q, entry, &mine);
	while (n && n >= first) {
		now = os_clock_ns();
		if (mine || now >= deadline)
			return false;
		SYNC_POINT("queue:waiting", entry->plan);
		fetch_add(&queue->waiters, 1u);
		if (__atomic_load_n(&queue->event, __ATOMIC_SEQ_CST) == event)
			os_futex_wait(&queue->event, event, deadline - now);
		fetch_sub(&queue->waiters, 1u);
		event = load_acquire(&queue->event);
		n = count_taken(q, entry, &mine);
	}
	return true;
}

static int queue_init(struct quire *q)
{
	struct queue *queue = mem_zalloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	pthread_mutex_init(&queue->lock, NULL);
	q->queue = queue;
	return 0;
}

static void queue_finish(struct quire *q)
{
	pthread_mutex_destroy(&q->queue->lock);
	mem_free(q->queue);
	q->queue = NULL;
}

const struct quire_layer queue_layer = {
	.init = queue_init,
	.finish = queue_finish,
};
