// SPDX-License-Identifier: MIT
#include "tracefs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_CPUS 4096u
#define TEXT_BYTES 65536u
#define PREFIX "quire-"

struct tracefs {
	char path[PATH_MAX]; /* of the instance */
	struct event_formats formats;
	int enable; /* of all events of the instance; written to when it ends */
	unsigned ncpus;
	int cpu[MAX_CPUS];	   /* trace_pipe_raw */
	unsigned number[MAX_CPUS]; /* of that CPU */
};

/* What a signal's handler finds. Set while the instance is there; one at a time. */
static struct tracefs *volatile open_one;

static int fail(char *err, size_t size, int error, const char *path, const char *what)
{
	(void)snprintf(err, size, "%.120s: %s%s", path, what ? what : strerror(-error),
		       error == -EACCES || error == -EPERM ? "; it takes root" : "");
	return error;
}

/* Whole text of a file below the instance. */
static char *slurp(const char *folder, const char *name)
{
	char path[PATH_MAX + 64], *text = malloc(TEXT_BYTES);
	size_t n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = text ? fopen(path, "re") : NULL;
	if (f) {
		n = fread(text, 1, TEXT_BYTES - 1, f);
		(void)fclose(f);
	}
	if (!f || !n) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}

static int write_file(const char *folder, const char *name, const char *text, char *err,
		      size_t size)
{
	char path[PATH_MAX + 64];
	size_t n = strlen(text);
	ssize_t wrote;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	wrote = fd < 0 ? -1 : write(fd, text, n);
	if (wrote != (ssize_t)n) {
		int error = wrote < 0 ? -errno : -EIO;

		if (fd >= 0)
			close(fd);
		return fail(err, size, error, path, NULL);
	}
	close(fd);
	return 0;
}

/* Of processes that are gone, and could not remove theirs. */
static void remove_stale(const char *instances)
{
	DIR *dir = opendir(instances);
	struct dirent *entry;
	char path[2 * PATH_MAX], err[8];

	while (dir && (entry = readdir(dir))) {
		char *end;
		long pid;

		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0)
			continue;
		pid = strtol(entry->d_name + strlen(PREFIX), &end, 10);
		/* One with our number is of somebody who had it before. */
		if (*end || pid <= 0 ||
		    (pid != getpid() && (!kill((pid_t)pid, 0) || errno != ESRCH)))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", instances, entry->d_name);
		(void)write_file(path, "events/enable", "0", err, sizeof(err));
		rmdir(path);
	}
	if (dir)
		closedir(dir);
}

static int make_instance(struct tracefs *t, const char *root, char *err, size_t size)
{
	static const char *const roots[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char instances[PATH_MAX];
	struct stat st;

	for (size_t i = 0; !root && i < 2; i++) {
		(void)snprintf(instances, sizeof(instances), "%s/instances", roots[i]);
		if (!stat(instances, &st))
			root = roots[i];
		else if (errno == EACCES)
			return fail(err, size, -EACCES, roots[i], NULL);
	}
	if (!root) {
		(void)snprintf(err, size, "no tracefs at %s; as root: mount -t tracefs nodev %s",
			       roots[0], roots[0]);
		return -ENOENT;
	}
	(void)snprintf(instances, sizeof(instances), "%.3900s/instances", root);
	remove_stale(instances);
	(void)snprintf(t->path, sizeof(t->path), "%.4000s/" PREFIX "%d", instances, (int)getpid());
	if (mkdir(t->path, 0700)) {
		int error = -errno;

		t->path[0] = '\0';
		return fail(err, size, error, instances, NULL);
	}
	open_one = t;
	return 0;
}

static int read_formats(struct tracefs *t, bool forks, char *err, size_t size)
{
	char name[128], *text = slurp(t->path, "events/header_page");
	int error = text ? event_page_format(&t->formats, text) : -ENOENT;

	free(text);
	if (error)
		return fail(err, size, error, t->path, "events/header_page is not understood");
	for (unsigned k = 0; k < EVENT_KINDS; k++) {
		if (k == EVENT_FORK && !forks)
			continue;
		(void)snprintf(name, sizeof(name), "events/%s/format", event_path(k));
		text = slurp(t->path, name);
		error = text ? event_kind_format(&t->formats, k, text) : -ENOENT;
		free(text);
		if (error)
			return fail(err, size, error, event_path(k),
				    "the kernel has no such tracepoint, or another one");
	}
	return 0;
}

static int set_up(struct tracefs *t, unsigned buffer_kib, bool forks, char *err, size_t size)
{
	char number[24], name[128];
	int error = write_file(t->path, "tracing_on", "0", err, size);

	/* the same clock as the reader's, on all CPUs */
	if (!error)
		error = write_file(t->path, "trace_clock", "mono", err, size);
	(void)snprintf(number, sizeof(number), "%u", buffer_kib);
	if (!error)
		error = write_file(t->path, "buffer_size_kb", number, err, size);
	/* what finds no room is counted, and does not push out what is older */
	if (!error)
		error = write_file(t->path, "options/overwrite", "0", err, size);
	for (unsigned k = 0; k < EVENT_KINDS && !error; k++) {
		(void)snprintf(name, sizeof(name), "events/%s/enable", event_path(k));
		if (k != EVENT_FORK || forks)
			error = write_file(t->path, name, "1", err, size);
	}
	return error;
}

static int open_cpus(struct tracefs *t, char *err, size_t size)
{
	char path[2 * PATH_MAX];
	struct dirent *entry;
	DIR *dir;
	int error = 0;

	(void)snprintf(path, sizeof(path), "%s/events/enable", t->path);
	t->enable = open(path, O_WRONLY | O_CLOEXEC);
	if (t->enable < 0)
		return fail(err, size, -errno, path, NULL);
	(void)snprintf(path, sizeof(path), "%s/per_cpu", t->path);
	dir = opendir(path);
	if (!dir)
		return fail(err, size, -errno, path, NULL);
	while (!error && (entry = readdir(dir))) {
		unsigned n;
		int fd;

		if (sscanf(entry->d_name, "cpu%u", &n) != 1 || t->ncpus == MAX_CPUS)
			continue;
		(void)snprintf(path, sizeof(path), "%s/per_cpu/cpu%u/trace_pipe_raw", t->path, n);
		fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0) {
			error = fail(err, size, -errno, path, NULL);
			break;
		}
		t->number[t->ncpus] = n;
		t->cpu[t->ncpus++] = fd;
	}
	closedir(dir);
	if (!error && !t->ncpus)
		error = fail(err, size, -ENOENT, path, "no CPU is there");
	return error;
}

