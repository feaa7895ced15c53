/* SPDX-License-Identifier: MIT */
/*
 * ask.h: a server for a test, in a folder of the program's own, and a good client of it: that of
 * `quire explain`.
 */
#ifndef QUIRE_TESTS_ASK_H
#define QUIRE_TESTS_ASK_H

#include "support.h"

#include <answer.h>
#include <client.h>
#include <unistd.h>

struct served {
	struct quire_server *server;
	struct answer *a; /* what it said last */
};

/* Of a group of tests: makes the folder and removes it with what is left in it. */
int ask_setup(void **state);
int ask_teardown(void **state);
/* A path in that folder; of four calls ago at most. */
const char *ask_path(const char *name);
extern char ask_folder[64];

/* Serves under a name that no other server has. */
void serve(struct quire *quire, struct served *served);
void serve_end(struct served *served);
/* Asks; it must answer well. Also to be called from points and ops: then by CHECK. */
void ask(struct served *served);

/* NULL: there is none. */
const struct answer_owner *owner_of(const struct served *served, const char *name);
const struct answer_hold *hold_of(const struct served *served, const char *reason,
				  const char *owner);

/* A connection that waits for nothing; -1 and errno. */
int connection(const char *path);
/* Reads until the other end closes, 10 seconds at most; returns how many bytes, or -1. */
long read_all(int fd, char *to, size_t room);

#endif
