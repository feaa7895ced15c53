// SPDX-License-Identifier: MIT
/*
 * test_gem_jobs.c: gem by itself: jobs against a model, the queue, the end.
 *
 * QUIRE_SEED sets the seed of the model test, QUIRE_GEM_JOBS its number of jobs.
 */
#include "gem_rig.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- jobs --------------------------------------------------------------------------------- */

static void test_gem_bad_jobs_are_refused(void **state)
{
	struct rig rig, second;
	struct gem_object *a, *b, *foreign;

	(void)state;
	rig_start(&rig);
	rig_start(&second);
	a = object_of(&rig, 2, 0);
	b = object_of(&rig, 1, 0);
	foreign = object_of(&second, 1, 0);
	const struct {
		struct gem_job job;
		int code;
	} cases[] = {
#define J(...) { .size = sizeof(struct gem_job), __VA_ARGS__ }
		{ J(.kind = GEM_FILL, .bytes = 8), -EINVAL },
		{ J(.kind = GEM_FILL, .dst = a), -EINVAL },
		{ J(.kind = GEM_FILL, .dst = a, .bytes = 4), -EINVAL },
		{ J(.kind = GEM_FILL, .dst = a, .dst_at = 4, .bytes = 8), -EINVAL },
		{ J(.kind = GEM_FILL, .dst = a, .src = b, .bytes = 8), -EINVAL },
		{ J(.kind = GEM_FILL, .dst = a, .dst_at = 2 * FRAME, .bytes = 8), -ERANGE },
		{ J(.kind = GEM_FILL, .dst = a, .dst_at = 8, .bytes = 2 * FRAME), -ERANGE },
		{ J(.kind = GEM_FILL, .dst = a, .dst_at = 8, .bytes = UINT64_MAX - 7), -ERANGE },
		{ J(.kind = GEM_FILL, .dst = a, .dst_at = UINT64_MAX - 7, .bytes = 8), -ERANGE },
		{ J(.kind = GEM_FILL, .dst = foreign, .bytes = 8), -EINVAL },
		{ J(.kind = GEM_COPY, .dst = a, .bytes = 8), -EINVAL },
		{ J(.kind = GEM_COPY, .src = a, .bytes = 8), -EINVAL },
		{ J(.kind = GEM_COPY, .dst = a, .src = foreign, .bytes = 8), -EINVAL },
		{ J(.kind = GEM_COPY, .dst = a, .src = b, .bytes = 2 * FRAME), -ERANGE },
		{ J(.kind = GEM_COPY, .dst = a, .src = a, .src_at = 8, .bytes = 16), -EINVAL },
		{ J(.kind = GEM_BLUR, .dst = a, .src = a, .bytes = 16), -EINVAL },
		{ J(.kind = GEM_SUM, .src = a, .dst = b, .bytes = 8), -EINVAL },
		{ J(.kind = GEM_SUM, .bytes = 8), -EINVAL },
		{ J(.kind = (enum gem_job_kind)4, .dst = a, .src = b, .bytes = 8), -EINVAL },
		{ { .size = 1, .kind = GEM_FILL, .dst = a, .bytes = 8 }, -EINVAL },
#undef J
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (gem_submit(rig.g, &cases[i].job, NULL) != cases[i].code)
			fail_msg("case %zu", i);
	assert_int_equal(gem_submit(rig.g, NULL, NULL), -EINVAL);
	assert_int_equal(gs(&rig).submitted, 0);
	rig_end(&second);
	rig_end(&rig);
}

/* The same jobs on plain memory. */
static uint64_t model(const struct gem_job *job, unsigned char *dst, const unsigned char *src)
{
	uint64_t sum = 0, word;

	for (uint64_t i = 0; i < job->bytes; i++) {
		unsigned left, mid, right;

		switch (job->kind) {
		case GEM_FILL:
			word = gem_fill_word(job->value, (job->dst_at + i) / 8);
			dst[i] = (unsigned char)(word >> 8 * (i % 8));
			break;
		case GEM_COPY:
			dst[i] = src[i];
			break;
		case GEM_BLUR:
			mid = src[i];
			left = i ? src[i - 1] : mid;
			right = i + 1 < job->bytes ? src[i + 1] : mid;
			dst[i] = (unsigned char)((left + mid + right) / 3);
			break;
		case GEM_SUM:
			if (i % 8)
				break;
			memcpy(&word, src + i, 8);
			sum += gem_sum_word(i / 8, word);
			break;
		}
	}
	return sum;
}

#define OBJECTS 4u

static void random_jobs(uint32_t tlb, uint64_t seed, uint64_t jobs)
{
	static const unsigned frames[OBJECTS] = { 1, 7, 19, 40 };
	static const unsigned orders[OBJECTS] = { 0, 0, 3, 5 };
	struct gem_object *object[OBJECTS];
	unsigned char *bytes[OBJECTS], back[FRAME];
	uint64_t kinds[4] = { 0 };
	struct rig rig;

	rig_start_by(&rig, GEM_OPTIONS(.tlb = tlb));
	for (unsigned i = 0; i < OBJECTS; i++) {
		object[i] = object_of(&rig, frames[i], orders[i]);
		bytes[i] = calloc(frames[i], FRAME);
		assert_non_null(bytes[i]);
	}
	for (uint64_t n = 0; n < jobs; n++) {
		unsigned d = prng(&seed) % OBJECTS, s = prng(&seed) % OBJECTS;
		enum gem_job_kind kind = prng(&seed) % 4;
		uint64_t dw = gem_object_bytes(object[d]) / 8, sw = gem_object_bytes(object[s]) / 8;
		uint64_t most = kind == GEM_FILL ? dw : kind == GEM_SUM || sw < dw ? sw : dw;
		uint64_t words = 1 + prng(&seed) % (prng(&seed) % 2 ? most : most < 9 ? most : 9);
		struct gem_job job = { .size = sizeof(job), .kind = kind, .bytes = words * 8 };
		struct gem_done done;

		if (kind != GEM_SUM) {
			job.dst = object[d];
			job.dst_at = prng(&seed) % (dw - words + 1) * 8;
		}
		if (kind != GEM_FILL) {
			job.src = object[s];
			job.src_at = prng(&seed) % (sw - words + 1) * 8;
		}
		job.value = prng(&seed);
		if (job.dst == job.src && job.dst_at < job.src_at + job.bytes &&
		    job.src_at < job.dst_at + job.bytes)
			continue;
		kinds[kind]++;
		done = run_job(&rig, &job);
		assert_int_equal(done.code, 0);
		assert_int_equal(done.sum, model(&job, job.dst ? bytes[d] + job.dst_at : NULL,
						 job.src ? bytes[s] + job.src_at : NULL));
		if (prng(&seed) % 8 == 0)
			assert_int_equal(move_object(&rig, object[d], prng(&seed) % 3, NULL), 0);
	}
	for (unsigned i = 0; i < OBJECTS; i++) {
		for (unsigned f = 0; f < frames[i]; f++) {
			assert_int_equal(gem_object_read(object[i], f * FRAME, back, FRAME), 0);
			assert_memory_equal(back, bytes[i] + f * FRAME, FRAME);
		}
		free(bytes[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_true(kinds[i] > jobs / 8);
	rig_end(&rig);
}

static void test_gem_jobs_do_what_they_say(void **state)
{
	uint64_t seed = seed_of("jobs", 4), jobs = number_of("QUIRE_GEM_JOBS", 600);

	(void)state;
	random_jobs(1, seed, jobs);
	random_jobs(64, seed, jobs);
}

static void test_gem_a_sum_notices_two_words_that_change_places(void **state)
{
	struct rig rig;
	struct gem_object *object;
	uint64_t words[2], before;

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 2, 0);
	fill(&rig, object, 1);
	before = sum_of(&rig, object);
	assert_int_equal(before, sum_if_filled(object, 1));
	words[0] = gem_fill_word(1, 512);
	words[1] = gem_fill_word(1, 0);
	assert_int_equal(gem_object_write(object, 0, &words[0], 8), 0);
	assert_int_equal(gem_object_write(object, FRAME, &words[1], 8), 0);
	assert_int_not_equal(sum_of(&rig, object), before);
	rig_end(&rig);
}

static void test_gem_the_tlb_caches_and_is_emptied(void **state)
{
	struct rig rig;
	struct gem_object *object;
	struct gem_stats s;

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 3, 0);
	fill(&rig, object, 1);
	s = gs(&rig);
	assert_int_equal(s.tlb_misses, 3);
	assert_int_equal(s.tlb_hits, 0);
	sum_of(&rig, object);
	s = gs(&rig);
	assert_int_equal(s.tlb_misses, 3);
	assert_int_equal(s.tlb_hits, 3);
	assert_int_equal(s.tlb_flushes, 0);
	assert_int_equal(s.binds, 1);
	assert_int_equal(s.pins, 3);
	assert_int_equal(gem_object_unbind(object, 0), 0);
	assert_false(gem_object_bound(object));
	s = gs(&rig);
	assert_int_equal(s.unpins, 3);
	assert_int_equal(s.pinned_bytes, 0);
	assert_int_equal(gem_object_unbind(object, 0), 0);
	assert_int_equal(gs(&rig).flushes, 1);
	sum_of(&rig, object);
	s = gs(&rig);
	assert_int_equal(s.tlb_misses, 6);
	assert_int_equal(s.tlb_flushes, 1);
	assert_int_equal(s.rebinds, 1);
	rig_end(&rig);
}

static void test_gem_bind_touches_nothing(void **state)
{
	struct rig rig;
	struct gem_object *object;
	unsigned fired = 0;
	int rc;

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 3, 1);
	fill(&rig, object, 1);
	assert_int_equal(gem_object_unbind(object, 0), 0);
	for (uint64_t n = 1;; n++) {
		quire_fault_arm_(NULL, n, -ENOMEM);
		rc = gem_object_bind(object, 0);
		if (!quire_fault_disarm_())
			break;
		fired++;
		assert_int_equal(rc, -ENOMEM);
		assert_false(gem_object_bound(object));
		assert_int_equal(gs(&rig).pinned_bytes, 0);
	}
	assert_int_equal(rc, 0);
	assert_int_equal(fired, 2);
	assert_true(gem_object_bound(object));
	assert_int_equal(gs(&rig).pinned_bytes, 3 * FRAME);
	assert_int_equal(gs(&rig).job_bytes, 3 * FRAME);
	assert_true(is_right(&rig, object, 1));
	rig_end(&rig);
}

/* --- the queue ---------------------------------------------------------------------------- */

static void deadlocks(struct rig *rig, struct gem_ticket ticket)
{
	CHECK(gem_wait(rig->g, ticket, 0) == -EDEADLK);
	CHECK(gem_idle(rig->g, 0) == -EDEADLK);
	CHECK(gem_destroy(rig->g) == -EDEADLK);
	CHECK(gem_object_unbind(rig->a, 0) == -EDEADLK);
	CHECK(gem_object_bind(rig->a, 0) == -EDEADLK);
	CHECK(gem_submit(rig->g, GEM_JOB(.kind = GEM_SUM, .src = rig->a, .bytes = 8), NULL) ==
	      -EDEADLK);
}

static void test_gem_the_engine_cannot_wait_for_itself(void **state)
{
	struct rig rig;

	(void)state;
	rig_start_by(&rig, GEM_OPTIONS(.queue = 1));
	rig.a = object_of(&rig, 1, 0);
	rig.on_job = deadlocks;
	fill(&rig, rig.a, 1);
	rig.on_job = NULL;
	rig_end(&rig);
}

static void submit_one(void *arg)
{
	struct rig *rig = arg;

	rig->code = gem_submit(rig->g, GEM_JOB(.kind = GEM_SUM, .src = rig->a, .bytes = 8), NULL);
}

static void test_gem_a_full_queue(void **state)
{
	struct rig rig;

	(void)state;
	rig_start_by(&rig, GEM_OPTIONS(.queue = 2, .depth = 1));
	rig.a = object_of(&rig, 1, 0);
	rig.on_job = job_stops;
	submit_fill(&rig, rig.a, 1);
	submit_fill(&rig, rig.a, 2);
	gate_pass(&rig.other);
	assert_int_equal(
		gem_submit(rig.g, GEM_JOB(.kind = GEM_SUM, .src = rig.a, .bytes = 8, .no_wait = 1),
			   NULL),
		-EAGAIN);
	assert_int_equal(gs(&rig).queued, 2);
	assert_int_equal(gem_idle(rig.g, 1), -ETIMEDOUT);
	hand_start(&rig.hand);
	hand_post(&rig.hand, submit_one, &rig);
	rig.on_job = NULL;
	gate_open(&rig.gate);
	hand_stop(&rig.hand);
	assert_int_equal(rig.code, 0);
	assert_int_equal(gem_idle(rig.g, 0), 0);
	assert_int_equal(gs(&rig).jobs, 3);
	rig_end(&rig);
}

static void test_gem_a_full_queue_has_a_deadline(void **state)
{
	struct rig rig;

	(void)state;
	rig_start_by(&rig, GEM_OPTIONS(.queue = 1, .deadline_ns = 1));
	rig.a = object_of(&rig, 1, 0);
	rig.on_job = job_stops;
	submit_fill(&rig, rig.a, 1);
	gate_pass(&rig.other);
	assert_int_equal(
		gem_submit(rig.g, GEM_JOB(.kind = GEM_SUM, .src = rig.a, .bytes = 8), NULL),
		-ETIMEDOUT);
	assert_int_equal(gem_object_unbind(rig.a, 0), -ETIMEDOUT);
	assert_int_equal(gem_object_bind(rig.a, 0), -ETIMEDOUT);
	assert_int_equal(gem_destroy(rig.g), -ETIMEDOUT);
	assert_true(gem_object_bound(rig.a));
	rig.on_job = NULL;
	gate_open(&rig.gate);
	assert_int_equal(gem_idle(rig.g, 20 * SEC), 0);
	assert_int_equal(gem_destroy(rig.g), 0);
	end_quire(rig.q);
}

/* The bind comes later, when who asked for it has gone. */
static void test_gem_a_bind_that_is_not_waited_for(void **state)
{
	struct rig rig;
	struct gem_object *other;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 1, 0);
	other = object_of(&rig, 1, 0);
	rig.on_job = job_stops;
	submit_fill(&rig, other, 1);
	gate_pass(&rig.other);
	assert_int_equal(gem_object_bind(rig.a, 1), -ETIMEDOUT);
	assert_false(gem_object_bound(rig.a));
	rig.on_job = NULL;
	gate_open(&rig.gate);
	assert_int_equal(gem_idle(rig.g, 0), 0);
	assert_true(gem_object_bound(rig.a));
	rig_end(&rig);
}

