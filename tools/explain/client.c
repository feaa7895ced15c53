// SPDX-License-Identifier: MIT
#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "printable.h"

/* --- a connection --- */

static int wait_until(int fd, short events, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t now = clock_ns();
	int n;

	if (now >= deadline)
		return -ETIMEDOUT;
	n = poll(&p, 1, (int)((deadline - now) / 1000000u) + 1);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return 0;
}

static int connect_to(const char *path, uint64_t deadline)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t length = strlen(path);
	int fd, error;

	if (length >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, length + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (const struct sockaddr *)(const void *)&a, sizeof(a))) {
		error = -errno;
		/* EAGAIN: others wait there; such a socket cannot be polled */
		if (error == -EAGAIN && clock_ns() < deadline) {
			(void)poll(NULL, 0, 10);
			continue;
		}
		close(fd);
		return error == -EAGAIN ? -ETIMEDOUT : error;
	}
	return fd;
}

static int say(int fd, const char *line, uint64_t deadline)
{
	size_t left = strlen(line);
	int error = 0;

	while (left && !error) {
		ssize_t n = send(fd, line, left, MSG_NOSIGNAL);

		if (n > 0) {
			line += n;
			left -= (size_t)n;
		} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
			return -errno;
		} else {
			error = wait_until(fd, POLLOUT, deadline);
		}
	}
	return error;
}

/* Until the other end closes. *n bytes; more than ANSWER_MAX is -EMSGSIZE. */
static int hear(int fd, uint64_t deadline, char **text, size_t *n)
{
	size_t room = 0;
	int error = 0;

	*text = NULL;
	*n = 0;
	while (!error) {
		ssize_t got;

		if (*n == room) {
			char *grown;

			if (room >= ANSWER_MAX)
				return -EMSGSIZE;
			room = room ? 2 * room : 65536;
			grown = realloc(*text, room);
			if (!grown)
				return -ENOMEM;
			*text = grown;
		}
		got = recv(fd, *text + *n, room - *n, 0);
		if (!got)
			return 0;
		if (got > 0)
			*n += (size_t)got;
		else if (errno == EAGAIN || errno == EINTR)
			error = wait_until(fd, POLLIN, deadline);
		else
			error = -errno;
		if (!error && clock_ns() >= deadline)
			error = -ETIMEDOUT;
	}
	return error;
}

static const char *what(int error)
{
	switch (error) {
	case -ECONNREFUSED:
		return "nobody serves there any more";
	case -ENOENT:
		return "there is no such socket";
	case -ENOTSOCK:
		return "that is no socket";
	case -EACCES:
		return "it is another user's";
	case -ENAMETOOLONG:
		return "the path is longer than a socket's may be";
	case -ETIMEDOUT:
		return "no answer in time";
	case -EMSGSIZE:
		return "the answer has no end";
	case -ECONNRESET:
	case -EPIPE:
		return "the program hung up";
	default:
		return strerror(-error);
	}
}

int client_ask(const char *path, unsigned seconds, struct answer *answer, char *err,
	       size_t err_size)
{
	uint64_t deadline = clock_ns() + (uint64_t)seconds * 1000000000u;
	struct stat there;
	char *text = NULL;
	size_t n = 0;
	int fd, error;

	fd = connect_to(path, deadline);
	error = fd < 0 ? fd : say(fd, "quire 1 explain\n", deadline);
	if (!error)
		error = hear(fd, deadline, &text, &n);
	if (fd >= 0)
		close(fd);
	if (error == -ECONNREFUSED && !stat(path, &there) && !S_ISSOCK(there.st_mode))
		error = -ENOTSOCK;
	if (error)
		(void)snprintf(err, err_size, "%s", what(error));
	else
		error = answer_parse(text, n, answer, err, err_size);
	free(text);
	if (!error && answer->error[0]) {
		(void)snprintf(err, err_size, "the program says: %.200s", answer->error);
		error = -EBADMSG;
	}
	return error;
}

/* --- finding --- */

/* "PID-N.sock"; 0: it is no such name. */
static long process_of(const char *name)
{
	unsigned long n;
	char *end;

	if (*name < '1' || *name > '9')
		return 0;
	errno = 0;
	n = strtoul(name, &end, 10);
	if (errno || *end != '-' || n > INT32_MAX)
		return 0;
	end++;
	if (!*end || strspn(end, "0123456789") + strlen(".sock") != strlen(end))
		return 0;
	return strcmp(end + strlen(end) - 5, ".sock") ? 0 : (long)n;
}

static bool is_served(const char *path)
{
	int fd = connect_to(path, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || fd == -ETIMEDOUT; /* it is there, and busy */
}

static DIR *open_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat s;
	DIR *d;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &s) || s.st_uid != geteuid() || s.st_mode & 077) {
		char shown[256];

		(void)snprintf(shown, sizeof(shown), "%s", folder);
		fprintf(stderr, "quire explain: %s is passed over: it is not the user's alone\n",
			make_printable(shown));
		close(fd);
		return NULL;
	}
	d = fdopendir(fd);
	if (!d)
		close(fd);
	return d;
}

static size_t find_in(const char *folder, long process, struct client_place *places, size_t n)
{
	DIR *d = open_folder(folder);
	struct dirent *e;

	while (d && n < CLIENT_PLACES && (e = readdir(d))) {
		long owner = process_of(e->d_name);
		int length;

		if (!owner || (process && owner != process))
			continue;
		length = snprintf(places[n].path, sizeof(places[n].path), "%s/%s", folder,
				  e->d_name);
		if (length < 0 || (size_t)length >= sizeof(places[n].path) ||
		    !is_served(places[n].path))
			continue;
		places[n++].process = owner;
	}
	if (d)
		closedir(d);
	return n;
}

static int by_process(const void *a, const void *b)
{
	const struct client_place *x = a, *y = b;

	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	return strcmp(x->path, y->path);
}

size_t client_find(long process, struct client_place places[CLIENT_PLACES])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char folder[CLIENT_PATH];
	size_t n = 0;
	int length;

	if (runtime && *runtime == '/') {
		length = snprintf(folder, sizeof(folder), "%s/quire", runtime);
		if (length > 0 && (size_t)length < sizeof(folder))
			n = find_in(folder, process, places, n);
	}
	/* A program that was started elsewhere may know of no runtime folder. */
	(void)snprintf(folder, sizeof(folder), "/tmp/quire-%u", (unsigned)geteuid());
	n = find_in(folder, process, places, n);
	if (n)
		qsort(places, n, sizeof(places[0]), by_process);
	return n;
}
