// SPDX-License-Identifier: MIT
#include "frame/blocks.h"

#include "os/os.h"
#include "util/atomic.h"
#include "util/check.h"
#include "util/points.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* A state: frames in use, flags, and a stamp. */
#define USED(s) ((s)&0x3ffu)
#define FREE(s) (QUIRE_BLOCK_FRAMES - USED(s))
#define CLAIMED (1u << 10)
#define PINNED (1u << 11)  /* its class; says nothing while the block is empty */
#define COUNTED (1u << 12) /* nobody has a frame of it, and it is one of those in `empty` */
#define FILLED (1u << 13)  /* else it is a hole; set with the first frame that is used */
#define TAKEN (1u << 14)   /* from here on: how often frames were counted as used; wraps */

/* Blocks whose states share a cache line. */
#define LINE_BLOCKS 16u
#define LINE_MASK 0xffffull
/* How often a field is gone through for a bit that the count says is there. */
#define ROUNDS 64u

/* Lists: three levels of each class, then the empty blocks, with memory and without. */
#define LEVELS 3u
#define LIST_EMPTY (BLOCK_CLASSES * LEVELS)
#define LIST_HOLE (LIST_EMPTY + 1)
#define LIST_NONE BLOCK_LISTS

static const uint32_t level_most[LEVELS] = { 64, 256, 511 }; /* free frames */

#define load_seq(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)

/* --- the lists --- */

static unsigned list_of(uint32_t state)
{
	unsigned base = state & PINNED ? LEVELS : 0;

	if (!USED(state))
		return state & FILLED ? LIST_EMPTY : LIST_HOLE;
	if (USED(state) == QUIRE_BLOCK_FRAMES)
		return LIST_NONE;
	for (unsigned l = 0; l < LEVELS - 1; l++)
		if (FREE(state) <= level_most[l])
			return base + l;
	return base + LEVELS - 1;
}

static uint32_t list_most(unsigned list)
{
	return list >= LIST_EMPTY ? QUIRE_BLOCK_FRAMES : level_most[list % LEVELS];
}

/*
 * Marks block i where state says. The load may be stale only if a search is just about to clear
 * that mark; it looks at the state again after that (seq_cst on both sides: one sees the other).
 */
static void mark(struct blocks *b, uint32_t i, uint32_t state)
{
	unsigned list = list_of(state);
	uint64_t bit = 1ull << (i % 64);

	if (list == LIST_NONE)
		return;
	if (!(load_seq(&b->list[list][i / 64]) & bit))
		__atomic_fetch_or(&b->list[list][i / 64], bit, __ATOMIC_SEQ_CST);
	if (load_relaxed(&b->from[list]) > i / 64)
		store_relaxed(&b->from[list], i / 64);
}

/* Moves the mark of a block that was met in a list where it does not belong. */
static void mark_anew(struct blocks *b, uint32_t i, unsigned list)
{
	mark(b, i, load_seq(&b->state[i]));
	SYNC_POINT("frame:marked-twice", NULL);
	__atomic_fetch_and(&b->list[list][i / 64], ~(1ull << (i % 64)), __ATOMIC_SEQ_CST);
	SYNC_POINT("frame:mark-cleared", NULL);
	mark(b, i, load_seq(&b->state[i]));
}

/* --- a block --- */

/* One empty block less. */
static void uncount(struct blocks *b)
{
	uint32_t left = fetch_sub(&b->counts->empty, 1u) - 1;

	if (left < load_seq(&b->counts->below))
		b->counts->low(b->counts->low_arg);
}

/* count_take() of what may be empty: who begins a block says so. Apart, so that others do not pay.
 */
static __attribute__((noinline)) bool count_begin(struct blocks *b, uint32_t i, uint32_t n,
						  enum block_class class, bool claimed_too)
{
	uint32_t s = load_relaxed(&b->state[i]), new;

