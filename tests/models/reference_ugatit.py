#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""U-GAT-IT's generator in PyTorch, written from the paper and the description of the public
implementation, independently of gpu/: what both ref/ and the backends are checked against.

    reference_ugatit.py WEIGHTS OUT --size 64 [--seed 1] [--output-only]

OUT is a safetensors file with "input", "output", "heat_map" and, unless --output-only, the output of every
layer as "layer000" … in the order of gpu/models/ugatit.c. Exit status 77: no PyTorch here.
"""
import argparse
import json
import os
import struct
import sys

try:
    import torch
    from torch import nn
except ImportError:
    print("python3-torch is not installed")
    sys.exit(77)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import random_ugatit  # noqa: E402

EPSILON = 1e-5


def keep(trace, x):
    if trace is not None:
        trace.append(x.detach().clone())
    return x


def conv(inputs, outputs, kernel, stride=1):
    return nn.Sequential(nn.ReflectionPad2d(kernel // 2),
                         nn.Conv2d(inputs, outputs, kernel, stride, bias=False))


class Norms(nn.Module):
    """rho * instance + (1 - rho) * layer, both with the unbiased variance of torch.var."""

    def __init__(self, channels, own):
        super().__init__()
        self.rho = nn.Parameter(torch.zeros(1, channels, 1, 1))
        if own:
            self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
            self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def mixed(self, x):
        instance_mean = torch.mean(x, dim=[2, 3], keepdim=True)
        instance_var = torch.var(x, dim=[2, 3], keepdim=True)
        layer_mean = torch.mean(x, dim=[1, 2, 3], keepdim=True)
        layer_var = torch.var(x, dim=[1, 2, 3], keepdim=True)
        instance = (x - instance_mean) / torch.sqrt(instance_var + EPSILON)
        layer = (x - layer_mean) / torch.sqrt(layer_var + EPSILON)
        return self.rho * instance + (1 - self.rho) * layer


class Ugatit(nn.Module):
    """Parameter names are those of the public implementation."""

    def __init__(self, channels, blocks, full):
        super().__init__()
        ch, inner = channels, 4 * channels
        self.blocks, self.full = blocks, full
        layers = {}
        layers["gap_fc"] = nn.Linear(inner, 1, bias=False)
        layers["gmp_fc"] = nn.Linear(inner, 1, bias=False)
        layers["conv1x1"] = nn.Conv2d(2 * inner, inner, 1)
        layers["gamma"] = nn.Linear(inner, inner, bias=False)
        layers["beta"] = nn.Linear(inner, inner, bias=False)
        pixels = (full // 4) ** 2 if full else 1
        layers["FC"] = nn.Sequential(nn.Linear(inner * pixels, inner, bias=False), nn.ReLU(),
                                     nn.Linear(inner, inner, bias=False), nn.ReLU())
        self.instance = nn.InstanceNorm2d(inner)  # no affine, no parameters: one serves all
        down = nn.Module()
        for place, (inputs, outputs, kernel) in {
                "1": (3, ch, 7), "5": (ch, 2 * ch, 3), "9": (2 * ch, inner, 3)}.items():
            down.add_module(place, nn.Conv2d(inputs, outputs, kernel, 1 if kernel == 7 else 2,
                                             bias=False))
        for i in range(12, 12 + blocks):
            block, body = nn.Module(), nn.Module()
            body.add_module("1", nn.Conv2d(inner, inner, 3, bias=False))
            body.add_module("5", nn.Conv2d(inner, inner, 3, bias=False))
            block.add_module("conv_block", body)
            down.add_module(str(i), block)
        layers["DownBlock"] = down
        for i in range(1, blocks + 1):
            block = nn.Module()
            for half in ("1", "2"):
                block.add_module("conv" + half, nn.Conv2d(inner, inner, 3, bias=False))
                block.add_module("norm" + half, Norms(inner, own=False))
            layers[f"UpBlock1_{i}"] = block
        up = nn.Module()
        for place, outputs in ((2, 2 * ch), (7, ch)):
            up.add_module(str(place), nn.Conv2d(2 * outputs, outputs, 3, bias=False))
            up.add_module(str(place + 1), Norms(outputs, own=True))
        up.add_module("11", nn.Conv2d(ch, 3, 7, bias=False))
        layers["UpBlock2"] = up
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.reflect1, self.reflect3 = nn.ReflectionPad2d(1), nn.ReflectionPad2d(3)
        self.twice = nn.Upsample(scale_factor=2, mode="nearest")

    def padded(self, convolution, x):
        pad = self.reflect3 if convolution.kernel_size[0] == 7 else self.reflect1
        return convolution(pad(x))

    def in_relu(self, trace, x):
        return keep(trace, torch.relu(keep(trace, self.instance(keep(trace, x)))))

    def forward(self, x, trace=None):
        down = self.DownBlock._modules
        keep(trace, x)
        for place in ("1", "5", "9"):
            x = self.in_relu(trace, self.padded(down[place], x))
        for i in range(12, 12 + self.blocks):
            body = down[str(i)].conv_block._modules
            y = self.in_relu(trace, self.padded(body["1"], x))
            y = keep(trace, self.instance(keep(trace, self.padded(body["5"], y))))
            x = keep(trace, x + y)

        channels = self.gap_fc.weight.shape[1]
        gap = x * self.gap_fc.weight.view(1, channels, 1, 1)
        gmp = x * self.gmp_fc.weight.view(1, channels, 1, 1)
        x = keep(trace, torch.cat([gap, gmp], dim=1))
        x = keep(trace, torch.relu(keep(trace, self.conv1x1(x))))
        self.heat_map = torch.sum(x, dim=1)

        if self.full:
            f = torch.flatten(x, 1)
        else:
            f = keep(trace, torch.mean(x, dim=[2, 3], keepdim=True)).flatten(1)
        for place in (0, 2):
            f = keep(trace, torch.relu(keep(trace, self.FC[place](f))))
        gamma = keep(trace, self.gamma(f)).view(-1, channels, 1, 1)
        beta = keep(trace, self.beta(f)).view(-1, channels, 1, 1)

        for i in range(1, self.blocks + 1):
            block = self._modules[f"UpBlock1_{i}"]
            y = keep(trace, self.padded(block.conv1, x))
            y = keep(trace, gamma * block.norm1.mixed(y) + beta)
            y = keep(trace, torch.relu(y))
            y = keep(trace, self.padded(block.conv2, y))
            y = keep(trace, gamma * block.norm2.mixed(y) + beta)
            x = keep(trace, x + y)
        up = self.UpBlock2._modules
        for place in (2, 7):
            norm = up[str(place + 1)]
            x = keep(trace, self.padded(up[str(place)], keep(trace, self.twice(x))))
            x = keep(trace, norm.gamma * norm.mixed(x) + norm.beta)
            x = keep(trace, torch.relu(x))
        return keep(trace, torch.tanh(keep(trace, self.padded(up["11"], x))))


def read_safetensors(path):
    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        flat = torch.frombuffer(bytearray(data[begin:end]), dtype=types[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"]).float()
    return tensors


def load(path, size):
    """The network with the weights of `path`; light or full, channels and blocks as they are."""
    state = read_safetensors(path)
    channels = state["DownBlock.1.weight"].shape[0]
    blocks = sum(name.endswith(".conv1.weight") for name in state)
    full = size if state["FC.0.weight"].shape[1] != 4 * channels else None
    network = Ugatit(channels, blocks, full)
    network.load_state_dict(state)
    return network.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights")
    parser.add_argument("out")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output-only", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    network = load(args.weights, args.size).double()
    x = torch.rand(1, 3, args.size, args.size, dtype=torch.float32) * 2 - 1
    trace = []
    with torch.no_grad():
        y = network(x.double(), trace)
    named = [("input", x), ("output", y), ("heat_map", network.heat_map)]
    if not args.output_only:
        named += [(f"layer{i:03d}", t) for i, t in enumerate(trace)]
    random_ugatit.write(args.out, [
        (name, "F32", (t.numel(),), t.float().contiguous().numpy().tobytes()) for name, t in named])


if __name__ == "__main__":
    main()
