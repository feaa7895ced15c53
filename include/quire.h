/* SPDX-License-Identifier: MIT */
/*
 * quire.h: compact, drain and give back memory that is in use, and name what cannot move.
 *
 * A frame is a place, a folio a thing, a pin keeps an address, an owner is who is asked.
 */
#ifndef QUIRE_H
#define QUIRE_H

#include <quire/background.h>
#include <quire/base.h>
#include <quire/extent.h>
#include <quire/fence.h>
#include <quire/folio.h>
#include <quire/instance.h>
#include <quire/move.h>
#include <quire/node.h>
#include <quire/owner.h>
#include <quire/pin.h>
#include <quire/plan.h>
#include <quire/read.h>
#include <quire/serve.h>

#endif
