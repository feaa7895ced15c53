/* SPDX-License-Identifier: MIT */
/*
 * tracing.h: quire record --trace: what this machine allocates and frees, as trace.h has it, and
 * the layout of what is live at the end.
 */
#ifndef RECORD_TRACING_H
#define RECORD_TRACING_H

#include <stdint.h>

struct tracing_options {
	const char *file;    /* the trace */
	const char *live;    /* the layout; NULL: beside the trace */
	const char *tracefs; /* NULL: where it is as a rule */
	double seconds;	     /* 0: until the command ends, or a signal comes */
	uint64_t buffer_kib; /* of each CPU */
	char **command;	     /* only what it allocates, and what it starts; NULL: everybody */
};

/* The command's exit status: 0; 1 the kernel does not say, or a file cannot be written; 2. */
int tracing(const struct tracing_options *options);

#endif
