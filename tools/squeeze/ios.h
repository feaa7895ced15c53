/* SPDX-License-Identifier: MIT */
/*
 * ios.h: what one thread of the load reads and writes by ring, and checks.
 *
 * A page is written to a file and looked at there, or read from a file into its buffer and looked
 * at in its folio. The file is a memory file that all threads share, each with a part of its own.
 * As with jobs (jobs.h), the thread has the page's sequence meanwhile.
 */
#ifndef SQUEEZE_IOS_H
#define SQUEEZE_IOS_H

#include "jobs.h"

struct ios;

/* The file for so many threads: a descriptor, or -errno. */
int ios_file(unsigned threads);
/* Thread number `thread`, from 0; the file stays the caller's. NULL: no memory. */
struct ios *ios_create(int file, unsigned thread);
/*
 * Looks after the I/Os that run, and starts one, on this thing if it is ring's. true: one was
 * started on a buffer on the move.
 */
bool ios_step(struct ios *own, struct arena *arena, uint64_t random, uint32_t near);
/* Waits for those that run. */
void ios_finish(struct ios *own, struct arena *arena);
const struct work_sum *ios_sum(const struct ios *own);
void ios_destroy(struct ios *own);

#endif
