/* SPDX-License-Identifier: MIT */
/*
 * test_serve_hostile.c: clients that mean harm, while the host moves its folios: garbage, half
 * lines, questions that are not waited for, answers that are not read, floods. Whatever they do,
 * the host's content stays, its memory and descriptors stay bounded, its server takes a tenth of a
 * core, and a good client is answered.
 *
 * QUIRE_SEED chooses what they do, QUIRE_ROUNDS how often (20,000).
 */
#include "support.h"

#include "ask.h"

#include <dirent.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define BLOCKS 8u
#define ITEMS 1500u
#define KEPT 24u
#define FRAMES 512u

#if defined(__SANITIZE_ADDRESS__) || QUIRE_TSAN_
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const char question[] = "quire 1 explain\n";

/* --- the host --- */

struct host {
	struct quire *q;
	struct probe p;
	struct item it[ITEMS];
	struct quire_server *server;
	unsigned stop;	/* atomic */
	unsigned plans; /* atomic: how many were executed */
	struct hand hand;
};

/* Plans and moves until it is told to end; what it has freed in blocks gets scattered again. */
static void host_works(void *arg)
{
	struct host *h = arg;
	struct quire_plan *plan;
	uint64_t random = 1;

	while (!SEE(&h->stop)) {
		struct quire_move m = { 0 };

		CHECK(!quire_plan_create(
			h->q,
			QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = FRAMES, .count = QUIRE_MAX),
			&plan));
		CHECK(!quire_plan_execute(plan, NULL, NULL));
		quire_plan_destroy(plan);
		for (unsigned i = 0; i < 40; i++) {
			m.folio = h->it[prng(&random) % ITEMS].folio;
			m.to_set = 1;
			m.to = quire_frame((uint32_t)(prng(&random) % (BLOCKS * FRAMES)));
			(void)!quire_move_folios(h->q, &m, 1, QUIRE_ASYNC, 0);
		}
		BUMP(&h->plans);
	}
}

static void host_start(struct host *h)
{
	memset(h, 0, sizeof(*h));
	h->q = make_quire(BLOCKS);
	make_probe(h->q, "host", OP_ALL, &h->p);
	place_row(&h->p, h->it, ITEMS, 0, 0, 7);
	assert_int_equal(quire_serve_create(h->q,
					    QUIRE_SERVE_OPTIONS(.path = ask_path("hostile"),
								.deadline_ns = 10 * MSEC),
					    &h->server),
			 0);
	hand_start(&h->hand);
	hand_post(&h->hand, host_works, h);
}

static void host_end(struct host *h)
{
	PUT(&h->stop, 1u);
	hand_wait(&h->hand);
	hand_stop(&h->hand);
	quire_serve_destroy(h->server);
	assert_row_intact(h->it, ITEMS);
	drop_row(h->it, ITEMS);
	assert_ledger_closed(h->q);
	end_quire(h->q);
}

/* --- what it costs --- */

static unsigned entries(const char *folder)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static uint64_t resident(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*u %lu", &pages), 1);
	fclose(f);
	return (uint64_t)pages * 4096;
}

static uint64_t wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SEC + (uint64_t)t.tv_nsec;
}

/* Nanoseconds that a thread of this process has run. */
static uint64_t thread_cpu(const char *tid)
{
	unsigned long long ns = 0;
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", tid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%llu", &ns) != 1)
		ns = 0;
	fclose(f);
	return ns;
}

/* --- the clients --- */

struct hostile {
	const char *path;
	uint64_t random;
	int kept[KEPT]; /* connections that only take a place; 0: none */
	struct answer *a;
	uint64_t good, refused, told, cut;
	char *text;
	size_t room;
};

/* Waits in the kernel's queue if it is full. */
static int dial(const struct hostile *h)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", h->path);
	assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)&a, sizeof(a)), 0);
	return fd;
}

