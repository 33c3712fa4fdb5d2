#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes TensorFlow checkpoints of version 2 without TensorFlow: PREFIX.index and PREFIX.data-…

    tensor_bundle.py PREFIX [--shards 2] [--block 256]     # a small one, with every type

Written from LevelDB's doc/table_format.md and TensorFlow's tensor_bundle.proto, independently of gpu/weights. The standard
library is enough.
"""
import argparse
import struct

MAGIC = 0xDB4775248B80FB57
# DataType of types.proto; None is what we cannot read, for tests of that.
TYPES = {"F32": 1, "F64": 2, "I32": 3, "U8": 4, "I16": 5, "I8": 6, "TEXT": 7, "C64": 8, "I64": 9, "BOOL": 10, "BF16": 14,
         "F16": 19}


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(crc):
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value & (1 << 64) - 1) if value else b""


def message(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


class Blocks:
    """The file of a table while it is written."""

    def __init__(self, block_bytes, compression=0):
        self.out, self.index, self.block_bytes, self.compression = bytearray(), [], block_bytes, compression
        self.reset()

    def reset(self):
        self.entries, self.restarts, self.last, self.count = bytearray(), [0], b"", 0

    def add(self, key, value):
        shared = 0
        if self.count % 16 == 0 and self.count:
            self.restarts.append(len(self.entries))
        elif self.count:
            while shared < min(len(key), len(self.last)) and key[shared] == self.last[shared]:
                shared += 1
        self.entries += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        self.last, self.count = key, self.count + 1
        if len(self.entries) >= self.block_bytes:
            self.flush()

    def emit(self):
        """Writes the block that is being filled and gives its handle."""
        block = bytes(self.entries) + struct.pack(f"<{len(self.restarts) + 1}I", *self.restarts, len(self.restarts))
        block += bytes([self.compression])
        handle = varint(len(self.out)) + varint(len(block) - 1)
        self.out += block + struct.pack("<I", masked(crc32c(block)))
        return handle

    def flush(self):
        if self.count:
            last = self.last
            self.index.append((last, self.emit()))
            self.reset()

    def finish(self):
        self.flush()
        metaindex = self.emit()
        index, self.block_bytes = self.index, 1 << 30
        for key, handle in index:
            self.add(key, handle)
        footer = metaindex + self.emit()
        return bytes(self.out) + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def write(prefix, tensors, shards=1, block_bytes=262144, compression=0, endianness=0):
    """`tensors`: (name, type, shape, bytes) each."""
    files, entries = [bytearray() for _ in range(shards)], {}
    for i, (name, kind, shape, data) in enumerate(sorted(tensors)):
        out = files[i % shards]
        dims = b"".join(message(2, number(1, size)) for size in shape)
        entries[name.encode()] = (
            number(1, TYPES[kind]) + message(2, dims) + number(3, i % shards) + number(4, len(out)) + number(5, len(data)) +
            varint(6 << 3 | 5) + struct.pack("<I", masked(crc32c(data) if len(data) < 1024 else 0)))
        out += data
    blocks = Blocks(block_bytes, compression)
    blocks.add(b"", number(1, shards) + number(2, endianness) + message(3, number(1, 1)))
    for name in sorted(entries):
        blocks.add(name, entries[name])
    with open(f"{prefix}.index", "wb") as file:
        file.write(blocks.finish())
    for i, data in enumerate(files):
        with open(f"{prefix}.data-{i:05d}-of-{shards:05d}", "wb") as file:
            file.write(data)


def small():
    """A checkpoint as training leaves it: optimizer slots, counters, the object graph of TensorFlow 2."""
    for i in range(40):
        name = f"generator_B/resblock_{i}/res1/conv_0/conv2d/kernel"
        values = [i + j / 8 for j in range(6)]
        yield name, "F32", (1, 2, 3), struct.pack("<6f", *values)
        yield name + "/Adam", "F32", (1, 2, 3), bytes(24)
    yield "_CHECKPOINTABLE_OBJECT_GRAPH", "TEXT", (), b"\x04abcd" + bytes(4)
    yield "beta1_power", "F32", (), struct.pack("<f", 0.5)
    yield "global_step", "I64", (), struct.pack("<q", -5)
    yield "types/f64", "F64", (2,), struct.pack("<2d", 0.25, -2)
    yield "types/f16", "F16", (2,), struct.pack("<2e", 0.25, -2)
    yield "types/bf16", "BF16", (2,), b"\x80\x3e\x00\xc0"
    yield "types/i32", "I32", (2,), struct.pack("<2i", 70000, -2)
    yield "types/i16", "I16", (2,), struct.pack("<2h", 300, -2)
    yield "types/i8", "I8", (2,), struct.pack("<2b", 3, -2)
    yield "types/u8", "U8", (2,), bytes([250, 3])
    yield "types/bool", "BOOL", (2,), bytes([0, 1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("prefix")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--block", type=int, default=262144)
    parser.add_argument("--compression", type=int, default=0)
    parser.add_argument("--endianness", type=int, default=0)
    parser.add_argument("--type", choices=TYPES, help="one tensor of this type more")
    args = parser.parse_args()
    more = [("extra", args.type, (1,), bytes(8))] if args.type else []
    write(args.prefix, [*small(), *more], args.shards, args.block, args.compression, args.endianness)


if __name__ == "__main__":
    main()
