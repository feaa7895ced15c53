# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# lib.sh: what ./run, ./test and .ci/run share: finding and installing what is missing, setting up
# a build folder, building quietly, counting tests. To be sourced; $top is the top of the tree.
#
# QUIRE_BUILD  the build folder, default $top/build
# QUIRE_SETUP  more words for `meson setup`, used when the folder is made
: "${top:?}"
build=${QUIRE_BUILD:-$top/build}

say() {
	printf '%s\n' "$*" >&2
}

# die STATUS TEXT...: one clear line, then the end.
die() {
	status=$1
	shift
	say "quire: $*"
	exit "$status"
}

# What building and testing takes, one "probe package" a line. Probes: cmd NAME, lib NAME (as
# pkg-config knows it), file PATH.
build_needs() {
	case ${CC:-} in
	'') echo "cmd gcc gcc" ;;
	*clang*) echo "cmd clang clang" ;;
	*) echo "cmd ${CC%% *} ${CC%% *}" ;;
	esac
	cat <<-'EOF'
		file /usr/include/stdio.h libc6-dev
		cmd meson meson
		cmd ninja ninja-build
		cmd pkg-config pkg-config
		lib libzstd libzstd-dev
		lib cmocka libcmocka-dev
		lib jansson libjansson-dev
		lib liburing liburing-dev
		lib libpng libpng-dev
	EOF
}

# ./test mutants, ./test fuzz --minutes, ./test model
mutants_needs() {
	echo "cmd git git"
	echo "cmd patch patch"
}

fuzz_needs() {
	CC=clang build_needs
	echo "file /usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.fuzzer-x86_64.a libclang-rt-14-dev"
}

model_needs() {
	echo "cmd gcc gcc"
	echo "file /usr/include/stdio.h libc6-dev"
	echo "cmd spin spin"
}

# Reads needs on stdin, prints the packages of those that are not there.
missing() {
	while read -r kind what package; do
		case $kind in
		cmd) command -v "$what" >/dev/null 2>&1 ;;
		lib) command -v pkg-config >/dev/null 2>&1 && pkg-config --exists "$what" ;;
		file) [ -e "$what" ] ;;
		*) false ;;
		esac || printf '%s ' "$package"
	done
}

apt_install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null
}

# need FUNCTION: installs what the needs printed by FUNCTION lack, or says how, and ends.
need() {
	packages=$("$1" | missing)
	[ -n "$packages" ] || return 0
	packages=${packages% }
	command -v apt-get >/dev/null 2>&1 ||
		die 2 "not here, and no apt-get to install it with: $packages"
	[ "$(id -u)" = 0 ] ||
		die 2 "first: sudo apt-get install -y --no-install-recommends $packages"
	say "quire: installing $packages"
	log=$(mktemp)
	# shellcheck disable=SC2086 # a list of words
	if ! apt_install $packages >"$log" 2>&1 && {
		apt-get update -qq </dev/null >"$log" 2>&1
		! apt_install $packages >>"$log" 2>&1
	}; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		die 2 "apt-get could not install: $packages"
	fi
	rm -f "$log"
	packages=$("$1" | missing)
	[ -z "$packages" ] || die 2 "still not here after installing: $packages"
}

# Makes the build folder if there is none.
setup() {
	if ! mkdir -p "$build" 2>/dev/null || [ ! -w "$build" ]; then
		die 2 "cannot write to $build; QUIRE_BUILD names another folder to build in"
	fi
	[ ! -f "$build/build.ninja" ] || return 0
	# shellcheck disable=SC2086 # a list of words
	if ! meson setup ${QUIRE_SETUP:-} "$build" "$top" >"$build/setup.log" 2>&1 </dev/null; then
		tail -n 30 "$build/setup.log" >&2
		die 1 "meson setup failed; all of it is in $build/setup.log"
	fi
}

# compile [TARGET...]: builds; says nothing unless it takes part of a minute, or fails.
compile() {
	setup
	if [ ! -f "$build/built" ]; then
		say "quire: building, this takes a moment"
	fi
	if ! ninja -C "$build" "$@" >"$build/ninja.log" 2>&1 </dev/null; then
		grep -v '^\[[0-9]*/[0-9]*\] ' "$build/ninja.log" | tail -n 60 >&2
		die 1 "the build failed; all of it is in $build/ninja.log"
	fi
	: >"$build/built"
}

# Counts what meson's testlog.json holds: each TAP line of a test program is a test; a program that
# prints none is one. What was announced and never ran has failed. Prints "PASSED FAILED SKIPPED".
count_tests() {
	awk '
	{
		line = $0
		gsub(/\\\\/, "\001", line)
		gsub(/\\"/, "\002", line)
		result = line
		sub(/.*"result": "/, "", result)
		sub(/".*/, "", result)
		out = ""
		if (match(line, /"stdout": "[^"]*"/))
			out = substr(line, RSTART + 11, RLENGTH - 12)
		n = split(out, text, /\\n/)
		p = f = s = planned = 0
		for (i = 1; i <= n; i++) {
			if (text[i] ~ /^1\.\.[0-9]+/)
				planned += substr(text[i], 4) + 0
			else if (text[i] ~ /^(not )?ok [0-9]+.*# *SKIP/)
				s++
			else if (text[i] ~ /^ok [0-9]+/)
				p++
			else if (text[i] ~ /^not ok [0-9]+/)
				f++
		}
		good = result == "OK" || result == "EXPECTEDFAIL"
		if (p + f + s + planned == 0) {
			if (good)
				p = 1
			else if (result == "SKIP")
				s = 1
			else
				f = 1
		} else if (result == "SKIP" && p + f + s == 0) {
			s = 1
		} else if (p + f + s < planned) {
			f += planned - p - f - s
		} else if (!good && result != "SKIP" && f == 0) {
			f = 1
		}
		P += p
		F += f
		S += s
	}
	END { print P + 0, F + 0, S + 0 }' "$1"
}