static void say(int fd, const char *text, size_t n)
{
	(void)!send(fd, text, n, MSG_NOSIGNAL);
}

static void keep(struct hostile *h, int fd)
{
	int *place = &h->kept[prng(&h->random) % KEPT];

	if (*place)
		close(*place);
	*place = fd;
}

static size_t garbage(struct hostile *h, char *to, size_t most)
{
	size_t n = prng(&h->random) % most + 1;

	for (size_t i = 0; i < n; i++)
		to[i] = (char)prng(&h->random);
	return n;
}

/* The question with some bytes changed, left out, or put in. */
static size_t mutated(struct hostile *h, char *to)
{
	size_t n = sizeof(question) - 1, at;

	memcpy(to, question, n);
	for (unsigned k = (unsigned)(prng(&h->random) % 3) + 1; k; k--) {
		at = prng(&h->random) % n;
		switch (prng(&h->random) % 3) {
		case 0:
			to[at] = (char)prng(&h->random);
			break;
		case 1:
			memmove(to + at, to + at + 1, n - at - 1);
			n -= n > 1;
			break;
		default:
			memmove(to + at + 1, to + at, n - at);
			to[at] = (char)prng(&h->random);
			n++;
			break;
		}
	}
	return n;
}

/* What comes back is an answer, whole, or nothing, or a piece of one if its time was over. */
static void listen_to(struct hostile *h, int fd)
{
	char err[256];
	long n = read_all(fd, h->text, h->room);

	assert_true(n >= 0);
	if (!n)
		h->refused++;
	else if (answer_parse(h->text, (size_t)n, h->a, err, sizeof(err)))
		h->cut++;
	else if (h->a->error[0])
		h->told++;
	else
		h->good++;
}

static void flood(struct hostile *h)
{
	int fd[16], n = 0;

	while (n < 16 && (fd[n] = connection(h->path)) >= 0)
		n++;
	while (n)
		close(fd[--n]);
}

static void attack(struct hostile *h)
{
	unsigned what = (unsigned)(prng(&h->random) % 1000);
	char text[512];
	int fd;

	if (what < 20) {
		flood(h);
		return;
	}
	fd = dial(h);
	if (what < 30) { /* takes a place and says nothing, or half of it */
		say(fd, question, what & 1 ? 5 : 0);
		keep(h, fd);
		return;
	}
	if (what < 40) { /* asks and does not read */
		say(fd, question, sizeof(question) - 1);
		keep(h, fd);
		return;
	}
	if (what < 60) { /* asks and goes, at once or in the middle */
		say(fd, question, sizeof(question) - 1);
		if (what & 1)
			(void)!recv(fd, text, 100, 0);
	} else if (what < 80) { /* asks and says it says no more; or more than is wanted */
		say(fd, question, sizeof(question) - 1);
		if (what & 1)
			shutdown(fd, SHUT_WR);
		else
			say(fd, text, garbage(h, text, sizeof(text)));
		listen_to(h, fd);
	} else if (what < 300) {
		say(fd, text, garbage(h, text, sizeof(text)));
		if (what & 1)
			shutdown(fd, SHUT_RDWR);
	} else {
		say(fd, text, mutated(h, text));
		if (what & 1) {
			shutdown(fd, SHUT_WR);
			listen_to(h, fd);
		}
	}
	close(fd);
}

static void hang_up(struct hostile *h)
{
	for (unsigned i = 0; i < KEPT; i++)
		if (h->kept[i])
			close(h->kept[i]);
	memset(h->kept, 0, sizeof(h->kept));
}

