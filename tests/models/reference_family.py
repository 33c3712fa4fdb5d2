# SPDX-License-Identifier: MIT
"""What the references of the residual family share: files in, files out.

    import reference_family
    reference_family.main(random_state, trace, low=-1, high=1)

gives a script its command line:

    SCRIPT GOLDEN --size N [--weights OUT | --trained FILE] [--channels 4] [--seed 1] [--picture FILE]

GOLDEN is a safetensors file with "input", "output" and, for random weights, the output of every layer as "layer000" …
in the order of gpu/models. --weights writes random ones, --trained reads somebody's. Exit status 77: no PyTorch here.
"""
import argparse
import pathlib
import sys

try:
    import torch
except ImportError:
    print("python3-torch is not installed")
    sys.exit(77)

import reference_ugatit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import random_ugatit  # noqa: E402


def uniform(*shape, scale=1.0):
    """Values of both signs, of this standard deviation."""
    return (torch.rand(*shape) * 2 - 1) * scale * 3 ** 0.5


def kernel(outputs, inputs, size):
    """Random, and such that what comes out is about as great as what went in."""
    return uniform(outputs, inputs, size, size, scale=(inputs * size * size) ** -0.5)


def instance_norm(x, epsilon, scale=None, shift=None):
    """Population variance, as every original here has it."""
    mean = x.mean((2, 3), keepdim=True)
    y = (x - mean) / (((x - mean) ** 2).mean((2, 3), keepdim=True) + epsilon).sqrt()
    return y if scale is None else y * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)


def read(path):
    if str(path).endswith(".safetensors"):
        return reference_ugatit.read_safetensors(path)
    return torch.load(path, map_location="cpu")


def photograph(path, size, low, high, bgr):
    from PIL import Image
    picture = Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    x = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(1, size, size, 3).permute(0, 3, 1, 2)
    x = x.float() / 255 * (high - low) + low
    return x.flip(1) if bgr else x


def main(random_state, trace, low=-1.0, high=1.0, bgr=False):
    parser = argparse.ArgumentParser()
    parser.add_argument("golden")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--weights")
    parser.add_argument("--trained")
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--picture")
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(args.seed)
    state = read(args.trained) if args.trained else random_state(args.channels)
    if args.weights:
        random_ugatit.write(args.weights, [(name, "F32", tuple(value.shape), value.contiguous().numpy().tobytes())
                                           for name, value in state.items()])
    if args.picture:
        x = photograph(args.picture, args.size, low, high, bgr)
    else:
        x = torch.rand(1, 3, args.size, args.size) * (high - low) + low
    with torch.no_grad():
        layers = list(trace({name: value.double() for name, value in state.items()}, x.double()))
    named = [("input", x), ("output", layers[-1])]
    if not args.trained:
        named += [(f"layer{i:03d}", value) for i, value in enumerate(layers)]
    random_ugatit.write(args.golden, [(name, "F32", (value.numel(),), value.float().contiguous().numpy().tobytes())
                                      for name, value in named])
