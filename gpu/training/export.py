# SPDX-License-Identifier: MIT
"""Write a checkpoint's averaged weights as half-precision safetensors, under the public model's tensor names.

    python3 export.py --state STATE.pt --out portrait-drawing.safetensors --licence LICENCE
"""
import argparse

import torch

import tensors


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--state", required=True)
    args.add_argument("--out", required=True)
    args.add_argument("--licence", default="MIT")
    args = args.parse_args()
    state = torch.load(args.state, map_location="cpu")
    metadata = {
        "architecture": "UGATIT generator, light, PyTorch layout",
        "channels": str(state["channels"]),
        "residual_blocks": "4",
        "input": "RGB, NCHW, [-1,1], 256x256",
        "output": "RGB, tanh",
        "licence": args.licence,
        "training": f"{state['step']} steps of distillation from CartoonGAN (hosoda, Apache-2.0), see gpu/training",
    }
    tensors.save_half(args.out, state["average"], metadata)


if __name__ == "__main__":
    main()
