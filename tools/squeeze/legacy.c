/* SPDX-License-Identifier: MIT */
#include "legacy.h"

#include <errno.h>
#include <stdlib.h>

struct legacy {
	struct quire_owner *owner;
	size_t n, cap;
	struct quire_pin **pins;
};

int legacy_create(struct quire *quire, const char *name, size_t n, struct legacy **legacy)
{
	struct legacy *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->pins = calloc(n ? n : 1, sizeof(struct quire_pin *));
	if (!l->pins) {
		free(l);
		return -ENOMEM;
	}
	l->cap = n;
	err = quire_owner_create(quire, name, NULL, NULL, &l->owner);
	if (err) {
		free(l->pins);
		free(l);
		return err;
	}
	*legacy = l;
	return 0;
}

int legacy_add(struct legacy *legacy, struct quire_frame at, unsigned order,
	       struct quire_folio **folio)
{
	struct quire_folio *f;
	int err;

	if (legacy->n == legacy->cap)
		return -ENOSPC;
	err = quire_folio_create_with(legacy->owner,
				      QUIRE_FOLIO(.order = order, .at_set = 1, .at = at), &f);
	if (err)
		return err;
	err = quire_pin_long(f, legacy->owner, &legacy->pins[legacy->n]);
	if (err) {
		quire_folio_put(f);
		return err;
	}
	legacy->n++;
	*folio = f;
	return 0;
}

void *legacy_address(const struct legacy *legacy, size_t unit)
{
	return quire_pin_address(legacy->pins[unit]);
}

void legacy_destroy(struct legacy *legacy)
{
	if (!legacy)
		return;
	for (size_t i = 0; i < legacy->n; i++)
		quire_unpin_long(legacy->pins[i]);
	free(legacy->pins);
	free(legacy);
}
