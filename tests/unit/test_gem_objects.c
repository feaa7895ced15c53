// SPDX-License-Identifier: MIT
/*
 * test_gem_objects.c: gem by itself: its objects, its options, its counters, its validation.
 */
#include "gem/internal.h"
#include "gem_rig.h"

/* --- objects ------------------------------------------------------------------------------ */

static void test_gem_folios_of_an_object(void **state)
{
	static const struct {
		uint64_t bytes;
		unsigned order;
		unsigned n;
		uint8_t orders[8];
	} cases[] = {
		{ 1, 0, 1, { 0 } },
		{ FRAME, 9, 1, { 0 } },
		{ FRAME + 1, 0, 2, { 0, 0 } },
		{ 3 * FRAME, 1, 2, { 1, 0 } },
		{ 11 * FRAME, 2, 4, { 2, 2, 1, 0 } },
		{ 7 * FRAME, 2, 3, { 2, 1, 0 } },
		{ 8 * FRAME, 2, 2, { 2, 2 } },
		{ 512 * FRAME, 9, 1, { 9 } },
		{ 521 * FRAME, 9, 3, { 9, 3, 0 } },
	};
	struct rig rig;

	(void)state;
	rig_start(&rig);
	for (size_t c = 0; c < COUNT_OF(cases); c++) {
		struct gem_object *object;
		uint64_t at = 0, found;

		assert_int_equal(gem_object_create(rig.g, cases[c].bytes, cases[c].order, &object),
				 0);
		assert_int_equal(gem_object_folios(object), cases[c].n);
		for (size_t i = 0; i < cases[c].n; i++) {
			struct quire_folio *folio = gem_object_folio(object, i);

			assert_int_equal(quire_folio_order(folio), cases[c].orders[i]);
			assert_ptr_equal(gem_folio_object(folio, &found), object);
			assert_int_equal(found, at);
			assert_ptr_equal(quire_folio_owner(folio), gem_owner(rig.g));
			at += quire_folio_bytes(folio);
		}
		assert_null(gem_object_folio(object, cases[c].n));
		assert_int_equal(gem_object_bytes(object), at);
		assert_false(gem_object_bound(object));
		gem_object_put(object);
		assert_int_equal(gs(&rig).folios, 0);
	}
	gem_object_put(NULL);
	rig_end(&rig);
}

/* Frames that were somebody's secrets are zeros in the next object. */
static void test_gem_content_begins_as_zeros(void **state)
{
	struct rig rig;
	struct gem_object *object;
	char bytes[FRAME];

	(void)state;
	rig_start(&rig);
	for (unsigned i = 0; i < 2; i++) {
		object = object_of(&rig, 512 * 7, 9);
		for (uint64_t at = 0; at < gem_object_bytes(object); at += sizeof(bytes)) {
			assert_int_equal(gem_object_read(object, at, bytes, sizeof(bytes)), 0);
			for (size_t k = 0; k < sizeof(bytes); k++)
				assert_int_equal(bytes[k], 0);
		}
		fill(&rig, object, 5);
		gem_object_put(object);
	}
	rig_end(&rig);
}

static void test_gem_objects_at_given_places(void **state)
{
	const struct gem_place good[] = { { quire_frame(40), 3 },
					  { quire_frame(7), 0 },
					  { quire_frame(512), 9 } };
	const struct gem_place bad[][2] = { { { quire_frame(1), 0 }, { quire_frame(41), 1 } },
					    { { quire_frame(1), 0 }, { quire_frame(1), 10 } },
					    { { quire_frame(1), 0 },
					      { quire_frame(8 * 512), 0 } } };
	struct gem_object *object, *other = NULL;
	struct rig rig;

	(void)state;
	rig_start(&rig);
	assert_int_equal(gem_object_create_at(rig.g, good, COUNT_OF(good), &object), 0);
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_int_equal(quire_folio_frame(gem_object_folio(object, i)).n, good[i].at.n);
	fill(&rig, object, 4);
	assert_true(is_right(&rig, object, 4));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(gem_object_create_at(rig.g, bad[i], 2, &other), -EINVAL);
	assert_int_equal(gem_object_create_at(rig.g, good, COUNT_OF(good), &other), -EBUSY);
	assert_int_equal(gem_object_create_at(rig.g, good, 0, &other), -EINVAL);
	assert_int_equal(gem_object_create_at(rig.g, NULL, 1, &other), -EINVAL);
	assert_int_equal(gem_object_create_at(rig.g, good, SIZE_MAX, &other), -EINVAL);
	assert_null(other);
	assert_int_equal(gs(&rig).folios, 3);
	rig_end(&rig);
}

static void test_gem_what_cannot_be_made_leaves_nothing(void **state)
{
	struct rig rig;
	struct gem_object *object = NULL;
	unsigned fired = 0;
	int rc;

	(void)state;
	rig_start(&rig);
	assert_int_equal(gem_object_create(rig.g, 0, 0, &object), -EINVAL);
	assert_int_equal(gem_object_create(rig.g, GEM_OBJECT_MAX + 1, 0, &object), -EINVAL);
	assert_int_equal(gem_object_create(rig.g, FRAME, 10, &object), -EINVAL);
	assert_int_equal(gem_object_create(rig.g, UINT64_MAX, 9, &object), -EINVAL);
	assert_int_equal(gem_object_create(rig.g, 9ull << 21, 9, &object), -ENOMEM);
	assert_null(object);
	for (uint64_t n = 1;; n++) {
		quire_fault_arm_(NULL, n, -ENOMEM);
		rc = gem_object_create(rig.g, 3 * FRAME, 0, &object);
		if (!quire_fault_disarm_())
			break;
		if (!rc) { /* there was another way */
			gem_object_put(object);
			object = NULL;
		} else {
			fired++;
			assert_int_equal(rc, -ENOMEM);
		}
		assert_null(object);
		assert_int_equal(gs(&rig).folios, 0);
		assert_int_equal(gs(&rig).objects, 0);
		assert_frames_free(rig.q, rig.frames);
	}
	assert_int_equal(rc, 0);
	assert_true(fired >= 3);
	rig_end(&rig);
}

