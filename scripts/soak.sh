#!/usr/bin/env bash
# The long loads, each on a fresh mount of the release build: what scripts/test.sh puts on it for seconds,
# here at full length. As root, or as a user with sudo. Exit status 0 means that every step passed. Logs are
# in target/soak-logs.
#
#   scripts/soak.sh            everything, an hour and more
#   scripts/soak.sh STEP...    only these steps: their names are in the summary
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh
only=" $* "
logs=soak-logs
export KMSFS_KILLS=100
# shellcheck source=scripts/steps.sh
source scripts/steps.sh

install_build_and_fuse
install_missing python3=python3 setpriv=util-linux

say "Running"
step release 1800 cargo build --locked --release

step kms-kills 1800 env KMSFS="$target/release/kmsfs" scripts/kms.sh -k kills
step fuzz 3600 scripts/fuzz.sh 60
step model 3600 env PROPTEST_CASES=20000 cargo test --locked --lib fs::tests::random
step audit 3600 env TMPDIR="$work" AUDIT_RECORDS=10000000 cargo test --locked --release --lib audit::tests::segments::a_long_log -- --nocapture
step power 3600 env POWER_SEEDS=100 cargo test --locked --lib fs::tests::power
step kills 3600 env TMPDIR="$work" "${runner[@]}" cargo test --locked --test mount kill_load
for profile in everything small blocks large mapped holes; do load "fsx-$profile" 3600 long; done
load ranges 3600 long
load fio 1800 long
load stress-ng 900 long
load dbench 600 long
load git 900 long
load sqlite 900 long
load postgresql 1200 long
load many-files 3600 long
load tree 5400 long

finish "loads"
