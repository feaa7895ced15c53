#!/bin/bash
# SPDX-License-Identifier: MIT
#
# fuzz.sh: each fuzzer of tests/fuzz under the address and undefined-behaviour sanitizers for so many
# minutes, as a TAP test. What it learns stays in BUILD/fuzz/corpus for the next time; an input that
# fails is kept in BUILD/fuzz/found, and belongs into tests/fuzz/seeds once it is mended.
#
# usage: scripts/fuzz.sh BUILD MINUTES
set -u
top=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$top" || exit 2
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"
minutes=${2:-}
[[ $minutes =~ ^[1-9][0-9]{0,3}$ ]] || { echo "fuzz.sh: minutes from 1 to 9999" >&2; exit 2; }
mkdir -p "$1/fuzz" && work=$(cd "$1/fuzz" && pwd -P) || exit 2
out=$work/out
if [[ ! -f $out/build.ninja ]]; then
	CC=clang meson setup "$out" "$top" -Dfuzz=true -Dbench=false -Db_lundef=false \
		-Db_sanitize=address,undefined >"$work/setup.log" 2>&1 </dev/null || {
		tail -n 20 "$work/setup.log"
		echo "Bail out! meson setup failed"
		exit 1
	}
fi

fuzz() {
	mkdir -p "$work/corpus/$1" "$work/found"
	ninja -C "$out" "tests/fuzz_$1" >"$work/ninja.log" 2>&1 || { tail -n 20 "$work/ninja.log"; return 1; }
	"$out/tests/fuzz_$1" -max_total_time=$((60 * minutes)) -timeout=10 -print_final_stats=1 \
		-artifact_prefix="$work/found/$1-" "$work/corpus/$1" "tests/fuzz/seeds/$1" \
		>"$work/$1.log" 2>&1 || { tail -n 40 "$work/$1.log"; return 1; }
}

for entry in tests/fuzz/fuzz_*.c; do
	name=${entry#tests/fuzz/fuzz_}
	name=${name%.c}
	check "$name, $minutes min" fuzz "$name"
	echo "# $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$name.log") inputs," \
		"$(find "$work/corpus/$name" -type f | wc -l) kept"
done
tap_end
