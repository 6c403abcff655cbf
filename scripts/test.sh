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

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
tools=$target/tools
logs=$target/test-logs
only=" $* "
export CARGO_TERM_COLOR=never RUST_BACKTRACE=1

# Everything the tests mount lies here. On a disk: a tmpfs has no user.* xattrs before Linux 6.6.
work=$(mktemp -d /var/tmp/kmsfs-tests.XXXXXX)
chmod 755 "$work"
child=
cleanup() {
    local status=$? point
    trap - EXIT INT TERM
    cd /
    # timeout(1) passes it on to everything the step started.
    if [[ -n $child ]]; then kill "$child" 2>/dev/null && wait "$child" || true; fi
    # -f ends the requests of a mount whose process hangs, so that what waits for them ends too.
    { grep -oE " $work[^ ]*" /proc/self/mounts || true; } | tac | while read -r point; do
        as_root umount -f -l "$point" || true
    done
    if ! grep -qF " $work" /proc/self/mounts; then as_root rm -rf "$work"; fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

summary=()
failed=0

# Whether the caller asked for this step: all of them, unless some were named.
wanted() { [[ $only == "  " || $only == *" $1 "* ]]; }

# step NAME SECONDS COMMAND...: runs one step, at most that long, and goes on whatever comes of it.
step() {
    local name=$1 limit=$2 log=$logs/$1.log start=$SECONDS result
    shift 2
    wanted "$name" || return 0
    printf '%-18s ' "$name"
    # In the background, because bash runs no trap while it waits for a command in the foreground.
    timeout --kill-after=20 "$limit" "$@" >"$log" 2>&1 </dev/null &
    child=$!
    if wait "$child"; then
        result=ok
    else
        result="FAILED (status $?)"
        failed=1
    fi
    child=
    printf '%-22s %4d s\n' "$result" $((SECONDS - start))
    summary+=("$(printf '%-18s %-22s %4d s' "$name" "$result" $((SECONDS - start)))")
    if [[ $result != ok ]]; then tail -n 60 "$log" | sed 's/^/    /'; fi
}

# note NAME TEXT: a line of the summary for what could not be run.
note() {
    printf '%-18s %s\n' "$1" "$2"
    summary+=("$(printf '%-18s %s' "$1" "$2")")
}

# ---- what the tests need --------------------------------------------------------------------

install_build_and_fuse
install_missing git=git sqlite3=sqlite3 setfattr=attr setfacl=acl flock=util-linux diff=diffutils
# udev gives the device this mode; in containers it is often root's alone, and then fusermount3,
# which opens it as the calling user, could not be tested.
[[ $(stat -c %a /dev/fuse) == 666 ]] || as_root chmod 666 /dev/fuse
mkdir -p "$logs" "$tools"

# tool NAME VERSION: a test tool from crates.io, built once. Without optimisation, for its compile
# time is most of what it costs; only fsx computes much.
tool() {
    [[ -x $tools/bin/$1 && -f $tools/$1-$2 ]] && return
    say "Building $1 $2"
    CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --force \
        --root "$tools" --target-dir "$tools/build" "$1@$2"
    touch "$tools/$1-$2"
}
tool cargo-deny 0.20.2
tool pjdfstest 0.2.2
CARGO_PROFILE_DEV_OPT_LEVEL=1 tool fsx 0.3.2
export PATH=$tools/bin:$PATH

# ---- the code -------------------------------------------------------------------------------

say "Running"
step fmt 60 cargo fmt --check
step clippy 600 cargo clippy --locked --all-targets -- -D warnings
step docs 600 env RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
step deny 120 cargo deny check --hide-inclusion-graph bans licenses sources
if ! wanted advisories; then
    :
elif cargo deny fetch db >"$logs/advisories.log" 2>&1 && ! grep -q 'failed to fetch' "$logs/advisories.log"; then
    step advisories 120 cargo deny check --disable-fetch advisories
else
    note advisories "NOT RUN: the RustSec database cannot be reached from here"
fi
step unit 900 cargo test --locked --lib --bins
step doctests 300 cargo test --locked --doc

# ---- real mounts ----------------------------------------------------------------------------

# The tests need root; cargo does not: it starts the test programs through sudo.
runner=() sudo=()
if ((EUID != 0)); then
    triple=$(rustc -vV | sed -n 's/^host: //p' | tr a-z- A-Z_)
    runner=("CARGO_TARGET_${triple}_RUNNER=sudo env TMPDIR=$work HOME=$HOME PATH=$PATH")
    sudo=(sudo)
fi
step mounts 900 env TMPDIR="$work" "${runner[@]}" cargo test --locked --no-fail-fast --test '*'
step release 900 cargo build --locked --release

# mounted NAME SECONDS COMMAND...: a step inside a fresh mount of the release build.
mounted() {
    local name=$1 limit=$2
    shift 2
    step "$name" "$limit" "${sudo[@]}" unshare --mount --pid --fork --kill-child --mount-proc \
        scripts/mounted.sh "$target/release/kmsfs" "$work/$name" "$@"
}
# -s is another filesystem, for the EXDEV cases. The EROFS cases remount the mount read-only, which
# the kernel refuses once an earlier case has left a removed file open: they come on their own.
posix=("$tools/bin/pjdfstest" -s /dev/shm)
mounted pjdfstest 600 "${posix[@]}" -c "$PWD/scripts/pjdfstest.toml" -p "$work/pjdfstest/plain"
sed 's/^allow_remount = false/allow_remount = true/' scripts/pjdfstest.toml >"$work/erofs.toml"
mounted erofs 120 "${posix[@]}" -c "$work/erofs.toml" -p "$work/erofs/plain" erofs

for profile in everything small blocks; do
    # shellcheck disable=SC2016
    mounted "fsx-$profile" 300 bash -euc \
        'for seed in 1 2 3 4; do "$0" -q -f "$1" -P "$2" -S "$seed" -N 10000 "file $seed"; done' \
        "$tools/bin/fsx" "$PWD/scripts/fsx/$profile.toml" "$logs"
done

# ---- summary --------------------------------------------------------------------------------

say "Summary"
printf '%s\n' "${summary[@]}"
if ((failed)); then
    printf '\nSome steps FAILED. Logs: %s\n' "$logs"
    exit 1
fi
printf '\nAll steps passed in %d minutes.\n' $(((SECONDS + 59) / 60))
