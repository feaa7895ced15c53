/* SPDX-License-Identifier: MIT */
/*
 * test_backing.c: what pages are behind a node: that they are huge says the kernel, in
 * /proc/self/smaps. Where it makes none the tests that need them skip, and say so.
 */
#include "field.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BLOCK_BYTES (2u << 20)

struct said {
	unsigned times;
	enum quire_log_level level;
	char message[256];
};

static void listen(void *arg, enum quire_log_level level, const char *message)
{
	struct said *said = arg;

	said->times++;
	said->level = level;
	snprintf(said->message, sizeof(said->message), "%s", message);
}

static int make(enum quire_backing backing, unsigned blocks, struct said *said, struct quire **q)
{
	memset(said, 0, sizeof(*said));
	return quire_create(QUIRE_OPTIONS(.arena_bytes = (uint64_t)blocks * BLOCK_BYTES,
					  .backing = backing, .log = listen, .log_arg = said),
			    q);
}

static struct quire_node_info node_info(struct quire *q)
{
	struct quire_node_info info = { .size = sizeof(info) };

	assert_int_equal(quire_node_info(q, 0, &info), 0);
	return info;
}

/* A quire whose pages are made by MADV_COLLAPSE, or a skip. */
static struct quire *collapsing(unsigned blocks)
{
	static struct said said;
	struct quire *q = NULL;
	int error = make(QUIRE_BACKING_COLLAPSE, blocks, &said, &q);

	if (error == -EOPNOTSUPP) {
		printf("# this kernel has no MADV_COLLAPSE\n");
		skip();
	}
	assert_int_equal(error, 0);
	assert_int_equal(node_info(q).backing, QUIRE_BACKING_COLLAPSE);
	assert_int_equal(said.times, 0);
	return q;
}

/* Bytes of the mapping at an address that are mapped by huge pages, by the kernel's word. */
static uint64_t huge_at(const void *address)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	uintptr_t from, end;
	uint64_t kib = 0;
	bool here = false;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &end) == 2)
			here = (uintptr_t)address >= from && (uintptr_t)address < end;
		else if (here && sscanf(line, "ShmemPmdMapped: %" SCNu64, &kib) == 1)
			break;
	}
	fclose(f);
	return kib << 10;
}

static const void *base_of(struct item *item)
{
	const char *address = quire_pin(item->folio);

	quire_unpin(item->folio);
	return address - (size_t)at_frame(item) * 4096;
}

/* One page of a block is in use: the block is one huge page, and goes as one. */
static void test_backing_a_block_is_one_page_from_its_first_frame_on(void **state)
{
	struct quire *q = collapsing(4);
	struct item item[3];
	const void *base;
	struct probe p;

	(void)state;
	make_probe(q, "p", OP_NONE, &p);
	assert_int_equal(node_info(q).memory_bytes, 0);
	place(&p, &item[0], 0, quire_frame(512 + 7), 1);
	base = base_of(&item[0]);
	assert_int_equal(node_info(q).memory_bytes, BLOCK_BYTES);
	if (huge_at(base) != BLOCK_BYTES) {
		printf("# the kernel had no huge page\n");
		drop(&item[0]);
		end_quire(q);
		skip();
	}
	/* Where there is a block with memory no other is begun. */
	drop(&item[0]);
	assert_frames_free(q, 4 * 512);
	place(&p, &item[1], 0, ANYWHERE, 2);
	assert_int_equal(at_frame(&item[1]) / 512, 1);
	assert_int_equal(node_info(q).memory_bytes, BLOCK_BYTES);
	place(&p, &item[2], 9, ANYWHERE, 3);
	assert_int_equal(node_info(q).memory_bytes, 2 * BLOCK_BYTES);
	assert_int_equal(huge_at(base), 2 * BLOCK_BYTES);
	assert_int_equal(quire_give_back(q, QUIRE_MAX), 0);
	drop(&item[2]);
	assert_int_equal(quire_give_back(q, QUIRE_MAX), BLOCK_BYTES);
	assert_int_equal(node_info(q).memory_bytes, BLOCK_BYTES);
	assert_int_equal(huge_at(base), BLOCK_BYTES);
	assert_intact(&item[1]);
	drop(&item[1]);
	end_quire(q);
}

