/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM migrate

#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE migrate_blocker

#if !defined(_TRACE_MIGRATE_BLOCKER_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_MIGRATE_BLOCKER_H

#include <linux/tracepoint.h>

/*
 * One folio that could not be migrated, or that was in the way of a contiguous
 * allocation (@contig): why, because of whom, and how many references it had.
 */
TRACE_EVENT(mm_migrate_blocked,
	    TP_PROTO(struct folio *folio, bool contig, const char *why,
		     const char *owner, int err, int expected, int found,
		     int mode, const char *reason),
	    TP_ARGS(folio, contig, why, owner, err, expected, found, mode,
		    reason),
	    TP_STRUCT__entry(__field(unsigned long, pfn)
			     __field(unsigned int, order)
			     __field(bool, contig)
			     __field(int, err)
			     __field(int, expected)
			     __field(int, found)
			     __field(int, mode)
			     __string(why, why)
			     __string(owner, owner)
			     __string(reason, reason)
	    ),
	    TP_fast_assign(__entry->pfn = folio_pfn(folio);
			   __entry->order = folio_order(folio);
			   __entry->contig = contig;
			   __entry->err = err;
			   __entry->expected = expected;
			   __entry->found = found;
			   __entry->mode = mode;
			   __assign_str(why);
			   __assign_str(owner);
			   __assign_str(reason);
	    ),
	    TP_printk("pfn=0x%lx order=%u for=%s why=%s owner=%s err=%d expected=%d found=%d mode=%d reason=%s",
		      __entry->pfn, __entry->order,
		      __entry->contig ? "contig" : "migrate", __get_str(why),
		      __get_str(owner), __entry->err, __entry->expected,
		      __entry->found, __entry->mode, __get_str(reason))
);

#endif /* _TRACE_MIGRATE_BLOCKER_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
