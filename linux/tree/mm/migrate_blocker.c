// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who was in the way of a migration or of a contiguous allocation.
 *
 * migrate_pages() answers with a number. Which folios stayed, and why, is known
 * for a moment deep inside, where an op answers or a count does not fit. It is
 * noted there, and when migrate_pages() has given up on the folio, the last
 * note about it becomes an event of the tracepoint mm_migrate_blocked and one
 * of the counters migrate_blocked_* of /proc/vmstat, in base pages. A retry that
 * succeeds leaves no trace: what is counted is what has stayed.
 *
 * alloc_contig_range() is the one who cares most: when it has failed, the range
 * is looked through once, and what holds its pages is reported in the same way
 * as contig_blocked_*.
 *
 * Invariants:
 *
 *   - A note is of one folio and one task, and lives from an attempt to the
 *     end of the migrate_pages() that made it, or of the alloc_contig_range()
 *     around that. No note is ever seen by another call or task.
 *   - Within one try a note from an op is better than one from the look of the
 *     folio, and replaces it; never the other way round.
 *   - migrate_blocker_notes is the number of notes in use.
 *
 * The table is fixed, for memory may be what is missing. If a note finds no
 * place it takes another's; what has lost its note is judged by its look.
 *
 * Lock order: anything > notes_lock.
 */
#include <linux/hash.h>
#include <linux/kallsyms.h>
#include <linux/list.h>
#include <linux/memory_hotplug.h>
#include <linux/migrate.h>
#include <linux/migrate_blocker.h>
#include <linux/mm.h>
#include <linux/pageblock-flags.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/vmstat.h>
#include "internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/migrate_blocker.h>

#define NOTES_BITS	9
#define NOTES_PROBES	8
#define NAME_LENGTH	32

struct migrate_blocker_note {
	struct folio *folio;		/* NULL: not in use */
	struct task_struct *task;
	enum migrate_blocker why;
	bool from_op;
	int rc, expected, found;
	char name[NAME_LENGTH];
};

static struct migrate_blocker_note notes[1 << NOTES_BITS];
atomic_t migrate_blocker_notes;
static DEFINE_SPINLOCK(notes_lock);

static const char * const migrate_blocker_names[] = {
	[MIGRATE_BLOCKER_OWNER_VETO] = "owner_veto",
	[MIGRATE_BLOCKER_OWNER_MODE] = "owner_mode",
	[MIGRATE_BLOCKER_OWNER_REFUSED] = "owner_refused",
	[MIGRATE_BLOCKER_OWNER_AGAIN] = "owner_again",
	[MIGRATE_BLOCKER_OWNED_FRAME] = "owned_frame",
	[MIGRATE_BLOCKER_DRIVER_REFUSED] = "driver_refused",
	[MIGRATE_BLOCKER_DRIVER_AGAIN] = "driver_again",
	[MIGRATE_BLOCKER_PIN] = "pin",
	[MIGRATE_BLOCKER_LOCKED] = "locked",
	[MIGRATE_BLOCKER_WRITEBACK] = "writeback",
	[MIGRATE_BLOCKER_UNMOVABLE] = "unmovable",
	[MIGRATE_BLOCKER_OTHER] = "other",
};

/* The note about @folio of the current task, or where one could go. */
static struct migrate_blocker_note *note_find(struct folio *folio, bool make)
{
	unsigned int i, first = hash_ptr(folio, NOTES_BITS);
	struct migrate_blocker_note *note, *place = NULL;

	for (i = 0; i < NOTES_PROBES; i++) {
		note = &notes[(first + i) % ARRAY_SIZE(notes)];
		if (note->folio == folio && note->task == current)
			return note;
		if (!note->folio && !place)
			place = note;
	}
	return make ? place ?: &notes[first] : NULL;
}

/* @replace: even if there is a note from an op */
static void note_write(const struct migrate_blocker_note *new, bool replace)
{
	struct migrate_blocker_note *note;

	spin_lock(&notes_lock);
	note = note_find(new->folio, true);
	if (!note->folio)
		atomic_inc(&migrate_blocker_notes);
	if (replace || note->folio != new->folio ||
	    note->task != current || !note->from_op)
		*note = *new;
	spin_unlock(&notes_lock);
}