/* Sixteen words wander through eight objects, one copy after the other. */
static void test_gem_jobs_that_share_an_object_keep_their_order(void **state)
{
	struct rig rig;
	struct gem_object *object[8];
	uint64_t word;

	(void)state;
	rig_start_by(&rig, GEM_OPTIONS(.depth = 8));
	for (unsigned i = 0; i < 8; i++)
		object[i] = object_of(&rig, 1, 0);
	for (uint64_t round = 0; round < 16; round++) {
		submit_fill(&rig, object[0], round);
		for (unsigned i = 0; i + 1 < 8; i++)
			assert_int_equal(
				gem_submit(rig.g,
					   GEM_JOB(.kind = GEM_COPY, .src = object[i],
						   .dst = object[i + 1], .src_at = round * 8,
						   .dst_at = round * 8, .bytes = 8),
					   NULL),
				0);
	}
	assert_int_equal(gem_idle(rig.g, 0), 0);
	for (uint64_t round = 0; round < 16; round++) {
		assert_int_equal(gem_object_read(object[7], round * 8, &word, 8), 0);
		assert_int_equal(word, gem_fill_word(round, round));
	}
	rig_end(&rig);
}

static void test_gem_a_jobs_fence(void **state)
{
	struct rig rig;
	struct quire_fence *first = NULL, *last = NULL, *none = NULL;
	struct gem_ticket a, b;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 1, 0);
	rig.on_job = job_stops;
	a = submit_fill(&rig, rig.a, 1);
	b = submit_fill(&rig, rig.a, 2);
	gate_pass(&rig.other);
	assert_int_equal(gem_fence(rig.g, a, &first), 0);
	assert_int_equal(gem_fence(rig.g, b, &last), 0);
	assert_string_equal(quire_fence_name(first), "gem job 1");
	assert_false(quire_fence_signaled(first));
	gate_open(&rig.gate);
	gate_pass(&rig.other);
	assert_true(quire_fence_signaled(first));
	assert_false(quire_fence_signaled(last));
	rig.on_job = NULL;
	gate_open(&rig.gate);
	assert_int_equal(quire_fence_wait(last, 20 * SEC), 0);
	assert_int_equal(gem_fence(rig.g, a, &none), -ENOENT);
	assert_int_equal(gem_fence(rig.g, b, &none), -ENOENT);
	assert_int_equal(gem_fence(rig.g, (struct gem_ticket){ 0 }, &none), -ENOENT);
	quire_fence_put(first);
	quire_fence_put(last);
	rig_end(&rig);
}

