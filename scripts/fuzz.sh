#!/usr/bin/env bash
# Fuzzes everything that is parsed from disk or network, from the committed corpus on: each target of
# fuzz/ for some seconds, one a processor. A finding fails and is kept in target/fuzz-findings; new
# inputs go to target/fuzz-corpus, to be added to fuzz/corpus where they are worth it.
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]      20 seconds, all targets
#
# cargo-fuzz asks the compiler for options that are not stable: RUSTC_BOOTSTRAP lets a stable one take
# them. Without a sanitizer: there is no `unsafe` in what is fuzzed.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/lib.sh
source scripts/lib.sh

seconds=${1:-20}
if (($# > 1)); then
    targets=("${@:2}")
else
    mapfile -t targets < <(basename -s .rs fuzz/fuzz_targets/*.rs)
fi
tool cargo-fuzz 0.13.2
export RUSTC_BOOTSTRAP=1
say "Building ${#targets[@]} targets"
cargo fuzz build --fuzz-dir fuzz --sanitizer none --target-dir "$target/fuzz"
programs=$target/fuzz/$(rustc -vV | sed -n 's/^host: //p')/release
mkdir -p "$target/fuzz-findings"

one() {
    local name=$1 log=$target/fuzz-findings/$1.log
    mkdir -p "$target/fuzz-corpus/$name"
    if "$programs/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=8192 \
        -print_final_stats=1 -artifact_prefix="$target/fuzz-findings/$name-" \
        "$target/fuzz-corpus/$name" "fuzz/corpus/$name" >"$log" 2>&1; then
        printf '%-18s %10s inputs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    else
        printf '%-18s FAILED\n' "$name"
        tail -n 40 "$log"
        return 1
    fi
}
export -f one
export target programs seconds
say "Fuzzing each for $seconds s"
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -euo pipefail -c 'one {}'