	do {
		if (USED(s) + n > QUIRE_BLOCK_FRAMES || ((s & CLAIMED) && !claimed_too))
			return false;
		if (b->fill && !(s & FILLED)) /* a hole again since it was looked at */
			return false;
		new = ((s & ~COUNTED) + n + TAKEN) | FILLED;
		if (!USED(s))
			new = (new & ~PINNED) | (class == BLOCK_PINNED ? PINNED : 0);
	} while (!compare_exchange(&b->state[i], &s, new));
	if (s & COUNTED)
		uncount(b);
	SYNC_POINT("frame:counted", NULL);
	return true;
}

/* Counts n frames as used, or says that it cannot. */
static bool count_take(struct blocks *b, uint32_t i, uint32_t n, enum block_class class,
		       bool claimed_too)
{
	uint32_t s = load_relaxed(&b->state[i]);

	do {
		if (!USED(s))
			return count_begin(b, i, n, class, claimed_too);
		if (USED(s) + n > QUIRE_BLOCK_FRAMES || ((s & CLAIMED) && !claimed_too))
			return false;
	} while (!compare_exchange(&b->state[i], &s, s + n + TAKEN));
	SYNC_POINT("frame:counted", NULL);
	return true;
}

/* An empty block that is not counted becomes counted, if it is still empty. */
static void count_empty(struct blocks *b, uint32_t i)
{
	uint32_t s = load_seq(&b->state[i]);

	while (!USED(s) && !(s & COUNTED)) {
		/* Before the flag: whoever clears it finds it counted. */
		fetch_add(&b->counts->empty, 1u);
		if (compare_exchange(&b->state[i], &s, s | COUNTED))
			break;
		uncount(b);
	}
}

/* Nobody has a frame of it any more. */
static __attribute__((noinline)) void emptied(struct blocks *b, uint32_t i, uint32_t s)
{
	mark(b, i, s);
	/* seq_cst, as the step to empty was: either this sees the watch or its look sees that step.
	 */
	if (load_seq(&b->counts->watch) == BLOCKS_WATCH_BOTH)
		count_empty(b, i);
}

static inline void count_give(struct blocks *b, uint32_t i, uint32_t n)
{
	uint32_t s;

	SYNC_POINT("frame:cleared", NULL);
	s = fetch_sub(&b->state[i], n) - n;
	if (USED(s))
		mark(b, i, s);
	else
		emptied(b, i, s);
}

/*
 * Brings memory behind a hole, if that is not left to the system. All of the block is counted as in
 * use meanwhile, so that nobody gets a frame too early. -ENOMEM: there is none to be had; -EBUSY:
 * somebody else is at it.
 */
static int fill(struct blocks *b, uint32_t i, bool claimed_too)
{
	uint32_t s = load_acquire(&b->state[i]);
	int error;

	if (!b->fill)
		return 0;
	do {
		if (s & FILLED)
			return 0;
		if (USED(s) || ((s & CLAIMED) && !claimed_too))
			return -EBUSY;
	} while (!compare_exchange(&b->state[i], &s, (s & ~COUNTED) + QUIRE_BLOCK_FRAMES + TAKEN));
	if (s & COUNTED)
		uncount(b);
	SYNC_POINT("frame:filling", NULL);
	error = b->fill(b->fill_arg, i);
	/* Before the count: who finds a frame free finds the memory behind it. */
	if (!error)
		__atomic_fetch_or(&b->state[i], FILLED, __ATOMIC_SEQ_CST);
	count_give(b, i, QUIRE_BLOCK_FRAMES);
	return error ? -ENOMEM : 0;
}

/* acquire: pairs with the release of give_bits(): what the one before did there came before. */
static bool take_word(uint64_t *word, uint64_t bits)
{
	uint64_t x = load_relaxed(word);

	do {
		if (x & bits)
			return false;
	} while (!compare_exchange(word, &x, x | bits));
	return true;
}

