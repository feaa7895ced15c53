# SPDX-License-Identifier: GPL-2.0-only
# What linux/{build,boot,run,test,format} share. Sourced, with HERE set to this directory.

set -eu
export LC_ALL=C
TOP=$(cd "$HERE/.." && pwd)
OUT=${LINUX_BUILD:-$TOP/build-linux}
VERSION=6.12
TARBALL=/usr/src/linux-source-$VERSION.tar.xz
PRISTINE=$OUT/linux-source-$VERSION
JOBS=${JOBS:-$(nproc)}

say() { printf '%s\n' "$*" >&2; }
die() { say "linux: $*"; exit 1; }

# need COMMAND:PACKAGE... : install what is missing, or say how and exit 2
need() {
	missing=
	for n in "$@"; do
		case ${n%%:*} in
		/*) [ -e "${n%%:*}" ] || missing="$missing ${n#*:}" ;;
		*) command -v "${n%%:*}" >/dev/null || missing="$missing ${n#*:}" ;;
		esac
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ]; then
		say "missing; please run: apt-get install -y --no-install-recommends$missing"
		exit 2
	fi
	say "installing$missing"
	# shellcheck disable=SC2086
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -q --no-install-recommends $missing; } >"$OUT/apt.log" 2>&1 || {
		tail -5 "$OUT/apt.log" >&2
		die "apt-get failed; see $OUT/apt.log"
	}
}

need_build() {
	mkdir -p "$OUT"
	need "$TARBALL:linux-source-$VERSION" make:make gcc:gcc flex:flex bison:bison bc:bc \
		perl:perl patch:patch xz:xz-utils /usr/include/gelf.h:libelf-dev \
		/usr/include/openssl/ssl.h:libssl-dev
}

need_boot() {
	mkdir -p "$OUT"
	need qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio gcc:gcc
}

# hash FILE... : one word that changes when any of them does
hash() { cat -- "$@" | sha256sum | cut -c1-16; }

# flavour --vanilla|--patched [--debug|--kcsan] : set FLAVOUR and CHECKS, "", -debug or -kcsan
flavour() {
	FLAVOUR=patched CHECKS=
	for a in "$@"; do
		case $a in
		--vanilla) FLAVOUR=vanilla ;;
		--patched) FLAVOUR=patched ;;
		--debug | --kcsan) CHECKS=-${a#--} ;;
		esac
	done
	WITH=${WITH:-}
	BUILD=$OUT/$FLAVOUR$CHECKS$(printf '%s' "${WITH:+ $WITH}" | tr ' ' -)
	KERNEL=$BUILD/arch/x86/boot/bzImage
}
