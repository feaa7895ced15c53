/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the threads of owner_stress.c do: its operations, and what each of them
 * looks at when it can.
 */
#ifndef _OWNER_STRESS_OPS_H
#define _OWNER_STRESS_OPS_H

#include <stdarg.h>
#include <stdint.h>
#include "folio_owner_device.h"
#include "../../../../lib/test_gpu_uapi.h"
#include "../../../../lib/test_movable_uapi.h"
#include "../../../../lib/test_userptr_uapi.h"

#define WORKERS		6
#define FILES		4
#define FILE_PAGES	96
#define POOLS		3
#define POOL_PAGES	96
#define OBJECTS		6
#define OBJECT_PAGES	24
#define ANON		48
#define MIRROR		24

/* An error is no failure by itself. */
#define FILE_DO(fd, cmd, ...)	DO(fd, cmd, tfo_args, __VA_ARGS__)
#define POOL_DO(fd, cmd, ...)	DO(fd, cmd, tm_args, __VA_ARGS__)
#define GPU_DO(cmd, ...)	DO(gpu, cmd, tgpu_args, __VA_ARGS__)
#define UP_DO(fd, cmd, ...)	DO(fd, cmd, up_args, __VA_ARGS__)

/* What several threads use: shared for what may happen at any time. */
struct shared {
	pthread_rwlock_t lock;
	int fd;
	uint32_t handle;
	unsigned int pages;
	uint64_t seed;
	pthread_mutex_t attaching;
	bool putback;		/* the owner of the file has the op */
};

static struct shared files[FILES], pools[POOLS], objects[OBJECTS];
static int gpu;

struct worker {
	pthread_t thread;
	uint64_t random;
	unsigned long ops;
	/* memory of its own, whose folios it owns */
	int fd;
	char *anon;
	unsigned char owned[ANON];	/* 1: content, 2: frame */
	uint64_t word[ANON];
	unsigned long owns, disowns;
	/* memory of its own that a device mirrors */
	int mirror;
	char *mirrored;
};

static struct worker workers[WORKERS];
static bool stop;
static char wrong_what[160];
static pthread_mutex_t wrong_lock = PTHREAD_MUTEX_INITIALIZER;
/*
 * alloc_contig_range() that finds a block isolated by somebody else ends that
 * isolation (as it does without owners): there is one such call at a time.
 */
static pthread_mutex_t contig_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long pool_moved, pool_put_back, pool_released;

/* The first thing that is wrong ends the run. */
static void fail(const char *format, ...)
{
	va_list list;

	pthread_mutex_lock(&wrong_lock);
	if (!wrong_what[0]) {
		va_start(list, format);
		vsnprintf(wrong_what, sizeof(wrong_what), format, list);
		va_end(list);
	}
	pthread_mutex_unlock(&wrong_lock);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
}

static uint64_t mix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static unsigned int any(struct worker *w, unsigned int below)
{
	return mix(&w->random) % below;
}

static struct shared *any_of(struct worker *w, struct shared *s, unsigned int n,
			     bool alone)
{
	s += any(w, n);
	if (alone)
		pthread_rwlock_wrlock(&s->lock);
	else
		pthread_rwlock_rdlock(&s->lock);
	return s;
}

static void done_with(struct shared *s)
{
	pthread_rwlock_unlock(&s->lock);
}

static int open_path(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail("%s: %s", path, strerror(errno));
	return fd;
}

/* Destinations of a migration: what has not moved has given its back. */
#define BALANCED(what, call) do {					\
	__auto_type a_ = (call);					\
	if (a_.dst_taken - a_.dst_returned > a_.moved)			\
		fail("%s: %u destinations, %u given back, %u moved", what, \
		     a_.dst_taken, a_.dst_returned, a_.moved);		\
} while (0)

/* Files with an owner. */

