/* SPDX-License-Identifier: MIT */
/*
 * kernel.h: what Linux itself makes of the layout.
 *
 * Anonymous memory of this process is filled page by page until there are as many whole physical
 * blocks of 2 MiB in it as the layout has; /proc/self/pagemap says where each page is. Of each
 * block those pages are kept that the layout has in use, at the same place in it, and the others
 * are freed. What nobody can be asked for, the things in use and legacy's, is pinned by io_uring.
 * Then all memory is compacted, and nr_hugepages raised as far as it goes. A block counts as freed
 * if in the end all of it is free or a huge page, by /proc/kpageflags. Everything is one page large
 * there: folios of the layout that are larger may be taken apart.
 *
 * This changes the whole machine: compaction moves everybody's pages, and huge pages take what is
 * free, but for a margin. nr_hugepages is put back whatever happens, also by a signal.
 */
#ifndef SQUEEZE_KERNEL_H
#define SQUEEZE_KERNEL_H

#include "stage.h"

struct kernel_result {
	bool known;
	uint64_t runs;			      /* blocks of the layout that were freed */
	uint64_t bytes;			      /* of its pages that are elsewhere than they were */
	size_t pinned;			      /* pages */
	uint64_t huge_before, huge, huge_cap; /* nr_hugepages: before, reached, asked for */
	uint64_t margin;		      /* bytes of free memory that were not to be taken */
	char why[192];			      /* why it is not known */
};

/* One line about what it will change, for the user, before it does. */
const char *kernel_will(void);

/* Can it be done? If not, result->why says why. Changes nothing. */
bool kernel_can(const struct stage *stage, struct kernel_result *result);

/* result->known, or result->why; -ECANCELED if progress said so. */
int kernel_squeeze(const struct stage *stage, const struct stage_progress *progress,
		   struct kernel_result *result);

/* For a signal handler: puts nr_hugepages back, if it was changed. */
void kernel_put_back_now(void);

#endif
