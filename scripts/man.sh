#!/bin/sh
# SPDX-License-Identifier: MIT
#
# man.sh: what is exported has a manual page, and what has a page is exported. Names that end in an
# underscore are not for programs. Exit 77: there are no pages yet.
set -eu
cd "$(dirname "$0")/.."
LC_ALL=C
export LC_ALL
ls man/man3/*.3 >/dev/null 2>&1 || {
	echo "no pages of section 3 yet"
	exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
scripts/symbols.sh | sed '/_$/d' >"$work/names"
# the names of the NAME section, one page may have several
awk '
FNR == 1 { name = 0 }
/^\.SH/ { name = $2 == "NAME"; next }
name { sub(/ *\\-.*/, ""); gsub(/[, ]+/, "\n"); print }' man/man3/*.3 |
	sed -n '/^quire_/p' | sort -u >"$work/pages"
diff "$work/names" "$work/pages"
