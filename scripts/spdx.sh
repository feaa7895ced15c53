#!/bin/sh
# SPDX-License-Identifier: MIT
#
# spdx.sh: every file says in its first lines under which licence it is: GPL-2.0-only under linux/,
# MIT anywhere else. LICENSE is the licence; patches, recorded data and the seeds of fuzzers cannot
# carry the line.
set -eu
cd "$(dirname "$0")/.."
status=0
git ls-files -co --exclude-standard >"${list:=$(mktemp)}"
while IFS= read -r file; do
	[ -f "$file" ] || continue
	case $file in
	LICENSE | *.patch | *.zst | tests/fuzz/seeds/*) continue ;;
	linux/*) want='GPL-2\.0-only' ;;
	*) want='MIT' ;;
	esac
	head -n 3 "$file" | grep -q "SPDX-License-Identifier: $want" || {
		echo "$file: no line 'SPDX-License-Identifier: $want' among the first three"
		status=1
	}
done <"$list"
rm -f "$list"
exit $status
