/* SPDX-License-Identifier: MIT */
/*
 * socket.h: the system calls of a server: folders, sockets, waiting, one thread. Each that can fail
 * answers -errno; descriptors are close-on-exec, sockets never block.
 */
#ifndef QUIRE_SRC_OS_SOCKET_H
#define QUIRE_SRC_OS_SOCKET_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OS_SOCKET_PATH 108 /* with the NUL */

struct os_stat {
	uint64_t device, inode;
	uint32_t user;
	uint32_t mode; /* permission bits, the sticky bit among them */
	bool folder, socket, link;
};

/* The effective user, the process; and what the environment says unless privileges forbid to ask.
 */
uint32_t os_user(void);
int os_process(void);
const char *os_environment(const char *name);

/* Opens a folder; follow: where the last part of the path is a link. -ELOOP if it may not be. */
int os_folder_open(const char *path, bool follow);
/* Makes a folder of mode 0700; 0 also where something is there already. */
int os_folder_make(const char *path);
int os_stat(int fd, struct os_stat *to);
/* Of what is there itself, a link too. */
int os_stat_at(int folder, const char *name, struct os_stat *to);
int os_unlink_at(int folder, const char *name);
/* An exclusive lock on a file; -EWOULDBLOCK. */
int os_lock(int fd);
void os_unlock(int fd);

/* A UNIX stream socket; what it is bound to gets mode 0600 at most, from the start. */
int os_socket(void);
/* Before: strlen(path) < OS_SOCKET_PATH. */
int os_bind(int fd, const char *path);
int os_connect(int fd, const char *path);
int os_listen(int fd, int backlog);
int os_accept(int fd);
/* Who is at the other end. */
int os_peer(int fd, uint32_t *user);
/* How many bytes; 0: the other end is closed; -EAGAIN. */
long os_receive(int fd, void *to, size_t n);
/* How many bytes; -EAGAIN; no signal. */
long os_send(int fd, const void *from, size_t n);

/* A counter that can be polled. raise is safe in any context. */
int os_event_create(void);
void os_event_raise(int fd);
/* It is not ready any more, until it is raised again. */
void os_event_clear(int fd);

enum { OS_READ = 1, OS_WRITE = 2 };
struct os_poll {
	int fd;	       /* -1: none */
	unsigned want; /* OS_READ, OS_WRITE */
	bool ready;    /* out; also for an error or a hang-up */
};
#define OS_POLL_MAX 16
/* Waits until one is ready, timeout_ns at most; UINT64_MAX: for ever. 0 or -errno. */
int os_poll(struct os_poll *polls, size_t n, uint64_t timeout_ns);

/* A thread that gets no signals. Each one that was started is to be joined. */
int os_thread_start(pthread_t *thread, void *(*fn)(void *), void *arg);
void os_thread_join(pthread_t thread);

#endif
