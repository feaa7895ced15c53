/* SPDX-License-Identifier: MIT */
/*
 * answer.h: what a server says, as text. docs/explain.md is the reference of the format.
 *
 * Rows are put in whole or not at all, and the room is what the longest answer takes, so nothing
 * is left out but what look.h and record.h count as left out.
 */
#ifndef QUIRE_SRC_SERVE_ANSWER_H
#define QUIRE_SRC_SERVE_ANSWER_H

#include "folio/look.h"

#define ANSWER_BYTES (2u << 20)

struct answer {
	char *text; /* ANSWER_BYTES of it */
	size_t n;
};

/* Looks around until the deadline (os_clock_ns) or until *stop is not 0, and says what it saw. */
void answer_make(struct quire *q, uint64_t deadline, const uint32_t *stop, struct look *look,
		 struct answer *answer);
/* Says why there is none. */
void answer_error(struct answer *answer, const char *why);

#endif
