// SPDX-License-Identifier: MIT
#include "util/points.h"

#include "os/os.h"
#include "util/atomic.h"

#include <string.h>

#ifdef QUIRE_POINTS

void (*quire_sync_hook_)(const char *point, void *what);

/* One fault is armed at a time; the points are passed by any thread. */
static struct {
	const char *point; /* NULL: any */
	uint64_t nth;	   /* 0: not armed */
	int err;
	uint64_t passed;
	const char *fired;
} fault = { .fired = "" };

/* Points that fail again and again. */
static struct every {
	const char *point; /* NULL: the place is free; atomic, set once */
	uint64_t n;	   /* 0: not armed */
	int err;
	uint64_t passed, failed;
} every[4];

static int fails_again(const char *point)
{
	for (size_t i = 0; i < sizeof(every) / sizeof(every[0]); i++) {
		struct every *e = &every[i];
		const char *name = load_acquire(&e->point);
		uint64_t n = load_acquire(&e->n);

		if (!name || !n || strcmp(name, point) != 0)
			continue;
		if ((fetch_add(&e->passed, 1) + 1) % n)
			return 0;
		fetch_add(&e->failed, 1);
		return load_relaxed(&e->err);
	}
	return 0;
}

uint64_t quire_fault_every_(const char *point, uint64_t n, int err)
{
	for (size_t i = 0; i < sizeof(every) / sizeof(every[0]); i++) {
		struct every *e = &every[i];
		const char *name = load_acquire(&e->point);
		uint64_t failed;

		if (name && strcmp(name, point) != 0)
			continue;
		store_release(&e->n, 0);
		failed = load_acquire(&e->failed);
		store_relaxed(&e->err, err);
		store_relaxed(&e->passed, 0u);
		store_relaxed(&e->failed, 0u);
		store_release(&e->point, point);
		store_release(&os_fail_hook, quire_fault_);
		store_release(&e->n, n);
		return failed;
	}
	return 0;
}

int quire_fault_(const char *point)
{
	uint64_t nth = load_acquire(&fault.nth);
	int again = fails_again(point);

	if (again)
		return again;
	if (!nth || (fault.point && strcmp(fault.point, point) != 0))
		return 0;
	if (fetch_add(&fault.passed, 1) + 1 != nth)
		return 0;
	store_release(&fault.fired, point);
	return fault.err;
}

void quire_fault_arm_(const char *point, uint64_t nth, int err)
{
	store_release(&fault.nth, 0);
	fault.point = point;
	fault.err = err;
	fault.passed = 0;
	store_release(&fault.fired, "");
	store_release(&os_fail_hook, quire_fault_);
	store_release(&fault.nth, nth);
}

bool quire_fault_disarm_(void)
{
	store_release(&fault.nth, 0);
	return load_acquire(&fault.fired)[0] != '\0';
}

uint64_t quire_fault_passed_(void)
{
	return load_acquire(&fault.passed);
}

const char *quire_fault_name_(void)
{
	return load_acquire(&fault.fired);
}

void quire_clock_set_(uint64_t ns)
{
	store_relaxed(&os_clock_override, ns);
}

#endif
