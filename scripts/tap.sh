# SPDX-License-Identifier: MIT
# shellcheck shell=sh
#
# tap.sh: for tests that are shell scripts: each check prints a TAP line, as cmocka does.
tap_count=0
tap_failed=0

# check TEXT COMMAND...: runs it; what it says is shown where it fails.
check() {
	tap_text=$1
	shift
	tap_count=$((tap_count + 1))
	if tap_said=$("$@" 2>&1 </dev/null); then
		echo "ok $tap_count - $tap_text"
	else
		echo "not ok $tap_count - $tap_text"
		tap_failed=$((tap_failed + 1))
		printf '%s\n' "$tap_said" | sed 's/^/# /'
	fi
}

# skip TEXT REASON
skip() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count # SKIP $1: $2"
}

# Last of all: the plan, and the script's exit status.
tap_end() {
	echo "1..$tap_count"
	[ "$tap_failed" = 0 ]
}
