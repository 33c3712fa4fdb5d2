#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Joins safetensors files to one file of PyTorch, as training saves several networks.

    torch_dict.py OUT.pt genA2B=a.safetensors genB2A=b.safetensors [--legacy]

--legacy: the stream that torch wrote before version 1.6. Exit status 77: no PyTorch here.
"""
import argparse
import os
import sys

try:
    import torch
except ImportError:
    print("python3-torch is not installed")
    sys.exit(77)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "models"))
from reference_ugatit import read_safetensors  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("out")
    parser.add_argument("parts", nargs="+")
    parser.add_argument("--legacy", action="store_true")
    args = parser.parse_args()
    parts = dict(part.split("=", 1) for part in args.parts)
    torch.save({name: read_safetensors(path) for name, path in parts.items()}, args.out,
               _use_new_zipfile_serialization=not args.legacy)


if __name__ == "__main__":
    main()
