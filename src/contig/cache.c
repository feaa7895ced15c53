// SPDX-License-Identifier: MIT
#include "contig/cache.h"

#include "folio/folios.h"
#include "frame/node.h"
#include "util/mem.h"

#include <errno.h>

struct cache {
	pthread_mutex_t lock;
	struct cached *block; /* NULL until it is asked for */
};

struct cached *cache_get(struct quire *q)
{
	struct folios *folios = q->folios;
	struct cache *cache = q->cache;

	if (load_acquire(&folios->retired) || load_acquire(&folios->limbo_frames) ||
	    load_acquire(&folios->pins))
		return NULL;
	if (pthread_mutex_trylock(&cache->lock))
		return NULL;
	if (!cache->block)
		cache->block = mem_zalloc(node_blocks(q->node), sizeof(*cache->block));
	if (!cache->block)
		pthread_mutex_unlock(&cache->lock);
	return cache->block;
}

void cache_put(struct quire *q, struct cached *blocks)
{
	if (blocks)
		pthread_mutex_unlock(&q->cache->lock);
}

static int cache_init(struct quire *q)
{
	q->cache = mem_zalloc(1, sizeof(*q->cache));
	if (!q->cache)
		return -ENOMEM;
	pthread_mutex_init(&q->cache->lock, NULL);
	return 0;
}

static void cache_finish(struct quire *q)
{
	pthread_mutex_destroy(&q->cache->lock);
	mem_free(q->cache->block);
	mem_free(q->cache);
	q->cache = NULL;
}

const struct quire_layer cache_layer = {
	.init = cache_init,
	.finish = cache_finish,
};
