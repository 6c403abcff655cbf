#!/usr/bin/env bash
# Builds kmsfs and installs it under PREFIX (default /usr/local), with the names by which mount(8)
# calls it: `mount -t fuse.kmsfs` and fstab lines of that type work afterwards.
# DESTDIR stages the installation for a package.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

prefix=${PREFIX:-/usr/local}
stage=${DESTDIR:-}

install_build_and_fuse
say "Building kmsfs"
cargo build --release --locked

# Another owner of the target directory needs no root.
run=as_root
if [[ -n $stage ]]; then run=command; fi

say "Installing to $stage$prefix/bin/kmsfs"
$run install -D -m 755 "${CARGO_TARGET_DIR:-target}/release/kmsfs" "$stage$prefix/bin/kmsfs"
# mount(8) looks for its helpers in /sbin only.
$run mkdir -p "$stage/sbin"
for name in mount.fuse.kmsfs mount.kmsfs; do
    $run ln -sf "$prefix/bin/kmsfs" "$stage/sbin/$name"
done

if [[ -z $stage ]]; then "$prefix/bin/kmsfs" --version; fi
