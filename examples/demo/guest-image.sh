#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Builds a small Linux guest, a kernel and an initramfs, from Debian packages alone.
set -eu

usage() {
	cat <<END
usage: guest-image.sh [-m MODULE]... [-f FILE[:PATH]]... OUTDIR

Makes OUTDIR/vmlinuz and OUTDIR/initrd.gz: Debian's cloud kernel, busybox, iperf3, virtio drivers
and an agent that runs commands for the host (guest/agent). They are kept in .cache/guest, so the
second call is instant.

  -m MODULE       a further kernel module, with those it needs
  -f FILE[:PATH]  a further file or folder, with the libraries it needs; PATH is FILE by default
  ZC_GUEST_KERNEL kernel package instead of linux-image-cloud-amd64
  ZC_CACHE        cache folder instead of .cache
END
}

fail() {
	echo "guest-image.sh: $*" >&2
	exit 1
}

here=$(cd "$(dirname "$0")" && pwd)
cache=${ZC_CACHE:-$here/../../.cache}/guest
kernel_package=${ZC_GUEST_KERNEL:-linux-image-cloud-amd64}
modules="virtio_pci virtio_net virtio_console"
files=

while getopts m:f:h option; do
	case $option in
	m) modules="$modules $OPTARG" ;;
	f) files="$files $OPTARG" ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -eq 1 ] || { usage >&2; exit 2; }
out=$1

arch=$(dpkg --print-architecture 2>/dev/null) || fail "needs a Debian system (dpkg)"
[ "$arch" = amd64 ] || fail "builds an amd64 guest on an amd64 machine only, and this is $arch"
umask 022
mkdir -p "$cache" "$out"
cache=$(cd "$cache" && pwd)

work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Unpack packages below $work/root, which the rest of the script takes programs and libraries from.
unpack() {
	mkdir -p "$work/deb" "$work/root"
	(cd "$work/deb" && apt-get -q download "$@" > "$work/apt.log" 2>&1) ||
		fail "cannot download $*, try 'apt-get update': $(grep '^E:' "$work/apt.log")"
	for deb in "$work"/deb/*.deb; do
		dpkg -x "$deb" "$work/root"
		rm "$deb"
	done
}

# A program of this machine if it is installed, else of its Debian package.
program() { # NAME PATH PACKAGE...
	[ ! -x "$2" ] || { echo "$2"; return; }
	name=$1 path=$2
	shift 2
	[ -x "$work/root$path" ] || unpack "$@"
	[ -x "$work/root$path" ] || fail "$name: not in $*"
	echo "$work/root$path"
}

busybox() {
	if [ -z "${busybox:-}" ]; then
		busybox=$(program busybox /bin/busybox busybox-static)
		# a dynamic busybox lacks half of the applets
		if ! "$busybox" --list | grep -qx depmod; then
			unpack busybox-static
			busybox=$work/root/bin/busybox
		fi
	fi
}

# The kernel: $cache/KVER/{vmlinuz,modules/}, and $cache/PACKAGE says which KVER is in use.
kernel() {
	if [ -s "$cache/$kernel_package" ]; then
		kver=$(cat "$cache/$kernel_package")
		[ ! -f "$cache/$kver/vmlinuz" ] || return 0
	fi
	echo "guest-image.sh: fetching $kernel_package"
	image=$(apt-cache depends "$kernel_package" 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
	unpack "${image:-$kernel_package}"
	kver=$(basename "$work/root"/boot/vmlinuz-* | sed 's/^vmlinuz-//')
	tree=$work/root/lib/modules/$kver
	[ -d "$tree" ] || tree=$work/root/usr/lib/modules/$kver
	mkdir "$work/kernel"
	mv "$work/root/boot/vmlinuz-$kver" "$work/kernel/vmlinuz"
	mv "$tree" "$work/kernel/modules"
	find "$work/kernel/modules" -name '*.ko.xz' -exec xz -d {} +
	busybox
	mkdir -p "$work/depmod/lib/modules"
	ln -s "$work/kernel/modules" "$work/depmod/lib/modules/$kver"
	"$busybox" depmod -b "$work/depmod" "$kver"
	[ -s "$work/kernel/modules/modules.dep" ] || fail "no modules found in $kernel_package"
	rm -rf "${cache:?}/$kver"
	mv "$work/kernel" "$cache/$kver"
	echo "$kver" > "$cache/$kernel_package"
}

# Module files in the order to load them in: each after those it needs.
module_order() {
	awk -F: -v wanted="$modules" '
		{
			file = $1; name = file
			sub(/.*\//, "", name); sub(/\.ko$/, "", name); gsub(/-/, "_", name)
			path[name] = file; needs[file] = $2
		}
		function load(file,    list, n, i) {
			if (file in seen) return
			seen[file] = 1
			n = split(needs[file], list, " ")
			for (i = n; i > 0; i--) load(list[i])
			print file
		}
		END {
			n = split(wanted, want, " ")
			for (i = 1; i <= n; i++) {
				gsub(/-/, "_", want[i])
				if (!(want[i] in path)) {
					print "guest-image.sh: no module " want[i] > "/dev/stderr"
					exit 1
				}
				load(path[want[i]])
			}
		}' "$cache/$kver/modules/modules.dep"
}

# A file with the libraries it needs, a symbolic link with what it points at, or all that a folder
# holds. Links stay links: a DPDK library that is there twice registers twice.
add() { # FILE PATH
	[ -e "$1" ] || fail "no such file: $1"
	[ ! -e "$root$2" ] || return 0
	mkdir -p "$root$(dirname "$2")"
	if [ -L "$1" ]; then
		link=$(readlink "$1")
		ln -s "$link" "$root$2"
		case $link in
		/*) add "$(realpath "$1")" "$link" ;;
		*) add "$(realpath "$1")" "$(dirname "$2")/$link" ;;
		esac
	elif [ -d "$1" ]; then
		mkdir "$root$2"
		for entry in "$1"/*; do
			add "$entry" "$2/${entry##*/}"
		done
	else
		cp -p "$1" "$root$2"
		case $1 in
		*.so | *.so.*) libraries "$1" ;;
		*) [ ! -x "$1" ] || libraries "$1" ;;
		esac
	fi
}

