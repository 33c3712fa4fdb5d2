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
status=0
for program in "$build"/tests/fuzz/fuzz-*; do
    name=${program##*/fuzz-}
    [ -x "$program" ] && [ -f "$program" ] || continue
    [ $# = 0 ] || [[ " $* " = *" $name "* ]] || continue
    mkdir -p "$build/corpus/$name"
    if "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=65536 \
        -print_final_stats=0 -verbosity=0 -artifact_prefix="$build/crashes/$name-" \
        "$build/corpus/$name" "corpus/$name" >"$build/crashes/$name.log" 2>&1; then
        echo "fuzz-$name: nothing in $seconds s"
    else
        tail -30 "$build/crashes/$name.log"
        echo "fuzz-$name: FAILED, see $build/crashes"
        status=1
    fi
done
exit "$status"
