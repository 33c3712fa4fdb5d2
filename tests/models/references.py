#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs references of the residual family, all in one process, since PyTorch takes a second to start.

    references.py --random NAME SIZE WEIGHTS GOLDEN … --trained NAME SIZE FILE GOLDEN …

Both may be given several times. Exit status 77: no PyTorch here. See reference_family.py."""
import argparse
import importlib

import reference_family
import torch


def noise(module, size):
    low, high = module.RANGE
    return torch.rand(1, 3, size, size) * (high - low) + low


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--random", nargs=4, action="append", default=[])
    parser.add_argument("--trained", nargs=4, action="append", default=[])
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(1)
    for name, size, weights, golden in args.random:
        module = importlib.import_module(f"reference_{name}")
        state = module.random_state(4)
        reference_family.write(weights, state)
        reference_family.record(golden, module.trace, state, noise(module, int(size)), layers=True)
    for name, size, weights, golden in args.trained:
        module = importlib.import_module(f"reference_{name}")
        reference_family.record(golden, module.trace, reference_family.read(weights), noise(module, int(size)),
                                layers=False)


if __name__ == "__main__":
    main()
