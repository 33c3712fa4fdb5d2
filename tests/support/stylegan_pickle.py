#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes random network snapshots in StyleGAN2-ADA's layout; the standard library is enough, torch is never loaded.

    stylegan_pickle.py OUT [--resolution 8] [--base 64] [--latent 16] [--protocol 3] [--only G_ema] [--half] [--golden FILE]

The classes that Python's pickle writes the names of are stand-ins made here, so the file is laid out as the original's,
but by a writer of our own. --golden writes the tensors of G_ema as safetensors, named as weights_open() names them.
--resolution 1024 --base 32768 --latent 512 --only G_ema is the network of the published faces: 133 MB.
"""
import argparse
import array
import collections
import io
import math
import pickle
import random
import struct
import sys
import types

import random_ugatit


def module(name, **members):
    made = types.ModuleType(name)
    for key, value in members.items():
        if isinstance(value, type) or callable(value):
            value.__module__, value.__qualname__ = name, key
        setattr(made, key, value)
    sys.modules[name] = made
    return made


def stand_in():
    return lambda *args: args


class EasyDict(dict):
    """dnnlib.util.EasyDict, as far as a pickle can tell."""


reconstruct, rebuild_parameter, rebuild_tensor, load_from_bytes, scalar, dtype = (stand_in() for _ in range(6))
module("numpy", dtype=dtype)
module("numpy.core.multiarray", scalar=scalar)
module("torch_utils.persistence", _reconstruct_persistent_obj=reconstruct)
module("torch._utils", _rebuild_parameter=rebuild_parameter, _rebuild_tensor_v2=rebuild_tensor)
module("torch.storage", _load_from_bytes=load_from_bytes)
torch = module("torch", FloatStorage=type("FloatStorage", (), {}), HalfStorage=type("HalfStorage", (), {}))
module("dnnlib.util", EasyDict=EasyDict)
for parent in ("torch_utils", "dnnlib", "numpy.core"):
    sys.modules[parent] = types.ModuleType(parent)


class Call:
    """Pickled as a call of `function`."""

    def __init__(self, function, *args):
        self.parts = function, args

    def __reduce__(self):
        return self.parts


def numpy_float(value):
    """A float as numpy.float64 pickles itself: a dtype with a state, and eight bytes."""
    kind = Call(dtype, "f8", False, True)
    kind.parts += ((3, "<", None, None, None, -1, -1, 0),)
    return Call(scalar, kind, struct.pack("<d", value))


class Storage:
    def __init__(self, kind, key, count, place):
        self.identity = ("storage", kind, key, place, count, None)


class LegacyPickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.identity if isinstance(obj, Storage) else None


def legacy_stream(kind, key, count, raw, place):
    """torch.save(storage, _use_new_zipfile_serialization=False)."""
    out = io.BytesIO()
    for head in (0x1950A86A20F9469CFC6C, 1001,
                 {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}):
        pickle.dump(head, out, 2)
    LegacyPickler(out, 2).dump(Storage(kind, key, count, place))
    pickle.dump([key], out, 2)
    return out.getvalue() + struct.pack("<q", count) + raw


class Writer:
    def __init__(self, seed=1, place="cpu", half=False):
        self.rng, self.place, self.keys = random.Random(seed), place, 1000
        self.noise_kind = torch.HalfStorage if half else torch.FloatStorage
        self.golden, self.noise = {}, b""

    def values(self, count):
        """`count` floats from one pool of noise: a large file is made of it in no time."""
        if not self.noise:
            self.noise = array.array("f", (self.rng.uniform(-1, 1) for _ in range(4099))).tobytes()
        return (self.noise * (4 * count // len(self.noise) + 1))[:4 * count]

    def tensor(self, name, shape, parameter, kind=torch.FloatStorage):
        count = math.prod(shape)
        raw = self.values(count) if kind is torch.FloatStorage else struct.pack(f"<{count}e", *range(count))
        self.golden[name] = ("F32" if kind is torch.FloatStorage else "F16", shape, raw)
        self.keys += 1
        stride = tuple(math.prod(shape[i + 1:]) for i in range(len(shape)))
        stream = legacy_stream(kind, str(self.keys), count, raw, self.place)
        made = Call(rebuild_tensor, Call(load_from_bytes, stream), 0, tuple(shape), stride, False,
                    collections.OrderedDict())
        return Call(rebuild_parameter, made, True, collections.OrderedDict()) if parameter else made

    def network(self, name, class_name, parameters=(), buffers=(), modules=(), **scalars):
        """A persistent object: everything that nn.Module keeps, and scalars beside it."""
        state = {"training": False, "_parameters": collections.OrderedDict(), "_buffers": collections.OrderedDict(),
                 "_non_persistent_buffers_set": set(), "_backward_hooks": collections.OrderedDict(), "_is_full_backward_hook": None,
                 "_forward_hooks": collections.OrderedDict(), "_state_dict_hooks": collections.OrderedDict(),
                 "_modules": collections.OrderedDict()}
        for key, shape in parameters:
            state["_parameters"][key] = None if shape is None else self.tensor(f"{name}.{key}", shape, True)
        for key, shape, *kind in buffers:
            state["_buffers"][key] = self.tensor(f"{name}.{key}", shape, False, *kind)
        for key, made in modules:
            state["_modules"][key] = made
        state.update(scalars)
        return Call(reconstruct, {"type": "class", "version": 6, "module_src": f"# source of {class_name}\nimport os\n",
                                  "class_name": class_name, "state": EasyDict(state)})

    def dense(self, name, inner, out, **scalars):
        return self.network(name, "training.networks.FullyConnectedLayer", [("weight", (out, inner)), ("bias", (out,))],
                            activation="linear", weight_gain=1 / math.sqrt(inner), bias_gain=1, **scalars)

    def layer(self, name, latent, inner, out, resolution, up):
        return self.network(
            name, "training.networks.SynthesisLayer",
            [("weight", (out, inner, 3, 3)), ("noise_strength", ()), ("bias", (out,))],
            [("resample_filter", (4, 4)), ("noise_const", (resolution, resolution), self.noise_kind)],
            [("affine", self.dense(name + ".affine", latent, inner))], resolution=resolution, up=up, use_noise=True,
            activation="lrelu", conv_clamp=256, padding=1, act_gain=numpy_float(math.sqrt(2)))

    def block(self, name, latent, inner, out, resolution, last):
        first = inner == 0
        layers = [] if first else [("conv0", self.layer(name + ".conv0", latent, inner, out, resolution, 2))]
        layers.append(("conv1", self.layer(name + ".conv1", latent, out, out, resolution, 1)))
        layers.append(("torgb", self.network(
            name + ".torgb", "training.networks.ToRGBLayer", [("weight", (3, out, 1, 1)), ("bias", (3,))], [],
            [("affine", self.dense(name + ".torgb.affine", latent, out))], conv_clamp=256,
            weight_gain=1 / math.sqrt(out))))
        return self.network(name, "training.networks.SynthesisBlock",
                            [("const", (out, resolution, resolution))] if first else [],
                            [("resample_filter", (4, 4))], layers, in_channels=inner, w_dim=latent,
                            resolution=resolution, img_channels=3, is_last=last, architecture="skip",
                            use_fp16=resolution > 64, num_conv=1 if first else 2, num_torgb=1)

    def generator(self, name, resolution, base, latent, layers):
        synthesis = name + ".synthesis"
        blocks, inner, side = [], 0, 4
        while side <= resolution:
            out = min(base // side, latent)
            blocks.append((f"b{side}", self.block(f"{synthesis}.b{side}", latent, inner, out, side,
                                                  side == resolution)))
            inner, side = out, 2 * side
        num_ws = 2 * int(math.log2(resolution)) - 2
        mapping = self.network(
            name + ".mapping", "training.networks.MappingNetwork", [], [("w_avg", (latent,))],
            [(f"fc{i}", self.dense(f"{name}.mapping.fc{i}", latent, latent)) for i in range(layers)],
            z_dim=latent, c_dim=0, w_dim=latent, num_ws=num_ws, num_layers=layers, w_avg_beta=0.995)
        made = self.network(synthesis, "training.networks.SynthesisNetwork", [], [], blocks, w_dim=latent,
                            img_resolution=resolution, img_channels=3,
                            block_resolutions=[4 << i for i in range(len(blocks))], num_ws=num_ws)
        return self.network(name, "training.networks.Generator", [], [], [("synthesis", made), ("mapping", mapping)],
                            z_dim=latent, c_dim=0, w_dim=latent, img_resolution=resolution, img_channels=3,
                            num_ws=num_ws, _init_args=(), _init_kwargs=EasyDict(z_dim=latent))


def snapshot(args, writer, **others):
    top = {"training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset", use_labels=False)}
    for name in ("G", "D", "G_ema", "augment_pipe"):
        top[name] = None
        if name == "augment_pipe" or (args.only and name not in args.only.split(",")):
            continue
        kept = dict(writer.golden)
        top[name] = writer.generator(name, args.resolution, args.base, args.latent, args.layers)
        if name in ("G", "D") and not (args.only and "G_ema" not in args.only):
            writer.golden = kept
    top.update(others)
    return top


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--resolution", type=int, default=8)
    parser.add_argument("--base", type=int, default=32)
    parser.add_argument("--latent", type=int, default=8)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--protocol", type=int, default=3)
    parser.add_argument("--only")
    parser.add_argument("--place", default="cpu")
    parser.add_argument("--half", action="store_true", help="the constant noise in half precision")
    parser.add_argument("--golden")
    return parser.parse_args()


def main():
    args = arguments()
    writer = Writer(place=args.place, half=args.half)
    with open(args.out, "wb") as file:
        pickle.dump(snapshot(args, writer), file, args.protocol)
    if args.golden:
        random_ugatit.write(args.golden, [(name, *rest) for name, rest in writer.golden.items()])


if __name__ == "__main__":
    main()
