/* SPDX-License-Identifier: MIT */
/*
 * report.h: what a squeeze came to, for people and for programs.
 */
#ifndef SQUEEZE_REPORT_H
#define SQUEEZE_REPORT_H

#include "kernel.h"
#include "load.h"
#include "options.h"
#include "term.h"

/* Folios that stay for the same reason: same owner, reason, site and thread. */
struct report_group {
	char owner[64];
	char reason[64];
	char site[128]; /* "": no pin */
	int thread;
	uint64_t age_ns; /* of the oldest */
	size_t folios;
};

enum report_verdict { REPORT_FAIL, REPORT_PASS, REPORT_INTERRUPTED };

/* What a squeeze freed, and what it cost. */
struct report_side {
	bool known;	/* false: it was interrupted before */
	uint64_t runs;	/* 2 MiB pages freed, without those that were free before */
	uint64_t bytes; /* moved */
};

#define REPORT_OWNERS 8u

/* Of one owner. */
struct report_owner {
	char name[64];
	uint64_t folios;
	uint64_t moved, tries; /* folios, each time */
};

struct report {
	const struct squeeze_options *options;
	const char *file; /* of the layout */
	const char *name;
	uint64_t live_bytes;
	uint32_t blocks; /* recorded */
	size_t folios;
	size_t in_use, refusing;
	size_t ring_wanted;	   /* pages that ring would have, were there no limit */
	uint64_t ring_bytes;	   /* of ring's buffers */
	uint64_t registered_bytes; /* of these, at the end */
	size_t registered_lost;	   /* buffers that the kernel did not take again after a move */
	bool ring_is_uring;
	char ring_backend[128];

	struct report_side without, quire, possible;
	struct report_side given; /* possible with those that stayed; where faults were asked for */
	uint64_t bytes_recopied, lower_bound_bytes;
	uint64_t no_place;   /* runs, or blocks, left as they are for want of places elsewhere */
	const char *backing; /* "4k", "collapse", "hugetlb"; NULL: there was no arena */
	struct kernel_result kernel;		  /* where it was asked for */
	bool shrunk;				  /* as asked for: */
	uint64_t given_back;			  /* bytes */
	uint64_t resident_before, resident_after; /* bytes of shared memory, of that arena */
	double seconds;
	double copy_limit; /* bytes a second; 0: not measured */
	struct load_sum load;
	uint64_t wrong; /* bytes, those that the load met among them */

	size_t ngroups;
	struct report_group *groups;
	uint64_t reasons[QUIRE_REASON_ROOM]; /* folios that stay, by reason */
	size_t nowners;
	struct report_owner owners[REPORT_OWNERS];
	uint64_t fired[INJECT_COUNT]; /* how often each fault came due */

	enum report_verdict verdict;
	size_t nwhy;
	char why[8][128]; /* what failed */
};

/* Adds a reason to fail. */
void report_fail(struct report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The lines that are known before the work begins; then the rest. */
void report_head(const struct report *report);
void report_text(const struct report *report);

/* One JSON object on stdout. 0 or -ENOMEM. */
int report_json(const struct report *report);

#endif