static bool note_take(struct folio *folio, struct migrate_blocker_note *to,
		      bool keep)
{
	struct migrate_blocker_note *note;

	if (!atomic_read(&migrate_blocker_notes))
		return false;
	spin_lock(&notes_lock);
	note = note_find(folio, false);
	if (note) {
		*to = *note;
		if (!keep) {
			note->folio = NULL;
			atomic_dec(&migrate_blocker_notes);
		}
	}
	spin_unlock(&notes_lock);
	return note;
}

/* The current task has no use for its notes any more. */
static void notes_drop(void)
{
	unsigned int i;

	if (!atomic_read(&migrate_blocker_notes))
		return;
	spin_lock(&notes_lock);
	for (i = 0; i < ARRAY_SIZE(notes); i++) {
		if (notes[i].folio && notes[i].task == current) {
			notes[i].folio = NULL;
			atomic_dec(&migrate_blocker_notes);
		}
	}
	spin_unlock(&notes_lock);
}

static void name_set(struct migrate_blocker_note *note, const char *name,
		     const void *op)
{
	if (name)
		strscpy(note->name, name, sizeof(note->name));
	else if (op)
		snprintf(note->name, sizeof(note->name), "%ps", op);
	else
		strscpy(note->name, "-", sizeof(note->name));
}

/**
 * migrate_blocker_note() - say who prevents a migration
 * @folio: what stays, at least for now; the caller holds a reference
 * @why: the reason
 * @rc: what was answered
 * @name: who it is; NULL: the symbol of @op
 * @op: who answered, or NULL
 * @expected: references that are explained
 * @found: references that there were
 *
 * Reported if the migrate_pages() that this was called from gives up on @folio.
 *
 * Context: process context; any locks.
 */
void migrate_blocker_note(struct folio *folio, enum migrate_blocker why, int rc,
			  const char *name, const void *op, int expected,
			  int found)
{
	struct migrate_blocker_note note = {
		.folio = folio,
		.task = current,
		.why = why,
		.from_op = true,
		.rc = rc,
		.expected = expected,
		.found = found,
	};

	name_set(&note, name, op);
	note_write(&note, true);
}

/*
 * What the look of @folio says. @extra references are the core's own. @locked:
 * the core holds the folio lock.
 */
static void note_from_look(struct migrate_blocker_note *note,
			   struct folio *folio, int rc, bool locked, int extra)
{
	const void *op = NULL;

	*note = (struct migrate_blocker_note){
		.folio = folio,
		.task = current,
		.why = MIGRATE_BLOCKER_OTHER,
		.rc = rc,
		.found = folio_ref_count(folio),
	};
	if (__folio_test_movable(folio)) {
		const struct movable_operations *mops = folio_movable_ops(folio);

		note->why = rc == -EAGAIN ? MIGRATE_BLOCKER_DRIVER_AGAIN :
					    MIGRATE_BLOCKER_DRIVER_REFUSED;
		note->expected = note->found;
		/* Only the folio lock keeps the driver's ops where they are. */
		if (locked && folio_test_movable(folio))
			op = mops->migrate_page;
		name_set(note, NULL, op);
		return;
	}
	name_set(note, NULL, NULL);
	note->expected = folio_expected_ref_count(folio) + extra;
	if (folio_test_writeback(folio))
		note->why = MIGRATE_BLOCKER_WRITEBACK;
	else if (!locked && folio_test_locked(folio))
		note->why = MIGRATE_BLOCKER_LOCKED;
	else if (note->found > note->expected)
		note->why = MIGRATE_BLOCKER_PIN;
}

/*
 * @folio, which is isolated, has not been moved in this try, or not even
 * @locked. @before_op: no op has been called for it in this try.
 */
void migrate_blocker_failed(struct folio *folio, int rc, bool locked,
			    bool before_op)
{
	struct migrate_blocker_note note;

	note_from_look(&note, folio, rc, locked, 1);
	if (!locked && note.why == MIGRATE_BLOCKER_OTHER)
		note.why = MIGRATE_BLOCKER_LOCKED;
	note_write(&note, before_op);
}

static void note_report(const struct migrate_blocker_note *note, bool contig,
			int mode, int reason)
{
	unsigned int first = contig ? CONTIG_BLOCKED : MIGRATE_BLOCKED;

	count_vm_events(first + note->why, folio_nr_pages(note->folio));
	trace_mm_migrate_blocked(note->folio, contig,
				 migrate_blocker_names[note->why], note->name,
				 note->rc, note->expected, note->found, mode,
				 migrate_reason_names[reason]);
}

