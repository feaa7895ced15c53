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
 * COARSE makes products of more roles finish. It covers less, all of which the configurations without
 * it have: no epochs (nobody but a reader lives by them here), one word to a place, and places that
 * belong to a folio. Else a thread runs on up to its next PAUSE. Why no behaviour is lost:
 * - Own variables, and references to a folio that its owner never puts, are seen by nobody else.
 * - Where places are alike, taking one, and freeing one that only this mover knows, commute.
 * - A pinner that looks at the index as it starts may be as late as it likes afterwards; one that
 *   finds nothing does nothing. So it need not look.
 * - A wake commutes with what others do after the store it follows: who compares then, does not sleep.
 * - What two folios' waiters and pinners see of MARK, UNMARK and PUBLISH meets nowhere until the
 *   mover lets go of ISOLATED, so one step does it for both. The barrier belongs to MARK: what pinners
 *   of these folios do in between may come after it, as their stores can be let out by who looks, and
 *   all else may come before.
 * - A slot whose thread pins none of the mover's folios, or one that is pinned already, does not matter.
 * - Last reference and RETIRE: in between pinners do not see the count, and nobody gets it. RETIRE and
 *   entering the owner: pinners see one, the detacher the other, and they do not meet.
 * - A check just before a step that is always possible is as good as one long before it. Ops count as
 *   running all the time between owner_enter() and owner_leave(), which is stricter.
 * Spin's own reduction is off with it, and all faults that it can show must be found with it too.
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
#if COARSE
#if LONGS || READERS || RECREATE || SPLITTERS || GETTERS || !OPS
#error COARSE does without these
#endif
#define MERGED atomic
#define FREEABLE(f) (FREERS && (f) == LAST) /* else the owner's reference stays */
#define WRITABLE(f) (WRITERS && (f) == 0)
chan pause = [0] of { bit };
#define PAUSE pause ! 0; /* the only places, in an atomic sequence, where others come in */
#else
#define PAUSE
#define MERGED
#define FREEABLE(f) true
#define WRITABLE(f) true
#endif

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
#else
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
	od
}

inline store(what, place, value) /* a plain store of thread me */
{
	d_step {
		if
		:: full(buffer[me]) -> out(me)
		:: nfull(buffer[me])
		fi;
		buffer[me] ! what(place, value)
	}
}

inline membarrier()
{
#ifdef FAULT_MEMBARRIER
	skip
#else
	d_step {
		x = 0;
		do
		:: x < THREADS -> out_all(x); x++
		:: else -> break
		od;
		x = 0
	}
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
	   PAUSE
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
#if COARSE
	   if
	   :: asleep[me] == 0 -> PAUSE skip
	   :: else -> asleep[me] == 0
	   fi
#else
	   asleep[me] == 0
#endif
	od
}

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
			PAUSE
			some_out(x);
			keep = keep || slot[x] == f + 1
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
	d_step {
		running++;
		assert(freed[f] == 0);
		if
		:: !detached ->
			op_begin();
			span_begin();
			assert(isolations[f] == 0);
			entered = 1
		:: else
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
	PAUSE
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
	PAUSE
	membarrier();
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
inline release(f)
{
	PAUSE
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
		PAUSE
		owner_leave(1)
	:: else
	fi
#else
	skip
#endif
}

/* let_go(): folio_put_if_last(), then folio_gone() */
inline let_go(f)
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
		:: linked[f] == me + 1 -> release(f)
		:: else
		fi;
		isolations[f] = 0;
		leave(f);
		PAUSE
		last_put_begin(f);
		last_put_end(f)
	:: else
	fi
}

/* entry_putback() */
inline putback(f)
{
	let_go(f);
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
		release(f);
		leave(f);
		entry[f] = OUT
	:: else
	fi
}

