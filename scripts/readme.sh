#!/bin/sh
# SPDX-License-Identifier: MIT
#
# readme.sh: the program in README.md is the middle of examples/hello.c, without its empty lines.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed -n '/^	if (quire_create(/,/^	quire_plan_destroy/p' examples/hello.c | sed '/^$/d' >"$work/hello"
# shellcheck disable=SC2016 # three backquotes, not a command
sed -n '/^```c$/,/^```$/p' README.md | sed '/^```/d' >"$work/readme"
[ -s "$work/hello" ]
diff -u "$work/hello" "$work/readme"
