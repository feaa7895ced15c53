# SPDX-License-Identifier: GPL-2.0-only
# The table of linux/cost. A row: kernel, run, operation, instructions of a window, operations in it.
{
	if (!($3 in per)) {
		order[n++] = $3
		per[$3] = $5
	}
	count[$1, $2, $3] = $4
}

# how far two runs of one kernel are apart
function spread(kernel, op,    d) {
	d = count[kernel, 1, op] - count[kernel, 2, op]
	return (d < 0 ? -d : d) / per[op]
}

function least(kernel, op) {
	return (count[kernel, 1, op] < count[kernel, 2, op] ? count[kernel, 1, op] : count[kernel, 2, op]) / per[op]
}

END {
	if (!n || NR != 4 * n)
		exit 2
	print "instructions an operation, nobody registered"
	printf "%-22s %10s %10s %8s %8s   %s\n", "", "vanilla", "patched", "more", "ratio", "two runs differ by"
	for (i = 0; i < n; i++) {
		op = order[i]
		v = least("vanilla", op)
		p = least("patched", op)
		if (v <= 0)
			exit 2
		sv = spread("vanilla", op)
		sp = spread("patched", op)
		# a call for a single page pays alone for what is done once a call
		limit = op ~ /_alone$/ ? 1 : 0.5
		bad = p > (1 + limit / 100) * v ? "  > " limit " %" : sv > 0.002 * v || sp > 0.002 * v ? "  not repeatable" : ""
		failed += bad != ""
		printf "%-22s %10.2f %10.2f %+8.2f %8.4f   %.2f, %.2f%s\n", op, v, p, p - v, p / v, sv, sp, bad
	}
	exit failed > 0
}
