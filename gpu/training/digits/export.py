# SPDX-License-Identifier: MIT
"""Write a checkpoint's averaged weights as half-precision safetensors, under the names that gpu/models/cgan.c reads.

    python3 export.py --state STATE.pt --out digits.safetensors
"""
import argparse
import pathlib
import sys

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tensors  # noqa: E402


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--state", required=True)
    args.add_argument("--out", required=True)
    args = args.parse_args()
    state = torch.load(args.state, map_location="cpu")
    weights = {name: value for name, value in state["average"].items() if not name.endswith("num_batches_tracked")}
    tensors.save_half(args.out, weights, {
        "architecture": "conditional GAN generator for MNIST, GAN-Demonstrator's layers, PyTorch layout",
        "input": "100 random numbers in [-1,1), one-hot digit",
        "output": "28x28 grey, sigmoid",
        "licence": "MIT",
        "training": f"{state['step']} steps of 64 on MNIST's training set, see gpu/training/digits",
    })


if __name__ == "__main__":
    main()
