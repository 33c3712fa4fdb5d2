#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Everything that wants a GPU, in one go and under eight minutes: builds, checks and times the networks
# on this machine, and prints a table last.
#
#     tests/gpu/run.sh [BUILD]                  default: build-gpu
#     tests/gpu/run.sh --fetch-packages DIR     where there is a network: the packages below, to be carried
#
# Needs gcc, meson and ninja, jansson and OpenSSL's headers; nvcc for the GPU, oneDNN for the CPU, python3 (with
# PyTorch for CUDA: to be compared with). What is not installed is taken from PACKAGES (default: .packages), a
# folder of Debian packages, which are unpacked beside the build and never installed.
#
# Each part has a time limit of its own and prints as it goes; one that is left out says why. OUT names
# a folder for the log, the lines of JSON and the table. Exit status 1: a check failed.
set -uo pipefail
cd "$(dirname "$0")/../.."

packages=(libjansson-dev libjansson4 libssl-dev libssl3 libdnnl-dev libdnnl2 ocl-icd-libopencl1)
if [ "${1:-}" = --fetch-packages ]; then
    mkdir -p "${2:?folder}" && cd "$2" && exec apt-get download "${packages[@]}"
fi

build=${1:-build-gpu}
out=${OUT:-$(mktemp -d)}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
began=$SECONDS
exec > >(tee "$out/run.log") 2>&1
tee_pid=$!

say() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - began)); }
left_out() { printf -- '-- left out: %s\n' "$*"; }
# check SECONDS COMMAND...: one that must succeed.
check() {
    local limit=$1 status=0
    shift
    timeout -k 5 "$limit" "$@" || status=$?
    [ $status -eq 0 ] || { echo "** FAILED ($status): $*"; failed=1; }
    return $status
}

# ---- what there is ---------------------------------------------------------------------------------

say "machine"
sed -n 's/^model name\t*: /cpu: /p' /proc/cpuinfo | head -1
echo "cores: $(nproc), matrix units: $(grep -qw amx_bf16 /proc/cpuinfo && echo AMX || echo none)"
gpu='' nvcc=''
if command -v nvidia-smi >/dev/null && nvidia-smi -L >"$work/gpus" 2>&1 && [ -s "$work/gpus" ]; then
    gpu=yes
    nvidia-smi --query-gpu=name,memory.total,driver_version,clocks.max.sm --format=csv,noheader
fi
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
[ -n "$gpu" ] || left_out "everything on a GPU: nvidia-smi lists none here"
[ -n "$nvcc" ] || left_out "the CUDA backend: no nvcc here, nor in /usr/local/cuda/bin"

