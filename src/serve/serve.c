// SPDX-License-Identifier: MIT
/*
 * serve.c: the socket and its thread.
 *
 *	client:  free -> asking -> reading the answer -> free
 *
 * A client leaves either state at its deadline at the latest. While all places are taken nobody is
 * accepted, and the kernel's short queue is what others wait in. The thread never blocks but in
 * poll, and rests REST times as long as it worked, so whatever clients do it takes 1 / (1 + REST)
 * of a core.
 *
 * The descriptors of all servers are listed under servers_lock, which is held across fork, so that
 * the child closes exactly those: a socket that lived on in a child would look served.
 *
 * Lock order: servers_lock alone.
 */
#include "core/instance.h"
#include "os/os.h"
#include "os/socket.h"
#include "serve/answer.h"
#include "serve/path.h"
#include "util/mem.h"

#include <errno.h>
#include <quire/serve.h>

#define CLIENTS 4u
#define REQUEST_BYTES 64u
#define DEADLINE_DEFAULT_NS 2000000000u
#define DEADLINE_MAX_NS 3600000000000u
#define LOOK_NS 2000000000u /* how long one look may take */
#define REST 9u
#define REST_MAX_NS 1000000000u
#define SEND_BYTES 65536u /* at once to one client */

struct client {
	int fd;	       /* -1: free; under servers_lock, for fork */
	bool answered; /* it has asked, and reads */
	uint64_t deadline;
	char request[REQUEST_BYTES];
	size_t got;
	struct answer answer; /* its text is made with the server */
	size_t sent;
};

struct quire_server {
	struct quire *q;
	struct serve_path path;
	int fd;	       /* listens */
	int event;     /* raised to end it */
	uint32_t stop; /* atomic */
	bool forked;
	uint32_t user;
	uint64_t deadline_ns;
	pthread_t thread;
	struct look look; /* the thread's */
	struct client client[CLIENTS];
	struct quire_server *next; /* under servers_lock */
};

static pthread_mutex_t servers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct quire_server *servers;
static pthread_once_t servers_once = PTHREAD_ONCE_INIT;

/* --- fork --- */

static void before_fork(void)
{
	pthread_mutex_lock(&servers_lock);
}

static void after_fork_in_parent(void)
{
	pthread_mutex_unlock(&servers_lock);
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		os_close(*fd);
	*fd = -1;
}

static void after_fork_in_child(void)
{
	for (struct quire_server *s = servers; s; s = s->next) {
		s->forked = true;
		for (unsigned i = 0; i < CLIENTS; i++)
			close_one(&s->client[i].fd);
		close_one(&s->fd);
		close_one(&s->event);
		close_one(&s->path.folder);
	}
	servers = NULL;
	pthread_mutex_unlock(&servers_lock);
}

static void servers_init(void)
{
	(void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* --- clients --- */

static void client_drop(struct client *c)
{
	pthread_mutex_lock(&servers_lock);
	close_one(&c->fd);
	pthread_mutex_unlock(&servers_lock);
}

static struct client *client_free(struct quire_server *s)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (s->client[i].fd < 0)
			return &s->client[i];
	return NULL;
}

static void client_accept(struct quire_server *s)
{
	struct client *c = client_free(s);
	uint32_t user;
	int fd;

	if (!c)
		return;
	pthread_mutex_lock(&servers_lock);
	fd = os_accept(s->fd);
	c->fd = fd < 0 ? -1 : fd;
	pthread_mutex_unlock(&servers_lock);
	if (fd < 0)
		return;
	c->answered = false;
	c->got = c->sent = 0;
	c->deadline = os_clock_ns() + s->deadline_ns;
	/* The file's mode says the same; not every system heeds it. */
	if (os_peer(fd, &user) || (user != s->user && user != 0))
		client_drop(c);
}

/* The line is there, or can be none any more. */
static void client_answer(struct quire_server *s, struct client *c)
{
	static const char asked[] = "quire 1 explain\n";

	if (c->got >= sizeof(asked) - 1 && !memcmp(c->request, asked, sizeof(asked) - 1)) {
		answer_make(s->q, os_clock_ns() + LOOK_NS, &s->stop, &s->look, &c->answer);
	} else {
		answer_error(&c->answer, "this server understands: quire 1 explain");
	}
	c->answered = true;
	c->deadline = os_clock_ns() + s->deadline_ns;
}

static void client_read(struct quire_server *s, struct client *c)
{
	long n = os_receive(c->fd, c->request + c->got, sizeof(c->request) - c->got);

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n <= 0) {
		client_drop(c);
		return;
	}
	c->got += (size_t)n;
	if (memchr(c->request, '\n', c->got) || c->got == sizeof(c->request))
		client_answer(s, c);
}

static void client_write(struct client *c)
{
	size_t left = c->answer.n - c->sent;
	long n = os_send(c->fd, c->answer.text + c->sent, left < SEND_BYTES ? left : SEND_BYTES);

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n >= 0)
		c->sent += (size_t)n;
	if (n < 0 || c->sent == c->answer.n)
		client_drop(c);
}

/* --- the thread --- */

/* When the first client's time is over, from now. */
static uint64_t time_left(const struct quire_server *s, uint64_t now)
{
	uint64_t least = UINT64_MAX, left;

	for (unsigned i = 0; i < CLIENTS; i++) {
		const struct client *c = &s->client[i];

		if (c->fd < 0)
			continue;
		left = c->deadline > now ? c->deadline - now : 0;
		least = left < least ? left : least;
	}
	return least;
}

