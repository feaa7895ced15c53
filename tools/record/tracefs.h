/* SPDX-License-Identifier: MIT */
/*
 * tracefs.h: a trace instance of one's own: what it records and how does not change what others
 * record, and it is removed when it ends, also by a signal.
 */
#ifndef RECORD_TRACEFS_H
#define RECORD_TRACEFS_H

#include <stdbool.h>
#include <stddef.h>

#include "events.h"

#define TRACEFS_ERROR 256u

struct tracefs;

/*
 * root: where tracefs is; NULL: where it is as a rule. Instances that a killed one left are
 * removed. forks: sched_process_fork is recorded too. Nothing is recorded yet. 0, or -errno with
 * one line in err.
 */
int tracefs_open(struct tracefs **tracefs, const char *root, unsigned buffer_kib, bool forks,
		 char *err, size_t size);

const struct event_formats *tracefs_formats(const struct tracefs *tracefs);

/* Begins, and ends. 0, or -errno with one line in err. */
int tracefs_record(struct tracefs *tracefs, bool on, char *err, size_t size);

unsigned tracefs_cpus(const struct tracefs *tracefs);

/* The next page of a CPU: its bytes, 0 if there is none now, or -errno. */
long tracefs_read(struct tracefs *tracefs, unsigned cpu, void *page);

/* Events that found no room so far. */
unsigned long tracefs_lost(const struct tracefs *tracefs);

/* Removes it. close(NULL) does nothing. */
void tracefs_close(struct tracefs *tracefs);

/* For a signal handler: removes the open one. */
void tracefs_remove_now(void);

#endif
