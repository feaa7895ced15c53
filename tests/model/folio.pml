/* SPDX-License-Identifier: MIT */
/*
 * folio.pml: who may look, pin, move, free and detach, for spin.
 *
 * Each process is a thread of src/; what it does between two looks at shared memory is one step. The
 * flags, the states and what may change them come from states.pml, which is made of
 * src/folio/states.def: a step that is not in that table is an error here.
 *
 * The memory is that of x86: stores of pinning, reading and writing threads go through a store
 * buffer, first in, first out, and are seen by others whenever they like, or at a membarrier, at a
 * locked instruction of that thread, or when the buffer is full. An observer lets some of the buffer
 * out before it looks, which is as good as letting it out at any time before. Movers and freers use
 * locked instructions for all that matters. A non-temporal copy is done at its sfence.
 *
 * A place holds two words, copied one after the other. Sleeping in a futex is comparing and going to
 * sleep in one step; there is no timeout, so a wake that is lost is a process that never ends.
 *
 * Checked in all reachable states: the assertions; that every process ends (no invalid end state);
 * and at the end: no store was lost, each isolation ended exactly once, each folio that was let go
 * was freed exactly once, no place was lost or used twice, nobody is left asleep.
 *
 * How many of what, from the command line (scripts/model.sh has the configurations):
 *	FOLIOS    1 or 2
 *	MOVERS    each moves all folios, in one batch
 *	PINNERS   short pins: number i on folio i % FOLIOS
 *	LONGS     long pins, on the last folio
 *	WRITERS   read, add one, store under a pin, on folio 0
 *	READERS   read sections, on the last folio
 *	FREERS    the owner lets the last folio go
 *	DETACHERS the owner is detached
 *	SPLITTERS the last folio is split in two by whoever has the owner's reference; without FREERS
 *	GETTERS   take a reference of the last folio in a read section; for splitters
 *	OPS       0: the owner has no ops; 1: it has, and they may refuse
 *	RECREATE  1: the freer makes a folio of the descriptor again
 *	COARSE    1: steps are merged, see below; without LONGS, READERS, RECREATE, SPLITTERS
 * FAULT_... leaves something out of the protocol; each has to be found.
 *
 *	OUTCOMES  1: print in how many ways it may end
 * FAULT_... leaves something out of the protocol; each has to be found.
 *
 * COARSE makes the product of all roles finish. It covers less, all of which the configurations
 * without it have: no epochs (nobody but a reader lives by them here), one word to a place, and places
 * that belong to a folio. Else a thread runs on up to its next PAUSE, and a state that differs from
 * another one in nothing that is ever looked at is that state. Why no behaviour is lost:
 *
 * What is nobody else's, or is seen by nobody
 * - Own variables, and references to a folio that its owner never puts, are seen by nobody else.
 * - Where places are alike, taking one, and freeing one that only this mover knows, commute.
 * - A pinner that looks at the index as it starts may be as late as it likes afterwards; one that
 *   finds nothing does nothing. So it need not look.
 * - A process that has ended stays: its going away would be one more step (STAY).
 * - A step need not wait for the others (PAUSE_UNLESS) where all who would see it are through, for good:
 *   entering and leaving the owner, when the detacher is (life_settled: what entering finds is settled
 *   too); ISOLATED, when no other mover isolates any more (sought) and, to set it, none has it
 *   (linked); looking at a thread that pins no more (unpins), whose stores nobody but this one looks
 *   at; what the commit does to folios of which all pinners are through (unpinned); and all that a
 *   pinner does when all movers have committed (marked) and its folio is not to be freed or has been
 *   (QUIET). There it is no matter that a place which is pinned might be freed later by mistake: who
 *   has an address got it in a step that was not merged, or its place is the folio's own to the end,
 *   which the end checks.
 *
 * Store buffers
 * - Stores are seen only by who looks at slots, or copies, and each does so after a barrier of its own,
 *   which empties the buffers. So stores take effect at once while nobody is between the two
 *   (looked_at), which nobody can tell from being on their way. There is one at most who is, as the
 *   assertion in BARRIER() has it: a folio is isolated by one mover, and freed when none has it.
 * - A barrier empties no buffer that another one looks at: one more thing may happen, and none less.
 *   The same holds for a reclaimer's barrier at once after the owner was told: it looks later.
 * - Letting out, as one copies, the stores of threads that do not write to that folio does nothing.
 * - With the faults that leave out a barrier, or looking at slots, or that copy late, none of these
 *   holds, nor is done (WINDOWS).
 *
 * Steps that are one
 * - A wake commutes with what others do after the store it follows: who compares then, does not sleep.
 * - Comparing and sleeping is one step with setting WAITERS, or with reading the count of running ops:
 *   who finds another word when it compares, is where it was before it looked.
 * - A pinner that has waited is where it began.
 * - What a writer does between its look at the word and the end of the pin is one step: a copy that
 *   came in between might as well not see the store, which is then lost at the end.
 * - What two folios' waiters and pinners see of MARK, UNMARK and PUBLISH meets nowhere until the
 *   mover lets go of ISOLATED, so one step does it for both; where PUBLISH lets go of it, the next one
 *   is a step of its own. The barrier belongs to MARK: what pinners of these folios do in between may
 *   come after it, as their stores can be let out by who looks, and all else may come before.
 * - Copying belongs to publishing: a store that is seen in between need not have been let out when the
 *   copy was made.
 * - A slot whose thread pins none of the mover's folios, or one that is pinned already, does not matter.
 * - Last reference and RETIRE: in between pinners do not see the count, and nobody gets it. RETIRE and
 *   entering the owner: pinners see one, the detacher the other, and they do not meet.
 * - A check just before a step that is always possible is as good as one long before it. Ops count as
 *   running all the time between owner_enter() and owner_leave(), which is stricter. So is a detacher
 *   that is told as soon as it could be.
 *
 * Spin's own reduction is off with it. All faults that it can show must be found with it too, and what
 * can be explored both ways must end in the same ways (OUTCOMES).
 */
#include "states.pml"

