// SPDX-License-Identifier: MIT
/*
 * owner.c: registration, and the only places where ops are called. An op runs without any lock of
 * the library; in_op of the thread says so, so that calls which could deadlock are refused.
 */
#include "folio/folios.h"
#include "frame/node.h"
#include "util/mem.h"

#include <errno.h>

int quire_owner_create(struct quire *q, const char *name, const struct quire_owner_ops *ops,
		       void *arg, struct quire_owner **result)
{
	struct folios *folios;
	struct quire_owner *owner;
	size_t length;

	if (!result)
		return -EINVAL;
	*result = NULL;
	if (!q || !name)
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	folios = q->folios;
	length = strnlen(name, sizeof(owner->name));
	if (!length || length == sizeof(owner->name))
		return -EINVAL;
	owner = mem_zalloc(1, sizeof(*owner));
	if (!owner)
		return -ENOMEM;
	if (ops && sized_copy(&owner->ops, sizeof(owner->ops), ops))
		goto invalid;
	if (owner->ops.isolate && !owner->ops.putback)
		goto invalid;
	if (owner->ops.putback && !owner->ops.isolate && !owner->ops.migrate)
		goto invalid;
	memcpy(owner->name, name, length);
	owner->quire = q;
	owner->arg = arg;
	owner->head.base = node_base(q->node);
	pthread_mutex_lock(&folios->owners_lock);
	owner->next = folios->owners;
	folios->owners = owner;
	pthread_mutex_unlock(&folios->owners_lock);
	*result = owner;
	return 0;
invalid:
	mem_free(owner);
	return -EINVAL;
}

int quire_owner_destroy(struct quire_owner *owner)
{
	struct thread *t = thread_self();
	struct quire_owner **at;
	struct folios *folios;
	int error = 0;

	if (!owner)
		return 0;
	if (owner->quire->forked)
		return -ENXIO;
	if (t && t->in_op)
		return -EDEADLK;
	folios = owner->quire->folios;
	/* What was freed and is out of sight no longer counts. */
	(void)quire_reclaim(owner->quire);
	pthread_mutex_lock(&folios->owners_lock);
	if (load_acquire(&owner->folios)) {
		error = -EBUSY;
	} else {
		for (at = &folios->owners; *at != owner; at = &(*at)->next)
			;
		*at = owner->next;
	}
	pthread_mutex_unlock(&folios->owners_lock);
	if (!error)
		mem_free(owner);
	return error;
}

const char *quire_owner_name(const struct quire_owner *owner)
{
	return owner->name;
}

void *quire_owner_arg(const struct quire_owner *owner)
{
	return owner->arg;
}

struct quire *quire_owner_quire(const struct quire_owner *owner)
{
	return owner->quire;
}

int owner_isolate(struct quire_folio *folio, enum quire_mode mode)
{
	struct quire_owner *owner = folio->owner_;
	struct thread *t;
	int error;

	if (!owner->ops.isolate)
		return 0;
	t = thread_self();
	count(owner->quire, op_isolate, 1);
	t->in_op++;
	error = owner->ops.isolate(folio, mode, owner->arg);
	t->in_op--;
	/* A positive answer is no answer. */
	return error > 0 ? -EINVAL : error;
}

int owner_migrate(struct quire_owner *owner, struct quire_batch *batch)
{
	struct thread *t = thread_self();
	int error;

	count(owner->quire, op_migrate, 1);
	t->in_op++;
	error = owner->ops.migrate(batch, batch->mode, owner->arg);
	t->in_op--;
	return error > 0 ? -EINVAL : error;
}

void owner_putback(struct quire_folio *folio)
{
	struct quire_owner *owner = folio->owner_;
	struct thread *t;

	if (!owner->ops.putback)
		return;
	t = thread_self();
	count(owner->quire, op_putback, 1);
	t->in_op++;
	owner->ops.putback(folio, owner->arg);
	t->in_op--;
}

int may_move(struct quire *q)
{
	struct thread *t;

	if (q->forked)
		return -ENXIO;
	t = thread_self();
	if (!t)
		return -ENOMEM;
	return t->in_op || t->pub.nest ? -EDEADLK : 0;
}
