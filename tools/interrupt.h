/* SPDX-License-Identifier: MIT */
/*
 * interrupt.h: Ctrl-C and SIGTERM end the work in order; a second one ends the program.
 */
#ifndef TOOLS_INTERRUPT_H
#define TOOLS_INTERRUPT_H

#include <signal.h>
#include <stdbool.h>

/* Set by the first of them. */
extern volatile sig_atomic_t interrupted;

/*
 * From now on. What is to be put back also where the program ends at the second signal, is put back
 * by `last`, which may be NULL and may only do what a signal handler may.
 */
void interrupt_catch(void (*last)(void));

#endif
