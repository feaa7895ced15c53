/* SPDX-License-Identifier: MIT */
/*
 * test_serve_socket.c: a server's socket: who may come, where it may be, what is replaced and what
 * is not, fork, and that nothing of a server is left behind, whichever step fails.
 */
#include "support.h"

#include "ask.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define NOBODY 65534u

static const char question[] = "quire 1 explain\n";

static int create(struct quire *q, const char *path, struct quire_server **s)
{
	*s = (void *)1;
	return quire_serve_create(q, QUIRE_SERVE_OPTIONS(.path = path), s);
}

static mode_t mode_of(const char *path)
{
	struct stat s;

	assert_int_equal(lstat(path, &s), 0);
	return s.st_mode;
}

static bool is_there(const char *path)
{
	struct stat s;

	return !lstat(path, &s);
}

static void refused(struct quire *q, const char *path, int error)
{
	struct quire_server *s;

	assert_int_equal(create(q, path, &s), error);
	assert_null(s);
}

/* Runs fn in a child and returns its exit status. */
static int in_child(int (*fn)(void *arg), void *arg)
{
	pid_t child;
	int status;

	fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(fn(arg));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* --- who may come --- */

static void test_serve_socket_is_the_users_alone(void **state)
{
	struct quire *q = make_quire(1);
	mode_t before = umask(0);
	struct served s;

	(void)state;
	serve(q, &s);
	umask(before);
	assert_true(S_ISSOCK(mode_of(quire_serve_path(s.server))));
	assert_int_equal(mode_of(quire_serve_path(s.server)) & 07777, 0600);
	serve_end(&s);
	end_quire(q);
}

/* 0: refused to connect; 1: connected, and hung up on; 2: it was told something. */
static int connect_as_nobody(void *path)
{
	char text[256];
	long n;
	int fd;

	if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
		return 3;
	fd = connection(path);
	if (fd < 0)
		return errno == EACCES ? 0 : 4;
	(void)!send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL);
	n = read_all(fd, text, sizeof(text));
	return n > 0 ? 2 : 1;
}

static void test_serve_refuses_other_users(void **state)
{
	struct quire *q;
	struct served s;
	char path[128];

	(void)state;
	if (geteuid()) {
		printf("# another user can be only by root\n");
		skip();
	}
	q = make_quire(1);
	serve(q, &s);
	snprintf(path, sizeof(path), "%s", quire_serve_path(s.server));
	assert_int_equal(chmod(ask_folder, 0755), 0);
	assert_int_equal(in_child(connect_as_nobody, path), 0);
	/* Where the mode does not keep him out, the server does. */
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(in_child(connect_as_nobody, path), 1);
	ask(&s);
	assert_int_equal(chmod(ask_folder, 0700), 0);
	serve_end(&s);
	end_quire(q);
}

/* Nothing is served unless the host asks for it. */
static void test_serve_nothing_by_itself(void **state)
{
	const char *path = ask_path("by-itself");
	struct quire *q;

	(void)state;
	assert_int_equal(setenv("QUIRE_SOCKET", path, 1), 0);
	q = make_quire(1);
	assert_false(is_there(path));
	end_quire(q);
	unsetenv("QUIRE_SOCKET");
}

/* --- where --- */

