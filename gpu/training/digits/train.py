# SPDX-License-Identifier: MIT
"""Train the digits' generator. Interrupt it at any time; the same command goes on from the last checkpoint, and each
step's dice are seeded by its number, so the result is the same.

    python3 train.py --data FOLDER --state STATE.pt --steps 1800

FOLDER holds MNIST's train-images-idx3-ubyte and train-labels-idx1-ubyte.
"""
import argparse
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from network import Discriminator, Generator, LABELS, LATENT, set_conv_dtype


def read_idx(path: str, header: int) -> np.ndarray:
    return np.frombuffer(open(path, "rb").read(), np.uint8, offset=header)


def load(folder: str, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    pictures = read_idx(os.path.join(folder, part + "-images-idx3-ubyte"), 16).reshape(-1, 1, 28, 28)
    labels = read_idx(os.path.join(folder, part + "-labels-idx1-ubyte"), 8)
    return torch.from_numpy(pictures.copy()), torch.from_numpy(labels.astype(np.int64))


def latent(dice: torch.Generator, count: int) -> torch.Tensor:
    return torch.rand(count, LATENT, generator=dice) * 2 - 1


@torch.no_grad()
def settle_norms(average: Generator, batches: int = 40) -> None:
    """The averaged weights never saw a batch: their norms' statistics are taken afresh."""
    norms = [m for m in average.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    average.train()
    dice = torch.Generator().manual_seed(7)
    for _ in range(batches):
        average(latent(dice, 100), torch.arange(100) % LABELS)
    average.eval()


def save(path: str, **state) -> None:
    torch.save(state, path + ".part")
    os.replace(path + ".part", path)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", required=True)
    args.add_argument("--state", required=True)
    args.add_argument("--steps", type=int, default=1800)
    args.add_argument("--batch", type=int, default=64)
    args.add_argument("--rate", type=float, default=4e-4)
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--save-every", type=int, default=100)
    args = args.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    set_conv_dtype(torch.bfloat16)
    generator, average, judge = Generator(), Generator(), Discriminator()
    average.load_state_dict(generator.state_dict())
    adam_g = torch.optim.Adam(generator.parameters(), lr=args.rate, betas=(0.5, 0.99))
    adam_d = torch.optim.Adam(judge.parameters(), lr=args.rate, betas=(0.5, 0.99))
    parts = {"generator": generator, "average": average, "judge": judge, "adam_g": adam_g, "adam_d": adam_d}
    step = 0
    if os.path.exists(args.state):
        state = torch.load(args.state)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        step = state["step"]
    pictures, numbers = load(args.data, "train")
    began, since = time.monotonic(), step
    while step < args.steps:
        dice = torch.Generator().manual_seed(1000 + step)
        rate = args.rate * min(1.0, 0.02 + 2.0 * (1 - step / args.steps))  # whole for the first half, then down
        for adam in (adam_g, adam_d):
            adam.param_groups[0]["lr"] = rate
        chosen = torch.randint(len(pictures), (args.batch,), generator=dice)
        real, real_labels = pictures[chosen].float() / 255, numbers[chosen]
        labels = torch.randint(LABELS, (args.batch,), generator=dice)
        fake = generator(latent(dice, args.batch), labels)

        verdict = judge(torch.cat([real, fake.detach()]), torch.cat([real_labels, labels]))
        loss_d = F.relu(1 - verdict[:args.batch]).mean() + F.relu(1 + verdict[args.batch:]).mean()
        adam_d.zero_grad(set_to_none=True)
        loss_d.backward()
        adam_d.step()

        for p in judge.parameters():
            p.requires_grad_(False)
        loss_g = -judge(fake, labels).mean()
        adam_g.zero_grad(set_to_none=True)
        loss_g.backward()
        adam_g.step()
        for p in judge.parameters():
            p.requires_grad_(True)

        keep = min(0.995, (step + 1) / (step + 20))
        with torch.no_grad():
            for a, p in zip(average.parameters(), generator.parameters()):
                a.lerp_(p, 1 - keep)
        step += 1
        if step % args.save_every == 0 or step == args.steps:
            if step == args.steps:
                settle_norms(average)
            save(args.state, step=step, **{name: part.state_dict() for name, part in parts.items()})
            pace = (time.monotonic() - began) / (step - since)
            print(f"{time.strftime('%H:%M:%S')} step {step} judge {loss_d.item():.3f} generator {loss_g.item():.3f} "
                  f"{pace:.2f} s/step", flush=True)


if __name__ == "__main__":
    main()
