#!/bin/bash
# SPDX-License-Identifier: MIT
#
# model.sh: the protocol of tests/model/folio.pml, explored exhaustively by spin, as a TAP test. First
# the configurations, each without an error; then whether merging steps (COARSE) changes how they may
# end; then the faults, each of which has to be found.
#
# usage: scripts/model.sh [BUILD]           in a folder below BUILD
#        scripts/model.sh [BUILD] --full    two movers, two pinners, writer, freer and detacher on two
#                                           folios, alone, and how far it is (MEGABYTES: at most)
set -u
top=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$top" || exit 2
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"
build=${1:-${QUIRE_BUILD:-$top/build}}
mkdir -p "$build/model" && build=$(cd "$build/model" && pwd -P) || exit 2
work=$(mktemp -d "$build/XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
began=$SECONDS
jobs=2
megabytes=1900 # of memory for one search

# What is explored, one a line: a name, then what there is of each.
configurations() {
	cat <<-'END'
		movers-pinner        MOVERS=2 PINNERS=1
		movers-writer        MOVERS=2 WRITERS=1
		movers-long          MOVERS=2 LONGS=1
		movers-reader        MOVERS=2 READERS=1
		movers-freer         MOVERS=2 FREERS=1
		movers-detacher      MOVERS=2 DETACHERS=1
		movers-end           MOVERS=2 FREERS=1 DETACHERS=1
		no-ops               MOVERS=2 PINNERS=1 OPS=0
		pinners              MOVERS=1 PINNERS=2
		pinner-writer        MOVERS=1 PINNERS=1 WRITERS=1
		pinner-end           MOVERS=1 PINNERS=1 FREERS=1 DETACHERS=1
		pins-remade          MOVERS=1 PINNERS=1 LONGS=1 FREERS=1 RECREATE=1
		reader-remade        MOVERS=1 READERS=1 FREERS=1 RECREATE=1
		no-ops-freed         MOVERS=1 OPS=0 FREERS=1 PINNERS=1 LONGS=1
		writer-end           MOVERS=1 WRITERS=1 FREERS=1 DETACHERS=1
		writer-reader        MOVERS=1 WRITERS=1 READERS=1
		movers-pinner-freer  MOVERS=2 PINNERS=1 FREERS=1
		splitter-movers      MOVERS=2 SPLITTERS=1
		splitter-pinner      MOVERS=1 SPLITTERS=1 PINNERS=1
		splitter-pinners     MOVERS=0 SPLITTERS=1 PINNERS=2
		splitter-long        MOVERS=1 SPLITTERS=1 LONGS=1
		splitter-reader      MOVERS=1 SPLITTERS=1 READERS=1
		splitter-getter      MOVERS=1 SPLITTERS=1 GETTERS=1
		splitter-getter-pin  MOVERS=0 SPLITTERS=1 GETTERS=1 PINNERS=1
		splitter-detacher    MOVERS=1 SPLITTERS=1 DETACHERS=1
		splitter-no-ops      MOVERS=1 SPLITTERS=1 GETTERS=1 OPS=0
		two-movers           FOLIOS=2 MOVERS=2
		two-movers-pinner    FOLIOS=2 MOVERS=2 PINNERS=1
		two-pinners          FOLIOS=2 MOVERS=1 PINNERS=2
		two-writer           FOLIOS=2 MOVERS=1 PINNERS=1 WRITERS=1
		two-end              FOLIOS=2 MOVERS=1 FREERS=1 DETACHERS=1
		coarse-pinners       FOLIOS=2 MOVERS=2 PINNERS=2 COARSE=1
		coarse-writer        FOLIOS=2 MOVERS=2 PINNERS=1 WRITERS=1 COARSE=1
		coarse-freer         FOLIOS=2 MOVERS=2 PINNERS=1 FREERS=1 COARSE=1
		coarse-detacher      FOLIOS=2 MOVERS=2 PINNERS=1 DETACHERS=1 COARSE=1
		coarse-writer-freer  FOLIOS=2 MOVERS=2 WRITERS=1 FREERS=1 COARSE=1
		coarse-writer-detach FOLIOS=2 MOVERS=2 WRITERS=1 DETACHERS=1 COARSE=1
		coarse-end           FOLIOS=2 MOVERS=2 FREERS=1 DETACHERS=1 COARSE=1
		three-undetached     FOLIOS=2 MOVERS=1 PINNERS=1 WRITERS=1 FREERS=1 COARSE=1
		three-unfreed        FOLIOS=2 MOVERS=1 PINNERS=1 WRITERS=1 DETACHERS=1 COARSE=1
		three-unwritten      FOLIOS=2 MOVERS=1 PINNERS=1 FREERS=1 DETACHERS=1 COARSE=1
		three-unpinned       FOLIOS=2 MOVERS=1 WRITERS=1 FREERS=1 DETACHERS=1 COARSE=1
		all-but-a-mover      FOLIOS=2 MOVERS=1 PINNERS=2 WRITERS=1 FREERS=1 DETACHERS=1 COARSE=1
	END
}

# What ends in the same ways with each step alone as with steps merged.
compared() {
	cat <<-'END'
		pinner    MOVERS=2 PINNERS=1
		writer    MOVERS=2 WRITERS=1
		end       MOVERS=2 FREERS=1 DETACHERS=1
		pinners   MOVERS=1 PINNERS=2
		both      MOVERS=1 PINNERS=1 WRITERS=1
		one-end   MOVERS=1 PINNERS=1 FREERS=1 DETACHERS=1
		write-end MOVERS=1 WRITERS=1 FREERS=1 DETACHERS=1
		two-end   FOLIOS=2 MOVERS=1 FREERS=1 DETACHERS=1
	END
}

compared_with() {
	compared | sed "s/^\([a-z-]*\) /\1-$1 COARSE=$1 OUTCOMES=1 /"
}

# What is left out of the protocol, and among whom that shows.
faults() {
	cat <<-'END'
		MEMBARRIER        MOVERS=1 PINNERS=1
		RECHECK           MOVERS=1 PINNERS=1
		CHECK_FIRST       MOVERS=1 PINNERS=1
		SCAN_SLOTS        MOVERS=1 PINNERS=1
		SCAN_COUNTS       MOVERS=1 LONGS=1
		LONG_CHECK_FIRST  MOVERS=1 LONGS=1
		WAIT_FLAG         MOVERS=1 PINNERS=1
		WAKE_PUBLISH      MOVERS=1 PINNERS=1
		WAKE_UNMARK       MOVERS=1 PINNERS=1 LONGS=1
		PUBLISH_FIRST     MOVERS=1 WRITERS=1
		UNPIN_EARLY       MOVERS=1 WRITERS=1
		PUTBACK_TWICE     MOVERS=1
		FREE_TWICE        MOVERS=1 FREERS=1
		ISOLATE_TWICE     MOVERS=2
		GET_ZERO          MOVERS=1 FREERS=1
		RECLAIM_EPOCH     MOVERS=0 READERS=1 FREERS=1
		RECLAIM_SLOTS     MOVERS=0 PINNERS=1 FREERS=1
		RECLAIM_COUNTS    MOVERS=0 LONGS=1 FREERS=1
		LIMBO_EPOCH       MOVERS=1 READERS=1
		ENTER             MOVERS=1 DETACHERS=1
		DETACH            MOVERS=1 DETACHERS=1
		WAKE_LEAVE        MOVERS=1 DETACHERS=1
		SPLIT_BARRIER     MOVERS=0 SPLITTERS=1 PINNERS=1
		SPLIT_FREEZE      MOVERS=0 SPLITTERS=1 GETTERS=1
		SPLIT_THAW        MOVERS=0 SPLITTERS=1 GETTERS=1
		SPLIT_ORDER       MOVERS=1 SPLITTERS=1
		GET_FROZEN        MOVERS=0 SPLITTERS=1 GETTERS=1
	END
}

# The same with steps merged (COARSE): where that hid a fault, it would hide an error too.
coarse_faults() {
	faults | sed -e '/LONGS\|READERS\|SPLITTERS/d' -e 's/^\([A-Z_]*\)\( *\)/\1-COARSE\2COARSE=1 /'
	echo "WAKE_UNMARK-COARSE COARSE=1 MOVERS=1 PINNERS=1 WRITERS=1"
}

# search NAME FLAGS OPTIONS DEFINITIONS...: its report in NAME.log; 0 if the search ended.
search() {
	local dir=$work/$1 flags=$2 options=$3
	shift 3
	[[ " $* " == *" COARSE=1 "* ]] && flags+=" -DNOREDUCE"
	mkdir "$dir" && cp tests/model/*.pml "$dir" && cd "$dir" || return 1
	spin "${@/#/-D}" -a folio.pml >spin.log 2>&1 || { cat spin.log; return 1; }
	# shellcheck disable=SC2086 # lists of words
	gcc -w -DSAFETY -DNOFAIR -DMEMLIM=$megabytes $flags -o pan pan.c >gcc.log 2>&1 || {
		tail -n 5 gcc.log
		return 1
	}
	# shellcheck disable=SC2086 # a list of words
	./pan -m1000000 $options >"$dir.log" 2>&1
	rm -rf "$dir"
	grep -q '^State-vector' "$dir.log"
}

# All lines of stdin through search, some at a time.
search_all() {
	local name definitions
	while read -r name definitions; do
		while (($(jobs -rp | wc -l) >= jobs)); do
			wait -n
		done
		# shellcheck disable=SC2086 # a list of words
		(search "$name" "$1" "$2" $definitions ${3:+$3${name%-COARSE}}) >"$work/$name.said" 2>&1 &
	done
	wait
}

number() {
	sed -n "s/^ *\([0-9.e+]*\) $2.*/\1/p" "$work/$1.log" | head -n 1
}

# It ended without an error, and was not cut short.
clean() {
	grep -q 'errors: 0$' "$work/$1.log" &&
		! grep -qiE '^pan:[0-9]|search depth too small|out of memory|memory limit|truncated' \
			"$work/$1.log"
}

found() {
	grep -qE 'assertion violated|invalid end state' "$work/$1.log"
}

show() {
	cat "$work/$1.said" "$work/$1.log" 2>&1 | head -n 30
	return 1
}

report_configurations() {
	local name definitions
	while read -r name definitions; do
		check "$definitions: no error in $(number "$name" 'states, stored') states, $(number "$name" \
			transitions) transitions" eval "clean $name || show $name"
	done
}

outcomes() {
	grep '^outcome: ' "$work/$1.log"
}

same_outcomes() {
	clean "$1-0" && clean "$1-1" && [ -n "$(outcomes "$1-0")" ] &&
		[ "$(outcomes "$1-0")" = "$(outcomes "$1-1")" ]
}

# --full takes minutes and a gigabyte or more: as it goes on it says how far it is.
if [[ ${2:-} == --full ]]; then
	megabytes=${MEGABYTES:-11000}
	everything="FOLIOS=2 MOVERS=2 PINNERS=2 WRITERS=1 FREERS=1 DETACHERS=1 COARSE=1"
	echo "full $everything" >"$work/one"
	search_all "-O1 -DCOLLAPSE" -w26 <"$work/one" &
	searching=$!
	said=0
	while kill -0 "$searching" 2>/dev/null; do
		sleep 1
		now=$(grep -c '^Depth=' "$work/full.log" 2>/dev/null)
		[[ ${now:-0} -gt $said ]] && {
			said=$now
			sed -n 's/^Depth=/# depth=/p' "$work/full.log" | tail -n 1
		}
	done
	wait "$searching"
	report_configurations <"$work/one"
	sed -n 's/^\(.*\)total actual memory usage/# \1MiB of memory/p' "$work/full.log"
	echo "# in $((SECONDS - began)) s"
	tap_end
	exit
fi

search_all "-O0 -DCOLLAPSE" -w22 < <(configurations)
report_configurations < <(configurations)

search_all "-O0 -DCOLLAPSE" -w20 < <(compared_with 0 && compared_with 1)
while read -r name definitions; do
	check "$definitions: steps merged or not, the same $(outcomes "$name-1" | wc -l) ways to end" \
		eval "same_outcomes $name || show $name-1"
done < <(compared)

# Each step of the table is taken somewhere: else the model lacks something, or the table has too much.
edges=$(sed -n 's/^#define EDGES //p' tests/model/states.pml)
taken=$(cat "$work"/*.log | sed -n 's/^edges: *//p' | tr -s ' ' '\n' | sort -u | wc -l)
check "$taken of the $edges steps of states.def were taken" [ "$taken" = "$edges" ]

search_all "-O0" -w18 FAULT_ < <(faults && coarse_faults)
while read -r name _; do
	check "without $name: $(sed -n 's/^pan:1: \(.*\)/\1/p' "$work/$name.log" | cut -c 1-70)" \
		eval "found $name || show $name"
done < <(faults && coarse_faults)
echo "# in $((SECONDS - began)) s"
tap_end
