/* SPDX-License-Identifier: MIT */
/*
 * A unit's state: the number of jobs in it, and QUIESCED. While QUIESCED is set and the number is
 * 0, whoever set it has pin and address for itself; everybody else may read them only between
 * busy_enter() and busy_leave(). Invariant then: pin == NULL or address == quire_pin_address(pin).
 *
 * The pairs: a job's end (release) with the quiescer's wait for 0 (acquire); the opening (release)
 * with the next job's start (acquire).
 */
#include "busy.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "clock.h"

#define QUIESCED 0x80000000u

/* How long one unit's jobs are waited for. A job takes a microsecond, if it is not preempted. */
#define QUIESCE_NS 20000000

struct unit {
	struct quire_folio *folio;
	struct quire_pin *pin;
	char *address;
	uint32_t state;
};

struct busy {
	struct quire_owner *owner;
	struct busy_hooks hooks;
	size_t n, cap;
	struct unit *units;
};

static struct unit *unit_of(const struct quire_folio *folio)
{
	return quire_folio_private(folio);
}

/* Keeps new jobs out and waits for those inside. false: they did not end in time; jobs go on. */
static bool quiesce(struct unit *u, bool wait)
{
	uint64_t until = 0;

	__atomic_fetch_or(&u->state, QUIESCED, __ATOMIC_ACQUIRE);
	for (unsigned spin = 1; __atomic_load_n(&u->state, __ATOMIC_ACQUIRE) != QUIESCED; spin++) {
		if (spin % 256 && wait)
			continue;
		if (!until)
			until = clock_ns() + QUIESCE_NS;
		if (!wait || clock_ns() > until) {
			__atomic_fetch_and(&u->state, ~QUIESCED, __ATOMIC_RELEASE);
			return false;
		}
		sched_yield();
	}
	return true;
}

static void open_again(struct unit *u)
{
	__atomic_fetch_and(&u->state, ~QUIESCED, __ATOMIC_RELEASE);
}

/* Quiesced only. */
static void drop(struct unit *u)
{
	quire_unpin_long(u->pin);
	u->pin = NULL;
	u->address = NULL;
}

/* Quiesced only. Where it fails, the next job tries again. */
static int hold(const struct busy *busy, struct unit *u)
{
	int err = quire_pin_long(u->folio, busy->owner, &u->pin);

	if (err) {
		u->pin = NULL;
		return err;
	}
	u->address = quire_pin_address(u->pin);
	return 0;
}

static int busy_isolate(struct quire_folio *folio, enum quire_mode mode, void *arg)
{
	struct busy *busy = arg;

	(void)mode;
	if (busy->hooks.isolated)
		busy->hooks.isolated(busy->hooks.arg, (size_t)(unit_of(folio) - busy->units));
	return 0;
}

static int busy_migrate(struct quire_batch *batch, enum quire_mode mode, void *arg)
{
	struct busy *busy = arg;
	size_t n = quire_batch_count(batch), quiet[QUIRE_BLOCK_FRAMES], nquiet = 0;
	int err;

	for (size_t i = 0; i < n; i++) {
		struct unit *u = unit_of(quire_batch_folio(batch, i));

		if (nquiet < QUIRE_BLOCK_FRAMES && quiesce(u, mode != QUIRE_ASYNC)) {
			drop(u);
			quiet[nquiet++] = i;
		} else {
			(void)quire_batch_skip(batch, i, -EAGAIN);
		}
	}

	err = quire_move_commit(batch);

	for (size_t i = 0; i < nquiet; i++) {
		struct unit *u = unit_of(quire_batch_folio(batch, quiet[i]));

		(void)hold(busy, u);
		open_again(u);
	}
	return err;
}

/* A folio that stays is opened again by migrate, or was never quiesced. */
static void busy_putback(struct quire_folio *folio, void *arg)
{
	(void)folio;
	(void)arg;
}

static const struct quire_owner_ops busy_ops = {
	.size = sizeof(busy_ops),
	.isolate = busy_isolate,
	.migrate = busy_migrate,
	.putback = busy_putback,
};

int busy_create(struct quire *quire, size_t n, const struct busy_hooks *hooks, struct busy **busy)
{
	struct busy *b = calloc(1, sizeof(*b));
	int err;

	if (!b)
		return -ENOMEM;
	b->units = calloc(n ? n : 1, sizeof(*b->units));
	if (!b->units) {
		free(b);
		return -ENOMEM;
	}
	b->cap = n;
	if (hooks)
		b->hooks = *hooks;
	err = quire_owner_create(quire, "busy", &busy_ops, b, &b->owner);
	if (err) {
		free(b->units);
		free(b);
		return err;
	}
	*busy = b;
	return 0;
}

int busy_add(struct busy *busy, struct quire_frame at, unsigned order, struct quire_folio **folio)
{
	struct unit *u = &busy->units[busy->n];
	int err;

	if (busy->n == busy->cap)
		return -ENOSPC;
	err = quire_folio_create_with(
		busy->owner, QUIRE_FOLIO(.order = order, .at_set = 1, .at = at, .private_data = u),
		&u->folio);
	if (err)
		return err;
	err = hold(busy, u);
	if (err) {
		quire_folio_put(u->folio);
		u->folio = NULL;
		return err;
	}
	busy->n++;
	*folio = u->folio;
	return 0;
}

void *busy_enter(struct busy *busy, size_t unit)
{
	struct unit *u = &busy->units[unit];
	uint32_t state = __atomic_load_n(&u->state, __ATOMIC_RELAXED);
	int err;

	for (unsigned spin = 1;; spin++) {
		if (state & QUIESCED) {
			if (spin % 64 == 0)
				sched_yield();
			state = __atomic_load_n(&u->state, __ATOMIC_RELAXED);
			continue;
		}
		if (!__atomic_compare_exchange_n(&u->state, &state, state + 1, true,
						 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		if (u->address)
			return u->address;
		/* pinning failed after a move: once more, alone */
		busy_leave(busy, unit);
		state = 0;
		if (!__atomic_compare_exchange_n(&u->state, &state, QUIESCED, false,
						 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue;
		err = u->address ? 0 : hold(busy, u);
		open_again(u);
		if (err)
			return NULL;
		state = __atomic_load_n(&u->state, __ATOMIC_RELAXED);
	}
}

void busy_leave(struct busy *busy, size_t unit)
{
	__atomic_fetch_sub(&busy->units[unit].state, 1, __ATOMIC_RELEASE);
}

size_t busy_holding(const struct busy *busy)
{
	size_t n = 0;

	for (size_t i = 0; i < busy->n; i++) {
		const struct unit *u = &busy->units[i];

		n += u->pin && u->address == quire_folio_content(u->folio);
	}
	return n;
}

void busy_destroy(struct busy *busy)
{
	if (!busy)
		return;
	for (size_t i = 0; i < busy->n; i++)
		drop(&busy->units[i]);
	free(busy->units);
	free(busy);
}
