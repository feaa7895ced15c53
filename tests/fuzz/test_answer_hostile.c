/* SPDX-License-Identifier: MIT */
/*
 * test_answer_hostile.c: servers that mean harm to who asks them: answers that are wrong, torn,
 * endless, late, or made to reach the terminal.
 */
#include "support.h"

#include "answers.h"
#include "ask.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#define MUTATIONS 20000

static struct answer *a;
static char err[256];

static int parse(const char *text, size_t n)
{
	memset(err, 0, sizeof(err));
	return answer_parse(text, n, a, err, sizeof(err));
}

static int parse_rows(const char *rows)
{
	char text[16384];
	int n = snprintf(text, sizeof(text), "quire\t1\n%send\n", rows);

	assert_in_range(n, 1, sizeof(text) - 1);
	return parse(text, (size_t)n);
}

#define REFUSED(rows)                                                                              \
	do {                                                                                       \
		assert_int_equal(parse_rows(rows), -EBADMSG);                                      \
		assert_null(message_wrong(err));                                                   \
	} while (0)

static void test_answer_good(void **state)
{
	(void)state;
	assert_int_equal(parse(good_answer, sizeof(good_answer) - 1), 0);
	assert_null(answer_wrong(a));
	assert_int_equal(a->process, 1234);
	assert_string_equal(a->program, "cache-d");
	assert_int_equal(a->owners, 2);
	assert_string_equal(a->owner[0].name, "caf\xc3\xa9");
	assert_int_equal(a->holds, 2);
	assert_string_equal(a->hold[0].site, "examples/serve.c:47");
	assert_int_equal(a->hold[1].pins, 8);
	assert_true(a->hold[1].stays);
	assert_int_equal(a->cells, 32);
	assert_int_equal(a->cell[31].used, 512);
	assert_int_equal(a->cell[1].used, 0);
	assert_int_equal(a->plans, 2);
	assert_string_equal(a->plan[0].state, "running");
	assert_int_equal(a->plan[1].code, -16);
	assert_int_equal(a->plan[1].blockers_all, 9);
	assert_int_equal(a->plan[1].blocker[0].code, -11);
	assert_int_equal(answer_number(a->counter, a->counters, "comes_later"), INT64_MAX);
	assert_int_equal(answer_number(a->counter, a->counters, "nothing"), 0);
	assert_int_equal(a->dropped, 0);
}

/* An answer that ends anywhere but at its end is none. */
static void test_answer_torn(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(good_answer) - 1; n++) {
		assert_int_equal(parse(good_answer, n), -EBADMSG);
		assert_null(message_wrong(err));
	}
}

static void test_answer_wrong(void **state)
{
	static char text[2 * ANSWER_LINE];

	(void)state;
	assert_int_equal(parse("", 0), -EBADMSG);
	assert_int_equal(parse("end\n", 4), -EBADMSG);
	assert_int_equal(parse("quire\t2\nend\n", 12), -EBADMSG);
	assert_int_equal(parse("HTTP/1.1 400 Bad Request\r\n", 26), -EBADMSG);
	assert_int_equal(parse("quire\t1\nend\nend\n", 16), -EBADMSG);
	assert_int_equal(parse("quire\t1\nowner\ta\0b\t1\t1\t1\nend\n", 30), -EBADMSG);
	REFUSED("state\tframes\n");
	REFUSED("state\tframes\t\n");
	REFUSED("state\tframes\t-1\n");
	REFUSED("state\tframes\t+1\n");
	REFUSED("state\tframes\t 1\n");
	REFUSED("state\tframes\t1x\n");
	REFUSED("state\tframes\t9223372036854775808\n");
	REFUSED("state\tframes\t99999999999999999999999999\n");
	REFUSED("owner\tname\t1\t1\n");
	REFUSED("hold\tSHORT_PIN\tpinned\towner\tsite\t1\t1\t1\t1\n");
	REFUSED("cell\t0\t1\t1\t0\t0\n");
	REFUSED("heat\t4\t1\t4\nheat\t4\t1\t4\n");
	REFUSED("heat\t4\t0\t4\n");
	REFUSED("heat\t4\t5\t4\n");
	REFUSED("heat\t4\t1\t5\n");
	REFUSED("heat\t4294967296\t4294967296\t0\n");
	REFUSED("heat\t16385\t1\t0\n");
	REFUSED("heat\t4\t1\t4\ncell\t4\t0\t0\t0\t0\n");
	REFUSED("heat\t4\t1\t4\ncell\t1\t0\t0\t0\t0\ncell\t1\t0\t0\t0\t0\n");
	REFUSED("heat\t4\t1\t4\ncell\t1\t513\t0\t0\t0\n");
	REFUSED("heat\t4\t1\t4\ncell\t1\t512\t0\t0\t2\n");
	REFUSED("stays\tVETO\tits owner refused\t1\n");
	REFUSED("blocker\t7\tLONG_PIN\tpinned long\tdisk\tsite\t1\t0\t-11\n");
	REFUSED("plan\t1\tended\t-4096\t1\t1\t512\t0\t1\t1\t1\t1\t1\t1\t0\t0\t0\n");
	REFUSED("plan\t1\tended\t--1\t1\t1\t512\t0\t1\t1\t1\t1\t1\t1\t0\t0\t0\n");
	/* a line as long as may be, and one byte longer */
	memcpy(text, "quire\t1\nx\t", 11); /* the NUL goes at once */
	memset(text + 10, 'y', sizeof(text) - 10);
	memcpy(text + 8 + ANSWER_LINE - 1, "\nend\n", 6);
	assert_int_equal(parse(text, 8 + ANSWER_LINE - 1 + 5), 0);
	text[8 + ANSWER_LINE - 1] = 'y';
	memcpy(text + 8 + ANSWER_LINE, "\nend\n", 6);
	assert_int_equal(parse(text, 8 + ANSWER_LINE + 5), -EBADMSG);
}

