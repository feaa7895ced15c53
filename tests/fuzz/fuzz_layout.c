/* SPDX-License-Identifier: MIT */
/*
 * fuzz_layout.c: libFuzzer's way into the layout reader.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Narrow limits keep one run short; they are paths of their own. */
static const struct layout_limits limits = { .items = 1 << 16, .blocks = 1 << 12 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[64];
	static int fd = -1;
	char err[256];
	struct layout l;
	uint64_t end = 0;
	int error;

	if (fd < 0) {
		fd = memfd_create("layout", MFD_CLOEXEC);
		if (fd < 0)
			abort();
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	error = layout_read_within(path, &limits, &l, err, sizeof(err));
	if (error) {
		if (!err[0] || strchr(err, '\n') || l.items)
			abort();
		return 0;
	}
	if (!l.n || l.n > limits.items)
		abort();
	for (size_t i = 0; i < l.n; i++) {
		uint64_t at = (uint64_t)l.items[i].block * LAYOUT_BLOCK_FRAMES + l.items[i].offset;

		if (at < end || l.items[i].block >= l.blocks)
			abort();
		end = at + (UINT64_C(1) << l.items[i].order);
	}
	layout_finish(&l);
	return 0;
}
