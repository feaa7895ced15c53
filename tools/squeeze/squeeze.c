/* SPDX-License-Identifier: MIT */
/*
 * squeeze.c: the command. Two arenas, one after the other, with the same layout:
 *
 *   without owners  whoever uses a page cannot be asked, so each page in use stays; no load
 *   quire           owners are asked, while threads read and write everything
 *
 * and two judges that know nothing of the library: the oracle, which says from the layout what was
 * possible, and the expected content, kept outside of the arenas.
 */
#include "squeeze.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <quire.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copylimit.h"
#include "goal.h"
#include "inject.h"
#include "interrupt.h"
#include "judge.h"
#include "kernel.h"
#include "load.h"
#include "map.h"
#include "memory.h"
#include "options.h"
#include "report.h"
#include "stage.h"
#include "term.h"
#include "users.h"
#include "watch.h"

#define DEFAULT_LAYOUT "linux-6.18-kernel-build.live.zst"

enum { EXIT_PASS = 0, EXIT_FAIL = 1, EXIT_INPUT = 2 };

struct squeeze {
	struct squeeze_options options;
	const struct goal *goal;
	char file[PATH_MAX];
	struct layout layout;
	struct stage stage;
	struct report report;
	struct term term;
	const char *label;	       /* of the phase, for the bar */
	const struct quire_plan *plan; /* that is executed */
	bool heeds;		       /* the phase ends when it is interrupted */
	uint8_t *taken;		       /* blocks that the oracle would empty */
	uint8_t *stays;		       /* of each thing: 1 if it was named */
	struct heat *before, *after;
	struct copy *copies;
	size_t ncopies;
	char lack[128]; /* what there was not enough of, before anything moved; "": of nothing */
};

static void complain(struct squeeze *s, const char *what, const char *why)
{
	term_clear(&s->term);
	fprintf(stderr, "quire squeeze: %s: %s\n", what, why);
}

static int step(void *arg, size_t done, size_t all)
{
	struct squeeze *s = arg;

	term_progress(&s->term, s->label, done, all);
	return s->heeds && interrupted;
}

static struct stage_progress phase(struct squeeze *s, const char *label, bool heeds)
{
	const struct stage_progress progress = { step, s };

	s->label = label;
	s->heeds = heeds;
	return progress;
}

/*
 * Where the layout is that comes with quire: beside this program, in the source, installed. An
 * installed quire so never reads what became of the folder it was built from.
 */
static bool find_default(char path[PATH_MAX])
{
	static const char *const folders[] = { QUIRE_DATA_SOURCE, QUIRE_DATA_INSTALLED };
	char self[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash) {
		*slash = '\0';
		n = snprintf(path, PATH_MAX, "%.3900s/../share/quire/%s", self, DEFAULT_LAYOUT);
		if (n > 0 && !access(path, R_OK))
			return true;
	}
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, PATH_MAX, "%s/%s", folders[i], DEFAULT_LAYOUT);
		if (!access(path, R_OK))
			return true;
	}
	return false;
}

