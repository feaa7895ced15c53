// SPDX-License-Identifier: MIT
#include "where.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Hexadecimal, with or without 0x, up to `end`. */
static bool address(const char *text, char end, uint64_t *number, const char **after)
{
	char *stop;

	if (!isxdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*number = strtoull(text, &stop, 16);
	*after = stop;
	return !errno && *stop == end;
}

static bool addresses(const char *text, struct pages_range *range)
{
	uint64_t from, to;
	const char *after;

	if (!address(text, '-', &from, &after) || !address(after + 1, '\0', &to, &after) ||
	    to <= from)
		return false;
	range->from = from >> 12;
	range->to = (to >> 12) + 1; /* the last address is part of it */
	return true;
}

bool where_number(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return !errno && !*end && *number >= least && *number <= most;
}

error_t where_option(int key, char *arg, struct pages_options *o, char *error, size_t size)
{
	uint64_t n;

	switch (key) {
	case 'r':
		o->some = true;
		if (addresses(arg, &o->range))
			return 0;
		(void)snprintf(error, size,
			       "--range wants two hexadecimal addresses, such as "
			       "100000000-13fffffff, not '%.60s'",
			       arg);
		return EINVAL;
	case 'n':
		o->one_node = true;
		if (!where_number(arg, 0, 65535, &n)) {
			(void)snprintf(error, size,
				       "--node wants the number of a NUMA node, not '%.40s'", arg);
			return EINVAL;
		}
		o->node = (unsigned)n;
		return 0;
	case 'P':
		o->proc = arg;
		if (*arg)
			return 0;
		(void)snprintf(error, size, "--proc wants the name of a folder");
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}
