/* SPDX-License-Identifier: MIT */
/*
 * answer.h: what a server said, taken apart. docs/explain.md is the reference of the format.
 *
 * The server is not trusted: every count is checked against the room there is, every number
 * against its type, and text is made printable: a control character, in UTF-8 too, becomes '?', and
 * so does what turns the direction of writing. What an answer has more of than there is room for is
 * left out and counted; rows and fields that this version does not know are passed over.
 */
#ifndef EXPLAIN_ANSWER_H
#define EXPLAIN_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_MAX (8u << 20) /* bytes */
#define ANSWER_LINE 4096u

#define ANSWER_NUMBERS 128u
#define ANSWER_REASONS 64u
#define ANSWER_OWNERS 1024u
#define ANSWER_HOLDS 4096u
#define ANSWER_CELLS 16384u
#define ANSWER_PLANS 32u
#define ANSWER_BLOCKERS 32u

struct answer_number {
	char name[48];
	uint64_t n;
};

struct answer_reason {
	char name[32], text[64];
	uint64_t n;
};

struct answer_owner {
	char name[256];
	uint64_t folios, frames, pinned;
};

struct answer_hold {
	char reason[32], text[64], owner[256], site[544];
	uint64_t thread, pins, frames, age_ns;
	bool stays;
};

struct answer_cell {
	uint64_t used, folios, pinned, claimed;
};

struct answer_blocker {
	char reason[32], text[64], owner[256], site[544];
	uint64_t frame, thread, age_ns;
	int64_t code;
};

struct answer_plan {
	char state[16];
	int64_t code;
	uint64_t number, age_ns, elapsed_ns;
	uint64_t frames, count; /* count 0: as many as there can be */
	uint64_t runs, bytes, lower_bound_bytes;
	uint64_t obtained, bytes_moved, folios_moved, folios_failed, replans, blockers_all;
	size_t stays, blockers;
	struct answer_reason stay[ANSWER_REASONS];
	struct answer_blocker blocker[ANSWER_BLOCKERS];
};

/* What works in the background. */
struct answer_background {
	char state[96]; /* "": nothing does, or did */
	uint64_t runs_free, runs_wanted, blockers, steps, in_vain, runs;
	uint64_t moved_bytes, given_back_bytes, worked_ns, wakeups;
};

struct answer {
	uint64_t process;
	char program[256], version[64];
	char error[256]; /* what the server says is wrong; "": nothing */
	size_t states, counters, reasons, lefts, owners, holds, cells, plans;
	struct answer_number state[ANSWER_NUMBERS];
	struct answer_number counter[ANSWER_NUMBERS];
	struct answer_reason reason[ANSWER_REASONS]; /* not moved */
	struct answer_number left[ANSWER_NUMBERS];   /* what the server had no row for */
	struct answer_owner owner[ANSWER_OWNERS];
	struct answer_hold hold[ANSWER_HOLDS];
	uint64_t blocks, per, looked; /* of the arena; blocks a cell */
	struct answer_cell cell[ANSWER_CELLS];
	struct answer_plan plan[ANSWER_PLANS]; /* the newest first */
	struct answer_background background;
	size_t dropped; /* rows without room here */
};

/*
 * Takes n bytes apart. 0; or -EBADMSG, and err says what is wrong with them in one line, and
 * nothing of *answer means anything.
 */
int answer_parse(const char *text, size_t n, struct answer *answer, char *err, size_t err_size);

/* The state or counter of that name, or 0. */
uint64_t answer_number(const struct answer_number *number, size_t n, const char *name);

#endif