#ifndef FOLIOS
#define FOLIOS 1
#endif
#ifndef MOVERS
#define MOVERS 1
#endif
#ifndef PINNERS
#define PINNERS 0
#endif
#ifndef LONGS
#define LONGS 0
#endif
#ifndef WRITERS
#define WRITERS 0
#endif
#ifndef READERS
#define READERS 0
#endif
#ifndef FREERS
#define FREERS 0
#endif
#ifndef DETACHERS
#define DETACHERS 0
#endif
#ifndef SPLITTERS
#define SPLITTERS 0
#endif
#ifndef GETTERS
#define GETTERS 0
#endif
#if SPLITTERS && (FREERS || SPLITTERS > 1)
#error one splitter, who has the only reference
#endif
#ifndef OPS
#define OPS 1
#endif
#ifndef RECREATE
#define RECREATE 0
#endif
#ifndef COARSE
#define COARSE 0
#endif
#ifndef OUTCOMES
#define OUTCOMES 0
#endif
#if COARSE
#if LONGS || READERS || RECREATE || SPLITTERS || GETTERS || !OPS
#error COARSE does without these
#endif
#define MERGED atomic
#define FREEABLE(f) (FREERS && (f) == LAST) /* else the owner's reference stays */
#if !defined(FAULT_MEMBARRIER) && !defined(FAULT_SCAN_SLOTS) &&                                    \
	!defined(FAULT_RECLAIM_SLOTS) && !defined(FAULT_PUBLISH_FIRST)
#define WINDOWS 1
#endif
chan pause = [0] of { bit };
#define STAY endless: false /* a process that goes away would be one more step */
/* Not where what is done next is seen by nobody who still has something to do. */
#define PAUSE_UNLESS(unseen)                                                                       \
	if                                                                                         \
	:: unseen                                                                                  \
	:: else -> PAUSE skip                                                                      \
	fi;                                                                                        \
	skip;
/* No folio of mine is seen to be MOVING any more, or it is but by nobody. */
#define ALONE(f) ((entry[f] != TAKEN && entry[f] != PINNED) || unpinned[f] == PINNING(f))
#define PINNING(f)                                                                                 \
	((PINNERS != 0 && LAST == (f)) + (PINNERS == 2 && (f) == 0) + (WRITERS != 0 && (f) == 0))
/* Nobody is going to mark it or to look for its pins. */
#define QUIET(f) (marked == MOVERS && (!FREEABLE(f) || freed[f] == 2))
#define PAUSE pause ! 0; /* the only places, in an atomic sequence, where others come in */
#else
#define PAUSE
#define PAUSE_UNLESS(unseen)
#define STAY skip
#define MERGED
#define FREEABLE(f) true
#endif
#ifndef WINDOWS
#define WINDOWS 0
#endif

#define WRITES(x) ((x) >= PINNERS)
#define LAST (FOLIOS - 1)
#define PLACES (FOLIOS * (1 + MOVERS))
/* COARSE: a folio has places of its own, for which one is free makes no difference. */
#if COARSE
#define FIRST_PLACE(f) f
#define NEXT_PLACE FOLIOS
#else
#define FIRST_PLACE(f) 0
#define NEXT_PLACE 1
#endif
/* The only folio that thread x ever pins; pinners come first, then the writer. */
#define PINS(x) ((x) == 0 && PINNERS != 0 -> LAST : 0)
/* Threads with a record: pinners, writers, readers, long pins (for their read section). */
#define THREADS (PINNERS + WRITERS + READERS + LONGS + GETTERS)
#define RECORDS (THREADS + 1) /* arrays are not empty */
#define SECTIONS ((FREERS || READERS) && !COARSE)
#define POISON 99

/* --- a folio: word, count, and where it is found --- */
#define PART FOLIOS /* the descriptor of the other half; it stays where it is */
byte flags[FOLIOS + 1], frame[FOLIOS];
#if SPLITTERS
byte order[FOLIOS]; /* 1: whole, 0: split */
#define FROZEN 255  /* COUNT_FROZEN, in refs */
#endif
#if READERS
byte version[FOLIOS + 1];
#elif !COARSE
byte watch[RECORDS];
#endif
byte refs[FOLIOS], longs[FOLIOS];
byte linked[FOLIOS]; /* link_: the mover that has it, + 1 */
bit indexed[FOLIOS]; /* the owner's index has it */

/* --- places: two words of content each --- */
byte low[PLACES], high[PLACES];
bit used[PLACES];

/* --- thread records, and what is on its way to them --- */
byte slot[RECORDS];  /* folio + 1 */
byte epoch[RECORDS]; /* 0: in no section */
byte now_epoch = 1;
byte asleep[RECORDS]; /* folio + 1 */
mtype = { SLOT, EPOCH, LOW, HIGH };
#define DEPTH 3
chan buffer[RECORDS] = [DEPTH] of { mtype, byte, byte };
#if WINDOWS
bit looked_at[RECORDS]; /* COARSE: somebody has made a barrier and is going to look */
#endif

/* --- the owner's life --- */
byte running;
bit detaching, detached, detacher_sleeps;

/* --- ghosts: what the checks need and no thread sees --- */
byte stored;		 /* what the writer has added */
byte isolations[FOLIOS]; /* agreed to by the owner, and open */
byte freed[FOLIOS];	 /* 1: the owner was told or need not be, 2: its place is free */
byte ops;		 /* ops that run */
bit told_detached;	 /* detach has returned 0 */
byte in_limbo;		 /* places that a reader kept */
byte ended;		 /* processes that are through */
bit life_settled = !DETACHERS; /* the detacher is, or there is none */
bit unpins[RECORDS];	 /* who pins */
byte unpinned[FOLIOS];	 /* how many of those, by folio */
byte sought, marked;	 /* movers that isolate no more, and that mark no more */
#if OUTCOMES
byte got[RECORDS], moved[FOLIOS];
#define NOTE(what) what
#else
#define NOTE(what) skip
#endif

/* The ways in which it may end: who got a pin, how often what was moved, what is dead, detached. */
#if OUTCOMES
c_decl {
	static unsigned char outcome_[1 << 16];
	static void say_outcomes(void)
	{
		for (unsigned i = 0; i < sizeof(outcome_); i++)
			if (outcome_[i])
				printf("outcome: %04x\n", i);
	}
}
c_code {
	static void outcome_is(void)
	{
		static int said;
		unsigned n = now.detached, i;

		for (i = 0; i < THREADS; i++)
			n = n << 1 | now.got[i];
		for (i = 0; i < FOLIOS; i++)
			n = n << 3 | now.moved[i] << 1 | (now.refs[i] == 0);
		if (!said++)
			atexit(say_outcomes);
		outcome_[n & 0xffff] = 1;
	}
}
#endif

