/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who was in the way of a migration or of a contiguous allocation.
 * See mm/migrate_blocker.c.
 */
#ifndef _LINUX_MIGRATE_BLOCKER_H
#define _LINUX_MIGRATE_BLOCKER_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/types.h>

struct folio;

/**
 * enum migrate_blocker - why a folio has not moved
 * @MIGRATE_BLOCKER_OWNER_VETO: the owner of a file said no before there was a
 *	destination
 * @MIGRATE_BLOCKER_OWNER_MODE: the owner does not work in a mode as low as this
 * @MIGRATE_BLOCKER_OWNER_REFUSED: the owner's migrate op answered an error
 * @MIGRATE_BLOCKER_OWNER_AGAIN: the owner's migrate op answered -EAGAIN to the end
 * @MIGRATE_BLOCKER_OWNED_FRAME: the owner of the folio wants the frame to stay
 * @MIGRATE_BLOCKER_DRIVER_REFUSED: movable_operations: not isolated, or an error
 * @MIGRATE_BLOCKER_DRIVER_AGAIN: movable_operations: -EAGAIN to the end
 * @MIGRATE_BLOCKER_PIN: references that nothing explains
 * @MIGRATE_BLOCKER_LOCKED: the folio was locked by somebody else
 * @MIGRATE_BLOCKER_WRITEBACK: the folio was being written
 * @MIGRATE_BLOCKER_UNMOVABLE: nothing that can be migrated (contiguous allocations)
 * @MIGRATE_BLOCKER_OTHER: none of these
 * @NR_MIGRATE_BLOCKERS: how many there are
 *
 * In the order of the names in mm/vmstat.c, twice.
 */
enum migrate_blocker {
	MIGRATE_BLOCKER_OWNER_VETO,
	MIGRATE_BLOCKER_OWNER_MODE,
	MIGRATE_BLOCKER_OWNER_REFUSED,
	MIGRATE_BLOCKER_OWNER_AGAIN,
	MIGRATE_BLOCKER_OWNED_FRAME,
	MIGRATE_BLOCKER_DRIVER_REFUSED,
	MIGRATE_BLOCKER_DRIVER_AGAIN,
	MIGRATE_BLOCKER_PIN,
	MIGRATE_BLOCKER_LOCKED,
	MIGRATE_BLOCKER_WRITEBACK,
	MIGRATE_BLOCKER_UNMOVABLE,
	MIGRATE_BLOCKER_OTHER,
	NR_MIGRATE_BLOCKERS
};

#ifdef CONFIG_MIGRATE_BLOCKERS

void migrate_blocker_note(struct folio *folio, enum migrate_blocker why, int rc,
			  const char *name, const void *op, int expected,
			  int found);
void __cold migrate_blocker_failed(struct folio *folio, int rc, bool locked,
				   bool before_op);
void migrate_blocker_refused(struct folio *folio, int mode, int reason);
void __cold __migrate_blocker_report(struct list_head *failed, int rc,
				     int mode, int reason);
void migrate_blocker_contig(unsigned long start, unsigned long end, int rc);

/* How many notes there are, of all tasks. */
extern atomic_t migrate_blocker_notes;

/* The end of migrate_pages(): @failed have not moved, @rc is what it answers. */
static inline void migrate_blocker_report(struct list_head *failed, int rc,
					  int mode, int reason)
{
	if (atomic_read(&migrate_blocker_notes) || !list_empty(failed))
		__migrate_blocker_report(failed, rc, mode, reason);
}

#else /* !CONFIG_MIGRATE_BLOCKERS */

static inline void migrate_blocker_note(struct folio *folio,
					enum migrate_blocker why, int rc,
					const char *name, const void *op,
					int expected, int found)
{
}

static inline void migrate_blocker_failed(struct folio *folio, int rc,
					  bool locked, bool before_op)
{
}

static inline void migrate_blocker_refused(struct folio *folio, int mode,
					   int reason)
{
}

static inline void migrate_blocker_report(struct list_head *failed, int rc,
					  int mode, int reason)
{
}

static inline void migrate_blocker_contig(unsigned long start,
					  unsigned long end, int rc)
{
}

#endif /* CONFIG_MIGRATE_BLOCKERS */
#endif /* _LINUX_MIGRATE_BLOCKER_H */
