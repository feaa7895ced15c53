// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who blocks a migration or a contiguous allocation: the tracepoint
 * mm_migrate_blocked and the counters of /proc/vmstat, for pages that the
 * driver lib/test_folio_owner.c holds.
 */
#define _GNU_SOURCE
#include <sys/mount.h>
#include "folio_owner_device.h"

#define TRACING	"/sys/kernel/tracing/"

static const char * const reasons[] = {
	"owner_veto", "owner_mode", "owner_refused", "owner_again",
	"owned_frame", "driver_refused", "driver_again", "pin", "locked",
	"writeback", "unmovable", "other",
};

#define NR_REASONS (sizeof(reasons) / sizeof(*reasons))

static long before[2 * NR_REASONS];

static long counter(unsigned int i)
{
	char name[80];

	snprintf(name, sizeof(name), "%s_blocked_%s",
		 i < NR_REASONS ? "migrate" : "contig", reasons[i % NR_REASONS]);
	return read_vmstat(name);
}

/* Count, and trace, from here on. */
static void begin(void)
{
	unsigned int i;
	int fd;

	mount("tracefs", TRACING, "tracefs", 0, NULL);
	write_file(TRACING "events/migrate/mm_migrate_blocked/enable", "1");
	fd = open(TRACING "trace", O_WRONLY | O_TRUNC);
	if (fd >= 0)
		close(fd);
	for (i = 0; i < 2 * NR_REASONS; i++) {
		before[i] = counter(i);
		CHECK(before[i] >= 0);
	}
}

/* How many pages were @kind_blocked_@reason since begin(). */
static long blocked(const char *kind, const char *reason)
{
	char name[80];
	unsigned int i;

	snprintf(name, sizeof(name), "%s_blocked_%s", kind, reason);
	for (i = 0; i < NR_REASONS; i++)
		if (!strcmp(reasons[i], reason))
			return read_vmstat(name) -
			       before[i + (*kind == 'c' ? NR_REASONS : 0)];
	return -1;
}

/* All that were blocked in a migration. */
static long blocked_at_all(void)
{
	long sum = 0;
	unsigned int i;

	for (i = 0; i < NR_REASONS; i++)
		sum += blocked("migrate", reasons[i]);
	return sum;
}

/* Lines of the trace that have all of these words; "" is in every line. */
static int traced(const char *a, const char *b, const char *c)
{
	FILE *f = fopen(TRACING "trace", "r");
	char line[512];
	int n = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "mm_migrate_blocked:") && strstr(line, a) &&
		     strstr(line, b) && strstr(line, c);
	fclose(f);
	return n;
}

static int test_W13_foreign_pin_is_named(void)
{
	int fd = owned_object(8);
	char place[40];

	TELL(fd, TFO_HOLD, .index = 3);
	snprintf(place, sizeof(place), "pfn=0x%lx ", pfn(fd, 3));
	begin();
	CHECK_EQ(migrate(fd, 8, ASYNC).moved, 7);
	CHECK_EQ(blocked("migrate", "pin"), 1);
	CHECK_EQ(blocked_at_all(), 1);
	/* The owner's own pin is not counted: it had been dropped. */
	CHECK_EQ(traced(place, "why=pin", "err=-16 expected=2 found=3 mode=0"), 1);
	CHECK_EQ(traced("", "", ""), 1);
	/* The last word of a call that waits, and only that. */
	CHECK_EQ(migrate(fd, 8, SYNC).moved, 7);
	CHECK_EQ(blocked("migrate", "pin"), 2);
	CHECK_EQ(traced(place, "why=pin", "mode=2"), 1);
	CHECK_EQ(traced("", "", ""), 2);
	return 0;
}

