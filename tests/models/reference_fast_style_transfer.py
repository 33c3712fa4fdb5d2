# SPDX-License-Identifier: MIT
"""Fast style transfer's network in PyTorch, from TensorFlow's variables, independently of gpu/: see reference_family.py.

The output is that of tanh; the original makes bytes of it by tanh * 150 + 127.5."""
import reference_family
import torch
import torch.nn.functional as F
from reference_family import kernel, uniform

RANGE = (0, 255)


def name(number):
    return f"Variable_{number}" if number else "Variable"


def random_state(ch):
    widths = [(9, 3, ch), (3, ch, 2 * ch), (3, 2 * ch, 4 * ch)] + [(3, 4 * ch, 4 * ch)] * 10
    widths += [(3, 4 * ch, 2 * ch), (3, 2 * ch, ch), (9, ch, 3)]
    state = {}
    for k, (size, inputs, outputs) in enumerate(widths):
        state[name(3 * k)] = kernel(outputs, inputs, size).permute(2, 3, 1, 0)
        if k in (13, 14):  # transposed convolutions: height, width, outputs, inputs
            state[name(3 * k)] = state[name(3 * k)].transpose(2, 3)
        state[name(3 * k + 1)] = uniform(outputs, scale=0.3)
        state[name(3 * k + 2)] = torch.rand(outputs) + 0.5
    return state


def trace(state, x):
    """The output of every layer, in the order of gpu/models/fast_style_transfer.c."""
    def same(size, kernel_size, stride):
        """TensorFlow's SAME: rows of padding in front and behind."""
        total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
        return total // 2, total - total // 2

    def conv(k, x, stride=1):
        weight = state[name(3 * k)].permute(3, 2, 0, 1)
        top, bottom = same(x.shape[2], weight.shape[2], stride)
        left, right = same(x.shape[3], weight.shape[3], stride)
        return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, stride=stride)

    def deconv(k, x):
        """The gradient of a SAME convolution with stride 2: its padding is what is cut off."""
        top, _ = same(2 * x.shape[2], 3, 2)
        left, _ = same(2 * x.shape[3], 3, 2)
        y = F.conv_transpose2d(x, state[name(3 * k)].permute(3, 2, 0, 1), stride=2)
        return y[:, :, top:top + 2 * x.shape[2], left:left + 2 * x.shape[3]]

    def norm(k, x):
        return reference_family.instance_norm(x, 1e-3, state[name(3 * k + 2)], state[name(3 * k + 1)])

    yield x
    for k, stride in ((0, 1), (1, 2), (2, 2)):
        yield (x := conv(k, x, stride))
        yield (x := norm(k, x))
        yield (x := F.relu(x))
    for k in range(3, 13, 2):
        shortcut = x
        yield (x := conv(k, x))
        yield (x := norm(k, x))
        yield (x := F.relu(x))
        yield (x := conv(k + 1, x))
        yield (x := norm(k + 1, x))
        yield (x := x + shortcut)
    for k in (13, 14):
        yield (x := deconv(k, x))
        yield (x := norm(k, x))
        yield (x := F.relu(x))
    yield (x := conv(15, x))
    yield (x := norm(15, x))
    yield torch.tanh(x)
