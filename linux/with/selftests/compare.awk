# SPDX-License-Identifier: GPL-2.0-only
# The table of linux/selftests: what both guests printed, vanilla first.
FNR == 1 { kernel++ }

/^=== exit / {
	result(program ": exit status", $3 == 0 ? "pass" : $3 == 4 ? "skip" : "fail")
	ended[kernel, program] = 1
	program = ""
	next
}

/^=== / {
	program = substr($0, 5)
	if (!(program in programs)) {
		programs[program] = 1
		order[n++] = program
	}
	split("", seen)
	next
}

# TAP, with and without a dash; the tests of userfaultfd have words of their own
/^(not )?ok [0-9]+/ {
	what = /# SKIP/ ? "skip" : /^not/ ? "fail" : "pass"
	sub(/^(not )?ok [0-9]+ *-? */, "")
	sub(/ *# SKIP.*/, "")
	result(program ": " $0, what)
}

/^Testing .*\.\.\. / {
	what = /\.\.\. done/ ? "pass" : /\.\.\. skipped/ ? "skip" : "fail"
	sub(/\.\.\. .*/, "")
	result(program ": " $0, what)
}

# Numbers may differ from run to run, so they are not part of a name; the second of a name is
# another test.
function result(name, what) {
	gsub(/0x[0-9a-f]+|[0-9]+/, "N", name)
	if (seen[name]++)
		name = name " (" seen[name] ")"
	if (!(name in of)) {
		of[name] = program
		tests[t++] = name
	}
	was[kernel, name] = what
	sum[kernel, program, what]++
}

function word(kernel, name) {
	return (kernel, name) in was ? was[kernel, name] : "missing"
}

END {
	for (i = 0; i < t; i++) {
		name = tests[i]
		v = word(1, name)
		p = word(2, name)
		if (v != p)
			differ[d++] = sprintf("%s: %s on vanilla, %s on patched", name, v, p)
		if (v == "pass" && p != "pass" || v == "skip" && p == "fail" || v != "missing" && p == "missing") {
			worse[of[name]]++
			failed++
		}
	}
	printf "%-34s %22s %22s\n", "", "vanilla", "patched"
	printf "%-34s %8s %6s %6s %8s %6s %6s\n", "program", "passed", "failed", "skip", "passed", "failed", "skip"
	for (i = 0; i < n; i++) {
		program = order[i]
		printf "%-34s", program
		for (k = 1; k <= 2; k++) {
			printf " %8d %6d %6d", sum[k, program, "pass"], sum[k, program, "fail"], sum[k, program, "skip"]
			for (w = 1; w <= 3; w++) {
				what = substr("passfailskip", 4 * w - 3, 4)
				all[k, what] += sum[k, program, what]
			}
			if (!((k, program) in ended))
				failed++
		}
		print program in worse ? "  WORSE" : ""
	}
	printf "%-34s %8d %6d %6d %8d %6d %6d\n", "all", all[1, "pass"], all[1, "fail"], all[1, "skip"],
		all[2, "pass"], all[2, "fail"], all[2, "skip"]
	for (i = 0; i < d; i++)
		print differ[i]
	exit !n || failed > 0
}