/* More rows than there is room for are left out, and counted. */
static void test_answer_of_too_many_rows(void **state)
{
	static const char *const rows[] = {
		"state\tx\t1\n",
		"owner\tx\t1\t1\t1\n",
		"not_moved\tX\tx\t1\n",
		"hold\tX\tx\tx\tx\t1\t1\t1\t1\t1\n",
	};
	static char text[1 << 20];

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(rows); i++) {
		size_t n = (size_t)snprintf(text, sizeof(text), "quire\t1\n");

		for (unsigned k = 0; k < 5000; k++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", rows[i]);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "end\n");
		assert_int_equal(parse(text, n), 0);
		assert_null(answer_wrong(a));
		assert_int_equal(a->dropped + a->states + a->owners + a->reasons + a->holds, 5000);
	}
}

static void test_answer_text_is_made_printable(void **state)
{
	static const struct {
		const char *sent, *taken;
	} names[] = {
		{ "plain", "plain" },
		{ "\033[31mred\033]0;title\007", "?[31mred?]0;title?" },
		{ "\\x1b[2J\\x0a\\x00end", "?[2J??end" },
		{ "\\x5cx41", "\\x41" },
		{ "\\xzz \\x4", "\\xzz \\x4" },
		{ "gr\xc3\xb6\xc3\x9f"
		  "e \xe2\x82\xac \xf0\x9f\x98\x80",
		  "gr\xc3\xb6\xc3\x9f"
		  "e \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xc2\x9b"
		  "31m",
		  "?31m" },		       /* CSI of C1 */
		{ "a\xe2\x80\xaeXb", "a?Xb" }, /* right to left */
		{ "\xe2\x81\xa6\xef\xbb\xbf\xf3\xa0\x80\x81", "???" },
		{ "\xff\xfe\x80", "???" },		  /* no UTF-8 */
		{ "\xc0\xaf\xe0\x80\xaf", "?????" },	  /* too long for what they mean */
		{ "\xed\xa0\x80", "???" },		  /* half of a pair */
		{ "\xf4\x90\x80\x80\xe2\x82", "??????" }, /* beyond the last; cut off */
		{ "\\xc3\\xa9", "\xc3\xa9" },
	};
	char row[512];

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(names); i++) {
		snprintf(row, sizeof(row), "owner\t%s\t1\t1\t1\n", names[i].sent);
		assert_int_equal(parse_rows(row), 0);
		assert_null(answer_wrong(a));
		assert_string_equal(a->owner[0].name, names[i].taken);
	}
	/* cut between characters, not within one */
	for (unsigned i = 0; i < 300; i += 2)
		snprintf(row + 6 + i, sizeof(row) - 6 - i, "\xc3\xa9");
	memcpy(row, "owner\t", 7);
	row[6] = '\xc3'; /* where the NUL went */
	memcpy(row + 306, "\t1\t1\t1\n", 8);
	assert_int_equal(parse_rows(row), 0);
	assert_null(answer_wrong(a));
	assert_int_equal(strlen(a->owner[0].name), 254);
}

