/* SPDX-License-Identifier: MIT */
/*
 * support.h: what the tests share.
 *
 *  - CHECK: an assertion for places that cmocka's must not leave by longjmp: owners' ops, sync
 *    points, other threads. It notes the failure; the test's teardown fails for it.
 *  - probe, item: an owner that counts its ops, answers by a script, and keeps for every folio the
 *    ledger of contract C16: isolated == moved + putback + freed while isolated.
 *  - at_point: a function run at a sync point; hand: another thread that does what it is told, so
 *    that a test orders the steps of two threads exactly and never sleeps.
 */
#ifndef QUIRE_TESTS_SUPPORT_H
#define QUIRE_TESTS_SUPPORT_H

/* The order that cmocka.h asks for. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <pthread.h>
#include <quire.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <util/points.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define MSEC 1000000ull
#define SEC 1000000000ull
/* Where tests start the clock that they move. */
#define CLOCK_START (100 * SEC)

/* --- checks ------------------------------------------------------------------------------- */

#define CHECK(expr) check_note_(!!(expr), #expr, QUIRE_SITE)
bool check_note_(bool ok, const char *expr, const char *site);
/* Failures noted since the test began. */
unsigned checks_failed(void);

/* Around every test: no hook, the real clock, no armed fault; afterwards no failed CHECK. */
int support_setup(void **state);
int support_teardown(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, support_setup, support_teardown)

/* Atomic counters of tests. */
#define BUMP(p) __atomic_add_fetch((p), 1u, __ATOMIC_SEQ_CST)
#define SEE(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define PUT(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)

/* The kernel's id of this thread, as blockers name it. */
int thread_id(void);

/* A small generator; the same numbers for the same seed, everywhere. */
uint64_t prng(uint64_t *state);
/* QUIRE_SEED, else the default; printed, so that a failure can be run again. */
uint64_t seed_of(const char *what, uint64_t otherwise);
uint64_t number_of(const char *name, uint64_t otherwise);

/* --- a quire ------------------------------------------------------------------------------ */

struct quire *make_quire(unsigned blocks);
/* src/folio/folios.h: NULL, or which invariant of the whole structure does not hold. */
#ifndef QUIRE_SRC_FOLIO_FOLIOS_H
const char *folios_validate(struct quire *quire);
#endif
/* Validates and destroys it; nothing may run, and nothing may be left that forbids that. */
void end_quire(struct quire *quire);
struct quire_stats stats_of(struct quire *quire);
/* Reclaims: nothing may be waiting any more, and so many frames are free. */
void assert_frames_free(struct quire *quire, uint64_t frames);
/* Blocks in which nothing lives. */
unsigned empty_blocks(struct quire *quire);
/* isolated == moved + putbacks + freed_isolated, over the whole quire. */
void assert_ledger_closed(struct quire *quire);

/* --- owners and folios -------------------------------------------------------------------- */

struct item;

/* Answers of an op, call by call; the last one stays. None: 0. */
struct script {
	unsigned n;
	int answers[15];
	unsigned at;
};
#define SCRIPT(...)                                                                                \
	((struct script){ .n = COUNT_OF(((int[]){ __VA_ARGS__ })), .answers = { __VA_ARGS__ } })

enum {
	OP_NONE = 0, /* no table at all */
	OP_ISOLATE = 1,
	OP_MIGRATE = 2,
	OP_PUTBACK = 4,
	OP_FREE = 8,
	OP_ALL = 15,
};

struct probe {
	struct quire *quire;
	struct quire_owner *owner;
	struct quire_owner_ops ops;
	/* calls */
	unsigned isolates, migrates, putbacks, frees;
	enum quire_mode mode;  /* of the latest isolate or migrate */
	int thread;	       /* of the latest op */
	unsigned batch_frames; /* the largest batch seen */
	struct script isolate_says, migrate_says;
	/* Run inside of the ops. on_migrate is handed the script's answer and returns the op's. */
	void (*on_isolate)(struct probe *probe, struct quire_folio *folio);
	int (*on_migrate)(struct probe *probe, struct quire_batch *batch, int answer);
	void (*on_putback)(struct probe *probe, struct quire_folio *folio);
	void (*on_free)(struct probe *probe, struct quire_folio *folio);
	void *arg;
};

void make_probe(struct quire *quire, const char *name, unsigned ops, struct probe *probe);
/* What an owner without on_migrate does: answers by script, commits where that is 0. */
int probe_commit(struct probe *probe, struct quire_batch *batch, int answer);

/* One folio of a test: its private pointer leads here. Its probe must outlive it. */
struct item {
	struct quire_folio *folio;
	struct probe *probe;
	uint64_t cookie;
	unsigned order;
	/* the ledger */
	unsigned isolated, offered, moved, putback, freed, freed_taken;
	unsigned taken; /* 1: isolated now */
	int free_thread;
	enum quire_free_reason free_reason;
};

#define ANYWHERE quire_frame(QUIRE_FRAME_NONE_N)
/* Makes a folio and fills it from its cookie. */
void place(struct probe *probe, struct item *item, unsigned order, struct quire_frame at,
	   uint64_t cookie);
/* n of them, of one order, side by side from a frame on. */
void place_row(struct probe *probe, struct item *items, size_t n, unsigned order, uint32_t at,
	       uint64_t cookie);