if ls "${PACKAGES:-.packages}"/*.deb >/dev/null 2>&1; then
    for package in "${PACKAGES:-.packages}"/*.deb; do
        dpkg -x "$package" "$work/root"
    done
    lib=$work/root/usr/lib/x86_64-linux-gnu
    export CPATH="$work/root/usr/include:$work/root/usr/include/x86_64-linux-gnu${CPATH:+:$CPATH}"
    export LIBRARY_PATH="$lib${LIBRARY_PATH:+:$LIBRARY_PATH}"
    ours=(env "LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}")
else
    ours=()
fi

# ---- build -----------------------------------------------------------------------------------------

say "build"
cuda=disabled
[ -z "$gpu" ] || [ -z "$nvcc" ] || cuda=enabled
if [ ! -f "$build/build.ninja" ]; then
    check 60 meson setup "$build" -Dengine_only=true -Dhdf5=disabled -Dcuda=$cuda --buildtype=release >"$out/setup.log" 2>&1 ||
        { tail -20 "$out/setup.log"; exit 1; }
fi
check 240 ninja -C "$build" >"$out/build.log" 2>&1 || { tail -30 "$out/build.log"; exit 1; }
echo "built in $((SECONDS - began)) s"
bench=$(realpath "$build")/tests/gpu/engine-bench
ls -l "$bench" | awk '{print "engine-bench: " $5 " bytes"}'

# ---- check -----------------------------------------------------------------------------------------

say "tests"
check 120 "${ours[@]}" meson test -C "$build" --no-rebuild --suite gpu --print-errorlogs >"$out/tests.log"
grep -E ' (OK|SKIP|FAIL|ERROR|TIMEOUT) |not ok|^# ' "$out/tests.log"

# sanitize TOOL: with an error exit where it finds anything.
sanitize() {
    local status=0
    timeout -k 5 60 "${ours[@]}" env "DARKROOM_TESTS=$PWD/tests" compute-sanitizer --tool "$1" --error-exitcode 9 \
        "$build/tests/gpu/test-model-cuda" >"$out/$1.log" 2>&1 || status=$?
    if [ $status -eq 0 ]; then
        echo "$1: clean"
    elif [ $status -eq 9 ] || grep -q 'ERROR SUMMARY: [1-9]' "$out/$1.log"; then
        echo "** FAILED: $1"
        grep -E '=========|ERROR' "$out/$1.log" | head -20
        failed=1
    else
        left_out "$1: compute-sanitizer ended with $status here: $(tail -1 "$out/$1.log")"
    fi
}
say "compute-sanitizer"
if [ -z "$gpu" ]; then
    left_out "no GPU"
elif ! command -v compute-sanitizer >/dev/null; then
    left_out "it is not installed"
else
    sanitize memcheck
    sanitize racecheck
fi

# ---- time ------------------------------------------------------------------------------------------

say "random weights, 64 channels"
python=$(command -v python3)
for kind in light full; do
    size=()
    [ $kind = light ] || size=(--full 256)
    check 60 "$python" tests/support/random_ugatit.py "$work/$kind" --channels 64 --type BF16 --quick "${size[@]}"
done

lines=$out/bench.jsonl
: >"$lines"
# measure LIMIT NAME MODEL OPTIONS...: a line of JSON for each batch size, and how it went.
measure() {
    local limit=$1 name=$2 status=0
    shift 2
    timeout -k 5 "$limit" "${ours[@]}" "$bench" "$@" --json >"$work/lines" 2>"$work/error" || status=$?
    if [ $status -ne 0 ]; then
        left_out "$name $*: $(head -1 "$work/error") (status $status)"
        # A device that is not there or a precision that is not supported is no failure; a crash is.
        [ $status -eq 65 ] || failed=1
        return
    fi
    "$python" - "$name" "$work/lines" "$lines" <<'PY'
import json, sys
name, source, target = sys.argv[1:]
with open(target, "a") as out:
    for line in open(source):
        row = json.loads(line)
        row["model"] = name
        peak = f"{100 * row['of_peak']:.1f} % of peak" if row["of_peak"] else "peak unknown"
        if row["device"] == "cpu":
            row["device"] += f", {row['threads']} threads"
        print(f"{name} {row['device']} {row['precision']} batch {row['batch']}: {row['p50_ms']:.3f} ms a picture, "
              f"{row['images_per_s']:.1f} images/s, {row['tflops']:.2f} TFLOP/s, {peak}; ready {row['ready_ms']} ms after "
              f"exec, loaded again in {row['reload_ms']:.1f} ms, {row['device_bytes'] >> 20} MB on the device")
        out.write(json.dumps(row) + "\n")
PY
}

say "GPU"
if [ -z "$gpu" ] || [ -z "$nvcc" ]; then
    left_out "no GPU, or no nvcc"
else
    for precision in f16 bf16 f32; do
        batches=1,2,4,8,16,32 seconds=1
        [ $precision != f32 ] || batches=1,8
        measure 60 light "$work/light" --device cuda --precision $precision --batch $batches --seconds $seconds
    done
    measure 60 full "$work/full" --device cuda --precision f16 --batch 1,8,32 --seconds 1
    measure 30 portrait-drawing portrait-drawing --device cuda --precision f16 --batch 1,8,32 --seconds 1
fi

say "CPU"
for threads in $(printf '%s\n' 2 "$(nproc)" | sort -nu); do
    for precision in f32 bf16; do
        measure 40 light "$work/light" --device cpu --precision $precision --threads "$threads" --seconds 1
    done
done
measure 40 full "$work/full" --device cpu --precision bf16 --threads 2 --seconds 1
if [ -x "$build/tests/bench/tiles/tile-bench" ]; then
    OMP_NUM_THREADS=2 timeout 40 "${ours[@]}" "$build/tests/bench/tiles/tile-bench" --seconds 0.1 || failed=1
else
    left_out "tile-bench: built without oneDNN"
fi

say "PyTorch on the same GPU, f16, channels_last, CUDA graphs"
if [ -z "$gpu" ]; then
    left_out "no GPU"
elif ! "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    left_out "no PyTorch that can use it"
else
    limit=$((450 - (SECONDS - began)))
    [ $limit -gt 20 ] || limit=20
    timeout -k 5 $limit "$python" tests/bench/ugatit/peers.py cuda --batch 1,32,8 --seconds 1 | tee "$work/peers" ||
        left_out "PyTorch's rest: out of time"
    grep '^{' "$work/peers" >>"$lines"
fi

# ---- the table -------------------------------------------------------------------------------------

say "table"
"$python" - "$lines" <<'PY' | tee "$out/table.txt"
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
print(f"{'model':<18} {'device':<14} {'type':<5} {'batch':>5} {'p50 ms':>9} {'p95 ms':>9} {'images/s':>10} {'TFLOP/s':>9} "
      f"{'of peak':>8} {'ready ms':>8} {'reload':>8} {'MB':>6}")
for row in rows:
    def text(name, form, scale=1):
        value = row.get(name)
        return "-" if value is None else format(value * scale, form)
    print(f"{row['model']:<18} {row['device']:<14} {row['precision']:<5} {row['batch']:>5} {text('p50_ms', '.3f'):>9} "
          f"{text('p95_ms', '.3f'):>9} {text('images_per_s', '.1f'):>10} {text('tflops', '.2f'):>9} "
          f"{text('of_peak', '.0%'):>8} {text('ready_ms', 'd'):>8} {text('reload_ms', '.1f'):>8} "
          f"{text('rss_bytes' if row['device'].startswith('cpu') else 'device_bytes', '.0f', 1e-6):>6}")
def rate(device, batch):
    found = [r["images_per_s"] for r in rows
             if (r["model"], r["device"], r["precision"], r["batch"]) == ("light", device, "f16", batch)]
    return found[0] if found else None
for batch in (1, 8, 32):
    ours, peers = rate("cuda", batch), [r for r in (rate("torch-compile", batch), rate("torch-graph", batch)) if r]
    if ours and peers:
        print(f"light, batch {batch}: {ours / max(peers):.2f} times the faster of PyTorch's two")
if not rows:
    print("nothing was measured")
PY
echo "$((SECONDS - began)) s; $([ $failed = 0 ] && echo 'every check passed' || echo 'SOME CHECK FAILED')"
exec >/dev/null 2>&1
wait $tee_pid
exit $failed