static bool take_bits(struct block_bits *field, unsigned offset, unsigned order)
{
	unsigned first = offset / 64, end = first + (1u << (order > 6 ? order - 6 : 0));

	if (order <= 6)
		return take_word(&field->word[first], bits_mask(order) << (offset % 64));
	for (unsigned w = first; w < end; w++) {
		if (take_word(&field->word[w], ~0ull))
			continue;
		while (w-- > first)
			store_release(&field->word[w], 0);
		return false;
	}
	return true;
}

static void give_bits(struct block_bits *field, unsigned offset, unsigned order)
{
	uint64_t bits = bits_mask(order) << (offset % 64), was;

	if (order <= 6) {
		was = __atomic_fetch_and(&field->word[offset / 64], ~bits, __ATOMIC_SEQ_CST);
		CHECK((was & bits) == bits);
		(void)was;
		return;
	}
	for (unsigned w = offset / 64; w < (offset + (1u << order)) / 64; w++) {
		CHECK(load_relaxed(&field->word[w]) == ~0ull);
		store_release(&field->word[w], 0);
	}
}

static unsigned find_place(const struct block_bits *field, unsigned order)
{
	struct block_bits now;

	for (unsigned w = 0; w < BLOCK_WORDS; w++)
		now.word[w] = load_relaxed(&field->word[w]);
	return bits_find_clear(&now, order);
}

/* A place in a block of which 2^order frames are counted as ours, or BLOCK_NONE. */
static unsigned take_place(struct block_bits *field, unsigned order)
{
	/* Nobody has a frame of the block, and nobody else can get one. */
	if (order == BLOCK_ORDER) {
		for (unsigned w = 0; w < BLOCK_WORDS; w++)
			store_relaxed(&field->word[w], ~0ull);
		return 0;
	}
	/* Others may take what was found; by (1) there is another one, if it is for one frame. */
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned offset = find_place(field, order);

		if (offset == BLOCK_NONE && order)
			return BLOCK_NONE;
		SYNC_POINT("frame:found", NULL);
		if (offset != BLOCK_NONE && take_bits(field, offset, order))
			return offset;
	}
	return BLOCK_NONE;
}

/* What is looked for, and where it was found. */
enum pass {
	PASS_APART,  /* away from the homes of others */
	PASS_LISTED, /* whatever is marked */
};

struct search {
	struct blocks *b;
	unsigned order;
	enum block_class class;
	bool claimed_too;
	bool dry; /* no memory was to be had for a hole: the next one would have none either */
	enum pass pass;
	uint32_t slot;
	uint32_t at;
	uint32_t frame;
};

static bool alloc_in(struct search *s, uint32_t i)
{
	struct blocks *b = s->b;
	const unsigned order = s->order;
	unsigned offset;
	int error;

	/* Looked at first, so that no count is in another's way for nothing. */
	if (order && order < BLOCK_ORDER && FREE(load_relaxed(&b->state[i])) >= 1u << order &&
	    find_place(&b->field[i], order) == BLOCK_NONE)
		return false;
	if (s->dry && !blocks_is_filled(b, i))
		return false;
	error = fill(b, i, s->claimed_too);
	s->dry |= error == -ENOMEM;
	if (error || !count_take(b, i, 1u << order, s->class, s->claimed_too))
		return false;
	offset = take_place(&b->field[i], order);
	if (offset == BLOCK_NONE) {
		count_give(b, i, 1u << order);
		return false;
	}
	s->frame = i * QUIRE_BLOCK_FRAMES + offset;
	return true;
}

/* --- homes --- */

/* Slots in use, bit by bit. A thread that ends hands its slot, and with it its homes, on. */
static uint64_t slots_in_use;
static pthread_key_t slot_key;
static pthread_once_t slot_once = PTHREAD_ONCE_INIT;
static bool slot_key_made;

static void slot_return(void *number)
{
	__atomic_fetch_and(&slots_in_use, ~(1ull << ((uintptr_t)number - 1)), __ATOMIC_RELAXED);
}

