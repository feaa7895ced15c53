/* SPDX-License-Identifier: MIT */
/*
 * users.h: what uses memory otherwise than by the CPU: gem's engine and ring's I/O, in an arena.
 *
 * gem has an object of 16 folios for things in use, each bound before anything moves; its other
 * things are in objects of 64 that nothing is bound to. ring has a buffer a thing.
 */
#ifndef SQUEEZE_USERS_H
#define SQUEEZE_USERS_H

#include "stage.h"

/*
 * Makes gem and ring, as far as the stage has things for them, with objects and buffers at the
 * places of these; things get their folios, but no content yet. 0 or -errno.
 */
int users_create(struct arena *arena);

/* Once there is content: binds every object in use. 0 or -errno. */
int users_begin(struct arena *arena);

/*
 * Nothing else uses the arena. All that is in use gets new content from the CPU; then the engine
 * sums up each object, and each buffer is written to a file: what they see is compared with what
 * should be there. Adds to *wrong. 0 or -errno.
 */
int users_verify(struct arena *arena, uint64_t *wrong);

/* Bytes that gem has pinned now. */
uint64_t users_bound(const struct arena *arena);

struct users_registered {
	size_t buffers; /* of ring's, that are registered now */
	size_t fixed;	/* of those that users_verify() wrote out, by their registration */
	uint64_t bytes;
	size_t refused; /* registrations that the kernel took no more after a move */
};

struct users_registered users_registered(const struct arena *arena);

/* 0, or what kept them from ending. */
int users_destroy(struct arena *arena);

#endif
