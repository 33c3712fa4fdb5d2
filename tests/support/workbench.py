# SPDX-License-Identifier: MIT
"""What tests of the worker need beside a Lab: weights, manifests, pictures read and compared.

    bench = Workbench(folder)                       # models "quick" and "slow" with random weights
    status, error = bench.run("quick", "--input", photo, "--output", out)
    lab = Lab(models=bench.models)

Weights are small and random, made with the standard library alone: what a test compares is that
two ways give the same bytes, not that they are beautiful.
"""
import json
import os
import pathlib
import random
import struct
import subprocess
import zlib

import random_ugatit
from bare_png import bare_png
from darkroom import BUILD, DEADLINE_S, ROOT, manifest_of

WORKER = BUILD / "worker" / "darkroom-worker"
PICTURES = ROOT / "tests" / "data" / "pictures"
# "ref" is the engine's oracle in plain C: the same network, slow enough to be killed half way.
DEVICE = os.environ.get("DARKROOM_TEST_DEVICE", "cpu")


def weights(path, channels=4, blocks=2, seed=1, change=None, factor=None):
    """Random weights; `change` maps a tensor's name to another shape, `factor` to a multiplier."""
    rng, tensors = random.Random(seed), []
    for name, shape in random_ugatit.shapes(channels, blocks, 0):
        shape = (change or {}).get(name, shape)
        values = random_ugatit.values(name, shape, rng)
        for i in range(len(values) if name in (factor or {}) else 0):
            values[i] *= factor[name]
        tensors.append((name, "F32", shape, random_ugatit.encode(values, "F32")))
    random_ugatit.write(path, tensors)
    return path


class Workbench:
    """A folder of models: "quick" takes milliseconds, "slow" about a second with --device ref."""

    def __init__(self, folder, **members):
        self.path = pathlib.Path(folder)
        self.models = self.path / "models"
        self.models.mkdir()
        weights(self.models / "quick.safetensors")
        weights(self.models / "slow.safetensors", channels=8, blocks=4)
        self.manifest("quick", 64, batch={"max": 8}, cost_ms=5, **members)
        self.manifest("slow", 128, cost_ms=1000, **members)

    def manifest(self, name, size, **members):
        members = manifest_of(name, **members)
        members["input"]["size"] = size
        (self.models / f"{name}.json").write_text(json.dumps(members))

    def run(self, model, *options, device=DEVICE):
        """darkroom-worker run; (exit status, what it said)."""
        result = subprocess.run(
            [WORKER, "run", model, "--models", self.models, "--device", device, *map(str, options)],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        return result.returncode, result.stderr.strip()

    def expected(self, model, picture, device=DEVICE):
        """The bytes that `run` makes of a picture (bytes or a path), bare_png()."""
        source, target = self.path / "expected.in", self.path / "expected.png"
        data = picture if isinstance(picture, bytes) else pathlib.Path(picture).read_bytes()
        source.write_bytes(data)
        status, error = self.run(model, "--input", source, "--output", target, device=device)
        assert status == 0, error
        return bare_png(target.read_bytes())


def noise_png(width, height, seed):
    """A picture that differs from every other one."""
    return rgb_png(width, height, random.Random(seed).randbytes(3 * width * height))


def rgb_png(width, height, pixels):
    """A PNG of [height][width][3] bytes."""
    stride = 3 * width
    rows = b"".join(b"\0" + pixels[y * stride:(y + 1) * stride] for y in range(height))

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def read_ppm(data):
    """(width, height, RGB bytes) of a binary PPM without comments."""
    kind, width, height, most, pixels = data.split(None, 4)
    assert kind == b"P6" and most == b"255" and len(pixels) == 3 * int(width) * int(height)
    return int(width), int(height), pixels


def read_png(data):
    """(width, height, RGB bytes) of an 8-bit RGB PNG without interlacing."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", data[:8]
    position, packed, head = 8, b"", None
    while position < len(data):
        size, kind = struct.unpack(">I4s", data[position:position + 8])
        body = data[position + 8:position + 8 + size]
        assert zlib.crc32(kind + body) == struct.unpack(
            ">I", data[position + 8 + size:position + 12 + size])[0]
        head = struct.unpack(">IIBBBBB", body) if kind == b"IHDR" else head
        packed += body if kind == b"IDAT" else b""
        position += 12 + size
    width, height, *rest = head
    assert rest == [8, 2, 0, 0, 0], rest
    rows, stride, above, out = zlib.decompress(packed), 3 * width, bytes(3 * width), []
    for y in range(height):
        kind = rows[y * (stride + 1)]
        row = bytearray(rows[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride):
            left, up = (row[x - 3] if x >= 3 else 0), above[x]
            corner = above[x - 3] if x >= 3 else 0
            row[x] = (row[x] + _predict(kind, left, up, corner)) & 255
        out.append(bytes(row))
        above = row
    return width, height, b"".join(out)


def _predict(kind, left, up, corner):
    if kind < 3:
        return (0, left, up)[kind]
    if kind == 3:
        return (left + up) // 2
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))


def read_npy(data):
    """(shape, floats) of a float32 .npy file of version 1.0."""
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    size = struct.unpack("<H", data[8:10])[0]
    head = eval(data[10:10 + size], {"__builtins__": {}})  # written by us: a literal
    assert head["descr"] == "<f4" and not head["fortran_order"], head
    count = (len(data) - 10 - size) // 4
    return head["shape"], struct.unpack(f"<{count}f", data[10 + size:])
