// SPDX-License-Identifier: MIT
#include "ask.h"

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

char ask_folder[64];

int ask_setup(void **state)
{
	(void)state;
	snprintf(ask_folder, sizeof(ask_folder), "/tmp/test-serve-XXXXXX");
	return mkdtemp(ask_folder) ? 0 : -1;
}

static void empty(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *e;
	char path[512];

	while (d && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (unlink(path)) {
			empty(path);
			rmdir(path);
		}
	}
	if (d)
		closedir(d);
}

int ask_teardown(void **state)
{
	(void)state;
	empty(ask_folder);
	return rmdir(ask_folder);
}

const char *ask_path(const char *name)
{
	static char text[4][128];
	static unsigned turn;
	char *p = text[turn++ % 4];

	snprintf(p, sizeof(text[0]), "%s/%s", ask_folder, name);
	return p;
}

void serve(struct quire *quire, struct served *s)
{
	static unsigned number;
	char name[16];

	snprintf(name, sizeof(name), "%u", number++);
	s->a = calloc(1, sizeof(*s->a));
	assert_non_null(s->a);
	assert_int_equal(
		quire_serve_create(quire, QUIRE_SERVE_OPTIONS(.path = ask_path(name)), &s->server),
		0);
}

void serve_end(struct served *s)
{
	quire_serve_destroy(s->server);
	free(s->a);
}

void ask(struct served *s)
{
	char err[256] = "";

	if (!CHECK(!client_ask(quire_serve_path(s->server), 20, s->a, err, sizeof(err))))
		fprintf(stderr, "# %s\n", err);
}

const struct answer_owner *owner_of(const struct served *s, const char *name)
{
	for (size_t i = 0; i < s->a->owners; i++)
		if (!strcmp(s->a->owner[i].name, name))
			return &s->a->owner[i];
	return NULL;
}

const struct answer_hold *hold_of(const struct served *s, const char *reason, const char *owner)
{
	for (size_t i = 0; i < s->a->holds; i++)
		if (!strcmp(s->a->hold[i].reason, reason) && !strcmp(s->a->hold[i].owner, owner))
			return &s->a->hold[i];
	return NULL;
}

int connection(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -1;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (!connect(fd, (const struct sockaddr *)(const void *)&a, sizeof(a)))
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

long read_all(int fd, char *to, size_t room)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;

	while (poll(&p, 1, 10000) > 0) {
		ssize_t got = recv(fd, to + n, room - n, 0);

		if (got <= 0)
			return got && errno != ECONNRESET ? -1 : (long)n;
		n += (size_t)got;
	}
	return -1;
}
