/* SPDX-License-Identifier: MIT */
/*
 * serve.h: letting a running program be asked who holds what: `quire explain`.
 *
 * A host that wants this makes a server; without one nothing is served, whatever the environment
 * says. A server is a UNIX stream socket and one thread. Who may connect is the host's own user
 * and root, nobody else. It answers one question, "explain", with a snapshot: owners, pins with
 * their sites, threads and ages, counters, a heat map, the last plans with what stood in their way.
 * It never moves anything, calls no op, and takes only short locks.
 *
 * What a client can cost its host, however hostile it is: four connections at a time, one deadline
 * each for the question and for the answer, 2 MiB at most, and a tenth of one core, since the
 * thread rests nine times as long as it has worked. The protocol is in docs/explain.md.
 *
 * A child of fork() does not have its parent's servers; their sockets are closed in it.
 */
#ifndef QUIRE_SERVE_H
#define QUIRE_SERVE_H

#include <quire/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct quire_serve_options {
	size_t size;	/* sizeof(struct quire_serve_options) */
	uint32_t flags; /* must be 0 */
	uint32_t reserved;
	/*
	 * Where the socket is to be, at most 107 bytes. NULL: what QUIRE_SOCKET says, else
	 * $XDG_RUNTIME_DIR/quire/PID-N.sock, else /tmp/quire-UID/PID-N.sock; the last two folders
	 * are made (mode 0700) where they are not there. Of a program that runs with more rights
	 * than its caller the environment is not asked.
	 */
	const char *path;
	/* How long a client may take to ask, and again to read the answer; 0: two seconds. */
	uint64_t deadline_ns;
};

/* QUIRE_SERVE_OPTIONS(.path = "/run/my/socket"), in C. */
#define QUIRE_SERVE_OPTIONS(...)                                                                   \
	(&(const struct quire_serve_options){ .size = sizeof(struct quire_serve_options),          \
					      __VA_ARGS__ })

/*
 * Begins to serve. The socket has mode 0600. A socket of a process that is gone is replaced.
 * options NULL: all of them 0.
 * -EINVAL        options that make no sense
 * -ENAMETOOLONG  the path is longer than a socket's may be
 * -EPERM         the folder, or what is at the path, is not the user's, or others may write there
 *                (a folder with the sticky bit will do, as /tmp)
 * -ELOOP         a symbolic link is at the path, or is the runtime folder
 * -EEXIST        something is at the path that is no socket
 * -EADDRINUSE    somebody serves there
 * -EAGAIN        another process makes its socket in that folder just now
 * -ENXIO         in a child of fork(), of its parent's quire
 * -ENOMEM, or what the system said. Nothing is left behind then.
 */
QUIRE_EXPORT QUIRE_MUST_USE int quire_serve_create(struct quire *quire,
						   const struct quire_serve_options *options,
						   struct quire_server **server);

/*
 * Ends it: the thread has ended and the socket's file is gone when this returns, unless it is
 * another one's by now. In a child of fork() it gives back memory only. To be called before
 * quire_destroy(), which answers -EBUSY otherwise. destroy(NULL) does nothing.
 */
QUIRE_EXPORT void quire_serve_destroy(struct quire_server *server);

/* Where it is; valid as long as the server. */
QUIRE_EXPORT const char *quire_serve_path(const struct quire_server *server);

#ifdef __cplusplus
}
#endif
#endif