static void expire(struct quire_server *s)
{
	uint64_t now = os_clock_ns();

	for (unsigned i = 0; i < CLIENTS; i++)
		if (s->client[i].fd >= 0 && now >= s->client[i].deadline)
			client_drop(&s->client[i]);
}

static void work(struct quire_server *s, const struct os_poll *polls)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &s->client[i];

		if (!polls[i].ready || c->fd < 0)
			continue;
		if (c->answered)
			client_write(c);
		else
			client_read(s, c);
	}
	if (polls[CLIENTS].ready)
		client_accept(s);
	expire(s);
}

static void rest(struct quire_server *s, uint64_t worked)
{
	struct os_poll end = { .fd = s->event, .want = OS_READ };
	uint64_t ns = worked * REST;

	if (worked)
		(void)os_poll(&end, 1, ns < REST_MAX_NS ? ns : REST_MAX_NS);
}

static void *serve(void *arg)
{
	struct quire_server *s = arg;
	struct os_poll polls[CLIENTS + 2];
	uint64_t began;

	while (!load_acquire(&s->stop)) {
		for (unsigned i = 0; i < CLIENTS; i++)
			polls[i] = (struct os_poll){
				.fd = s->client[i].fd,
				.want = s->client[i].answered ? OS_WRITE : OS_READ,
			};
		polls[CLIENTS] = (struct os_poll){
			.fd = client_free(s) ? s->fd : -1,
			.want = OS_READ,
		};
		polls[CLIENTS + 1] = (struct os_poll){ .fd = s->event, .want = OS_READ };
		if (os_poll(polls, CLIENTS + 2, time_left(s, os_clock_ns())))
			memset(polls, 0, sizeof(polls)); /* nothing is ready */
		began = os_clock_ns();
		work(s, polls);
		rest(s, os_clock_ns() - began);
	}
	return NULL;
}

/* --- making and ending one --- */

static int memory_make(struct quire_server *s)
{
	int error;

	for (unsigned i = 0; i < CLIENTS; i++) {
		void *p = NULL;

		s->client[i].fd = -1;
		error = os_reserve(ANSWER_BYTES, &p);
		if (error)
			return error;
		s->client[i].answer.text = p;
	}
	return 0;
}

static void memory_free(struct quire_server *s)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (s->client[i].answer.text)
			os_unmap(s->client[i].answer.text, ANSWER_BYTES);
	mem_free(s);
}

static void list_remove_locked(const struct quire_server *s)
{
	for (struct quire_server **at = &servers; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
}

/*
 * Whatever of it is there; the file first, so that who looks finds a server or nothing. Listed
 * until all is closed: a fork just then leaves nothing open in the child.
 */
static void server_free(struct quire_server *s)
{
	pthread_mutex_lock(&servers_lock);
	serve_path_remove(&s->path); /* in a child of fork() its folder is closed, and it stays */
	for (unsigned i = 0; i < CLIENTS; i++)
		close_one(&s->client[i].fd);
	close_one(&s->fd);
	close_one(&s->event);
	list_remove_locked(s);
	pthread_mutex_unlock(&servers_lock);
	memory_free(s);
}

static int sockets_make(struct quire_server *s, const char *path)
{
	int error;

	s->event = os_event_create();
	if (s->event < 0)
		return s->event;
	s->fd = os_socket();
	if (s->fd < 0)
		return s->fd;
	error = serve_path_bind(&s->path, path, s->fd);
	return error;
}

int quire_serve_create(struct quire *q, const struct quire_serve_options *options,
		       struct quire_server **server)
{
	struct quire_serve_options o = { .size = sizeof(o) };
	struct quire_server *s;
	int error;

	if (!server)
		return -EINVAL;
	*server = NULL;
	if (!q || (options && sized_copy(&o, sizeof(o), options)))
		return -EINVAL;
	if (o.flags || o.reserved || o.deadline_ns > DEADLINE_MAX_NS || (o.path && !*o.path))
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	s = mem_zalloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->q = q;
	s->fd = s->event = s->path.folder = -1;
	s->user = os_user();
	s->deadline_ns = o.deadline_ns ? o.deadline_ns : DEADLINE_DEFAULT_NS;
	error = memory_make(s);
	if (error) {
		memory_free(s);
		return error;
	}
	(void)pthread_once(&servers_once, servers_init);
	/* Listed first: a fork from now on closes what is open in the child. */
	pthread_mutex_lock(&servers_lock);
	s->next = servers;
	servers = s;
	error = sockets_make(s, o.path);
	pthread_mutex_unlock(&servers_lock);
	if (!error)
		error = os_thread_start(&s->thread, serve, s);
	if (error) {
		server_free(s);
		return error;
	}
	fetch_add(&q->servers, 1u);
	*server = s;
	return 0;
}

void quire_serve_destroy(struct quire_server *s)
{
	if (!s)
		return;
	if (!s->forked) {
		store_release(&s->stop, 1u);
		os_event_raise(s->event);
		os_thread_join(s->thread);
		fetch_sub(&s->q->servers, 1u);
	}
	server_free(s);
}

const char *quire_serve_path(const struct quire_server *s)
{
	return s->path.path;
}
