#!/bin/sh
# SPDX-License-Identifier: MIT
#
# states.sh: makes docs/states.md and tests/model/states.pml of src/folio/states.def.
#
# usage: scripts/states.sh            writes them
#        scripts/states.sh --check    exit 1 where they are not what it would write, as a TAP test
set -eu
top=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$top"
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
${CC:-cc} -std=gnu11 -Iinclude -Isrc -o "$work/states" scripts/states.c
"$work/states" docs >"$work/states.md"
"$work/states" model >"$work/states.pml"

# Stores to a word or a count that do not name their step.
unnamed() {
	! grep -nE '(store_[a-z]+|exchange|fetch_[a-z]+|_n|fetch_or)\(&[a-z>.-]*(word_|count_)\b' \
		src/*/*.c src/*/*.h | grep -vE '^src/folio/state\.h:|load'
}

case ${1:-} in
'')
	cp "$work/states.md" docs/states.md
	cp "$work/states.pml" tests/model/states.pml
	;;
--check)
	check "docs/states.md is current" diff -u docs/states.md "$work/states.md"
	check "tests/model/states.pml is current" diff -u tests/model/states.pml "$work/states.pml"
	check "every store to the word and the count names its step" unnamed
	tap_end
	;;
*)
	echo "usage: scripts/states.sh [--check]" >&2
	exit 2
	;;
esac
