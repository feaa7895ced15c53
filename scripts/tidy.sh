#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tidy.sh: clang-tidy, by .clang-tidy, over every C file that a build folder made by clang compiles.
#
# usage: scripts/tidy.sh BUILD
set -eu
cd "$(dirname "$0")/.."
top=$(pwd -P)
build=$(cd "${1:?usage: scripts/tidy.sh BUILD}" && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# Each file once: the variants of the library compile the same text again.
awk -v out="$work/compile_commands.json" '
BEGIN { printf "[" >out }
/^ *\{/ { entry = ""; file = "" }
{ entry = entry $0 "\n" }
/"file":/ { file = $0 }
/^ *\}/ {
	if (file != "" && file !~ /\.cc?"/)
		next
	if (!(file in seen)) {
		sub(/,\n$/, "\n", entry)
		printf "%s%s", n++ ? "," : "", entry >out
		seen[file] = 1
	}
}
END { printf "]\n" >out }' "$build/compile_commands.json"
sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$work/compile_commands.json" |
	(cd "$build" && while read -r file; do readlink -f "$file"; done) |
	sed -n "\\,^$top/,p" | sort -u >"$work/files"
echo "$(wc -l <"$work/files") files"
[ -s "$work/files" ]
status=0
xargs -P 2 -n 1 clang-tidy -p "$work" --quiet <"$work/files" >"$work/said" 2>"$work/noise" || status=1
if [ $status != 0 ]; then
	cat "$work/said"
	grep -i 'error' "$work/noise" || true
fi
exit $status