/* Where a huge page could not be had at first, it can later, and the content stays. */
static void test_backing_small_pages_become_one_when_asked(void **state)
{
	struct quire *q = collapsing(4);
	struct item small[5];
	const void *base;
	struct probe p;

	(void)state;
	make_probe(q, "p", OP_ALL, &p);
	for (unsigned i = 0; i < 4; i++) { /* blocks with 1, 2, 4, 8 frames */
		quire_fault_arm_("os:collapse", 1, -EAGAIN);
		place(&p, &small[i], i, quire_frame(i * 512 + 256), i);
		assert_true(quire_fault_disarm_());
	}
	base = base_of(&small[0]);
	assert_int_equal(huge_at(base), 0);
	assert_true(node_info(q).memory_bytes < 64 * 4096);
	/* The fullest first, those that are full enough; a failure is no end. */
	quire_fault_arm_("os:collapse", 1, -ENOMEM);
	assert_int_equal(quire_collapse(q, 2, BLOCK_BYTES), BLOCK_BYTES);
	assert_true(quire_fault_disarm_());
	assert_int_equal(node_info(q).memory_bytes / BLOCK_BYTES, 1);
	assert_int_equal(quire_collapse(q, 2, QUIRE_MAX), 2 * BLOCK_BYTES);
	assert_int_equal(quire_collapse(q, 2, QUIRE_MAX), 0);
	assert_int_equal(quire_collapse(q, 1, QUIRE_MAX), BLOCK_BYTES);
	assert_int_equal(quire_collapse(q, 1, QUIRE_MAX), 0);
	assert_int_equal(huge_at(base), 4 * BLOCK_BYTES);
	assert_int_equal(stats_of(q).collapsed_bytes, 4 * BLOCK_BYTES);
	for (unsigned i = 0; i < 4; i++)
		assert_intact(&small[i]);
	/* What was given back is small again, as far as anybody knows. */
	drop(&small[3]);
	assert_int_equal(quire_give_back(q, QUIRE_MAX), BLOCK_BYTES);
	quire_fault_arm_("os:collapse", 1, -EAGAIN);
	place(&p, &small[3], 0, quire_frame(3 * 512), 9);
	assert_true(quire_fault_disarm_());
	assert_int_equal(quire_collapse(q, 1, QUIRE_MAX), BLOCK_BYTES);
	assert_int_equal(quire_collapse(q, 0, QUIRE_MAX), -EINVAL);
	assert_int_equal(quire_collapse(q, 513, QUIRE_MAX), -EINVAL);
	assert_int_equal(quire_collapse(NULL, 1, QUIRE_MAX), -EINVAL);
	for (unsigned i = 0; i < 4; i++)
		drop(&small[i]);
	end_quire(q);
}

/* A system without huge pages, and without a way to make them: that is said, and it works. */
static void test_backing_falls_back_and_says_so(void **state)
{
	struct quire *q = NULL;
	struct said said;

	(void)state;
	/* No file of hugetlb is to be had; the second try is the collapse's. */
	quire_fault_arm_("os:memfd-huge", 1, -ENOSYS);
	assert_int_equal(make(QUIRE_BACKING_HUGETLB, 2, &said, &q), -ENOSYS);
	assert_true(quire_fault_disarm_());
	assert_null(q);
	quire_fault_arm_("os:memfd-huge", 1, -ENOSYS);
	assert_int_equal(make(QUIRE_BACKING_2M, 2, &said, &q), 0);
	assert_true(quire_fault_disarm_());
	assert_true(node_info(q).backing != QUIRE_BACKING_HUGETLB);
	assert_true(said.times >= 1);
	end_quire(q);
	quire_fault_arm_("os:collapse-exists", 1, -EINVAL);
	assert_int_equal(make(QUIRE_BACKING_COLLAPSE, 2, &said, &q), -EOPNOTSUPP);
	assert_true(quire_fault_disarm_());
	assert_null(q);
	quire_fault_arm_("os:collapse-exists", 1, -EINVAL);
	/* More huge pages than any machine has. */
	assert_int_equal(make(QUIRE_BACKING_2M, 1u << 17, &said, &q), 0);
	assert_true(quire_fault_disarm_());
	assert_int_equal(node_info(q).backing, QUIRE_BACKING_4K);
	assert_int_equal(said.level, QUIRE_LOG_WARNING);
	assert_non_null(strstr(said.message, "node0"));
	assert_int_equal(quire_destroy(q), 0);
}

