#!/bin/sh
# SPDX-License-Identifier: MIT
#
# layers.sh: a layer of src/ includes only its own headers, those of earlier layers, and public
# ones; calls upward go through ops. Files that lie directly in src/ wire the layers together and
# are free. What a folder of src/ is called must stand in the list.
#
# usage: tests/layers.sh [SRC]
set -eu
top=$(cd "$(dirname "$0")/.." && pwd -P)
src=${1:-$top/src}
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"

layers="os util core frame folio object map migrate contig serve device"

# rank NAME: its place in the list, from 1; 0 if it has none.
rank() {
	rank_n=0
	for rank_layer in $layers; do
		rank_n=$((rank_n + 1))
		[ "$rank_layer" != "$1" ] || {
			echo $rank_n
			return
		}
	done
	echo 0
}

# layer_ok SRC LAYER: its includes, "file:line: text" for each that is wrong.
layer_ok() {
	dir=$1
	shift
	mine=$(rank "$1")
	wrong=0
	if [ "$mine" = 0 ]; then
		echo "src/$1 is no layer; the layers are: $layers"
		return 1
	fi
	# grep ends with 1 where there is nothing to find, which is fine
	found=$(find "$dir/$1" -name '*.[ch]' -exec \
		grep -Hn '^[ 	]*#[ 	]*include[ 	]*"' {} + || true)
	while IFS= read -r line; do
		[ -n "$line" ] || continue
		name=$(printf '%s\n' "$line" | sed 's/.*include[ 	]*"\([^"]*\)".*/\1/')
		case $name in
		../*)
			echo "${line#"$dir/"}: name it from src/, not by .."
			wrong=1
			continue
			;;
		*/*) theirs=${name%%/*} ;;
		*) theirs=$1 ;; # beside the file
		esac
		n=$(rank "$theirs")
		if [ "$n" = 0 ] || [ "$n" -gt "$mine" ]; then
			echo "${line#"$dir/"}: $1 may not use $theirs"
			wrong=1
		fi
	done <<-EOF
		$found
	EOF
	return $wrong
}

# The check has to find what it is for: a layer that reaches up, and a folder that is none.
self_test() {
	tmp=$(mktemp -d)
	mkdir -p "$tmp/os" "$tmp/frame" "$tmp/odd"
	echo '#include "frame/up.h"' >"$tmp/os/a.c"
	echo '#include "os/os.h"' >"$tmp/frame/a.c"
	bad=0
	layer_ok "$tmp" os >/dev/null && bad=1
	layer_ok "$tmp" odd >/dev/null && bad=1
	layer_ok "$tmp" frame >/dev/null || bad=1
	rm -rf "$tmp"
	return $bad
}

check "the check itself" self_test
for dir in "$src"/*/; do
	dir=${dir%/}
	check "layer ${dir##*/}" layer_ok "$src" "${dir##*/}"
done
tap_end