static void test_serve_hostile_clients_cannot_hurt_the_host(void **state)
{
	uint64_t rounds = number_of("QUIRE_ROUNDS", 20000), began, cpu, memory;
	static struct host host;
	struct hostile h = { .random = seed_of("hostile clients", 4) };
	unsigned open, threads, old = 0;
	int before[16];
	char tid[16] = "";
	struct dirent *e;
	char err[256];
	DIR *d;

	(void)state;
	d = opendir("/proc/self/task");
	while ((e = readdir(d)))
		if (atoi(e->d_name) && old < COUNT_OF(before))
			before[old++] = atoi(e->d_name);
	closedir(d);
	host_start(&host);
	h.path = quire_serve_path(host.server);
	h.a = calloc(1, sizeof(*h.a));
	h.room = 4u << 20;
	h.text = malloc(h.room);
	assert_true(h.a && h.text);
	/* the server's thread is the one that was not there before, and is not the hand */
	d = opendir("/proc/self/task");
	while ((e = readdir(d))) {
		bool is_new = atoi(e->d_name) != host.hand.tid;

		for (unsigned i = 0; i < old; i++)
			is_new = is_new && atoi(e->d_name) != before[i];
		if (is_new && atoi(e->d_name))
			snprintf(tid, sizeof(tid), "%.15s", e->d_name);
	}
	closedir(d);
	assert_int_equal(client_ask(h.path, 20, h.a, err, sizeof(err)), 0);
	open = entries("/proc/self/fd");
	threads = entries("/proc/self/task");
	memory = resident();
	began = wall();
	cpu = thread_cpu(tid);
	for (uint64_t i = 0; i < rounds; i++)
		attack(&h);
	cpu = thread_cpu(tid) - cpu;
	began = wall() - began;
	hang_up(&h);
	/* good clients are served as before; those before them go at their deadline */
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(client_ask(h.path, 20, h.a, err, sizeof(err)), 0);
	printf("# %llu answers, %llu told off, %llu hung up on, %llu cut; %u plans meanwhile\n",
	       (unsigned long long)h.good, (unsigned long long)h.told,
	       (unsigned long long)h.refused, (unsigned long long)h.cut, SEE(&host.plans));
	assert_true(h.good && h.told && SEE(&host.plans));
	/* the server may still have a client or two that has just gone */
	assert_in_range(entries("/proc/self/fd"), open - 1, open + 4);
	assert_int_equal(entries("/proc/self/task"), threads);
	printf("# the server ran %.3f of the time\n", (double)cpu / (double)began);
	if (!SANITIZED) {
		assert_true(cpu > 0);
		assert_true(cpu * 5 <= began); /* a tenth, and what the kernel takes of poll */
		/* 8 MiB of answers, and what the arena's own pages grow by */
		assert_true(resident() <= memory + (8u << 20) + BLOCKS * (2u << 20));
	}
	host_end(&host);
	free(h.a);
	free(h.text);
}

/* Nothing is allocated for a client: with a host that does nothing else, not a byte. */
static void test_serve_allocates_nothing_for_a_client(void **state)
{
	struct quire *q = make_quire(2);
	struct hostile h = { .random = 11 };
	struct served s;
	size_t before;

	(void)state;
	if (SANITIZED) {
		printf("# a sanitizer does not count what is allocated\n");
		serve(q, &s);
		serve_end(&s);
		end_quire(q);
		skip();
	}
	serve(q, &s);
	h.path = quire_serve_path(s.server);
	h.a = s.a;
	h.room = 1u << 20;
	h.text = malloc(h.room);
	ask(&s);
	before = mallinfo2().uordblks;
	for (unsigned i = 0; i < 500; i++) {
		char text[512];
		int fd = dial(&h);

		say(fd, text, i % 4 ? mutated(&h, text) : garbage(&h, text, sizeof(text)));
		shutdown(fd, SHUT_WR);
		listen_to(&h, fd);
		close(fd);
	}
	ask(&s);
	assert_int_equal(mallinfo2().uordblks, before);
	free(h.text);
	serve_end(&s);
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_serve_hostile_clients_cannot_hurt_the_host),
		TEST(test_serve_allocates_nothing_for_a_client),
	};

	return cmocka_run_group_tests_name("serve_hostile", tests, ask_setup, ask_teardown);
}
