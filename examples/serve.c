// SPDX-License-Identifier: MIT
/*
 * serve.c: a host that lets itself be asked. It pins some pages, has the arena squeezed together,
 * and serves until its input ends. Meanwhile, in another terminal: quire explain
 */
#include <quire.h>
#include <stdio.h>
#include <string.h>

#define PAGES 8192

static struct quire_folio *page[PAGES];

int main(void)
{
	struct quire_result r = { .size = sizeof(r) };
	struct quire_server *server = NULL;
	struct quire_pin *dma[8] = { NULL };
	struct quire_owner *cache, *disk;
	struct quire_plan *plan;
	struct quire *q;
	int error;

	if (quire_create(QUIRE_OPTIONS(.arena_bytes = 64 << 20), &q) ||
	    quire_owner_create(q, "cache", NULL, NULL, &cache) ||
	    quire_owner_create(q, "disk", NULL, NULL, &disk))
		return 1;
	error = quire_serve_create(q, NULL, &server); /* NULL: the usual place */
	if (error) {
		fprintf(stderr, "serve: no socket: %s\n", strerror(-error));
		(void)quire_destroy(q);
		return 1;
	}
	for (int i = 0; i < PAGES; i++)
		if (quire_folio_create(cache, 0, &page[i]))
			return 1;
	for (int i = 0; i < PAGES; i++) {
		if (i % 1024 == 7) /* input and output under way: not to be moved */
			if (quire_pin_long(page[i], disk, &dma[i / 1024]))
				return 1;
		if (i % 8 == 7)
			continue;
		quire_folio_put(page[i]); /* one page in eight lives on */
	}
	quire_pin(page[15]);
	if (quire_plan_create(
		    q, QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS, .frames = 512, .count = QUIRE_MAX),
		    &plan) ||
	    quire_plan_execute(plan, NULL, &r))
		return 1;
	quire_plan_destroy(plan);
	printf("serving at %s until the input ends\n", quire_serve_path(server));
	fflush(stdout);
	while (getchar() != EOF)
		;
	quire_unpin(page[15]);
	for (int i = 0; i < 8; i++)
		quire_unpin_long(dma[i]);
	quire_serve_destroy(server);
	return quire_destroy(q) ? 1 : 0;
}