/* --- hugetlb --- */

/* A node of huge pages that the system has set aside, or a skip. */
static struct quire *hugetlb(unsigned blocks)
{
	static struct said said;
	struct quire *q = NULL;

	if (make(QUIRE_BACKING_HUGETLB, blocks, &said, &q)) {
		printf("# no %u huge pages: /proc/sys/vm/nr_hugepages\n", blocks);
		skip();
	}
	assert_int_equal(node_info(q).backing, QUIRE_BACKING_HUGETLB);
	return q;
}

static void test_backing_hugetlb_pages_come_and_go_with_their_blocks(void **state)
{
	struct quire *q = hugetlb(4);
	struct item item[4];
	struct probe p;

	(void)state;
	make_probe(q, "p", OP_ALL, &p);
	assert_int_equal(node_info(q).memory_bytes, 0);
	for (unsigned i = 0; i < 4; i++)
		place(&p, &item[i], 9, ANYWHERE, i);
	assert_int_equal(node_info(q).memory_bytes, 4 * BLOCK_BYTES);
	drop(&item[0]);
	drop(&item[2]);
	assert_int_equal(quire_give_back(q, QUIRE_MAX), 2 * BLOCK_BYTES);
	assert_int_equal(node_info(q).memory_bytes, 2 * BLOCK_BYTES);
	assert_int_equal(quire_give_back(q, QUIRE_MAX), 0);
	place(&p, &item[0], 0, ANYWHERE, 10);
	assert_int_equal(node_info(q).memory_bytes, 3 * BLOCK_BYTES);
	for (unsigned i = 0; i < 4; i++)
		if (i != 2) {
			assert_intact(&item[i]);
			drop(&item[i]);
		}
	assert_frames_free(q, 4 * 512);
	end_quire(q);
}

/*
 * The pages are somebody else's by the time they are wanted again: no place, not SIGBUS; and what
 * has memory goes on. With small pages as well, for whoever has no others: the rule is the same.
 */
static void test_backing_a_block_without_memory_is_passed_over(void **state)
{
	struct quire *q = hugetlb(3);
	struct quire_folio *folio = NULL;
	struct item item[2];
	struct probe p;

	(void)state;
	make_probe(q, "p", OP_ALL, &p);
	place(&p, &item[0], 0, quire_frame(5), 1);
	/* One try for all holes, not one for each. */
	quire_fault_arm_("os:fill", 1, -ENOSPC);
	assert_int_equal(quire_folio_create(p.owner, 9, &folio), 0);
	assert_true(quire_fault_disarm_()); /* then it was reclaimed, and there was one */
	quire_folio_put(folio);
	quire_reclaim(q);
	assert_int_equal(quire_give_back(q, QUIRE_MAX), BLOCK_BYTES);
	quire_fault_arm_("os:fill", 1, -ENOSPC);
	assert_int_equal(quire_folio_create_with(
				 p.owner, QUIRE_FOLIO(.at_set = 1, .at = quire_frame(600)), &folio),
			 0);
	assert_true(quire_fault_disarm_());
	quire_folio_put(folio);
	place(&p, &item[1], 0, ANYWHERE, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_intact(&item[i]);
		drop(&item[i]);
	}
	assert_frames_free(q, 3 * 512);
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_backing_a_block_is_one_page_from_its_first_frame_on),
		TEST(test_backing_small_pages_become_one_when_asked),
		TEST(test_backing_falls_back_and_says_so),
		TEST(test_backing_hugetlb_pages_come_and_go_with_their_blocks),
		TEST(test_backing_a_block_without_memory_is_passed_over),
	};

	return cmocka_run_group_tests_name("backing", tests, NULL, NULL);
}
