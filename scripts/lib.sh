# Sourced by the other scripts: messages, packages, the FUSE device.
# shellcheck shell=bash

if [[ -t 1 ]]; then bold=$'\e[1m' dim=$'\e[2m' plain_text=$'\e[0m'; else bold='' dim='' plain_text=''; fi

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain_text"; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root and there is no sudo: $*"
    fi
}

# install_missing COMMAND=PACKAGE...: installs the packages of the commands that are not there.
install_missing() {
    local pair missing=()
    for pair; do
        command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    ((${#missing[@]} == 0)) && return
    command -v apt-get >/dev/null || die "please install: ${missing[*]}"
    say "Installing ${missing[*]}"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qy --no-install-recommends "${missing[@]}"
}

# Where cargo builds, and the test tools beside it.
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
tools=$target/tools
export PATH=$tools/bin:$PATH

# tool NAME VERSION: a test tool from crates.io, built once. Without optimisation, for its compile
# time is most of what it costs; only fsx computes much.
tool() {
    [[ -x $tools/bin/$1 && -f $tools/$1-$2 ]] && return
    say "Building $1 $2"
    CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --force \
        --root "$tools" --target-dir "$tools/build" "$1@$2"
    touch "$tools/$1-$2"
}

# What a build and a mount need. libc6-dev comes apart from gcc without recommended packages.
install_build_and_fuse() {
    command -v cargo >/dev/null || die "Rust is missing: see https://rustup.rs"
    if command -v cc >/dev/null; then
        install_missing fusermount3=fuse3
    else
        install_missing fusermount3=fuse3 cc=gcc cc=libc6-dev
    fi
    [[ -c /dev/fuse ]] || as_root modprobe fuse || true
    [[ -c /dev/fuse ]] || die "there is no /dev/fuse: in a container, start it with --device /dev/fuse"
}

# Whether something is mounted at exactly this directory.
is_mounted() { grep -qF " $1 " /proc/self/mounts; }

# force_unmount DIR: also when it is in use, or the process behind it hangs (-f ends its requests).
# Succeeds when nothing is mounted there afterwards.
force_unmount() {
    is_mounted "$1" || return 0
    if ! fusermount3 -u "$1" 2>/dev/null; then
        if ((EUID == 0)); then umount -f -l "$1"; else fusermount3 -u -z "$1"; fi || true
    fi
    ! is_mounted "$1"
}
