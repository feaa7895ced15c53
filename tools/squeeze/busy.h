/* SPDX-License-Identifier: MIT */
/*
 * busy.h: an owner whose folios are in use all the time, and which takes part in moves.
 *
 * It stands for whoever derives addresses from memory and works through them: a device with its
 * page table, a registered buffer, a ring. Each folio is a unit: long-pinned, its raw address
 * handed to jobs. When it is asked to let folios move it quiesces them, drops its pins, commits,
 * pins again and goes on from the new address.
 */
#ifndef SQUEEZE_BUSY_H
#define SQUEEZE_BUSY_H

#include <quire.h>

struct busy;

struct busy_hooks {
	/* In the isolate op: the unit is on the move from now on. */
	void (*isolated)(void *arg, size_t unit);
	void *arg;
};

/* Room for n units. 0 or -errno. */
int busy_create(struct quire *quire, size_t n, const struct busy_hooks *hooks, struct busy **busy);

/* Makes the next unit's folio and pins it. Units are numbered from 0 in the order of the calls. */
int busy_add(struct busy *busy, struct quire_frame at, unsigned order, struct quire_folio **folio);

/*
 * A job: works on the unit through its raw address, until busy_leave(). Waits while the unit is
 * quiesced. NULL: there was no memory to pin it again. Jobs must be short, and take no long pin.
 */
void *busy_enter(struct busy *busy, size_t unit);
void busy_leave(struct busy *busy, size_t unit);

/* How many units hold their pin, and through it the address where their folio is now. No jobs. */
size_t busy_holding(const struct busy *busy);

/* Drops all pins; no job may follow. The owner goes with its quire. destroy(NULL) does nothing. */
void busy_destroy(struct busy *busy);

#endif
