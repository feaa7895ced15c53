// SPDX-License-Identifier: MIT
#include "events.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of an event's first word: five bits of type and length, the rest the time since the one before.
 */
#define TYPE_BITS 5u
#define DELTA_BITS 27u
enum { TYPE_LONG, TYPE_DATA_MAX = 28, TYPE_PADDING, TYPE_EXTEND, TYPE_STAMP };

/* The bits of commit above the length say what was lost. */
#define COMMIT_LENGTH ((UINT64_C(1) << 27) - 1)

const char *event_path(enum event_kind kind)
{
	static const char *const paths[EVENT_KINDS] = {
		"kmem/mm_page_alloc",
		"kmem/mm_page_free",
		"kmem/mm_page_free_batched",
		"sched/sched_process_fork",
	};

	return paths[kind];
}

/*
 * field:unsigned long pfn;	offset:8;	size:8;	signed:0;
 * The name is the last word before the semicolon, without brackets.
 */
static bool find_field(const char *text, const char *name, struct event_field *field)
{
	size_t n = strlen(name);

	for (const char *at = text; (at = strstr(at, "field:")); at++) {
		const char *end = strchr(at, ';'), *word;
		unsigned offset, size;

		if (!end)
			return false;
		word = end;
		while (word > at && word[-1] != ' ' && word[-1] != '*')
			word--;
		if (strncmp(word, name, n) != 0 || (word[n] != ';' && word[n] != '['))
			continue;
		if (sscanf(end, "; offset:%u; size:%u;", &offset, &size) != 2 ||
		    offset > UINT16_MAX || !size || size > UINT16_MAX)
			return false;
		field->offset = (uint16_t)offset;
		field->size = (uint16_t)size;
		return true;
	}
	return false;
}

int event_page_format(struct event_formats *f, const char *text)
{
	if (!find_field(text, "timestamp", &f->stamp) || !find_field(text, "commit", &f->commit) ||
	    !find_field(text, "data", &f->data) || f->stamp.size != 8 ||
	    (f->commit.size != 4 && f->commit.size != 8) || f->data.offset < 16 ||
	    f->commit.offset + f->commit.size > f->data.offset ||
	    f->stamp.offset + 8 > f->data.offset)
		return -EBADMSG;
	return 0;
}

size_t event_page_bytes(const struct event_formats *f)
{
	return (size_t)f->data.offset + f->data.size;
}

static bool is_word(const struct event_field *f)
{
	return f->size == 1 || f->size == 2 || f->size == 4 || f->size == 8;
}

int event_kind_format(struct event_formats *formats, enum event_kind kind, const char *text)
{
	struct event_format *f = &formats->kind[kind];
	const char *id = strstr(text, "ID:");
	unsigned number;
	bool good;

	if (!id || sscanf(id, "ID:%u", &number) != 1 || !number || number > UINT16_MAX)
		return -EBADMSG;
	good = find_field(text, "common_type", &f->common_type) && f->common_type.size == 2 &&
	       find_field(text, "common_pid", &f->common_pid) && f->common_pid.size == 4;
	if (kind == EVENT_FORK)
		good = good && find_field(text, "child_pid", &f->child) && is_word(&f->child);
	else
		good = good && find_field(text, "pfn", &f->pfn) && is_word(&f->pfn);
	if (kind == EVENT_ALLOC || kind == EVENT_FREE)
		good = good && find_field(text, "order", &f->order) && is_word(&f->order);
	if (kind == EVENT_ALLOC)
		good = good && find_field(text, "migratetype", &f->type) && is_word(&f->type);
	if (!good)
		return -EBADMSG;
	f->id = (uint16_t)number;
	return 0;
}

