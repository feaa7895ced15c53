/* SPDX-License-Identifier: MIT */
/*
 * rings.h: what the tests of the owner ring share: a rig of quire, ring, file and pipe, on either
 * back end; and a back end between, which fails or leaves out what a test wants.
 */
#ifndef QUIRE_TESTS_RINGS_H
#define QUIRE_TESTS_RINGS_H

#include "ring/internal.h"
#include "ring/ring.h"
#include "support.h"

enum kind {
	KIND_URING,
	KIND_THREADS,
	KIND_PRETEND /* threads, with registrations that are kept in the books alone */
};

/* A test on a back end: "name_kind". It begins with rig_start(state, ...). */
#define ON(f, kind)                                                                                \
	{                                                                                          \
#f "_" #kind, f, support_setup, support_teardown, (void *)&kind_##kind             \
	}
extern const enum kind kind_uring, kind_threads, kind_pretend;

/*
 * The back end between. All 0, as rig_start() leaves it: it does what the one below does. To be
 * changed while no thread of the ring can be in it.
 */
struct proxy {
	int open;	  /* open fails with this */
	int start;	  /* start */
	int bind;	  /* registering something */
	int unbind;	  /* registering nothing */
	bool skip;	  /* registering does nothing, and says it did */
	unsigned binds;	  /* calls that named an address */
	unsigned unbinds; /* and that named none */
};
extern struct proxy proxy;

struct rig {
	enum kind kind;
	struct quire *q;
	struct ring *ring;
	int file;   /* FILE_BYTES of content_write(FILE_COOKIE); unlinked */
	int direct; /* the same file by O_DIRECT, or -1 */
	int pipe[2];
	uint64_t free_before;
};
#define FILE_BYTES (4u << 20)
#define FILE_COOKIE 77u

/* Makes it all; where the back end cannot be had, the test is skipped, with the reason. */
void rig_start(struct rig *rig, void **state, const struct ring_options *options);
/* Ends it all: nothing is in flight, no frame is lost, all books agree. ring NULL: it went. */
void rig_end(struct rig *rig);

/* What has to hold whenever nothing runs. */
void rig_quiet(struct rig *rig);
struct ring_stats ring_stats_of(struct ring *ring);

struct ring_buffer *buffer_of(struct rig *rig, unsigned order);
/* Fills a buffer, compares it: content_write() and content_is(), from its beginning. */
void buffer_fill(struct ring_buffer *buffer, uint64_t cookie);
bool buffer_holds(struct ring_buffer *buffer, uint64_t cookie);
/* Is it n bytes of the file from offset on that stand at `at`? Byte by byte. */
bool buffer_holds_file(struct ring_buffer *buffer, size_t at, uint64_t offset, size_t n);
uint32_t buffer_frame(struct ring_buffer *buffer);

/* Submits, waits, returns the result. */
struct ring_result io_now(struct rig *rig, bool write, const struct ring_io *io);
/* Submits a read of n bytes of the pipe into the buffer: in flight until fed. */
struct ring_request *read_pipe(struct rig *rig, struct ring_buffer *buffer, size_t at, size_t n);
/* Gives the pipe n bytes of content_write(cookie). */
void feed(struct rig *rig, uint64_t cookie, size_t n);
struct ring_result wait_for(struct ring_request *request);

/* A move of a buffer. */
struct quire_move move_buffer(struct ring_buffer *buffer, enum quire_mode mode);

/* A new file of so many bytes of FILE_COOKIE, unlinked; *direct gets -1 where there is none. */
int file_make(size_t bytes, int *direct);

#endif
