/* SPDX-License-Identifier: MIT */
#include "content.h"

#include <string.h>

void content_make(uint64_t page[CONTENT_WORDS], uint64_t base)
{
	for (size_t k = 0; k < CONTENT_WORDS; k++)
		page[k] = base + k * CONTENT_STEP;
}

uint64_t content_sum(uint64_t base, uint64_t first)
{
	uint64_t sum = 0;

	for (uint64_t k = 0; k < CONTENT_WORDS; k++)
		sum += (base + k * CONTENT_STEP) * (2 * (first + k) + 1);
	return sum;
}

size_t content_wrong(const void *found, uint64_t base, size_t offset, size_t n)
{
	const unsigned char *p = found;
	uint64_t w, diff, any = 0;
	size_t wrong = 0;

	for (size_t i = 0; i < n; i += 8) {
		memcpy(&w, p + i, 8);
		any |= w ^ (base + (offset + i) / 8 * CONTENT_STEP);
	}
	if (!any)
		return 0;
	for (size_t i = 0; i < n; i += 8) {
		memcpy(&w, p + i, 8);
		diff = w ^ (base + (offset + i) / 8 * CONTENT_STEP);
		for (; diff; diff >>= 8)
			wrong += (diff & 0xff) != 0;
	}
	return wrong;
}