static int test_W15_pin_without_owner_is_named(void)
{
	int fd = object(8);

	TELL(fd, TFO_PIN, .count = 8);
	begin();
	CHECK_EQ(migrate(fd, 8, SYNC).moved, 0);
	CHECK_EQ(blocked("migrate", "pin"), 8);
	CHECK_EQ(traced("why=pin owner=-", "err=-11 expected=2 found=3", "for=migrate"), 8);
	return 0;
}

static void refuses(int fd, int behaviour, const char *reason, const char *who,
		    const char *error)
{
	char word[40];

	snprintf(word, sizeof(word), "why=%s owner=%s ", reason, who);
	TELL(fd, TFO_BEHAVE, .value = behaviour);
	begin();
	CHECK_EQ(migrate(fd, 4, SYNC).moved, 0);
	CHECK_EQ(blocked("migrate", reason), 4);
	CHECK_EQ(blocked_at_all(), 4);
	CHECK_EQ(traced(word, error, "reason=syscall"), 4);
	TELL(fd, TFO_BEHAVE, .value = TFO_NORMAL);
}

static int test_W13_owner_that_refuses_is_named(void)
{
	int fd = owned_object(4), full = object(4);

	TELL(full, TFO_REGISTER, .flags = TFO_MORE_OPS);
	TELL(full, TFO_PIN, .count = 4);
	/* By the symbol of its op, if it has given no name. */
	refuses(fd, TFO_IO_ERROR, "owner_refused", "tfo_migrate_folio", "err=-5 ");
	refuses(fd, TFO_AGAIN, "owner_again", "tfo_migrate_folio", "err=-11 ");
	refuses(full, TFO_BUSY, "owner_refused", "test object", "err=-16 ");
	refuses(full, TFO_VETO, "owner_veto", "test object", "err=-16 ");
	return 0;
}

static int test_H_A6_mode_is_named(void)
{
	int fd = object(4);

	TELL(fd, TFO_REGISTER, .flags = TFO_MORE_OPS, .mode = SYNC);
	begin();
	CHECK_EQ(migrate(fd, 4, SYNC_LIGHT).moved, 0);
	CHECK_EQ(blocked("migrate", "owner_mode"), 4);
	CHECK_EQ(traced("owner=test object", "why=owner_mode", "mode=1"), 4);
	/* The pass before the one that moves them is not a failure. */
	CHECK_EQ(migrate(fd, 4, SYNC).moved, 4);
	CHECK_EQ(blocked_at_all(), 4);
	return 0;
}

static int test_W13_owned_frame_is_named(void)
{
	int fd = device();
	char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	*p = 1;
	CHECK_EQ(TELL(fd, TFO_OWN, .addr = (unsigned long)p, .flags = TFO_FRAME).result, 0);
	begin();
	CHECK_EQ(TELL(fd, TFO_MOVE, .addr = (unsigned long)p, .mode = SYNC).result, 1);
	munmap(p, PAGE);
	CHECK_EQ(blocked("migrate", "owned_frame"), 1);
	CHECK_EQ(traced("owner=test frame", "", ""), 1);
	return 0;
}

static int test_W13_lock_is_named(void)
{
	int fd = owned_object(2);
	struct job holder = { .fd = fd, .cmd = TFO_LOCK_FOLIO };
	long locked, all;
	unsigned int moved;

	begin();
	job_start(&holder);
	TELL(fd, TFO_WAIT_INSIDE);
	moved = migrate(fd, 2, ASYNC).moved;
	locked = blocked("migrate", "locked");
	all = blocked_at_all();
	TELL(fd, TFO_GO);
	job_join(&holder);
	CHECK_EQ(moved, 1);
	CHECK_EQ(locked, 1);
	CHECK_EQ(all, 1);
	return 0;
}

static int test_W13_what_moves_in_the_end_is_not_named(void)
{
	int fd = owned_object(8);

	begin();
	TELL(fd, TFO_BEHAVE, .value = TFO_AGAIN_TWICE);
	CHECK_EQ(migrate(fd, 8, ASYNC).moved, 8);
	CHECK_EQ(migrate(fd, 8, SYNC).moved, 8);
	CHECK_EQ(blocked_at_all(), 0);
	CHECK_EQ(traced("", "", ""), 0);
	return 0;
}

