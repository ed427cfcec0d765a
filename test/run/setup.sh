# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=sh
#
# What the machine has to have: Debian packages, hugepages, DPDK's driver headers, a QEMU with
# igb. Sourced by ./dev, which sets ROOT and CACHE. Each step looks first and does only what is
# missing, so that a second run costs a few milliseconds; a step that cannot be done says so and
# why.

# compile zcnet, and its unit tests
PKGS_build="gcc libc6-dev meson ninja-build pkgconf libdpdk-dev libnuma-dev libcmocka-dev"
# the demo: testpmd (dpdk-dev), a guest with an initramfs of busybox, kernel modules, iperf3
PKGS_run="dpdk dpdk-dev qemu-system-x86 iperf3 iproute2 busybox-static cpio kmod
	procps python3 xz-utils"
# clang builds and fuzzers, lint, Debian 13 beside this system, counting instructions
PKGS_test="clang clang-format libclang-rt-dev shellcheck debootstrap git valgrind"
# the peer to compare with, plots
PKGS_bench="openvswitch-switch-dpdk gnuplot-nox"

HUGEPAGES=1024

say() {
	echo "setup: $*"
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif [ -t 0 ]; then
		sudo "$@"
	else
		sudo -n "$@"
	fi
}

may_be_root() {
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null
}

packages_of() {
	for group; do
		case $group in
		build) echo "$PKGS_build" ;;
		run) echo "$PKGS_run" ;;
		test) echo "$PKGS_test" ;;
		bench) echo "$PKGS_bench" ;;
		*) die "setup: no group '$group'; there are build, run, test, bench" ;;
		esac
	done
}

# missing PACKAGE...: those that are not installed.
missing() {
	# shellcheck disable=SC2016 # the fields are dpkg-query's
	have=" $(dpkg-query -W -f '${Package}=${db:Status-Status} ' "$@" 2>/dev/null || true)"
	for pkg; do
		case $have in
		*" $pkg=installed "*) ;;
		*) echo "$pkg" ;;
		esac
	done
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# No package may start a daemon here: the policy file keeps Open vSwitch from doing it now, and
# its boot links go when it was not here before.
without_daemons() {
	policy=/usr/sbin/policy-rc.d
	had_ovs=$(missing openvswitch-switch)
	if [ -e $policy ]; then
		policy=
	else
		as_root sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
		trap 'as_root rm -f "$policy"; exit 130' INT TERM HUP
	fi
	status=0
	"$@" || status=$?
	if [ -n "$policy" ]; then
		as_root rm -f "$policy"
		trap - INT TERM HUP
	fi
	if [ -n "$had_ovs" ] && [ -z "$(missing openvswitch-switch)" ]; then
		as_root update-rc.d openvswitch-switch disable >/dev/null 2>&1 || true
	fi
	return $status
}

apt_install() {
	apt install --no-install-recommends "$@"
}

# install PACKAGE...: at once; with fresh lists when the old ones fail; one by one when that
# fails too, to get as many as there are.
install() {
	if apt-get -s -q install --no-install-recommends "$@" >/dev/null 2>&1; then
		without_daemons apt_install "$@" && return
	fi
	apt update || say "apt-get update failed; going on with what is there"
	without_daemons apt_install "$@" && return
	for pkg; do
		without_daemons apt_install "$pkg" || true
	done
}

setup_packages() {
	wanted=$(packages_of "$@") || exit
	# shellcheck disable=SC2046,SC2086 # lists of words
	set -- $(missing $wanted)
	[ $# -gt 0 ] || return 0
	if ! may_be_root; then
		say "not installed, because this is neither root nor is there sudo: $*"
	else
		say "installing $*"
		install "$@"
	fi
	left=$(missing "$@" | tr '\n' ' ')
	[ -z "$left" ] || say "could not install: $left"
}

# Memory in 2 MB pages, at most a quarter of the machine's. Without it everything works, slower.
setup_hugepages() {
	knob=/proc/sys/vm/nr_hugepages
	if ! [ -e $knob ]; then
		say "no hugepages: this kernel has none"
		return
	fi
	want=$(awk -v most=$HUGEPAGES \
		'/^MemTotal/ { n = int($2 / 8192); print n < most ? n : most }' /proc/meminfo)
	now=$(cat $knob)
	if [ "$now" -lt "$want" ]; then
		if may_be_root; then
			as_root sh -c "echo $want >$knob" 2>/dev/null || true
		fi
		now=$(cat $knob)
		[ "$now" -ge "$want" ] ||
			say "hugepages: $now of $want reserved ($(why_not_hugepages $knob))"
	fi
	if [ "$now" -gt 0 ] && ! grep -q ' /dev/hugepages hugetlbfs ' /proc/mounts; then
		{ may_be_root && as_root sh -c 'mkdir -p /dev/hugepages &&
			mount -t hugetlbfs none /dev/hugepages' 2>/dev/null; } ||
			say "hugepages: may not mount /dev/hugepages"
	fi
}

why_not_hugepages() {
	if ! may_be_root; then
		echo "needs root"
	elif ! as_root test -w "$1"; then
		echo "$1 may not be written here"
	else
		echo "memory is too fragmented"
	fi
}

# The headers that a driver needs and that libdpdk-dev leaves out, from the source package of the
# very version installed. Own lists and sources: the machine's apt stays as it is.
setup_driver_headers() {
	# shellcheck disable=SC2016 # the field is dpkg-query's
	version=$(dpkg-query -W -f '${source:Version}' libdpdk-dev 2>/dev/null) || return 0
	dest=$CACHE/dpdk-$version
	if ! [ -e "$dest" ]; then
		say "fetching the driver headers of DPDK $version"
		fetch_driver_headers "$version" "$dest" || {
			say "no driver headers: the source of dpdk $version could not be fetched ($(
				tail -n 1 "$CACHE/apt.log" 2>/dev/null))"
			return 0
		}
	fi
	ln -sfn "dpdk-$version" "$CACHE/dpdk-src"
}

