#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""U-GAT-IT's generator as TensorFlow computes it, in PyTorch: random weights as a checkpoint, and pictures through them.

    reference_ugatit_tf.py PREFIX OUT --size 20 [--full] [--channels 4] [--blocks 4] [--seed 1]

PREFIX.index and PREFIX.data-… get both generators and what training keeps beside them. OUT is a safetensors file with
"input", "output" and "heat_map" of generator_B, "plain" (generator_B trained without smoothing) and "other" (generator_A).
Written in TensorFlow's layout, NHWC, from the paper and the description of the public implementation, independently of
gpu/. Exit status 77: no PyTorch here.
"""
import argparse
import os
import sys

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("python3-torch is not installed")
    sys.exit(77)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import random_ugatit  # noqa: E402
import tensor_bundle  # noqa: E402
from ugatit_scopes import variables  # noqa: E402

EPSILON = 1e-5


def random_value(name, shape):
    last = name.rsplit("/", 1)[-1]
    if last == "rho":
        return torch.rand(shape)
    if last == "gamma" or name.startswith("CAM_logit"):
        return torch.rand(shape) + 0.5
    if last in ("beta", "bias"):
        return torch.randn(shape) / 4
    inputs = 1
    for size in shape[:-1]:
        inputs *= size
    return torch.randn(shape) * (2 / inputs) ** 0.5


class Generator:
    def __init__(self, values, blocks, light, smoothing):
        self.values, self.blocks, self.light, self.smoothing = values, blocks, light, smoothing

    def conv(self, x, scope, stride=1, pad=0):
        kernel = self.values[f"{scope}/conv2d/kernel"]
        after = pad if (kernel.shape[0] - stride) % 2 == 0 else kernel.shape[0] - stride - pad
        x = x.permute(0, 3, 1, 2)
        if pad:
            x = F.pad(x, (pad, after, pad, after), mode="reflect")
        y = F.conv2d(x, kernel.permute(3, 2, 0, 1), stride=stride)
        return y.permute(0, 2, 3, 1) + self.values[f"{scope}/conv2d/bias"]

    @staticmethod
    def normalised(x, axes):
        mean = x.mean(axes, keepdim=True)
        return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(axes, keepdim=True) + EPSILON)

    def instance_norm(self, x, scope):
        return self.normalised(x, (1, 2)) * self.values[f"{scope}/gamma"] + self.values[f"{scope}/beta"]

    def mixed(self, x, rho):
        return rho * self.normalised(x, (1, 2)) + (1 - rho) * self.normalised(x, (1, 2, 3))

    def dense(self, x, name):
        return x @ self.values[f"MLP/{name}/dense/kernel"] + self.values[f"MLP/{name}/dense/bias"]

    def adaptive(self, x, scope, gamma, beta):
        y = self.conv(x, f"{scope}/conv_0", pad=1)
        rho = self.values[f"{scope}/instance_layer_norm/rho"]
        if self.smoothing:
            rho = torch.clamp(rho - 0.1, 0, 1)
        return self.mixed(y, rho) * gamma + beta

    def __call__(self, x):
        x = torch.relu(self.instance_norm(self.conv(x, "conv", pad=3), "ins_norm"))
        for i in range(2):
            x = torch.relu(self.instance_norm(self.conv(x, f"conv_{i}", 2, 1), f"ins_norm_{i}"))
        for i in range(self.blocks):
            y = self.conv(x, f"resblock_{i}/res1/conv_0", pad=1)
            y = torch.relu(self.instance_norm(y, f"resblock_{i}/res1/instance_norm"))
            y = self.conv(y, f"resblock_{i}/res2/conv_0", pad=1)
            x = x + self.instance_norm(y, f"resblock_{i}/res2/instance_norm")
        factors = self.values["CAM_logit/kernel"][:, 0] + self.values["CAM_logit/bias"]
        x = torch.relu(self.conv(torch.cat([x * factors, x * factors], 3), "conv_1x1"))
        self.heat_map = x.sum(3)
        f = x.mean((1, 2)) if self.light else x.reshape(x.shape[0], -1)
        f = torch.relu(self.dense(torch.relu(self.dense(f, "linear_0")), "linear_1"))
        gamma, beta = (self.dense(f, name)[:, None, None, :] for name in ("gamma", "beta"))
        for i in range(self.blocks):
            y = torch.relu(self.adaptive(x, f"adaptive_resblock{i}/res1", gamma, beta))
            x = x + self.adaptive(y, f"adaptive_resblock{i}/res2", gamma, beta)
        for i in range(2):
            x = x.repeat_interleave(2, 1).repeat_interleave(2, 2)
            x = self.conv(x, f"up_conv_{i}", pad=1)
            norm = [self.values[f"layer_ins_norm_{i}/{name}"] for name in ("rho", "gamma", "beta")]
            x = torch.relu(self.mixed(x, norm[0]) * norm[1] + norm[2])
        return torch.tanh(self.conv(x, "G_logit", pad=3))


def to_bytes(value):
    return value.float().contiguous().numpy().tobytes()


def checkpoint(generators):
    """Everything that a training run saves."""
    for scope, values in generators.items():
        for name, value in values.items():
            yield f"{scope}/{name}", "F32", tuple(value.shape), to_bytes(value)
            if name.startswith("conv"):
                for slot in ("Adam", "Adam_1"):
                    yield f"{scope}/{name}/{slot}", "F32", tuple(value.shape), to_bytes(value * 0 + 7)
        # As in checkpoints of before August 2019: the classifier in training has a kernel of its own.
        kernel = values["CAM_logit/kernel"]
        yield f"{scope}/CAM_logit/dense/kernel", "F32", tuple(kernel.shape), to_bytes(kernel * 0 + 9)
    yield "discriminator_A/local/conv_0/u", "F32", (1, 4), bytes(16)
    yield "beta1_power", "F32", (), bytes(4)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("prefix")
    parser.add_argument("out")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    full = args.size if args.full else 0
    generators = {scope: {name: random_value(name, shape) for name, shape in variables(args.channels, args.blocks, full)}
                  for scope in ("generator_A", "generator_B")}
    tensor_bundle.write(args.prefix, list(checkpoint(generators)), shards=2, block_bytes=4096)
    x = torch.rand(1, args.size, args.size, 3) * 2 - 1
    made = {"input": x}
    with torch.no_grad():
        for name, scope, smoothing in (("output", "generator_B", True), ("plain", "generator_B", False),
                                       ("other", "generator_A", True)):
            values = {key: value.double() for key, value in generators[scope].items()}
            generator = Generator(values, args.blocks, not args.full, smoothing)
            made[name] = generator(x.double())
            if name == "output":
                made["heat_map"] = generator.heat_map[..., None]
    # The network's pictures are planes.
    random_ugatit.write(args.out, [(name, "F32", (value.numel(),), to_bytes(value.permute(0, 3, 1, 2)))
                                   for name, value in made.items()])


if __name__ == "__main__":
    main()
