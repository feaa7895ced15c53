#!/bin/sh
# SPDX-License-Identifier: MIT
#
# localize.sh: one archive of one object, in which only what is exported is global, so that names
# of the library's own cannot meet a program's. The shared library's symbol map does the same there.
#
# usage: scripts/localize.sh IN.a OUT.a
set -eu
in=$1
out=$2
object=$out.o
ld -r --whole-archive "$in" -o "$object"
objcopy --localize-hidden "$object"
rm -f "$out"
ar rcsD "$out" "$object"
rm -f "$object"
