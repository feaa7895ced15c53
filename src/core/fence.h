/* SPDX-License-Identifier: MIT */
/*
 * fence.h: what of a fence the retry loops look at.
 */
#ifndef QUIRE_SRC_CORE_FENCE_H
#define QUIRE_SRC_CORE_FENCE_H

#include "core/instance.h"

#include <quire/fence.h>

struct quire_fence {
	struct quire *quire; /* its memory stays until the last fence has gone: instance_put() */
	uint32_t refs;	     /* atomic */
	uint32_t state;	     /* atomic, futex: FENCE_... */
	char name[64];
};

#endif
