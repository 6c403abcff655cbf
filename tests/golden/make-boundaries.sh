#!/usr/bin/env bash
# Makes the archive of the golden volume with boundary directories with a kmsfs of that time. As root, once:
# what is frozen is never made again.
#
#   tests/golden/make-boundaries.sh KMSFS ARCHIVE
set -euo pipefail
kmsfs=$(realpath "$1") archive=$(realpath -m "$2")
tree=$(realpath "$(dirname "$0")/boundaries.sh")
work=$(mktemp -d /var/tmp/kmsfs-golden.XXXXXX)
trap 'if mountpoint -q "$work/mnt"; then umount "$work/mnt"; fi; rm -rf "$work"' EXIT
cd "$work"
umask 077

echo 'correct horse battery staple' >passfile
export KMSFS_HOME=$work/home KMSFS_PASSFILE=$work/passfile
mkdir mnt
"$kmsfs" init backing --policy everyone >/dev/null
for name in hr payroll; do "$kmsfs" key create --alias "$name" >/dev/null; done
"$kmsfs" mount backing mnt -o allow_other
"$tree" mnt "$kmsfs" set-key
"$kmsfs" umount mnt
"$kmsfs" audit verify
"$kmsfs" fsck backing
tar --create --gzip --file "$archive" --format=posix --numeric-owner --sparse --acls --xattrs \
    --xattrs-include='*' home backing
