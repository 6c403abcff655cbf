#!/usr/bin/env bash
# mounted.sh KMSFS DIR COMMAND...
#
# Makes a volume in the new directory DIR, mounts it for every user and runs the command inside;
# then checks that every file it left is the same after a remount, and that the audit log is intact.
# Needs root and namespaces of its own (unshare --mount --pid --fork --kill-child --mount-proc): it
# puts a directory with mount(8)'s helper over /sbin, and nothing it starts may outlive it.
set -euo pipefail

kmsfs=$1 dir=$2
shift 2
mkdir -p "$dir/plain" "$dir/sbin"
ln -s "$kmsfs" "$dir/sbin/mount.fuse.kmsfs"
mount --bind "$dir/sbin" "$(realpath /sbin)"
(umask 077 && head -c 24 /dev/urandom | base64 >"$dir/passphrase")
export KMSFS=$kmsfs KMSFS_HOME=$dir/home KMSFS_PASSFILE=$dir/passphrase

"$kmsfs" init "$dir/vault" --policy everyone
"$kmsfs" mount "$dir/vault" "$dir/plain" -o allow_other
cd "$dir/plain"
chmod 755 .
"$@"

sums() { find . -type f -print0 | sort -z | xargs -0 -r sha256sum; }
sums >"$dir/before"
cd "$dir"
"$kmsfs" umount plain
"$kmsfs" mount vault plain -o allow_other
cd plain
sums >"$dir/after"
cd "$dir"
diff before after
"$kmsfs" umount plain
"$kmsfs" audit verify
