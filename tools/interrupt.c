// SPDX-License-Identifier: MIT
#include "interrupt.h"

#include <stdint.h>
#include <string.h>

#include "clock.h"

/* timeout(1), for one, signals both the program and its group: two of them mean one. */
#define SAME_SIGNAL_NS 300000000u

volatile sig_atomic_t interrupted;
static uint64_t interrupted_at; /* atomic: a handler may run in any thread */
static void (*before_the_end)(void);

static void on_signal(int number)
{
	uint64_t none = 0, now = clock_ns();

	interrupted = 1;
	if (__atomic_compare_exchange_n(&interrupted_at, &none, now, false, __ATOMIC_SEQ_CST,
					__ATOMIC_SEQ_CST) ||
	    now < none + SAME_SIGNAL_NS)
		return;
	if (before_the_end)
		before_the_end();
	signal(number, SIG_DFL);
	raise(number);
}

void interrupt_catch(void (*last)(void))
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction action, was;

	before_the_end = last;
	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		/* nohup(1) has said that this one is to be ignored */
		if (numbers[i] == SIGHUP && !sigaction(SIGHUP, NULL, &was) &&
		    was.sa_handler == SIG_IGN)
			continue;
		sigaction(numbers[i], &action, NULL);
	}
}