/* Layout, stage, memory: true, or one line said what is wrong. */
static bool prepare(struct squeeze *s)
{
	const struct squeeze_options *o = &s->options;
	struct report *r = &s->report;
	const struct stage_shares shares = { o->pins,		o->refuse, o->owners,
					     memory_lockable(), o->seed,   o->huge };
	uint64_t need, have;
	char why[PATH_MAX + 256];

	if (o->map && map_check(o->map, why, sizeof(why))) {
		fprintf(stderr, "quire squeeze: %s\n", why);
		return false;
	}
	if (o->layout) {
		snprintf(s->file, sizeof(s->file), "%s", o->layout);
	} else if (!find_default(s->file)) {
		complain(s, DEFAULT_LAYOUT, "not found where it was installed; give --layout FILE");
		return false;
	}
	if (layout_read(o->layout ? o->layout : s->file, &s->layout, why, sizeof(why))) {
		fprintf(stderr, "quire squeeze: %s\n", why);
		return false;
	}
	if (stage_init(&s->stage, &s->layout, &shares)) {
		complain(s, s->layout.name, "no memory for a layout of this size");
		return false;
	}
	if (!goal_settle(&s->options.goal, s->stage.recorded, s->stage.blocks, why, sizeof(why))) {
		complain(s, s->layout.name, why);
		return false;
	}
	s->goal = &o->goal;
	need = stage_memory(&s->stage);
	have = memory_available("");
	if (need > have) {
		snprintf(why, sizeof(why),
			 "squeezing it takes up to %" PRIu64 " MiB of memory, and %" PRIu64
			 " MiB are available",
			 need >> 20, have >> 20);
		complain(s, s->layout.name, why);
		return false;
	}
	s->before = calloc(s->stage.blocks, sizeof(*s->before));
	s->after = calloc(s->stage.blocks, sizeof(*s->after));
	s->copies = calloc(s->stage.n, sizeof(*s->copies));
	s->taken = calloc(s->stage.blocks, 1);
	s->stays = calloc(s->stage.n, 1);
	if (!s->taken || !s->stays || !s->before || !s->after || !s->copies) {
		complain(s, s->layout.name, "no memory for a layout of this size");
		return false;
	}

	r->options = o;
	r->file = s->file;
	r->name = s->layout.name;
	r->live_bytes = (uint64_t)s->stage.pages * QUIRE_FRAME_BYTES;
	r->blocks = s->layout.blocks;
	r->folios = s->stage.n;
	r->in_use = s->stage.in_use;
	r->ring_wanted = s->stage.ring_wanted;
	r->refusing = s->stage.held[HOLDER_LEGACY];
	return true;
}

/* Which things are in the way. */
struct fixed {
	bool in_use; /* those in use, too */
	const uint8_t
		*stays; /* and those of a list, where all is now; NULL: none, as it was laid out */
};

/* What is possible where the things of legacy stay, and others. */
static int ask_oracle(const struct squeeze *s, const struct fixed *fixed, uint8_t *taken,
		      struct report_side *possible)
{
	const struct stage *st = &s->stage;
	struct oracle_folio *folios = calloc(st->n + goal_room(s->goal), sizeof(*folios));
	struct oracle_verdict verdict;
	int err;

	if (!folios)
		return -ENOMEM;
	for (size_t i = 0; i < st->n; i++) {
		const struct thing *t = &st->things[i];
		uint32_t at = fixed->stays ? thing_frame(t) : t->frame;
		enum holder h = t->holder;

		folios[i].block = at / QUIRE_BLOCK_FRAMES;
		folios[i].offset = at % QUIRE_BLOCK_FRAMES;
		folios[i].order = t->order;
		folios[i].fixed = h == HOLDER_LEGACY || (fixed->in_use && t->in_use) ||
				  (fixed->stays && fixed->stays[i]);
	}
	err = goal_judge(s->goal, folios, st->n, &verdict, &possible->runs, taken);
	if (!err) {
		possible->known = true;
		possible->bytes = verdict.bytes;
	}
	free(folios);
	return err;
}

static int plan_progress(void *arg, const struct quire_result *so_far)
{
	struct squeeze *s = arg;

	if (s->term.bar)
		snprintf(s->term.note, sizeof(s->term.note), "%zu stay",
			 quire_plan_blockers_now(s->plan, NULL, 0));
	term_progress(&s->term, s->label, so_far->bytes_moved, so_far->bytes_planned);
	return interrupted;
}

/*
 * Plans and executes. 0, -errno, or -ECANCELED. *plan is the caller's to destroy; runs does not
 * count what was free at the start.
 */
static int plan_and_move(struct squeeze *s, struct arena *a, const char *label,
			 struct quire_plan **plan, struct quire_result *result,
			 struct report_side *side)
{
	const struct quire_goal goal = goal_for_plan(s->goal);
	struct quire_plan_info info = { .size = sizeof(info) };
	uint64_t before = s->goal->free_before;
	int err;

