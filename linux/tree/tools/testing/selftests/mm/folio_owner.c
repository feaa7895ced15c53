// SPDX-License-Identifier: GPL-2.0-only
/*
 * Owners of folios, through the driver lib/test_folio_owner.c. What needs no
 * user space is in lib/folio_owner_kunit.c.
 */
#define _GNU_SOURCE
#include "folio_owner_device.h"

/* S4: folios of user space and of the page cache */

static char *anonymous(size_t size)
{
	char *p = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (size == HUGE)
		p = (char *)(((unsigned long)p + HUGE - 1) & ~(HUGE - 1));
	/* Off by default on a machine as small as this may be. */
	write_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	if (size == HUGE)
		madvise(p, size, MADV_HUGEPAGE);
	memset(p, 0x5a, size);
	return p;
}

#define ADDR(p) .addr = (unsigned long)(p)

static int test_E7_survives_mapping_and_use(void)
{
	int fd = device();
	char *p = anonymous(PAGE);
	struct tfo_stats s;

	CHECK_EQ(TELL(fd, TFO_OWN, ADDR(p)).result, 0);
	TELL(fd, TFO_USE, ADDR(p));
	mprotect(p, PAGE, PROT_READ);
	mprotect(p, PAGE, PROT_READ | PROT_WRITE);
	p[1] = 1;
	CHECK_EQ(TELL(fd, TFO_OWNED, ADDR(p)).value, 1);
	s = stats(fd);
	CHECK_EQ(s.freed[0] + s.freed[1], 0);
	munmap(p, PAGE);
	s = stats(fd);
	CHECK_EQ(s.freed[0], 1);
	CHECK_EQ(s.freed[1], 0);
	CHECK_EQ(s.freed_early, 0);
	return 0;
}

static int test_E3_page_cache_keeps_owner(void)
{
	int fd = object(8), i;
	struct tfo_stats s;

	for (i = 0; i < 8; i++)
		CHECK_EQ(TELL(fd, TFO_OWN, .index = i).result, 0);
	CHECK_EQ(TELL(fd, TFO_OWN, .index = 3).result, -EEXIST);
	/* Reclaim takes them off the LRU and puts them back. */
	write_file("/proc/sys/vm/drop_caches", "1");
	for (i = 0; i < 8; i++)
		CHECK_EQ(TELL(fd, TFO_OWNED, .index = i).value, 1);
	CHECK_EQ(TELL(fd, TFO_DISOWN, .index = 7).result, 0);
	TELL(fd, TFO_TRUNCATE, .count = 8);
	s = stats(fd);
	CHECK_EQ(s.freed[0], 7);
	CHECK_EQ(s.freed_early, 0);
	return 0;
}

static int test_H_E3_reclaim_asks_the_owner(void)
{
	int fd = device();
	char *p = anonymous(PAGE);

	CHECK_EQ(TELL(fd, TFO_OWN, ADDR(p)).result, 0);
	TELL(fd, TFO_DRAIN);
	CHECK_EQ(madvise(p, PAGE, MADV_FREE), 0);
	TELL(fd, TFO_DRAIN);
	CHECK_EQ(madvise(p, PAGE, MADV_PAGEOUT), 0);
	CHECK_EQ(p[0], 0);
	CHECK_EQ(stats(fd).freed[0], 1);
	munmap(p, PAGE);
	CHECK_EQ(stats(fd).freed[0], 0);
	return 0;
}

static int test_H_E4_owner_follows_content(void)
{
	int fd = device();
	char *p = anonymous(PAGE);
	struct tfo_args before, after;
	struct tfo_stats s;

	CHECK_EQ(TELL(fd, TFO_OWN, ADDR(p)).result, 0);
	before = TELL(fd, TFO_OWNED, ADDR(p));
	CHECK_EQ(TELL(fd, TFO_MOVE, ADDR(p), .mode = SYNC).result, 0);
	after = TELL(fd, TFO_OWNED, ADDR(p));
	CHECK(before.pfn != after.pfn);
	CHECK_EQ(after.value, 1);
	CHECK_EQ(p[7], 0x5a);
	s = stats(fd);
	CHECK_EQ(s.followed, 1);
	CHECK_EQ(s.freed[0], 0);
	CHECK_EQ(s.freed[1], 1);
	munmap(p, PAGE);
	s = stats(fd);
	CHECK_EQ(s.freed[0], 1);
	CHECK_EQ(s.freed[1], 0);
	return 0;
}

