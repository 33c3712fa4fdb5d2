#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the pictures in tests/data/pictures and the vectors in tests/data/resize.txt with Pillow.

Run with Debian 12's python3-pil (9.4). The files are committed, so the tests need no Python.
Every valid picture `NAME.ext` stands beside the pixels that it must decode to, `WANT.ppm`; the
table of which belongs to which is in tests/unit/test_picture.c."""
import io
import os
import struct
import zlib

from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
WIDTH, HEIGHT = 24, 16


def path(name):
    return os.path.join(HERE, "pictures", name)


def write(name, data):
    with open(path(name), "wb") as file:
        file.write(data)


def write_ppm(name, image):
    write(name + ".ppm", b"P6 %d %d 255\n" % image.size + image.convert("RGB").tobytes())


def scene():
    """Smooth, so that JPEG keeps it, and different in every corner, so that no turn is missed."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            image.putpixel((x, y), (10 * x, 15 * y, 250 - 6 * x - 6 * y))
    return image


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, depth, color, scanlines, extra=b"", interlace=0):
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra
            + chunk(b"IDAT", zlib.compress(scanlines, 9)) + chunk(b"IEND", b""))


def adam7(image):
    lines = b""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                           (1, 0, 2, 2), (0, 1, 1, 2)):
        for y in range(y0, HEIGHT, dy):
            row = b"".join(bytes(image.getpixel((x, y))) for x in range(x0, WIDTH, dx))
            lines += b"\0" + row
    return lines


def rows16(image, channels):
    lines = b""
    for y in range(image.height):
        lines += b"\0"
        for x in range(image.width):
            pixel = image.getpixel((x, y))
            pixel = (pixel,) if isinstance(pixel, int) else pixel
            for value in pixel[:channels]:
                lines += struct.pack(">H", value * 257)
    return lines


