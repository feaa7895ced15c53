/* SPDX-License-Identifier: MIT */
#ifndef SCAN_SCAN_H
#define SCAN_SCAN_H

/* The command: 0 it was shown, 1 the machine does not say, 2 bad input. */
int scan_main(int argc, char **argv);

#endif
