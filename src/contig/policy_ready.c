// SPDX-License-Identifier: MIT
/*
 * policy_ready.c: so many runs ready, always. From low up to high in one go, so that a run taken
 * now and then does not have it begin for one run each time.
 */
#include <quire/interfaces/policy.h>

void quire_policy_ready(const struct quire_policy_view *view, struct quire_policy_choice *choice,
			void *arg)
{
	bool begun = view->last == QUIRE_CHOICE_RUNS && !view->blocked;

	(void)arg;
	choice->runs_below = view->runs_low;
	if (view->runs_free >= (begun ? view->runs_high : view->runs_low))
		return;
	choice->what = QUIRE_CHOICE_RUNS;
	choice->frames = view->run_frames;
	choice->count = view->runs_high;
}

static const char *const texts[] = {
#define EVENT_TEXT(name, text) text,
	QUIRE_EVENTS(EVENT_TEXT)
#undef EVENT_TEXT
};
_Static_assert(QUIRE_EVENT_COUNT <= QUIRE_EVENT_ROOM, "more events than the ABI has room for");

const char *quire_event_text(enum quire_event event)
{
	return (unsigned)event < QUIRE_EVENT_COUNT ? texts[event] : "unknown";
}
