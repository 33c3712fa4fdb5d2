# SPDX-License-Identifier: MIT
"""Cut training photographs: 256 x 256 crops, people first, and cut-out objects pasted over photographs.

    python3 data.py --root UNPACKED --out CROPS --shards 8

UNPACKED holds the Debian packages of README.md, each unpacked into a folder of its own. Every shard is a file
photos-NNN.npy of uint8 [crop, 256, 256, 3]; shard "val" is cut from photographs that no other shard contains.
"""
import argparse
import glob
import os
import random

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageStat
from scipy import misc
import skimage

DEMO = "kphotoalbum/usr/share/kphotoalbum/demo/"
WALLPAPER = "plasma-workspace-wallpapers/usr/share/wallpapers/"
MATE = "mate-backgrounds/usr/share/backgrounds/mate/nature/"
STAMPS = "tuxpaint-stamps-default/usr/share/tuxpaint/stamps/"

# People and faces, with the rotation (degrees counter-clockwise) that stands them upright.
PEOPLE = {
    "bar55": 0, "bar55_2": 0, "cold_water": 0, "donna": 0, "donna_2": 0, "grand_canyon_1": 180, "grand_canyon_2": 0,
    "jesper": 0, "new_wave_1": 0, "new_wave_2": 0, "pool": 0, "pool_2": 90, "skagen": 0, "wayne": 90,
}
PLACES = [DEMO + name + ".jpg" for name in
          ("blackie", "grand_canyon_3", "skagen_2", "snow", "spiff", "sunset")]
PLACES += [MATE + name + ".jpg" for name in
           ("Garden", "Dune", "Aqua", "TwoWings", "Storm", "RainDrops", "Blinds", "FreshFlower", "YellowFlower")]
PLACES += [f"{WALLPAPER}{name}/contents/images/2560x1600.jpg" for name in
           ("FallenLeaf", "Path", "DarkestHour", "EveningGlow", "Grey", "Kite", "ColorfulCups", "ColdRipple",
            "BytheWater")]
VALIDATION = [DEMO + "anne_helene.jpg", DEMO + "jesper_2.jpg", DEMO + "spiff_2.jpg", MATE + "LadyBird.jpg",
              WALLPAPER + "OneStandsOut/contents/images/2560x1600.jpg"]
# Drawings, letters and flat symbols among the stamps: not photographs.
NOT_PHOTOGRAPHS = ("cartoon", "symbols", "seasonal", "clothes/armor", "flags", "roadsigns")
STILLS = ["chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png"]


def shrink(image: Image.Image, limit: int = 1400) -> Image.Image:
    image.thumbnail((limit, limit), Image.BILINEAR)
    return image


def load_sources(root: str) -> tuple[list, list, list]:
    """Pictures of people, other photographs, and cut-outs with an alpha channel."""
    def read(path):
        return shrink(Image.open(os.path.join(root, path)).convert("RGB"))
    people = [read(f"{DEMO}{name}.jpg").rotate(turn, expand=True) for name, turn in PEOPLE.items()]
    places = [read(path) for path in PLACES]
    lomiri = sorted(glob.glob("lomiri-wallpapers-16.04/usr/share/backgrounds/*.jpg", root_dir=root))
    places += [read(path) for path in lomiri if "umang" not in path and "analogpattern" not in path]
    places += [read(os.path.join(skimage.data_dir, name)) for name in STILLS]
    places += [shrink(Image.fromarray(misc.face()))]
    stamps = []
    for path in sorted(glob.glob(os.path.join(root, STAMPS, "**", "*.png"), recursive=True)):
        if not any(word in path for word in NOT_PHOTOGRAPHS):
            image = Image.open(path).convert("RGBA")
            if min(image.size) >= 120:
                stamps.append(shrink(image, 600))
    return people, places, stamps


