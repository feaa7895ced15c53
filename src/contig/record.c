// SPDX-License-Identifier: MIT
#include "contig/record.h"

#include "contig/plan.h"
#include "folio/look.h"
#include "os/os.h"
#include "util/mem.h"

#include <errno.h>
#include <pthread.h>

struct records {
	pthread_mutex_t lock;
	uint64_t made; /* plans so far */
	struct record record[RECORDS];
};

/* --- under the lock --- */

static struct record *find(struct records *records, const struct quire_plan *plan)
{
	for (unsigned i = 0; i < RECORDS; i++)
		if (records->record[i].plan == plan)
			return &records->record[i];
	return NULL;
}

/* The oldest that no running plan has, for a plan; NULL: there is none. */
static struct record *take(struct records *records, const struct quire_plan *plan)
{
	struct record *oldest = NULL;

	for (unsigned i = 0; i < RECORDS; i++) {
		struct record *r = &records->record[i];

		if (r->state != RECORD_RUNNING && (!oldest || r->number < oldest->number))
			oldest = r;
	}
	if (!oldest)
		return NULL;
	memset(oldest, 0, sizeof(*oldest));
	oldest->number = ++records->made;
	oldest->plan = plan;
	oldest->goal = plan->goal;
	oldest->made_ns = os_clock_ns();
	return oldest;
}

static void forget_blockers(struct record *r)
{
	memset(r->stays, 0, sizeof(r->stays));
	r->blockers_all = 0;
	r->blockers = 0;
}

/* --- one blocker --- */

static void copy_site(char to[96], const char *site)
{
	size_t length = strlen(site), skip = length >= 96 ? length - 95 : 0;

	memset(to, 0, 96);
	memcpy(to, site + skip, length - skip);
}

/*
 * Counts it, and copies it where there is room. Its owner may be gone since it was met: what is no
 * live owner's name is not followed.
 */
static void add_blocker(struct record *r, const struct quire_plan *plan,
			const struct quire_blocker *who)
{
	struct record_blocker *b;

	if ((unsigned)who->why < QUIRE_REASON_ROOM)
		r->stays[who->why]++;
	if (r->blockers_all++ >= RECORD_BLOCKERS)
		return;
	b = &r->blocker[r->blockers++];
	b->frame = who->frame;
	b->why = who->why;
	b->code = who->code;
	b->thread = who->thread;
	b->age_ns = who->age_ns;
	owner_name_copy(plan->q, who->owner, b->owner);
	copy_site(b->site, who->site);
}

/* All that the plan knows. */
static void take_blockers(struct record *r, const struct quire_plan *plan)
{
	forget_blockers(r);
	for (size_t i = 0; i < plan->blocker_count; i++)
		add_blocker(r, plan, &plan->blocker[i]);
}

/* --- from the plans --- */

void record_planned(const struct quire_plan *plan, int code)
{
	struct records *records = plan->q->records;
	struct record *r;

	pthread_mutex_lock(&records->lock);
	r = take(records, plan);
	if (r && code) {
		r->state = RECORD_ENDED;
		r->code = code;
		r->ended_ns = r->made_ns;
		r->plan = NULL;
	} else if (r) {
		r->state = RECORD_PLANNED;
		r->info = plan->info;
		take_blockers(r, plan);
	}
	pthread_mutex_unlock(&records->lock);
}

void record_started(const struct quire_plan *plan, enum quire_mode mode)
{
	struct records *records = plan->q->records;
	struct record *r;

	pthread_mutex_lock(&records->lock);
	r = find(records, plan);
	if (!r)
		r = take(records, plan);
	if (r) {
		r->state = RECORD_RUNNING;
		r->mode = mode;
		r->started_ns = os_clock_ns();
		r->info = plan->info;
		r->result.bytes_planned = plan->info.bytes;
		forget_blockers(r);
	}
	pthread_mutex_unlock(&records->lock);
}

void record_progress(const struct quire_plan *plan, const struct quire_result *so_far)
{
	struct records *records = plan->q->records;
	struct record *r;

	pthread_mutex_lock(&records->lock);
	r = find(records, plan);
	if (r)
		r->result = *so_far;
	pthread_mutex_unlock(&records->lock);
}

void record_stays(const struct quire_plan *plan, const struct quire_blocker *who)
{
	struct records *records = plan->q->records;
	struct record *r;

	pthread_mutex_lock(&records->lock);
	r = find(records, plan);
	if (r)
		add_blocker(r, plan, who);
	pthread_mutex_unlock(&records->lock);
}

void record_ended(const struct quire_plan *plan, int code, const struct quire_result *result)
{
	struct records *records = plan->q->records;
	struct record *r;

	pthread_mutex_lock(&records->lock);
	r = find(records, plan);
	if (r) {
		r->state = RECORD_ENDED;
		r->code = code;
		r->ended_ns = os_clock_ns();
		r->info = plan->info;
		r->result = *result;
		take_blockers(r, plan);
	}
	pthread_mutex_unlock(&records->lock);
}

void record_gone(const struct quire_plan *plan)
{
	struct records *records = plan->q->records;
	struct record *r;

	pthread_mutex_lock(&records->lock);
	r = find(records, plan);
	if (r)
		r->plan = NULL;
	pthread_mutex_unlock(&records->lock);
}

/* --- for who asks --- */

bool record_get(struct quire *q, unsigned i, struct record *to)
{
	struct records *records = q->records;
	const struct record *best = NULL;
	uint64_t below = UINT64_MAX;

	pthread_mutex_lock(&records->lock);
	for (unsigned pass = 0; pass <= i; pass++) {
		best = NULL;
		for (unsigned k = 0; k < RECORDS; k++) {
			const struct record *r = &records->record[k];

			if (r->number && r->number < below && (!best || r->number > best->number))
				best = r;
		}
		if (!best)
			break;
		below = best->number;
	}
	if (best)
		*to = *best;
	pthread_mutex_unlock(&records->lock);
	return best != NULL;
}

static int records_init(struct quire *q)
{
	struct records *records = mem_zalloc(1, sizeof(*records));

	if (!records)
		return -ENOMEM;
	pthread_mutex_init(&records->lock, NULL);
	q->records = records;
	return 0;
}

static void records_finish(struct quire *q)
{
	pthread_mutex_destroy(&q->records->lock);
	mem_free(q->records);
	q->records = NULL;
}

const struct quire_layer records_layer = {
	.init = records_init,
	.finish = records_finish,
};
