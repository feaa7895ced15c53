#!/bin/sh
# SPDX-License-Identifier: MIT
#
# seeds.sh: docs/seeds.md has each item once, and names nothing that is not there: each quire_...
# and QUIRE_... is in the public headers, each ..._owner_... in those of the Linux series, each test
# in tests/ or the series.
set -eu
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/.."
page=docs/seeds.md
status=0
twice=$(awk '/^## / { part = $0 } /^\|/ && !/^\| (item|---) / {
	split($0, cell, / \| /)
	if (seen[part, cell[1]]++)
		print cell[1]
}' $page)
if [ -n "$twice" ]; then
	echo "$page: stands there twice: $twice"
	status=1
fi
# shellcheck disable=SC2013 # they are words
for name in $(grep -oE '\b(quire|QUIRE)_[A-Za-z0-9_]+' $page | sort -u); do
	case $name in
	QUIRE_REASON_*) found="X(${name#QUIRE_REASON_}," ;;
	*) found=$name ;;
	esac
	grep -rqF "$found" include || {
		echo "$page: $name is in no public header"
		status=1
	}
done
# shellcheck disable=SC2013 # they are words
for name in $(grep -oE '\btest_[A-Za-z0-9_]+' $page | sort -u); do
	grep -rqE "\b$name\b" tests linux/tree || {
		echo "$page: $name does not exist"
		status=1
	}
done
# shellcheck disable=SC2013 # they are words
for name in $(sed 's/^|[^|]*|//' $page | grep -oE '\b(shmem|folio|movable)_owner_[a-z_]+' | sort -u); do
	grep -rqE "\b$name\b" linux/tree/include || {
		echo "$page: $name is not in the Linux series"
		status=1
	}
done
exit $status
