// SPDX-License-Identifier: MIT
/*
 * lend.c: owners that have frames of their own (contract H-E4, S4). Such an owner takes frames out
 * of the allocator and lends them, one place at a time, for its folios: frame_get lends, frame_put
 * gives back. What it may lend is checked here, so that a mistake of an owner is an error, and
 * never two folios in one place.
 *
 * The number of an owner in node.h's takers is its place in folios->lender, from 1 on. It is the
 * owner's until its memory goes: every lent place holds that, by a folio, a limbo or an entry.
 */
#include "folio/folios.h"
#include "frame/node.h"
#include "util/mem.h"

#include <errno.h>

int lender_add(struct folios *folios, struct quire_owner *owner)
{
	struct quire_owner **grown;
	size_t i;
	int error = 0;

	pthread_mutex_lock(&folios->owners_lock);
	for (i = 0; i < folios->lenders && folios->lender[i]; i++)
		;
	if (i == NODE_TAKERS) {
		error = -ENOMEM;
	} else if (i == folios->lenders) {
		grown = mem_grow(folios->lender, &folios->lender_capacity, i + 1,
				 sizeof(struct quire_owner *));
		if (grown) {
			folios->lender = grown;
			folios->lenders++;
		} else {
			error = -ENOMEM;
		}
	}
	if (!error) {
		folios->lender[i] = owner;
		owner->number = (uint16_t)(i + 1);
	}
	pthread_mutex_unlock(&folios->owners_lock);
	return error;
}

void lender_remove_locked(struct folios *folios, struct quire_owner *owner)
{
	if (owner->number)
		folios->lender[owner->number - 1] = NULL;
}

const char *lender_name(struct quire *q, uint16_t number)
{
	struct folios *folios = q->folios;
	const char *name = "";

	pthread_mutex_lock(&folios->owners_lock);
	if (number && number <= folios->lenders && folios->lender[number - 1])
		name = folios->lender[number - 1]->name;
	pthread_mutex_unlock(&folios->owners_lock);
	return name;
}

void owner_forget_frames(struct quire_owner *owner)
{
	if (owner->number)
		node_forget_taker(owner->quire->node, owner->number);
}

int owner_frame_get(struct quire_owner *owner, unsigned order, enum quire_mode mode,
		    struct quire_frame *frame)
{
	struct quire_frame got = quire_frame(QUIRE_FRAME_NONE_N);
	int error = owner_call_frame_get(owner, order, mode, &got);

	if (!error)
		error = node_lend(owner->quire->node, order, owner->number, got);
	if (error)
		return error;
	fetch_add(&owner->folios, 1u);
	*frame = got;
	return 0;
}

int owner_frame_at(struct quire_owner *owner, unsigned order, struct quire_frame frame)
{
	struct nodes *node = owner->quire->node;

	if (frame.n >= node_blocks(node) * QUIRE_BLOCK_FRAMES || (frame.n & ((1u << order) - 1)))
		return -EINVAL;
	if (node_lend(node, order, owner->number, frame))
		return -EBUSY;
	fetch_add(&owner->folios, 1u);
	return 0;
}

void owner_frame_back(struct quire_owner *owner, unsigned order, struct quire_frame frame)
{
	struct nodes *node = owner->quire->node;

	if (owner_begin_anyway(owner) && !owner->quire->ending) {
		node_unlend(node, order, frame);
		owner_call_frame_put(owner, order, frame);
	} else {
		node_free_lent(node, order, frame);
	}
	owner_leave(owner);
	owner_put(owner);
}

int quire_frames_take(struct quire_owner *owner, unsigned order, struct quire_frame *frame)
{
	struct quire *q;
	int error = -ENOENT;

	if (!frame)
		return -EINVAL;
	*frame = quire_frame(QUIRE_FRAME_NONE_N);
	if (!owner || !owner->number || order > QUIRE_MAX_ORDER)
		return -EINVAL;
	q = owner->quire;
	if (q->forked)
		return -ENXIO;
	if (q->ending)
		return -ESHUTDOWN;
	/* Attached until they are its own, so that a detach finds them. */
	if (owner_begin_anyway(owner)) {
		error = node_take(q->node, order, owner->number, frame);
		if (error == -ENOMEM) {
			(void)quire_reclaim(q);
			error = node_take(q->node, order, owner->number, frame);
		}
	}
	owner_leave(owner);
	return error;
}

int quire_frames_give(struct quire_owner *owner, unsigned order, struct quire_frame frame)
{
	if (!owner)
		return -EINVAL;
	if (owner->quire->forked)
		return -ENXIO;
	if (owner->number && !node_give(owner->quire->node, order, owner->number, frame)) {
		notice(owner->quire, NOTICE_MOVABLE);
		return 0;
	}
	quire_log(owner->quire, QUIRE_LOG_ERROR,
		  "%s gave back a frame that it has not, or has lent", owner->name);
	return -EINVAL;
}
