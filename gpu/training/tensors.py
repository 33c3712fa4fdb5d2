# SPDX-License-Identifier: MIT
"""Read and write safetensors files: an 8-byte length, a JSON table, then the raw little-endian data."""
import json
import struct

import numpy as np
import torch

DTYPES = {"F16": np.float16, "F32": np.float32}


def load(path: str) -> tuple[dict, dict]:
    """The tensors of a file, as float32, and its metadata."""
    with open(path, "rb") as f:
        (length,) = struct.unpack("<Q", f.read(8))
        table = json.loads(f.read(length))
        data = f.read()
    metadata = table.pop("__metadata__", {})
    tensors = {}
    for name, entry in table.items():
        begin, end = entry["data_offsets"]
        flat = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]])
        tensors[name] = torch.from_numpy(flat.astype(np.float32).reshape(entry["shape"]))
    return tensors, metadata


def save_half(path: str, tensors: dict, metadata: dict) -> None:
    """Write the tensors, sorted by name, in half precision."""
    table, chunks, offset = {"__metadata__": metadata}, [], 0
    for name in sorted(tensors):
        array = tensors[name].detach().float().contiguous().numpy().astype("<f2")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} does not fit half precision")
        table[name] = {"dtype": "F16", "shape": list(array.shape),
                       "data_offsets": [offset, offset + array.nbytes]}
        chunks.append(array.tobytes())
        offset += array.nbytes
    header = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + b"".join(chunks))
