/* SPDX-License-Identifier: MIT */
/*
 * show.h: an answer, for people and for programs.
 */
#ifndef EXPLAIN_SHOW_H
#define EXPLAIN_SHOW_H

#include "answer.h"

#include "term.h"

/* The table and what belongs to it, on stdout; a heat map too where that is a terminal. */
void show_text(const struct term *term, const struct answer *answer);

/* One JSON object on stdout. 0 or -ENOMEM. */
int show_json(const struct answer *answer);

#endif
