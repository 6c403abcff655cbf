#!/usr/bin/env bash
# Measures kmsfs beside other filesystems, in one run: installs the peers from Debian, builds kmsfs, and
# gives all of them the same loads in turn. Prints a table with ratios and writes results.json and a
# chart into a folder.
#
#   scripts/bench.sh FOLDER [--on DIR] [--rounds N] [--peers NAME,...] [--loads NAME,...]
#
# As root: page caches are dropped and filesystems mounted. Backing directories lie in a new tmpfs, or
# below DIR with --on. `scripts/bench.sh --help` tells the names.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
((EUID == 0)) || die "run it as root: it mounts filesystems and drops caches"

install_build_and_fuse
install_missing gocryptfs=gocryptfs securefs=securefs encfs=encfs cryfs=cryfs fio=fio /usr/bin/python3=python3 \
    cc=gcc pkg-config=pkg-config
# These have no command of their own.
pkg-config --exists fuse3 || install_missing no-fuse3-headers=libfuse3-dev
/usr/bin/python3 -c "import matplotlib" 2>/dev/null || install_missing no-matplotlib=python3-matplotlib

cargo build --locked --release
mkdir -p "$tools/bin"
example=/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c
if [[ ! -x $tools/bin/passthrough_ll ]]; then
    [[ -f $example || -f $example.gz ]] || die "$example is not there: is documentation excluded from packages?"
    if [[ -f $example ]]; then cat "$example"; else zcat "$example.gz"; fi >"$tools/passthrough_ll.c"
    # The helpers that it includes lie beside it.
    read -ra flags < <(pkg-config --cflags --libs fuse3)
    cc -O2 -w -I"$(dirname "$example")" "$tools/passthrough_ll.c" "${flags[@]}" -o "$tools/bin/passthrough_ll"
fi
exec unshare --mount env PATH="$target/release:$PATH" /usr/bin/python3 scripts/bench/main.py "$@"
