/* SPDX-License-Identifier: MIT */
/*
 * fuzz_trace.c: libFuzzer's way into the trace reader. Good seeds: a few lines of a trace, plain
 * and as zstd.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Narrow limits keep one run short; they are paths of their own. */
static const struct trace_limits limits = { .events = 1 << 16, .blocks = 1 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t alive[1 << 16];
	static char path[64];
	static int fd = -1;
	char err[256];
	struct trace t;
	size_t next = 0;
	int error;

	if (fd < 0) {
		fd = memfd_create("trace", MFD_CLOEXEC);
		if (fd < 0)
			abort();
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	error = trace_read_within(path, &limits, &t, err, sizeof(err));
	if (error) {
		if (!err[0] || strchr(err, '\n') || t.events)
			abort();
		return 0;
	}
	for (size_t i = 0; i < t.n; i++) {
		uint32_t id = t.events[i] >> 1;

		if (t.events[i] & 1 ? id >= next || !alive[id] : id != next)
			abort();
		alive[id] = !(t.events[i] & 1);
		next += !(t.events[i] & 1);
	}
	if (next != t.nallocs || !next)
		abort();
	trace_finish(&t);
	return 0;
}
