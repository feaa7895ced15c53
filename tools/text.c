// SPDX-License-Identifier: MIT
#include "text.h"

#include <inttypes.h>
#include <stdio.h>

const char *text_count(char text[TEXT], uint64_t n)
{
	char plain[TEXT];
	int len = snprintf(plain, sizeof(plain), "%" PRIu64, n), at = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = plain[i];
	}
	text[at] = '\0';
	return text;
}

const char *text_size(char text[TEXT], uint64_t bytes)
{
	char n[TEXT];

	if (bytes >= 10u << 20)
		snprintf(text, TEXT, "%.20s MiB", text_count(n, (bytes + (1u << 19)) >> 20));
	else if (bytes >= 1u << 20)
		snprintf(text, TEXT, "%.1f MiB", (double)bytes / (1u << 20));
	else
		snprintf(text, TEXT, "%" PRIu64 " KiB", bytes >> 10);
	return text;
}

const char *text_rough(char text[TEXT], uint64_t n)
{
	if (n < 10000)
		return text_count(text, n);
	if (n < 1000000)
		snprintf(text, TEXT, "%" PRIu64 " k", n / 1000);
	else
		snprintf(text, TEXT, "%.1f M", (double)n / 1e6);
	return text;
}

const char *text_duration(char text[TEXT], double seconds)
{
	if (seconds < 1e-3)
		snprintf(text, TEXT, "%.0f us", seconds * 1e6);
	else if (seconds < 0.01)
		snprintf(text, TEXT, "%.1f ms", seconds * 1e3);
	else if (seconds < 1)
		snprintf(text, TEXT, "%.2f s", seconds);
	else
		snprintf(text, TEXT, "%.1f s", seconds);
	return text;
}
