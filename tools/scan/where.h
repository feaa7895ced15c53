/* SPDX-License-Identifier: MIT */
/*
 * where.h: the options by which scan and record are told what to look at.
 */
#ifndef SCAN_WHERE_H
#define SCAN_WHERE_H

#include <argp.h>

#include "pages.h"

#define WHERE_OPTIONS                                                                              \
	{ "range",                                                                                 \
	  'r',                                                                                     \
	  "FROM-TO",                                                                               \
	  0,                                                                                       \
	  "Only these addresses, in hexadecimal, as /proc/iomem writes them",                      \
	  0 },                                                                                     \
		{ "node", 'n', "N", 0, "Only the memory of this NUMA node", 0 },                   \
	{                                                                                          \
		"proc", 'P', "DIR", 0, "Read the files from here instead of /proc", 0              \
	}

/* One of the options above: 0, EINVAL and one line in error, or ARGP_ERR_UNKNOWN. */
error_t where_option(int key, char *arg, struct pages_options *options, char *error, size_t size);

/* A whole number from least to most, in decimal, and nothing else. */
bool where_number(const char *text, uint64_t least, uint64_t most, uint64_t *number);

#endif
