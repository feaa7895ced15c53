// SPDX-License-Identifier: MIT
/*
 * fence.c: a reference count and a futex. A signal is an atomic operation, two if somebody waits:
 *
 *	signal                         quire_fence_wait              mover
 *	state |= SIGNALED              state |= WAITERS, if unset    signals, event = ...
 *	WAITERS was set: wake          SIGNALED? else sleep on it    SIGNALED? else sleep on event
 *	signals + 1, event + 1, wake
 *
 * Who sleeps compares the word in the futex, so a signal between the look and the sleep is seen.
 */
#include "core/fence.h"

#include "os/os.h"
#include "util/mem.h"

#include <errno.h>

#define FENCE_SIGNALED 1u
#define FENCE_WAITERS 2u

int quire_fence_create(struct quire *q, const char *name, struct quire_fence **result)
{
	struct quire_fence *fence;
	size_t length;

	if (!result)
		return -EINVAL;
	*result = NULL;
	if (!q || !name)
		return -EINVAL;
	if (q->forked)
		return -ENXIO;
	length = strnlen(name, sizeof(fence->name));
	if (!length || length == sizeof(fence->name))
		return -EINVAL;
	fence = mem_zalloc(1, sizeof(*fence));
	if (!fence)
		return -ENOMEM;
	memcpy(fence->name, name, length);
	fence->quire = q;
	fence->refs = 1;
	instance_get(q);
	*result = fence;
	return 0;
}

struct quire_fence *quire_fence_get(struct quire_fence *fence)
{
	if (fence)
		add_relaxed(&fence->refs, 1u);
	return fence;
}

void quire_fence_put(struct quire_fence *fence)
{
	struct quire *q;

	if (!fence || fetch_sub(&fence->refs, 1u) != 1)
		return;
	q = fence->quire;
	mem_free(fence);
	instance_put(q);
}

void quire_fence_signal(struct quire_fence *fence)
{
	/* seq_cst, so release as well: who sees the flag sees what came before the signal */
	uint32_t old = __atomic_fetch_or(&fence->state, FENCE_SIGNALED, __ATOMIC_SEQ_CST);

	if (old & FENCE_SIGNALED)
		return;
	if (old & FENCE_WAITERS)
		os_futex_wake_all(&fence->state);
	instance_signal(fence->quire);
	notice_of(fence->quire, fence);
}

bool quire_fence_signaled(const struct quire_fence *fence)
{
	return load_acquire(&fence->state) & FENCE_SIGNALED;
}

int quire_fence_wait(struct quire_fence *fence, uint64_t deadline_ns)
{
	uint64_t now = os_clock_ns(), end;
	uint32_t state;

	if (!deadline_ns)
		deadline_ns = fence->quire->options.deadline_ns;
	end = now > UINT64_MAX - deadline_ns ? UINT64_MAX : now + deadline_ns;
	for (;;) {
		state = load_acquire(&fence->state);
		if (state & FENCE_SIGNALED)
			return 0;
		now = os_clock_ns();
		if (now >= end)
			return -ETIMEDOUT;
		if (!(state & FENCE_WAITERS) &&
		    !compare_exchange(&fence->state, &state, state | FENCE_WAITERS))
			continue;
		SYNC_POINT("fence:waiting", fence);
		os_futex_wait(&fence->state, FENCE_WAITERS, end - now);
	}
}

const char *quire_fence_name(const struct quire_fence *fence)
{
	return fence->name;
}
