# SPDX-License-Identifier: MIT
"""Fast-SRGAN's generator in PyTorch's own layers, independently of gpu/: see reference_family.py."""
import reference_family
import torch
import torch.nn.functional as F
from reference_family import kernel, uniform

RANGE = (-1, 1)
BLOCKS = 3


def random_state(ch):
    """With and without one slope for all channels, which PyTorch has both."""
    state = {"neck.0.weight": kernel(ch, 3, 3), "neck.0.bias": uniform(ch, scale=0.2), "neck.1.weight": torch.rand(ch)}
    for i in range(BLOCKS):
        state[f"stem.{i}.conv1.weight"] = kernel(ch, ch, 3)
        state[f"stem.{i}.relu1.weight"] = torch.rand(1) - 0.5
        state[f"stem.{i}.conv2.weight"] = kernel(ch, ch, 3)
    state["bottleneck.0.weight"] = kernel(ch, ch, 3)
    for i in (0, 1):
        state[f"upsampling.{i}.conv.weight"] = kernel(4 * ch, ch, 3)
        state[f"upsampling.{i}.conv.bias"] = uniform(4 * ch, scale=0.2)
        state[f"upsampling.{i}.relu.weight"] = torch.rand(1)
    state["head.0.weight"] = kernel(3, ch, 3)
    state["head.0.bias"] = uniform(3, scale=0.2)
    return state


def trace(state, x):
    """The output of every layer, in the order of gpu/models/fast_srgan.c."""
    state = {key.removeprefix("_orig_mod."): value for key, value in state.items()}

    def conv(name, x):
        return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), padding=1)

    yield x
    yield (x := conv("neck.0", x))
    yield (x := F.prelu(x, state["neck.1.weight"]))
    neck = x
    for i in range(sum(key.endswith("conv1.weight") for key in state)):
        shortcut = x
        yield (x := conv(f"stem.{i}.conv1", x))
        yield (x := reference_family.instance_norm(x, 1e-5))
        yield (x := F.prelu(x, state[f"stem.{i}.relu1.weight"]))
        yield (x := conv(f"stem.{i}.conv2", x))
        yield (x := reference_family.instance_norm(x, 1e-5))
        yield (x := x + shortcut)
    yield (x := conv("bottleneck.0", x))
    yield (x := reference_family.instance_norm(x, 1e-5))
    yield (x := x + neck)
    for i in (0, 1):
        yield (x := conv(f"upsampling.{i}.conv", x))
        yield (x := F.pixel_shuffle(x, 2))
        yield (x := F.prelu(x, state[f"upsampling.{i}.relu.weight"]))
    yield (x := conv("head.0", x))
    yield torch.tanh(x)
