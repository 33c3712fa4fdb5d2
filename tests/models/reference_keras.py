#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""GAN-Demonstrator's generator as Keras saves and computes it, without Keras: files by h5py, pictures by PyTorch.

    reference_keras.py FOLDER [--seed 1]

Writes whole.h5 (a whole model, the discriminator built first), weights.h5 (weights alone, other names), golden
(safetensors: "input", "output"), and small files for the reader: small.h5, types.h5, wrong.h5, and what it must refuse
(link.h5, external.h5, virtual.h5, plain.h5, huge.h5). Everything is channels last, as in Keras, independently of gpu/.
Exit status 77: no PyTorch or no h5py here.
"""
import argparse
import os
import sys

try:
    import h5py
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError:
    print("python3-torch or python3-h5py is not installed")
    sys.exit(77)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import random_ugatit  # noqa: E402

WIDTHS, STRIDES = (128, 128, 64, 32, 1), (2, 2, 1, 1)


def random_model():
    """(kind, {weight: value}) for each layer that has weights, in the order of the model."""
    def randn(*shape):
        return torch.randn(shape) / 4
    layers = [("dense", {"kernel": randn(110, 6272) / 2, "bias": randn(6272)})]
    for i in range(4):
        inputs, outputs = WIDTHS[i], WIDTHS[i + 1]
        layers.append(("batch_normalization", {
            "gamma": torch.rand(inputs) + 0.5, "beta": randn(inputs), "moving_mean": randn(inputs),
            "moving_variance": torch.rand(inputs) + 0.1}))
        scale = (2 / (inputs * 25 / STRIDES[i] ** 2)) ** 0.5
        layers.append(("conv2d_transpose", {"kernel": torch.randn(5, 5, outputs, inputs) * scale, "bias": randn(outputs)}))
    return layers


def run(layers, x):
    """Channels last; the transposed convolutions by scattering, as their definition says."""
    values = [{name: value.double() for name, value in weights.items()} for _, weights in layers]
    x = (x.double() @ values[0]["kernel"] + values[0]["bias"]).reshape(-1, 7, 7, 128)
    for i in range(4):
        norm, conv = values[1 + 2 * i], values[2 + 2 * i]
        x = (x - norm["moving_mean"]) / torch.sqrt(norm["moving_variance"] + 1e-3) * norm["gamma"] + norm["beta"]
        x, stride, size = F.relu(x), STRIDES[i], x.shape[1]
        wide = torch.zeros(x.shape[0], (size - 1) * stride + 5, (size - 1) * stride + 5, WIDTHS[i + 1], dtype=torch.double)
        for row in range(5):
            for column in range(5):
                wide[:, row:row + (size - 1) * stride + 1:stride, column:column + (size - 1) * stride + 1:stride] += \
                    x @ conv["kernel"][row, column].T
        before = (5 - stride) // 2
        x = wide[:, before:before + size * stride, before:before + size * stride] + conv["bias"]
    return torch.sigmoid(x)


def save(path, layers, first, whole, order=None, lists="fixed"):
    """`first`: how many layers of a kind the program had made before. Layers without weights are listed as well."""
    counts, names = {}, []
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if whole else file
        for kind, weights in [("input", {}), *layers, ("activation", {})]:
            number = counts.get(kind, first)
            counts[kind] = number + 1
            name = kind if number == 0 else f"{kind}_{number}"
            names.append(name)
            layer = group.create_group(name)
            keys = [f"{name}/{weight}:0" for weight in weights]
            if lists == "variable":
                layer.attrs["weight_names"] = np.array(keys, dtype=h5py.string_dtype())
            else:
                layer.attrs["weight_names"] = [key.encode() for key in keys]
            for key, value in zip(keys, weights.values()):
                value = value.numpy() if isinstance(value, torch.Tensor) else value
                layer.create_dataset(key, data=value, compression="gzip" if lists == "variable" and value.ndim else None)
        if lists == "split":
            for i, name in enumerate(names):
                group.attrs[f"layer_names{i}"] = [name.encode()]
        else:
            group.attrs["layer_names"] = [name.encode() for name in names]
        file.attrs["keras_version"] = "2.4.0"
        file.attrs["backend"] = b"tensorflow"
        if whole:
            file.attrs["model_config"] = '{"class_name": "Functional"}'
            file.create_group("optimizer_weights").attrs["weight_names"] = [b"training/Adam/iter:0"]


def save_types(path):
    kinds = {"f16": "<f2", "f64": "<f8", "big": ">f4", "i8": "i1", "i16": "<i2", "i32": "<i4", "i64": "<i8", "u8": "u1"}
    save(path, [("types", {name: np.array([[3], [2]], dtype=kind) for name, kind in kinds.items()} |
                 {"scalar": np.float32(0.5)})], 0, False)


def save_refused(folder):
    """Files that lead out of themselves, or claim more than they hold."""
    small = [("dense", {"kernel": np.ones((2, 3), "f4")})]
    for name in ("link", "external", "virtual", "huge"):
        save(f"{folder}/{name}.h5", small, 0, False)
    with h5py.File(f"{folder}/link.h5", "a") as file:
        del file["dense/dense/kernel:0"]
        file["dense/dense/kernel:0"] = h5py.ExternalLink("small.h5", "/dense/dense/kernel:0")
    with h5py.File(f"{folder}/external.h5", "a") as file:
        del file["dense/dense/kernel:0"]
        file.create_dataset("dense/dense/kernel:0", (2, 3), "f4", external=[(f"{folder}/golden", 0, 24)])
    with h5py.File(f"{folder}/virtual.h5", "a") as file:
        del file["dense/dense/kernel:0"]
        layout = h5py.VirtualLayout((2, 3), "f4")
        layout[:] = h5py.VirtualSource(f"{folder}/small.h5", "dense/dense/kernel:0", (2, 3))
        file.create_virtual_dataset("dense/dense/kernel:0", layout)
    with h5py.File(f"{folder}/huge.h5", "a") as file:
        del file["dense/dense/kernel:0"]
        file.create_dataset("dense/dense/kernel:0", (1 << 20, 1 << 12), "f4", chunks=(1024, 1024))
    with h5py.File(f"{folder}/plain.h5", "w") as file:
        file["data"] = np.ones(3)
    with h5py.File(f"{folder}/complex.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        file.create_group("dense").attrs["weight_names"] = [b"kernel:0"]
        file["dense/kernel:0"] = np.ones(3, "c8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    layers = random_model()
    x = torch.cat([torch.rand(1, 100) * 2 - 1, F.one_hot(torch.tensor([7]), 10).float()], 1)
    random_ugatit.write(f"{args.folder}/golden", [
        (name, "F32", (value.numel(),), value.float().numpy().tobytes())
        for name, value in (("input", x), ("output", run(layers, x)))])
    save(f"{args.folder}/whole.h5", layers, 9, True)  # 9, 10, 11: not the order of the alphabet
    save(f"{args.folder}/weights.h5", layers, 0, False, lists="variable")
    save(f"{args.folder}/small.h5", [("dense", {"kernel": np.arange(6, dtype="f4").reshape(2, 3)})], 0, False)
    save(f"{args.folder}/split.h5", [("dense", {"kernel": np.arange(6, dtype="f4").reshape(2, 3)})], 0, False, lists="split")
    layers[4][1]["kernel"] = layers[4][1]["kernel"][:, :, :32]
    save(f"{args.folder}/wrong.h5", layers, 0, True)
    save_types(f"{args.folder}/types.h5")
    save_refused(args.folder)


if __name__ == "__main__":
    main()
