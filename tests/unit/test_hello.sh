#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_hello.sh: the README's program prints what the README says.
#
# usage: test_hello.sh HELLO SOURCE
set -eu
hello=$1
source=$2
top=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"

said=$("$hello") || true
line=$(grep -n 'this one will be named' "$source" | cut -d: -f1)

check "exit status 0" "$hello"
check "30 of 32 runs, 3.5 MiB moved" \
	test "$(printf '%s\n' "$said" | sed -n 1p)" = "30 runs, 3670016 bytes moved"
check "the pin is named, with its site" \
	test "$(printf '%s\n' "$said" | sed -n 2p)" = "cache: pinned at examples/hello.c:$line"
check "and nothing else" test "$(printf '%s\n' "$said" | wc -l)" = 2
tap_end
