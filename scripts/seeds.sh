#!/bin/sh
# SPDX-License-Identifier: MIT
#
# seeds.sh: docs/seeds.md names nothing that is not there: each quire_... and QUIRE_... is in the
# public headers, each test in tests/, each path of the tree.
set -eu
LC_ALL=C
export LC_ALL
cd "$(dirname "$0")/.."
page=docs/seeds.md
status=0
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
	grep -rqE "\b$name\b" tests || {
		echo "$page: $name does not exist"
		status=1
	}
done
exit $status
