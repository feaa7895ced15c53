#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_thrifty.sh: examples/thrifty: another policy, under an event loop. 64 MiB are written, one
# page in sixteen stays: 4 MiB, which fill two blocks.
#
# usage: test_thrifty.sh THRIFTY
set -eu
thrifty=$1
top=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"

said=$("$thrifty") || said=failed
# field N: the Nth number it says
field() {
	printf '%s\n' "$said" | tr -cs '0-9' ' ' | cut -d' ' -f"$1"
}

check "exit status 0" test "$said" != failed
check "32 blocks were in use, two are" test "$(field 1)" = 30
check "no page was moved that need not be" test "$(field 2)" -le 3840
check "what was written and is free went back, but for the reserve" test "$(field 3)" -ge 48
check "nothing is left to do" test "${said##*; }" = "resting: nothing is wanted"
tap_end