/* --- ends --------------------------------------------------------------------------------- */

static void test_gem_jobs_keep_their_objects(void **state)
{
	struct rig rig;
	struct gem_object *a, *b;
	struct gem_done done = { .code = 1 };

	(void)state;
	rig_start(&rig);
	a = object_of(&rig, 2, 0);
	b = object_of(&rig, 2, 0);
	rig.on_job = job_stops;
	submit_fill(&rig, a, 3);
	gate_pass(&rig.other);
	assert_int_equal(
		gem_submit(rig.g, GEM_JOB(.kind = GEM_COPY, .dst = b, .src = a, .bytes = 2 * FRAME),
			   NULL),
		0);
	assert_int_equal(
		gem_submit(rig.g,
			   GEM_JOB(.kind = GEM_SUM, .src = b, .bytes = 2 * FRAME, .done = &done),
			   NULL),
		0);
	gem_object_put(gem_object_get(a));
	gem_object_put(a);
	gem_object_put(b);
	assert_int_equal(gs(&rig).objects, 2);
	rig.on_job = NULL;
	gate_open(&rig.gate);
	assert_int_equal(gem_idle(rig.g, 0), 0);
	assert_int_equal(done.code, 0);
	a = object_of(&rig, 2, 0);
	assert_int_equal(done.sum, sum_if_filled(a, 3));
	rig_end(&rig);
}