static void slot_make_key(void)
{
	slot_key_made = !pthread_key_create(&slot_key, slot_return);
}

/* A free slot's number + 1; where there is none, or no way to hand it on, one that is shared. */
static uint32_t slot_find(void)
{
	static uint32_t shared;
	uint64_t taken = load_relaxed(&slots_in_use);
	uint32_t number;

	pthread_once(&slot_once, slot_make_key);
	while (slot_key_made && ~taken) {
		number = (uint32_t)__builtin_ctzll(~taken) + 1;
		if (!compare_exchange(&slots_in_use, &taken, taken | 1ull << (number - 1)))
			continue;
		if (!pthread_setspecific(slot_key, (void *)(uintptr_t)number))
			return number;
		slot_return((void *)(uintptr_t)number);
		break;
	}
	return __atomic_fetch_add(&shared, 1, __ATOMIC_RELAXED) % BLOCK_SLOTS + 1;
}

static uint32_t my_slot(void)
{
	static __thread uint32_t number __attribute__((tls_model("initial-exec")));

	if (!number)
		number = slot_find();
	return number - 1;
}

static unsigned group_of(unsigned order)
{
	return order == 0 ? 0 : order <= 5 ? 1 : 2;
}

/* Has another slot a home among the blocks of this cache line? */
static bool is_near_a_home(const struct blocks *b, uint32_t i, uint32_t slot)
{
	uint8_t at = load_relaxed(&b->line[i / LINE_BLOCKS]);

	return at && at != slot + 1;
}

/* Goes on in block i from now on, unless another slot has its home there. */
static void settle_in(struct blocks *b, uint32_t slot, uint32_t *home, uint32_t i)
{
	uint8_t mine = (uint8_t)(slot + 1), was = 0;
	uint32_t old;

	if (load_relaxed(&b->line[i / LINE_BLOCKS]) != mine &&
	    !compare_exchange(&b->line[i / LINE_BLOCKS], &was, mine))
		return;
	old = __atomic_exchange_n(home, i + 1, __ATOMIC_RELAXED);
	if (!old)
		return;
	mark(b, old - 1, load_relaxed(&b->state[old - 1]));
	for (unsigned c = 0; c < BLOCK_CLASSES; c++) {
		for (unsigned g = 0; g < BLOCK_GROUPS; g++) {
			uint32_t at = load_relaxed(&b->slot[slot].home[c][g]);

			if (at && (at - 1) / LINE_BLOCKS == (old - 1) / LINE_BLOCKS)
				return; /* it still has a home there */
		}
	}
	(void)compare_exchange(&b->line[(old - 1) / LINE_BLOCKS], &mine, (uint8_t)0);
}

/* --- the search --- */

enum found {
	FOUND,
	FOUND_NONE,
	FOUND_STALE, /* marks were put right: there may be better in a list before this one */
};

static enum found try_marked(struct search *s, unsigned list, uint32_t i)
{
	if (list_of(load_relaxed(&s->b->state[i])) != list) {
		mark_anew(s->b, i, list);
		return FOUND_STALE;
	}
	if (!alloc_in(s, i))
		return FOUND_NONE;
	if (s->order == BLOCK_ORDER) /* it is full: nobody need look here */
		mark_anew(s->b, i, list);
	s->at = i;
	return FOUND;
}

/* From the first word that may have a mark on, and then from the start, if that was wrong. */
static enum found search_list(struct search *s, unsigned list)
{
	struct blocks *b = s->b;
	size_t from = load_relaxed(&b->from[list]), w = from;
	bool useful = false; /* a mark that was no neighbour's */
	enum found found;