libraries() { # PROGRAM
	LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu ldd "$1" 2>/dev/null |
		awk '/not found/ { print "!" $1 }
			$2 == "=>" && $3 ~ "^/" { print $3 }
			$1 ~ "^/" { print $1 }' |
		while read -r library; do
			case $library in
			!*) fail "$1 needs ${library#!}, which isn't installed" ;;
			esac
			add "$library" "${library#"$work/root"}"
		done
}

initrd() { # TARGET
	busybox
	root=$work/initrd
	for dir in dev proc sys run tmp etc var; do
		mkdir -p "$root/$dir"
	done
	ln -s ../run "$root/var/run"
	for dir in bin sbin lib lib64; do
		mkdir -p "$root/usr/$dir"
		ln -s "usr/$dir" "$root/$dir"
	done
	mkdir "$root/lib/modules"
	cp "$busybox" "$root/bin/busybox"
	"$busybox" --list | while read -r applet; do
		[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
	done
	module_order > "$work/order" || fail "modules missing in kernel $kver"
	while read -r module; do
		cp "$cache/$kver/modules/$module" "$root/lib/modules/"
		basename "$module" >> "$root/lib/modules/order"
	done < "$work/order"
	install -m 755 "$here/guest/init" "$root/init"
	install -m 755 "$here/guest/agent" "$root/bin/agent"
	add "$(program iperf3 /usr/bin/iperf3 iperf3 libiperf0 libsctp1)" /usr/bin/iperf3
	for file in $files; do
		add "${file%%:*}" "${file#*:}"
	done
	# libc loads it by name to cancel a thread
	unwinder=/usr/lib/x86_64-linux-gnu/libgcc_s.so.1
	[ ! -e $unwinder ] || add $unwinder $unwinder
	(cd "$root" && find . | "$busybox" cpio -o -H newc 2>/dev/null) |
		gzip -1 > "$work/initrd.gz"
	mv "$work/initrd.gz" "$1"
}

kernel
# What an initramfs is made of names it: the arguments, this script and the files that go in.
key=$({
	echo "$kver $modules $files"
	cat "$here/guest-image.sh" "$here/guest/init" "$here/guest/agent"
	for file in /bin/busybox /usr/bin/iperf3 $files; do
		find "${file%%:*}" -printf '%p %s %T@\n' 2>/dev/null || :
	done
} | md5sum | cut -c 1-12)
target=$cache/$kver/initrd-$key.gz
if [ -f "$target" ]; then
	touch "$target"
else
	initrd "$target"
	find "$cache/$kver" -maxdepth 1 -name 'initrd-*.gz' -mtime +30 -delete	# nobody uses these
fi
ln -sf "$cache/$kver/vmlinuz" "$out/vmlinuz"
ln -sf "$target" "$out/initrd.gz"
