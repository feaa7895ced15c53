/* SPDX-License-Identifier: MIT */
/*
 * consumer.cc: the same from C++, which has no designated initialisers in its older standards.
 */
#include <cstdio>
#include <cstring>
#include <quire.h>

static int isolate_yes(quire_folio *, quire_mode, void *)
{
	return 0;
}

static void putback_nothing(quire_folio *, void *)
{
}

int main()
{
	quire_options options = quire_options();
	quire_owner_ops ops = quire_owner_ops();
	quire_folio_args args = quire_folio_args();
	quire *q;
	quire_owner *owner;
	quire_folio *folio;

	options.size = sizeof options;
	options.abi = QUIRE_ABI;
	options.arena_bytes = 4 << 20;
	ops.size = sizeof ops;
	ops.isolate = isolate_yes;
	ops.putback = putback_nothing;
	args.size = sizeof args;
	args.order = 3;
	if (quire_create(&options, &q) || quire_owner_create(q, "c++", &ops, nullptr, &owner) ||
	    quire_folio_create_with(owner, &args, &folio))
		return 1;

	char *p = static_cast<char *>(quire_pin(folio));
	std::memset(p, 7, quire_folio_bytes(folio));
	quire_unpin(folio);

	quire_move move = quire_move();
	move.folio = folio;
	if (quire_move_folios(q, &move, 1, QUIRE_SYNC, 0) != 0 || move.code != 0)
		return 1;

	char byte = 0;
	if (quire_read_enter())
		return 1;
	struct quire_view view;
	do {
		view = quire_view(folio);
		quire_read_bytes(&byte, view.data + 5, 1);
	} while (quire_view_stale(folio, view));
	quire_read_leave();
	std::printf("%s: byte %d\n", quire_version(), byte);
	quire_folio_put(folio);
	return byte == 7 && quire_owner_destroy(owner) == 0 && quire_destroy(q) == 0 ? 0 : 1;
}