static void test_serve_goes_where_the_environment_says(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_server *s, *t;
	char path[256], runtime[128];

	(void)state;
	snprintf(path, sizeof(path), "%s", ask_path("named"));
	snprintf(runtime, sizeof(runtime), "%s", ask_path("runtime"));
	assert_int_equal(mkdir(runtime, 0700), 0);
	assert_int_equal(setenv("QUIRE_SOCKET", path, 1), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", runtime, 1), 0);
	assert_int_equal(quire_serve_create(q, NULL, &s), 0);
	assert_string_equal(quire_serve_path(s), path);
	quire_serve_destroy(s);
	unsetenv("QUIRE_SOCKET");
	assert_int_equal(quire_serve_create(q, NULL, &s), 0);
	assert_int_equal(quire_serve_create(q, NULL, &t), 0);
	snprintf(path, sizeof(path), "%s/quire/%d-", runtime, getpid());
	assert_memory_equal(quire_serve_path(s), path, strlen(path));
	assert_memory_equal(quire_serve_path(t), path, strlen(path));
	assert_string_not_equal(quire_serve_path(s), quire_serve_path(t));
	assert_true(is_there(quire_serve_path(s)));
	snprintf(path, sizeof(path), "%s/quire", runtime);
	assert_int_equal(mode_of(path) & 07777, 0700);
	/* the options come first */
	quire_serve_destroy(t);
	assert_int_equal(create(q, ask_path("given"), &t), 0);
	assert_string_equal(quire_serve_path(t), ask_path("given"));
	quire_serve_destroy(s);
	quire_serve_destroy(t);
	assert_int_equal(rmdir(path), 0); /* nothing is left in it */
	unsetenv("XDG_RUNTIME_DIR");
	end_quire(q);
}

static void test_serve_runtime_folder_must_be_private(void **state)
{
	struct quire *q = make_quire(1);
	char runtime[128], folder[160], other[128];

	(void)state;
	snprintf(runtime, sizeof(runtime), "%s", ask_path("open"));
	snprintf(folder, sizeof(folder), "%s/quire", runtime);
	snprintf(other, sizeof(other), "%s", ask_path("other"));
	assert_int_equal(mkdir(runtime, 0700), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", runtime, 1), 0);
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(chmod(folder, 0710), 0);
	refused(q, NULL, -EPERM);
	assert_int_equal(rmdir(folder), 0);
	/* somebody's link to a folder that would do */
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(symlink(other, folder), 0);
	refused(q, NULL, -ELOOP);
	assert_int_equal(rmdir(other), 0); /* and nothing was made there */
	assert_int_equal(unlink(folder), 0);
	if (!geteuid()) {
		assert_int_equal(mkdir(folder, 0700), 0);
		assert_int_equal(chown(folder, NOBODY, NOBODY), 0);
		refused(q, NULL, -EPERM);
	}
	unsetenv("XDG_RUNTIME_DIR");
	end_quire(q);
}

static void test_serve_refuses_bad_options(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_server *s = (void *)1;
	char path[300];

	(void)state;
	assert_int_equal(quire_serve_create(NULL, NULL, &s), -EINVAL);
	assert_null(s);
	assert_int_equal(quire_serve_create(q, NULL, NULL), -EINVAL);
	assert_int_equal(quire_serve_create(q, QUIRE_SERVE_OPTIONS(.flags = 1), &s), -EINVAL);
	assert_int_equal(quire_serve_create(q, QUIRE_SERVE_OPTIONS(.reserved = 1), &s), -EINVAL);
	assert_int_equal(quire_serve_create(q, QUIRE_SERVE_OPTIONS(.deadline_ns = UINT64_MAX), &s),
			 -EINVAL);
	assert_int_equal(quire_serve_create(q, &(struct quire_serve_options){ .size = 0 }, &s),
			 -EINVAL);
	refused(q, "", -EINVAL);
	refused(q, ask_path(""), -EINVAL);
	refused(q, ask_path("."), -EINVAL);
	refused(q, ask_path(".."), -EINVAL);
	refused(q, ask_path("nowhere/socket"), -ENOENT);
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	refused(q, path, -ENAMETOOLONG);
	path[sizeof(((struct sockaddr_un *)0)->sun_path)] = '\0';
	refused(q, path, -ENAMETOOLONG);
	quire_serve_destroy(NULL);
	end_quire(q);
}

/* The longest path there is, and one byte more. */
static void test_serve_path_as_long_as_a_sockets_may_be(void **state)
{
	const size_t most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
	struct quire *q = make_quire(1);
	struct quire_server *s;
	char path[256];
	size_t n;

	(void)state;
	n = (size_t)snprintf(path, sizeof(path), "%s/", ask_folder);
	memset(path + n, 'x', sizeof(path) - n);
	path[most + 1] = '\0';
	refused(q, path, -ENAMETOOLONG);
	path[most] = '\0';
	assert_int_equal(create(q, path, &s), 0);
	assert_true(is_there(path));
	quire_serve_destroy(s);
	end_quire(q);
}

static void test_serve_folder_must_not_be_anybodys(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_server *s;
	char folder[128], path[160];

	(void)state;
	snprintf(folder, sizeof(folder), "%s", ask_path("shared"));
	snprintf(path, sizeof(path), "%s/socket", folder);
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(chmod(folder, 0777), 0);
	refused(q, path, -EPERM);
	assert_int_equal(chmod(folder, 0720), 0);
	refused(q, path, -EPERM);
	assert_int_equal(chmod(folder, 01777), 0); /* as /tmp */
	assert_int_equal(create(q, path, &s), 0);
	quire_serve_destroy(s);
	if (!geteuid()) {
		assert_int_equal(chown(folder, NOBODY, NOBODY), 0);
		refused(q, path, -EPERM);
	}
	end_quire(q);
}

/* --- what is there already --- */

static int serve_and_die(void *path)
{
	struct quire_server *s;
	struct quire *q;

	/* neither is ended: the file stays */
	return quire_create(QUIRE_OPTIONS(.arena_bytes = 2 << 20), &q) || create(q, path, &s);
}

static void test_serve_replaces_the_socket_of_a_dead_process(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_server *s;
	char path[128];
	struct stat old, new;

	(void)state;
	snprintf(path, sizeof(path), "%s", ask_path("stale"));
	assert_int_equal(in_child(serve_and_die, path), 0);
	assert_int_equal(lstat(path, &old), 0);
	assert_int_equal(connection(path), -1);
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(create(q, path, &s), 0);
	assert_int_equal(lstat(path, &new), 0);
	assert_true(old.st_ino != new.st_ino || old.st_ctime != new.st_ctime ||
		    old.st_ctim.tv_nsec != new.st_ctim.tv_nsec);
	close(connection(path));
	quire_serve_destroy(s);
	assert_false(is_there(path));
	end_quire(q);
}

static void test_serve_leaves_a_served_socket_alone(void **state)
{
	struct quire *q = make_quire(1);
	char path[128];
	struct served s;

	(void)state;
	serve(q, &s);
	snprintf(path, sizeof(path), "%s", quire_serve_path(s.server));
	refused(q, path, -EADDRINUSE);
	ask(&s);
	serve_end(&s);
	end_quire(q);
}

/* Busy so that the kernel's queue is full: that is served, too. */
static void test_serve_leaves_a_busy_socket_alone(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), client[8];
	struct quire *q = make_quire(1);
	unsigned n = 0;

	(void)state;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", ask_path("busy"));
	assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	while (n < 8 && (client[n] = connection(a.sun_path)) >= 0)
		n++;
	assert_true(n < 8);
	refused(q, a.sun_path, -EADDRINUSE);
	assert_true(is_there(a.sun_path));
	while (n)
		close(client[--n]);
	close(fd);
	assert_int_equal(unlink(a.sun_path), 0);
	end_quire(q);
}

static void test_serve_touches_nothing_that_is_no_socket(void **state)
{
	struct quire *q = make_quire(1);
	char file[128], link[128];
	int fd;

	(void)state;
	snprintf(file, sizeof(file), "%s", ask_path("precious"));
	snprintf(link, sizeof(link), "%s", ask_path("link"));
	fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "gold", 4), 4);
	close(fd);
	refused(q, file, -EEXIST);
	assert_true(S_ISREG(mode_of(file)));
	/* a link to it, to nothing, to a stale socket */
	assert_int_equal(symlink(file, link), 0);
	refused(q, link, -ELOOP);
	assert_true(S_ISLNK(mode_of(link)));
	assert_int_equal(unlink(file), 0);
	refused(q, link, -ELOOP);
	assert_false(is_there(file));
	assert_int_equal(in_child(serve_and_die, file), 0);
	refused(q, link, -ELOOP);
	assert_true(is_there(file));
	unlink(link);
	unlink(file);
	end_quire(q);
}

