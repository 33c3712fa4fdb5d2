# SPDX-License-Identifier: MIT
"""Distil the teacher into the student. Interrupt it at any time; the same command goes on from the last checkpoint.

    python3 train.py --crops CROPS --state STATE.pt --steps 12000

Run it on 128 x 128 pairs first (many cheap updates), then on 256 x 256 ones, so that the instance norms see what they
will see in use. The pool may grow while training: finished shards are picked up at every checkpoint.

The generator has no skip connections, so that colours and edges have a long way to learn. Two helpers shorten it: one
1x1 convolution each, from the trunk's features half-way and at its end straight to the 16 pixels under each of them.
They ask the trunk for the picture, and are thrown away.
"""
import argparse
import glob
import math
import os
import time

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F

import losses
from layers import set_conv_dtype
from student import Student
from teacher import from_bytes


class Pairs:
    def __init__(self, folder: str):
        self.folder, self.shards = folder, {}
        self.refresh()

    def refresh(self) -> None:
        for drawn in sorted(glob.glob(os.path.join(self.folder, "drawings-[0-9][0-9][0-9].npy"))):
            if drawn not in self.shards:
                photos = drawn.replace("drawings-", "photos-")
                self.shards[drawn] = (np.load(photos, mmap_mode="r"), np.load(drawn, mmap_mode="r"))
        self.index = [(s, i) for s, (photos, _) in self.shards.items() for i in range(len(photos))]

    def draw(self, dice: np.random.Generator, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        cut = []
        for _ in range(batch):
            shard, i = self.index[dice.integers(len(self.index))]
            pair = [pictures[i] for pictures in self.shards[shard]]
            cut.append([p[:, ::-1] for p in pair] if dice.random() < 0.5 else pair)
        return from_bytes(np.stack([p for p, _ in cut])), from_bytes(np.stack([d for _, d in cut]))


class Helpers(nn.Module):
    def __init__(self, trunk: int):
        super().__init__()
        self.half_way, self.end = nn.Conv2d(trunk, 48, 1), nn.Conv2d(trunk, 48, 1)

    def forward(self, half_way, end, wanted):
        guesses = (F.pixel_shuffle(self.half_way(half_way), 4), F.pixel_shuffle(self.end(end), 4))
        return sum(losses.helper_loss(torch.tanh(guess), wanted) for guess in guesses)


def learning_rate(step: int, steps: int, peak: float, warm: int = 100) -> float:
    done = min(1.0, step / steps)
    return peak * min(1.0, (step + 1) / warm) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def follow(average: Student, model: Student, step: int) -> None:
    keep = min(0.998, (step + 1) / (step + 20))
    with torch.no_grad():
        for a, p in zip(average.parameters(), model.parameters()):
            a.lerp_(p, 1 - keep)


@torch.no_grad()
def validate(model: Student, folder: str) -> str:
    photos = from_bytes(np.load(os.path.join(folder, "photos-val.npy")))
    wanted = from_bytes(np.load(os.path.join(folder, "drawings-val.npy")))
    rows = []
    for photo, want in zip(photos.split(1), wanted.split(1)):
        drawn = model(photo.contiguous(memory_format=torch.channels_last)).contiguous()
        rows.append([(drawn - want).abs().mean().item(), losses.ssim(drawn, want).item(),
                     (losses.energy(drawn) / losses.energy(want)).item()])
    l1, similarity, energy = np.mean(rows, 0)
    return f"val L1 {l1:.4f} SSIM {similarity:.4f} energy {energy:.3f}"


def save(path: str, **state) -> None:
    torch.save(state, path + ".part")
    os.replace(path + ".part", path)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--crops", required=True)
    args.add_argument("--validation", help="another folder's validation pairs")
    args.add_argument("--state", required=True)
    args.add_argument("--channels", type=int, default=32)
    args.add_argument("--steps", type=int, default=12000, help="where the learning rate reaches its end")
    args.add_argument("--until", type=int, help="stop earlier, to go on with other settings")
    args.add_argument("--batch", type=int, default=1)
    args.add_argument("--rate", type=float, default=3e-4)
    args.add_argument("--lines", type=float, default=1.0, help="weight of the line loss")
    args.add_argument("--similarity", type=float, default=0.5, help="weight of 1 - SSIM")
    args.add_argument("--help-weight", type=float, default=0.3)
    args.add_argument("--save-every", type=int, default=100)
    args.add_argument("--validate-every", type=int, default=500)
    args.add_argument("--threads", type=int, default=2)
    args = args.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    set_conv_dtype(torch.bfloat16)
    model = Student(args.channels).to(memory_format=torch.channels_last)
    average = Student(args.channels).to(memory_format=torch.channels_last)
    average.load_state_dict(model.state_dict())
    helpers = Helpers(4 * args.channels)
    parameters = [*model.parameters(), *helpers.parameters()]
    adam = torch.optim.Adam(parameters, lr=args.rate, betas=(0.9, 0.99), eps=1e-8)
    step = 0
    if os.path.exists(args.state):
        state = torch.load(args.state)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        helpers.load_state_dict(state["helpers"])
        adam.load_state_dict(state["adam"])
        step = state["step"]
    pairs = Pairs(args.crops)
    dice = np.random.default_rng(step)
    began, seen, total = time.monotonic(), 0, 0.0
    last = min(args.steps, args.until or args.steps)
    while step < last:
        photo, wanted = pairs.draw(dice, args.batch)
        for group in adam.param_groups:
            group["lr"] = learning_rate(step, args.steps, args.rate)
        drawn, half_way, end = model.with_trunk(photo.contiguous(memory_format=torch.channels_last))
        loss = losses.distillation_loss(drawn.contiguous(), wanted, args.lines, args.similarity)
        shown = loss.item()
        if args.help_weight:
            loss = loss + args.help_weight * helpers(half_way, end, wanted)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        model.clip_rho()
        follow(average, model, step)
        step, seen, total = step + 1, seen + 1, total + shown
        if step % args.save_every == 0 or step == last:
            save(args.state, model=model.state_dict(), average=average.state_dict(),
                 helpers=helpers.state_dict(), adam=adam.state_dict(), step=step,
                 channels=args.channels)
            pairs.refresh()
            pace = (time.monotonic() - began) / seen
            line = (f"{time.strftime('%H:%M:%S')} step {step} loss {total / seen:.4f} {pace:.3f} s/step "
                    f"{len(pairs.index)} pairs")
            began, seen, total = time.monotonic(), 0, 0.0
            if step % args.validate_every == 0 or step == last:
                line += " " + validate(average, args.validation or args.crops)
            print(line, flush=True)


if __name__ == "__main__":
    main()
