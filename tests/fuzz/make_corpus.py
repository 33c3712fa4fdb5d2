#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the seeds in the corpora of weights, pickle, torch, stylegan, tensorflow, multipart and submission. Files called
crash-* were found by fuzzers and are not made here. (Seeds for pictures are tests/data/make_pictures.py's,
those for keras tests/models/reference_keras.py's, copied.)"""
import argparse
import collections
import io
import json
import os
import pickle
import struct
import sys
import tempfile
import zipfile

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
sys.path.insert(0, os.path.join(HERE, "..", "..", "support"))
import stylegan_pickle  # noqa: E402
import tensor_bundle  # noqa: E402


def write(folder, name, data):
    with open(os.path.join(HERE, folder, name), "wb") as file:
        file.write(data)


def safetensors(shapes, kind="F16", width=2):
    header, at = {}, 0
    for name, shape in shapes.items():
        size = width
        for side in shape:
            size *= side
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(i * 37 % 251 for i in range(at))


def generator(ch, light, size=8, blocks=1):
    """U-GAT-IT's tensors with `ch` channels and `blocks` blocks on either side."""
    c = 4 * ch
    shapes = {"DownBlock.1.weight": [ch, 3, 7, 7], "DownBlock.5.weight": [2 * ch, ch, 3, 3],
              "DownBlock.9.weight": [c, 2 * ch, 3, 3], "gap_fc.weight": [1, c],
              "gmp_fc.weight": [1, c], "conv1x1.weight": [c, 2 * c, 1, 1], "conv1x1.bias": [c],
              "FC.0.weight": [c, c if light else c * (size // 4) ** 2], "FC.2.weight": [c, c],
              "gamma.weight": [c, c], "beta.weight": [c, c]}
    for i in range(blocks):
        for part in (1, 5):
            shapes["DownBlock.%d.conv_block.%d.weight" % (12 + i, part)] = [c, c, 3, 3]
        for part in (1, 2):
            shapes["UpBlock1_%d.conv%d.weight" % (i + 1, part)] = [c, c, 3, 3]
            shapes["UpBlock1_%d.norm%d.rho" % (i + 1, part)] = [1, c, 1, 1]
    for position, out, inner in ((2, 2 * ch, c), (7, ch, 2 * ch)):
        shapes["UpBlock2.%d.weight" % position] = [out, inner, 3, 3]
        for name in ("rho", "gamma", "beta"):
            shapes["UpBlock2.%d.%s" % (position + 1, name)] = [1, out, 1, 1]
    shapes["UpBlock2.11.weight"] = [3, ch, 7, 7]
    return shapes


def cartoongan(ch):
    shapes = {"conv01_1.weight": [ch, 3, 7, 7], "deconv03_1.weight": [3, ch, 7, 7]}
    for number, inputs, outputs in ((2, ch, 2 * ch), (3, 2 * ch, 4 * ch), *((n, 4 * ch, 4 * ch) for n in range(4, 12))):
        shapes[f"conv{number:02d}_1.weight"] = [outputs, inputs, 3, 3]
        shapes[f"conv{number:02d}_2.weight"] = [outputs, outputs, 3, 3]
    for number, width in ((1, 2 * ch), (2, ch)):
        shapes[f"deconv{number:02d}_1.weight"] = [2 * width, width, 3, 3]
        shapes[f"deconv{number:02d}_2.weight"] = [width, width, 3, 3]
    for name, shape in list(shapes.items()):
        shapes[name.replace("weight", "bias")] = [shape[1 if name in ("deconv01_1.weight", "deconv02_1.weight") else 0]]
    norms = {"in01_1": ch, "in02_1": 2 * ch, "in03_1": 4 * ch, "in12_1": 2 * ch, "in13_1": ch}
    norms.update({f"in{number:02d}_{part}": 4 * ch for number in range(4, 12) for part in (1, 2)})
    return {**shapes, **{f"{name}.{part}": [width] for name, width in norms.items() for part in ("scale", "shift")}}


def fast_style_transfer(ch):
    kernels = [[9, 9, 3, ch], [3, 3, ch, 2 * ch], [3, 3, 2 * ch, 4 * ch], *[[3, 3, 4 * ch, 4 * ch]] * 10,
               [3, 3, 2 * ch, 4 * ch], [3, 3, ch, 2 * ch], [9, 9, ch, 3]]
    shapes = {}
    for k, kernel in enumerate(kernels):
        for i in range(3):
            shapes[f"Variable_{3 * k + i}" if k + i else "Variable"] = [kernel[2 if k in (13, 14) else 3]] if i else kernel
    return shapes


def fast_srgan(ch, prefix=""):
    shapes = {"neck.0.weight": [ch, 3, 3, 3], "neck.0.bias": [ch], "neck.1.weight": [1], "stem.0.relu1.weight": [ch],
              "head.0.weight": [3, ch, 3, 3], "head.0.bias": [3]}
    shapes.update({f"{name}.weight": [ch, ch, 3, 3] for name in ("stem.0.conv1", "stem.0.conv2", "bottleneck.0")})
    for i in (0, 1):
        shapes.update({f"upsampling.{i}.conv.weight": [4 * ch, ch, 3, 3], f"upsampling.{i}.conv.bias": [4 * ch],
                       f"upsampling.{i}.relu.weight": [1]})
    return {prefix + name: shape for name, shape in shapes.items()}


def make_weights():
    write("weights", "cartoongan.safetensors", safetensors(cartoongan(1)))
    write("weights", "fast_style_transfer.safetensors", safetensors(fast_style_transfer(1)))
    write("weights", "fast_srgan.safetensors", safetensors(fast_srgan(1)))
    write("weights", "fast_srgan_compiled.safetensors", safetensors(fast_srgan(2, "_orig_mod.")))
    light = generator(1, True)
    whole = safetensors(light)
    write("weights", "light.safetensors", whole)
    write("weights", "full.safetensors", safetensors(generator(1, False)))
    write("weights", "cut_off.safetensors", whole[:-1])
    write("weights", "header_only.safetensors", whole[:64])
    wrong = dict(light)
    wrong["conv1x1.weight"] = [4, 4, 1, 1]
    write("weights", "wrong_shape.safetensors", safetensors(wrong))
    write("weights", "f32.safetensors", safetensors({"a": [2, 3], "scalar": []}, "F32", 4))
    write("weights", "type.safetensors", safetensors({"a": [2]}, "I64", 8))
    write("weights", "metadata.safetensors", (lambda t: struct.pack("<Q", len(t)) + t)(
        b'{"__metadata__":{"format":"pt"}}'))
    write("weights", "overlap.safetensors", (lambda t: struct.pack("<Q", len(t)) + t + b"\0" * 8)(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},'
        b'"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'))
    write("weights", "huge_header.safetensors", struct.pack("<Q", 2**63) + b"{}")
    write("weights", "huge_shape.safetensors", (lambda t: struct.pack("<Q", len(t)) + t)(
        b'{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,0]}}'))


def pickled(value, protocol=2):
    """As torch.save writes an object, storages being persistent ids."""
    out = io.BytesIO()
    stylegan_pickle.LegacyPickler(out, protocol).dump(value)
    return out.getvalue()


def torch_tensor(key, shape, stride, offset=0, count=6, kind=stylegan_pickle.torch.FloatStorage):
    storage = stylegan_pickle.Storage(kind, key, count, "cuda:0")
    return stylegan_pickle.Call(stylegan_pickle.rebuild_tensor, storage, offset, shape, stride, False,
                                collections.OrderedDict())


def torch_state():
    """Two tensors on one storage, one of them turned; a half; a parameter; numbers and a text."""
    half = stylegan_pickle.torch.HalfStorage
    return {"a": torch_tensor("0", (2, 3), (3, 1)), "b": torch_tensor("0", (3, 2), (1, 3)),
            "net": collections.OrderedDict(h=torch_tensor("1", (1,), (1,), 1, 2, half), s=torch_tensor("0", (), (), 5)),
            "p": stylegan_pickle.Call(stylegan_pickle.rebuild_parameter, torch_tensor("0", (5, 2), (0, 1)), True, {}),
            "epoch": 3, "list": [1.5, None, torch_tensor("0", (0, 3), (3, 1))], "note": "text"}


def torch_zip(state, compression=zipfile.ZIP_STORED, byteorder=b"little"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, data in (("x/data.pkl", pickled(state)), ("x/byteorder", byteorder), ("x/data/0", bytes(range(24))),
                           ("x/data/1", bytes(4)), ("x/version", b"3\n")):
            file.writestr(zipfile.ZipInfo(name), data, compression)
    return out.getvalue()


def torch_legacy(state):
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return head + pickled(state) + pickle.dumps(["0", "1"], 2) + struct.pack("<q", 6) + bytes(range(24)) + \
        struct.pack("<q", 2) + bytes(4)


def make_torch():
    state = torch_state()
    write("torch", "zip", torch_zip(state))
    write("torch", "zip_deflated", torch_zip(state, zipfile.ZIP_DEFLATED))
    write("torch", "zip_big_endian", torch_zip(state, byteorder=b"big"))
    write("torch", "legacy", torch_legacy(state))
    write("torch", "legacy_cut_off", torch_legacy(state)[:-1])
    write("torch", "beyond", torch_zip({"a": torch_tensor("0", (2, 4), (3, 1))}))
    write("torch", "expanded", torch_zip({"a": torch_tensor("0", (1 << 40, 2), (0, 1))}))
    write("torch", "system", torch_zip({"a": stylegan_pickle.Call(os.system, "true")}))
    value = {"a": [1, -1, 2.5, 1 << 70, True, None], "b": (b"bytes", "text", {1, 2}, frozenset((3,))),
             "c": collections.OrderedDict(x=collections.Counter("aab"))}
    value["self"] = value
    for protocol in (2, 3, 4, 5):
        write("pickle", "protocol_%d" % protocol, pickle.dumps(value, protocol))
    write("pickle", "protocol_0", pickle.dumps(value, 0))
    write("pickle", "long_memo", b"\x80\x02Nr\xff\xff\xff\xff.")
    write("pickle", "doubling", b"\x80\x02)" + b"2\x86" * 60 + b".")


def make_stylegan():
    args = argparse.Namespace(resolution=4, base=8, latent=2, layers=1, only="G_ema")
    for protocol in (3, 4):
        whole = pickle.dumps(stylegan_pickle.snapshot(args, stylegan_pickle.Writer()), protocol)
        write("stylegan", "protocol_%d" % protocol, whole)
    write("stylegan", "cut_off", whole[:-1])
    network = type("Network", (), {"__module__": "dnnlib.tflib.network"})
    stylegan_pickle.module("dnnlib.tflib.network", Network=network)
    write("stylegan", "tensorflow", pickle.dumps((network(), network(), network()), 3))


class RecordingBlocks(tensor_bundle.Blocks):
    """Keeps the entries of the first block that is written."""

    kept = b""

    def emit(self):
        RecordingBlocks.kept = RecordingBlocks.kept or bytes(self.entries)
        return super().emit()


def make_tensorflow():
    """A first byte says what follows: 0 the whole index, 1 the entries of its one block."""
    tensor_bundle.Blocks = RecordingBlocks
    tensors = [("a/kernel", "F32", (1, 2, 3), bytes(24)), ("a/kernel/Adam", "F32", (1, 2, 3), bytes(24)),
               ("global_step", "I64", (), bytes(8)), ("half", "BF16", (2,), bytes(4)), ("text", "TEXT", (), bytes(4))]
    for name, more, block in (("index", [], 1 << 18), ("blocks", [], 40), ("complex", [("c", "C64", (1,), bytes(8))], 1 << 18)):
        RecordingBlocks.kept = b""
        with tempfile.TemporaryDirectory() as folder:
            tensor_bundle.write(folder + "/x", tensors + more, 1, block)
            with open(folder + "/x.index", "rb") as file:
                write("tensorflow", name, b"\0" + file.read())
        write("tensorflow", name + "_entries", b"\1" + RecordingBlocks.kept)


def part(name, data, extra=""):
    return ("--XyZ\r\nContent-Disposition: form-data; name=%s%s\r\n\r\n" % (name, extra)).encode() \
        + data + b"\r\n"


def make_submissions():
    import darkroom
    picture = darkroom.png(16, 16)
    whole = {"model": "m", "input": darkroom.data_url(picture), "email": "a.b@example.org",
             "crop": {"x": 1, "y": 2, "width": 8, "height": 8}, "params": {"s": 0.25, "p": "cream"}}
    for name, change in (("whole", {}), ("unknown_model", {"model": "x"}), ("bad_address", {"email": "a@b@c"}),
                         ("crop_outside", {"crop": {"x": 9, "y": 9, "width": 8, "height": 8}}),
                         ("bad_param", {"params": {"s": 2}}), ("no_base64", {"input": "data:image/png;base64,*"}),
                         ("no_picture", {"input": "AAAA"})):
        body = json.dumps({**whole, **change}).encode()
        write("submission", "json_" + name, b"application/json\n" + body)
    write("submission", "json_cut_off", b"application/json\n" + json.dumps(whole).encode()[:-9])
    parts = [("model", "m"), ("email", "a@example.org"), ("crop", "1,2,8,8"), ("params", '{"s":1}'),
             ("input", picture, "x.png")]
    for name, some in (("whole", parts), ("least", parts[::4]), ("twice", parts[:1] + parts)):
        kind, body = darkroom.multipart(some, "XyZ")
        write("submission", "form_" + name, kind.encode() + b"\n" + body)


def make_multipart():
    kind = b"multipart/form-data; boundary=XyZ\n"
    body = part('"model"', b"portrait-drawing") + part(
        '"input"', b"\x89PNG\r\n\x1a\n\0\r\n--Xy", '; filename="a b.png"\r\nContent-Type: image/png')
    write("multipart", "whole", kind + body + b"--XyZ--\r\n")
    write("multipart", "cut_off", kind + body)
    write("multipart", "no_parts", kind + b"--XyZ--\r\n")
    write("multipart", "empty_part", kind + part("x", b"") + b"--XyZ--\r\n")
    write("multipart", "almost", kind + part("x", b"\r\n--XyZ\r\r\n--Xy\r\n-") + b"--XyZ--")
    write("multipart", "no_name", kind + b"--XyZ\r\nContent-Type: a/b\r\n\r\n\r\n--XyZ--\r\n")
    write("multipart", "bare_lf", kind + body.replace(b"\r\n", b"\n") + b"--XyZ--\n")
    write("multipart", "quoted", b'multipart/form-data; charset=utf-8; boundary="X y"\n--X y\r\n'
          b'Content-Disposition: form-data; name="a\\"b"\r\n\r\n1\r\n--X y--\r\n')
    write("multipart", "no_boundary", b"multipart/form-data\n--XyZ--\r\n")
    write("multipart", "other_type", b"text/plain; boundary=XyZ\n" + body)


if __name__ == "__main__":
    for corpus in ("weights", "multipart", "submission", "pickle", "torch", "stylegan", "tensorflow"):
        os.makedirs(os.path.join(HERE, corpus), exist_ok=True)
    make_weights()
    make_torch()
    make_stylegan()
    make_tensorflow()
    make_multipart()
    make_submissions()
