/* SPDX-License-Identifier: MIT */
/*
 * answers.h: a good answer of a server, with every kind of row, and what must hold of each that is
 * taken apart.
 */
#ifndef QUIRE_TESTS_FUZZ_ANSWERS_H
#define QUIRE_TESTS_FUZZ_ANSWERS_H

#include <answer.h>

static const char good_answer[] =
	"quire\t1\n"
	"host\t1234\tcache\\x2dd\t0.1.0\n"
	"state\tframes\t16384\n"
	"state\tframes_free\t15360\n"
	"counter\tmoved\t512\n"
	"counter\tcomes_later\t9223372036854775807\n"
	"not_moved\tLONG_PIN\tpinned long\t8\n"
	"owner\tcaf\xc3\xa9\t1024\t1024\t8\n"
	"owner\tdisk\t0\t0\t0\n"
	"left\towners\t3\n"
	"hold\tSHORT_PIN\tpinned\tdisk\texamples/serve.c:47\t1234\t1\t1\t1136000052\t0\n"
	"hold\tLONG_PIN\tpinned long\tdisk\texamples/serve.c:41\t1234\t8\t8\t1136000052\t1\n"
	"heat\t32\t1\t32\n"
	"cell\t0\t128\t128\t1\t0\n"
	"cell\t31\t512\t1\t0\t1\n"
	"row_of_a_later_version\twith\tfields\n"
	"plan\t2\trunning\t0\t5\t4\t512\t7\t0\t0\t0\t0\t0\t0\t0\t0\t0\tand a later field\n"
	"plan\t1\tended\t-"
	"16\t1136035208\t2877772\t512\t0\t24\t2097152\t2097152\t24\t2097152\t512\t0"
	"\t0\t9\n"
	"stays\tLONG_PIN\tpinned long\t9\n"
	"blocker\t7\tLONG_PIN\tpinned long\tdisk\texamples/serve.c:41\t1234\t0\t-11\n"
	"end\n";

/* What is wrong with it; NULL: nothing. */
const char *answer_wrong(const struct answer *answer);
/* The same of a line that says what is wrong. */
const char *message_wrong(const char *message);

#endif
