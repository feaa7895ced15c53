// SPDX-License-Identifier: MIT
/*
 * layers.c: the layers of an instance, lowest first. The one place where core meets those above it.
 */
#include "contig/background.h"
#include "contig/cache.h"
#include "contig/queue.h"
#include "contig/record.h"
#include "core/instance.h"
#include "folio/extent.h"
#include "folio/folios.h"
#include "frame/node.h"

const struct quire_layer *const quire_layers[] = {
	&node_layer,  &folios_layer,  &extents_layer,	 &cache_layer,
	&queue_layer, &records_layer, &background_layer,
};

const unsigned quire_layer_count = sizeof(quire_layers) / sizeof(quire_layers[0]);
