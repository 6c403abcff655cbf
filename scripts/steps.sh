# Sourced by test.sh and soak.sh: named steps with a limit of time, their logs, and what they leave.
# Before it is sourced, `logs` names the directory of the logs and `only` the steps asked for.
# shellcheck shell=bash disable=SC2154

logs=$target/$logs
export CARGO_TERM_COLOR=never RUST_BACKTRACE=1
mkdir -p "$logs"

# Everything the steps mount lies here. On a disk: a tmpfs has no user.* xattrs before Linux 6.6.
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
    if ! grep -qF " $work" /proc/self/mounts; then as_root rm -rf --one-file-system "$work"; fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

summary=()
failed=0

# Whether the caller asked for this step: all of them, unless some were named.
wanted() { [[ $only == "  " || $only == *" $1 "* ]]; }

# step NAME SECONDS COMMAND...: runs one step, at most that long, and goes on whatever comes of it. What
# it has printed as "figure: ..." is shown in the summary.
step() {
    local name=$1 limit=$2 log=$logs/$1.log start=$SECONDS result figures
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
    figures=$(sed -n 's/^figure: //p' "$log" | paste -sd ';' | sed 's/;/; /g')
    printf '%-22s %4d s  %s\n' "$result" $((SECONDS - start)) "$figures"
    summary+=("$(printf '%-18s %-22s %4d s  %s' "$name" "$result" $((SECONDS - start)) "$figures")")
    if [[ $result != ok ]]; then tail -n 60 "$log" | sed 's/^/    /'; fi
}

# note NAME TEXT: a line of the summary for what could not be run.
note() {
    printf '%-18s %s\n' "$1" "$2"
    summary+=("$(printf '%-18s %s' "$1" "$2")")
}

sudo=()
if ((EUID != 0)); then sudo=(sudo); fi

# The tests need root; cargo does not: it starts the test programs through sudo.
runner=()
if ((EUID != 0)); then
    triple=$(rustc -vV | sed -n 's/^host: //p' | tr a-z- A-Z_)
    runner=("CARGO_TARGET_${triple}_RUNNER=sudo env TMPDIR=$work HOME=$HOME PATH=$PATH ${KMSFS_KILLS:+KMSFS_KILLS=$KMSFS_KILLS}")
fi

# mounted NAME SECONDS COMMAND...: a step inside a fresh mount of the release build, started with what
# `around` says.
around=()
mounted() {
    local name=$1 limit=$2
    shift 2
    step "$name" "$limit" "${sudo[@]}" "${around[@]}" env "PATH=$PATH" unshare --mount --pid --fork --kill-child --mount-proc \
        scripts/mounted.sh "$target/release/kmsfs" "$work/$name" "$@"
}

# load NAME SECONDS SCALE: a step that puts a load of scripts/loads on a fresh mount.
load() {
    install_for_load "$1"
    local around=()
    if [[ $1 == tree ]]; then around=(prlimit --nofile=1024:1024); fi
    mounted "$1" "$2" "$PWD/scripts/loads/run.sh" "$1" "$3"
}

# What the load NAME calls.
install_for_load() {
    wanted "$1" || return 0
    case $1 in
    fsx-*) CARGO_PROFILE_DEV_OPT_LEVEL=1 tool fsx 0.3.2 ;;
    fio) install_missing fio=fio ;;
    stress-ng) install_missing stress-ng=stress-ng ;;
    dbench) install_missing dbench=dbench ;;
    git) install_missing git=git ;;
    sqlite) install_missing sqlite3=sqlite3 ;;
    # Its programs lie outside of PATH.
    postgresql) [[ -n $(compgen -G '/usr/lib/postgresql/*/bin/initdb') ]] || install_missing no-initdb=postgresql ;;
    esac
}

# finish WHAT: the summary, and the exit status of the script.
finish() {
    say "Summary"
    printf '%s\n' "${summary[@]}"
    if ((failed)); then
        printf '\nSome steps FAILED. Logs: %s\n' "$logs"
        exit 1
    fi
    printf '\nAll %s passed in %d minutes.\n' "$1" $(((SECONDS + 59) / 60))
}
