# SPDX-License-Identifier: GPL-2.0-only
# The table of linux/run out of its rows of key=value words. Exits 1 where a condition is not met.

function median(kind, share, column, key,	i, j, t, n, v) {
	n = rows[kind, share, column]
	for (i = 1; i <= n; i++)
		v[i] = field[kind, share, column, i, key]
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j - 1] > v[j]; j--) {
			t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
		}
	return n ? v[int((n + 1) / 2)] : -1
}

function total(kind, share, column, key,	i, s) {
	for (i = 1; i <= rows[kind, share, column]; i++)
		s += field[kind, share, column, i, key]
	return s + 0
}

function percent(share) {
	return sprintf("%d.%d %%", share / 10, share % 10)
}

function wrong(what) {
	bad = bad "\n  " what
}

{
	split("", f)
	for (i = 1; i <= NF; i++) {
		eq = index($i, "=")
		f[substr($i, 1, eq - 1)] = substr($i, eq + 1) + 0
		word[substr($i, 1, eq - 1)] = substr($i, eq + 1)
	}
	# the last one counts, if a cell was run again
	id = word["kind"] SUBSEP f["share"] SUBSEP word["column"]
	at = index_of[id, f["seed"]]
	if (!at)
		at = index_of[id, f["seed"]] = ++rows[id]
	for (k in f)
		field[id, at, k] = f[k]
	for (k in f)
		if (k ~ /_blocked_/ && word["column"] == "patched") {
			counted = 1
			blocked[k] += f[k]
		}
	if (f["rc"] || f["wrong"] || f["engine_wrong"])
		damaged = 1
	if (f["rc"])
		wrong($1 " " $2 " " $3 " " $4 " ended with " f["rc"])
	if (f["placed"] && f["misplaced"] / f["placed"] > worst)
		worst = f["misplaced"] / f["placed"]
	bytes += f["live"] * 4096
	if (!(f["seed"] in most) || f["live"] > most[f["seed"]])
		most[f["seed"]] = f["live"]
	if (f["live"] && (!(f["seed"] in least) || f["live"] < least[f["seed"]]))
		least[f["seed"]] = f["live"]
}

END {
	split("vanilla patched oracle", columns, " ")
	n = split(shares, share, " ")
	printf "Compaction while a device uses a share of the live pages; guests of %d MiB, %s.\n", mem,
		(seeds > 1 ? "medians of " seeds " seeds" : "one seed")
	printf "Oracle: the vanilla kernel with the same pages unbound. Ideal: what the layout allows.\n\n"
	printf "%-7s %7s |%31s |%23s |%23s\n", "", "", "huge pages", "pages moved", "moves that failed"
	printf "%-7s %7s |%7s%8s%8s%8s |%7s%8s%8s |%7s%8s%8s\n", "bound", "pages", "ideal", "oracle",
		"patched", "vanilla", "oracle", "patched", "vanilla", "oracle", "patched", "vanilla"
	for (i = 1; i <= n; i++) {
		s = share[i]
		for (c = 1; c <= 3; c++) {
			got[columns[c]] = median("huge", s, columns[c], "got")
			moved[columns[c]] = median("huge", s, columns[c], "pgmigrate_success")
			failed[columns[c]] = median("huge", s, columns[c], "pgmigrate_fail")
			if (rows["huge", s, columns[c]] != seeds)
				wrong(percent(s) ", " columns[c] ": not all seeds have run")
		}
		printf "%-7s %7d |%7d%8d%8d%8d |%7d%8d%8d |%7d%8d%8d\n", percent(s),
			median("huge", s, "patched", "bound"), median("huge", s, "oracle", "ideal"),
			got["oracle"], got["patched"], got["vanilla"],
			moved["oracle"], moved["patched"], moved["vanilla"],
			failed["oracle"], failed["patched"], failed["vanilla"]
		if (got["patched"] * 100 < got["oracle"] * 99)
			wrong(percent(s) ": patched has less than 99 % of the oracle")
		if (s > 0 && !total("huge", s, "patched", "moved_in_use"))
			wrong(percent(s) ": no page moved of an object in use")
		if (s > 0 && !total("huge", s, "patched", "moved_running"))
			wrong(percent(s) ": no page moved while the engine ran")
		busy += total("huge", s, "patched", "busy0")
		in_use += total("huge", s, "patched", "moved_in_use")
		running += total("huge", s, "patched", "moved_running")
	}
	if (in_use && !busy)
		wrong("the owner was never asked while its engine was inside an object")

	printf "\nWhat the owner answered on the patched kernel, all seeds together:\n\n"
	printf "%-7s %9s %9s %9s | %-32s | %9s %9s %9s\n", "", "", "moved in", "moved as",
		"busy, by mode", "waited", "pin being", "pin of"
	printf "%-7s %9s %9s %9s | %10s %10s %10s | %9s %9s %9s\n", "bound", "asked", "use", "it ran", "async",
		"sync-light", "sync", "for it", "taken", "others"
	split("calls0 calls1 calls2 moved_in_use moved_running busy0 busy1 busy2 waited1 waited2 " \
		"binding again foreign", names, " ")
	for (k in names)
		asked[names[k]] = 0
	for (i = 1; i <= n; i++) {
		s = share[i]
		if (s == 0)
			continue
		for (k in asked)
			asked[k] = total("huge", s, "patched", k)
		printf "%-7s %9d %9d %9d | %10d %10d %10d | %9d %9d %9d\n", percent(s),
			asked["calls0"] + asked["calls1"] + asked["calls2"], asked["moved_in_use"],
			asked["moved_running"], asked["busy0"], asked["busy1"], asked["busy2"],
			asked["waited1"] + asked["waited2"], asked["binding"] + asked["again"], asked["foreign"]
	}

	for (k in blocked)
		if (blocked[k])
			list = list sprintf(", %s %d", k, blocked[k])
	if (counted)
		printf "\nWhat stayed there, in pages by reason: %s\n", (list ? substr(list, 3) : "nothing")

	n = split(contig, share, " ")
	if (n)
		printf "\n64 MiB in one piece (alloc_contig_pages), of %d:\n\n%-7s %8s %8s %8s\n", seeds, "bound",
			"oracle", "patched", "vanilla"
	for (i = 1; i <= n; i++) {
		s = share[i]
		o = total("contig", s, "oracle", "got")
		p = total("contig", s, "patched", "got")
		printf "%-7s %8d %8d %8d\n", percent(s), o, p, total("contig", s, "vanilla", "got")
		if (p < o)
			wrong(percent(s) ": 64 MiB less often than the oracle")
	}

	for (k in most)
		if (most[k] - least[k] > spread * most[k])
			spread = 1 - least[k] / most[k]
	printf "\n%s, %d MiB in all guests together. Of the pages at most %.1f %% lay\n",
		(damaged ? "NOT EVERY BYTE WAS RIGHT" : "Every byte was verified"), bytes / 1048576, worst * 100
	printf "elsewhere than the seed says; the guests of a seed differ by at most %.1f %% in live pages.\n",
		spread * 100
	print "\nPins of subsystems without an owner stay where they are. Buffers registered with io_uring,"
	print "for one, are in the way of the patched kernel as they are of the vanilla one."
	if (bad) {
		print "\nNot as it must be:" bad
		exit 1
	}
}
