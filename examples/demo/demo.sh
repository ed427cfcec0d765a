#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A real Linux guest talks through zcnet, and its frames aren't copied. Started by "./dev demo".
set -eu

usage() {
	cat <<-END
	usage: demo.sh [--build DIR] [--shell] [--peer]

	  --build DIR  where zcnet is built, by default build
	  --shell      leave the guest running afterwards, with zcnet's shell on this terminal
	  --peer       the same with testpmd instead of zcnet: it copies every frame
	END
}

here=$(cd "$(dirname "$0")" && pwd)
ZC_BUILD=${ZC_BUILD:-$here/../../build}
shell=
while [ $# -gt 0 ]; do
	case $1 in
	--build) ZC_BUILD=${2:?--build needs a folder}; shift ;;
	--shell) shell=--shell ;;
	--peer) export ZC_SWITCH=testpmd ;;
	-h | --help) usage; exit ;;
	*) usage >&2; exit 2 ;;
	esac
	shift
done
export ZC_BUILD
if ! command -v python3 >/dev/null; then
	echo "demo: python3 is not installed: apt-get install python3" >&2
	exit 1
fi
exec python3 -B "$here/demo.py" $shell
