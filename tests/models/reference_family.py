# SPDX-License-Identifier: MIT
"""What the references of the residual family share; references.py runs them.

A reference is a module reference_NAME with random_state(channels), trace(state, x), which yields the output of every layer
in the order of gpu/models, and RANGE, the least and the greatest value of a picture. GOLDEN is a safetensors file with
"input", "output" and, for random weights, which are written to WEIGHTS, "layer000" …
"""
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


def record(golden, trace, state, x, layers):
    """Writes what `trace` makes of `x`."""
    with torch.no_grad():
        outputs = list(trace({name: value.double() for name, value in state.items()}, x.double()))
    named = [("input", x), ("output", outputs[-1])]
    named += [(f"layer{i:03d}", value) for i, value in enumerate(outputs)] if layers else []
    write(golden, {name: value.float().flatten() for name, value in named})


def write(path, state):
    random_ugatit.write(path, [(name, "F32", tuple(value.shape), value.contiguous().numpy().tobytes())
                               for name, value in state.items()])
