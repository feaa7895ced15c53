/* SPDX-License-Identifier: MIT */
/* Made by scripts/states.sh of src/folio/states.def: flags, states, steps. */
#define MOVING 1
#define DEAD 2
#define ISOLATED 4
#define WAITERS 8
#define MOVED 16
#define IN_BLANK (0)
#define IN_LIVE (0)
#define IN_ISOLATED (ISOLATED)
#define IN_MOVING (MOVING | ISOLATED)
#define IN_WAITED (MOVING | ISOLATED | WAITERS)
#define IN_MOVED (ISOLATED | MOVED)
#define IN_DEAD (DEAD)
#define STATES 7
#define EDGES 18
#define NEXT_CREATE 0
#define MAY_CREATE(from, to) (((from) == IN_BLANK && (to) == IN_LIVE) || ((from) == IN_DEAD && (to) == IN_LIVE))
#define NEXT_ISOLATE 0
#define MAY_ISOLATE(from, to) (((from) == IN_LIVE && (to) == IN_ISOLATED))
#define NEXT_MARK 0
#define MAY_MARK(from, to) (((from) == IN_ISOLATED && (to) == IN_MOVING))
#define NEXT_WAIT 0
#define MAY_WAIT(from, to) (((from) == IN_MOVING && (to) == IN_WAITED))
#define NEXT_UNMARK 0
#define MAY_UNMARK(from, to) (((from) == IN_MOVING && (to) == IN_ISOLATED) || ((from) == IN_WAITED && (to) == IN_ISOLATED))
#define NEXT_PUBLISH 1
#define MAY_PUBLISH(from, to) (((from) == IN_MOVING && (to) == IN_MOVED) || ((from) == IN_WAITED && (to) == IN_MOVED) || ((from) == IN_MOVING && (to) == IN_LIVE) || ((from) == IN_WAITED && (to) == IN_LIVE))
#define NEXT_RELEASE 0
#define MAY_RELEASE(from, to) (((from) == IN_ISOLATED && (to) == IN_LIVE) || ((from) == IN_MOVED && (to) == IN_LIVE))
#define NEXT_UNBORN 0
#define MAY_UNBORN(from, to) (((from) == IN_BLANK && (to) == IN_DEAD))
#define NEXT_SPLIT 1
#define MAY_SPLIT(from, to) (((from) == IN_MOVING && (to) == IN_MOVING) || ((from) == IN_WAITED && (to) == IN_WAITED))
#define NEXT_UNSPLIT 1
#define MAY_UNSPLIT(from, to) (((from) == IN_ISOLATED && (to) == IN_ISOLATED))
#define NEXT_RETIRE 1
#define MAY_RETIRE(from, to) (((from) == IN_LIVE && (to) == IN_DEAD))
#define EDGE_CREATE(from, to) ((from) == IN_BLANK && (to) == IN_LIVE -> 0 : ((from) == IN_DEAD && (to) == IN_LIVE -> 1 : 18))
#define EDGE_ISOLATE(from, to) ((from) == IN_LIVE && (to) == IN_ISOLATED -> 2 : 18)
#define EDGE_MARK(from, to) ((from) == IN_ISOLATED && (to) == IN_MOVING -> 3 : 18)
#define EDGE_WAIT(from, to) ((from) == IN_MOVING && (to) == IN_WAITED -> 4 : 18)
#define EDGE_UNMARK(from, to) ((from) == IN_MOVING && (to) == IN_ISOLATED -> 5 : ((from) == IN_WAITED && (to) == IN_ISOLATED -> 6 : 18))
#define EDGE_PUBLISH(from, to) ((from) == IN_MOVING && (to) == IN_MOVED -> 7 : ((from) == IN_WAITED && (to) == IN_MOVED -> 8 : ((from) == IN_MOVING && (to) == IN_LIVE -> 9 : ((from) == IN_WAITED && (to) == IN_LIVE -> 10 : 18))))
#define EDGE_RELEASE(from, to) ((from) == IN_ISOLATED && (to) == IN_LIVE -> 11 : ((from) == IN_MOVED && (to) == IN_LIVE -> 12 : 18))
#define EDGE_UNBORN(from, to) ((from) == IN_BLANK && (to) == IN_DEAD -> 13 : 18)
#define EDGE_SPLIT(from, to) ((from) == IN_MOVING && (to) == IN_MOVING -> 14 : ((from) == IN_WAITED && (to) == IN_WAITED -> 15 : 18))
#define EDGE_UNSPLIT(from, to) ((from) == IN_ISOLATED && (to) == IN_ISOLATED -> 16 : 18)
#define EDGE_RETIRE(from, to) ((from) == IN_LIVE && (to) == IN_DEAD -> 17 : 18)
