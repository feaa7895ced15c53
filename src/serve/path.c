// SPDX-License-Identifier: MIT
#include "serve/path.h"

#include "os/os.h"
#include "util/atomic.h"

#include <stdio.h>
#include <string.h>

#define LOCK_NS 100000000u /* how long somebody else may hold the folder */
#define LOCK_WAIT_NS 1000000u
#define GROUP_OTHER_WRITE 022u
#define GROUP_OTHER 077u
#define STICKY 01000u

static uint32_t numbers; /* atomic; of this process's servers */

/* Splits at the last slash; the folder's part is as long as is returned. */
static size_t split(struct serve_path *p)
{
	char *slash = strrchr(p->path, '/');

	p->name = slash ? slash + 1 : p->path;
	return slash ? (size_t)(slash - p->path) : 0;
}

static int folder_open_given(struct serve_path *p)
{
	char folder[OS_SOCKET_PATH];
	size_t n = split(p);
	struct os_stat s;
	int error;

	if (!*p->name || !strcmp(p->name, ".") || !strcmp(p->name, ".."))
		return -EINVAL;
	if (p->name == p->path)
		(void)snprintf(folder, sizeof(folder), ".");
	else
		(void)snprintf(folder, sizeof(folder), "%.*s", n ? (int)n : 1, p->path);
	p->folder = os_folder_open(folder, true);
	if (p->folder < 0)
		return p->folder;
	error = os_stat(p->folder, &s);
	if (error)
		return error;
	if (s.user != os_user() && s.user != 0)
		return -EPERM;
	return s.mode & GROUP_OTHER_WRITE && !(s.mode & STICKY) ? -EPERM : 0;
}

static int folder_open_runtime(struct serve_path *p)
{
	const char *runtime = os_environment("XDG_RUNTIME_DIR");
	char folder[OS_SOCKET_PATH];
	struct os_stat s;
	int error, n;

	if (runtime && *runtime == '/')
		n = snprintf(folder, sizeof(folder), "%s/quire", runtime);
	else
		n = snprintf(folder, sizeof(folder), "/tmp/quire-%u", os_user());
	if (n < 0 || (size_t)n >= sizeof(folder))
		return -ENAMETOOLONG;
	n = snprintf(p->path, sizeof(p->path), "%s/%d-%u.sock", folder, os_process(),
		     fetch_add(&numbers, 1u));
	if (n < 0 || (size_t)n >= sizeof(p->path))
		return -ENAMETOOLONG;
	(void)split(p);
	error = os_folder_make(folder);
	if (error)
		return error;
	p->folder = os_folder_open(folder, false);
	if (p->folder < 0)
		return p->folder;
	error = os_stat(p->folder, &s);
	if (error)
		return error;
	return s.user != os_user() || s.mode & GROUP_OTHER ? -EPERM : 0;
}

static int folder_lock(const struct serve_path *p)
{
	uint64_t until = os_clock_ns() + LOCK_NS;
	uint32_t never = 0;
	int error;

	while ((error = os_lock(p->folder)) == -EWOULDBLOCK && os_clock_ns() < until)
		os_futex_wait(&never, 0, LOCK_WAIT_NS);
	return error;
}

/* Somebody's socket is there: 0 if nobody serves it any more. */
static int try_connect(const struct serve_path *p)
{
	int fd = os_socket(), error;

	if (fd < 0)
		return fd;
	error = os_connect(fd, p->path);
	os_close(fd);
	if (error == -ECONNREFUSED)
		return 0;
	/* -EAGAIN: so many wait for it that there is no room */
	return !error || error == -EAGAIN ? -EADDRINUSE : error;
}

/* Makes room at the path, under the lock. */
static int remove_stale(const struct serve_path *p)
{
	struct os_stat s;
	int error = os_stat_at(p->folder, p->name, &s);

	if (error)
		return error == -ENOENT ? 0 : error;
	if (s.link)
		return -ELOOP;
	if (s.user != os_user())
		return -EPERM;
	if (!s.socket)
		return -EEXIST;
	error = try_connect(p);
	if (error == -ENOENT)
		return 0; /* its server took it away just now */
	return error ? error : os_unlink_at(p->folder, p->name);
}

static int bind_locked(struct serve_path *p, int fd)
{
	struct os_stat s;
	int error = remove_stale(p);

	if (error)
		return error;
	error = os_bind(fd, p->path);
	if (error)
		return error;
	error = os_stat_at(p->folder, p->name, &s);
	if (!error && (!s.socket || s.user != os_user() || s.mode & GROUP_OTHER))
		error = -EPERM; /* no place whose rights can be trusted */
	if (error) {
		(void)os_unlink_at(p->folder, p->name);
		return error;
	}
	p->device = s.device;
	p->inode = s.inode;
	/* Before the lock goes: what is bound and does not listen looks stale. */
	error = os_listen(fd, 8);
	if (error)
		(void)os_unlink_at(p->folder, p->name);
	return error;
}

static int bind_in_folder(struct serve_path *p, int fd)
{
	int error = folder_lock(p);

	if (error)
		return error;
	error = bind_locked(p, fd);
	os_unlock(p->folder);
	return error;
}

int serve_path_bind(struct serve_path *p, const char *given, int fd)
{
	int error;

	memset(p, 0, sizeof(*p));
	p->folder = -1;
	if (!given)
		given = os_environment("QUIRE_SOCKET");
	if (given) {
		if (strnlen(given, sizeof(p->path)) == sizeof(p->path))
			return -ENAMETOOLONG;
		memcpy(p->path, given, strlen(given) + 1);
		error = folder_open_given(p);
	} else {
		error = folder_open_runtime(p);
	}
	if (!error)
		error = bind_in_folder(p, fd);
	if (error && p->folder >= 0) {
		os_close(p->folder);
		p->folder = -1;
	}
	return error;
}

void serve_path_remove(struct serve_path *p)
{
	struct os_stat s;

	if (p->folder < 0)
		return;
	if (!os_stat_at(p->folder, p->name, &s) && s.device == p->device && s.inode == p->inode)
		(void)os_unlink_at(p->folder, p->name);
	os_close(p->folder);
	p->folder = -1;
}
