#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""PyTorch writes files, and what it reads back from them as safetensors beside them (NAME.golden).

    reference_torch.py FOLDER [FILE...]

Files of both kinds of torch.save, and a pickle as StyleGAN2-ADA's, holding every type, views, shared storages and modules.
Each FILE is loaded and written as FOLDER/<its name>.golden. Exits with 77 where PyTorch is not installed.
"""
import collections
import pathlib
import pickle
import struct
import sys
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import random_ugatit  # noqa: E402

try:
    import torch
except ImportError:
    sys.exit(77)

TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64",
         torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}


def raw(tensor):
    """The values in the order of their indices, as bytes."""
    packed = tensor.detach().cpu().contiguous().reshape(-1)
    if tensor.dtype in (torch.bfloat16, torch.float16):
        return struct.pack(f"<{len(packed)}h", *packed.view(torch.int16).tolist())
    return packed.numpy().tobytes()


def flatten(name, value, out):
    if isinstance(value, torch.Tensor):
        if value.numel():
            out.append((name, TYPES[value.dtype], tuple(value.shape), raw(value)))
    elif isinstance(value, dict):
        for key, inner in value.items():
            flatten(f"{name}.{key}" if name else str(key), inner, out)
    elif isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            flatten(f"{name}.{i}" if name else str(i), inner, out)
    return out


def golden(folder, name, value):
    random_ugatit.write(str(folder / (name + ".golden")), flatten("", value, []))


def small_network():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.PReLU())


def everything():
    base = torch.randn(4, 6)
    shared = torch.randn(12)
    return {
        "types": {str(kind)[6:]: (torch.arange(6).reshape(2, 3) % 2).to(kind) if kind is torch.bool
                  else (torch.randn(2, 3) * 50).to(kind) for kind in TYPES},
        "turned": base.t(), "part": base[1:3, 2:], "column": base[:, 3], "stepped": base.reshape(-1)[::5],
        "expanded": torch.randn(1, 3).expand(5, 3), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3),
        "shared": [shared[:4], shared[4:].reshape(2, 4), shared],
        "rank8": torch.randn(2, 1, 2, 1, 2, 1, 2, 1).permute(7, 6, 5, 4, 3, 2, 1, 0),
        "channels_last": torch.randn(1, 2, 2, 3).contiguous(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(torch.randn(3)), "network": small_network().state_dict(),
        "epoch": 7, "note": "a text", 5: torch.ones(2), "nothing": None, "tags": {"a", "b"},
        "odd": collections.deque([1]), "rate": 0.25,
    }


def ugatit():
    """The layout of UGATIT-pytorch's files: a dict of state_dicts."""
    return {key: small_network().state_dict() for key in ("genA2B", "genB2A", "disGA", "disGB", "disLA", "disLB")}


def rosinality():
    """The layout of stylegan2-pytorch's files, with what training leaves in them."""
    network = small_network()
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(2, 1, 5, 5)).sum().backward()
    optimizer.step()
    return {"g": network.state_dict(), "g_ema": small_network().state_dict(), "g_optim": optimizer.state_dict(),
            "args": types.SimpleNamespace(size=256), "ada_aug_p": 0, "latent_avg": torch.randn(1, 16)}


def snapshot(folder, protocol):
    """torch's own tensors in a pickle of StyleGAN2-ADA's, with a stand-in for its loader."""
    def rebuild(meta):
        return meta
    rebuild.__module__, rebuild.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
    for name in ("torch_utils", "torch_utils.persistence"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj = rebuild

    class Module:
        def __init__(self, network):
            self.network = network

        def __reduce__(self):
            state = dict(self.network.__dict__)
            state["_modules"] = collections.OrderedDict((k, Module(v)) for k, v in state["_modules"].items())
            return rebuild, ({"type": "class", "version": 6, "module_src": "#", "class_name": "x.Y", "state": state},)

    network = small_network()
    name = f"snapshot{protocol}.pkl"
    with open(folder / name, "wb") as file:
        pickle.dump({"G": None, "G_ema": Module(network)}, file, protocol)
    golden(folder, name, {"G_ema": network.state_dict()})


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.manual_seed(1)
    network = small_network()
    for name, value in (("everything", everything()), ("ugatit", ugatit()), ("rosinality", rosinality()), ("tensor", torch.randn(3, 2)),
                        ("list", [torch.ones(2), {"a": torch.zeros(1)}])):
        torch.save(value, folder / (name + ".pt"))
        torch.save(value, folder / (name + "_legacy.pt"), _use_new_zipfile_serialization=False)
        for kind in ("", "_legacy"):
            golden(folder, f"{name}{kind}.pt", {"tensor": value} if name == "tensor" else value)
    torch.save(ugatit(), folder / "protocol4.pt", pickle_protocol=4)
    golden(folder, "protocol4.pt", torch.load(folder / "protocol4.pt"))
    for protocol in (3, 4, 5):
        snapshot(folder, protocol)
    torch.save(network, folder / "module.pt")
    torch.save(network, folder / "module_legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"c": torch.zeros(2, dtype=torch.complex64)}, folder / "complex.pt")
    torch.save({"w": torch.zeros(2), "e": torch.zeros(1).expand(1 << 40)}, folder / "expanded.pt")
    for path in map(pathlib.Path, sys.argv[2:]):
        golden(folder, path.name, torch.load(path, map_location="cpu"))


if __name__ == "__main__":
    main()
