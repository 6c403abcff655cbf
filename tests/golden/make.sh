#!/usr/bin/env bash
# Makes the archive of a golden volume with a kmsfs of that time. As root, once per format version:
# what is frozen is never made again.
#
#   tests/golden/make.sh KMSFS ARCHIVE
set -euo pipefail
kmsfs=$(realpath "$1") archive=$(realpath -m "$2")
tree=$(realpath "$(dirname "$0")/tree.sh")
work=$(mktemp -d /var/tmp/kmsfs-golden.XXXXXX)
trap 'if mountpoint -q "$work/mnt"; then umount "$work/mnt"; fi; rm -rf "$work"' EXIT
cd "$work"
umask 077

echo 'correct horse battery staple' >passfile
export KMSFS_HOME=$work/home KMSFS_PASSFILE=$work/passfile
mkdir mnt
"$kmsfs" init backing --policy everyone --json >made.json
key=$(sed 's/.*"keyArn":"\([^"]*\)".*/\1/' made.json)
"$kmsfs" key create --alias disabled --description 'a key that is disabled' >/dev/null
"$kmsfs" key disable alias/disabled
"$kmsfs" mount backing mnt -o allow_other
"$tree" mnt first
"$kmsfs" umount mnt
"$kmsfs" key rotate "$key"
"$kmsfs" mount backing mnt -o allow_other
"$tree" mnt second
"$kmsfs" umount mnt
"$kmsfs" audit verify

# A home that a key file opens, and a volume of its own.
unset KMSFS_PASSFILE
export KMSFS_HOME=$work/keyed
"$kmsfs" --keyfile keyfile init keyed-backing --policy everyone >/dev/null
"$kmsfs" --keyfile keyfile mount keyed-backing mnt
echo 'under a key file' >mnt/file
"$kmsfs" --keyfile keyfile umount mnt

# tar(1) holds no sockets: mode, owner, time and backing name of each come beside it.
find backing -type s -printf '%m %U %G %T@ %p\n' >sockets
tar --create --gzip --file "$archive" --format=posix --numeric-owner --sparse --acls --xattrs \
    --xattrs-include='*' \
    home backing sockets keyed keyfile keyed-backing