static int test_H_E4_owned_frame_stays(void)
{
	int fd = device();
	char *p = anonymous(PAGE);
	struct tfo_args before, a;
	struct tfo_stats s;

	CHECK_EQ(TELL(fd, TFO_OWN, ADDR(p), .flags = TFO_FRAME).result, 0);
	before = TELL(fd, TFO_OWNED, ADDR(p));
	a = TELL(fd, TFO_MOVE, ADDR(p), .mode = SYNC);
	CHECK_EQ(a.result, 1);
	CHECK_EQ(a.dst_taken, a.dst_returned);
	CHECK_EQ(TELL(fd, TFO_OWNED, ADDR(p)).pfn, before.pfn);
	CHECK_EQ(TELL(fd, TFO_OWNED, ADDR(p)).value, 1);
	munmap(p, PAGE);
	s = stats(fd);
	CHECK_EQ(s.freed[0], 1);
	CHECK_EQ(s.followed, 0);
	return 0;
}

static int test_H_E4_failed_migration_leaves_owner(void)
{
	int fd = owned_object(1);
	struct tfo_stats s;

	CHECK_EQ(TELL(fd, TFO_OWN, .index = 0).result, 0);
	TELL(fd, TFO_BEHAVE, .value = TFO_AGAIN);
	CHECK_EQ(migrate(fd, 1, SYNC).moved, 0);
	CHECK_EQ(TELL(fd, TFO_OWNED, .index = 0).value, 1);
	TELL(fd, TFO_BEHAVE, .value = TFO_NORMAL);
	/* Both owners of the same page take part. */
	CHECK_EQ(migrate(fd, 1, SYNC).moved, 1);
	CHECK_EQ(TELL(fd, TFO_OWNED, .index = 0).value, 1);
	s = stats(fd);
	CHECK_EQ(s.followed, 1);
	CHECK_EQ(s.freed[1], 1);
	TELL(fd, TFO_UNPIN, .count = 1);
	TELL(fd, TFO_TRUNCATE, .count = 1);
	CHECK_EQ(stats(fd).freed[0], 1);
	return 0;
}

static int test_H_E6_parts_keep_owner(void)
{
	int fd = device(), i, owned = 0;
	char *p = anonymous(HUGE);
	struct tfo_args a;
	struct tfo_stats s;

	a = TELL(fd, TFO_OWN, ADDR(p));
	if (a.count != 512)
		return SKIP;
	CHECK_EQ(a.result, 0);
	/* Nor shall khugepaged put it together again. */
	madvise(p, HUGE, MADV_NOHUGEPAGE);
	CHECK_EQ(TELL(fd, TFO_SPLIT, ADDR(p)).result, 0);
	for (i = 0; i < 512; i++) {
		a = TELL(fd, TFO_OWNED, ADDR(p + i * PAGE));
		owned += a.value && a.count == 1;
	}
	CHECK_EQ(owned, 512);
	/* Each part is on its own from here on. */
	CHECK_EQ(TELL(fd, TFO_DISOWN, ADDR(p + 9 * PAGE)).result, 0);
	munmap(p, HUGE);
	s = stats(fd);
	CHECK_EQ(s.freed[0], 511);
	CHECK_EQ(s.freed_pages, 511);
	return 0;
}

