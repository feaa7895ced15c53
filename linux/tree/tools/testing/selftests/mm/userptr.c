// SPDX-License-Identifier: GPL-2.0-only
/*
 * Notifier or owner: which of them is called for what, in which order, and what
 * each can do about a pin. User memory is mirrored by lib/test_userptr.c, with an
 * interval notifier; objects are those of lib/test_folio_owner.c.
 */
#define _GNU_SOURCE
#include "folio_owner_device.h"
#include "../../../../lib/test_userptr_uapi.h"

static struct up_args up(int fd, unsigned int cmd, struct up_args args)
{
	if (ioctl(fd, cmd, &args) < 0) {
		printf("# ioctl %#x: %s\n", cmd, strerror(errno));
		args.result = -errno;
	}
	return args;
}

#define UP(fd, cmd, ...) up(fd, cmd, (struct up_args){ __VA_ARGS__ })

static int mirror(char *p, unsigned int pages, unsigned int flags)
{
	int fd = open_device("/dev/userptr");

	CHECK_EQ(UP(fd, UP_MIRROR, .addr = (unsigned long)p, .count = pages,
		    .flags = flags).result, 0);
	UP(fd, UP_STATS);
	return fd;
}

static unsigned long mirrored(int fd, unsigned int index)
{
	return UP(fd, UP_LOOK, .index = index).pfn;
}

static char *memory(unsigned int pages)
{
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	madvise(p, pages * PAGE, MADV_NOHUGEPAGE);
	memset(p, 0x5a, pages * PAGE);
	return p;
}

static struct tfo_args move(int fd, char *p)
{
	return TELL(fd, TFO_MOVE, .addr = (unsigned long)p, .mode = SYNC);
}

/* An object's pages, mapped and touched by this process. */
static char *map_object(int fd, unsigned int pages)
{
	char *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       fd, 0);
	unsigned int i;

	CHECK(p != MAP_FAILED);
	for (i = 0; i < pages; i++)
		__atomic_load_n(&p[i * PAGE], __ATOMIC_RELAXED);
	return p;
}

static int test_B1_mapped_nowhere_owner_alone(void)
{
	char *p = memory(8);
	int user = mirror(p, 8, 0), fd = owned_object(8);
	struct tfo_stats s;

	stats(fd);
	CHECK_EQ(migrate(fd, 8, ASYNC).moved, 8);
	s = stats(fd);
	CHECK_EQ(calls(&s), 8);
	CHECK_EQ(UP(user, UP_STATS).notifications, 0);
	CHECK_EQ(wrong(fd), 0);
	munmap(p, 8 * PAGE);
	return 0;
}

static int test_B1_mapped_without_owner_notifier_alone(void)
{
	char *p = memory(4);
	int user = mirror(p, 4, 0), fd = owned_object(1);
	unsigned long before = mirrored(user, 2);
	struct tfo_stats s;

	CHECK(before);
	stats(fd);
	CHECK_EQ(move(fd, p + 2 * PAGE).moved, 1);
	s = stats(fd);
	CHECK_EQ(calls(&s), 0);
	CHECK(UP(user, UP_STATS).notifications > 0);
	/* Gone from the mirror, and only that; it comes back where it is now. */
	CHECK_EQ(mirrored(user, 2), 0);
	CHECK(mirrored(user, 1));
	UP(user, UP_REFRESH);
	CHECK(mirrored(user, 2) && mirrored(user, 2) != before);
	CHECK_EQ(p[2 * PAGE], 0x5a);
	munmap(p, 4 * PAGE);
	return 0;
}

static int test_B1_mapped_and_owned_notifier_first(void)
{
	int fd = owned_object(1), user;
	char *p = map_object(fd, 1);
	struct tfo_stats s;
	struct up_args u;

	user = mirror(p, 1, 0);
	stats(fd);
	CHECK_EQ(migrate(fd, 1, ASYNC).moved, 1);
	s = stats(fd);
	u = UP(user, UP_STATS);
	CHECK(u.notifications > 0);
	CHECK_EQ(calls(&s), 1);
	CHECK_EQ(s.violations, 0);
	CHECK(u.at < s.migrated_at);
	CHECK_EQ(mirrored(user, 0), 0);
	CHECK_EQ(wrong(fd), 0);
	munmap(p, PAGE);
	return 0;
}

static int test_B1_notifier_can_drop_a_pin(void)
{
	char *p = memory(4);
	int user = mirror(p, 4, UP_PIN), fd = device();

	/* It is told before the references are counted. */
	CHECK_EQ(move(fd, p + PAGE).moved, 1);
	CHECK(UP(user, UP_STATS).notifications > 0);
	CHECK_EQ(mirrored(user, 1), 0);
	munmap(p, 4 * PAGE);
	return 0;
}

static int test_B1_notifier_of_pinned_file_memory(void)
{
	int fd = object(4), user;
	char *p = map_object(fd, 4);

	user = mirror(p, 4, UP_PIN);
	CHECK_EQ(migrate(fd, 4, SYNC).moved, 4);
	CHECK(UP(user, UP_STATS).notifications >= 4);
	UP(user, UP_REFRESH);
	/* Without the mapping the same pins are in the way, and nobody is told. */
	CHECK_EQ(munmap(p, 4 * PAGE), 0);
	TELL(fd, TFO_PIN, .count = 4);
	UP(user, UP_STATS);
	CHECK_EQ(migrate(fd, 4, SYNC).moved, 0);
	CHECK_EQ(UP(user, UP_STATS).notifications, 0);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

/* Of pages of ours, one in a pageblock with few of others. */
static unsigned int among_own(int fd, char *p, unsigned int pages)
{
	static unsigned int own[1 << 12];
	unsigned int i, best = 0, most = 0;

	memset(own, 0, sizeof(own));
	for (i = 0; i < pages; i++) {
		unsigned long pfn = TELL(fd, TFO_OWNED, .addr = (unsigned long)(p + i * PAGE)).pfn;
		unsigned int *n = &own[pfn / 512 % (1 << 12)];

		if (++*n > most) {
			most = *n;
			best = i;
		}
	}
	return best;
}

static int test_B1_compaction_asks_no_notifier_of_a_pinned_page(void)
{
	int fd = device(), user;
	char *p = memory(2048);
	unsigned int i = among_own(fd, p, 2048);
	unsigned long pfn;

	TELL(fd, TFO_DRAIN);
	user = mirror(p + i * PAGE, 1, UP_PIN);
	pfn = mirrored(user, 0);
	/* Who isolates sees a reference too many and leaves it alone. */
	CHECK_EQ(UP(user, UP_CONTIG, .pfn = pfn).result, -EBUSY);
	CHECK_EQ(UP(user, UP_STATS).notifications, 0);
	CHECK_EQ(mirrored(user, 0), pfn);
	close(opened[--nr_opened]);
	/* Without the pin it goes. */
	user = mirror(p + i * PAGE, 1, 0);
	CHECK_EQ(UP(user, UP_CONTIG, .pfn = pfn).result, 0);
	CHECK(UP(user, UP_STATS).notifications > 0);
	munmap(p, 2048 * PAGE);
	return 0;
}

static const struct test tests[] = {
	TEST(test_B1_mapped_nowhere_owner_alone),
	KERNEL(test_B1_mapped_without_owner_notifier_alone),
	TEST(test_B1_mapped_and_owned_notifier_first),
	KERNEL(test_B1_notifier_can_drop_a_pin),
	KERNEL(test_B1_notifier_of_pinned_file_memory),
	KERNEL(test_B1_compaction_asks_no_notifier_of_a_pinned_page),
	{ 0 }
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, have_owners());
}