/* isolate() */
inline isolate(f)
{
	let_go(f);
	if
	:: entry[f] == PENDING ->
		PAUSE
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
			PAUSE
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
				PAUSE
				owner_leave(0);
				if
				:: !gone -> release(f); entry[f] = OUT /* -EAGAIN */
				:: gone -> gone = 0	/* as if it had no ops */
				fi
#if COARSE
			:: else ->
				if
				:: entry[f] == OUT -> release(f); leave(f)
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
				   release(f);
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
	:: x < THREADS -> some_out(x); x++
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
				if
				:: WRITABLE(f) -> all_some_out()
				:: else
				fi;
				low[target[f]] = low[source[f]]
			};
#if !COARSE
			atomic { all_some_out(); high[target[f]] = high[source[f]] }
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
	membarrier()
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
			PAUSE
			some_out(x);
			if
			:: slot[x] != 0 ->
				if
				:: entry[slot[x] - 1] == TAKEN -> entry[slot[x] - 1] = PINNED
				:: else
				fi
			:: else
			fi
		:: else
		fi;
		x++
	   }
	:: else -> break
	od;
	x = 0;
#endif
	PAUSE
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
	od
	};
#ifdef FAULT_PUBLISH_FIRST
	publish();
	PAUSE
	copy()
#else
	copy();
	PAUSE
	publish()
#endif
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
	f = 0;
	do
	:: f < FOLIOS ->
		if
		:: entry[f] == TAKEN -> let_go(f)
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
	:: runs && entered -> skip
	:: else
	fi;
	entered = 0
#endif
	};
	if
	:: runs ->
#if COARSE
		if
		:: commits -> commits = 0; commit()
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
					release(f);
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
#if SECTIONS || !COARSE
		d_step { now_epoch++; after = now_epoch };
		membarrier();
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
	od
	}
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
			membarrier();
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

inline pin(f) /* address: where it is, or POISON */
{
	do
	:: 
#ifdef FAULT_CHECK_FIRST
	   expect = flags[f];
	   PAUSE
#endif
	   store(SLOT, 0, f + 1);
	   PAUSE
	   d_step {
#ifndef FAULT_CHECK_FIRST
		expect = flags[f];
#endif
#ifdef FAULT_RECHECK
		expect = expect & ~MOVING;
#endif
		address = frame[f]
	   };
	   if
	   :: !(expect & (MOVING | DEAD)) -> expect = 0; break
	   :: else ->
		PAUSE
		store(SLOT, 0, 0);
		address = POISON;
		if
		:: expect & DEAD -> expect = 0; break
		:: else -> expect = 0; PAUSE wait_moving(f); PAUSE skip
		fi
	   fi
	od
}

/* While it is pinned: nobody moves it, and its place is nobody else's. */
inline pinned_use(f)
{
	assert(used[address] && frame[f] == address && low[address] != POISON)
}

proctype pinner(byte me; byte f)
{
	byte address, expect, expect_version;
#if SPLITTERS
	byte size;
#endif

	MERGED {
	section_enter();
	if
	:: COARSE || indexed[f] ->
		pin(f);
		section_leave();
		if
		:: address != POISON ->
			PAUSE
			SEE_ORDER(f);
			pinned_use(f);
			KEEPS_ORDER(f);
			store(SLOT, 0, 0)
		:: else
		fi
	:: !COARSE && !indexed[f] -> section_leave()
	fi;
	address = 0
	}
}

proctype writer(byte me; byte f)
{
	byte address, expect, expect_version, value;

	MERGED {
	section_enter();
	if
	:: COARSE || indexed[f] ->
		pin(f);
		section_leave();
		if
		:: address != POISON ->
			PAUSE
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
			PAUSE
			store(SLOT, 0, 0)
		:: else
		fi
	:: !COARSE && !indexed[f] -> section_leave()
	fi;
	address = 0
	}
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

	MERGED { indexed[f] = 0; put(f) }
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
	_nr_pr == 1 + COARSE;
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
		live = 0
	}
}