	phase(s, label, true);
	err = quire_plan_create(a->quire, &goal, plan);
	if (err)
		return err;
	err = quire_plan_info(*plan, &info);
	if (err)
		return err;
	s->plan = *plan;
	err = quire_plan_execute(*plan, QUIRE_BUDGET(.progress = plan_progress, .arg = s), result);
	s->term.note[0] = '\0';
	if (err && err != -ECANCELED && err != -EBUSY && err != -ENOSPC)
		return err;
	side->known = true;
	side->runs = result->obtained - (result->obtained < before ? result->obtained : before);
	side->bytes = result->bytes_moved;
	s->report.lower_bound_bytes = info.lower_bound_bytes;
	s->report.no_place = info.no_place;
	return err == -ECANCELED ? err : 0;
}

static void read_heat(const struct squeeze *s, const struct arena *a, struct heat *heat)
{
	struct quire_block_info info = { .size = sizeof(info) };

	for (uint32_t b = 0; b < s->stage.blocks; b++)
		if (!quire_block_info(a->quire, b, &info))
			heat[b].used = (uint16_t)info.used;
	for (size_t i = 0; i < s->stage.n; i++)
		if (s->stage.things[i].holder == HOLDER_LEGACY)
			heat[s->stage.things[i].frame / QUIRE_BLOCK_FRAMES].stays = true;
}

/* What moved, in the plan's order: cheapest block first, then by number, then by place. */
static const struct heat *sorted_by;

static int by_cost(const void *a, const void *b)
{
	const struct copy *x = a, *y = b;
	uint32_t p = x->from / QUIRE_BLOCK_FRAMES, q = y->from / QUIRE_BLOCK_FRAMES;

	if (sorted_by[p].used != sorted_by[q].used)
		return sorted_by[p].used < sorted_by[q].used ? -1 : 1;
	return (x->from > y->from) - (x->from < y->from);
}

static void read_copies(struct squeeze *s)
{
	const struct stage *st = &s->stage;

	for (size_t i = 0; i < st->n; i++) {
		const struct thing *t = &st->things[i];
		uint32_t now = thing_frame(t);

		if (now == t->frame)
			continue;
		s->copies[s->ncopies].from = t->frame;
		s->copies[s->ncopies].to = now;
		s->copies[s->ncopies++].frames = 1u << t->order;
	}
	sorted_by = s->before;
	qsort(s->copies, s->ncopies, sizeof(*s->copies), by_cost);
}

static int verify(struct squeeze *s, struct arena *a)
{
	const struct stage_progress progress = phase(s, "comparing all bytes", false);

	return arena_verify(a, &progress, &s->report.wrong);
}

/* The machine, or a limit set on it, has no more to give. */
static bool is_lack(int err)
{
	return err == -ENOMEM || err == -EAGAIN || err == -EMFILE || err == -ENFILE ||
	       err == -EFBIG;
}

/*
 * What went wrong and is no interruption. A lack before quire moved anything says nothing about
 * quire, and is no FAIL.
 */
static int failed(struct squeeze *s, const char *what, int err)
{
	if (!err || err == -ECANCELED)
		return err;
	if (is_lack(err) && !s->report.quire.known) {
		if (!s->lack[0])
			snprintf(s->lack, sizeof(s->lack), "%s failed: %s", what, strerror(-err));
	} else {
		report_fail(&s->report, "%s failed: %s", what, strerror(-err));
	}
	return err;
}