/* Stops the engine where it takes the last job's object down. */
static void stop_here(void *arg)
{
	struct rig *rig = arg;

	gate_open(&rig->other);
	gate_pass(&rig->gate);
}

static void wait_until_idle(void *arg)
{
	struct rig *rig = arg;

	rig->code = gem_idle(rig->g, 20 * SEC);
	PUT(&rig->done.code, (int)gs(rig).folios);
}

static void test_gem_idle_is_after_the_last_objects_are_gone(void **state)
{
	struct gem_ticket ticket;
	struct rig rig;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 1, 0);
	at_point_nth("put:zero", gem_object_folio(rig.a, 0), 1, 1, stop_here, &rig);
	rig.on_job = job_stops;
	ticket = submit_fill(&rig, rig.a, 2);
	gate_pass(&rig.other);
	gem_object_put(rig.a);
	rig.on_job = NULL;
	gate_open(&rig.gate);
	gate_pass(&rig.other);
	/* the job is done, its object on the way */
	assert_int_equal(gem_wait(rig.g, ticket, 0), 0);
	assert_int_equal(gem_idle(rig.g, 1), -ETIMEDOUT);
	hand_start(&rig.hand);
	hand_post(&rig.hand, wait_until_idle, &rig);
	gate_open(&rig.gate);
	hand_stop(&rig.hand);
	assert_int_equal(rig.code, 0);
	assert_int_equal(rig.done.code, 0);
	rig_end(&rig);
}

