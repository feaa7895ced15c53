// SPDX-License-Identifier: MIT
#include "newfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "printable.h"

#define PATH_SHOWN 160

static int fail(char *err, size_t size, const char *path, int error)
{
	size_t length = strlen(path);
	int cut = length > PATH_SHOWN;

	(void)snprintf(err, size, "%s%s: %s", cut ? "..." : "",
		       path + (cut ? length - PATH_SHOWN : 0), strerror(-error));
	make_printable(err);
	return error;
}

static void forget(const struct newfile *new)
{
	if (new->temporary[0])
		unlink(new->temporary);
}

/*
 * A file without a name, so that nothing is left of it however the program ends; -1 where the file
 * system has none of that kind, or anything else is wrong, which a file with a name will tell.
 */
static int open_unnamed(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];
	int n = !slash ? snprintf(folder, sizeof(folder), ".")
		: slash == path
			? snprintf(folder, sizeof(folder), "/")
			: snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);

	if (n < 0 || (size_t)n >= sizeof(folder))
		return -1;
	return open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
}

/*
 * Gives the unnamed file its name. Where something has that name already it gets another one first,
 * for the moment until it takes its place: then temporary is set.
 */
static int give_name(struct newfile *new)
{
	char self[64];
	int fd;

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fileno(new->file));
	if (!linkat(AT_FDCWD, self, AT_FDCWD, new->path, AT_SYMLINK_FOLLOW))
		return 0;
	for (unsigned tries = 0; errno == EEXIST && tries < 100; tries++) {
		(void)snprintf(new->temporary, sizeof(new->temporary), "%s.XXXXXX", new->path);
		fd = mkostemp(new->temporary, O_CLOEXEC);
		if (fd < 0)
			break;
		/* The name is free; somebody else would have to guess it to take it now. */
		close(fd);
		unlink(new->temporary);
		if (!linkat(AT_FDCWD, self, AT_FDCWD, new->temporary, AT_SYMLINK_FOLLOW))
			return 0;
	}
	new->temporary[0] = '\0';
	return -errno;
}

int newfile_open(struct newfile *new, const char *path, char *err, size_t size)
{
	mode_t mask = umask(0);
	mode_t mode = 0666 & ~mask;
	struct stat old;
	int fd, n;

	umask(mask);
	memset(new, 0, sizeof(*new));
	if (!stat(path, &old)) {
		if (S_ISDIR(old.st_mode))
			return fail(err, size, path, -EISDIR);
		if (!S_ISREG(old.st_mode)) {
			(void)snprintf(err, size, "%.160s: is no regular file", path);
			make_printable(err);
			return -EINVAL;
		}
		if (!realpath(path, new->path))
			return fail(err, size, path, -errno);
		mode = old.st_mode & 0777;
	} else if (errno != ENOENT) {
		return fail(err, size, path, -errno);
	} else {
		n = snprintf(new->path, sizeof(new->path), "%s", path);
		if (n < 0 || (size_t)n >= sizeof(new->path))
			return fail(err, size, path, -ENAMETOOLONG);
	}
	fd = open_unnamed(new->path);
	if (fd < 0) {
		(void)snprintf(new->temporary, sizeof(new->temporary), "%s.XXXXXX", new->path);
		fd = mkostemp(new->temporary, O_CLOEXEC);
		if (fd < 0)
			return fail(err, size, path, -errno);
	}
	new->file = fchmod(fd, mode) ? NULL : fdopen(fd, "w");
	if (!new->file) {
		n = -errno;
		close(fd);
		forget(new);
		return fail(err, size, path, n);
	}
	return 0;
}

int newfile_commit(struct newfile *new, char *err, size_t size)
{
	int error = 0;

	errno = 0;
	if (ferror(new->file) || fflush(new->file) || fsync(fileno(new->file)))
		error = errno ? -errno : -EIO;
	if (!error && !new->temporary[0])
		error = give_name(new);
	if (fclose(new->file) && !error)
		error = errno ? -errno : -EIO;
	new->file = NULL;
	if (!error && new->temporary[0] && rename(new->temporary, new->path))
		error = -errno;
	if (!error)
		return 0;
	forget(new);
	return fail(err, size, new->path, error);
}

void newfile_abandon(struct newfile *new)
{
	if (!new->file)
		return;
	(void)fclose(new->file);
	new->file = NULL;
	forget(new);
}
