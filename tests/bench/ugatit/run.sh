#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# U-GAT-IT light, 64 channels, 256x256, 2 threads, one picture at a time: ours in f32 and in bf16,
# ONNX Runtime and PyTorch (f32) in turns, on the same random weights and the same picture.
#
#     tests/bench/ugatit/run.sh BUILD [ROUNDS] [RUNS]
#
# Needs python3-torch, and onnxruntime-node in $ORT_MODULES (default: WORK below):
#     npm install --ignore-scripts onnxruntime-node@1.30.0
# A peer that is missing is left out and said so. SKIP_REF=1 leaves out the minutes that the oracle
# takes for the error.
set -euo pipefail
build=$(realpath "${1:?build directory}")
rounds=${2:-3}
runs=${3:-10}
kind=${4:-light}
size=256
threads=2
here=$(dirname "$(realpath "$0")")
tests=$(realpath "$here/../..")
work=${WORK:-$(mktemp -d)}
export ORT_MODULES=${ORT_MODULES:-$work}
python=/usr/bin/python3
bench=$build/tests/bench/ugatit/bench-model

full=()
[ "$kind" = light ] || full=(--full $size)
[ -f "$work/weights" ] ||
    $python "$tests/support/random_ugatit.py" "$work/weights" --channels 64 "${full[@]}"
$python - "$work/input" $size <<'PY'
import array, random, sys
rng, size = random.Random(7), int(sys.argv[2])
array.array("f", [rng.random() * 2 - 1 for _ in range(3 * size * size)]).tofile(open(sys.argv[1], "wb"))
PY
have_torch=yes have_ort=yes
$python -c 'import torch' 2>/dev/null || have_torch=no
[ -d "$ORT_MODULES/node_modules/onnxruntime-node" ] && [ $have_torch = yes ] || have_ort=no
[ $have_ort = no ] || [ -f "$work/model.onnx" ] ||
    $python "$here/peers.py" export "$work/weights" "$work/model.onnx" --size $size >/dev/null 2>&1

export OPENBLAS_CORETYPE=SKYLAKEX OMP_NUM_THREADS=$threads
lscpu | sed -n "s/^Model name: */$kind on /p"
for round in $(seq "$rounds"); do
    echo "darkroom $("$bench" "$work/weights" --threads $threads --runs "$runs" \
        --input "$work/input" --output "$work/ours")"
    echo "darkroom, no Winograd $("$bench" "$work/weights" --threads $threads --runs "$runs" \
        --input "$work/input" --no-winograd)"
    echo "darkroom-bf16 $("$bench" "$work/weights" --threads $threads --runs "$runs" \
        --precision bf16 --input "$work/input" --output "$work/bf16")"
    [ $have_ort = no ] || echo "onnxruntime $(node "$here/ort.mjs" "$work/model.onnx" \
        "$work/input" "$work/ort" $size $threads "$runs")"
    [ $have_torch = no ] || echo "pytorch $($python "$here/peers.py" torch "$work/weights" \
        "$work/input" "$work/torch" --size $size --threads $threads --runs "$runs" 2>/dev/null)"
done
[ $have_torch = yes ] || echo "pytorch: not installed, left out"
[ $have_ort = yes ] || echo "onnxruntime: not installed, left out"

if [ -z "${SKIP_REF:-}" ]; then
    [ -f "$work/ref" ] || "$bench" "$work/weights" --device ref --runs 0 --input "$work/input" \
        --output "$work/ref" >/dev/null
    for name in ours bf16 ort torch; do
        [ ! -f "$work/$name" ] || $python - "$work/$name" "$work/ref" $name <<'PY'
import array, os, sys
def floats(path):
    values = array.array("f")
    values.fromfile(open(path, "rb"), os.path.getsize(path) // 4)
    return values
a, b = floats(sys.argv[1]), floats(sys.argv[2])
print(f"{sys.argv[3]}: max abs error against ref {max(abs(x - y) for x, y in zip(a, b)):.2g}")
PY
    done
fi
