#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# How a soak test says what it did. Sourced.

# versions: what was run on what.
versions() {
	cat <<-VERSIONS
	zcnet $(git -C "$ZC_ROOT" rev-parse --short HEAD), DPDK $(pkg-config --modversion libdpdk),
	$(cc --version | head -n 1), $(uname -sm) $(uname -r | sed "s,-.*,,").
	VERSIONS
}

# section NAME: stdin becomes that section of doc/soak.md; the others stay as they are.
section() {
	doc=$ZC_ROOT/doc/soak.md
	tmp=$(mktemp)
	{
		awk -v name="$1" '/^## / { mine = $2 == name } !mine' "$doc"
		printf '\n## %s\n\n' "$1"
		cat
	} >"$tmp"
	cat -s "$tmp" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' >"$doc"
	rm "$tmp"
}