static void file_attach(struct worker *w, struct shared *f)
{
	static const unsigned int kinds[] = { 0, TFO_MORE_OPS, TFO_MORE_OPS,
					      TFO_EMPTY_OPS };
	unsigned int flags = kinds[any(w, 4)];
	int rc;

	pthread_mutex_lock(&f->attaching);
	FILE_DO(f->fd, TFO_UNREGISTER);
	rc = FILE_DO(f->fd, TFO_REGISTER, .flags = flags,
		     .mode = any(w, 4) ? 0 : SYNC_LIGHT).result;
	if (rc)
		fail("a file that has no owner does not get one: %d", rc);
	f->putback = flags == TFO_MORE_OPS;
	pthread_mutex_unlock(&f->attaching);
}

static void file_make(struct worker *w, struct shared *f)
{
	int rc;

	f->fd = open_path("/dev/folio_owner");
	rc = FILE_DO(f->fd, TFO_CREATE, .count = FILE_PAGES).result;
	if (rc)
		fail("no file: %d", rc);
	file_attach(w, f);
	FILE_DO(f->fd, TFO_PIN, .count = FILE_PAGES / 2);
}

static void file_check(struct shared *f)
{
	unsigned long n = FILE_DO(f->fd, TFO_VERIFY).value;

	if (n)
		fail("%lu pages of a file are wrong", n);
	if (stats(f->fd).violations)
		fail("the owner of a file found what it was promised it would not");
}

static void op_file_attach(struct worker *w)
{
	struct shared *f = any_of(w, files, FILES, false);

	file_attach(w, f);
	done_with(f);
}

static void op_file_move(struct worker *w)
{
	struct shared *f = any_of(w, files, FILES, false);
	unsigned int index = any(w, FILE_PAGES);
	struct tfo_args a;

	a = FILE_DO(f->fd, TFO_MIGRATE, .index = index, .mode = any(w, 3),
		    .count = 1 + any(w, FILE_PAGES - index));
	BALANCED("file", a);
	done_with(f);
}

static void op_file_pin(struct worker *w)
{
	struct shared *f = any_of(w, files, FILES, false);
	unsigned int index = any(w, FILE_PAGES);

	FILE_DO(f->fd, any(w, 2) ? TFO_PIN : TFO_UNPIN, .index = index,
		.count = 1 + any(w, FILE_PAGES - index));
	done_with(f);
}

static void op_file_behave(struct worker *w)
{
	static const unsigned int how[] = { TFO_NORMAL, TFO_NORMAL, TFO_NORMAL,
		TFO_AGAIN, TFO_BUSY, TFO_AGAIN_TWICE, TFO_VETO, TFO_VETO_AGAIN,
		TFO_VETO_NOMEM };
	struct shared *f = any_of(w, files, FILES, false);

	FILE_DO(f->fd, TFO_BEHAVE, .value = how[any(w, 9)]);
	done_with(f);
}

static void op_file_contig(struct worker *w)
{
	struct shared *f = any_of(w, files, FILES, false);

	pthread_mutex_lock(&contig_lock);
	FILE_DO(f->fd, TFO_CONTIG, .index = any(w, FILE_PAGES));
	pthread_mutex_unlock(&contig_lock);
	done_with(f);
}

static void op_file_truncate(struct worker *w)
{
	struct shared *f = any_of(w, files, FILES, true);
	unsigned int index = any(w, FILE_PAGES);
	unsigned int count = 1 + any(w, FILE_PAGES - index) / 4;

	/* Not every owner has an op that does it. */
	FILE_DO(f->fd, TFO_UNPIN, .index = index, .count = count);
	FILE_DO(f->fd, TFO_TRUNCATE, .index = index, .count = count);
	done_with(f);
}

static void op_file_renew(struct worker *w)
{
	struct shared *f = any_of(w, files, FILES, true);

	file_check(f);
	close(f->fd);
	file_make(w, f);
	done_with(f);
}

/* Pools of movable pages. */

