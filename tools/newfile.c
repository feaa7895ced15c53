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
	(void)snprintf(new->temporary, sizeof(new->temporary), "%s.XXXXXX", new->path);
	fd = mkostemp(new->temporary, O_CLOEXEC);
	if (fd < 0)
		return fail(err, size, path, -errno);
	new->file = fchmod(fd, mode) ? NULL : fdopen(fd, "w");
	if (!new->file) {
		n = -errno;
		close(fd);
		unlink(new->temporary);
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
	if (fclose(new->file) && !error)
		error = errno ? -errno : -EIO;
	new->file = NULL;
	if (!error && rename(new->temporary, new->path))
		error = -errno;
	if (!error)
		return 0;
	unlink(new->temporary);
	return fail(err, size, new->path, error);
}

void newfile_abandon(struct newfile *new)
{
	if (!new->file)
		return;
	(void)fclose(new->file);
	new->file = NULL;
	unlink(new->temporary);
}