	for (size_t n = 0; n < b->words; n++, w = w + 1 < b->words ? w + 1 : 0) {
		uint64_t marks = load_relaxed(&b->list[list][w]);

		if (!useful && w > from)
			store_relaxed(&b->from[list], w);
		while (marks) {
			uint32_t bit = (uint32_t)__builtin_ctzll(marks);
			uint32_t i = (uint32_t)(w * 64) + bit;

			if (s->pass == PASS_APART && is_near_a_home(b, i, s->slot)) {
				marks &= ~(LINE_MASK << (bit / LINE_BLOCKS * LINE_BLOCKS));
				continue;
			}
			useful = true;
			marks &= marks - 1;
			found = try_marked(s, list, i);
			if (found != FOUND_NONE)
				return found;
		}
	}
	return FOUND_NONE;
}

static bool search(struct search *s)
{
	unsigned own = s->class * LEVELS, other = (1 - s->class) * LEVELS;
	const unsigned lists[BLOCK_LISTS] = { own,	 own + 1, own + 2,   LIST_EMPTY,
					      LIST_HOLE, other,	  other + 1, other + 2 };

	for (unsigned k = 0; k < BLOCK_LISTS;) {
		enum found found = list_most(lists[k]) >= 1u << s->order ? search_list(s, lists[k])
									 : FOUND_NONE;

		if (found == FOUND)
			return true;
		k = found == FOUND_STALE ? 0 : k + 1;
	}
	return false;
}

/* All blocks, whatever the lists say. */
static bool search_all(struct search *s)
{
	struct blocks *b = s->b;

	for (uint32_t i = 0; i < b->n; i++)
		if (FREE(load_relaxed(&b->state[i])) >= 1u << s->order && alloc_in(s, i))
			return true;
	return false;
}

static bool find(struct search *s)
{
	uint32_t *home = NULL, at;

	if (s->order < BLOCK_ORDER) {
		home = &s->b->slot[s->slot].home[s->class][group_of(s->order)];
		at = load_relaxed(home);
		if (at && alloc_in(s, at - 1))
			return true;
	}
	for (int pass = PASS_APART; pass <= PASS_LISTED; pass++) {
		s->pass = (enum pass)pass;
		if (!search(s))
			continue;
		if (home && pass == PASS_APART)
			settle_in(s->b, s->slot, home, s->at);
		return true;
	}
	return search_all(s);
}

int blocks_alloc(struct blocks *b, unsigned order, enum block_class class, bool claimed_too,
		 uint32_t *frame)
{
	struct search s = { .b = b, .order = order, .class = class, .slot = my_slot() };
	bool found = find(&s);

	if (!found && claimed_too) {
		s.claimed_too = true;
		found = search_all(&s);
	}
	if (!found)
		return -ENOMEM;
	*frame = s.frame;
	return 0;
}

/* A given place, in a block that is as it is: filled, or never asked to be. */
static int take_at(struct blocks *b, unsigned order, enum block_class class, uint32_t frame)
{
	uint32_t i = frame / QUIRE_BLOCK_FRAMES;

	if (!count_take(b, i, 1u << order, class, true))
		return -EBUSY;
	if (take_bits(&b->field[i], frame % QUIRE_BLOCK_FRAMES, order)) {
		mark(b, i, load_relaxed(&b->state[i]));
		return 0;
	}
	count_give(b, i, 1u << order);
	return -EBUSY;
}

int blocks_alloc_at(struct blocks *b, unsigned order, enum block_class class, uint32_t frame)
{
	uint32_t i = frame / QUIRE_BLOCK_FRAMES;

	if (order > BLOCK_ORDER || i >= b->n || (frame & ((1u << order) - 1)))
		return -EINVAL;
	return fill(b, i, true) ? -EBUSY : take_at(b, order, class, frame);
}

int blocks_take_whole(struct blocks *b, uint32_t block)
{
	return take_at(b, BLOCK_ORDER, BLOCK_MOVABLE, block * QUIRE_BLOCK_FRAMES);
}