static void pool_make(struct worker *w, struct shared *p)
{
	unsigned int flags = any(w, 2) ? TM_BATCH : 0;
	int rc;

	p->fd = open_path("/dev/movable");
	flags |= any(w, 4) ? TM_OWNER : 0;
	rc = POOL_DO(p->fd, TM_CREATE, .count = POOL_PAGES, .flags = flags,
		     .value = any(w, 2) * 4).result;
	if (rc)
		fail("no pool: %d", rc);
}

/* Free all; what has been isolated has ended, in one way each. */
static void pool_end(struct shared *p)
{
	struct tm_stats s = { 0 };

	if (POOL_DO(p->fd, TM_VERIFY).value)
		fail("the pages or the list of a pool are wrong");
	POOL_DO(p->fd, TM_PUTBACK);
	POOL_DO(p->fd, TM_REVOKE);
	POOL_DO(p->fd, TM_FREE, .count = POOL_PAGES);
	ioctl(p->fd, TM_STATS, &s);
	if (s.violations)
		fail("a driver found what it was promised it would not");
	if (s.listed)
		fail("%u pages of a pool are listed and freed", s.listed);
	if (s.taken != s.moved + s.putbacks + s.released)
		fail("%u isolated, but %u moved, %u put back, %u freed", s.taken,
		     s.moved, s.putbacks, s.released);
	if (s.batches != s.batches_ended)
		fail("%u batches begun, %u ended", s.batches, s.batches_ended);
	__atomic_fetch_add(&pool_moved, s.moved, __ATOMIC_RELAXED);
	__atomic_fetch_add(&pool_put_back, s.putbacks, __ATOMIC_RELAXED);
	__atomic_fetch_add(&pool_released, s.released, __ATOMIC_RELAXED);
	close(p->fd);
}

static void op_pool_move(struct worker *w)
{
	struct shared *p = any_of(w, pools, POOLS, false);

	POOL_DO(p->fd, TM_ISOLATE, .index = any(w, POOL_PAGES),
		.count = 1 + any(w, POOL_PAGES / 2));
	if (any(w, 4))
		BALANCED("pool", POOL_DO(p->fd, TM_MIGRATE, .mode = any(w, 3)));
	if (any(w, 2))
		POOL_DO(p->fd, TM_PUTBACK);
	done_with(p);
}

static void op_pool_free(struct worker *w)
{
	struct shared *p = any_of(w, pools, POOLS, false);

	POOL_DO(p->fd, TM_FREE, .index = any(w, POOL_PAGES), .count = any(w, 4),
		.flags = any(w, 2) ? TM_NO_WAIT : 0);
	done_with(p);
}

static void op_pool_behave(struct worker *w)
{
	static const unsigned int how[] = { TM_NORMAL, TM_NORMAL, TM_REFUSE,
					    TM_AGAIN, TM_BUSY, TM_AGAIN_ONCE };
	struct shared *p = any_of(w, pools, POOLS, false);

	POOL_DO(p->fd, TM_BEHAVE, .value = how[any(w, 6)]);
	POOL_DO(p->fd, TM_READY, .index = any(w, POOL_PAGES));
	done_with(p);
}

static void op_pool_contig(struct worker *w)
{
	struct shared *p = any_of(w, pools, POOLS, false);

	pthread_mutex_lock(&contig_lock);
	POOL_DO(p->fd, TM_CONTIG, .index = any(w, POOL_PAGES));
	pthread_mutex_unlock(&contig_lock);
	done_with(p);
}

static void op_pool_revoke(struct worker *w)
{
	struct shared *p = any_of(w, pools, POOLS, false);

	POOL_DO(p->fd, TM_REVOKE);
	done_with(p);
}

static void op_pool_renew(struct worker *w)
{
	struct shared *p = any_of(w, pools, POOLS, true);

	pool_end(p);
	pool_make(w, p);
	done_with(p);
}

/* Objects of the mock graphics driver. */

