// SPDX-License-Identifier: MIT
/*
 * test_gem_undo.c: every step of gem that can want memory, or a thread, does without once.
 *
 * The linker hands malloc, calloc and pthread_create of this program to the functions below; the
 * nth of such calls of the thread that arms them fails. The library's own are among them.
 */
#include "gem_rig.h"

#include <stdlib.h>

static __thread uint64_t left; /* calls until one fails; 0: none will */
static __thread bool fired;

static bool fails(void)
{
	if (!left || --left)
		return false;
	fired = true;
	return true;
}

static void arm(uint64_t nth)
{
	fired = false;
	left = nth;
}

static bool disarm(void)
{
	left = 0;
	return fired;
}

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg)
{
	return fails() ? EAGAIN : __real_pthread_create(thread, attr, run, arg);
}

static void test_gem_create_undone_at_each_step(void **state)
{
	struct quire *q = make_quire(1);
	struct gem *gem = NULL;
	unsigned without_memory = 0, without_thread = 0;
	int rc;

	(void)state;
	for (uint64_t n = 1;; n++) {
		arm(n);
		rc = gem_create(q, NULL, &gem);
		if (!disarm())
			break;
		without_memory += rc == -ENOMEM;
		without_thread += rc == -EAGAIN;
		assert_null(gem);
	}
	assert_int_equal(rc, 0);
	/* itself, its jobs, its TLB, its owner */
	assert_true(without_memory >= 4);
	assert_int_equal(without_thread, 1);
	assert_int_equal(gem_destroy(gem), 0);
	end_quire(q);
}

static void test_gem_object_create_undone_at_each_step(void **state)
{
	struct rig rig;
	struct gem_object *object = NULL;
	unsigned undone = 0;
	int rc;

	(void)state;
	rig_start(&rig);
	for (uint64_t n = 1;; n++) {
		arm(n);
		rc = gem_object_create(rig.g, 3 * FRAME, 1, &object);
		if (!disarm())
			break;
		undone += rc == -ENOMEM;
		if (!rc) /* a short pin had another way */
			gem_object_put(object);
		object = NULL;
		assert_int_equal(gs(&rig).objects, 0);
		assert_int_equal(gs(&rig).folios, 0);
		assert_frames_free(rig.q, rig.frames);
	}
	assert_int_equal(rc, 0);
	assert_true(undone >= 2);
	fill(&rig, object, 1);
	assert_true(is_right(&rig, object, 1));
	rig_end(&rig);
}

/* Without memory for a fence it is -EAGAIN as well, tried again by the clock. */
static void test_gem_busy_without_memory_for_a_fence(void **state)
{
	struct quire_fence *fence = NULL;
	struct gem_ticket ticket;
	struct quire_move move;
	unsigned without = 0;
	struct rig rig;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 1, 0);
	rig.on_job = job_stops;
	submit_fill(&rig, rig.a, 1);
	gate_pass(&rig.other);
	for (uint64_t n = 1;; n++) {
		memset(&move, 0, sizeof(move));
		move.folio = gem_object_folio(rig.a, 0);
		arm(n);
		if (quire_move_folios(rig.q, &move, 1, QUIRE_ASYNC, 0) == 1) {
			assert_int_equal(move.code, -EAGAIN);
			assert_int_equal(move.who.why == QUIRE_REASON_FENCE, move.wait != NULL);
			without += move.who.why == QUIRE_REASON_OWNER_BUSY;
		}
		if (!disarm())
			break;
		quire_fence_put(move.wait);
	}
	assert_int_equal(without, 1);
	assert_int_equal(move.who.why, QUIRE_REASON_FENCE);
	quire_fence_put(move.wait);
	rig.on_job = NULL;
	gate_open(&rig.gate);
	assert_int_equal(gem_idle(rig.g, 0), 0);
	rig.on_job = job_stops;
	ticket = submit_fill(&rig, rig.a, 1);
	gate_pass(&rig.other);
	arm(1);
	assert_int_equal(gem_fence(rig.g, ticket, &fence), -ENOMEM);
	assert_true(disarm());
	assert_null(fence);
	rig.on_job = NULL;
	gate_open(&rig.gate);
	assert_int_equal(gem_idle(rig.g, 0), 0);
	rig_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_gem_create_undone_at_each_step),
		TEST(test_gem_object_create_undone_at_each_step),
		TEST(test_gem_busy_without_memory_for_a_fence),
	};

	return cmocka_run_group_tests_name("gem_undo", tests, NULL, NULL);
}
