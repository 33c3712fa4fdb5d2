# SPDX-License-Identifier: MIT
"""Judge the digits' generator: a sheet of pictures for the eye, and what a small classifier reads in them.

    python3 evaluate.py --data FOLDER --state STATE.pt --sheet SHEET.png --classifier CLASSIFIER.pt

The classifier is trained on MNIST's first 60,000 once, and judged on the other 10,000.
"""
import argparse
import os

import numpy as np
import torch
from torch import nn
import torch.nn.functional as F
from PIL import Image

from network import Generator
from train import latent, load, settle_norms


def classifier() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 16, 5, 2, 2), nn.ReLU(), nn.Conv2d(16, 32, 5, 2, 2), nn.ReLU(), nn.Flatten(),
                         nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10))


def train_classifier(folder: str, path: str) -> nn.Module:
    torch.manual_seed(1)
    net = classifier()
    if os.path.exists(path):
        net.load_state_dict(torch.load(path))
        return net.eval()
    pictures, labels = load(folder, "train")
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(2):
        for chosen in torch.randperm(len(pictures)).split(128):
            loss = F.cross_entropy(net(pictures[chosen].float() / 255), labels[chosen])
            adam.zero_grad()
            loss.backward()
            adam.step()
    torch.save(net.state_dict(), path)
    return net.eval()


@torch.no_grad()
def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--data", required=True)
    args.add_argument("--state", required=True)
    args.add_argument("--sheet", required=True)
    args.add_argument("--classifier", required=True)
    args = args.parse_args()
    torch.set_num_threads(1)
    with torch.enable_grad():
        judge = train_classifier(args.data, args.classifier)
    pictures, labels = load(args.data, "t10k")
    right = (judge(pictures.float() / 255).argmax(1) == labels).float().mean()
    print(f"classifier on MNIST's test set: {right:.4f}")

    generator = Generator()
    state = torch.load(args.state)
    generator.load_state_dict(state["average"])
    settle_norms(generator)
    dice = torch.Generator().manual_seed(2)
    wanted = torch.arange(2000) % 10
    drawn = torch.cat([generator(z, n) for z, n in zip(latent(dice, 2000).split(100), wanted.split(100))])
    read = judge(drawn).argmax(1)
    print(f"step {state['step']}: read as what was asked for: {(read == wanted).float().mean():.4f}; by digit:",
          " ".join(f"{n}:{(read[wanted == n] == n).float().mean():.2f}" for n in range(10)))
    real = torch.stack([pictures[labels == n][:200].float().div(255).flatten(1).std(0).mean() for n in range(10)])
    fake = torch.stack([drawn[wanted == n].flatten(1).std(0).mean() for n in range(10)])
    print("spread within a digit, to MNIST's:", " ".join(f"{n}:{f / r:.2f}" for n, (f, r) in enumerate(zip(fake, real))))
    sheet = drawn[:120].view(12, 10, 28, 28).permute(0, 2, 1, 3).reshape(336, 280)
    Image.fromarray((sheet.numpy() * 255).astype(np.uint8)).resize((840, 1008), Image.NEAREST).save(args.sheet)


if __name__ == "__main__":
    main()
