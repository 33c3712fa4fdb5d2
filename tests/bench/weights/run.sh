#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh BUILD: makes a StyleGAN2-ADA snapshot of the 1024 network (133 MB) and the same tensors as files of
# torch.save, then opens each with weights_bench and with Python, in turns, from the page cache.
# PYTHON names an interpreter that has torch.
set -euo pipefail

build=$(cd "$1" && pwd)
python=${PYTHON:-/usr/bin/python3}
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 ../../support/stylegan_pickle.py "$folder/snapshot.pkl" --resolution 1024 --base 32768 --latent 512 --layers 8 \
    --only G_ema
"$python" peer.py make "$folder"
ls -l "$folder" | awk 'NR > 1 {print $5, $9}'
for file in snapshot.pkl state.pt state_legacy.pt; do
    cat "$folder/$file" >/dev/null
    "$build/tests/bench/weights/weights_bench" "$folder/$file"
    "$python" peer.py "$folder/$file"
done