int tracefs_open(struct tracefs **tracefs, const char *root, unsigned buffer_kib, bool forks,
		 char *err, size_t size)
{
	struct tracefs *t = calloc(1, sizeof(*t));
	int error;

	*tracefs = NULL;
	if (!t) {
		(void)snprintf(err, size, "not enough memory");
		return -ENOMEM;
	}
	t->enable = -1;
	error = make_instance(t, root, err, size);
	if (!error)
		error = read_formats(t, forks, err, size);
	if (!error)
		error = set_up(t, buffer_kib, forks, err, size);
	if (!error)
		error = open_cpus(t, err, size);
	if (error) {
		tracefs_close(t);
		return error;
	}
	*tracefs = t;
	return 0;
}

const struct event_formats *tracefs_formats(const struct tracefs *t)
{
	return &t->formats;
}

int tracefs_record(struct tracefs *t, bool on, char *err, size_t size)
{
	return write_file(t->path, "tracing_on", on ? "1" : "0", err, size);
}

unsigned tracefs_cpus(const struct tracefs *t)
{
	return t->ncpus;
}

long tracefs_read(struct tracefs *t, unsigned cpu, void *page)
{
	ssize_t n = read(t->cpu[cpu], page, event_page_bytes(&t->formats));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n < 0 ? -errno : n;
}

unsigned long tracefs_lost(const struct tracefs *t)
{
	static const char *const keys[] = { "\noverrun: ", "\ndropped events: " };
	unsigned long lost = 0;
	char name[64];

	for (unsigned i = 0; i < t->ncpus; i++) {
		char *text;

		(void)snprintf(name, sizeof(name), "per_cpu/cpu%u/stats", t->number[i]);
		text = slurp(t->path, name);
		for (size_t k = 0; text && k < 2; k++) {
			const char *at = strstr(text, keys[k]);

			lost += at ? strtoul(at + strlen(keys[k]), NULL, 10) : 0;
		}
		free(text);
	}
	return lost;
}

/* Only what a signal handler may do. */
static void take_down(struct tracefs *t)
{
	if (t->enable >= 0) {
		(void)!write(t->enable, "0", 1);
		close(t->enable);
		t->enable = -1;
	}
	for (unsigned i = 0; i < t->ncpus; i++)
		close(t->cpu[i]);
	t->ncpus = 0;
	if (t->path[0])
		rmdir(t->path);
}

void tracefs_close(struct tracefs *t)
{
	if (!t)
		return;
	open_one = NULL;
	take_down(t);
	free(t);
}

void tracefs_remove_now(void)
{
	struct tracefs *t = open_one;

	if (t)
		take_down(t);
}
