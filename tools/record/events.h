/* SPDX-License-Identifier: MIT */
/*
 * events.h: what a page of the kernel's trace buffer says, as trace_pipe_raw hands it out. Pure:
 * text and bytes in, events out. Nothing of it is trusted: a page that says otherwise than its
 * format is -EBADMSG.
 */
#ifndef RECORD_EVENTS_H
#define RECORD_EVENTS_H

#include <stddef.h>
#include <stdint.h>

enum event_kind { EVENT_ALLOC, EVENT_FREE, EVENT_FREE_BATCHED, EVENT_FORK, EVENT_KINDS };

/* Of kmem and sched, where their format and id files are: "kmem/mm_page_alloc". */
const char *event_path(enum event_kind kind);

struct event {
	uint64_t ns;
	uint64_t pfn; /* of a fork: the child */
	uint32_t pid; /* who did it; of a fork the parent */
	uint8_t kind, order, type;
};

struct event_field {
	uint16_t offset, size;
};

struct event_formats {
	struct event_field stamp, commit, data; /* of a page; data.size: its room */
	struct event_format {
		uint16_t id; /* 0: such events do not come */
		struct event_field common_type, common_pid, pfn, order, type, child;
	} kind[EVENT_KINDS];
};

/* The kernel's header_page, and a kind's format: 0, or -EBADMSG if something is missing in it. */
int event_page_format(struct event_formats *formats, const char *text);
int event_kind_format(struct event_formats *formats, enum event_kind kind, const char *text);

/* Bytes of a page, and what trace_pipe_raw is to be read with. */
size_t event_page_bytes(const struct event_formats *formats);

/*
 * Calls each with every event of the page, in their order; other than 0 ends it and is returned.
 * 0 or -EBADMSG.
 */
int event_page(const struct event_formats *formats, const void *page, size_t size,
	       int (*each)(void *arg, const struct event *event), void *arg);

#endif