static void test_gem_destroy_waits_and_drops_what_is_left(void **state)
{
	struct rig rig;
	struct gem_done done = { .code = 1 };

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 2, 0);
	rig.b = gem_object_get(object_of(&rig, 2, 0));
	for (uint64_t i = 0; i < 50; i++)
		submit_fill(&rig, rig.a, i);
	assert_int_equal(gem_submit(rig.g,
				    GEM_JOB(.kind = GEM_SUM, .src = rig.a, .bytes = 2 * FRAME,
					    .done = &done),
				    NULL),
			 0);
	assert_int_equal(gem_destroy(rig.g), 0);
	assert_int_equal(done.code, 0);
	assert_int_not_equal(done.sum, 0);
	assert_frames_free(rig.q, rig.frames);
	end_quire(rig.q);
}

static void put_a(void *arg)
{
	gem_object_put(((struct rig *)arg)->a);
}

static void submit_on_what_is_gone(struct rig *rig, struct quire_folio *folio)
{
	rig->code = gem_submit(
		rig->g, GEM_JOB(.kind = GEM_SUM, .src = gem_folio_object(folio, NULL), .bytes = 8),
		NULL);
}

static void test_gem_an_object_that_is_gone_takes_no_job(void **state)
{
	struct rig rig;
	struct quire_folio *folio;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 1, 0);
	folio = gem_object_folio(rig.a, 0);
	assert_true(quire_folio_get(folio));
	at_point_nth("isolate:marked", folio, 1, 1, put_a, &rig);
	rig.on_isolate = submit_on_what_is_gone;
	assert_int_equal(move_folio(folio, QUIRE_SYNC, 0).code, 0);
	assert_int_equal(rig.code, -ESTALE);
	quire_folio_put(folio);
	rig_end(&rig);
}

