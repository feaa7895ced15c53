/* SPDX-License-Identifier: MIT */
#include "ios.h"

#include <errno.h>
#include <ring/ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "content.h"
#include "watch.h"

#define IOS 4u /* of one thread at once */
#define PATIENCE_NS 10000000000u

struct io {
	bool live, write;
	const struct thing *thing;
	uint32_t page;	 /* counting those of all things */
	uint32_t before; /* its sequence */
	uint64_t next;	 /* the base of what is read in */
	struct ring_request *request;
};

struct ios {
	int file;
	off_t first; /* of its part */
	struct io io[IOS];
	struct work_sum sum;
	uint64_t buffer[CONTENT_WORDS];
};

int ios_file(unsigned threads)
{
	int file = memfd_create("squeeze-io", MFD_CLOEXEC), err;

	if (file < 0)
		return -errno;
	if (!ftruncate(file, (off_t)threads * IOS * CONTENT_PAGE))
		return file;
	err = -errno;
	close(file);
	return err;
}

struct ios *ios_create(int file, unsigned thread)
{
	struct ios *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->file = file;
	o->first = (off_t)thread * IOS * CONTENT_PAGE;
	o->sum.first_thing = UINT64_MAX;
	return o;
}

const struct work_sum *ios_sum(const struct ios *o)
{
	return &o->sum;
}

void ios_destroy(struct ios *o)
{
	free(o);
}

static void count_error(struct ios *o, int err)
{
	o->sum.errors++;
	if (!o->sum.error && err < 0)
		o->sum.error = err;
}

static off_t place(const struct ios *o, const struct io *io)
{
	return o->first + (off_t)(io - o->io) * CONTENT_PAGE;
}

/* Puts into the file what is to be read, or what a write has to replace. */
static bool prepare(struct ios *o, const struct stage *s, struct io *io)
{
	io->next = content_base(s->seed, io->page, sequence_version(io->before) + 1);
	if (io->write)
		memset(o->buffer, 0x5a, sizeof(o->buffer));
	else
		content_make(o->buffer, io->next);
	return pwrite(o->file, o->buffer, sizeof(o->buffer), place(o, io)) ==
	       (ssize_t)sizeof(o->buffer);
}

static int submit(const struct ios *o, struct arena *a, struct io *io)
{
	const struct ring_io args = {
		.size = sizeof(args),
		.buffer = a->buffers[io->thing->unit],
		.fd = o->file,
		.offset = (uint64_t)place(o, io),
		.at = (size_t)(io->page - io->thing->page) * CONTENT_PAGE,
		.bytes = CONTENT_PAGE,
	};

	return io->write ? ring_write(a->ring, &args, &io->request)
			 : ring_read(a->ring, &args, &io->request);
}

static bool start(struct ios *o, struct arena *a, struct io *io, uint64_t random, uint32_t near)
{
	struct stage *s = a->stage;
	bool moving;
	int err;

	io->thing = &s->things[near];
	io->page = io->thing->page + ((uint32_t)random & ((1u << io->thing->order) - 1));
	if (!sequence_lock(&s->sequence[io->page], &io->before))
		return false;
	io->write = random >> 63;
	moving = quire_folio_on_the_move(io->thing->folio);
	err = prepare(o, s, io) ? submit(o, a, io) : -EIO;
	io->live = !err;
	if (!err)
		return moving;
	if (err != -EAGAIN)
		count_error(o, err);
	sequence_cancel(&s->sequence[io->page], io->before);
	return false;
}

/* What the folio holds now: under a pin, which waits for a move. */
static bool look(struct ios *o, const struct io *io)
{
	const char *at = quire_pin(io->thing->folio);

	if (!at)
		return false;
	quire_read_bytes(o->buffer, at + (size_t)(io->page - io->thing->page) * CONTENT_PAGE,
			 CONTENT_PAGE);
	quire_unpin(io->thing->folio);
	return true;
}

/* The I/O has ended: is there what should be there? */
static void judge(struct ios *o, struct arena *a, struct io *io, const struct ring_result *result)
{
	struct stage *s = a->stage;
	uint64_t base = io->write ? s->base[io->page] : io->next;
	size_t n = 0;
	bool seen;

	io->live = false;
	seen = result->code == CONTENT_PAGE &&
	       (io->write ? pread(o->file, o->buffer, sizeof(o->buffer), place(o, io)) ==
				    (ssize_t)sizeof(o->buffer)
			  : look(o, io));
	if (seen)
		n = content_wrong(o->buffer, base, 0, sizeof(o->buffer));
	else
		count_error(o, (int)result->code);
	if (n && !o->sum.wrong)
		o->sum.first_thing = (uint64_t)(io->thing - s->things);
	o->sum.wrong += n;
	/* a read that ended in an error has left the page as it was */
	if (io->write || result->code < 0) {
		sequence_cancel(&s->sequence[io->page], io->before);
	} else {
		__atomic_store_n(&s->base[io->page], base, __ATOMIC_RELAXED);
		sequence_unlock(&s->sequence[io->page], io->before);
	}
	o->sum.done += seen && !n;
	o->sum.overlapped += seen && !n && result->overlapped;
}

static void await(struct ios *o, struct arena *a, struct io *io)
{
	struct ring_result result = { .size = sizeof(result) };

	if (!ring_wait(io->request, PATIENCE_NS, &result)) {
		judge(o, a, io, &result);
		return;
	}
	o->sum.errors++; /* ring_destroy() will say that it is still in flight */
	io->live = false;
}

bool ios_step(struct ios *o, struct arena *a, uint64_t random, uint32_t near)
{
	const struct stage *s = a->stage;
	struct io *spare = NULL;
	size_t n = s->nused[HOLDER_RING];

	if (!n)
		return false;
	for (unsigned i = 0; i < IOS; i++) {
		struct io *io = &o->io[i];

		if (io->live && ring_done(io->request))
			await(o, a, io);
		if (!io->live)
			spare = io;
	}
	if (near == WATCH_NOTHING || s->things[near].holder != HOLDER_RING)
		near = s->used[HOLDER_RING][(random >> 20) % n];
	return spare && start(o, a, spare, random, near);
}

void ios_finish(struct ios *o, struct arena *a)
{
	for (unsigned i = 0; i < IOS; i++)
		if (o->io[i].live)
			await(o, a, &o->io[i]);
}
