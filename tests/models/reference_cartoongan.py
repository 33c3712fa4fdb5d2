# SPDX-License-Identifier: MIT
"""CartoonGAN's generator in PyTorch's own layers, independently of gpu/: see reference_family.py."""
import reference_family
import torch
import torch.nn.functional as F
from reference_family import kernel, uniform

RANGE = (-1, 1)


def random_state(ch):
    state = {}

    def conv(name, outputs, inputs, size=3):
        state[f"{name}.weight"] = kernel(outputs, inputs, size)
        state[f"{name}.bias"] = uniform(outputs, scale=0.2)

    def norm(name, channels):
        state[f"{name}.scale"] = torch.rand(channels) + 0.5
        state[f"{name}.shift"] = uniform(channels, scale=0.3)

    conv("conv01_1", ch, 3, 7)
    norm("in01_1", ch)
    for number, width in ((2, 2 * ch), (3, 4 * ch)):
        conv(f"conv{number:02d}_1", width, width // 2)
        conv(f"conv{number:02d}_2", width, width)
        norm(f"in{number:02d}_1", width)
    for number in range(4, 12):
        for part in (1, 2):
            conv(f"conv{number:02d}_{part}", 4 * ch, 4 * ch)
            norm(f"in{number:02d}_{part}", 4 * ch)
    for number, width in ((1, 2 * ch), (2, ch)):
        state[f"deconv{number:02d}_1.weight"] = kernel(2 * width, width, 3)
        state[f"deconv{number:02d}_1.bias"] = uniform(width, scale=0.2)
        conv(f"deconv{number:02d}_2", width, width)
        norm(f"in{number + 11}_1", width)
    conv("deconv03_1", 3, ch, 7)
    return state


def trace(state, x):
    """The output of every layer, in the order of gpu/models/cartoongan.c."""
    def conv(name, x, reflect=0, **options):
        if reflect:
            x = F.pad(x, (reflect,) * 4, mode="reflect")
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    def norm(name, x):
        return reference_family.instance_norm(x, 1e-9, state[f"{name}.scale"], state[f"{name}.shift"])

    def norm_relu(name, x):
        yield (x := norm(name, x))
        yield F.relu(x)

    def last(layers):
        nonlocal x
        for x in layers:
            yield x

    yield x
    yield (x := conv("conv01_1", x, 3))
    yield from last(norm_relu("in01_1", x))
    for number in (2, 3):
        yield (x := conv(f"conv{number:02d}_1", x, stride=2, padding=1))
        yield (x := conv(f"conv{number:02d}_2", x, padding=1))
        yield from last(norm_relu(f"in{number:02d}_1", x))
    for number in range(4, 12):
        shortcut = x
        yield (x := conv(f"conv{number:02d}_1", x, 1))
        yield from last(norm_relu(f"in{number:02d}_1", x))
        yield (x := conv(f"conv{number:02d}_2", x, 1))
        yield (x := norm(f"in{number:02d}_2", x))
        yield (x := x + shortcut)
    for number in (1, 2):
        name = f"deconv{number:02d}"
        yield (x := F.conv_transpose2d(x, state[f"{name}_1.weight"], state[f"{name}_1.bias"], stride=2, padding=1,
                                       output_padding=1))
        yield (x := conv(f"{name}_2", x, padding=1))
        yield from last(norm_relu(f"in{number + 11}_1", x))
    yield (x := conv("deconv03_1", x, 3))
    yield torch.tanh(x)
