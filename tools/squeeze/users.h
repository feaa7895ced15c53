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

/* Bytes that gem has pinned now, and buffers that ring has registered. */
uint64_t users_bound(const struct arena *arena);
size_t users_registered(const struct arena *arena);
uint64_t users_registered_bytes(const struct arena *arena);

/* 0, or what kept them from ending. */
int users_destroy(struct arena *arena);

#endif
