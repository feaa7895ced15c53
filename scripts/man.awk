# SPDX-License-Identifier: MIT
#
# man.awk: what a public header declares, and what a manual page says, as lines to compare:
#
#	proto	function	its prototype, one space between tokens
#	error	function	error number, in its comment or under its name in ERRORS
#	op	name		the same of a pointer to a function in a structure
#	macro	NAME
#	field	name		of a structure; constants of enums are macros here
#
# usage: awk -v what=header -f man.awk HEADER
#        awk -v what=page -f man.awk PAGE
#
# Names that end in an underscore are not for programs, but a macro that hands its call site to
# NAME_at_() is shown as that function without the site.

function tokens(s)
{
	gsub(/QUIRE_EXPORT|QUIRE_MUST_USE|static inline|extern "C"/, " ", s)
	gsub(/[^A-Za-z0-9_ \t\n]/, " & ", s)
	gsub(/[ \t\n]+/, " ", s)
	gsub(/^ | $/, "", s)
	return s
}

function errors(name, list,   n, i, e)
{
	n = split(list, e, ",")
	for (i = 1; i <= n; i++)
		if (e[i] != "")
			print "error\t" name "\t" e[i]
}

# A declaration of a function, if it is one for programs.
function declared(s,   name)
{
	if (s !~ /QUIRE_EXPORT|static inline/ || !match(s, /quire_[a-z0-9_]+[ \t]*\(/))
		return
	name = substr(s, RSTART, RLENGTH - 1)
	sub(/[ \t]+$/, "", name)
	if (sub(/_at_$/, "", name)) {
		sub(/_at_[ \t]*\(/, "(", s)
		sub(/, const char \*site/, "", s)
	} else if (name ~ /_$/)
		return
	print "proto\t" name "\t" tokens(s)
	errors(name, codes)
}

function field(s)
{
	if (match(s, /\(\*[a-z_]+\)/)) {
		print "op\t" substr(s, RSTART + 2, RLENGTH - 3) "\t" tokens(s)
		match(s, /\(\*[a-z_]+\)/)
		s = substr(s, RSTART + 2, RLENGTH - 3)
	}
	sub(/\[.*/, "", s)
	if (!match(s, /[a-z0-9_]+[ \t\n]*$/))
		return
	s = substr(s, RSTART, RLENGTH)
	gsub(/[ \t\n]/, "", s)
	if (s !~ /_$/ && s != "reserved")
		print "field\t" s
}

function constants(s,   n, i, c)
{
	n = split(s, c, ",")
	for (i = 1; i <= n; i++)
		if (match(c[i], /QUIRE_[A-Z0-9_]+/))
			print "macro\t" substr(c[i], RSTART, RLENGTH)
}

function defined(s,   name, list)
{
	if (s !~ /^#[ \t]*define/)
		return
	sub(/^#[ \t]*define[ \t]+/, "", s)
	match(s, /^[A-Za-z0-9_]+/)
	name = substr(s, 1, RLENGTH)
	if (name ~ /^quire_.*[^_]$/)
		errors(name, codes)
	if (name !~ /^QUIRE_.*[^_]$/ || name ~ /_H$/)
		return
	print "macro\t" name
	while (match(s, /X\([A-Za-z0-9_]+, "/)) {
		list = substr(s, RSTART + 2, RLENGTH - 5)
		print (name in prefix) ? "macro\t" prefix[name] list : "field\t" list
		s = substr(s, RSTART + RLENGTH)
	}
}

# Ends a statement, or begins a block.
function statement(s, end,   kind)
{
	if (end == "{") {
		kind = "skip"
		if (s ~ /extern "C"/)
			kind = "file"
		else if (s ~ /struct quire_[a-z_]*[a-z][ \t\n]*$/)
			kind = "struct"
		else if (s ~ /enum quire_[a-z_]*[a-z][ \t\n]*$/)
			kind = "enum"
		else
			declared(s)
		in_block[++depth] = kind
	} else if (in_block[depth] == "struct")
		field(s)
	else if (in_block[depth] == "enum")
		constants(s)
	else if (in_block[depth] == "file")
		declared(s)
	if (end == "}" && depth)
		depth--
	codes = ""
}

function header_line(line,   at)
{
	if (line ~ /^@/) {
		codes = substr(line, 2)
		return
	}
	if (directive != "" || line ~ /^#/) {
		directive = directive line
		if (sub(/\\$/, "", directive))
			return
		defined(directive)
		directive = codes = ""
		return
	}
	while (match(line, /[;{}]/)) {
		at = RSTART
		statement(text " " substr(line, 1, at - 1), substr(line, at, 1))
		text = ""
		line = substr(line, at + 1)
	}
	text = text " " line
}

# Comments become lines "@,EINVAL,ENOMEM", with the error numbers they name.
function header(s,   out, i, j, c, list, line, n)
{
	in_block[0] = "file"
	while ((i = index(s, "/*"))) {
		out = out substr(s, 1, i - 1)
		s = substr(s, i + 2)
		j = index(s, "*/")
		c = substr(s, 1, j - 1)
		s = substr(s, j + 2)
		list = ""
		while (match(c, /-E[A-Z]+/)) {
			list = list "," substr(c, RSTART + 1, RLENGTH - 1)
			c = substr(c, RSTART + RLENGTH)
		}
		out = out (out ~ /(^|\n)$/ ? "@" list : "")
	}
	n = split(out s, line, "\n")
	for (i = 1; i <= n; i++)
		header_line(line[i])
}

function page_line(s,   n, i, w, mode)
{
	if (sub(/^\.Sh /, "", s)) {
		section = s
		next_name = ""
		return
	}
	if (section == "ERRORS" && s ~ /^\.Ss quire_/)
		next_name = substr(s, 5)
	if (section == "ERRORS" && s ~ /^\.It Bq Er /)
		print "error\t" next_name "\t" substr(s, 11)
	if (section == "SYNOPSIS") {
		gsub(/"/, "", s)
		if (sub(/^\.Fd #define /, "", s)) {
			sub(/\(.*/, "", s)
			print "macro\t" s
		} else if (sub(/^\.Ft /, "", s)) {
			type = s
		} else if (sub(/^\.Fo /, "", s)) {
			name = s
			arguments = ""
		} else if (sub(/^\.Fa /, "", s)) {
			arguments = arguments (arguments == "" ? "" : ",") s
		} else if (s == ".Fc")
			print "proto\t" name "\t" tokens(type " " name "(" arguments ")")
		return
	}
	if (s ~ /^\.Ft /)
		type = substr(s, 5)
	if (sub(/^\.Fn \(\*/, "", s)) {
		n = split(s, w, "\"")
		sub(/\).*/, "", w[1])
		arguments = w[2]
		for (i = 4; i <= n; i += 2)
			arguments = arguments "," w[i]
		print "op\t" w[1] "\t" tokens(type " (*" w[1] ")(" arguments ")")
		return
	}
	if (s !~ /^\./)
		return
	n = split(s, w, /[ \t]+/)
	for (i = 1; i <= n; i++) {
		if (w[i] ~ /^\.?[A-Z][a-z]$/)
			mode = substr(w[i], length(w[i]) - 1)
		else if (mode == "Dv" && w[i] ~ /^QUIRE_[A-Z0-9_]+$/)
			print "macro\t" w[i]
		else if (mode == "Va" && w[i] ~ /^[a-z_][a-z0-9_.]*$/ && w[i] != "errno") {
			sub(/.*\./, "", w[i])
			print "field\t" w[i]
		}
	}
}

BEGIN { # lists that make an enum, not fields
	prefix["QUIRE_REASONS"] = "QUIRE_REASON_"
	prefix["QUIRE_EVENTS"] = "QUIRE_EVENT_"
	prefix["QUIRE_BACKGROUND_STATES"] = "QUIRE_BACKGROUND_"
}
what == "header" { whole = whole $0 "\n" }
what == "page" { page_line($0) }
END {
	if (what == "header")
		header(whole)
}