# own_apt DIR ARGUMENT...: apt-get with the sources, lists and archives of DIR alone.
own_apt() {
	own=$1
	shift
	mkdir -p "$own/lists/partial"
	apt-get -q -o Dir::Etc::SourceList="$own/sources.list" -o Dir::Etc::SourceParts=- \
		-o Dir::State::Lists="$own/lists" -o Dir::Cache="$own" \
		-o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}

# fetch_driver_headers VERSION DEST
fetch_driver_headers() {
	mkdir -p "$CACHE" || return 1
	tmp=$(mktemp -d "$CACHE/apt.XXXXXX") || return 1
	mkdir "$tmp/tree"
	# shellcheck disable=SC2016 # the fields are apt's
	apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' 'Origin: Debian' | sort -u >"$tmp/sources.list"
	(
		cd "$tmp"
		own_apt "$tmp" update --error-on=any &&
			own_apt "$tmp" source --download-only "dpdk=$1" &&
			tar -xJf dpdk_*.orig.tar.xz -C tree --strip-components=1 \
				--exclude=examples --wildcards \
				'*/lib/*.h' '*/drivers/bus/*.h' '*/drivers/mempool/*.h'
	) >"$CACHE/apt.log" 2>&1 </dev/null && mv "$tmp/tree" "$2"
	status=$?
	rm -rf "$tmp"
	return $status
}

# A QEMU with an emulated igb, for test/nicvm: Debian 12's has none, its backports have one. It
# lives beside the system's own, and uses its libraries.
setup_igb_qemu() {
	dest=$CACHE/igb-qemu
	[ ! -e "$dest" ] || return 0
	! qemu-system-x86_64 -device igb,help 2>/dev/null | grep -q '^igb options' || return 0
	say "fetching a QEMU with igb"
	fetch_igb_qemu "$dest" || say "no QEMU with igb: $(tail -n 1 "$CACHE/igb-qemu.log")"
}

# fetch_igb_qemu DEST
fetch_igb_qemu() {
	mkdir -p "$CACHE" || return 1
	tmp=$(mktemp -d "$CACHE/apt.XXXXXX") || return 1
	mkdir "$tmp/tree"
	echo "deb ${ZC_MIRROR:-http://deb.debian.org/debian} bookworm-backports main" \
		>"$tmp/sources.list"
	(
		cd "$tmp"
		own_apt "$tmp" update --error-on=any &&
			own_apt "$tmp" download qemu-system-x86 qemu-system-common \
				qemu-system-data || exit
		for deb in *.deb; do
			dpkg -x "$deb" tree || exit
		done
		tree/usr/bin/qemu-system-x86_64 --version
	) >"$CACHE/igb-qemu.log" 2>&1 </dev/null && mv "$tmp/tree" "$1"
	status=$?
	rm -rf "$tmp"
	return $status
}

# setup GROUP...: all there is to do for these groups.
setup() {
	[ $# -gt 0 ] || set -- build run test bench
	setup_packages "$@"
	setup_hugepages
	setup_driver_headers
	case " $* " in
	*" test "*) setup_igb_qemu ;;
	esac
	say "done"
}

# need GROUP...: what another command does first. Quiet when nothing is missing. Only what the
# build needs is a must: a test that lacks the rest skips and says so.
need() {
	setup_packages "$@"
	# shellcheck disable=SC2086 # a list of words
	left=$(missing $PKGS_build | tr '\n' ' ')
	[ -z "$left" ] || die "cannot go on without: $left"
	case " $* " in
	*" run "*) [ "$(id -u)" != 0 ] || setup_hugepages ;;
	esac
	# One try is enough; './dev setup' tries again.
	[ -e "$CACHE/apt.log" ] || setup_driver_headers
	case " $* " in
	*" test "*) [ -e "$CACHE/igb-qemu.log" ] || setup_igb_qemu ;;
	esac
}
