#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch's own layers for the digits' generator: random weights, random inputs and what every layer makes of them.

    reference_cgan.py WEIGHTS GOLDEN [--seed 1]

Independent of gpu/: the transposed convolutions are PyTorch's, in double precision, cut to Keras' "same". Exits with 77
where PyTorch is not installed.
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import random_ugatit  # noqa: E402

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit(77)

WIDTHS, STRIDES = (128, 128, 64, 32, 1), (2, 2, 1, 1)


def random_state():
    state = {"dense.weight": torch.randn(6272, 110) / 8, "dense.bias": torch.randn(6272) / 4}
    for i in range(4):
        inputs, outputs = WIDTHS[i], WIDTHS[i + 1]
        state[f"norm{i}.weight"] = torch.rand(inputs) + 0.5
        state[f"norm{i}.bias"] = torch.randn(inputs) / 4
        state[f"norm{i}.running_mean"] = torch.randn(inputs) / 4
        state[f"norm{i}.running_var"] = torch.rand(inputs) + 0.1
        state[f"deconv{i}.weight"] = torch.randn(inputs, outputs, 5, 5) * (2 / (inputs * 25 / STRIDES[i] ** 2)) ** 0.5
        state[f"deconv{i}.bias"] = torch.randn(outputs) / 4
    return state


def deconv(x, weight, bias, stride):
    """Everything that is scattered, then one row and column less before and two after (stride 1: two and two)."""
    y = F.conv_transpose2d(x, weight, bias, stride)
    before = (5 - stride) // 2
    size = x.shape[2] * stride
    return y[:, :, before:before + size, before:before + size]


def trace(state, x):
    """The output of every layer, in the order of gpu/models/cgan.c."""
    state = {name: value.double() for name, value in state.items()}
    yield x
    x = F.linear(x, state["dense.weight"], state["dense.bias"])
    yield x
    x = x.view(-1, 128, 7, 7)
    yield x
    for i in range(4):
        norm = [state[f"norm{i}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        x = F.batch_norm(x, *norm, training=False, eps=1e-3)
        yield x
        x = F.relu(x)
        yield x
        x = deconv(x, state[f"deconv{i}.weight"], state[f"deconv{i}.bias"], STRIDES[i])
        yield x
    yield torch.sigmoid(x)


def tensor(name, value):
    return name, "F32", tuple(value.shape), value.float().contiguous().numpy().tobytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("weights")
    parser.add_argument("golden")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    state = random_state()
    x = torch.cat([torch.rand(1, 100) * 2 - 1, F.one_hot(torch.tensor([7]), 10).float()], 1)
    random_ugatit.write(args.weights, [tensor(name, value) for name, value in state.items()])
    with torch.no_grad():
        random_ugatit.write(args.golden, [tensor(f"layer{i:03d}", value.flatten())
                                          for i, value in enumerate(trace(state, x.double()))])


if __name__ == "__main__":
    main()