void blocks_free(struct blocks *b, unsigned order, uint32_t frame)
{
	uint32_t i = frame / QUIRE_BLOCK_FRAMES;

	CHECK(i < b->n && order <= BLOCK_ORDER && !(frame & ((1u << order) - 1)));
	give_bits(&b->field[i], frame % QUIRE_BLOCK_FRAMES, order);
	count_give(b, i, 1u << order);
}

void blocks_free_hole(struct blocks *b, uint32_t block)
{
	CHECK(USED(load_relaxed(&b->state[block])) == QUIRE_BLOCK_FRAMES);
	__atomic_fetch_and(&b->state[block], ~FILLED, __ATOMIC_SEQ_CST);
	blocks_free(b, BLOCK_ORDER, block * QUIRE_BLOCK_FRAMES);
}

/* --- claims --- */

/*
 * Claims are taken in the order of their blocks, so that of two that overlap the one that gets the
 * first common block goes on, and the other takes back what it has. One that is held already, by a
 * claim of the same plan, is not taken back: NEW in the pointer tells them apart meanwhile.
 */
#define NEW(who) ((const void *)((uintptr_t)(who) | 1))

static void drop_new(struct blocks *b, uint32_t first, uint32_t end, const void *who)
{
	for (uint32_t i = first; i < end; i++)
		if (load_relaxed(&b->claim[i]) == NEW(who))
			store_release(&b->claim[i], NULL);
}

int blocks_claim(struct blocks *b, uint32_t first, uint32_t n, const void *who)
{
	for (uint32_t i = first; i < first + n; i++) {
		const void *was = NULL;

		if (compare_exchange(&b->claim[i], &was, NEW(who)) || was == who)
			continue;
		drop_new(b, first, i, who);
		return -EBUSY;
	}
	for (uint32_t i = first; i < first + n; i++) {
		store_release(&b->claim[i], who);
		__atomic_fetch_or(&b->state[i], CLAIMED, __ATOMIC_SEQ_CST);
	}
	return 0;
}

void blocks_unclaim(struct blocks *b, uint32_t first, uint32_t n, const void *who)
{
	for (uint32_t i = first; i < first + n; i++) {
		if (load_acquire(&b->claim[i]) != who)
			continue;
		/* The flag first: whoever claims it next sets it again. */
		__atomic_fetch_and(&b->state[i], ~CLAIMED, __ATOMIC_SEQ_CST);
		store_release(&b->claim[i], NULL);
	}
}

/* --- watching --- */

uint32_t blocks_watch(struct blocks *b, enum blocks_watch watch, uint32_t below)
{
	__atomic_store_n(&b->counts->below, watch == BLOCKS_WATCH_OFF ? 0 : below,
			 __ATOMIC_SEQ_CST);
	__atomic_store_n(&b->counts->watch, watch, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < b->n; i++) {
		if (watch != BLOCKS_WATCH_OFF)
			count_empty(b, i);
		else if (__atomic_fetch_and(&b->state[i], ~COUNTED, __ATOMIC_SEQ_CST) & COUNTED)
			fetch_sub(&b->counts->empty, 1u);
	}
	return load_seq(&b->counts->empty);
}

uint32_t blocks_watch_below(struct blocks_counts *counts, uint32_t below)
{
	__atomic_store_n(&counts->below, below, __ATOMIC_SEQ_CST);
	return load_seq(&counts->empty);
}

bool blocks_is_counted(const struct blocks *b, uint32_t block)
{
	return load_acquire(&b->state[block]) & COUNTED;
}

/* --- looking --- */

bool blocks_is_filled(const struct blocks *b, uint32_t block)
{
	return load_acquire(&b->state[block]) & FILLED;
}

const void *blocks_claimed_by(const struct blocks *b, uint32_t block)
{
	return (const void *)((uintptr_t)load_acquire(&b->claim[block]) & ~(uintptr_t)1);
}

bool blocks_is_claimed(const struct blocks *b, uint32_t block)
{
	return load_acquire(&b->claim[block]) != NULL;
}