/* @folio has not even been isolated, and why has been noted. */
void migrate_blocker_refused(struct folio *folio, int mode, int reason)
{
	struct migrate_blocker_note note;

	if (note_take(folio, &note, reason == MR_CONTIG_RANGE))
		note_report(&note, false, mode, reason);
}

/*
 * migrate_pages() is done, and has not moved @failed. If @rc is an error it has
 * not tried all of them.
 */
void __migrate_blocker_report(struct list_head *failed, int rc, int mode,
			      int reason)
{
	struct migrate_blocker_note note;
	bool keep = reason == MR_CONTIG_RANGE;
	struct folio *folio;

	list_for_each_entry(folio, failed, lru) {
		if (folio_test_hugetlb(folio))
			continue;
		if (!note_take(folio, &note, keep)) {
			if (rc < 0)
				continue;
			note_from_look(&note, folio, -EAGAIN, false, 1);
		}
		note_report(&note, false, mode, reason);
	}
	if (!keep)
		notes_drop();
}

/*
 * Is it what has_unmovable_pages() takes for unmovable? That can also be a page
 * that waits in a batch to get on the LRU: but not if it has just been tried.
 */
static bool contig_unmovable(struct folio *folio)
{
	return folio_test_slab(folio) ||
	       (!folio_test_lru(folio) && !folio_test_hugetlb(folio) &&
		!__folio_test_movable(folio));
}

/*
 * What is in the way at @page, if anything, and if it is @unmovable or not.
 * Returns the number of pages to go on by; 0 if there was something.
 */
static unsigned long contig_look(struct page *page, bool unmovable, int rc)
{
	struct migrate_blocker_note note;
	bool found = false, noted;
	struct folio *folio;
	unsigned long nr;

	if (PageBuddy(page)) {
		unsigned int order = buddy_order_unsafe(page);

		return order <= MAX_PAGE_ORDER ? 1UL << order : 1;
	}
	folio = page_folio(page);
	/* Of count 0: on its way to the free lists, or already there. */
	if (!folio_try_get(folio))
		return 1;
	nr = 1;
	if (unlikely(page_folio(page) != folio))
		goto put;
	nr = folio_nr_pages(folio) - folio_page_idx(folio, page);
	noted = note_take(folio, &note, true);
	if ((!noted && contig_unmovable(folio)) != unmovable)
		goto put;
	if (unmovable) {
		note = (struct migrate_blocker_note){
			.folio = folio,
			.why = MIGRATE_BLOCKER_UNMOVABLE,
			.rc = rc,
			.expected = 0,
			.found = folio_ref_count(folio) - 1,
		};
		name_set(&note, NULL, NULL);
		found = true;
	} else if (noted) {
		found = true;
	} else {
		bool locked = folio_trylock(folio);

		note_from_look(&note, folio, rc, locked, 1);
		if (locked)
			folio_unlock(folio);
		/* What could have been moved was not in the way. */
		found = note.why != MIGRATE_BLOCKER_OTHER;
	}
	if (found)
		note_report(&note, true, MIGRATE_SYNC, MR_CONTIG_RANGE);
put:
	folio_put(folio);
	return found && unmovable ? 0 : nr;
}

/*
 * alloc_contig_range() has not got [@start, @end). A page that cannot be moved
 * at all makes it fail wherever it is in a pageblock that the range touches,
 * and before anything else is tried: then one of each block is reported, and
 * otherwise all that was in the way inside of the range.
 */
void migrate_blocker_contig(unsigned long start, unsigned long end, int rc)
{
	unsigned long pfn = pageblock_start_pfn(start);
	unsigned long last = pageblock_align(end);
	bool unmovable = false;

	if (rc != -EBUSY)
		goto drop;
	while (pfn < last) {
		struct page *page = pfn_to_online_page(pfn);
		unsigned long nr = page ? contig_look(page, true, rc) : 1;

		if (!nr) {
			unmovable = true;
			nr = pageblock_align(pfn + 1) - pfn;
		}
		pfn += nr;
		cond_resched();
	}
	for (pfn = start; pfn < end && !unmovable;) {
		struct page *page = pfn_to_online_page(pfn);

		pfn += page ? contig_look(page, false, rc) : 1;
		cond_resched();
	}
drop:
	notes_drop();
}
