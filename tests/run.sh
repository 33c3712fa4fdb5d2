#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh [--quick]: installs what the tests need, builds and runs them. Ends with one line,
# "N passed, N failed, N skipped", and an exit status that agrees with it.
#
#   --quick   only the plain build, without sanitizers, fuzzing and the browser
#
# With DARKROOM_REDIS_SERVER=/path/to/redis-server (or valkey-server) on that one instead of the installed one; its
# redis-cli (valkey-cli) has to be beside it.
#
# Three builds, each in a folder of its own: build-test (gcc, as the README says), build-asan
# (address and undefined-behaviour sanitizers), build-fuzz (clang, libFuzzer).
set -euo pipefail

ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$ROOT"
. deploy/packages.sh

quick=''
case ${1:-} in
'') ;;
--quick) quick=yes ;;
*) echo "usage: tests/run.sh [--quick]" >&2; exit 64 ;;
esac

# Seconds for each libFuzzer target; long runs are started by hand with a larger number.
FUZZ_SECONDS=${FUZZ_SECONDS:-4}

packages_install "${PACKAGES_RUN[@]}" "${PACKAGES_TEST[@]}"

logs=()
status=0
failed=0 # outside meson: fuzzing

# build NAME TARGET MESON-OPTION...
build() {
    local dir=build-$1 target=$2
    shift 2
    local log=$dir.log
    if { [ -f "$dir/build.ninja" ] || meson setup "$dir" -Dwerror=true -Dweb=enabled "$@"; } >"$log" 2>&1 &&
        ninja -C "$dir" "$target" >"$log" 2>&1; then
        rm -f "$log"
        return
    fi
    tail -40 "$log"
    echo "$dir could not be built; the whole log: $log"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}

# The builds with sanitizers and for fuzzing, on what the suites beside them leave of the processors.
build_others() {
    renice -n 19 -p "$BASHPID" >/dev/null
    build asan all -Db_sanitize=address,undefined -Db_lundef=false -Dcuda=disabled
    # Without oneDNN: clang would bring an OpenMP of its own beside the one that Debian's links.
    CC=clang CXX=clang++ build fuzz fuzz-programs -Dfuzz=true -Dcuda=disabled -Donednn=disabled
}

# suites NAME SUITE...: runs them in build-NAME and remembers the log to count
suites() {
    local name=$1 dir=build-$1 args=()
    shift
    # Those that wait for servers' deadlines most of the time: one more than there are cores.
    [ "$1" != integration ] || args=(--num-processes "$(($(nproc) + 1))")
    for suite in "$@"; do args+=(--suite "$suite"); done
    printf '\n== %s: %s\n' "$name" "$*"
    meson test -C "$dir" --no-rebuild --logbase "log-$1" "${args[@]}" || status=1
    logs+=("$dir/meson-logs/log-$1.json")
}

npm_install() {
    [ -d "$1/node_modules" ] || (cd "$1" && npm ci --no-progress --loglevel=error)
}

# One suite after the other where they start servers: two cores, and deadlines that are real.
npm_install tests/browser
npm_install tests/webhooks
npm_install tests/traces
npm_install tests/deploy
packages_unpack cloud-init tests/deploy/cloud-init
build test all --buildtype=release
suites test unit headers style model gpu fuzz-replay
# Twice would take five minutes more: with sanitizers where there is time, else without.
if [ -n "$quick" ]; then
    suites test integration
else
    build_others &
    others=$!
fi
suites test chaos
if [ -z "$quick" ]; then
    suites test browser
    wait "$others" || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
    suites asan unit fuzz-replay
    suites asan integration
    tests/fuzz/run.sh build-fuzz "$FUZZ_SECONDS" || failed=1
fi

/usr/bin/python3 tests/support/count.py --may-skip gpu --failed "$failed" "${logs[@]}" || status=1
exit "$status"
