/* SPDX-License-Identifier: MIT */
/*
 * points.h: what the tests hold on to: sync points, fault points, a clock that they move. All of it
 * exists only where QUIRE_POINTS is defined (libquire-points.a, never installed); elsewhere the
 * macros are empty and cost nothing.
 *
 * A sync point is a named place in the protocol; the hook runs there, in the thread that got there,
 * and may do whatever another thread could do at that moment.
 *
 * A fault point is a step that can fail. The nth one passed after arming fails, once, with the
 * given error; "run with n = 1, 2, ... until none fires" visits every undo edge.
 */
#ifndef QUIRE_SRC_UTIL_POINTS_H
#define QUIRE_SRC_UTIL_POINTS_H

#include <quire/abi.h>

#ifdef QUIRE_POINTS

/* The nth fault point from now on fails; point NULL: whatever its name. err is -errno. */
void quire_fault_arm_(const char *point, uint64_t nth, int err);
/* Disarms; returns whether it fired. */
bool quire_fault_disarm_(void);
/* How many points were passed since it was armed. */
uint64_t quire_fault_passed_(void);
/* The name of the point that fired last, or "". */
const char *quire_fault_name_(void);
/*
 * Besides, and for several points at a time: every nth passing of this point fails, until n is 0.
 * Returns how often it did under the n before. The name stays the caller's.
 */
uint64_t quire_fault_every_(const char *point, uint64_t n, int err);
/* 0, or the error that this point is to fail with now. */
int quire_fault_(const char *point);

#define FAULT_POINT(point) quire_fault_(point)
#define SYNC_POINT(point, what) QUIRE_SYNC_(point, what)

/* From now on the clock says ns, until it is set again; UINT64_MAX: the real clock. Waits with a
 * deadline then move it on by themselves, to the moment they wait for. */
void quire_clock_set_(uint64_t ns);

#else

#define FAULT_POINT(point) 0
#define SYNC_POINT(point, what) QUIRE_SYNC_(point, what)

#endif
#endif