def crop(image: Image.Image, dice: random.Random, side_out: int, least: float) -> Image.Image:
    """A random square, sides log-uniform from `least` to the whole picture, sometimes turned or squeezed a little."""
    w, h = image.size
    most = min(w, h)
    least = min(least, most)
    side = least * (most / least) ** dice.random()
    sx = min(w, side * dice.uniform(1, 1.25))
    sy = min(h, side * dice.uniform(1, 1.25))
    x, y = dice.uniform(0, w - sx), dice.uniform(0, h - sy)
    if dice.random() < 0.35:
        image = image.rotate(dice.uniform(-15, 15), Image.BILINEAR, center=(x + sx / 2, y + sy / 2))
    out = image.resize((side_out, side_out), Image.BILINEAR, box=(x, y, x + sx, y + sy))
    return out.transpose(Image.FLIP_LEFT_RIGHT) if dice.random() < 0.5 else out


def recolour(image: Image.Image, dice: random.Random) -> Image.Image:
    """Exposure, contrast, saturation and white balance of another camera."""
    if dice.random() < 0.25:
        return image
    image = ImageEnhance.Color(image).enhance(dice.uniform(0.6, 1.7))
    image = ImageEnhance.Contrast(image).enhance(dice.uniform(0.8, 1.3))
    a = np.asarray(image, np.float32) / 255
    balance = np.array([dice.uniform(0.88, 1.12) for _ in range(3)], np.float32)
    a = np.clip(a, 0, 1) ** dice.uniform(0.65, 1.35) * balance
    return Image.fromarray((a.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def paste(back: Image.Image, stamps: list, dice: random.Random, side: int) -> Image.Image:
    """One to three cut-outs over a backdrop that is out of focus."""
    back = back.filter(ImageFilter.GaussianBlur(dice.choice((0, 3, 8, 20))))
    for _ in range(dice.randint(1, 3)):
        stamp = dice.choice(stamps)
        scale = dice.uniform(0.45, 1.1) * side / max(stamp.size)
        stamp = stamp.resize([max(8, round(s * scale)) for s in stamp.size], Image.BILINEAR)
        stamp = stamp.rotate(dice.uniform(-30, 30), Image.BILINEAR, expand=True)
        if dice.random() < 0.5:
            h, s, v = stamp.convert("RGB").convert("HSV").split()
            turn = dice.randint(0, 255)
            h = h.point(lambda p, turn=turn: (p + turn) % 256)
            alpha = stamp.getchannel("A")
            stamp = Image.merge("HSV", (h, s, v)).convert("RGB")
            stamp.putalpha(alpha)
        at = (dice.randint(-stamp.width // 3, side - 2 * stamp.width // 3),
              dice.randint(-stamp.height // 3, side - 2 * stamp.height // 3))
        back.paste(stamp, at, stamp)
    return back


def flat(image: Image.Image) -> bool:
    return ImageStat.Stat(image.convert("L")).stddev[0] < 18


def draw_crop(sources: tuple[list, list, list], dice: random.Random, side: int) -> Image.Image:
    people, places, stamps = sources
    while True:
        kind = dice.random()
        if kind < 0.6:
            image = crop(dice.choice(people), dice, side, 0.7 * side)
        elif kind < 0.8:
            image = crop(dice.choice(places), dice, side, side)
        else:
            image = paste(crop(dice.choice(people + places), dice, side, 0.7 * side), stamps, dice, side)
        image = recolour(image, dice)
        if not flat(image):
            return image


def validation(root: str, dice: random.Random, side: int) -> list:
    images = [shrink(Image.open(os.path.join(root, path)).convert("RGB")) for path in VALIDATION]
    return [crop(image, dice, side, 1.02 * side) for image in images for _ in range(3)]


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--root", required=True)
    args.add_argument("--out", required=True)
    args.add_argument("--side", type=int, default=256)
    args.add_argument("--shards", type=int, default=8)
    args.add_argument("--per-shard", type=int, default=100)
    args = args.parse_args()
    os.makedirs(args.out, exist_ok=True)
    cut = validation(args.root, random.Random("val"), args.side)
    np.save(os.path.join(args.out, "photos-val.npy"), np.stack([np.asarray(c) for c in cut]))
    sources = load_sources(args.root)
    print("people, places, cut-outs:", *map(len, sources))
    for shard in range(args.shards):
        dice = random.Random(shard)
        cut = [np.asarray(draw_crop(sources, dice, args.side)) for _ in range(args.per_shard)]
        np.save(os.path.join(args.out, f"photos-{shard:03}.npy"), np.stack(cut))
        print("shard", shard, flush=True)


if __name__ == "__main__":
    main()
