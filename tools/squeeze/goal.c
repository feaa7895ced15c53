/* SPDX-License-Identifier: MIT */
#include "goal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define BLOCK_BYTES ((uint64_t)QUIRE_BLOCK_FRAMES << QUIRE_FRAME_SHIFT)
#define RUN_BYTES_MAX ((uint64_t)1 << 30)

void goal_init(struct goal *goal)
{
	memset(goal, 0, sizeof(*goal));
	goal->kind = GOAL_RUNS;
	goal->blocks_each = 1;
	goal->count = GOAL_ALL;
}

/* A whole number at *text, and behind it; false if there is none, or a very large one. */
static bool whole(const char **text, uint64_t *n)
{
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	errno = 0;
	*n = strtoull(*text, &end, 10);
	*text = end;
	return !errno && *n <= UINT64_C(1) << 52;
}

/* K, M, G or T, iB after it or not: the shift, and what is behind; 0: none of these. */
static unsigned suffix(const char **text)
{
	static const char letters[] = "KMGT";
	const char *at = **text ? strchr(letters, **text & ~0x20) : NULL;

	if (!at)
		return 0;
	++*text;
	if (!strncmp(*text, "iB", 2))
		*text += 2;
	return 10 * (unsigned)(at - letters + 1);
}

static bool run_size(const char **text, uint64_t *bytes)
{
	unsigned shift;

	if (!whole(text, bytes))
		return false;
	shift = suffix(text);
	if (!shift || *bytes > RUN_BYTES_MAX >> shift)
		return false;
	*bytes <<= shift;
	return *bytes >= BLOCK_BYTES && !(*bytes & (*bytes - 1));
}

bool goal_parse_want(const char *text, struct goal *goal, char *error, size_t size)
{
	uint64_t bytes = BLOCK_BYTES, n = GOAL_ALL;
	const char *at = text;
	bool good = true;

	if (strcmp(text, "all") != 0) {
		good = run_size(&at, &bytes) && *at++ == ':';
		if (good && strcmp(at, "all") != 0)
			good = whole(&at, &n) && !*at && n;
	}
	if (!good) {
		snprintf(error, size,
			 "--want wants all or SIZE:N, SIZE a power of two from 2M to 1G and N a "
			 "number from 1 or all, not '%.40s'",
			 text);
		return false;
	}
	goal->kind = GOAL_RUNS;
	goal->blocks_each = (uint32_t)(bytes / BLOCK_BYTES);
	goal->count = n;
	return true;
}

/* false: no number, or no whole block (*why). */
static bool edge(const char **text, struct goal_edge *e, const char **why)
{
	const char *start = *text;
	unsigned shift;
	char *end;

	*why = NULL;
	memset(e, 0, sizeof(*e));
	if (!whole(text, &e->frames))
		return false;
	if (**text == '%' || (**text == '.' && (*text)[1] >= '0' && (*text)[1] <= '9')) {
		e->is_share = true;
		e->pct = strtod(start, &end);
		*text = end + 1;
		return *end == '%' && e->pct <= 100;
	}
	shift = suffix(text);
	if (shift) {
		if (e->frames > UINT64_C(1) << (52 - shift))
			return false;
		e->frames <<= shift;
		*why = "whole blocks of 2M";
		if (e->frames % BLOCK_BYTES)
			return false;
		e->frames >>= QUIRE_FRAME_SHIFT;
	}
	*why = "whole blocks of 512 frames";
	return e->frames % QUIRE_BLOCK_FRAMES == 0;
}

bool goal_parse_drain(const char *text, struct goal *goal, char *error, size_t size)
{
	const char *at = text, *why = NULL;
	bool good = edge(&at, &goal->low, &why) && !strncmp(at, "..", 2);

	at += good ? 2 : 0;
	good = good && edge(&at, &goal->high, &why) && !*at;
	if (!good) {
		snprintf(error, size,
			 "--drain wants LO..HI, each %s or per cent, such as 64M..128M, not "
			 "'%.40s'",
			 why ? why : "frames, bytes with K, M, G or T,", text);
		return false;
	}
	goal->kind = GOAL_RANGE;
	goal->blocks_each = 1;
	goal->count = GOAL_ALL;
	return true;
}

static uint64_t edge_block(const struct goal_edge *e, uint32_t recorded)
{
	return e->is_share ? (uint64_t)(e->pct * recorded / 100) : e->frames / QUIRE_BLOCK_FRAMES;
}

/* Of blocks from to end - 1, those from `used` on are free. */
static uint64_t free_of(uint32_t from, uint32_t end, uint32_t used)
{
	return end <= used ? 0 : end - (from > used ? from : used);
}