static int test_W13_old_reason_is_forgotten(void)
{
	int fd = owned_object(4);

	TELL(fd, TFO_BEHAVE, .value = TFO_BUSY);
	CHECK_EQ(migrate(fd, 4, SYNC).moved, 0);
	CHECK_EQ(TELL(fd, TFO_UNREGISTER).result, 0);
	begin();
	CHECK_EQ(migrate(fd, 4, SYNC).moved, 0);
	CHECK_EQ(blocked("migrate", "owner_refused"), 0);
	CHECK_EQ(blocked("migrate", "pin"), 4);
	return 0;
}

static int test_X33_contiguous_allocation_names_who(void)
{
	struct tfo_args a;
	unsigned int i;
	char place[40];
	int fd;

	make_room();
	fd = owned_object(MANY);
	i = index_among_own(fd, MANY);
	TELL(fd, TFO_DRAIN);
	TELL(fd, TFO_HOLD, .index = i);
	begin();
	a = TELL(fd, TFO_CONTIG, .index = i);
	CHECK_EQ(a.result, -EBUSY);
	CHECK_EQ(blocked("contig", "pin"), 1);
	snprintf(place, sizeof(place), "pfn=0x%lx ", (unsigned long)a.pfn);
	CHECK_EQ(traced(place, "for=contig why=pin", "expected=2 found=3"), 1);
	CHECK_EQ(traced("for=contig", "", ""), 1);

	/* Nobody but its owner: it moves, and the page can be had. */
	TELL(fd, TFO_RELEASE);
	TELL(fd, TFO_DRAIN);
	CHECK_EQ(TELL(fd, TFO_CONTIG, .index = i).result, 0);
	CHECK_EQ(traced("for=contig", "", ""), 1);
	CHECK_EQ(wrong(fd), 0);
	return 0;
}

static int test_X33_contiguous_allocation_names_the_owner(void)
{
	unsigned int i;
	int fd;

	make_room();
	fd = owned_object(MANY);
	i = index_among_own(fd, MANY);
	TELL(fd, TFO_DRAIN);
	TELL(fd, TFO_BEHAVE, .value = TFO_BUSY);
	begin();
	CHECK_EQ(TELL(fd, TFO_CONTIG, .index = i).result, -EBUSY);
	CHECK_EQ(blocked("contig", "owner_refused"), 1);
	CHECK_EQ(traced("for=contig", "owner=tfo_migrate_folio", "err=-16"), 1);
	return 0;
}

static int test_X34_unmovable_page_is_named(void)
{
	int fd = owned_object(1);

	begin();
	CHECK_EQ(TELL(fd, TFO_CONTIG, .flags = TFO_SLAB).result, -EBUSY);
	CHECK(blocked("contig", "unmovable") > 0);
	/* One for the pageblock, and nothing that was not tried. */
	CHECK_EQ(traced("for=contig", "", ""), 1);
	CHECK_EQ(blocked("contig", "pin"), 0);
	return 0;
}

static const struct test tests[] = {
	TEST(test_W13_foreign_pin_is_named),
	TEST(test_W15_pin_without_owner_is_named),
	TEST(test_W13_owner_that_refuses_is_named),
	TEST(test_H_A6_mode_is_named),
	TEST(test_W13_owned_frame_is_named),
	TEST(test_W13_lock_is_named),
	TEST(test_W13_what_moves_in_the_end_is_not_named),
	TEST(test_W13_old_reason_is_forgotten),
	TEST(test_X33_contiguous_allocation_names_who),
	TEST(test_X33_contiguous_allocation_names_the_owner),
	TEST(test_X34_unmovable_page_is_named),
	{ 0 }
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, read_vmstat("migrate_blocked_pin") >= 0);
}
