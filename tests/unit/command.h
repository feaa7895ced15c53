/* SPDX-License-Identifier: MIT */
/*
 * command.h: running the quire command from a test: arguments, limits, what it printed, and the
 * made-up layout that it squeezes.
 */
#ifndef QUIRE_TESTS_COMMAND_H
#define QUIRE_TESTS_COMMAND_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#define COMMAND_ARGS 16

/* The sanitizers' shadow takes more address space than a limit would leave. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define COMMAND_TSAN 1
#else
#define COMMAND_TSAN 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COMMAND_SANITIZED 1
#else
#define COMMAND_SANITIZED 0
#endif

/* The program; set by main(). */
extern const char *command;
/* Called in the child before it becomes the program. */
extern void (*command_in_child)(void);

/* What it printed, and its exit status; -1 if a signal ended it. */
struct outcome {
	int status;
	char *out, *err;
};

/* A folder of this test's own, and a file in it; four names live at a time. */
void folder_make(void);
/* Removes these files, and the folder. */
int folder_remove(const char *const names[], size_t n);
const char *path(const char *name);
/* How many files there are whose names begin so. */
unsigned files_like(const char *start);

char *slurp(const char *name);
void spit(const char *name, const void *data, size_t n);

/* The words of a line as arguments; `''` stands for an empty one. */
void split(char *line, char *argv[COMMAND_ARGS]);
int wait_for(pid_t child);
struct outcome run(const char *format, ...) __attribute__((format(printf, 1, 2)));
void done(struct outcome *outcome);
unsigned lines(const char *text);

/* A made-up layout: blocks far apart, a third full, orders 0 to 3. Returns its length. */
size_t make_layout(char *text, size_t size, unsigned blocks);

/* Of a JSON object that has the key, with that type of value. */
json_t *get(json_t *object, const char *key);
long long whole(json_t *object, const char *key);
double real(json_t *object, const char *key);

#endif
