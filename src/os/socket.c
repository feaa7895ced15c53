// SPDX-License-Identifier: MIT
#include "os/socket.h"

#include "os/os.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == OS_SOCKET_PATH, "a socket's path");

uint32_t os_user(void)
{
	return (uint32_t)geteuid();
}

int os_process(void)
{
	return (int)getpid();
}

const char *os_environment(const char *name)
{
	const char *value = secure_getenv(name);

	return value && *value ? value : NULL;
}

int os_folder_open(const char *path, bool follow)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:folder"), fd;

	if (error)
		return error;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
	if (fd >= 0)
		return fd;
	/* of a link too, with O_DIRECTORY */
	if (errno == ENOTDIR && !follow) {
		struct stat s;

		if (!lstat(path, &s))
			return S_ISLNK(s.st_mode) ? -ELOOP : -ENOTDIR;
		return -ENOTDIR;
	}
	return -errno;
}

int os_folder_make(const char *path)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:folder-make");

	if (error)
		return error;
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static void give(const struct stat *s, struct os_stat *to)
{
	*to = (struct os_stat){
		.device = s->st_dev,
		.inode = s->st_ino,
		.user = (uint32_t)s->st_uid,
		.mode = (uint32_t)s->st_mode & 07777u,
		.folder = S_ISDIR(s->st_mode),
		.socket = S_ISSOCK(s->st_mode),
		.link = S_ISLNK(s->st_mode),
	};
}

int os_stat(int fd, struct os_stat *to)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:stat");
	struct stat s;

	if (error)
		return error;
	if (fstat(fd, &s))
		return -errno;
	give(&s, to);
	return 0;
}

int os_stat_at(int folder, const char *name, struct os_stat *to)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:stat");
	struct stat s;

	if (error)
		return error;
	if (fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW))
		return -errno;
	give(&s, to);
	return 0;
}

int os_unlink_at(int folder, const char *name)
{
	OS_KEEP_ERRNO;

	return unlinkat(folder, name, 0) ? -errno : 0;
}

int os_lock(int fd)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:lock");

	if (error)
		return error;
	return flock(fd, LOCK_EX | LOCK_NB) ? -errno : 0;
}

void os_unlock(int fd)
{
	OS_KEEP_ERRNO;

	(void)flock(fd, LOCK_UN);
}

int os_socket(void)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:socket"), fd;

	if (error)
		return error;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* bind() gives the file the mode of the socket, less the umask */
	if (fchmod(fd, 0600)) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	memcpy(a.sun_path, path, strnlen(path, sizeof(a.sun_path) - 1));
	return a;
}

int os_bind(int fd, const char *path)
{
	OS_KEEP_ERRNO;
	struct sockaddr_un a = address(path);
	int error = os_fail("os:bind");

	if (error)
		return error;
	return bind(fd, (const struct sockaddr *)(const void *)&a, sizeof(a)) ? -errno : 0;
}

int os_connect(int fd, const char *path)
{
	OS_KEEP_ERRNO;
	struct sockaddr_un a = address(path);
	int error = os_fail("os:connect");

	if (error)
		return error;
	return connect(fd, (const struct sockaddr *)(const void *)&a, sizeof(a)) ? -errno : 0;
}

int os_listen(int fd, int backlog)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:listen");

	if (error)
		return error;
	return listen(fd, backlog) ? -errno : 0;
}

int os_accept(int fd)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:accept"), client;

	if (error)
		return error;
	client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return client < 0 ? -errno : client;
}

int os_peer(int fd, uint32_t *user)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:peer");
	struct ucred who;
	socklen_t n = sizeof(who);

	if (error)
		return error;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n))
		return -errno;
	*user = (uint32_t)who.uid;
	return 0;
}

long os_receive(int fd, void *to, size_t n)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:receive");
	ssize_t got;

	if (error)
		return error;
	got = recv(fd, to, n, MSG_DONTWAIT);
	return got < 0 ? -errno : (long)got;
}

long os_send(int fd, const void *from, size_t n)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:send");
	ssize_t sent;

	if (error)
		return error;
	sent = send(fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 ? -errno : (long)sent;
}

int os_event_create(void)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:event"), fd;

	if (error)
		return error;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

void os_event_raise(int fd)
{
	OS_KEEP_ERRNO;
	uint64_t one = 1;

	/* Full means raised. */
	(void)!write(fd, &one, sizeof(one));
}

void os_event_clear(int fd)
{
	OS_KEEP_ERRNO;
	uint64_t n;

	(void)!read(fd, &n, sizeof(n));
}

int os_poll(struct os_poll *polls, size_t n, uint64_t timeout_ns)
{
	OS_KEEP_ERRNO;
	struct pollfd fds[OS_POLL_MAX];
	struct timespec ts;

	if (n > OS_POLL_MAX)
		return -EINVAL;
#ifdef QUIRE_POINTS
	/* A clock that the test moves: whoever waits looks at it again soon. */
	if (__atomic_load_n(&os_clock_override, __ATOMIC_RELAXED) != UINT64_MAX &&
	    timeout_ns > 10000000)
		timeout_ns = 10000000;
#endif
	for (size_t i = 0; i < n; i++) {
		fds[i].fd = polls[i].fd;
		fds[i].events = (short)((polls[i].want & OS_READ ? POLLIN : 0) |
					(polls[i].want & OS_WRITE ? POLLOUT : 0));
		fds[i].revents = 0;
		polls[i].ready = false;
	}
	ts.tv_sec = (time_t)(timeout_ns / 1000000000u);
	ts.tv_nsec = (long)(timeout_ns % 1000000000u);
	if (ppoll(fds, (nfds_t)n, timeout_ns == UINT64_MAX ? NULL : &ts, NULL) < 0)
		return -errno;
	for (size_t i = 0; i < n; i++)
		polls[i].ready = fds[i].revents != 0;
	return 0;
}

int os_thread_start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
	OS_KEEP_ERRNO;
	int error = os_fail("os:thread");
	sigset_t all, before;

	if (error)
		return error;
	/* A thread starts with the mask of its maker. */
	sigfillset(&all);
	error = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (error)
		return -error;
	error = pthread_create(thread, NULL, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

void os_thread_join(pthread_t thread)
{
	(void)pthread_join(thread, NULL);
}
