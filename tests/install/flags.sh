#!/bin/sh
# SPDX-License-Identifier: MIT
#
# flags.sh: the warning flags of meson.build reach the compiler, for every file of the library, and
# do what they are for. A list of flags that is never used looks exactly like one that is.
#
# usage: tests/install/flags.sh [BUILD]
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd -P)
build=$(cd "${1:-$top/build}" && pwd -P)
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"

# One "file<tab>command" a line, of the library's files; meson names them as seen from the build.
from_build=$(realpath --relative-to="$build" "$top")
commands() {
	awk -v below="$from_build/src/" -v absolute="$top/src/" '
	/"command":/ { sub(/^[^:]*: "/, ""); sub(/",?$/, ""); gsub(/\\"/, "\""); command = $0 }
	/"file":/ {
		sub(/^[^:]*: "/, ""); sub(/",?$/, "")
		if (index($0, below) == 1 || index($0, absolute) == 1)
			print $0 "\t" command
	}
	' "$build/compile_commands.json"
}

# The flags that meson.build lists under `warnings`, and what warning_level=3 stands for.
flags=$(awk "/^warnings = \[/ { on = 1 } on { print } /^\]/ { on = 0 }" "$top/meson.build" |
	tr ',' '\n' | tr -d " '" | grep '^-W')

reaches() {
	said=$(commands | awk -F '\t' -v flag="$1" '
		index(" " $2 " ", " " flag " ") == 0 { print $1 ": not with " flag }')
	[ -z "$said" ] && return 0
	echo "$said"
	return 1
}

count=$(commands | wc -l)
check "files of src/ are compiled ($count)" test "$count" -gt 0
for flag in -Wall -Wextra $flags; do
	check "$flag reaches the compiler" reaches "$flag"
done

# The first file's own command, on a text that the flags must refuse.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
command=$(commands | head -n 1 | cut -f 2)
refuses() {
	printf '%s\n' "$1" >"$work/bad.c"
	# the words up to the first that is about dependency files or the output
	eval "set -- ${command%% -MD*}" # it is quoted for a shell
	if (cd "$build" && "$@" -Werror -c "$work/bad.c" -o "$work/bad.o"); then
		echo "compiled"
		return 1
	fi
}
accepts() {
	! refuses "$1"
}
check "a fair text compiles" accepts 'int quire_fair(void); int quire_fair(void) { return 0; }'
check "a lossy conversion does not" refuses \
	'int quire_bad(long x); int quire_bad(long x) { return x; }'
check "a missing prototype does not" refuses 'int quire_bad(void) { return 0; }'
check "an undefined macro in #if does not" refuses '#if QUIRE_NO_SUCH_MACRO
#endif
extern int quire_bad;'
check "a shadowed name does not" refuses \
	'int quire_bad(int x); int quire_bad(int x) { { int x = 1; (void)x; } return x; }'
check "a variable-length array does not" refuses \
	'int quire_bad(int n); int quire_bad(int n) { int a[n]; a[0] = 0; return a[0]; }'
tap_end
