#!/bin/sh
# SPDX-License-Identifier: MIT
#
# test_explain.sh: quire explain from outside, of examples/serve.
#
# usage: test_explain.sh QUIRE SERVE SOURCE
set -eu
quire=$1
serve=$2
source=$3
top=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"

if ls "/tmp/quire-$(id -u)"/*.sock >/dev/null 2>&1; then
	skip "quire explain" "programs of this user serve in /tmp/quire-$(id -u) now"
	tap_end
	exit
fi
work=$(mktemp -d)
hosts=
end() {
	for host in $hosts; do
		kill "$host" 2>/dev/null || true
	done
	rm -rf "$work"
}
trap end EXIT
trap 'exit 1' INT TERM
XDG_RUNTIME_DIR=$work
export XDG_RUNTIME_DIR
unset QUIRE_SOCKET
LC_ALL=C
export LC_ALL

# host N: begins one that serves until descriptor N is closed; $pid, $socket.
host() {
	mkfifo "$work/in$1" "$work/out$1"
	"$serve" <"$work/in$1" >"$work/out$1" &
	pid=$!
	hosts="$hosts $pid"
	eval "exec $1>\"$work/in$1\""
	read -r line <"$work/out$1" # when it says so, all of it is there
	socket=${line#serving at }
	socket=${socket% until the input ends}
}

# fails STATUS COMMAND...: it ends so, with one line on standard error and none on the other.
fails() {
	want=$1
	shift
	got=0
	"$@" >"$work/o" 2>"$work/e" || got=$?
	cat "$work/o" "$work/e"
	[ "$got" = "$want" ] && [ ! -s "$work/o" ] && [ "$(wc -l <"$work/e")" = 1 ]
}

# says PATTERN: it is in what was printed last.
says() {
	if ! grep -q -e "$1" "$work/said"; then
		cat "$work/said"
		return 1
	fi
}

line_of() {
	grep -n -e "$1" "$source" | head -n 1 | cut -d: -f1
}

check "nobody to ask: status 1, one line" fails 1 "$quire" explain
check "of a process that serves nothing: status 1" fails 1 "$quire" explain --pid $$
check "unknown option: status 2" fails 2 "$quire" explain --what
check "no number for --pid: status 2" fails 2 "$quire" explain --pid 12x
check "an empty --socket: status 2" fails 2 "$quire" explain --socket ''
check "--socket and --pid: status 2" fails 2 "$quire" explain --socket x --pid 1
check "a word that is no option: status 2" fails 2 "$quire" explain 1234
check "no such socket: status 1" fails 1 "$quire" explain --socket "$work/none"
no_socket() {
	fails 1 "$quire" explain --socket "$1" && grep -q "that is no socket" "$work/e"
}
check "a file that is no socket: status 1" no_socket "$quire"
check "a folder: status 1" no_socket "$work"

host 3
first=$pid
first_socket=$socket
long=$(line_of 'quire_pin_long(')
short=$(line_of 'quire_pin(')
check "the only one is asked" "$quire" explain
"$quire" explain >"$work/said"
check "says which it is" says "^serve, process $first, libquire [0-9]"
check "names the long pins: how many, on how much, where, by which thread" \
	says "^disk .* 8  *32 KiB  *examples/serve\.c:$long  *$first .*pinned long, stays$"
check "names the short pin" says "^cache .* 1  *4 KiB  *examples/serve\.c:$short  *$first .*pinned$"
check "has what an owner has" says "^cache  *4\.0 MiB  *1,024 "
check "counts" says " 512  folios moved$"
check "has the last plan" says "^plan 1  *ended, made .*: 24 of 24 runs of 2\.0 MiB in .*, 2\.0 MiB moved$"
check "its histogram of what stays" says "^  *8  pinned long$"
check "and who" says "^  *disk at examples/serve\.c:$long, thread $first"
check "by its process" "$quire" explain --pid "$first"
check "by its socket" "$quire" explain --socket "$first_socket"
check "by QUIRE_SOCKET" env XDG_RUNTIME_DIR=/nonexistent QUIRE_SOCKET="$first_socket" \
	"$quire" explain
no_control() {
	! "$quire" explain | tr -d '\n' | grep '[[:cntrl:]]'
}
check "no control character gets out" no_control

"$quire" explain --json >"$work/said"
json() {
	python3 - "$work/said" "$first" "examples/serve.c:$long" <<-'EOF_JSON'
		import json, sys
		a = json.load(open(sys.argv[1]))
		assert a["schema"] == "quire-explain-1" and a["process"] == int(sys.argv[2])
		hold, = [h for h in a["holds"] if h["reason"] == "LONG_PIN"]
		assert hold["owner"] == "disk" and hold["site"] == sys.argv[3]
		assert hold["pins"] == 8 and hold["bytes"] == 32768 and hold["stays"] is True
		assert hold["thread"] == a["process"] and hold["age_seconds"] >= 0
		owner, = [o for o in a["owners"] if o["owner"] == "cache"]
		assert owner["folios"] == 1024 and owner["pinned_folios"] == 8
		assert a["heat"]["blocks"] == 32 and len(a["heat"]["cells"]) == 32
		assert sum(c[0] for c in a["heat"]["cells"]) == 1024
		plan, = a["plans"]
		assert plan["state"] == "ended" and plan["code"] == 0 and plan["runs"] == 24
		assert plan["blockers_all"] == 9 and len(plan["blockers"]) == 9
		assert sorted(s["count"] for s in plan["stays"]) == [1, 8]
		assert a["counters"]["moved"] == 512 and a["not_listed"] == {}
	EOF_JSON
}
check "--json says the same" json

host 4
second_socket=$socket
"$quire" explain >"$work/said"
check "of two, says which there are" says "^ *$first  serve  *$first_socket$"
check "the other one, too" says "  serve  *$second_socket$"
check "of two, --json asks none: status 1" fails 1 "$quire" explain --json
check "of two, one by its process" "$quire" explain --pid "$first"

mkfifo "$work/watched"
"$quire" explain --watch --socket "$second_socket" >"$work/watched" 2>"$work/e" 4>&- &
watch=$!
exec 5<"$work/watched"
read -r line <&5
exec 4>&- # that host ends
cat <&5 >/dev/null
status=0
wait $watch || status=$?
check "--watch ends with the program, status 0" test "$status" = 0
check "and says nothing more" test ! -s "$work/e"
exec 5<&-

# a host that was killed leaves its socket: it is passed over
host 6
kill -9 "$pid"
wait "$pid" 2>/dev/null || true
check "a dead one's socket is still there" test -S "$socket"
check "and is passed over" "$quire" explain
check "asked by name: status 1" fails 1 "$quire" explain --socket "$socket"

chmod 0755 "$work/quire"
passed_over() {
	! "$quire" explain >"$work/o" 2>"$work/e" && grep "passed over" "$work/e"
}
check "a folder that others can read is passed over: status 1" passed_over
chmod 0700 "$work/quire"
exec 3>&-
wait "$first"
check "the socket goes with its program" test ! -e "$first_socket"
tap_end
