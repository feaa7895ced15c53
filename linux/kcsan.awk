# SPDX-License-Identifier: GPL-2.0-only
# A console without the reports of KCSAN that are about the kernel's own code:
#	awk -v ours=FILE -v theirs=FILE -f kcsan.awk console
# ours: the names of the series' functions. theirs: what was left out goes there, a line each,
# "A / B". A report is the series' if one of the two accesses is made in a function of its, or
# in one that such a function has called.
BEGIN {
	while ((getline name <ours) > 0)
		own[name] = 1
	printf "" >theirs
}
function flush() {
	if (mine || !title)
		printf "%s", held
	else
		print title >theirs
	inside = 0
	title = held = ""
}
# "name+0x12/0x34", "name.isra.0+0x12/0x34 [inline]" and the time before it
function symbol(line) {
	sub(/^\[[^]]*\] */, "", line)
	sub(/^ */, "", line)
	sub(/\+0x.*/, "", line)
	sub(/\..*/, "", line)
	return line
}
{
	text = $0
	sub(/\r$/, "", text)
	sub(/^\[[^]]*\] */, "", text)
}
text ~ /^=+$/ {
	if (inside && title) {
		held = held $0 "\n"
		flush()
		next
	}
	if (inside)
		flush()
	inside = 1
	mine = 0
	frame = 0
	held = $0 "\n"
	next
}
!inside { print; next }
{
	held = held $0 "\n"
	if (text ~ /^BUG: KCSAN: /) {
		title = text
		sub(/^BUG: KCSAN: /, "", title)
	} else if (!title) {
		# some other ruler of equal signs
		flush()
	} else if (text ~ /^(read|write|race|assert|value changed)/ || text == "") {
		frame = 0
	} else if (text ~ /^ .*\+0x/) {
		if (++frame <= 2 && symbol($0) in own)
			mine = 1
	}
}
END { if (inside) flush() }