static int run_without_owners(struct squeeze *s)
{
	const struct stage_progress progress = phase(s, "laying out", true);
	struct quire_result result = { .size = sizeof(result) };
	const struct fixed in_use = { .in_use = true };
	struct report_side possible = { 0 };
	struct quire_plan *plan = NULL;
	const char *what;
	struct arena a;
	int err, end;

	err = arena_create(&a, &s->stage, false, NULL, &progress, &what);
	if (!err) {
		what = "moving without owners";
		err = plan_and_move(s, &a, "without owners", &plan, &result, &s->report.without);
		quire_plan_destroy(plan);
		end = verify(s, &a);
		if (end)
			failed(s, "comparing", end);
	}
	err = failed(s, what, err);
	end = failed(s, "ending the first arena", arena_destroy(&a));
	if (err || end)
		return err ? err : end;

	err = failed(s, "the oracle", ask_oracle(s, &in_use, NULL, &possible));
	if (!err && possible.runs != s->report.without.runs)
		report_fail(&s->report,
			    "without owners %" PRIu64 " were freed, %" PRIu64 " possible",
			    s->report.without.runs, possible.runs);
	return err;
}

/* Whoever compares all bytes afterwards sees that nothing went that lives. */
static void shrink(struct squeeze *s, struct arena *a)
{
	struct report *r = &s->report;
	int64_t given;

	r->resident_before = memory_resident();
	given = quire_give_back(a->quire, QUIRE_MAX);
	r->resident_after = memory_resident();
	if (failed(s, "giving back", given < 0 ? (int)given : 0))
		return;
	r->shrunk = true;
	r->given_back = (uint64_t)given;
}

static const char *backing_of(const struct arena *a)
{
	struct quire_node_info info = { .size = sizeof(info) };

	if (quire_node_info(a->quire, 0, &info))
		return "unknown";
	return info.backing == QUIRE_BACKING_HUGETLB	? "hugetlb"
	       : info.backing == QUIRE_BACKING_COLLAPSE ? "collapse"
							: "4k";
}

static int move_under_load(struct squeeze *s, struct arena *a, struct load *load)
{
	struct quire_result result = { .size = sizeof(result) };
	struct judge judge = { &s->report, &s->stage, a, false, s->stays };
	const struct fixed named = { .stays = s->stays };
	struct report *r = &s->report;
	struct quire_plan *plan = NULL;
	int err;

	r->backing = backing_of(a);
	read_heat(s, a, s->before);
	err = failed(s, "starting the load", load_start(load, a, s->options.seed));
	if (err)
		return err;
	watch_refuse(a->watch, true);
	inject_arm(&s->options.inject);
	err = plan_and_move(s, a, "moving under load", &plan, &result, &r->quire);
	inject_disarm(r->fired);
	watch_refuse(a->watch, false);
	watch_fired(a->watch, r->fired);
	load_stop(load, &r->load);
	failed(s, "moving", err);

	r->wrong += r->load.wrong;
	r->bytes_recopied = result.bytes_recopied;
	r->seconds = 1e-9 * (double)result.elapsed_ns;
	judge.interrupted = interrupted;
	arena_find_again(a);
	if (plan && r->quire.known)
		judge_blockers(&judge, plan);
	quire_plan_destroy(plan);
	judge_books(&judge);
	if (s->options.shrink && r->quire.known)
		shrink(s, a);
	read_heat(s, a, s->after);
	read_copies(s);
	if (s->options.inject.any && r->quire.known)
		failed(s, "the oracle", ask_oracle(s, &named, NULL, &r->given));

	if (!failed(s, "comparing", verify(s, a)))
		judge_users(&judge);
	return err;
}

static int run_with_owners(struct squeeze *s)
{
	const struct stage_progress progress = phase(s, "laying out again", true);
	struct arena_hooks hooks;
	struct load *load;
	const char *what;
	struct arena a;
	int err, end;

	err = failed(s, "making the load", load_create(s->options.load, &load));
	if (err)
		return err;
	hooks = load_hooks(load);
	hooks.inject = s->options.inject.any ? &s->options.inject : NULL;
	err = arena_create(&a, &s->stage, true, &hooks, &progress, &what);
	if (!err) {
		what = "using free memory";
		err = arena_warm(&a, s->taken, s->report.possible.bytes / QUIRE_FRAME_BYTES,
				 &progress);
	}
	if (err)
		failed(s, what, err);
	else
		err = move_under_load(s, &a, load);
	end = failed(s, "ending the second arena", arena_destroy(&a));
	load_destroy(load);
	return err ? err : end;
}