/* A collapse copies the content and frees what it was in: not what is owned. */
static int test_H_E6_collapse_leaves_owned_parts(void)
{
	int fd = device(), i;
	char *p = anonymous(HUGE);
	struct tfo_args a;

	a = TELL(fd, TFO_OWN, ADDR(p));
	if (a.count != 512)
		return SKIP;
	CHECK_EQ(a.result, 0);
	CHECK_EQ(TELL(fd, TFO_SPLIT, ADDR(p)).result, 0);
	for (i = 0; i < 512; i++)
		if (i != 9)
			CHECK_EQ(TELL(fd, TFO_DISOWN, ADDR(p + i * PAGE)).result, 0);
	CHECK_EQ(madvise(p, HUGE, MADV_COLLAPSE), -1);
	CHECK_EQ(errno, EAGAIN);
	a = TELL(fd, TFO_OWNED, ADDR(p + 9 * PAGE));
	CHECK_EQ(a.value, 1);
	CHECK_EQ(a.count, 1);
	CHECK_EQ(TELL(fd, TFO_DISOWN, ADDR(p + 9 * PAGE)).result, 0);
	CHECK_EQ(madvise(p, HUGE, MADV_COLLAPSE), 0);
	CHECK_EQ(TELL(fd, TFO_OWNED, ADDR(p + 9 * PAGE)).count, 512);
	munmap(p, HUGE);
	CHECK_EQ(stats(fd).freed[0], 0);
	return 0;
}

static int test_H_E6_collapse_of_a_file_leaves_owned_parts(void)
{
	int fd = object(512);
	char *p = mmap(NULL, 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	p += -(unsigned long)p % HUGE;
	CHECK(mmap(p, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		   0) == p);
	CHECK_EQ(TELL(fd, TFO_OWN, .index = 9).result, 0);
	CHECK_EQ(madvise(p, HUGE, MADV_COLLAPSE), -1);
	CHECK_EQ(errno, EAGAIN);
	CHECK_EQ(TELL(fd, TFO_OWNED, .index = 9).value, 1);
	CHECK_EQ(TELL(fd, TFO_DISOWN, .index = 9).result, 0);
	CHECK_EQ(madvise(p, HUGE, MADV_COLLAPSE), 0);
	CHECK_EQ(TELL(fd, TFO_PFN, .index = 9).count, 512);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_H_E6_large_folio_moves_whole(void)
{
	int fd = device();
	char *p = anonymous(HUGE);
	struct tfo_stats s;
	struct tfo_args a;

	a = TELL(fd, TFO_OWN, ADDR(p));
	if (a.count != 512)
		return SKIP;
	CHECK_EQ(a.result, 0);
	CHECK_EQ(TELL(fd, TFO_MOVE, ADDR(p), .mode = SYNC).moved, 512);
	CHECK_EQ(TELL(fd, TFO_OWNED, ADDR(p)).value, 1);
	munmap(p, HUGE);
	s = stats(fd);
	CHECK_EQ(s.freed[0], 1);
	CHECK_EQ(s.freed[1], 1);
	CHECK_EQ(s.freed_pages, 1024);
	return 0;
}

static int test_H_E8_owner_goes_first(void)
{
	int fd = device(), other;
	char *p = anonymous(16 * PAGE);
	struct tfo_args a;
	int i;

	for (i = 0; i < 16; i++)
		CHECK_EQ(TELL(fd, TFO_OWN, ADDR(p + i * PAGE)).result, 0);
	close_devices();
	other = device();
	for (i = 0; i < 16; i++) {
		CHECK_EQ(TELL(other, TFO_OWNED, ADDR(p + i * PAGE)).value, 0);
		CHECK_EQ(p[i * PAGE], 0x5a);
	}
	/* Free for another owner. */
	a = TELL(other, TFO_OWN, ADDR(p));
	CHECK_EQ(a.result, 0);
	munmap(p, 16 * PAGE);
	CHECK_EQ(stats(other).freed[0], 1);
	return 0;
}

static const struct test tests[] = {
	TEST(test_E3_page_cache_keeps_owner),
	TEST(test_E7_survives_mapping_and_use),
	TEST(test_H_E3_reclaim_asks_the_owner),
	TEST(test_H_E4_owner_follows_content),
	TEST(test_H_E4_owned_frame_stays),
	TEST(test_H_E4_failed_migration_leaves_owner),
	TEST(test_H_E6_parts_keep_owner),
	TEST(test_H_E6_collapse_leaves_owned_parts),
	TEST(test_H_E6_collapse_of_a_file_leaves_owned_parts),
	TEST(test_H_E6_large_folio_moves_whole),
	TEST(test_H_E8_owner_goes_first),
	{ 0 }
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, have_owners());
}
