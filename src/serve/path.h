/* SPDX-License-Identifier: MIT */
/*
 * path.h: the file of a server's socket: where it is to be, whether that place is safe, and that a
 * socket which nobody serves any more is replaced, and no other.
 *
 * Safe is a folder that is the user's or root's and where nobody else may write, or which has the
 * sticky bit; the runtime folder is the user's own and its alone (mode 0700), and no link. Between
 * looking and binding the folder is locked (flock), so of two processes that find the same stale
 * socket one replaces it, and the other finds it served.
 */
#ifndef QUIRE_SRC_SERVE_PATH_H
#define QUIRE_SRC_SERVE_PATH_H

#include "os/socket.h"

struct serve_path {
	char path[OS_SOCKET_PATH];
	const char *name;	/* its last part */
	int folder;		/* open; -1: none */
	uint64_t device, inode; /* of the socket's file */
};

/*
 * Chooses the place, opens its folder, and binds fd there; given NULL: by the environment. 0 or
 * -errno as quire_serve_create() has it, and nothing is left.
 */
int serve_path_bind(struct serve_path *path, const char *given, int fd);
/* Takes the file away if it is still ours, and closes the folder. */
void serve_path_remove(struct serve_path *path);

#endif