static void print(struct squeeze *s)
{
	const struct report *r = &s->report;
	size_t blocks = s->stage.blocks;

	term_clear(&s->term);
	if (s->options.json) {
		for (size_t i = 0; i < r->nwhy; i++)
			fprintf(stderr, "quire squeeze: FAIL: %s\n", r->why[i]);
		if (report_json(r))
			fprintf(stderr, "quire squeeze: no memory for the JSON object\n");
		return;
	}
	if (r->quire.known) {
		term_heat(&s->term, "before", s->before, blocks);
		term_gap(&s->term);
		term_heat(&s->term, "after", s->after, blocks);
		term_legend(&s->term, blocks, 1, "stays");
	}
	report_text(r);
}

/* false: one line said why there is no picture though one was asked for. */
static bool draw(struct squeeze *s)
{
	const struct map map = { s->before, s->after, s->stage.blocks };
	char err[256];

	if (!s->options.map)
		return true;
	if (!s->report.quire.known)
		snprintf(err, sizeof(err), "nothing was moved, so there is no map");
	else if (!map_write(s->options.map, &map, err, sizeof(err)))
		return true;
	fprintf(stderr, "quire squeeze: %s\n", err);
	return false;
}

static void finish(struct squeeze *s)
{
	free(s->taken);
	free(s->stays);
	free(s->before);
	free(s->after);
	free(s->copies);
	free(s->report.groups);
	stage_finish(&s->stage);
	layout_finish(&s->layout);
	free(s);
}

/* What cannot be done is said, and no reason to fail. */
static void ask_linux(struct squeeze *s)
{
	const struct stage_progress progress = phase(s, "Linux on its own", true);
	struct kernel_result *r = &s->report.kernel;

	if (!s->options.kernel || !kernel_can(&s->stage, r))
		return;
	term_clear(&s->term);
	fprintf(stderr, "quire squeeze: %s\n", kernel_will());
	if (kernel_squeeze(&s->stage, &progress, r))
		return;
	term_clear(&s->term);
}

int squeeze_main(int argc, char **argv)
{
	const struct fixed refusing = { 0 };
	struct squeeze *s = calloc(1, sizeof(*s));
	int status = EXIT_INPUT, err;
	struct judge judge;

	if (!s) {
		fprintf(stderr, "quire squeeze: no memory\n");
		return EXIT_INPUT;
	}
	if (!squeeze_options_parse(&s->options, argc, argv))
		goto out;
	inject_prepare(&s->options.inject);
	interrupt_catch(kernel_put_back_now);
	term_init(&s->term);
	if (!prepare(s))
		goto out;
	if (!s->options.json)
		report_head(&s->report);

	ask_linux(s);
	err = failed(s, "the oracle", ask_oracle(s, &refusing, s->taken, &s->report.possible));
	if (!err && !run_without_owners(s) && !run_with_owners(s) && !interrupted) {
		s->label = "copying bare";
		term_progress(&s->term, s->label, 1, 1);
		failed(s, "measuring the copy limit",
		       copy_limit(s->copies, s->ncopies,
				  (uint64_t)s->stage.blocks * QUIRE_BLOCK_FRAMES, &interrupted,
				  &s->report.copy_limit));
	}
	if (s->lack[0] && !s->report.nwhy && !s->report.wrong) {
		complain(s, s->layout.name, s->lack);
		goto out;
	}
	judge = (struct judge){ &s->report, &s->stage, NULL, interrupted, s->stays };
	judge_result(&judge);
	print(s);
	status = draw(s) && s->report.verdict == REPORT_PASS ? EXIT_PASS : EXIT_FAIL;
out:
	finish(s);
	return status;
}