void drop(struct item *item);
void drop_row(struct item *items, size_t n);
uint32_t at_frame(const struct item *item);

void content_write(void *to, uint64_t cookie, size_t bytes);
bool content_is(const void *content, uint64_t cookie, size_t bytes);
/* By a pin, by a read section. */
bool item_intact(const struct item *item);
bool item_reads(const struct item *item);
#define assert_intact(item) assert_true(item_intact(item))
void assert_row_intact(const struct item *items, size_t n);
/* C16's equation, and nothing left isolated. */
void assert_item_ledger(const struct item *item);

/* --- moving ------------------------------------------------------------------------------- */

/* Moves one folio; the return value and the result must agree. */
struct quire_move move_folio(struct quire_folio *folio, enum quire_mode mode, uint64_t deadline);
/* Moves a row; returns what quire_move_folios() did. moves may be NULL. */
long move_row(struct item *items, size_t n, struct quire_move *moves, enum quire_mode mode,
	      uint64_t deadline);

/* A quire of four blocks with one folio of order 0, of an owner that has these ops. */
struct one {
	struct quire *q;
	struct probe p;
	struct item it;
	uint64_t free_before;
};
void one_start(struct one *one, unsigned ops);
/* Whatever happened: the content is there, nothing is isolated, no frame is lost. Ends it all. */
void one_end(struct one *one);
/* The same for a folio that was freed: once, and its frames are back. */
void one_end_freed(struct one *one);

/* --- plans -------------------------------------------------------------------------------- */

struct quire_plan *plan_of(struct quire *quire, uint32_t frames, uint64_t count);
struct quire_plan_info info_of(const struct quire_plan *plan);
bool is_claimed(struct quire *quire, uint32_t block);
void assert_nothing_claimed(struct quire *quire);

/* --- points ------------------------------------------------------------------------------- */

struct at_point {
	const char *point;
	const void *what; /* NULL: any */
	unsigned from;	  /* runs at the from-th hit (1: the first) … */
	unsigned times;	  /* … and so many times */
	void (*fn)(void *arg);
	void *arg;
	unsigned hits; /* how often it was passed */
};

/* Registers fn (may be NULL: only count). The rule lives until the test's end. Arms the hook; to be
 * called while no other thread is in the library. */
struct at_point *at_point(const char *point, const void *what, void (*fn)(void *), void *arg);
struct at_point *at_point_nth(const char *point, const void *what, unsigned from, unsigned times,
			      void (*fn)(void *), void *arg);
unsigned hits(const struct at_point *rule);
void no_points(void);

/* --- other threads ------------------------------------------------------------------------ */

struct gate {
	sem_t sem;
};
void gate_init(struct gate *gate);
void gate_open(void *gate); /* struct gate *; fits at_point */
void gate_pass(void *gate);

struct hand {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	void (*fn)(void *arg);
	void *arg;
	bool stop;
	int tid;
};
void hand_start(struct hand *hand);
/* Tells it what to do; returns at once. One thing at a time. */
void hand_post(struct hand *hand, void (*fn)(void *), void *arg);
/* Until it has done it. A hand that takes half a minute fails the whole program. */
void hand_wait(struct hand *hand);
void hand_do(struct hand *hand, void (*fn)(void *), void *arg);
void hand_stop(struct hand *hand);
/* The same, however long what it does takes. */
void hand_join(struct hand *hand);

/* Things for hands and points to do; arg is a struct deed. */
struct deed {
	struct quire_folio *folio;
	struct quire_owner *who; /* of a long pin */
	struct hand *hand;
	struct gate *gate; /* of by_hand_pin_until_it_waits */
	enum quire_mode mode;
	uint64_t deadline;
	/* out */
	void *address;
	const char *site;
	struct quire_pin *pin;
	struct quire_view view;
	struct quire_move move;
	long code;
	bool got;
};
void deed_pin(void *deed);
void deed_unpin(void *deed);
void deed_pin_long(void *deed);
void deed_unpin_long(void *deed);
void deed_put(void *deed);
void deed_get(void *deed);
void deed_move(void *deed);
void deed_enter(void *deed); /* enters a read section, views the folio */
void deed_leave(void *deed);
/* The same, done by deed->hand, and waited for. */
void by_hand_pin(void *deed);
void by_hand_unpin(void *deed);
void by_hand_put(void *deed);
/* Tells the hand to pin and returns when it sleeps (a rule on "pin:waiting" opens deed->gate). */
void by_hand_pin_until_it_waits(void *deed);
void by_hand_pin_long_until_it_waits(void *deed);
void by_hand_move(void *deed);
void by_hand_enter(void *deed);

/* --- two threads and a folio -------------------------------------------------------------- */

/* Two blocks, a folio of order 0, and a hand with a deed on it. */
struct two {
	struct quire *q;
	struct probe p;
	struct item it;
	struct hand hand;
	struct gate gate;
	struct deed d;
	uint32_t old;
};
void two_start(struct two *two);
/* The folio may have been freed in between. */
void two_end(struct two *two);
/* Is this the folio's address, and its content there? */
bool two_here(const struct two *two, const void *address);

/* How many mappings of memory files of quires this process has. */
unsigned arenas_mapped(void);

#endif
