#!/usr/bin/env bash
# Runs xfstests' generic group against kmsfs.
#
#   XFSTESTS=DIR scripts/fstests.sh              the group "auto" but what fstests.exclude lists
#   XFSTESTS=DIR scripts/fstests.sh generic/013  only these tests, excluded or not
#
# DIR is a built xfstests tree (git.kernel.org, fs/xfs/xfstests-dev; `make` in it). Needs root. TEST_DEV and
# SCRATCH_DEV are two volumes, each on an XFS image of its own below FSTESTS_DIR (default /var/tmp) of
# FSTESTS_SIZE (default 20G, sparse). All of it happens in a mount namespace and is gone afterwards, but for
# the users that the tests want (fsgqa, fsgqa2, 123456-fsgqa) and the results (DIR/results). KMSFS names
# another binary than the release build. Exit status 0: every test that ran passed.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

((EUID == 0)) || die "xfstests needs root"
[[ -n ${XFSTESTS:-} ]] || die "XFSTESTS=DIR has to name a built xfstests tree"
XFSTESTS=$(realpath "$XFSTESTS")
[[ -x $XFSTESTS/check ]] || die "$XFSTESTS has no \`check\`: is it an xfstests tree?"
[[ -x $XFSTESTS/ltp/fsstress && -x $XFSTESTS/src/lstat64 ]] || die "$XFSTESTS is not built: run make in it"

install_missing mkfs.xfs=xfsprogs xfs_io=xfsprogs setfattr=attr setfacl=acl bc=bc perl=perl fio=fio \
    dbench=dbench quota=quota setcap=libcap2-bin killall=psmisc findmnt=util-linux python3=python3 \
    sqlite3=sqlite3 logger=bsdutils
[[ -c /dev/fuse ]] || die "there is no /dev/fuse"
if [[ -z ${KMSFS:-} ]]; then
    install_build_and_fuse
    cargo build --release --locked
    KMSFS=${CARGO_TARGET_DIR:-target}/release/kmsfs
fi
KMSFS=$(realpath "$KMSFS")

# A name that begins with a digit is not one that useradd takes.
for user in fsgqa fsgqa2 123456-fsgqa; do
    getent passwd "$user" >/dev/null && continue
    say "Adding the user $user, as xfstests wants it"
    useradd -U -m "$user" 2>/dev/null || useradd --badname -U -m "$user" 2>/dev/null || useradd --badnames -U -m "$user"
done

# Nothing is mounted or unmounted outside of the namespace, and nothing is removed inside of it: what is
# removed here has no mount in it.
work=$(mktemp -d "${FSTESTS_DIR:-/var/tmp}/kmsfs-fstests.XXXXXX")
chmod 755 "$work"
child=
cleanup() {
    local status=$?
    trap - EXIT INT TERM
    # Its end ends everything in its namespaces, and with them its mounts.
    if [[ -n $child ]]; then kill "$child" 2>/dev/null && wait "$child" || true; fi
    if grep -qF " $work" /proc/self/mounts; then die "something is mounted below $work: left alone"; fi
    rm -rf --one-file-system "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

export XFSTESTS KMSFS FSTESTS_SIZE=${FSTESTS_SIZE:-20G}
unshare --mount --pid --fork --kill-child --mount-proc scripts/fstests-inside.sh "$work" "$@" &
child=$!
wait "$child" && status=0 || status=$?
child=
exit "$status"
