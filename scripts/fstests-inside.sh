#!/usr/bin/env bash
# fstests-inside.sh DIR [TEST...]: what scripts/fstests.sh does in namespaces of its own (mount and pid). It
# makes two volumes below the empty directory DIR, runs check(1) of xfstests on them and sums up.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

work=$1
shift
exclude=$PWD/scripts/fstests.exclude
export KMSFS_HOME=$work/home KMSFS_PASSFILE=$work/passphrase
(umask 077 && head -c 24 /dev/urandom | base64 >"$KMSFS_PASSFILE")

# ---- two volumes, each on a filesystem of its own -------------------------------------------------

for name in test scratch; do
    truncate -s "$FSTESTS_SIZE" "$work/$name.img"
    mkfs.xfs -q "$work/$name.img"
    mkdir -p "$work/$name" "$work/xfs-$name"
    mount -o loop "$work/$name.img" "$work/xfs-$name"
    # Only root may enter: a backing directory has the modes of its mount.
    chmod 700 "$work/xfs-$name"
    "$KMSFS" init "$work/xfs-$name/volume" --policy everyone
done

# The helper lies beside the programs of /sbin, where mount(8) looks for it. Devices are names: umount(8)
# takes a directory for a mount point, and xfstests unmounts by device. mount(8) keeps `dev` and `suid` to
# itself, so they come from here.
mkdir "$work/helpers"
ln -s "$KMSFS" "$work/mount.fuse.kmsfs"
cat >"$work/helpers/mount.fuse.kmsfs" <<HELPER
#!/bin/sh
export KMSFS_HOME='$KMSFS_HOME' KMSFS_PASSFILE='$KMSFS_PASSFILE'
device=\$1 point=\$2
shift 2
case \$device in
kmsfs-test) backing='$work/xfs-test/volume' ;;
kmsfs-scratch) backing='$work/xfs-scratch/volume' ;;
*) echo "mount.fuse.kmsfs: there is no device \$device" >&2; exit 32 ;;
esac
exec '$work/mount.fuse.kmsfs' "\$backing" "\$point" -o "fsname=\$device,dev,suid" "\$@"
HELPER
chmod 755 "$work/helpers/mount.fuse.kmsfs"
sbin=$(realpath /sbin)
mount -t overlay overlay -o "lowerdir=$work/helpers:$sbin" "$sbin" ||
    die "this kernel has no overlayfs to put the mount helper into /sbin with: modprobe overlay"

cat >"$work/local.config" <<CONFIG
export FSTYP=fuse
export FUSE_SUBTYP=.kmsfs
export TEST_DEV=kmsfs-test
export TEST_DIR=$work/test
export SCRATCH_DEV=kmsfs-scratch
export SCRATCH_MNT=$work/scratch
export TEST_FS_MOUNT_OPTS="-o allow_other"
export MOUNT_OPTIONS="-o allow_other"
CONFIG

# ---- the run --------------------------------------------------------------------------------------

sed -e 's/#.*//' -e 's/[[:space:]].*//' -e '/^$/d' "$exclude" >"$work/exclude"
tests=(-g generic/auto -E "$work/exclude")
if (($#)); then tests=("$@"); fi
excluded=$(($# ? 0 : $(wc -l <"$work/exclude")))
cd "$XFSTESTS"
say "xfstests on kmsfs: ${tests[*]}"
status=0
HOST_OPTIONS=$work/local.config ./check "${tests[@]}" 2>&1 | tee "$work/output" || status=$?

# check(1) ends with "Ran:", "Not run:" and "Failures:", each before a list of tests; "Ran:" has those in
# it that were not run.
list() { sed -n "s/^$1: *//p" "$work/output" | tail -n 1 | tr ' ' '\n' | sed '/^$/d' | sort -u; }
ran=$(comm -23 <(list Ran) <(list 'Not run') | wc -l)
failed=$(list Failures | wc -l)
say "Summary"
printf '%-9s %4d\n' ran "$ran" passed $((ran - failed)) failed "$failed" \
    'not run' "$(list 'Not run' | wc -l)" excluded "$excluded"
list Failures | sed 's/^/failed: /'
((ran > 0)) || die "nothing ran: see above"
((status == 0 && failed == 0))
