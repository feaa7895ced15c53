#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_killed.sh: programs are killed (SIGKILL) at random moments, again and again; the next run is
# as the first one was, and nothing is left that is in anybody's way: no temporary file, no shared
# memory, no socket that somebody waits for.
#
# usage: test_killed.sh QUIRE SERVE
# QUIRE_SEED     which moments; printed
# QUIRE_KILLS    how many of each kind (default 8)
set -u
quire=$(realpath "$1")
serve=$(realpath "$2")
top=$(cd "$(dirname "$0")/../.." && pwd -P)
# shellcheck source=scripts/tap.sh
. "$top/scripts/tap.sh"

seed=${QUIRE_SEED:-20261121}
kills=${QUIRE_KILLS:-8}
RANDOM=$((seed % 32768))
echo "# QUIRE_SEED=$seed QUIRE_KILLS=$kills"
work=$(mktemp -d)
host='' victim=''
end() {
	# shellcheck disable=SC2086 # none, or one
	kill -9 $host $victim 2>/dev/null
	rm -rf "$work"
}
trap end EXIT
trap 'exit 1' INT TERM
export XDG_RUNTIME_DIR=$work/run LC_ALL=C
unset QUIRE_SOCKET
mkdir -m 700 "$work/run" "$work/out"

awk 'BEGIN { for (b = 1; b <= 24; b++) for (i = (b * 5) % 7; i < 512; i += 3 + b % 9)
	printf "%x 0 1\n", b * 512 + i }' >"$work/layout"

shared() {
	find /dev/shm -maxdepth 1 -name '*quire*' 2>/dev/null | sort
}
before=$(shared)

# killed LONGEST COMMAND...: begins it, with an input that does not end, and kills it at some moment of
# so many milliseconds, or when it has ended by itself. These moments are what is tested.
mkfifo "$work/open"
exec 8<>"$work/open"
killed() {
	local longest=$1
	shift
	"$@" >"$work/said" 2>&1 <&8 &
	victim=$!
	local ms=$((RANDOM % longest))
	sleep "$((ms / 1000)).$(printf '%03d' $((ms % 1000)))"
	kill -9 "$victim" 2>/dev/null
	wait "$victim" 2>/dev/null
	victim=''
}

# Only these may be in the folder that everything writes to.
only() {
	local found
	found=$(find "$work/out" -mindepth 1 ! -name whole.png | sort)
	[[ -z $found ]] || { echo "left behind: $found"; return 1; }
}

squeezes() {
	(cd "$work/out" && "$quire" squeeze --layout "$work/layout" --seed 5 "$@") >"$work/said" 2>&1 || {
		cat "$work/said"
		return 1
	}
}

ends_well() {
	squeezes "$@" && only && [[ $(shared) == "$before" ]]
}

check "a squeeze, before anything was killed" ends_well
for ((i = 0; i < kills; i++)); do
	killed 400 "$quire" squeeze --layout "$work/layout" --seed "$i" --shrink
done
check "after $kills killed squeezes: nothing is left, and the next one passes" ends_well --shrink

# A picture is there whole, or not at all; one that was there stays.
map=()
if "$quire" squeeze --layout "$work/layout" --seed 5 --map "$work/out/whole.png" >"$work/said" 2>&1; then
	map=(--map "$work/out/whole.png")
	cp "$work/out/whole.png" "$work/first.png"
	png_is_whole() {
		only && tail -c 12 "$work/out/whole.png" | grep -q IEND
	}
	for ((i = 0; i < kills; i++)); do
		killed 500 "$quire" squeeze --layout "$work/layout" --seed 5 "${map[@]}"
	done
	check "after $kills killed with --map: the picture is whole, and nothing is beside it" png_is_whole
	rm "$work/out/whole.png"
	for ((i = 0; i < kills; i++)); do
		killed 500 "$quire" squeeze --layout "$work/layout" --seed 5 "${map[@]}"
		[[ ! -e $work/out/whole.png ]] || png_is_whole || break
		rm -f "$work/out/whole.png"
	done
	check "or is not there at all" [ "$i" = "$kills" ]
else
	skip "a killed squeeze --map" "built without libpng"
fi

# A server's socket outlives it; it is passed over by who looks for servers, and replaced.
for ((i = 0; i < kills; i++)); do
	killed 300 "$serve"
done
nobody_serves() {
	"$quire" explain >"$work/said" 2>&1
	[[ $? == 1 && $(wc -l <"$work/said") == 1 ]] || { cat "$work/said"; return 1; }
}
check "after $kills killed servers there is nothing to ask, and that is said at once" nobody_serves

begin_host() {
	local line
	mkfifo "$work/in" "$work/up"
	"$serve" <"$work/in" >"$work/up" &
	host=$!
	exec 7>"$work/in"
	read -r line <"$work/up" && [[ $line == serving* ]]
}
begin_host
answers() {
	"$quire" explain >"$work/said" 2>&1
	if ! grep -q cache "$work/said"; then
		cat "$work/said"
		return 1
	fi
}
check "the next one is found among the sockets of the dead" answers
for ((i = 0; i < kills; i++)); do
	killed 60 "$quire" explain
	killed 300 "$quire" explain --watch --json
done
check "after $((2 * kills)) killed clients it answers as before" answers
exec 7>&-
wait "$host"
check "and it ends as it would have" [ $? = 0 ]
host=''
check "nothing else is left" only
tap_end