static void test_serve_leaves_another_users_socket(void **state)
{
	struct quire *q;
	char path[128];

	(void)state;
	if (geteuid()) {
		printf("# a file of another user can be made only by root\n");
		skip();
	}
	q = make_quire(1);
	snprintf(path, sizeof(path), "%s", ask_path("foreign"));
	assert_int_equal(in_child(serve_and_die, path), 0);
	assert_int_equal(chown(path, NOBODY, NOBODY), 0);
	refused(q, path, -EPERM);
	assert_true(is_there(path));
	unlink(path);
	end_quire(q);
}

/* At its end a server takes its own file away, and no other. */
static void test_serve_end_leaves_what_took_its_place(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_server *s, *t;
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s", ask_path("place"));
	assert_int_equal(create(q, path, &s), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(create(q, path, &t), 0);
	quire_serve_destroy(s);
	assert_true(is_there(path));
	quire_serve_destroy(t);
	assert_false(is_there(path));
	end_quire(q);
}

/* --- its life --- */

static void test_serve_keeps_its_quire(void **state)
{
	struct quire *q = make_quire(1);
	struct served s;

	(void)state;
	serve(q, &s);
	assert_int_equal(quire_destroy(q), -EBUSY);
	ask(&s);
	serve_end(&s);
	end_quire(q);
}

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Each step of making one is made to fail; each time all is as before, and then it works. */
static void test_serve_leaves_nothing_when_a_step_fails(void **state)
{
	struct quire *q = make_quire(1);
	unsigned open = descriptors(), n;
	struct quire_server *s;
	char path[128];
	bool fired;
	int error;

	(void)state;
	snprintf(path, sizeof(path), "%s", ask_path("steps"));
	for (n = 1;; n++) {
		/* what is found stale takes steps of its own */
		assert_int_equal(in_child(serve_and_die, path), 0);
		quire_fault_arm_(NULL, n, -EIO);
		error = create(q, path, &s);
		fired = quire_fault_disarm_();
		if (!error)
			break;
		assert_true(fired);
		assert_null(s);
		assert_int_equal(descriptors(), open);
		if (is_there(path)) { /* the old one: nobody serves there */
			assert_int_equal(connection(path), -1);
			assert_int_equal(errno, ECONNREFUSED);
		}
		assert_int_equal(create(q, path, &s), 0);
		quire_serve_destroy(s);
		assert_int_equal(descriptors(), open);
	}
	printf("# %u steps\n", n - 1);
	assert_true(n > 12);
	quire_serve_destroy(s);
	assert_int_equal(descriptors(), open);
	assert_false(is_there(path));
	end_quire(q);
}

/* A step of serving that fails costs a client its connection, and nobody anything else. */
static void test_serve_goes_on_when_a_step_of_serving_fails(void **state)
{
	static const char *const steps[] = { "os:accept", "os:peer", "os:receive", "os:send" };
	struct quire *q = make_quire(1);
	static char text[1 << 20];
	struct served s;
	int fd;

	(void)state;
	serve(q, &s);
	for (unsigned i = 0; i < COUNT_OF(steps); i++) {
		quire_fault_arm_(steps[i], 1, -EIO);
		fd = connection(quire_serve_path(s.server));
		assert_true(fd >= 0);
		(void)!send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL);
		/* what failed to be accepted is accepted the next time */
		assert_true(read_all(fd, text, sizeof(text)) >= 0);
		assert_true(quire_fault_disarm_());
		close(fd);
		ask(&s);
	}
	serve_end(&s);
	end_quire(q);
}

