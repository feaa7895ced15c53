#!/bin/bash
# SPDX-License-Identifier: MIT
#
# mutants.sh: the tests notice faults. Each patch of tests/mutants puts one fault into a copy of the
# sources; the test that its head names has to fail for it, and passes without it.
#
# usage: scripts/mutants.sh [BUILD]          all of them, in a folder below BUILD, as a TAP test
#        scripts/mutants.sh [BUILD] NAME...  these
#        scripts/mutants.sh --check          only: each still applies, and names a test there is
#
# Head of a patch:
#	Fault: what is wrong
#	Kills: program test               more than one line: each of them has to fail
#	Hangs: yes                        the test may also be noticed by never ending
set -u
top=$(cd "$(dirname "$0")/.." && pwd -P)
cd "$top" || exit 2
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"
seconds=15 # for one test; the slowest of them takes two

field() {
	sed -n "/^--- /q; s/^$1: //p" "$2"
}

applies() {
	[[ -n $(field Fault "$1") ]] || { echo "no line 'Fault: ...'"; return 1; }
	[[ -n $(field Kills "$1") ]] || { echo "no line 'Kills: ...'"; return 1; }
	[[ $(grep -c '^@@' "$1") -le 2 ]] || { echo "more than two places"; return 1; }
	local program test
	while read -r program test; do
		grep -qw "TEST($test)" tests/*/"$program.c" || {
			echo "there is no $test in $program"
			return 1
		}
	done < <(field Kills "$1")
	# Not nearly: a place that has changed may be another one.
	patch -p1 --dry-run -F0 -s -f -i "$top/$1" || return 1
}

# Two faults with the same text, and the same lines around it, are one.
differ() {
	local twice
	twice=$(for file in tests/mutants/*.patch; do
		sed -e '1,/^@@/d' -e '/^@@/d' "$file" | md5sum
	done | sort | uniq -d)
	[[ -z $twice ]]
}

if [[ ${1:-} == --check ]]; then
	for file in tests/mutants/*.patch; do
		check "$(basename "$file" .patch) applies" applies "$file"
	done
	check "no two are the same" differ
	tap_end
	exit
fi

build=${1:-${QUIRE_BUILD:-$top/build}}
shift
mkdir -p "$build/mutants" && build=$(cd "$build/mutants" && pwd -P) || exit 2
tree=$build/tree
out=$build/out
export QUIRE_TEST CMOCKA_MESSAGE_OUTPUT=TAP
began=$SECONDS

# The copy; files that have not changed keep their time, so that a second run builds little.
mkdir -p "$tree"
rm -rf "$tree.list"
git ls-files -co --exclude-standard -- . ':!linux' >"$tree.list"
while IFS= read -r file; do
	[[ -f $file ]] || continue
	cmp -s "$file" "$tree/$file" && continue
	mkdir -p "$tree/$(dirname "$file")"
	cp -p "$file" "$tree/$file"
	touch "$tree/$file"
done <"$tree.list"
if [[ ! -f $out/build.ninja ]]; then
	meson setup "$out" "$tree" -Dbench=false -Dwerror=false --buildtype=plain \
		-Dc_args=-O1 >"$build/setup.log" 2>&1 </dev/null || {
		tail -n 20 "$build/setup.log"
		echo "Bail out! meson setup failed"
		exit 1
	}
fi

# compile PROGRAM...
compile() {
	ninja -C "$out" "${@/#/tests/}" >"$build/ninja.log" 2>&1 </dev/null
}

# run PROGRAM TEST: the test alone; its TAP in said, its status returned.
run() {
	QUIRE_TEST=$2 timeout -k 1 $seconds "$out/tests/$1" >"$build/said" 2>&1 </dev/null
}

passes() {
	run "$1" "$2" && grep -qE "^ok [0-9]+ - $2\$" "$build/said"
}

# What a patch touches, kept, and put back with a new time, so that it is compiled again.
save() {
	rm -rf "$build/saved"
	sed -n 's,^+++ b/,,p' "$1" | while read -r path; do
		mkdir -p "$build/saved/$(dirname "$path")"
		cp "$tree/$path" "$build/saved/$path"
	done
}

undo() {
	sed -n 's,^+++ b/,,p' "$1" | while read -r path; do
		cp "$build/saved/$path" "$tree/$path"
	done
}

# caught FILE: "caught by ..." in verdict.
caught() {
	local status program test hangs by=''
	hangs=$(field Hangs "$1")
	# shellcheck disable=SC2046 # one word a program
	compile $(field Kills "$1" | cut -d' ' -f1 | sort -u) || {
		verdict="does not build"
		grep -E 'error|FAILED' "$build/ninja.log" | head -n 5 | sed 's/^/# /'
		return 1
	}
	while read -r program test; do
		status=0
		run "$program" "$test" || status=$?
		if [[ $status == 0 ]]; then
			verdict="not noticed by $program:$test"
			return 1
		elif [[ $status == 124 || $status == 137 ]] && [[ $hangs != yes ]]; then
			verdict="$program:$test does not end, and its head does not say that"
			return 1
		elif [[ $status -lt 124 ]] && ! grep -qE "^not ok [0-9]+ - $test( |\$)" "$build/said"; then
			verdict="$program:$test ended with $status and did not fail"
			return 1
		fi
		by="$by${by:+, }$program:$test"
	done < <(field Kills "$1")
	verdict="caught by $by"
}

list=()
if [[ $# -gt 0 ]]; then
	list=("${@/#/tests/mutants/}")
	list=("${list[@]/%/.patch}")
else
	list=(tests/mutants/*.patch)
fi

# shellcheck disable=SC2046 # one word a program
if ! compile $(cat "${list[@]}" | sed -n 's/^Kills: \([^ ]*\) .*/\1/p' | sort -u); then
	grep -E 'error|FAILED' "$build/ninja.log" | head -n 20 | sed 's/^/# /'
	echo "Bail out! the copy does not build"
	exit 1
fi
sound=0
while read -r program test; do
	passes "$program" "$test" || {
		echo "# $program:$test does not pass without a fault"
		sed 's/^/# /' "$build/said"
		sound=1
	}
done < <(cat "${list[@]}" | sed -n 's/^Kills: //p' | sort -u)
check "without a fault they pass" [ $sound = 0 ]

for file in "${list[@]}"; do
	name=$(basename "$file" .patch)
	verdict="does not apply"
	status=0
	save "$file"
	if ! (cd "$tree" && patch -p1 -F0 -s -f -i "$top/$file" >"$build/said" 2>&1) ||
		! caught "$file"; then
		status=1
	fi
	undo "$file"
	check "mutant $name: $(field Fault "$file"): $verdict" [ $status = 0 ]
done
echo "# ${#list[@]} mutants in $((SECONDS - began)) s"
tap_end
