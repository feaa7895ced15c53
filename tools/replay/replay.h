/* SPDX-License-Identifier: MIT */
#ifndef REPLAY_REPLAY_H
#define REPLAY_REPLAY_H

int replay_main(int argc, char **argv);

#endif
