#!/bin/sh
# SPDX-License-Identifier: MIT
#
# symbols.sh: the names that the public headers export, and the symbol map made of them.
#
# usage: scripts/symbols.sh           the names, sorted, one a line
#        scripts/symbols.sh --map     what src/libquire.map has to hold
#        scripts/symbols.sh --check   exit 1 and a difference if it does not
set -eu
LC_ALL=C
export LC_ALL
top=$(cd "$(dirname "$0")/.." && pwd -P)
map=$top/src/libquire.map

# A declaration exports if it says QUIRE_EXPORT; its name is the first quire_... before a "(", or,
# where there is none, the last word.
names() {
	# shellcheck disable=SC2016 # awk
	find "$top/include" -name '*.h' -exec awk '
	function flush_statement() {
		if (text !~ /QUIRE_EXPORT/) {
			text = ""
			return
		}
		sub(/.*QUIRE_EXPORT/, "", text)
		gsub(/__attribute__[ \t]*\(\(.*\)\)/, "", text)
		if (match(text, /quire_[a-z0-9_]+[ \t]*\(/)) {
			name = substr(text, RSTART, RLENGTH - 1)
		} else {
			n = split(text, word, /[^A-Za-z0-9_]+/)
			name = ""
			while (n > 0 && name == "")
				name = word[n--]
		}
		gsub(/[ \t]/, "", name)
		print name
		text = ""
	}
	{
		line = $0
		# comments
		while (1) {
			if (comment) {
				if (!(end = index(line, "*/")))
					next
				line = substr(line, end + 2)
				comment = 0
			}
			if (!(start = index(line, "/*")))
				break
			rest = substr(line, start + 2)
			if ((end = index(rest, "*/"))) {
				line = substr(line, 1, start - 1) " " substr(rest, end + 2)
			} else {
				line = substr(line, 1, start - 1)
				comment = 1
				break
			}
		}
		# the preprocessor, with its continued lines
		if (continued || line ~ /^[ \t]*#/) {
			continued = line ~ /\\$/
			next
		}
		while (match(line, /[;}{]/)) {
			text = text " " substr(line, 1, RSTART - 1)
			line = substr(line, RSTART + 1)
			flush_statement()
		}
		text = text " " line
	}' {} + | sort -u
}

version_map() {
	echo '/* SPDX-License-Identifier: MIT */'
	echo '/* Made by scripts/symbols.sh --map from the public headers. */'
	echo 'QUIRE_0.1 {'
	echo 'global:'
	names | sed 's/.*/	&;/'
	echo 'local:'
	echo '	*;'
	echo '};'
}

case ${1:-} in
'') names ;;
--map) version_map ;;
--check)
	version_map | diff -u "$map" - || {
		echo "symbols.sh: src/libquire.map is not what the headers say:" \
			"scripts/symbols.sh --map >src/libquire.map" >&2
		exit 1
	}
	;;
*)
	echo "usage: scripts/symbols.sh [--map | --check]" >&2
	exit 2
	;;
esac