bool goal_settle(struct goal *goal, uint32_t recorded, uint32_t blocks, char *error, size_t size)
{
	uint64_t first = edge_block(&goal->low, recorded), end = edge_block(&goal->high, recorded);
	uint32_t windows = blocks / goal->blocks_each;

	goal->blocks = blocks;
	if (goal->kind == GOAL_RANGE) {
		if (end > blocks || first >= end) {
			snprintf(error, size,
				 "--drain: %s; the arena has %" PRIu32 " blocks of 2M, %" PRIu64
				 " frames",
				 end > blocks ? "it ends behind the arena"
					      : "no whole block is in it",
				 blocks, (uint64_t)blocks * QUIRE_BLOCK_FRAMES);
			return false;
		}
		goal->first = (uint32_t)first;
		goal->end = (uint32_t)end;
		goal->free_before = free_of(goal->first, goal->end, recorded);
		return true;
	}
	if (goal->kind == GOAL_SHARE)
		goal->count = (uint64_t)ceil(goal->pct * recorded / 100);
	if (!windows) {
		snprintf(error, size, "--want: the arena has %" PRIu32 " blocks of 2M, no such run",
			 blocks);
		return false;
	}
	goal->free_before =
		free_of(0, windows, (recorded + goal->blocks_each - 1) / goal->blocks_each);
	return true;
}

/* GOAL_ALL is as much as QUIRE_MAX. */
static uint64_t count_with_free(const struct goal *goal)
{
	return goal->count == GOAL_ALL ? GOAL_ALL : goal->count + goal->free_before;
}

struct quire_goal goal_for_plan(const struct goal *goal)
{
	if (goal->kind == GOAL_RANGE)
		return *QUIRE_GOAL(.kind = QUIRE_GOAL_RANGE,
				   .frames = (goal->end - goal->first) * QUIRE_BLOCK_FRAMES,
				   .first = quire_frame(goal->first * QUIRE_BLOCK_FRAMES));
	return *QUIRE_GOAL(.kind = QUIRE_GOAL_RUNS,
			   .frames = goal->blocks_each * QUIRE_BLOCK_FRAMES,
			   .count = count_with_free(goal));
}

bool goal_has_frame(const struct goal *goal, uint32_t frame)
{
	uint32_t b = frame / QUIRE_BLOCK_FRAMES;

	return goal->kind != GOAL_RANGE || (b >= goal->first && b < goal->end);
}

size_t goal_room(const struct goal *goal)
{
	return goal->blocks_each;
}

int goal_judge(const struct goal *goal, struct oracle_folio *folios, size_t n,
	       struct oracle_verdict *verdict, uint64_t *runs, uint8_t *taken)
{
	const uint32_t each = goal->blocks_each, windows = (goal->blocks + each - 1) / each;
	struct oracle_arena arena = { windows, 9 + (unsigned)__builtin_ctz(each), n, folios };
	int err;

	for (size_t i = 0; i < n; i++) {
		folios[i].offset += folios[i].block % each * QUIRE_BLOCK_FRAMES;
		folios[i].block /= each;
	}
	/* An arena need not end with a whole window: what is missing of it can never be free. */
	for (uint32_t b = goal->blocks; b < windows * each; b++)
		folios[arena.n++] = (struct oracle_folio){ .block = b / each,
							   .offset = b % each * QUIRE_BLOCK_FRAMES,
							   .order = 9,
							   .fixed = true };
	if (goal->kind == GOAL_RANGE)
		err = oracle_judge_range(&arena, goal->first, goal->end, verdict, taken);
	else
		err = oracle_judge(&arena, count_with_free(goal), verdict, taken);
	if (err)
		return err;
	for (uint32_t b = goal->blocks; taken && b-- > 0;)
		taken[b] = taken[b / each];
	*runs = verdict->runs - goal->free_before;
	return 0;
}

uint64_t goal_count_free(const struct goal *goal, const uint8_t *occupied)
{
	uint32_t from = goal->kind == GOAL_RANGE ? goal->first : 0;
	uint32_t end = goal->kind == GOAL_RANGE ? goal->end : goal->blocks;
	uint64_t n = 0;

	for (uint32_t b = from; b + goal->blocks_each <= end; b += goal->blocks_each)
		n += !memchr(occupied + b, 1, goal->blocks_each);
	return n;
}

const char *goal_noun(const struct goal *goal, char text[GOAL_TEXT])
{
	uint64_t mib = goal->blocks_each * BLOCK_BYTES >> 20;

	if (goal->kind == GOAL_RANGE)
		snprintf(text, GOAL_TEXT, "2 MiB blocks drained");
	else if (mib == 2)
		snprintf(text, GOAL_TEXT, "2 MiB pages freed");
	else
		snprintf(text, GOAL_TEXT, "%" PRIu64 " %s runs freed",
			 mib < 1024 ? mib : mib / 1024, mib < 1024 ? "MiB" : "GiB");
	return text;
}

const char *goal_words(const struct goal *goal, char text[GOAL_TEXT])
{
	char first[TEXT], last[TEXT], n[TEXT];
	uint64_t mib = goal->blocks_each * BLOCK_BYTES >> 20;

	*text = '\0';
	if (goal->kind == GOAL_RANGE)
		snprintf(text, GOAL_TEXT, "blocks %s to %s empty", text_count(first, goal->first),
			 text_count(last, goal->end - 1));
	else if (goal->count != GOAL_ALL)
		snprintf(text, GOAL_TEXT, "%s run%s of %" PRIu64 " %s, besides the free",
			 text_count(n, goal->count), text_s(goal->count),
			 mib < 1024 ? mib : mib / 1024, mib < 1024 ? "MiB" : "GiB");
	else if (goal->blocks_each > 1)
		snprintf(text, GOAL_TEXT, "all runs of %" PRIu64 " %s that can be",
			 mib < 1024 ? mib : mib / 1024, mib < 1024 ? "MiB" : "GiB");
	return text;
}