/* A word of a field, in this machine's order; 0 where there is no such field. false: cut off. */
static bool get(const unsigned char *data, size_t size, const struct event_field *f, uint64_t *word)
{
	uint8_t b;
	uint16_t h;
	uint32_t w;

	*word = 0;
	if (!f->size)
		return true;
	if ((size_t)f->offset + f->size > size)
		return false;
	switch (f->size) {
	case 1:
		memcpy(&b, data + f->offset, 1);
		*word = b;
		break;
	case 2:
		memcpy(&h, data + f->offset, 2);
		*word = h;
		break;
	case 4:
		memcpy(&w, data + f->offset, 4);
		*word = w;
		break;
	default:
		memcpy(word, data + f->offset, 8);
		break;
	}
	return true;
}

static uint8_t small(uint64_t n)
{
	return n > UINT8_MAX ? UINT8_MAX : (uint8_t)n;
}

/* The event in these bytes, if it is of a kind that we know: 1, 0, or -EBADMSG. */
static int decode(const struct event_formats *formats, const unsigned char *data, size_t size,
		  struct event *event)
{
	/* common_type and common_pid are the same in all of them */
	uint64_t id, pid, pfn, order, type, child;

	for (unsigned k = 0; k < EVENT_KINDS; k++) {
		const struct event_format *f = &formats->kind[k];

		if (!f->id)
			continue;
		if (!get(data, size, &f->common_type, &id))
			return -EBADMSG;
		if (id != f->id)
			continue;
		if (!get(data, size, &f->common_pid, &pid) || !get(data, size, &f->pfn, &pfn) ||
		    !get(data, size, &f->order, &order) || !get(data, size, &f->type, &type) ||
		    !get(data, size, &f->child, &child))
			return -EBADMSG;
		event->kind = (uint8_t)k;
		event->pid = (uint32_t)pid;
		event->pfn = k == EVENT_FORK ? child : pfn;
		event->order = small(order);
		event->type = small(type);
		return 1;
	}
	return 0;
}

static uint32_t word_at(const unsigned char *p)
{
	uint32_t w;

	memcpy(&w, p, 4);
	return w;
}

int event_page(const struct event_formats *formats, const void *page, size_t size,
	       int (*each)(void *arg, const struct event *event), void *arg)
{
	const unsigned char *p = page, *end;
	struct event event = { 0 };
	uint64_t commit;
	int got;

	if (size < formats->data.offset || !get(p, size, &formats->stamp, &event.ns) ||
	    !get(p, size, &formats->commit, &commit))
		return -EBADMSG;
	commit &= COMMIT_LENGTH;
	if (commit > size - formats->data.offset)
		return -EBADMSG;
	p += formats->data.offset;
	end = p + commit;
	while (end - p >= 4) {
		uint32_t head = word_at(p), kind = head & ((1u << TYPE_BITS) - 1);
		uint64_t delta = head >> TYPE_BITS, length;

		p += 4;
		if (kind == TYPE_PADDING && !delta) /* up to the end of the page */
			return 0;
		if (kind == TYPE_LONG || kind >= TYPE_PADDING) {
			if (end - p < 4)
				return -EBADMSG;
			length = word_at(p);
			if (kind == TYPE_EXTEND || kind == TYPE_STAMP) {
				delta += length << DELTA_BITS;
				length = 4;
			} else if (kind == TYPE_LONG && length < 4) {
				return -EBADMSG;
			} else if (kind == TYPE_PADDING && length < 4) {
				length = 4;
			}
		} else {
			length = 4 * (uint64_t)kind;
		}
		/* an absolute time has 59 bits; the others do not change in a page */
		if (kind == TYPE_STAMP)
			event.ns = (event.ns & ~((UINT64_C(1) << 59) - 1)) | delta;
		else
			event.ns += delta;
		if (length > (uint64_t)(end - p))
			return -EBADMSG;
		if (kind < TYPE_PADDING) {
			size_t skip = kind == TYPE_LONG ? 4 : 0;

			got = decode(formats, p + skip, (size_t)length - skip, &event);
			if (got > 0)
				got = each(arg, &event);
			if (got)
				return got;
		}
		p += length;
	}
	return 0;
}
