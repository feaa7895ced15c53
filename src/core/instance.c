// SPDX-License-Identifier: MIT
/*
 * instance.c: bringing an instance up and down, layer by layer, and telling fork's child that it
 * has no arena.
 */
#include "core/instance.h"

#include "os/os.h"
#include "os/socket.h"
#include "util/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#define ARENA_MAX (8ull << 40)
#define DEADLINE_DEFAULT_NS 1000000000ull

/* All instances of the process. The lock is held across fork, so the child finds the list whole. */
static pthread_mutex_t instances_lock = PTHREAD_MUTEX_INITIALIZER;
static struct quire *instances;
static pthread_once_t instances_once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
	pthread_mutex_lock(&instances_lock);
}

static void after_fork_in_parent(void)
{
	pthread_mutex_unlock(&instances_lock);
}

static void after_fork_in_child(void)
{
	for (struct quire *q = instances; q; q = q->next)
		q->forked = 1;
	pthread_mutex_unlock(&instances_lock);
}

static void instances_init(void)
{
	(void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static void instances_add(struct quire *q)
{
	pthread_once(&instances_once, instances_init);
	pthread_mutex_lock(&instances_lock);
	q->next = instances;
	instances = q;
	pthread_mutex_unlock(&instances_lock);
}

static void instances_remove(struct quire *q)
{
	struct quire **at;

	pthread_mutex_lock(&instances_lock);
	for (at = &instances; *at; at = &(*at)->next)
		if (*at == q) {
			*at = q->next;
			break;
		}
	pthread_mutex_unlock(&instances_lock);
}

int sized_copy(void *to, size_t to_size, const void *from)
{
	size_t size;

	memset(to, 0, to_size);
	if (!from)
		return -EINVAL;
	memcpy(&size, from, sizeof(size));
	if (size < sizeof(size) || size > 4096)
		return -EINVAL;
	memcpy(to, from, size < to_size ? size : to_size);
	return 0;
}

static void layers_finish(struct quire *q, unsigned n)
{
	while (n)
		quire_layers[--n]->finish(q);
}

static int check_node(struct quire_node_options *node, uint64_t *left)
{
	if (!node->bytes || node->bytes > *left || (unsigned)node->backing > QUIRE_BACKING_COLLAPSE)
		return -EINVAL;
	if (node->name && (!node->name[0] || strnlen(node->name, 32) == 32))
		return -EINVAL;
	node->bytes = (node->bytes + OS_BLOCK_BYTES - 1) & ~(uint64_t)(OS_BLOCK_BYTES - 1);
	if (node->bytes > *left)
		return -EINVAL;
	*left -= node->bytes;
	return 0;
}

/* The options of all nodes, checked and whole, to `to`; *o says then how many, and where. */
static int list_nodes(struct quire_options *o, struct quire_node_options to[QUIRE_NODES_MAX])
{
	const char *from = (const char *)o->node;
	uint64_t left = ARENA_MAX;
	int error = 0;

	memset(to, 0, QUIRE_NODES_MAX * sizeof(*to));
	if (!o->nodes) {
		if (o->node)
			return -EINVAL;
		to[0].bytes = o->arena_bytes;
		to[0].backing = o->backing;
		o->nodes = 1;
		error = check_node(&to[0], &left);
	} else {
		if (!from || o->nodes > QUIRE_NODES_MAX || o->arena_bytes || o->backing ||
		    o->node_size < sizeof(to->bytes) || o->node_size > 4096)
			return -EINVAL;
		for (unsigned i = 0; i < o->nodes && !error; i++) {
			memcpy(&to[i], from + i * o->node_size,
			       o->node_size < sizeof(*to) ? o->node_size : sizeof(*to));
			error = check_node(&to[i], &left);
		}
	}
	o->node = to;
	o->arena_bytes = ARENA_MAX - left;
	return error;
}

int quire_create(const struct quire_options *options, struct quire **quire)
{
	struct quire_node_options node[QUIRE_NODES_MAX];
	struct quire_options o;
	struct quire *q;
	unsigned i;
	int error;

	if (!quire)
		return -EINVAL;
	*quire = NULL;
	error = sized_copy(&o, sizeof(o), options);
	if (error)
		return error;
	if (o.abi != QUIRE_ABI)
		return -EPROTO;
	if (o.flags || list_nodes(&o, node))
		return -EINVAL;
	if (!o.deadline_ns)
		o.deadline_ns = DEADLINE_DEFAULT_NS;
	q = mem_zalloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->options = o;
	q->refs = 1;
	q->notice_event = -1;
	for (i = 0; i < quire_layer_count; i++) {
		error = quire_layers[i]->init(q);
		if (error)
			goto undo;
	}
	q->options.node = NULL; /* the layers have what they need of it */
	instances_add(q);
	*quire = q;
	return 0;
undo:
	layers_finish(q, i);
	mem_free(q);
	return error;
}

static int layers_pause(struct quire *q, unsigned *n)
{
	int error = 0;

	for (*n = 0; *n < quire_layer_count && !error; *n += !error)
		error = quire_layers[*n]->pause ? quire_layers[*n]->pause(q) : 0;
	return error;
}

static int layers_busy(struct quire *q)
{
	int error = 0;

	for (unsigned i = 0; i < quire_layer_count && !error; i++)
		error = quire_layers[i]->busy ? quire_layers[i]->busy(q) : 0;
	if (!error &&
	    (load_acquire(&q->ops) || load_acquire(&q->plans) || load_acquire(&q->servers)))
		error = -EBUSY;
	return error;
}

/* 0: nothing is under way, and nothing begins by itself. */
static int come_to_rest(struct quire *q)
{
	unsigned n;
	int error = layers_pause(q, &n);

	if (!error)
		error = layers_busy(q);
	while (error && n-- > 0)
		if (quire_layers[n]->resume)
			quire_layers[n]->resume(q);
	return error;
}

int quire_destroy(struct quire *q)
{
	int error;

	if (!q)
		return 0;
	error = q->forked ? 0 : come_to_rest(q);
	if (error)
		return error;
	instances_remove(q);
	layers_finish(q, quire_layer_count);
	instance_put(q);
	return 0;
}

void instance_get(struct quire *q)
{
	fetch_add(&q->refs, 1u);
}

void instance_put(struct quire *q)
{
	if (fetch_sub(&q->refs, 1u) == 1)
		mem_free(q);
}

void quire_log(struct quire *q, enum quire_log_level level, const char *format, ...)
{
	char message[256];
	va_list args;

	if (!q->options.log)
		return;
	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	q->options.log(q->options.log_arg, level, message);
}

/*
 * Event and waiter: the waiter counts itself, then compares the event in the futex; the event is
 * raised, then the waiters are read. Both are seq_cst, so one of them sees the other.
 */
void instance_event(struct quire *q)
{
	fetch_add(&q->event, 1u);
	if (__atomic_load_n(&q->event_waiters, __ATOMIC_SEQ_CST))
		os_futex_wake_all(&q->event);
}

/* Counted before the event, so that who sees the event counts the signal as well. */
void instance_signal(struct quire *q)
{
	fetch_add(&q->signals, 1u);
	instance_event(q);
}

void instance_wait(struct quire *q, uint32_t *seen, uint64_t ns)
{
	fetch_add(&q->event_waiters, 1u);
	if (__atomic_load_n(&q->event, __ATOMIC_SEQ_CST) == *seen)
		os_futex_wait(&q->event, *seen, ns);
	fetch_sub(&q->event_waiters, 1u);
	*seen = load_acquire(&q->event);
}

void instance_notice(struct quire *q, uint32_t what)
{
	/* Counted first: who takes notice_event away waits until nobody is in here. */
	fetch_add(&q->noticing, 1u);
	what &= __atomic_fetch_and(&q->listens, ~what, __ATOMIC_SEQ_CST);
	if (what) {
		__atomic_fetch_or(&q->noticed, what, __ATOMIC_SEQ_CST);
		fetch_add(&q->notices, 1u);
		os_futex_wake_all(&q->notices);
		if (q->notice_event >= 0)
			os_event_raise(q->notice_event);
	}
	fetch_sub(&q->noticing, 1u);
}

void instance_notice_of(struct quire *q, const void *what)
{
	if (load_relaxed(&q->watched) & watch_bit(what))
		notice(q, NOTICE_UNBLOCKED);
}

_Static_assert(QUIRE_REASON_COUNT <= QUIRE_REASON_ROOM, "more reasons than the ABI has room for");

const char *quire_reason_text(enum quire_reason reason)
{
	static const char *const text[] = {
#define REASON_TEXT(name, string) string,
		QUIRE_REASONS(REASON_TEXT)
#undef REASON_TEXT
	};

	return (unsigned)reason < QUIRE_REASON_COUNT ? text[reason] : "unknown";
}

const char *quire_version(void)
{
	return QUIRE_VERSION;
}
