# SPDX-License-Identifier: MIT
"""The digits' generator as it is run, and the discriminator that it is trained against.

The generator is GAN-Demonstrator's: dense, then four transposed convolutions of 5x5 with batch norm (eps 1e-3) and ReLU
between them, and a sigmoid. "Same" padding is Keras': of the full scatter (2n + 3 at stride 2) one row and column are cut
off before and two after, at stride 1 two and two. Features lie channels first, unlike in Keras.

A transposed convolution of stride 2 is an ordinary 3x3 one for each of the four parities of its output; so it is trained,
since oneDNN has bfloat16 for those. `python3 network.py` checks that both are the same.
"""
import torch
from torch import nn
import torch.nn.functional as F

LATENT, LABELS, EPS = 100, 10, 1e-3
CONV_DTYPE = torch.float32


def set_conv_dtype(dtype: torch.dtype) -> None:
    global CONV_DTYPE
    CONV_DTYPE = dtype


def conv(x: torch.Tensor, weight: torch.Tensor, stride: int, pad: int) -> torch.Tensor:
    x = x.to(CONV_DTYPE).contiguous(memory_format=torch.channels_last)
    weight = weight.to(CONV_DTYPE).contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, weight, None, stride, pad).float()


class Deconv(nn.Module):
    """Weights are [in][out][5][5], as PyTorch has them."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.randn(inputs, outputs, 5, 5) * (2.0 / (inputs * 25 / stride**2)) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def textbook(self, x):
        if self.stride == 1:
            return F.conv_transpose2d(x, self.weight, self.bias, 1, 2)
        return F.conv_transpose2d(x, self.weight, self.bias, 2, 1)[:, :, :-1, :-1]

    def forward(self, x):
        if self.stride == 1:
            y = conv(x, self.weight.flip(2, 3).transpose(0, 1), 1, 2)
        else:
            # Row 2y + p of the output is the sum over k of row y + (p + 1 - k) / 2 of the input: even rows take
            # kernel rows 3, 1 of the input rows y - 1, y, and odd rows 4, 2, 0 of y - 1, y, y + 1.
            padded = F.pad(self.weight, (0, 1, 0, 1))  # index 5 is zero
            pick = {0: [3, 1, 5], 1: [4, 2, 0]}
            parts = [padded[:, :, pick[p]][:, :, :, pick[q]] for p in (0, 1) for q in (0, 1)]
            y = conv(x, torch.stack(parts, 2).flatten(1, 2).transpose(0, 1), 1, 1)
            y = F.pixel_shuffle(y, 2)
        return y + self.bias.view(1, -1, 1, 1)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(LATENT + LABELS, 128 * 7 * 7)
        widths = (128, 128, 64, 32)
        for i, width in enumerate(widths):
            setattr(self, f"norm{i}", nn.BatchNorm2d(width, eps=EPS, momentum=0.01))
        for i, (inputs, outputs) in enumerate(zip(widths, widths[1:] + (1,))):
            setattr(self, f"deconv{i}", Deconv(inputs, outputs, 2 if i < 2 else 1))

    def forward(self, z, labels, textbook=False):
        x = self.dense(torch.cat([z, F.one_hot(labels, LABELS).to(z.dtype)], 1)).view(-1, 128, 7, 7)
        for i in range(4):
            layer = getattr(self, f"deconv{i}")
            x = F.relu(getattr(self, f"norm{i}")(x))
            x = layer.textbook(x) if textbook else layer(x)
        return torch.sigmoid(x)


class Discriminator(nn.Module):
    """Spectrally normalised, with the label as a projection; never shipped."""

    def __init__(self):
        super().__init__()
        norm = nn.utils.spectral_norm
        self.convs = nn.ModuleList(norm(nn.Conv2d(i, o, 5, 2, 2)) for i, o in ((1, 64), (64, 128), (128, 256)))
        self.judge = norm(nn.Linear(256 * 16, 1))
        self.inner = norm(nn.Linear(256 * 16, 128))
        self.label = norm(nn.Embedding(LABELS, 128))

    def forward(self, x, labels):
        for layer in self.convs:
            # Forward hooks compute the normalised weight; the convolution itself runs in CONV_DTYPE.
            for hook in layer._forward_pre_hooks.values():
                hook(layer, ())
            x = F.leaky_relu(conv(x, layer.weight, 2, 2) + layer.bias.view(1, -1, 1, 1), 0.2)
        x = x.flatten(1)
        return self.judge(x).squeeze(1) + (F.leaky_relu(self.inner(x), 0.2) * self.label(labels)).sum(1)


if __name__ == "__main__":
    torch.manual_seed(1)
    g = Generator().eval()
    z, labels = torch.rand(3, LATENT) * 2 - 1, torch.tensor([0, 5, 9])
    assert torch.allclose(g(z, labels), g(z, labels, textbook=True), atol=1e-5)
    print(sum(p.numel() for p in g.parameters()) + sum(b.numel() for n, b in g.named_buffers() if "running" in n))
