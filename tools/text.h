/* SPDX-License-Identifier: MIT */
/*
 * text.h: numbers in words, for people. Each writes into text, at most TEXT bytes, and returns it.
 */
#ifndef TOOLS_TEXT_H
#define TOOLS_TEXT_H

#include <stdint.h>

#define TEXT 32 /* room for a number in words */

/* 1234567 as 1,234,567. */
const char *text_count(char text[TEXT], uint64_t n);
/* 1.5 MiB. */
const char *text_size(char text[TEXT], uint64_t bytes);
/* 43 k. */
const char *text_rough(char text[TEXT], uint64_t n);
/* 1.4 s. */
const char *text_duration(char text[TEXT], double seconds);

/* "" for one, else "s". */
static inline const char *text_s(uint64_t n)
{
	return n == 1 ? "" : "s";
}

#endif