hidden byte edge, p_, v_, w_;
c_decl {
	static unsigned char taken_[64];
	static void say_edges(void)
	{
		printf("edges:");
		for (int i = 0; i < 64; i++)
			if (taken_[i])
				printf(" %d", i);
		printf("\n");
	}
	static void edge_taken(int i)
	{
		static int said;

		if (!said++)
			atexit(say_edges);
		taken_[i & 63] = 1;
	}
}

/*
 * The word's version. Where no reader compares it, all that counts is whether it changed since a
 * waiter took it: watch[] is that folio + 1, and 0 from the change on.
 */
#if READERS
#define VERSION(f, by) version[f] = version[f] + by
#define WATCH(f) expect_version = version[f]
#define UNCHANGED(f) (version[f] == expect_version)
#elif COARSE
#define VERSION(f, by) skip
#else
#define VERSION(f, by)                                                                             \
	w_ = 0;                                                                                    \
	do                                                                                         \
	:: by != 0 && w_ < THREADS ->                                                              \
		if                                                                                 \
		:: watch[w_] == f + 1 -> watch[w_] = 0                                             \
		:: else                                                                            \
		fi;                                                                                \
		w_++                                                                               \
	:: else -> break                                                                           \
	od
#define WATCH(f) watch[me] = f + 1
#define UNCHANGED(f) (watch[me] == f + 1)
#endif

