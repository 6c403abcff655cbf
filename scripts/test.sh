#!/usr/bin/env bash
# Installs what the tests need and runs all of them. As root, or as a user with sudo (the mount
# tests need root). Exit status 0 means that every step passed. Logs are in target/test-logs.
#
#   scripts/test.sh            everything
#   scripts/test.sh STEP...    only these steps: their names are in the summary
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

only=" $* "
logs=test-logs
# shellcheck source=scripts/steps.sh
source scripts/steps.sh

# ---- what the tests need --------------------------------------------------------------------

install_build_and_fuse
install_missing git=git sqlite3=sqlite3 setfattr=attr setfacl=acl flock=util-linux diff=diffutils
# udev gives the device this mode; in containers it is often root's alone, and then fusermount3,
# which opens it as the calling user, could not be tested.
[[ $(stat -c %a /dev/fuse) == 666 ]] || as_root chmod 666 /dev/fuse
tool cargo-deny 0.20.2
tool pjdfstest 0.2.2
CARGO_PROFILE_DEV_OPT_LEVEL=1 tool fsx 0.3.2

# ---- the code -------------------------------------------------------------------------------

say "Running"
step fmt 60 cargo fmt --check
step clippy 1200 cargo clippy --locked --all-targets -- -D warnings
step docs 900 env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
step deny 120 cargo deny check --hide-inclusion-graph bans licenses sources
if ! wanted advisories; then
    :
elif cargo deny fetch db >"$logs/advisories.log" 2>&1 && ! grep -q 'failed to fetch' "$logs/advisories.log"; then
    step advisories 120 cargo deny check --disable-fetch advisories
else
    note advisories "NOT RUN: the RustSec database cannot be reached from here"
fi
step unit 1800 cargo test --locked --lib --bins
step fuzz 1200 scripts/fuzz.sh 5
step doctests 300 cargo test --locked --doc

# ---- real mounts ----------------------------------------------------------------------------

step mounts 1500 env TMPDIR="$work" "${runner[@]}" cargo test --locked --no-fail-fast --test '*'
# Without what makes a release faster still, and its compilation slower by minutes.
step release 1800 env CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo build --locked --release
step kms 900 env KMSFS="$target/release/kmsfs" scripts/kms.sh

# -s is another filesystem, for the EXDEV cases. The EROFS cases remount the mount read-only, which
# the kernel refuses once an earlier case has left a removed file open: they come on their own.
posix=("$tools/bin/pjdfstest" -s /dev/shm)
mounted pjdfstest 600 "${posix[@]}" -c "$PWD/scripts/pjdfstest.toml" -p "$work/pjdfstest/plain"
sed 's/^allow_remount = false/allow_remount = true/' scripts/pjdfstest.toml >"$work/erofs.toml"
mounted erofs 120 "${posix[@]}" -c "$work/erofs.toml" -p "$work/erofs/plain" erofs

# The loads of scripts/soak.sh, for seconds.
for profile in everything small blocks large mapped holes; do load "fsx-$profile" 300 short; done
for name in ranges fio stress-ng dbench git sqlite postgresql many-files tree; do load "$name" 300 short; done

# xfstests itself is not to be had from a package: a stand-in for its check(1) tests that scripts/fstests.sh
# brings up what xfstests asks for.
step fstests-harness 120 "${sudo[@]}" env XFSTESTS="$PWD/tests/fstests" FSTESTS_SIZE=400M FSTESTS_DIR="$work" \
    KMSFS="$target/release/kmsfs" scripts/fstests.sh

# ---- summary --------------------------------------------------------------------------------

finish steps
