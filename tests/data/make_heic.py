#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the HEIC files in tests/data/pictures: frames by heif-enc, the boxes around them by hand.

Run with Debian 12's python3-pil and libheif-examples. The files are committed, as those of
make_pictures.py, whose scene they show."""
import os
import struct
import subprocess
import tempfile

from make_pictures import HEIGHT, STORED, WIDTH, on_white, scene, write, write_ppm
from PIL import Image


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full(kind, *parts, version=0, flags=0):
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def encode(image, *options):
    """What heif-enc makes of it, as a whole."""
    with tempfile.TemporaryDirectory() as folder:
        image.save(f"{folder}/in.png")
        subprocess.run(["heif-enc", "-p", "preset=veryslow", *options, "-o", f"{folder}/out.heic",
                        f"{folder}/in.png"], check=True, stdout=subprocess.DEVNULL)
        with open(f"{folder}/out.heic", "rb") as file:
            return file.read()


LOSSLESS = ("-L", "-p", "chroma=444", "--matrix_coefficients=0")


def frame(image):
    """(hvcC, payload) of one picture."""
    data = encode(image, *LOSSLESS)

    def find(kind):
        at = data.index(kind) - 4
        return data[at:at + struct.unpack(">I", data[at:at + 4])[0]]

    return find(b"hvcC"), find(b"mdat")[8:]


def ispe(width, height):
    return full(b"ispe", struct.pack(">II", width, height))


def irot(turns):
    return box(b"irot", bytes([turns]))


def imir(axis):
    return box(b"imir", bytes([axis]))


def heic(items, properties, references=b"", primary=1, inside=b""):
    """items: (id, kind, payload or (method, offset, length), indices of properties from 1)."""
    ftyp = box(b"ftyp", b"heic", bytes(4), b"mif1heic")

    def meta(start):
        infe = b"".join(full(b"infe", struct.pack(">HH", i, 0), kind, b"\0", version=2)
                        for i, kind, _, _ in items)
        iloc, at = b"", start
        for i, _, payload, _ in items:
            method, offset, size = payload if isinstance(payload, tuple) else (0, at, len(payload))
            at += 0 if isinstance(payload, tuple) else size
            iloc += struct.pack(">HHHHII", i, method, 0, 1, offset, size)
        ipma = b"".join(struct.pack(">HB", i, len(own)) + bytes(own) for i, _, _, own in items)
        return full(
            b"meta", full(b"hdlr", bytes(4), b"pict", bytes(13)),
            full(b"pitm", struct.pack(">H", primary)),
            full(b"iloc", struct.pack(">HH", 0x4400, len(items)), iloc, version=1),
            full(b"iinf", struct.pack(">H", len(items)), infe), references,
            box(b"iprp", box(b"ipco", *properties),
                full(b"ipma", struct.pack(">I", len(items)), ipma)),
            *([box(b"idat", inside)] if inside else []))

    start = len(ftyp) + len(meta(0)) + 8
    payloads = b"".join(p for _, _, p, _ in items if not isinstance(p, tuple))
    return ftyp + meta(start) + box(b"mdat", payloads)


def grid(width, height, parts, *turns, tile=(64, 64), claimed=None):
    """A row of tiles, the picture being its upper left; parts: (hvcC, payload)."""
    inside = struct.pack(">BBBBHH", 0, 0, 0, len(parts) - 1, width, height)
    tiles = [(i, b"hvc1", payload, [1, 3]) for i, (_, payload) in enumerate(parts, 2)]
    references = full(b"iref", box(b"dimg", struct.pack(">HH", 1, len(tiles)),
                                   *(struct.pack(">H", t[0]) for t in tiles)))
    own = [2, *range(4, 4 + len(turns))]
    return heic([(1, b"grid", (1, 0, len(inside)), own), *tiles],
                [parts[0][0], ispe(*(claimed or (width, height))), ispe(*tile), *turns], references,
                inside=inside)


def single(image, *turns, payload=lambda own: own):
    """heif-enc makes 64 x 64 of what is smaller."""
    config, own = frame(image)
    return grid(*image.size, [(config, payload(own))], *turns)


def tiles():
    """100 x 70 of two tiles of 64 x 70; the second one hangs over."""
    whole = Image.new("RGB", (100, 70))
    for y in range(70):
        for x in range(100):
            whole.putpixel((x, y), (2 * x, 3 * y, 250 - x - y))
    parts = [frame(whole.crop((64 * i, 0, 64 * i + 64, 70))) for i in range(2)]
    assert parts[0][0] == parts[1][0]
    return whole, parts


def make_good():
    image = scene()
    write("scene.heic", encode(image, *LOSSLESS))
    write("lossy.heic", encode(image, "-q", "98"))
    write("turned6.heic", single(image.transpose(STORED[6]), irot(3)))
    write("turned3.heic", single(image.transpose(STORED[3]), irot(2)))
    write("mirrored.heic", single(image.transpose(STORED[2]), imir(1)))
    write("transposed.heic", single(image.transpose(STORED[5]), irot(1), imir(0)))
    alpha = image.convert("RGBA")
    for y in range(HEIGHT):
        for x in range(WIDTH):
            alpha.putpixel((x, y), alpha.getpixel((x, y))[:3] + ((10 * x) % 256,))
    write_ppm("heic_alpha", on_white(alpha))
    write("alpha.heic", encode(alpha, *LOSSLESS))
    whole, parts = tiles()
    write_ppm("heic_tiles", whole)
    write("tiles.heic", grid(100, 70, parts, tile=(64, 70)))


def make_bad():
    image, (_, parts) = scene(), tiles()
    write("bad_frame.heic", grid(WIDTH, HEIGHT, [frame(Image.new("RGB", (256, 160)))]))
    write("bad_frames.heic", single(image, payload=lambda own: own + own))
    config = frame(image)[0]
    sps = config.index(b"\x42\x01")
    size = struct.unpack(">H", config[sps - 2:sps])[0]
    parameters = struct.pack(">I", size) + config[sps:sps + size]
    write("bad_parameters.heic", single(image, payload=lambda own: parameters + own))
    write("bad_grid.heic", grid(30000, 30000, parts, tile=(64, 70), claimed=(100, 70)))
    write("bad_100_megapixels.heic", grid(10000, 10000, parts, tile=(64, 70)))
    write("bad_kind.heic", single(image).replace(b"hvc1", b"av01"))
    config, own = frame(image)
    twice = [(1, b"hvc1", own, [1, 2])] * 2
    write("bad_twice.heic", heic(twice, [config, ispe(64, 64)]))


if __name__ == "__main__":
    os.makedirs(os.path.join(os.path.dirname(os.path.abspath(__file__)), "pictures"), exist_ok=True)
    make_good()
    make_bad()
