#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same files with PyTorch and Python's pickle: peer.py make FOLDER | peer.py FILE...

make: writes a zip file and an older stream of torch.save with the tensors of the pickle in FOLDER/snapshot.pkl. Otherwise one line
for each FILE: median of five loadings, and of five with every tensor added up. For the pickle, stand-ins take the place
of NVIDIA's loader, which would compile the Python source within.
"""
import pickle
import statistics
import sys
import time
import types

import torch


class EasyDict(dict):
    pass


def reconstruct(meta):
    return meta["state"]


def stand_ins():
    for name, members in (("torch_utils.persistence", {"_reconstruct_persistent_obj": reconstruct}),
                          ("dnnlib.util", {"EasyDict": EasyDict}), ("torch_utils", {}), ("dnnlib", {})):
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(members)


def load(path):
    if path.endswith(".pkl"):
        with open(path, "rb") as file:
            return pickle.load(file)
    return torch.load(path, map_location="cpu")


def tensors(value, name=""):
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from tensors(inner, name if key in ("_parameters", "_buffers", "_modules") else f"{name}.{key}")


def measure(path, read):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        value = load(path)
        if read:
            sum(float(t.sum()) for _, t in tensors(value))
        times.append((time.perf_counter() - start) * 1e3)
        count = sum(1 for _ in tensors(value))
        del value
    return statistics.median(times), count


def main():
    stand_ins()
    torch.set_num_threads(1)
    if sys.argv[1] == "make":
        state = {name: t.detach().clone() for name, t in tensors(load(sys.argv[2] + "/snapshot.pkl")["G_ema"])}
        torch.save(state, sys.argv[2] + "/state.pt")
        torch.save(state, sys.argv[2] + "/state_legacy.pt", _use_new_zipfile_serialization=False)
        return
    for path in sys.argv[1:]:
        read, count = measure(path, True)
        opened, _ = measure(path, False)
        print(f"{path.rsplit('/', 1)[-1]:24} python    open {opened:8.2f} ms   open and read {read:8.2f} ms   "
              f"{count} tensors", flush=True)


if __name__ == "__main__":
    main()