static void test_gem_in_a_child_of_fork(void **state)
{
	struct rig rig;
	struct gem_object *made;
	int status = 0;
	pid_t child;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 1, 0);
	fill(&rig, rig.a, 1);
	child = fork();
	if (child == 0) {
		struct gem_job job = {
			.size = sizeof(job), .kind = GEM_SUM, .src = rig.a, .bytes = 8
		};
		int wrong = (gem_submit(rig.g, &job, NULL) != -ENXIO) +
			    2 * (gem_object_create(rig.g, 1, 0, &made) != -ENXIO) +
			    4 * (gem_destroy(rig.g) != 0);

		_exit(wrong);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_true(is_right(&rig, rig.a, 1));
	rig_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_gem_bad_jobs_are_refused),
		TEST(test_gem_jobs_do_what_they_say),
		TEST(test_gem_a_sum_notices_two_words_that_change_places),
		TEST(test_gem_the_tlb_caches_and_is_emptied),
		TEST(test_gem_bind_touches_nothing),
		TEST(test_gem_the_engine_cannot_wait_for_itself),
		TEST(test_gem_a_full_queue),
		TEST(test_gem_a_full_queue_has_a_deadline),
		TEST(test_gem_a_bind_that_is_not_waited_for),
		TEST(test_gem_jobs_that_share_an_object_keep_their_order),
		TEST(test_gem_a_jobs_fence),
		TEST(test_gem_jobs_keep_their_objects),
		TEST(test_gem_idle_is_after_the_last_objects_are_gone),
		TEST(test_gem_destroy_waits_and_drops_what_is_left),
		TEST(test_gem_an_object_that_is_gone_takes_no_job),
		TEST(test_gem_in_a_child_of_fork),
	};

	return cmocka_run_group_tests_name("gem_jobs", tests, NULL, NULL);
}
