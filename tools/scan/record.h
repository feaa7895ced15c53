/* SPDX-License-Identifier: MIT */
#ifndef SCAN_RECORD_H
#define SCAN_RECORD_H

/* The command: 0 it was written, 1 the machine does not say or the file is full, 2 bad input. */
int record_main(int argc, char **argv);

#endif
