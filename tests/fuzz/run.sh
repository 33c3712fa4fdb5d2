#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh BUILD SECONDS [TARGET...]: runs the libFuzzer programs of a build made with
#   CC=clang meson setup BUILD -Dfuzz=true
# each for SECONDS, starting from its corpus. What it learns stays in BUILD/corpus; a crash is left
# in BUILD/crashes and ends with status 1: copy its file into tests/fuzz/corpus, then fix it.
set -euo pipefail

build=$(cd "$1" && pwd)
seconds=$2
shift 2
cd "$(dirname "$0")"
mkdir -p "$build/crashes"
export build seconds

fuzz_one() {
    local name=$1
    mkdir -p "$build/corpus/$name"
    if "$build/tests/fuzz/fuzz-$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
        -print_final_stats=0 -verbosity=0 -artifact_prefix="$build/crashes/$name-" \
        "$build/corpus/$name" "corpus/$name" >"$build/crashes/$name.log" 2>&1; then
        echo "fuzz-$name: nothing in $seconds s"
    else
        tail -30 "$build/crashes/$name.log"
        echo "fuzz-$name: FAILED, see $build/crashes"
        return 1
    fi
}
export -f fuzz_one

names=()
for program in "$build"/tests/fuzz/fuzz-*; do
    name=${program##*/fuzz-}
    [ -x "$program" ] && [ -f "$program" ] || continue
    [ $# = 0 ] || [[ " $* " = *" $name "* ]] || continue
    names+=("$name")
done
# One for each core; xargs' own status says whether one of them failed.
printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz_one {}'
