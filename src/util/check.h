/* SPDX-License-Identifier: MIT */
/*
 * check.h: the library's own assertions, in three levels.
 *
 *  cheap     what a caller can get wrong is checked always, and answered with an error or a message
 *            to the log callback; there is no macro for it
 *  internal  CHECK(): what only a fault of the library can make false. On in libquire-points.a, or
 *            everywhere with -Dasserts=true; it traps, so that a debugger stands at the place
 *  whole     node_validate() and folios_validate(): the invariants at the head of node.h and
 *            folios.h, over everything; tests call them when nothing runs
 */
#ifndef QUIRE_SRC_UTIL_CHECK_H
#define QUIRE_SRC_UTIL_CHECK_H

#if defined(QUIRE_POINTS) || QUIRE_ASSERTS >= 2
#define CHECKED 1
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			__builtin_trap();                                                          \
	} while (0)
#else
#define CHECKED 0
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		(void)sizeof((condition) ? 1 : 0);                                                 \
	} while (0)
#endif

#endif
