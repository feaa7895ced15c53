#!/bin/sh
# SPDX-License-Identifier: MIT
#
# format.sh: formats every C file of the tree by .clang-format; those of linux/ keep the kernel's
# own style.
#
# usage: scripts/format.sh            formats
#        scripts/format.sh --check    exit 1 and the places, where something would change
set -eu
cd "$(dirname "$0")/.."
files() {
	git ls-files -co --exclude-standard '*.c' '*.h' '*.cc' | sed '/^linux\//d'
}
case ${1:-} in
'') files | xargs clang-format -i ;;
--check) files | xargs clang-format --dry-run -Werror ;;
*)
	echo "usage: scripts/format.sh [--check]" >&2
	exit 2
	;;
esac
