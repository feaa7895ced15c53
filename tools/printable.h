/* SPDX-License-Identifier: MIT */
/*
 * printable.h: text from outside, for a message.
 */
#ifndef TOOLS_PRINTABLE_H
#define TOOLS_PRINTABLE_H

/* A control character must not reach a terminal, or break the one line. */
static inline char *make_printable(char *s)
{
	for (char *c = s; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	return s;
}

#endif