def on_white(image):
    """What the decoder must make of alpha: rounded, without gamma."""
    out = Image.new("RGB", image.size)
    for y in range(image.height):
        for x in range(image.width):
            *rgb, a = image.getpixel((x, y))
            out.putpixel((x, y), tuple((c * a + 255 * (255 - a) + 127) // 255 for c in rgb))
    return out


def exif(orientation, little=True):
    order = "<" if little else ">"
    return ((b"II" if little else b"MM") + struct.pack(order + "HIH", 42, 8, 2)
            + struct.pack(order + "HHII", 0x010F, 2, 4, 0x41424300)
            + struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
            + struct.pack(order + "I", 0))


# The turn that a camera undoes: the stored picture for which `orientation` shows the scene.
STORED = {1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
          4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
          6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_270}


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def make_png():
    image = scene()
    write_ppm("scene", image)
    write("rgb8.png", saved(image, "PNG"))
    write("rgb16.png", png(WIDTH, HEIGHT, 16, 2, rows16(image, 3)))
    write("interlaced.png", png(WIDTH, HEIGHT, 8, 2, adam7(image), interlace=1))
    grey = image.convert("L")
    write_ppm("grey", grey)
    write("grey8.png", saved(grey, "PNG"))
    write("grey16.png", png(WIDTH, HEIGHT, 16, 0, rows16(grey, 1)))
    bits = grey.point(lambda v: 255 if v > 120 else 0).convert("1")
    write_ppm("bits", bits)
    write("grey1.png", saved(bits, "PNG"))
    palette = image.quantize(16)
    write_ppm("palette", palette)
    write("palette.png", saved(palette, "PNG"))
    alpha = image.convert("RGBA")
    for y in range(HEIGHT):
        for x in range(WIDTH):
            alpha.putpixel((x, y), alpha.getpixel((x, y))[:3] + ((x * y * 3) % 256,))
    write_ppm("alpha", on_white(alpha))
    write("rgba8.png", saved(alpha, "PNG"))
    write("rgba16.png", png(WIDTH, HEIGHT, 16, 6, rows16(alpha, 4)))
    write("alpha.webp", saved(alpha, "WEBP", lossless=True, exact=True))
    grey_alpha = Image.merge("LA", (grey, alpha.getchannel("A")))
    write_ppm("grey_alpha", on_white(grey_alpha.convert("RGBA")))
    write("grey_alpha.png", saved(grey_alpha, "PNG"))
    one_clear = palette.convert("RGB")
    cleared = palette.getpixel((0, 0))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            if palette.getpixel((x, y)) == cleared:
                one_clear.putpixel((x, y), (255, 255, 255))
    write_ppm("palette_clear", one_clear)
    write("palette_clear.png", saved(palette, "PNG", transparency=cleared))


def make_jpeg():
    image = scene()
    write("baseline.jpg", saved(image, "JPEG", quality=97, subsampling=0))
    write("subsampled.jpg", saved(image, "JPEG", quality=97, subsampling=2))
    write("progressive.jpg", saved(image, "JPEG", quality=97, subsampling=0, progressive=True))
    write("grey.jpg", saved(image.convert("L"), "JPEG", quality=97))
    write("cmyk.jpg", saved(image.convert("CMYK"), "JPEG", quality=97))
    for orientation, turn in STORED.items():
        stored = image.transpose(turn) if turn is not None else image
        block = exif(orientation, little=orientation % 2 == 0)
        write("turned%d.jpg" % orientation,
              saved(stored, "JPEG", quality=97, subsampling=0, exif=b"Exif\0\0" + block))


def make_turned():
    stored = scene().transpose(STORED[6])
    write("turned6.png", png(HEIGHT, WIDTH, 8, 2, b"".join(
        b"\0" + stored.crop((0, y, HEIGHT, y + 1)).tobytes() for y in range(WIDTH)),
        extra=chunk(b"eXIf", exif(6, little=False))))
    write("turned6.webp", saved(stored, "WEBP", lossless=True, exif=exif(6)))
    write("turned6_prefixed.webp",
          saved(stored, "WEBP", lossless=True, exif=b"Exif\0\0" + exif(6)))
    write("lossless.webp", saved(scene(), "WEBP", lossless=True))
    write("lossy.webp", saved(scene(), "WEBP", quality=95))


def make_bad():
    empty = zlib.compress(b"\0" * 100, 9)
    header = struct.pack(">IIBBBBB", 10000, 10000, 8, 2, 0, 0, 0)
    write("bad_100_megapixels.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
          + chunk(b"IDAT", empty) + chunk(b"IEND", b""))
    good = png(WIDTH, HEIGHT, 8, 2, b"\0" * (HEIGHT * (WIDTH * 3 + 1)))
    write("bad_checksum.png", good[:45] + b"\x55" + good[46:])
    write("bad_short_rows.png", png(WIDTH, HEIGHT, 8, 2, b"\0" * 100))
    write("bad_no_pixels.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b""))
    write("bad_zero_width.png", png(0, HEIGHT, 8, 2, b"\0" * 16))
    write("bad_depth.png", png(WIDTH, HEIGHT, 7, 2, b"\0" * 100))
    # Text that unpacks to 9 MB: skipped unread, so this one decodes.
    bomb = chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 9_000_000, 9))
    write("text_bomb.png", png(2, 2, 8, 2, b"\0" * 14, extra=bomb))
    progressive = saved(scene(), "JPEG", progressive=True)
    first = progressive.index(b"\xff\xda")
    second = progressive.index(b"\xff\xc4", first)
    scan = progressive[first:second]
    write("bad_scans.jpg", progressive[:second] + scan * 200 + progressive[second:])
    baseline = saved(scene(), "JPEG")
    scan = baseline.index(b"\xff\xda")
    write("bad_scan_cut.jpg", baseline[:scan + 30] + b"\xff\xd9")
    lossless = baseline.replace(b"\xff\xc0", b"\xff\xc3", 1)
    write("bad_process.jpg", lossless)
    write("bad_animated.webp", saved(scene(), "WEBP", save_all=True, append_images=[
        scene().transpose(STORED[3])]))
    write("bad.gif", saved(scene(), "GIF"))


def pseudo_random(width, height, seed):
    """The same bytes as fill_pseudo_random() in tests/unit/test_picture_resize.c."""
    state, out = seed, bytearray()
    for _ in range(width * height * 3):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(state >> 24)
    if seed % 3 == 0:  # nothing but the ends of the range
        out = bytearray(255 if b > 40 else 0 for b in out)
    return Image.frombytes("RGB", (width, height), bytes(out))


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def make_resize():
    cases = [(1, 1, 1, 1), (1, 1, 5, 7), (7, 5, 1, 1), (7, 5, 3, 4), (3, 4, 7, 5), (64, 64, 64, 64),
             (64, 48, 64, 17), (64, 48, 17, 48), (100, 37, 128, 128), (257, 255, 256, 256),
             (513, 300, 256, 256), (640, 480, 256, 256), (300, 900, 128, 64), (1000, 3, 10, 90),
             (1021, 769, 255, 193), (2, 700, 256, 256), (255, 256, 254, 255), (31, 33, 96, 97)]
    with open(os.path.join(HERE, "resize.txt"), "w", encoding="ascii") as file:
        file.write("# in_width in_height out_width out_height seed fnv1a64, by make_pictures.py\n")
        for seed, (w, h, ow, oh) in enumerate(cases, 1):
            out = pseudo_random(w, h, seed).resize((ow, oh), Image.Resampling.BILINEAR)
            file.write("%d %d %d %d %d %016x\n" % (w, h, ow, oh, seed, fnv1a(out.tobytes())))


if __name__ == "__main__":
    os.makedirs(os.path.join(HERE, "pictures"), exist_ok=True)
    make_png()
    make_jpeg()
    make_turned()
    make_bad()
    make_resize()