static void object_make(struct worker *w, struct shared *o)
{
	o->pages = 1 + any(w, OBJECT_PAGES);
	o->seed = mix(&w->random);
	o->handle = GPU_DO(TGPU_CREATE, .count = o->pages, .value = o->seed).handle;
	if (!o->handle)
		fail("no object");
}

static void object_check(struct shared *o)
{
	static uint64_t content[OBJECT_PAGES][TGPU_WORDS];
	uint64_t sum = GPU_DO(TGPU_SUM, .handle = o->handle).value;
	unsigned int i, k;
	int rc;

	rc = GPU_DO(TGPU_READ, .handle = o->handle, .count = o->pages,
		    .addr = (uintptr_t)content).result;
	if (rc)
		fail("an object cannot be read: %d", rc);
	for (i = 0; i < o->pages; i++)
		for (k = 0; k < TGPU_WORDS; k++)
			if (content[i][k] != tgpu_word(o->seed, i, k) + sum)
				fail("page %u of an object is wrong", i);
}

static void op_object_job(struct worker *w)
{
	struct shared *o = any_of(w, objects, OBJECTS, false);
	struct shared *other = &objects[any(w, OBJECTS)];
	uint32_t handle = 0;

	/* Not waited for: two threads could wait for each other. */
	if (other != o && !pthread_rwlock_tryrdlock(&other->lock))
		handle = other->handle;
	GPU_DO(TGPU_RUN, .handle = o->handle, .others = !!handle,
	       .addr = (uintptr_t)&handle, .value = mix(&w->random),
	       .count = 1 + any(w, 3));
	if (handle)
		done_with(other);
	done_with(o);
	if (any(w, 2))
		GPU_DO(TGPU_FINISH);
}

static void op_object_bind(struct worker *w)
{
	struct shared *o = any_of(w, objects, OBJECTS, false);

	GPU_DO(any(w, 3) ? TGPU_BIND : TGPU_UNBIND, .handle = o->handle);
	done_with(o);
}

static void op_object_move(struct worker *w)
{
	struct shared *o = any_of(w, objects, OBJECTS, false);
	bool sleeps = !any(w, 16);

	if (sleeps)
		GPU_DO(TGPU_SUSPEND);
	BALANCED("object", GPU_DO(TGPU_MIGRATE, .handle = o->handle,
				  .count = OBJECT_PAGES, .mode = any(w, 3)));
	if (sleeps)
		GPU_DO(TGPU_RESUME);
	done_with(o);
}

static void op_object_truncate(struct worker *w)
{
	struct shared *o = any_of(w, objects, OBJECTS, true);

	o->pages = 1 + any(w, o->pages);
	GPU_DO(TGPU_TRUNCATE, .handle = o->handle, .count = o->pages);
	done_with(o);
}

static void op_object_renew(struct worker *w)
{
	struct shared *o = any_of(w, objects, OBJECTS, true);

	GPU_DO(TGPU_DESTROY, .handle = o->handle);
	object_make(w, o);
	done_with(o);
}

static void op_object_hold(struct worker *w)
{
	struct shared *o = any_of(w, objects, OBJECTS, false);

	GPU_DO(any(w, 2) ? TGPU_HOLD : TGPU_RELEASE, .handle = o->handle);
	done_with(o);
}

/* Folios with an owner, in memory of the thread. */

static char *anon_page(struct worker *w, unsigned int i)
{
	return w->anon + i * PAGE;
}

static void anon_fill(struct worker *w, unsigned int i)
{
	w->word[i] = mix(&w->random);
	*(uint64_t *)anon_page(w, i) = w->word[i];
	*(uint64_t *)(anon_page(w, i) + PAGE - 8) = ~w->word[i];
	w->owned[i] = 0;
}