/* A store to the word, by its step in states.def. */
#define STEP(name, f, to)                                                                          \
	edge = EDGE_##name(flags[f], (to));                                                        \
	c_code { edge_taken(edge); };                                                              \
	assert(MAY_##name(flags[f], (to)));                                                        \
	VERSION(f, NEXT_##name);                                                                   \
	flags[f] = (to)

/*
 * The order, as who has a reference or a pin may rely on it: never less than he saw. More it becomes
 * where the owner refused.
 */
#if SPLITTERS
#define SEE_ORDER(f) size = order[f]
#define KEEPS_ORDER(f) assert(order[f] >= size)
#else
#define SEE_ORDER(f) skip
#define KEEPS_ORDER(f) skip
#endif

/* --- store buffers --- */

inline out(x) /* the oldest store of x becomes visible; in a d_step, for p_ and v_ are no state */
{
	if
	:: buffer[x] ? SLOT(p_, v_) -> slot[x] = v_
	:: buffer[x] ? EPOCH(p_, v_) -> epoch[x] = v_
	:: buffer[x] ? LOW(p_, v_) -> low[p_] = v_
	:: buffer[x] ? HIGH(p_, v_) -> high[p_] = v_
	fi
}

inline out_all(x)
{
	do
	:: nempty(buffer[x]) -> out(x)
	:: empty(buffer[x]) -> break
	od
}

inline some_out(x) /* before another one looks; atomic, not d_step */
{
	do
	:: d_step { nempty(buffer[x]) -> out(x) }
	:: break
	od;
	skip /* a d_step cannot be jumped to */
}

inline store(what, place, value) /* a plain store of thread me */
{
	d_step {
		if
		:: full(buffer[me]) -> out(me)
		:: nfull(buffer[me])
		fi;
		buffer[me] ! what(place, value);
#if WINDOWS
		if
		:: looked_at[me]
		:: else -> out_all(me)
		fi;
#endif
		skip
	}
}

/* whose: COARSE: whose stores are looked at after it. */
#ifdef FAULT_MEMBARRIER
#define BARRIER(x, whose) skip
#elif WINDOWS /* a macro, since an inline's argument cannot have parentheses in it */
#define BARRIER(x, whose)                                                                          \
	if                                                                                         \
	:: whose -> assert(!looked_at[x] && len(buffer[x]) == 0); looked_at[x] = 1                 \
	:: else                                                                                    \
	fi
#else
#define BARRIER(x, whose) out_all(x)
#endif
#define MEMBARRIER(whose)                                                                          \
	d_step {                                                                                   \
		x = 0;                                                                             \
		do                                                                                 \
		:: x < THREADS -> BARRIER(x, whose); x++                                           \
		:: else -> break                                                                   \
		od;                                                                                \
		x = 0                                                                              \
	}

inline looked(x) /* in a d_step: nobody looks before the next barrier */
{
#if WINDOWS
	assert(looked_at[x]);
	out_all(x);
	looked_at[x] = 0
#else
	skip
#endif
}

/* --- waiting for MOVING to go: folio_wait_moving(), folio_clear() --- */

inline wake(f)
{
	d_step {
		x = 0;
		do
		:: x < THREADS ->
			if
			:: asleep[x] == f + 1 -> asleep[x] = 0
			:: else
			fi;
			x++
		:: else -> break
		od;
		x = 0
	}
}

#if COARSE
/* After it the pinner is where it began: it has looked at nothing yet. */
inline wait_moving(f)
{
	do
	:: d_step {
		asleep[me] == 0 && flags[f] & MOVING ->
		out_all(me);
		if
#ifndef FAULT_WAIT_FLAG
		:: !(flags[f] & WAITERS) -> STEP(WAIT, f, flags[f] | WAITERS)
#endif
		:: else
		fi;
		asleep[me] = f + 1
	   };
	   PAUSE
	:: asleep[me] == 0 && !(flags[f] & MOVING) -> break
	od
}
#else
inline wait_moving(f)
{
	do
	:: !(flags[f] & MOVING) -> break
	:: atomic {
		flags[f] & MOVING ->
		d_step {
			out_all(me);
			if
#ifndef FAULT_WAIT_FLAG
			:: !(flags[f] & WAITERS) -> STEP(WAIT, f, flags[f] | WAITERS)
#endif
			:: else
			fi;
			expect = flags[f];
			WATCH(f)
		}
	   };
	   d_step { /* os_futex_wait() */
		if
		:: flags[f] == expect && UNCHANGED(f) -> asleep[me] = f + 1
		:: else
		fi;
		expect = 0;
#if READERS
		expect_version = 0
#else
		watch[me] = 0
#endif
	   };
	   asleep[me] == 0
	od
}
#endif

inline unmark(f)
{
	MERGED {
	d_step {
		waited = (flags[f] & WAITERS) != 0;
		STEP(UNMARK, f, flags[f] & ~(MOVING | WAITERS));
#ifdef FAULT_WAKE_UNMARK
		waited = 0
#endif
	};
	if
	:: waited -> waited = 0; wake(f)
	:: else
	fi
	}
}

/* --- read sections: quire_read_enter(), quire_read_leave() --- */

inline section_enter()
{
#if SECTIONS
	store(EPOCH, 0, now_epoch)
#else
	skip
#endif
}

inline section_leave()
{
#if SECTIONS
	store(EPOCH, 0, 0)
#else
	skip
#endif
}

/* --- the owner's ops and its life: owner_enter(), owner_leave(), owner_free() --- */

inline op_begin()
{
#if COARSE
	skip
#else
	assert(!told_detached);
	ops++
#endif
}

inline op_end()
{
#if COARSE
	skip
#else
	ops--
#endif
}

/* COARSE: an op runs, as the checks see it, all the time that its caller is in: not less strict. */
inline span_begin()
{
#if COARSE
	assert(!told_detached);
	ops++
#else
	skip
#endif
}

inline owner_leave(in)
{
	d_step {
#if COARSE
		if
		:: in -> ops--
		:: else
		fi;
#endif
		running--;
		if
		:: running == 0 && detaching -> detaching = 0; detached = 1; waited = 1
		:: else
		fi;
#if COARSE
		if
		:: waited ->
			waited = 0;
#ifndef FAULT_WAKE_LEAVE
			detacher_sleeps = 0
#endif
		:: else
		fi
#endif
	};
#if !COARSE
	if
	:: waited ->
		d_step {
			waited = 0;
#ifndef FAULT_WAKE_LEAVE
			detacher_sleeps = 0
#endif
		}
	:: else
	fi
#endif
}

/* --- the end of a folio: last_put(), retire(), reclaim_locked() --- */

inline epochs_look(after) /* keep: a section that is older */
{
	x = 0;
	do
	:: x < THREADS ->
		atomic {
			some_out(x);
			keep = keep || (epoch[x] != 0 && epoch[x] < after);
			x++
		}
	:: else -> break
	od;
	x = 0
}

inline slots_look(f) /* keep: a short pin */
{
	x = 0;
	do
	:: atomic {
		x < THREADS ->
		if
		:: !COARSE || (PINS(x) == f && !keep) ->
			PAUSE_UNLESS(unpins[x])
			some_out(x);
			d_step { keep = keep || slot[x] == f + 1; looked(x) }
		:: COARSE && PINS(x) == f && keep -> d_step { looked(x) }
		:: else
		fi;
		x++
	   }
	:: else -> break
	od;
	x = 0
}

inline last_put_begin(f)
{
	MERGED {
	d_step {
		assert(refs[f] == 0);
		STEP(RETIRE, f, flags[f] | DEAD)
	};
#if OPS
	d_step { /* owner_free() */
		assert(freed[f] == 0 && isolations[f] == 0);
		if
		:: entered ->
			assert(!told_detached);
			op_begin()
		:: !entered && !detached ->
			running++;
			op_begin();
			span_begin();
			entered = 1
		:: else -> running++
		fi;
		freed[f]++;
#ifdef FAULT_FREE_TWICE
		assert(freed[f] == 0)
#endif
	}
#else
	d_step { assert(freed[f] == 0); freed[f]++ }
#endif
	}
}

inline last_put_end(f)
{
#if OPS
#if COARSE
	PAUSE_UNLESS(life_settled)
	owner_leave(entered);
	entered = 0;
#else
	d_step {
		if
		:: entered -> op_end(); entered = 0
		:: else
		fi
	};
	owner_leave(entered);
#endif
#endif
	/* The epoch moves on; the barrier; who may still know it; who has it pinned. */
#if SECTIONS
	d_step { now_epoch++; after = now_epoch };
#endif
	skip;
	MEMBARRIER(PINS(x) == f);
#if !defined(FAULT_RECLAIM_EPOCH) && SECTIONS
	epochs_look(after);
#endif
#ifndef FAULT_RECLAIM_SLOTS
	slots_look(f);
#endif
	d_step {
		after = 0;
		if
#ifndef FAULT_RECLAIM_COUNTS
		:: keep || longs[f] != 0 -> keep = 0
#else
		:: keep -> keep = 0
#endif
		:: else ->
			assert(used[frame[f]] && freed[f] == 1);
			used[frame[f]] = 0;
			low[frame[f]] = POISON;
			high[frame[f]] = POISON;
			freed[f] = 2
		fi
	}
}

/* quire_folio_put() */
inline put(f)
{
	if
	:: COARSE && FREEABLE(f) -> PAUSE skip
	:: else
	fi;
	MERGED {
		d_step {
			assert(refs[f] > 0);
			refs[f]--;
			gone = refs[f] == 0
		};
		if
		:: gone -> last_put_begin(f)
		:: else
		fi
	};
	if
	:: gone -> gone = 0; last_put_end(f)
	:: else
	fi
}

/* --- the mover: src/migrate/batch.c, commit.c --- */

mtype = { NONE, PENDING, TAKEN, PINNED, MOVED_ON, OUT, LET_GO };

/* unmark_isolated() */
inline release(f, seekers) /* COARSE: the movers that may find it isolated, this one as well */
{
	PAUSE_UNLESS(sought + seekers == MOVERS)
	d_step {
		linked[f] = 0;
		STEP(RELEASE, f, flags[f] & ~(ISOLATED | MOVED))
	}
}

inline leave(f)
{
#if OPS
	if
	:: has_entered[f] ->
		has_entered[f] = 0;
		PAUSE_UNLESS(life_settled)
		owner_leave(1)
	:: else
	fi
#else
	skip
#endif
}

/* let_go(): folio_put_if_last(), then folio_gone() */
inline let_go(f, mine)
{
	if
	:: COARSE && FREEABLE(f) -> PAUSE skip
	:: else
	fi;
	d_step {
		if
		:: FREEABLE(f) && refs[f] == 1 -> refs[f] = 0; entry[f] = LET_GO
		:: else
		fi
	};
	if
	:: entry[f] == LET_GO ->
		if
		:: linked[f] == me + 1 -> release(f, mine)
		:: else
		fi;
		isolations[f] = 0;
		entered = has_entered[f]; /* free is the isolation's last op */
		has_entered[f] = 0;
		PAUSE
		last_put_begin(f);
		last_put_end(f)
	:: else
	fi
}

/* entry_putback() */
inline putback(f)
{
	let_go(f, 0);
	if
	:: entry[f] == TAKEN ->
#if OPS
		if
		:: has_entered[f] ->
			d_step {
				op_begin();
				assert(isolations[f] == 1);
				isolations[f] = 0
			};
#ifdef FAULT_PUTBACK_TWICE
			d_step {
				assert(isolations[f] == 1);
				isolations[f] = 0
			};
#endif
			op_end()
		:: else
		fi;
#endif
		release(f, 0);
		leave(f);
		entry[f] = OUT
	:: else
	fi
}

/* isolate() */
inline isolate(f)
{
	let_go(f, 1);
	if
	:: entry[f] == PENDING ->
		PAUSE_UNLESS(sought + 1 == MOVERS && linked[f] == 0)
		d_step { /* mark_isolated() */
			if
#ifndef FAULT_ISOLATE_TWICE
			:: flags[f] & (ISOLATED | DEAD) -> entry[f] = OUT
#endif
#if SPLITTERS && !defined(FAULT_SPLIT_ORDER)
			:: !(flags[f] & (ISOLATED | DEAD)) && order[f] != whole[f] -> entry[f] = OUT
#endif
			:: else ->
				STEP(ISOLATE, f, flags[f] | ISOLATED);
				source[f] = frame[f];
				linked[f] = me + 1;
				entry[f] = TAKEN
			fi
		};
#if OPS
		if
		:: entry[f] == TAKEN ->
			PAUSE_UNLESS(life_settled)
			MERGED {
			d_step { /* owner_enter() */
				running++;
				keep = detaching || detached;
				gone = detached;
#ifdef FAULT_ENTER
				keep = 0
#endif
			};
#if COARSE
			if
			:: keep
			:: !keep -> gone = 0; has_entered[f] = 1; isolations[f]++; span_begin();
				assert(isolations[f] == 1)
			:: !keep -> gone = 0; has_entered[f] = 1; entry[f] = OUT; span_begin();
				assert(isolations[f] == 0)
			fi
#endif
			};
			if
			:: keep ->
				keep = 0;
				PAUSE_UNLESS(life_settled)
				owner_leave(0);
				if
				:: !gone -> release(f, 1); entry[f] = OUT /* -EAGAIN */
				:: gone -> gone = 0	/* as if it had no ops */
				fi
#if COARSE
			:: else ->
				if
				:: entry[f] == OUT -> release(f, 1); leave(f)
				:: else
				fi
#else
			:: else ->
				d_step { gone = 0; has_entered[f] = 1; op_begin() };
				if
				:: d_step {
					op_end();
					assert(isolations[f] == 0);
					isolations[f] = 1
				   }
				:: d_step { op_end(); entry[f] = OUT }; /* a veto, or -EAGAIN */
				   release(f, 1);
				   leave(f)
				fi
#endif
			fi
		:: else
		fi
#else
		skip
#endif
	:: else
	fi
}

/* The non-temporal copy, as it is at its sfence: a word, then the other. */
inline all_some_out()
{
	x = 0;
	do
	:: x < THREADS ->
		if
		:: !COARSE || (WRITES(x) && f == 0) -> some_out(x)
		:: else
		fi;
		x++
	:: else -> break
	od;
	x = 0
}

inline copy()
{
	MERGED {
	f = 0;
	do
	:: f < FOLIOS ->
		if
		:: entry[f] == TAKEN || entry[f] == MOVED_ON ->
			atomic {
				all_some_out();
				low[target[f]] = low[source[f]]
			};
#if !COARSE
			atomic { all_some_out(); high[target[f]] = high[source[f]] }
#elif WRITERS
			if
			:: f == 0 -> d_step { looked(THREADS - 1) }
			:: else
			fi
#endif
		:: else
		fi;
		f++
	:: else -> f = 0; break
	od
	}
}

inline publish()
{
	MERGED {
	f = 0;
	do
	:: f < FOLIOS ->
		if
		:: entry[f] == TAKEN ->
#if COARSE
			if
			:: f != 0 && entry[0] == MOVED_ON && !has_entered[0] -> PAUSE skip
			:: else
			fi;
#endif
			skip;
			d_step {
				waited = (flags[f] & WAITERS) != 0;
#if OPS
				if
				:: has_entered[f] -> STEP(PUBLISH, f, ISOLATED | MOVED)
				:: else -> linked[f] = 0; STEP(PUBLISH, f, 0)
				fi;
#else
				linked[f] = 0;
				STEP(PUBLISH, f, 0);
#endif
				frame[f] = target[f];
#if SPLITTERS
				assert(order[f] == whole[f]);
#endif
				entry[f] = MOVED_ON;
				NOTE(moved[f]++);
#ifdef FAULT_WAKE_PUBLISH
				waited = 0
#endif
			};
			if
			:: waited -> waited = 0; wake(f)
			:: else
			fi
		:: else
		fi;
		f++
	:: else -> f = 0; break
	od
	}
}

inline mark()
{
	MERGED {
	f = 0;
	do
	:: f < FOLIOS ->
		if
		:: entry[f] == TAKEN -> d_step { STEP(MARK, f, flags[f] | MOVING) }
		:: else
		fi;
		f++
	:: else -> f = 0; break
	od;
	skip;
	MEMBARRIER(entry[PINS(x)] == TAKEN)
	}
}

/* commit_chunk(), from the barrier on */
inline commit()
{
#ifndef FAULT_SCAN_SLOTS
	x = 0;
	do
	:: atomic {
		x < THREADS ->
		if
		:: !COARSE || entry[PINS(x)] == TAKEN ->
			PAUSE_UNLESS(unpins[x])
			some_out(x);
			d_step {
				if
				:: slot[x] != 0 ->
					if
					:: entry[slot[x] - 1] == TAKEN -> entry[slot[x] - 1] = PINNED
					:: else
					fi
				:: else
				fi;
#if COARSE
				if
				:: !WRITES(x) || entry[0] == PINNED -> looked(x)
				:: else
				fi
#endif
			}
		:: COARSE && entry[PINS(x)] == PINNED -> d_step { looked(x) }
		:: else
		fi;
		x++
	   }
	:: else -> break
	od;
	x = 0;
#endif
	PAUSE_UNLESS(ALONE(0) && ALONE(LAST))
	MERGED {
	f = 0;
	do
	:: f < FOLIOS ->
		d_step {
			if
#ifndef FAULT_SCAN_COUNTS
			:: entry[f] == TAKEN && longs[f] != 0 -> entry[f] = PINNED
#endif
			:: else
			fi
		};
		if
		:: entry[f] == PINNED -> unmark(f)
		:: else
		fi;
		f++
	:: else -> f = 0; break
	od;
#ifdef FAULT_PUBLISH_FIRST
	publish();
	PAUSE
	copy()
#else
	copy();
	publish()
#endif
	}
}

proctype mover(byte me)
{
	mtype entry[FOLIOS] = NONE;
#if SPLITTERS
	bit whole[FOLIOS]; /* as it is when the folio is added */
#endif
	byte source[FOLIOS], target[FOLIOS];
	bit has_entered[FOLIOS];
	byte f, x, after;
	bit gone, waited, entered, keep, runs;
#if COARSE
	bit commits;
#endif

	MERGED {
	MERGED {
	f = 0;
	do
	:: f < FOLIOS ->
		d_step { /* quire_folio_get() */
			if
#ifdef FAULT_GET_ZERO
			:: true -> refs[f]++; entry[f] = PENDING; f++
#else
#if SPLITTERS
			:: refs[f] > 0 && refs[f] != FROZEN ->
				refs[f]++;
				entry[f] = PENDING;
				whole[f] = order[f];
				f++
			:: refs[f] == FROZEN -> skip /* waits for MOVING, as the getter shows */
			:: refs[f] == 0 -> f++
#else
			:: refs[f] > 0 -> refs[f]++; entry[f] = PENDING; f++
			:: else -> f++
#endif
#endif
			fi
		}
	:: else -> f = 0; break
	od
	};

	/* mover_isolate() */
	do
	:: f < FOLIOS ->
		if
		:: entry[f] == PENDING -> isolate(f)
		:: else
		fi;
		f++
	:: else -> break
	od;

	/* mover_migrate(): who was let go falls out */
	sought++;
	f = 0;
	do
	:: f < FOLIOS ->
		if
		:: entry[f] == TAKEN -> let_go(f, 0)
		:: else
		fi;
		f++
	:: else -> break
	od;
	/* mover_place(), here because it commutes: the lowest place that is free */
	skip;
#if COARSE
	if
	:: entry[0] == TAKEN || entry[LAST] == TAKEN -> PAUSE skip
	:: else
	fi;
#endif
	MERGED {
	d_step {
		f = 0;
		do
		:: f < FOLIOS ->
			if
			:: entry[f] == TAKEN ->
				x = FIRST_PLACE(f);
				do
				:: used[x] -> x = x + NEXT_PLACE
				:: !used[x] -> break
				od;
				used[x] = 1;
				target[f] = x;
				x = 0;
				runs = 1;
				entered = entered || has_entered[f];
				keep = keep || !has_entered[f]
			:: else
			fi;
			f++
		:: else -> break
		od;
		/* The entries of one owner agree about whether its ops are called. */
		assert(!(entered && keep));
		keep = 0;
		f = 0
	};
#if COARSE
	if
	:: runs -> commits = 1; mark()
	:: runs && entered -> marked++
	:: !runs -> marked++
	fi;
	entered = 0
#endif
	};
	if
	:: runs ->
#if COARSE
		if
		:: commits -> commits = 0; commit(); marked++
		:: else
		fi;
#else
		if
		:: entered ->
			op_begin();
			if
			:: mark(); commit()
			:: skip /* -EAGAIN, an error, or 0 without a commit */
			fi;
			entered = 0;
			op_end()
		:: else -> mark(); commit()
		fi;
#endif
		/* settle(), or the end of what was moved */
		runs = 0;
		f = 0;
		do
		:: f < FOLIOS ->
			if
			:: entry[f] == PINNED -> entry[f] = TAKEN
			:: else
			fi;
			if
			:: entry[f] == TAKEN ->
				d_step {
					used[target[f]] = 0;
					low[target[f]] = POISON;
					high[target[f]] = POISON
				};
				putback(f)
			:: entry[f] == MOVED_ON ->
#if OPS
				if
				:: has_entered[f] ->
					d_step { assert(isolations[f] == 1); isolations[f] = 0 };
					release(f, 0);
					leave(f)
				:: else
				fi
#else
				skip
#endif
			:: else
			fi;
			f++
		:: else -> break
		od;
		/* old_places(): into limbo, and out of it where no reader can be looking */
		skip;
#if !COARSE
		d_step { now_epoch++; after = now_epoch };
		MEMBARRIER(true);
#endif
#if !defined(FAULT_LIMBO_EPOCH) && !COARSE
		epochs_look(after);
#endif
		d_step {
			after = 0;
			f = 0;
			do
			:: f < FOLIOS ->
				if
				:: entry[f] == MOVED_ON && keep -> in_limbo++
				:: entry[f] == MOVED_ON && !keep ->
					assert(used[source[f]]);
					used[source[f]] = 0;
					low[source[f]] = POISON;
					high[source[f]] = POISON
				:: else
				fi;
				source[f] = 0;
				target[f] = 0;
				f++
			:: else -> break
			od;
			keep = 0
		}
	:: else
	fi;

	/* entry_release() */
	f = 0;
	do
	:: f < FOLIOS ->
		if
		:: entry[f] == OUT || entry[f] == MOVED_ON -> put(f)
		:: else
		fi;
		entry[f] = NONE;
#if SPLITTERS
		whole[f] = 0;
#endif
		source[f] = 0;
		target[f] = 0;
		f++
	:: else -> f = 0; break
	od;
	ended++
	};
	STAY
}

#if SPLITTERS
/* --- quire_folio_split(): src/folio/split.c; it has the owner's reference --- */

proctype splitter(byte f)
{
	byte x;
	bit waited, entered, keep, gone;

	d_step { STEP(UNBORN, PART, DEAD) };
	d_step { /* take() */
		if
		:: flags[f] & (ISOLATED | DEAD) -> keep = 1
		:: else -> STEP(ISOLATE, f, flags[f] | ISOLATED)
		fi
	};
	if
	:: !keep ->
#if OPS
		d_step { /* owner_enter() */
			running++;
			keep = detaching || detached;
			gone = detached;
			entered = !keep
		};
		if
		:: keep ->
			owner_leave(0);
			keep = !gone /* detached: as if it had no ops */
		:: else
		fi;
		gone = 0;
#endif
		if
		:: !keep ->
			d_step { STEP(MARK, f, flags[f] | MOVING) };
#ifndef FAULT_SPLIT_BARRIER
			MEMBARRIER(PINS(x) == f);
#endif
			slots_look(f);
			d_step { /* freeze() */
				if
				:: keep
#ifdef FAULT_SPLIT_FREEZE
				:: !keep && longs[f] == 0 /* looked at, and not kept */
#else
				:: !keep && refs[f] == 1 && longs[f] == 0 -> refs[f] = FROZEN
#endif
				:: else -> keep = 1
				fi
			};
#ifdef FAULT_SPLIT_THAW
			d_step {
				if
				:: !keep -> refs[f] = 1
				:: else
				fi
			};
#endif
			if
			:: !keep ->
				d_step { STEP(SPLIT, f, flags[f]); order[f] = 0 };
#if !defined(FAULT_SPLIT_FREEZE) && !defined(FAULT_SPLIT_THAW)
				d_step { assert(refs[f] == FROZEN && (flags[f] & MOVING)); refs[f] = 1 }
#endif
			:: else
			fi;
			unmark(f);
			if
			:: !keep && entered ->
				op_begin();
				if
				:: skip
				:: keep = 1;
				   d_step { STEP(UNSPLIT, f, flags[f]); order[f] = 1 }
				fi;
				op_end()
			:: else
			fi;
			if
			:: !keep -> d_step { assert(order[f] == 0); STEP(CREATE, PART, 0) }
			:: else
			fi
		:: else
		fi;
		keep = 0;
		d_step { STEP(RELEASE, f, flags[f] & ~ISOLATED) };
		if
		:: entered -> entered = 0; owner_leave(1)
		:: else
		fi
	:: else -> keep = 0
	fi
}

/* quire_folio_get() in a read section, a look at the order, and put. */
proctype getter(byte me; byte f)
{
	byte expect, expect_version, size;

	do
	:: d_step {
		refs[f] != FROZEN ->
		assert(refs[f] > 0);
		out_all(me);
		refs[f]++
	   };
	   break
#ifdef FAULT_GET_FROZEN
	:: d_step { refs[f] == FROZEN -> refs[f] = 2 }; break
#else
	:: refs[f] == FROZEN -> wait_moving(f)
#endif
	od;
	SEE_ORDER(f);
	KEEPS_ORDER(f);
	d_step { KEEPS_ORDER(f); assert(refs[f] > 1); refs[f]--; size = 0 }
}
#endif

/* --- pins: quire_pin(), quire_unpin() --- */

inline looks(f) /* at the word, with the slot published or on its way */
{
#ifndef FAULT_CHECK_FIRST
	expect = flags[f];
#endif
#ifdef FAULT_RECHECK
	expect = expect & ~MOVING;
#endif
	expect = expect & (MOVING | DEAD);
	address = (expect -> POISON : frame[f])
}

inline pin(f) /* address: where it is, or POISON */
{
#if COARSE
#ifdef FAULT_CHECK_FIRST
	expect = flags[f];
	PAUSE
#endif
	store(SLOT, 0, f + 1);
	PAUSE_UNLESS(QUIET(f))
	d_step { looks(f) };
	if
	:: expect ->
		PAUSE_UNLESS(QUIET(f))
		store(SLOT, 0, 0);
		if
		:: expect & DEAD -> expect = 0
		:: else ->
			expect = 0;
			address = 0;
			PAUSE_UNLESS(QUIET(f))
			wait_moving(f);
			PAUSE_UNLESS(QUIET(f))
			goto again
		fi
	:: else
	fi
#else
	do
	:: 
#ifdef FAULT_CHECK_FIRST
	   expect = flags[f];
#endif
	   store(SLOT, 0, f + 1);
	   d_step { looks(f) };
	   if
	   :: !expect -> break
	   :: else ->
		store(SLOT, 0, 0);
		if
		:: expect & DEAD -> expect = 0; break
		:: else -> expect = 0; wait_moving(f)
		fi
	   fi
	od
#endif
}

/* While it is pinned: nobody moves it, and its place is nobody else's. */
inline pinned_use(f)
{
	assert(used[address] && frame[f] == address && low[address] != POISON);
	NOTE(got[me] = 1)
}

inline unpin_ends()
{
	unpins[me] = 1;
	unpinned[f]++;
	ended++
}

proctype pinner(byte me; byte f)
{
	byte address, expect, expect_version;
#if SPLITTERS
	byte size;
#endif

again:	MERGED {
	section_enter();
	if
	:: COARSE || indexed[f] ->
		pin(f);
		section_leave();
		if
		:: address != POISON ->
			PAUSE_UNLESS(QUIET(f))
			SEE_ORDER(f);
			d_step { pinned_use(f) };
			KEEPS_ORDER(f);
			store(SLOT, 0, 0)
		:: else
		fi
	:: !COARSE && !indexed[f] -> section_leave()
	fi;
	address = 0;
	unpin_ends()
	};
	STAY
}

proctype writer(byte me; byte f)
{
	byte address, expect, expect_version, value;

again:	MERGED {
	section_enter();
	if
	:: COARSE || indexed[f] ->
		pin(f);
		section_leave();
		if
		:: address != POISON ->
			PAUSE_UNLESS(QUIET(f))
			d_step { pinned_use(f); value = low[address] + 1 };
#ifdef FAULT_UNPIN_EARLY
			store(SLOT, 0, 0);
			PAUSE
#endif
			store(LOW, address, value);
#if !COARSE
			store(HIGH, address, value);
#endif
			stored++;
			value = 0;
			address = 0;
			store(SLOT, 0, 0)
		:: else
		fi
	:: !COARSE && !indexed[f] -> section_leave()
	fi;
	address = 0;
	unpin_ends()
	};
	STAY
}

/* long_pin(), quire_unpin_long(): locked instructions, which empty the buffer */
proctype long_pinner(byte me; byte f)
{
	byte address, expect, expect_version;
#if SPLITTERS
	byte size;
#endif

	section_enter();
	if
	:: indexed[f] ->
		do
		::
#ifdef FAULT_LONG_CHECK_FIRST
		   d_step { expect = flags[f]; address = frame[f] };
		   d_step { out_all(me); longs[f]++ };
#else
		   d_step { out_all(me); longs[f]++ };
		   d_step { expect = flags[f]; address = frame[f] };
#endif
		   if
		   :: !(expect & (MOVING | DEAD)) -> expect = 0; break
		   :: else ->
			address = POISON;
			longs[f]--;
			if
			:: expect & DEAD -> expect = 0; break
			:: else -> expect = 0; wait_moving(f)
			fi
		   fi
		od;
		section_leave();
		if
		:: address != POISON ->
			SEE_ORDER(f);
			pinned_use(f);
			d_step { KEEPS_ORDER(f); out_all(me); assert(longs[f] > 0); longs[f]-- }
		:: else
		fi
	:: !indexed[f] -> section_leave()
	fi
}

#if READERS
/* quire_view(), quire_view_stale() */
proctype reader(byte me; byte f)
{
	byte address, seen, one, other, x;
	bit dead;
#if SPLITTERS
	byte size;
#endif

	section_enter();
	if
	:: indexed[f] ->
		d_step {
			address = frame[f];
			seen = version[f];
			SEE_ORDER(f);
			dead = (flags[f] & DEAD) != 0
		};
		if
		:: !dead ->
			/* whatever it reads, it is nobody else's */
			d_step { assert(used[address]); one = low[address] };
			d_step { assert(used[address]); other = high[address] };
			d_step {
				if
				:: seen == version[f] && !(flags[f] & DEAD) ->
#if SPLITTERS
					assert(order[f] == size);
#endif
#if WRITERS && FOLIOS == 1
					assert(one <= 1 && other <= 1)
#else
					assert(one == 10 * f && other == 10 * f)
#endif
				:: else
				fi;
				one = 0; other = 0; seen = 0; address = 0
			}
		:: else -> dead = 0
		fi
	:: !indexed[f]
	fi;
	section_leave()
}
#endif

/* The owner takes it out of its index and drops its reference; it may make another one of it. */
proctype freer(byte f)
{
	byte x, after;
	bit gone, waited, entered, keep;

	MERGED { indexed[f] = 0; put(f); ended++ }
#if COARSE
	;
	STAY
#endif
#if RECREATE
	;
	if
	:: d_step {
		freed[f] == 2 && refs[f] == 0 -> /* quire_folio_create_with() */
		assert(longs[f] == 0);
		x = 0;
		do
		:: used[x] -> x++
		:: !used[x] -> break
		od;
		used[x] = 1;
		low[x] = 10 * f;
		high[x] = 10 * f;
		freed[f] = 0;
		STEP(CREATE, f, 0);
		frame[f] = x;
		x = 0
	   };
	   refs[f] = 1;
	   indexed[f] = 1
	:: skip
	fi
#endif
}

/* quire_owner_detach() */
proctype detacher()
{
	byte count;
	bit waits;

#if COARSE
	atomic {
	if
#ifndef FAULT_DETACH
	:: running != 0 ->
		detaching = 1;
		PAUSE
		do
		:: !detacher_sleeps && detaching -> detacher_sleeps = 1; PAUSE
		:: !detacher_sleeps && detaching -> detaching = 0; count = 1; break
		:: !detacher_sleeps && !detaching -> break
		od
#endif
	:: else -> detached = 1
	fi;
	if
	:: count == 0 -> assert(ops == 0); told_detached = 1
	:: else
	fi;
	count = 0;
	life_settled = 1;
	ended++
	};
	STAY
#else
	d_step {
		if
#ifndef FAULT_DETACH
		:: running != 0 -> detaching = 1; waits = 1
#endif
		:: else -> detached = 1
		fi
	};
	if
	:: waits ->
		do
		:: !detaching -> break /* await_life() */
		:: atomic { detaching -> count = running };
		   d_step {
			if
			:: detaching && running == count -> detacher_sleeps = 1
			:: else
			fi;
			count = 0
		   };
		   !detacher_sleeps
		:: atomic { /* the deadline: stay_attached() */
			detaching -> detaching = 0; count = 1
		   };
		   break
		od
	:: else
	fi;
	skip; /* a d_step cannot be jumped to */
	d_step {
		if
		:: count == 0 -> assert(ops == 0); told_detached = 1
		:: else
		fi
	}
#endif
}

/* --- everything starts, everything ends --- */

#if COARSE
active proctype pauses()
{
end:	do
	:: pause ? _
	od
}
#endif

init {
	byte i, live;

	atomic {
		i = 0;
		do
		:: i < PLACES -> low[i] = POISON; high[i] = POISON; i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < FOLIOS ->
			STEP(CREATE, i, 0);
			frame[i] = i;
			used[i] = 1;
			low[i] = 10 * i;
			high[i] = 10 * i;
			refs[i] = 1;
			indexed[i] = 1;
#if SPLITTERS
			order[i] = 1;
#endif
			i++
		:: else -> break
		od;
#if MOVERS > 0
		run mover(0);
#endif
#if MOVERS > 1
		run mover(1);
#endif
#if PINNERS > 0
		run pinner(0, LAST);
#endif
#if PINNERS > 1
		run pinner(1, 0);
#endif
#if WRITERS > 0
		run writer(PINNERS, 0);
#endif
#if READERS > 0
		run reader(PINNERS + WRITERS, LAST);
#endif
#if LONGS > 0
		run long_pinner(PINNERS + WRITERS + READERS, LAST);
#endif
#if GETTERS > 0
		run getter(PINNERS + WRITERS + READERS + LONGS, LAST);
#endif
#if SPLITTERS > 0
		run splitter(LAST);
#endif
#if FREERS > 0
		run freer(LAST);
#endif
#if DETACHERS > 0
		run detacher();
#endif
		i = 0
	};
#if COARSE
	ended == MOVERS + PINNERS + WRITERS + FREERS + DETACHERS;
#else
	_nr_pr == 1;
#endif
	d_step {
		do
		:: i < THREADS ->
			out_all(i);
			assert(slot[i] == 0 && epoch[i] == 0 && asleep[i] == 0);
			i++
		:: else -> break
		od;
		assert(ops == 0 && running == 0 && !detaching);
#if SPLITTERS
		assert(flags[PART] == (order[LAST] -> IN_DEAD : IN_LIVE));
#endif
		assert(!detached || told_detached);
		i = 0;
		do
		:: i < FOLIOS ->
			assert(longs[i] == 0 && isolations[i] == 0 && linked[i] == 0);
			if
			:: refs[i] == 0 ->
				assert(flags[i] == IN_DEAD && freed[i] != 0 && !indexed[i]);
				if
				:: freed[i] == 1 -> used[frame[i]] = 0 /* the next reclaim */
				:: else
				fi
			:: else ->
				assert(flags[i] == IN_LIVE && refs[i] == 1 && freed[i] == 0);
				assert(used[frame[i]] && indexed[i]);
				assert(COARSE || low[frame[i]] == high[frame[i]]);
				/* no store is lost */
				assert(low[frame[i]] == 10 * i + (i == 0 -> stored : 0));
				live++
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		do
		:: i < PLACES -> live = live - used[i]; i++
		:: else -> break
		od;
		/* no place is lost, none is used twice */
		assert(live + in_limbo == 0 || live + in_limbo == 256);
#if OUTCOMES
		c_code { outcome_is(); };
#endif
		live = 0
	}
}
