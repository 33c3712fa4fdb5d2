#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes random U-GAT-IT weights as safetensors; the standard library is enough.

    random_ugatit.py OUT [--channels 8] [--blocks 4] [--full SIZE] [--type F32|F16|BF16] [--seed 1] [--quick]

--quick: large tensors in BF16 from raw random bits, a gigabyte in seconds; for measuring speed.

The picture is noise, but every layer has outputs of a healthy size, as trained weights have.
"""
import argparse
import array
import json
import math
import random
import struct
import sys


def shapes(channels, blocks, full):
    """Names and shapes of the generator's tensors, in the order of the original's state_dict."""
    ch, inner = channels, 4 * channels
    yield "gap_fc.weight", (1, inner)
    yield "gmp_fc.weight", (1, inner)
    yield "conv1x1.weight", (inner, 2 * inner, 1, 1)
    yield "conv1x1.bias", (inner,)
    yield "gamma.weight", (inner, inner)
    yield "beta.weight", (inner, inner)
    for i in range(1, blocks + 1):
        for half in (1, 2):
            yield f"UpBlock1_{i}.conv{half}.weight", (inner, inner, 3, 3)
            yield f"UpBlock1_{i}.norm{half}.rho", (1, inner, 1, 1)
    yield "DownBlock.1.weight", (ch, 3, 7, 7)
    yield "DownBlock.5.weight", (2 * ch, ch, 3, 3)
    yield "DownBlock.9.weight", (inner, 2 * ch, 3, 3)
    for i in range(12, 12 + blocks):
        for half in (1, 5):
            yield f"DownBlock.{i}.conv_block.{half}.weight", (inner, inner, 3, 3)
    pixels = (full // 4) ** 2 if full else 1
    yield "FC.0.weight", (inner, inner * pixels)
    yield "FC.2.weight", (inner, inner)
    for position, out in ((2, 2 * ch), (7, ch)):
        yield f"UpBlock2.{position}.weight", (out, 2 * out, 3, 3)
        for part in ("rho", "gamma", "beta"):
            yield f"UpBlock2.{position + 1}.{part}", (1, out, 1, 1)
    yield "UpBlock2.11.weight", (3, ch, 7, 7)


def values(name, shape, rng):
    """As many floats as the shape has, in a range that suits the tensor's role."""
    count = 1
    for dim in shape:
        count *= dim
    if name.endswith(".rho"):
        low, high = 0.0, 1.0
    elif name.endswith((".gamma", "gap_fc.weight", "gmp_fc.weight")):
        low, high = 0.5, 1.5
    elif name.endswith((".beta", ".bias")):
        low, high = -0.5, 0.5
    else:
        high = (6.0 * len(shape) / 2 / (count / shape[0])) ** 0.5
        low = -high
    span = high - low
    # A gigabyte of random numbers takes minutes; repeated, but in no step with the rows, it does as well.
    some = array.array("f", [low + span * rng.random() for _ in range(min(count, (1 << 20) + 7))])
    return some if len(some) == count else (some * (count // len(some) + 1))[:count]


def encode(floats, kind):
    if kind == "F32":
        return floats.tobytes() if sys.byteorder == "little" else floats.byteswap()
    if kind == "F16":
        return struct.pack(f"<{len(floats)}e", *floats)
    halves = array.array("I", floats.tobytes())
    return array.array("H", [h >> 16 for h in halves]).tobytes()


QUICK_VALUES = 100000


def quick(shape, rng):
    """BF16 with random signs, exponents of one octave and mantissas; as wide as values() has them."""
    count = 1
    for dim in shape:
        count *= dim
    exponent = 127 + round(math.log2((3.0 * len(shape) / 2 / (count / shape[0])) ** 0.5)) - 1
    bits = bytearray()
    while len(bits) < 2 * count:
        bits += rng.randbytes(min(2 * count - len(bits), 1 << 24))
    high = bytes((byte & 0x80) | (exponent >> 1) for byte in range(256))
    low = bytes((byte & 0x7f) | (exponent & 1) << 7 for byte in range(256))
    bits[1::2] = bits[1::2].translate(high)
    bits[0::2] = bits[0::2].translate(low)
    return bytes(bits)


def make(name, shape, rng, kind, in_a_hurry):
    count = 1
    for dim in shape:
        count *= dim
    if in_a_hurry and count >= QUICK_VALUES:
        return name, "BF16", shape, quick(shape, rng)
    return name, kind, shape, encode(values(name, shape, rng), kind)


def write(path, tensors):
    """`tensors`: (name, type, shape, bytes) each."""
    header, position = {}, 0
    for name, kind, shape, data in tensors:
        header[name] = {"dtype": kind, "shape": list(shape),
                        "data_offsets": [position, position + len(data)]}
        position += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, _, data in tensors:
            file.write(data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--full", type=int, metavar="SIZE", help="full, for pictures of this size")
    parser.add_argument("--type", choices=("F32", "F16", "BF16"), default="F32")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    write(args.out, [make(name, shape, rng, args.type, args.quick)
                     for name, shape in shapes(args.channels, args.blocks, args.full)])


if __name__ == "__main__":
    main()