static void anon_make(struct worker *w)
{
	unsigned int i;

	w->anon = mmap(NULL, ANON * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(w->anon, ANON * PAGE, MADV_NOHUGEPAGE);
	for (i = 0; i < ANON; i++)
		anon_fill(w, i);
}

static void anon_check(struct worker *w, unsigned int i)
{
	unsigned int owned;

	if (*(uint64_t *)anon_page(w, i) != w->word[i] ||
	    *(uint64_t *)(anon_page(w, i) + PAGE - 8) != ~w->word[i])
		fail("a page of a thread is wrong");
	owned = FILE_DO(w->fd, TFO_OWNED,
			.addr = (uintptr_t)anon_page(w, i)).value;
	if (owned != !!w->owned[i])
		fail("a folio has %s", w->owned[i] ? "lost its owner" :
		     "an owner that nobody has given it");
}

static void op_anon_own(struct worker *w)
{
	unsigned int i = any(w, ANON), kind = 1 + !any(w, 4);
	int rc = FILE_DO(w->fd, TFO_OWN, .addr = (uintptr_t)anon_page(w, i),
			 .flags = kind == 2 ? TFO_FRAME : 0).result;

	if (rc != (w->owned[i] ? -EEXIST : 0))
		fail("owning a folio: %d", rc);
	if (!rc) {
		w->owned[i] = kind;
		w->owns++;
	}
	anon_check(w, i);
}

static void op_anon_disown(struct worker *w)
{
	unsigned int i = any(w, ANON);
	int rc = FILE_DO(w->fd, TFO_DISOWN,
			 .addr = (uintptr_t)anon_page(w, i)).result;

	if (rc != (w->owned[i] ? 0 : -ENOENT))
		fail("disowning a folio: %d", rc);
	w->disowns += !rc;
	w->owned[i] = 0;
	anon_check(w, i);
}

static void op_anon_move(struct worker *w)
{
	unsigned int i = any(w, ANON);
	struct tfo_args a = FILE_DO(w->fd, TFO_MOVE, .mode = any(w, 3),
				    .addr = (uintptr_t)anon_page(w, i));

	BALANCED("folio", a);
	if (w->owned[i] == 2 && a.moved)
		fail("a frame that is owned has moved");
	anon_check(w, i);
}

static void op_anon_let_go(struct worker *w)
{
	unsigned int i = any(w, ANON);

	if (any(w, 8)) {
		madvise(anon_page(w, i), PAGE, MADV_DONTNEED);
		anon_fill(w, i);
	} else {
		munmap(w->anon, ANON * PAGE);
		anon_make(w);
	}
}

/* A large one: owned, moved, split, collapsed, in any order that comes. */
static void op_huge(struct worker *w)
{
	char *map = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = map + -(uintptr_t)map % HUGE;
	int fd = open_path("/dev/folio_owner"), n = 1 + any(w, 6);
	unsigned long i;

	madvise(p, HUGE, MADV_HUGEPAGE);
	for (i = 0; i < HUGE; i += PAGE)
		*(uint64_t *)(p + i) = i;
	while (n--) {
		uintptr_t addr = (uintptr_t)p + any(w, 512) * PAGE;

		switch (any(w, 5)) {
		case 0:
			FILE_DO(fd, TFO_OWN, .addr = addr);
			break;
		case 1:
			FILE_DO(fd, TFO_DISOWN, .addr = addr);
			break;
		case 2:
			FILE_DO(fd, TFO_MOVE, .addr = addr, .mode = any(w, 3));
			break;
		case 3:
			FILE_DO(fd, TFO_SPLIT, .addr = addr);
			break;
		case 4:
			madvise(p, HUGE, MADV_COLLAPSE);
			break;
		}
	}
	for (i = 0; i < HUGE; i += PAGE)
		if (*(uint64_t *)(p + i) != i)
			fail("a page of a large folio is wrong");
	/* Owner or memory: either may go first. */
	if (any(w, 2)) {
		munmap(map, 2 * HUGE);
		close(fd);
	} else {
		close(fd);
		munmap(map, 2 * HUGE);
	}
}

static void op_cycle(struct worker *w)
{
	struct tfo_args a = FILE_DO(w->fd, TFO_CYCLE, .count = 1 + any(w, 64),
				    .index = any(w, 4));

	if (a.value)
		fail("%llu folios of the pool that owns them are wrong",
		     (unsigned long long)a.value);
}

/* Memory that is mirrored. */

static void mirror_make(struct worker *w)
{
	w->mirror = open_path("/dev/userptr");
	UP_DO(w->mirror, UP_MIRROR, .addr = (uintptr_t)w->mirrored,
	      .count = MIRROR, .flags = any(w, 2) ? UP_PIN : 0);
}

static void op_mirror(struct worker *w)
{
	char *p = w->mirrored + any(w, MIRROR) * PAGE;

	switch (any(w, 4)) {
	case 0:
		madvise(p, PAGE, MADV_DONTNEED);
		break;
	case 1:
		*p = 1;
		FILE_DO(w->fd, TFO_MOVE, .addr = (uintptr_t)p, .mode = SYNC);
		break;
	case 2:
		UP_DO(w->mirror, UP_REFRESH);
		break;
	case 3:
		close(w->mirror);
		mirror_make(w);
		break;
	}
}

/* What the memory management does by itself, and other users of it. */

static void op_compact(struct worker *w)
{
	(void)w;
	write_file("/proc/sys/vm/compact_memory", "1");
}

static void op_drop_caches(struct worker *w)
{
	(void)w;
	write_file("/proc/sys/vm/drop_caches", "1");
}

static void op_contig(struct worker *w)
{
	pthread_mutex_lock(&contig_lock);
	GPU_DO(TGPU_CONTIG, .count = 64 << any(w, 5));
	pthread_mutex_unlock(&contig_lock);
}

static void op_zsmalloc(struct worker *w)
{
	int fd = open_path("/dev/movable");
	unsigned long n;

	n = POOL_DO(fd, TM_ZSMALLOC, .count = 16 + any(w, 64), .mode = 2).value;
	if (n)
		fail("%lu objects of zsmalloc are wrong", n);
	close(fd);
}

static const struct op {
	const char *name;
	void (*run)(struct worker *w);
	unsigned int weight;
} ops[] = {
	{ "file_attach", op_file_attach, 4 },
	{ "file_move", op_file_move, 10 },
	{ "file_pin", op_file_pin, 8 },
	{ "file_behave", op_file_behave, 3 },
	{ "file_contig", op_file_contig, 1 },
	{ "file_truncate", op_file_truncate, 3 },
	{ "file_renew", op_file_renew, 1 },
	{ "pool_move", op_pool_move, 10 },
	{ "pool_free", op_pool_free, 4 },
	{ "pool_behave", op_pool_behave, 3 },
	{ "pool_contig", op_pool_contig, 1 },
	{ "pool_revoke", op_pool_revoke, 1 },
	{ "pool_renew", op_pool_renew, 2 },
	{ "object_job", op_object_job, 8 },
	{ "object_bind", op_object_bind, 4 },
	{ "object_move", op_object_move, 8 },
	{ "object_truncate", op_object_truncate, 1 },
	{ "object_renew", op_object_renew, 1 },
	{ "object_hold", op_object_hold, 1 },
	{ "anon_own", op_anon_own, 12 },
	{ "anon_disown", op_anon_disown, 4 },
	{ "anon_move", op_anon_move, 8 },
	{ "anon_let_go", op_anon_let_go, 6 },
	{ "huge", op_huge, 1 },
	{ "cycle", op_cycle, 4 },
	{ "mirror", op_mirror, 6 },
	{ "compact", op_compact, 1 },
	{ "drop_caches", op_drop_caches, 1 },
	{ "contig", op_contig, 1 },
	{ "zsmalloc", op_zsmalloc, 1 },
};

#define OPS ARRAY_SIZE(ops)

#endif /* _OWNER_STRESS_OPS_H */