/* The threads there are, by their numbers; how many. */
static unsigned task_list(int *list, unsigned room)
{
	DIR *d = opendir("/proc/self/task");
	unsigned n = 0;
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (atoi(e->d_name) && n < room)
			list[n++] = atoi(e->d_name);
	if (d)
		closedir(d);
	return n;
}

static void test_serve_thread_gets_no_signals(void **state)
{
	struct quire *q = make_quire(1);
	char path[300], line[256];
	unsigned long long blocked = 0;
	int old[16], now[17], found = 0;
	unsigned before = task_list(old, COUNT_OF(old)), after;
	struct served s;

	(void)state;
	serve(q, &s);
	ask(&s); /* until it runs, a thread of any kind has them blocked */
	after = task_list(now, COUNT_OF(now));
	assert_int_equal(after, before + 1);
	for (unsigned i = 0; i < after; i++) {
		bool is_new = true;
		FILE *f;

		for (unsigned j = 0; j < before; j++)
			is_new = is_new && now[i] != old[j];
		if (!is_new)
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%d/status", now[i]);
		f = fopen(path, "re");
		assert_non_null(f);
		while (fgets(line, sizeof(line), f))
			found += sscanf(line, "SigBlk: %llx", &blocked) == 1;
		fclose(f);
	}
	assert_int_equal(found, 1);
	for (int sig = 1; sig < 32; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			assert_true(blocked >> (sig - 1) & 1);
	serve_end(&s);
	assert_int_equal(task_list(now, COUNT_OF(now)), before);
	end_quire(q);
}

/* --- fork --- */

struct forked {
	struct quire *q;
	struct quire_server *s;
	unsigned sockets; /* the parent has, before the server */
};

static unsigned sockets(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;
	struct dirent *e;
	struct stat s;

	while (d && (e = readdir(d)))
		n += !fstatat(dirfd(d), e->d_name, &s, 0) && S_ISSOCK(s.st_mode);
	if (d)
		closedir(d);
	return n;
}

static int child_of_a_served_one(void *arg)
{
	struct forked *f = arg;
	struct quire_server *s;
	char path[128];

	snprintf(path, sizeof(path), "%s", quire_serve_path(f->s));
	if (sockets() != f->sockets)
		return 1;
	if (quire_serve_create(f->q, NULL, &s) != -ENXIO || s)
		return 2;
	quire_serve_destroy(f->s);
	if (!is_there(path))
		return 3;
	return quire_destroy(f->q) ? 4 : 0;
}

static void test_serve_fork_leaves_it_to_the_parent(void **state)
{
	struct quire *q = make_quire(1);
	struct forked f = { .q = q, .sockets = sockets() };
	struct served s;
	int fd;

	(void)state;
	serve(q, &s);
	f.s = s.server;
	fd = connection(quire_serve_path(s.server)); /* one that is being served */
	ask(&s);				     /* so it has been accepted before */
	f.sockets++;				     /* the client's end, here */
	assert_int_equal(in_child(child_of_a_served_one, &f), 0);
	ask(&s);
	close(fd);
	serve_end(&s);
	end_quire(q);
}

/* A child that lives on does not make a dead parent look served. */
static void test_serve_fork_child_does_not_hold_the_socket(void **state)
{
	struct quire *q = make_quire(1);
	struct quire_server *s;
	char path[128], other[128];
	int gate[2], up[2], status;
	pid_t child;
	char byte;

	(void)state;
	snprintf(path, sizeof(path), "%s", ask_path("held"));
	snprintf(other, sizeof(other), "%s", ask_path("held-too"));
	assert_int_equal(create(q, path, &s), 0);
	assert_int_equal(link(path, other), 0); /* lives on when the server is gone */
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		close(gate[1]);
		_exit(write(up[1], "", 1) != 1 || read(gate[0], &byte, 1) ? 1 : 0);
	}
	assert_int_equal(read(up[0], &byte, 1), 1); /* fork() has come to its end there, too */
	quire_serve_destroy(s);
	assert_int_equal(connection(other), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(gate[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(gate[0]);
	close(up[0]);
	close(up[1]);
	unlink(other);
	end_quire(q);
}

static int own_server(void *path)
{
	struct quire_server *s;
	struct quire *q;

	if (quire_create(QUIRE_OPTIONS(.arena_bytes = 2 << 20), &q) || create(q, path, &s))
		return 1;
	quire_serve_destroy(s);
	return quire_destroy(q) || is_there(path);
}

static void test_serve_fork_child_may_have_its_own(void **state)
{
	struct quire *q;
	char path[128];
	struct served s;

	(void)state;
	if (QUIRE_TSAN_) {
		printf("# the thread sanitizer allows no thread in a child of a program with "
		       "some\n");
		skip();
	}
	q = make_quire(1);
	snprintf(path, sizeof(path), "%s", ask_path("childs"));
	serve(q, &s);
	assert_int_equal(in_child(own_server, path), 0);
	ask(&s);
	serve_end(&s);
	end_quire(q);
}

/* --- deadlines --- */

/* By a clock that the test moves: half a question, and four of them are all places. */
static void test_serve_hangs_up_on_who_does_not_ask(void **state)
{
	struct quire *q = make_quire(1);
	uint64_t now = CLOCK_START;
	struct served s;
	char text[64];
	int fd[4];

	(void)state;
	quire_clock_set_(now);
	serve(q, &s);
	for (unsigned i = 0; i < COUNT_OF(fd); i++) {
		fd[i] = connection(quire_serve_path(s.server));
		assert_true(fd[i] >= 0);
		assert_int_equal(send(fd[i], question, 5, MSG_NOSIGNAL), 5);
	}
	for (unsigned i = 0; i < COUNT_OF(fd); i++) {
		/* time passes; the first of it while it is being accepted, perhaps */
		for (struct pollfd p = { .fd = fd[i], .events = POLLIN }; !poll(&p, 1, 20);)
			quire_clock_set_(now += SEC);
		assert_int_equal(read_all(fd[i], text, sizeof(text)), 0);
		close(fd[i]);
	}
	assert_true(now >= CLOCK_START + 2 * SEC);
	ask(&s);
	serve_end(&s);
	end_quire(q);
}

static void test_serve_answers_what_it_does_not_understand(void **state)
{
	static const char *const wrong[] = {
		"\n",
		"quire 1\n",
		"quire 2 explain\n",
		"GET / HTTP/1.1\r\n",
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	};
	struct quire *q = make_quire(1);
	char text[512], err[256];
	struct served s;
	long n;
	int fd;

	(void)state;
	serve(q, &s);
	for (unsigned i = 0; i < COUNT_OF(wrong); i++) {
		fd = connection(quire_serve_path(s.server));
		assert_true(send(fd, wrong[i], strlen(wrong[i]), MSG_NOSIGNAL) > 0);
		n = read_all(fd, text, sizeof(text));
		close(fd);
		assert_true(n > 0);
		assert_int_equal(answer_parse(text, (size_t)n, s.a, err, sizeof(err)), 0);
		assert_string_equal(s.a->error, "this server understands: quire 1 explain");
	}
	/* asked in pieces, and with something behind it */
	fd = connection(quire_serve_path(s.server));
	for (unsigned i = 0; i < sizeof(question) - 1; i++)
		assert_int_equal(send(fd, question + i, 1, MSG_NOSIGNAL), 1);
	(void)!send(fd, "more", 4, MSG_NOSIGNAL);
	static char answer[1 << 20];
	n = read_all(fd, answer, sizeof(answer));
	close(fd);
	assert_int_equal(answer_parse(answer, (size_t)n, s.a, err, sizeof(err)), 0);
	assert_string_equal(s.a->error, "");
	serve_end(&s);
	end_quire(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_serve_socket_is_the_users_alone),
		TEST(test_serve_refuses_other_users),
		TEST(test_serve_nothing_by_itself),
		TEST(test_serve_goes_where_the_environment_says),
		TEST(test_serve_runtime_folder_must_be_private),
		TEST(test_serve_refuses_bad_options),
		TEST(test_serve_path_as_long_as_a_sockets_may_be),
		TEST(test_serve_folder_must_not_be_anybodys),
		TEST(test_serve_replaces_the_socket_of_a_dead_process),
		TEST(test_serve_leaves_a_served_socket_alone),
		TEST(test_serve_leaves_a_busy_socket_alone),
		TEST(test_serve_touches_nothing_that_is_no_socket),
		TEST(test_serve_leaves_another_users_socket),
		TEST(test_serve_end_leaves_what_took_its_place),
		TEST(test_serve_keeps_its_quire),
		TEST(test_serve_leaves_nothing_when_a_step_fails),
		TEST(test_serve_goes_on_when_a_step_of_serving_fails),
		TEST(test_serve_thread_gets_no_signals),
		TEST(test_serve_fork_leaves_it_to_the_parent),
		TEST(test_serve_fork_child_does_not_hold_the_socket),
		TEST(test_serve_fork_child_may_have_its_own),
		TEST(test_serve_hangs_up_on_who_does_not_ask),
		TEST(test_serve_answers_what_it_does_not_understand),
	};

	return cmocka_run_group_tests_name("serve_socket", tests, ask_setup, ask_teardown);
}