static void test_gem_cpu_access_is_checked(void **state)
{
	struct rig rig;
	struct gem_object *object;
	char bytes[16] = "0123456789abcde", back[16];

	(void)state;
	rig_start(&rig);
	object = object_of(&rig, 3, 1);
	assert_int_equal(gem_object_write(object, 2 * FRAME - 7, bytes, sizeof(bytes)), 0);
	assert_int_equal(gem_object_read(object, 2 * FRAME - 7, back, sizeof(back)), 0);
	assert_memory_equal(bytes, back, sizeof(bytes));
	assert_int_equal(gem_object_read(object, 3 * FRAME - 15, back, 16), -ERANGE);
	assert_int_equal(gem_object_read(object, UINT64_MAX, back, 2), -ERANGE);
	assert_int_equal(gem_object_read(object, 1, back, SIZE_MAX), -ERANGE);
	assert_int_equal(gem_object_write(object, 3 * FRAME, back, 1), -ERANGE);
	assert_int_equal(gem_object_read(object, 3 * FRAME, back, 0), 0);
	assert_int_equal(gem_object_read(object, 0, NULL, 1), -EINVAL);
	assert_int_equal(gem_object_write(object, 0, NULL, 1), -EINVAL);
	assert_int_equal(gem_object_write(object, 0, NULL, 0), 0);
	rig_end(&rig);
}

static void test_gem_options_are_checked(void **state)
{
	const struct gem_options bad[] = {
		{ .size = 1 },
		{ .size = sizeof(bad[0]), .queue = 65537 },
		{ .size = sizeof(bad[0]), .queue = 4, .depth = 5 },
		{ .size = sizeof(bad[0]), .tlb = 48 },
		{ .size = sizeof(bad[0]), .seeds = 4 },
		{ .size = sizeof(bad[0]), .name = "" },
	};
	struct gem_options small = { .size = offsetof(struct gem_options, queue), .queue = 65537 };
	struct quire *q = make_quire(1);
	struct gem *gem = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(gem_create(q, &bad[i], &gem), -EINVAL);
	assert_null(gem);
	assert_int_equal(gem_create(q, &small, &gem), 0);
	assert_int_equal(gem_destroy(gem), 0);
	assert_int_equal(gem_destroy(NULL), 0);
	quire_fault_arm_(NULL, 1, -ENOMEM);
	assert_int_equal(gem_create(q, NULL, &gem), -ENOMEM);
	assert_true(quire_fault_disarm_());
	end_quire(q);
}

/* --- counting and checking ---------------------------------------------------------------- */

static void test_gem_validate_finds_what_is_wrong(void **state)
{
	struct rig rig;
	struct quire_pin *pin;
	const char *what = NULL;

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 3, 0);
	fill(&rig, rig.a, 1);
	assert_int_equal(gem_validate(rig.g, &what), 0);
	assert_null(what);
	rig.a->table[1]++;
	assert_int_equal(gem_validate(rig.g, &what), -EUCLEAN);
	assert_non_null(what);
	rig.a->table[1]--;
	pin = rig.a->folio[2].pin;
	rig.a->folio[2].pin = NULL;
	assert_int_equal(gem_validate(rig.g, NULL), -EUCLEAN);
	rig.a->folio[2].pin = pin;
	rig.g->n[GEM_N_pins]++;
	assert_int_equal(gem_validate(rig.g, NULL), -EUCLEAN);
	rig.g->n[GEM_N_pins]--;
	assert_int_equal(gem_object_unbind(rig.a, 0), 0);
	rig.a->table[0] = 0;
	assert_int_equal(gem_validate(rig.g, NULL), -EUCLEAN);
	rig.a->table[0] = GEM_INVALID;
	rig_end(&rig);
}

static void test_gem_stats_of_any_size(void **state)
{
	struct rig rig;
	struct gem_stats all = { .size = sizeof(all) }, one = { .size = 2 * sizeof(uint64_t) },
			 none = { .size = sizeof(size_t) };

	(void)state;
	rig_start(&rig);
	rig.a = object_of(&rig, 1, 0);
	fill(&rig, rig.a, 1);
	one.jobs = 77;
	assert_int_equal(gem_stats_get(rig.g, &one), 0);
	assert_int_equal(one.submitted, 1);
	assert_int_equal(one.jobs, 77);
	assert_int_equal(gem_stats_get(rig.g, &none), -EINVAL);
	assert_int_equal(gem_stats_get(rig.g, &all), 0);
	assert_int_equal(all.jobs, 1);
	assert_int_equal(all.job_bytes, FRAME);
	assert_int_equal(all.objects, 1);
	assert_int_equal(all.folios, 1);
	rig_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_gem_folios_of_an_object),
		TEST(test_gem_content_begins_as_zeros),
		TEST(test_gem_objects_at_given_places),
		TEST(test_gem_what_cannot_be_made_leaves_nothing),
		TEST(test_gem_cpu_access_is_checked),
		TEST(test_gem_options_are_checked),
		TEST(test_gem_validate_finds_what_is_wrong),
		TEST(test_gem_stats_of_any_size),
	};

	return cmocka_run_group_tests_name("gem_objects", tests, NULL, NULL);
}