uint32_t blocks_stamp(const struct blocks *b, uint32_t block)
{
	return load_acquire(&b->state[block]) & ~(CLAIMED | PINNED | COUNTED | FILLED);
}

void blocks_touch(struct blocks *b, uint32_t block)
{
	__atomic_fetch_add(&b->state[block], TAKEN, __ATOMIC_RELEASE);
}

uint32_t blocks_free_of(const struct blocks *b, uint32_t block)
{
	return FREE(load_acquire(&b->state[block]));
}

uint64_t blocks_free_frames(const struct blocks *b)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < b->n; i++)
		n += FREE(load_relaxed(&b->state[i]));
	return n;
}

void blocks_look(const struct blocks *b, uint32_t block, struct block_bits *used, uint32_t *free,
		 const void **claim)
{
	*free = blocks_free_of(b, block);
	for (unsigned w = 0; w < BLOCK_WORDS; w++)
		used->word[w] = load_acquire(&b->field[block].word[w]);
	*claim = blocks_claimed_by(b, block);
}

const char *blocks_validate(const struct blocks *b, uint32_t *counted)
{
	uint32_t empty = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		uint32_t s = load_acquire(&b->state[i]);
		bool marked = list_of(s) == LIST_NONE;

		if (bits_count_clear(&b->field[i], 0) != FREE(s))
			return "a block's count is not the number of its set bits";
		if (USED(s) && !(s & FILLED))
			return "a block with frames in use has no memory";
		if ((s & COUNTED) && USED(s))
			return "a block in use is counted as empty";
		empty += !!(s & COUNTED);
		if (!(s & CLAIMED) != !b->claim[i])
			return "a block is claimed by nobody, or a claim keeps nobody out";
		for (unsigned l = 0; l < BLOCK_LISTS; l++)
			if (list_most(l) >= FREE(s))
				marked |= (b->list[l][i / 64] >> (i % 64)) & 1;
		if (!marked)
			return "a block with free frames is in no list";
	}
	*counted += empty;
	return NULL;
}

int blocks_init(struct blocks *b, uint32_t n, struct blocks_counts *counts)
{
	uint64_t field = (uint64_t)n * sizeof(*b->field), state = (uint64_t)n * sizeof(*b->state);
	uint64_t claim = (uint64_t)n * sizeof(*b->claim), list, lines;
	char *at;
	int error;

	memset(b, 0, sizeof(*b));
	b->n = n;
	b->counts = counts;
	b->words = (n + 63u) / 64;
	list = b->words * sizeof(uint64_t);
	/* Each part on cache lines of its own. */
	state = (state + 63) & ~63ull;
	claim = (claim + 63) & ~63ull;
	list = (list + 63) & ~63ull;
	lines = (n + LINE_BLOCKS - 1) / LINE_BLOCKS;
	b->bytes = field + state + claim + BLOCK_LISTS * list + BLOCK_SLOTS * sizeof(*b->slot) +
		   64 + lines;
	error = os_reserve(b->bytes, &b->memory);
	if (error)
		return error;
	at = b->memory;
	b->field = (struct block_bits *)(void *)at;
	at += field;
	b->state = (uint32_t *)(void *)at;
	at += state;
	b->claim = (const void **)(void *)at;
	at += claim;
	for (unsigned l = 0; l < BLOCK_LISTS; l++, at += list)
		b->list[l] = (uint64_t *)(void *)at;
	b->slot = (struct block_slot *)(void *)at;
	at += BLOCK_SLOTS * sizeof(*b->slot);
	b->from = (size_t *)(void *)at;
	b->line = (uint8_t *)at + 64;
	for (uint32_t i = 0; i < n; i++)
		b->list[LIST_HOLE][i / 64] |= 1ull << (i % 64);
	return 0;
}

void blocks_finish(struct blocks *b)
{
	if (b->memory)
		os_unmap(b->memory, b->bytes);
	b->memory = NULL;
}
