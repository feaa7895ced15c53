#!/bin/sh
# SPDX-License-Identifier: MIT
#
# man.sh: the manual pages agree with the public headers, each header with its page: the functions'
# names and prototypes, the error numbers of each, macros, constants and fields. No page names what
# is not there. The program in quire(7) is examples/hello.c. Exit 77: mandoc or groff is not there,
# so the pages' own form was not checked.
set -eu
cd "$(dirname "$0")/.."
LC_ALL=C
export LC_ALL
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wrong=0

# same TEXT WANTED GOT
same() {
	diff "$2" "$3" >"$work/diff" && return
	echo "$1 (<: header, >: page)"
	cat "$work/diff"
	wrong=1
}
# in_both KIND: what is only in one of the two
in_both() {
	sed -n "/^$1	/p" "$work/header" | sort -u >"$work/wanted"
	sed -n "/^$1	/p" "$work/said" | sort -u >"$work/got"
	same "$page: $1" "$work/wanted" "$work/got"
}
no_output() {
	[ -s "$2" ] || return 0
	echo "$1"
	cat "$2"
	wrong=1
}

: >"$work/declared"
: >"$work/all"
for header in include/quire/*.h include/quire/interfaces/*.h; do
	awk -v what=header -f scripts/man.awk "$header" >"$work/header"
	cat "$work/header" >>"$work/declared"
	page=man/quire_$(basename "$header" .h).3
	case $header in
	*/abi.h) page=man/quire_base.3 ;; # and quire_pin.3; see below
	*/interfaces/*) page=${page%.3}_ops.3 ;;
	esac
	if [ ! -f "$page" ]; then
		echo "$header has no $page"
		wrong=1
		continue
	fi
	awk -v what=page -f scripts/man.awk "$page" >"$work/said"
	cat "$work/said" >>"$work/all"
	[ "$header" = include/quire/abi.h ] && continue
	in_both proto
	in_both error
	[ "$page" != man/quire_owner_ops.3 ] || in_both op
	# fields: each has its place on the page
	sed -n '/^field	/p' "$work/header" | sort -u >"$work/wanted"
	sed -n '/^field	/p' "$work/said" | sort -u | comm -23 "$work/wanted" - >"$work/missing"
	no_output "$page does not say" "$work/missing"
	# NAME and SYNOPSIS, in one order
	sed -n 's/^\.Nm \([^ ]*\).*/\1/p' "$page" >"$work/names"
	sed -n 's/^proto	\([^	]*\).*/\1/p' "$work/said" >"$work/protos"
	same "$page: SYNOPSIS and NAME" "$work/protos" "$work/names"
	for section in NAME SYNOPSIS DESCRIPTION 'CALLING CONTEXT' 'SEE ALSO'; do
		grep -q "^\.Sh $section\$" "$page" || {
			echo "$page has no $section"
			wrong=1
		}
	done
done

# What is exported is declared, so that no header is passed over.
scripts/symbols.sh | sed '/_$/d' >"$work/exported"
sed -n 's/^proto	\([^	]*\).*/\1/p' "$work/declared" | sort -u >"$work/functions"
comm -23 "$work/exported" "$work/functions" >"$work/missing"
no_output "man.awk does not see" "$work/missing"

# Macros and constants are on some page; macros and fields of the pages are in some header.
for kind in macro field; do
	sed -n "/^$kind	/p" "$work/declared" | sort -u >"$work/wanted"
	sed -n "/^$kind	/p" "$work/all" | sort -u >"$work/got"
	echo 'macro	QUIRE_REASON_COUNT' >"$work/known" # ends the enum, made by no list
	comm -23 "$work/wanted" "$work/got" >"$work/missing"
	[ $kind = field ] || no_output "on no page" "$work/missing"
	comm -13 "$work/wanted" "$work/got" | comm -23 - "$work/known" >"$work/missing"
	no_output "in no header" "$work/missing"
done

# Every name in the text, and every reference.
cat include/quire/*.h include/quire/interfaces/*.h | tr -cs 'A-Za-z0-9_' '\n' | sort -u >"$work/words"
printf '%s\n' QUIRE_REASON_COUNT QUIRE_SOCKET >>"$work/words" # a variable of the environment
sed -n 's/^macro	//p' "$work/declared" >>"$work/words"
for page in man/*.3; do
	basename "$page" .3
done >"$work/pages"
cat "$work/pages" >>"$work/words"
sort -u -o "$work/words" "$work/words"
sed '/^\.Dt /d' man/*.[137] | tr -cs 'A-Za-z0-9_' '\n' | sed -n '/^quire_[a-z]/p; /^QUIRE_[A-Z]/p' |
	sort -u | comm -23 - "$work/words" >"$work/missing"
no_output "named on a page, in no header" "$work/missing"
sort -u "$work/functions" "$work/pages" >"$work/targets"
sed -n 's/^\.Xr \(quire_[^ ]*\) 3.*/\1/p' man/*.[137] | sort -u | comm -23 - "$work/targets" >"$work/missing"
no_output "referred to, and not there" "$work/missing"

sed -n '/^#include/,$p' examples/hello.c >"$work/hello"
sed -n '/^#include/,/^\.Ed/p' man/quire.7 | sed '/^\.Ed/d; s/\\e/\\/g' >"$work/shown"
same "quire.7: examples/hello.c" "$work/hello" "$work/shown"

[ $wrong = 0 ] || exit 1
for tool in mandoc groff; do
	command -v $tool >/dev/null 2>&1 || {
		echo "no $tool"
		exit 77
	}
done
mandoc -T lint -W warning man/*.[137] || exit 1
for page in man/*.[137]; do
	groff -mdoc -ww -Tascii -z "$page" 2>>"$work/warnings"
done
no_output "groff says" "$work/warnings"
exit $wrong
