# SPDX-License-Identifier: MIT
"""The teacher: CartoonGAN's generator (Chen, Lai and Liu 2018), photograph to drawing. Runs only here, never ships."""
import argparse
import glob
import os

import numpy as np
import torch
import torch.nn.functional as F

import tensors


def from_bytes(pictures: np.ndarray) -> torch.Tensor:
    """uint8 [n, H, W, 3] to float [n, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(x: torch.Tensor) -> np.ndarray:
    return ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def square_kernel(w: torch.Tensor, b: torch.Tensor, dtype: torch.dtype) -> tuple:
    """A transposed 3x3 kernel of stride 2, [in, out, 3, 3], as a plain one [4 * out, in, 2, 2]: output row 2m takes
    tap 1 of input row m; row 2m + 1 takes tap 2 of row m and tap 0 of row m + 1. Columns likewise."""
    taps = ((1, None), (2, 0))
    out = torch.zeros(w.shape[1], 2, 2, w.shape[0], 2, 2)
    for row in (0, 1):
        for column in (0, 1):
            for y, ky in enumerate(taps[row]):
                for x, kx in enumerate(taps[column]):
                    if ky is not None and kx is not None:
                        out[:, row, column, :, y, x] = w[:, :, ky, kx].t()
    out = out.flatten(0, 2).to(dtype).contiguous(memory_format=torch.channels_last)
    return out, b.repeat_interleave(4).to(dtype)


class Teacher:
    """Takes and gives RGB batches in [-1, 1]; inside, the network works on BGR."""

    def __init__(self, path: str, dtype: torch.dtype = torch.float32):
        weights, self.metadata = tensors.load(path)
        self.dtype = dtype
        self.norms = {k: v for k, v in weights.items() if k.startswith("in")}
        self.convs = {k: v.to(dtype) for k, v in weights.items() if not k.startswith("in")}
        for name, w in self.convs.items():
            if w.dim() == 4:
                self.convs[name] = w.contiguous(memory_format=torch.channels_last)
        self.squares = {name: square_kernel(weights[name + ".weight"], weights[name + ".bias"], dtype)
                        for name in ("deconv01_1", "deconv02_1")}

    def conv(self, x, name, stride=1, reflect=0, zero=0):
        x = x.contiguous(memory_format=torch.channels_last)
        if reflect:
            x = F.pad(x, (reflect,) * 4, mode="reflect")
        w, b = self.convs[name + ".weight"], self.convs[name + ".bias"]
        return F.conv2d(x.to(self.dtype), w, b, stride, zero).float()

    def upsample(self, x, name):
        """The transposed convolution, as a 2x2 convolution that gives the four pixels of each output square."""
        x = F.pad(x.contiguous(memory_format=torch.channels_last).to(self.dtype), (0, 1, 0, 1))
        return F.pixel_shuffle(F.conv2d(x, *self.squares[name]), 2).float()

    def norm(self, x, name):
        return F.instance_norm(x, weight=self.norms[name + ".scale"], bias=self.norms[name + ".shift"], eps=1e-9)

    @torch.no_grad()
    def __call__(self, rgb: torch.Tensor) -> torch.Tensor:
        x = rgb.flip(1)
        x = F.relu(self.norm(self.conv(x, "conv01_1", reflect=3), "in01_1"))
        for level in ("02", "03"):
            x = self.conv(x, f"conv{level}_1", stride=2, zero=1)
            x = F.relu(self.norm(self.conv(x, f"conv{level}_2", zero=1), f"in{level}_1"))
        for block in range(4, 12):
            y = F.relu(self.norm(self.conv(x, f"conv{block:02}_1", reflect=1), f"in{block:02}_1"))
            x = x + self.norm(self.conv(y, f"conv{block:02}_2", reflect=1), f"in{block:02}_2")
        for level, norm in (("01", "in12_1"), ("02", "in13_1")):
            x = self.upsample(x, f"deconv{level}_1")
            x = F.relu(self.norm(self.conv(x, f"deconv{level}_2", zero=1), norm))
        return torch.tanh(self.conv(x, "deconv03_1", reflect=3)).flip(1)


def main() -> None:
    torch.set_num_threads(2)
    args = argparse.ArgumentParser(description="Draw photos-NNN.npy into drawings-NNN.npy, both uint8.")
    args.add_argument("--weights", required=True)
    args.add_argument("--crops", required=True)
    args = args.parse_args()
    teacher = Teacher(args.weights, torch.bfloat16)
    for path in sorted(glob.glob(os.path.join(args.crops, "photos-*.npy")), key=lambda p: ("val" not in p, p)):
        out = path.replace("photos-", "drawings-")
        if os.path.exists(out):
            continue
        drawn = np.stack([to_bytes(teacher(from_bytes(photo[None])))[0] for photo in np.load(path)])
        np.save(out + ".part.npy", drawn)
        os.rename(out + ".part.npy", out)
        print(out, flush=True)


if __name__ == "__main__":
    main()
