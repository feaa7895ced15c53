#!/bin/sh
# SPDX-License-Identifier: MIT
#
# install.sh: installs a build into an empty folder and uses it as a stranger would: each header
# alone, a consumer in C and in C++, shared and static, and the exported names one by one.
#
# usage: tests/install/install.sh [BUILD]       (default: build; everything in it is built)
set -eu
LC_ALL=C
export LC_ALL
top=$(cd "$(dirname "$0")/../.." && pwd -P)
build=$(cd "${1:-$top/build}" && pwd -P)
here=$top/tests/install
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
root=$work/root

if ! meson install -C "$build" --no-rebuild --destdir "$root" >"$work/log" 2>&1 </dev/null; then
	sed 's/^/# /' "$work/log"
	check "meson install" false
	tap_end
	exit 1
fi
check "meson install" true

pc=$(find "$root" -name quire.pc)
shared=$(find "$root" -name 'libquire.so' | head -n 1)
static=$(find "$root" -name 'libquire.a' | head -n 1)
check "quire.pc, libquire.so and libquire.a are there" \
	test -f "${pc:-/}" -a -f "${shared:-/}" -a -f "${static:-/}"
if [ $tap_failed != 0 ]; then
	tap_end
	exit 1
fi

PKG_CONFIG_LIBDIR=${pc%/*}
PKG_CONFIG_SYSROOT_DIR=$root
PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
LD_LIBRARY_PATH=${shared%/*}
export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_ALLOW_SYSTEM_CFLAGS
export PKG_CONFIG_ALLOW_SYSTEM_LIBS LD_LIBRARY_PATH
cflags=$(pkg-config --cflags quire)
libs=$(pkg-config --libs quire)
libs_static=$(pkg-config --static --libs quire)
version=$(pkg-config --modversion quire)

# A program may call its own functions what it likes.
check "libquire.a has no global names but quire_..." sh -c \
	"! nm --defined-only --extern-only '$static' | awk 'NF == 3 { print \$3 }' | grep -v -e ^quire_ -e ^__"

# What is exported.
exported() {
	nm -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u
}

mapped() {
	sed -n 's/^	\(quire_[a-z0-9_]*\);$/\1/p' "$top/src/libquire.map" | sort -u
}

same() {
	exported | sed '/^__asan_\|^__odr_asan\|^__tsan_\|^__ubsan_/d' >"$work/exported"
	"$1" >"$work/wanted"
	diff "$work/wanted" "$work/exported"
}

declared() {
	"$top/scripts/symbols.sh"
}

soname() {
	readelf -d "$shared" | grep 'SONAME.*\[libquire\.so\.[0-9][0-9]*\]'
}

# Hidden by default: nothing private is seen, with the map or without it.
hidden() {
	readelf --dyn-syms -W "$shared" | awk '$7 != "UND" && $8 ~ /^_quire_/ { print; bad = 1 }
		END { exit bad }'
	readelf -sW "$shared" | awk '$4 == "FUNC" && $5 == "GLOBAL" && $6 == "DEFAULT" &&
		$7 != "UND" { sub(/@.*/, "", $8); print $8 }' | sort -u >"$work/visible"
	declared >"$work/wanted"
	comm -23 "$work/visible" "$work/wanted" >"$work/extra"
	cat "$work/extra"
	[ ! -s "$work/extra" ]
}

versioned() {
	readelf -V "$shared" | grep -q 'Name: QUIRE_'
}

no_exec_stack() {
	readelf -lW "$shared" | awk '$1 == "GNU_STACK" { found = 1; bad = /RWE/ }
		END { exit !found || bad }'
}

check "exported names are those of src/libquire.map" same mapped
check "exported names are those that headers declare QUIRE_EXPORT" same declared
check "src/libquire.map is what scripts/symbols.sh makes" "$top/scripts/symbols.sh" --check
check "the library has a SONAME with a number" soname
check "its names carry a version" versioned
check "nothing private is visible" hidden
check "its stack is not executable" no_exec_stack

# Each header alone. -pedantic, for the language as it is written in the standard.
headers_alone() { # compiler standard suffix
	wrong=0
	for header in $headers; do
		printf '#include <%s>\nint quire_nothing;\n' "$header" >"$work/alone.$3"
		# shellcheck disable=SC2086 # lists of words
		$1 $2 -Wall -Wextra -Werror -pedantic $cflags -c "$work/alone.$3" \
			-o "$work/alone.o" || wrong=1
	done
	return $wrong
}

include=$root$(pkg-config --variable=includedir quire)
[ -d "$include" ] || include=$(pkg-config --variable=includedir quire)
headers=$(cd "$include" && find . -name '*.h' | sed 's,^\./,,' | sort)
public=$(cd "$top/include" && find . -name '*.h' | sed 's,^\./,,' | sort)
check "all public headers are installed" test "$headers" = "$public"

for compiler in "gcc -std=c11 c" "clang -std=c11 c" "g++ -std=c++11 cc" "clang++ -std=c++11 cc" \
	"g++ -std=c++20 cc"; do
	# shellcheck disable=SC2086 # a list of words
	set -- $compiler
	if ! command -v "$1" >/dev/null 2>&1; then
		skip "each header alone, $1 $2" "no $1"
	else
		check "each header alone, $1 $2" headers_alone "$1" "$2" "$3"
	fi
done

# Every function has its manual page, be it by a link: the exported ones, and those of NAME sections.
manual_pages() {
	{
		sed -n 's/^\.Nm \(quire_[^ ]*\).*/\1/p' "$top"/man/*.3
		exported | grep '^quire_.*[^_]$'
	} | sort -u >"$work/functions"
	find "$root" -path '*/man3/*.3' -exec test -f '{}' ';' -print |
		sed 's,.*/,,; s,\.3$,,' | sort -u >"$work/pages"
	comm -23 "$work/functions" "$work/pages" >"$work/missing"
	cat "$work/missing"
	[ ! -s "$work/missing" ]
}
check "every function has its manual page" manual_pages

# The consumers.
consume() { # compiler standard source libraries
	# shellcheck disable=SC2086 # lists of words
	$1 $2 -O2 -Wall -Wextra -Werror -pedantic $cflags "$here/$3" -o "$work/consumer" $4 &&
		said=$("$work/consumer") && case $said in
	"$version: "*) ;;
	*)
		echo "the consumer said: $said; pkg-config: $version"
		return 1
		;;
	esac
}

sanitized=$(nm -D "$shared" | grep -c ' U __\(asan\|tsan\|ubsan\)_' || true)
for compiler in "gcc -std=c11 consumer.c" "clang -std=c11 consumer.c" \
	"g++ -std=c++11 consumer.cc" "clang++ -std=c++11 consumer.cc"; do
	# shellcheck disable=SC2086 # a list of words
	set -- $compiler
	if ! command -v "$1" >/dev/null 2>&1; then
		skip "$3 by $1, shared and static" "no $1"
	elif [ "$sanitized" != 0 ]; then
		skip "$3 by $1, shared and static" "the library is built with a sanitizer"
	else
		check "$3 by $1, shared" consume "$1" "$2" "$3" "$libs"
		# the archive itself: with -l the linker would take the shared library
		check "$3 by $1, static" consume "$1" "$2" "$3" \
			"$(printf '%s\n' "$libs_static" | sed "s,-lquire,$static,")"
	fi
done

if [ -x "$(find "$root" -path '*/bin/quire' | head -n 1)" ]; then
	check "the installed command runs" "$(find "$root" -path '*/bin/quire')" --version
fi
tap_end
