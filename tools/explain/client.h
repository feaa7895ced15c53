/* SPDX-License-Identifier: MIT */
/*
 * client.h: where servers are, and asking one.
 */
#ifndef EXPLAIN_CLIENT_H
#define EXPLAIN_CLIENT_H

#include "answer.h"

#include <sys/un.h>

#define CLIENT_PATH sizeof(((struct sockaddr_un *)0)->sun_path)
#define CLIENT_PLACES 256u

/* A socket that somebody serves. */
struct client_place {
	char path[CLIENT_PATH];
	long process; /* as the name of the file says */
};

/*
 * The sockets in the runtime folders that answer, by process; of one process alone where that is
 * not 0. Returns how many, CLIENT_PLACES at most. A folder that is not the user's own is passed
 * over, with a message.
 */
size_t client_find(long process, struct client_place places[CLIENT_PLACES]);

/*
 * Asks the server at path, which has `seconds` for all of it. 0, or -errno and a line in err: what
 * is wrong with the socket, or -EBADMSG with the answer.
 */
int client_ask(const char *path, unsigned seconds, struct answer *answer, char *err,
	       size_t err_size);

#endif