static void test_answer_mutations(void **state)
{
	static const char *const pieces[] = {
		"\t",
		"\n",
		"end\n",
		"\\x",
		"-",
		"9223372036854775808",
		"heat\t9\t1\t9\n",
		"\033[2J",
		"cell\t",
		"plan\t",
		"blocker\t",
		"\xf0\x9f",
		"\xe2\x80\xae",
		"quire\t1\n",
	};
	static char text[2 * sizeof(good_answer) + 1024];
	uint64_t random = seed_of("answers", 5), good = 0, bad = 0;

	(void)state;
	for (unsigned round = 0; round < MUTATIONS; round++) {
		size_t n = sizeof(good_answer) - 1;

		memcpy(text, good_answer, n);
		for (unsigned k = (unsigned)(prng(&random) % 4) + 1; k; k--) {
			const char *piece = pieces[prng(&random) % COUNT_OF(pieces)];
			size_t at = prng(&random) % n, length = strlen(piece);

			switch (prng(&random) % 4) {
			case 0:
				text[at] = (char)prng(&random);
				break;
			case 1:
				text[at] = (char)(text[at] ^ (1 << prng(&random) % 8));
				break;
			case 2: /* a piece put in */
				memmove(text + at + length, text + at, n - at);
				memcpy(text + at, piece, length);
				n += length;
				break;
			default: /* some left out */
				length = prng(&random) % 20 + 1;
				length = length < n - at ? length : n - at;
				memmove(text + at, text + at + length, n - at - length);
				n -= n > length ? length : 0;
				break;
			}
		}
		if (parse(text, n)) {
			assert_null(message_wrong(err));
			bad++;
		} else {
			assert_null(answer_wrong(a));
			good++;
		}
	}
	printf("# %llu taken, %llu refused\n", (unsigned long long)good, (unsigned long long)bad);
	assert_true(good > 1000 && bad > 1000);
}

/* --- whole servers --- */

struct fake {
	int fd;
	const char *says;
	size_t n;
	bool for_ever; /* again and again */
	bool silent;   /* keeps the line open */
	struct gate over;
};

static void fake_serves(void *arg)
{
	struct fake *f = arg;
	int client = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
	char line[64];

	CHECK(client >= 0);
	CHECK(recv(client, line, sizeof(line), 0) == 16);
	do
		if (send(client, f->says, f->n, MSG_NOSIGNAL) < 0)
			break;
	while (f->for_ever);
	if (f->silent)
		gate_pass(&f->over);
	close(client);
}

static int ask_fake(struct fake *f, unsigned seconds)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct hand hand;
	int error;

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", ask_path("fake"));
	f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->fd, (const struct sockaddr *)(const void *)&at, sizeof(at)), 0);
	assert_int_equal(listen(f->fd, 1), 0);
	gate_init(&f->over);
	hand_start(&hand);
	hand_post(&hand, fake_serves, f);
	memset(err, 0, sizeof(err));
	error = client_ask(at.sun_path, seconds, a, err, sizeof(err));
	gate_open(&f->over);
	hand_wait(&hand);
	hand_stop(&hand);
	close(f->fd);
	unlink(at.sun_path);
	return error;
}

static void test_answer_of_servers_that_mean_harm(void **state)
{
	static const char told[] = "quire\t1\nerror\tno \033[2J\nend\n";
	struct fake endless = { .says = good_answer,
				.n = sizeof(good_answer) - 1,
				.for_ever = true };
	struct fake mute = { .silent = true };
	struct fake good = { .says = good_answer, .n = sizeof(good_answer) - 1 };
	struct fake half = { .says = good_answer, .n = 200 };
	struct fake gone = { .says = "" };
	struct fake error = { .says = told, .n = sizeof(told) - 1 };

	(void)state;
	assert_int_equal(ask_fake(&good, 20), 0);
	assert_int_equal(ask_fake(&half, 20), -EBADMSG);
	assert_int_equal(ask_fake(&gone, 20), -EBADMSG);
	assert_string_equal(err, "there was no answer");
	assert_int_equal(ask_fake(&endless, 20), -EMSGSIZE);
	assert_string_equal(err, "the answer has no end");
	assert_int_equal(ask_fake(&mute, 1), -ETIMEDOUT);
	assert_string_equal(err, "no answer in time");
	assert_int_equal(ask_fake(&error, 20), -EBADMSG);
	assert_string_equal(err, "the program says: no ?[2J");
}

static int setup(void **state)
{
	a = calloc(1, sizeof(*a));
	return a ? ask_setup(state) : -1;
}

static int teardown(void **state)
{
	free(a);
	return ask_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answer_good),
		TEST(test_answer_torn),
		TEST(test_answer_wrong),
		TEST(test_answer_of_too_many_rows),
		TEST(test_answer_text_is_made_printable),
		TEST(test_answer_mutations),
		TEST(test_answer_of_servers_that_mean_harm),
	};

	return cmocka_run_group_tests_name("answer_hostile", tests, setup, teardown);
}
