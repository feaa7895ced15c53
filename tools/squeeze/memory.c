/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* The number that a file begins with; false if there is none, as in "max". */
static bool read_number(const char *root, const char *folder, const char *group, const char *file,
			uint64_t *number)
{
	char path[3 * PATH_MAX];
	bool read;
	FILE *f;

	snprintf(path, sizeof(path), "%s%s%s/%s", root, folder, group, file);
	f = fopen(path, "re");
	if (!f)
		return false;
	read = fscanf(f, "%" SCNu64, number) == 1;
	fclose(f);
	return read;
}

/*
 * The least limit of a group and those above it; in a container only some of them can be seen. What
 * they use already is not taken off: most of it may be cache, which makes room.
 */
static uint64_t group_limit(const char *root, const char *folder, char *group, const char *file)
{
	uint64_t least = UINT64_MAX, limit;
	char *slash;

	for (;;) {
		slash = strrchr(group, '/');
		if (slash && !slash[1]) {
			*slash = '\0';
			continue;
		}
		if (read_number(root, folder, group, file, &limit) && limit < least)
			least = limit;
		if (!slash)
			return least;
		*slash = '\0';
	}
}

/* ID:CONTROLLERS:PATH, the list of controllers being empty for version 2. */
static uint64_t groups_limit(const char *root)
{
	uint64_t least = UINT64_MAX, limit;
	char path[PATH_MAX], line[PATH_MAX], *controllers, *group;
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	f = fopen(path, "re");
	if (!f)
		return least;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		controllers = strchr(line, ':');
		group = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = '\0';
		if (!controllers[1])
			limit = group_limit(root, "/sys/fs/cgroup", group, "memory.max");
		else if (!strcmp(controllers + 1, "memory"))
			limit = group_limit(root, "/sys/fs/cgroup/memory", group,
					    "memory.limit_in_bytes");
		else
			continue;
		least = limit < least ? limit : least;
	}
	fclose(f);
	return least;
}

uint64_t memory_lockable(void)
{
	struct rlimit most;

	if (getrlimit(RLIMIT_MEMLOCK, &most) || most.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return most.rlim_cur;
}

uint64_t memory_available(const char *root)
{
	uint64_t available = UINT64_MAX, kib, limit = groups_limit(root);
	char path[PATH_MAX], line[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	f = fopen(path, "re");
	if (f) {
		while (fgets(line, sizeof(line), f))
			if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kib) == 1)
				available = kib << 10;
		fclose(f);
	}
	return limit < available ? limit : available;
}

uint64_t memory_resident(void)
{
	uint64_t kib = 0, n;
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "RssShmem: %" SCNu64, &n) == 1 ||
		    sscanf(line, "HugetlbPages: %" SCNu64, &n) == 1)
			kib += n;
	fclose(f);
	return kib << 10;
}
