#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a user would pick instead, on our own reference network.

    peers.py export WEIGHTS OUT.onnx --size 256        for ONNX Runtime
    peers.py torch WEIGHTS IN OUT --size 256 --runs 10 PyTorch, frozen, channels_last, 2 threads
"""
import argparse
import json
import os
import resource
import sys
import time

started = time.perf_counter()
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models"))
import torch  # noqa: E402

import reference_ugatit  # noqa: E402


def export(args):
    network = reference_ugatit.load(args.weights, args.size)
    x = torch.zeros(1, 3, args.size, args.size)
    torch.onnx.export(network, (x,), args.input, opset_version=13, input_names=["input"],
                      output_names=["output"])


def run(args):
    torch.set_num_threads(args.threads)
    network = reference_ugatit.load(args.weights, args.size)
    with open(args.input, "rb") as file:
        x = torch.frombuffer(bytearray(file.read()), dtype=torch.float32)
    x = x.reshape(1, 3, args.size, args.size)
    with torch.no_grad():
        x = x.contiguous(memory_format=torch.channels_last)
        network = network.to(memory_format=torch.channels_last)
        frozen = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(network, x)))
        y = frozen(x)
        first = time.perf_counter()
        frozen(x)
        times = []
        for _ in range(args.runs):
            begin = time.perf_counter()
            y = frozen(x)
            times.append((time.perf_counter() - begin) * 1000)
    with open(args.output, "wb") as file:
        file.write(y.contiguous().numpy().tobytes())
    times.sort()
    print(json.dumps({"best_ms": round(times[0], 1), "median_ms": round(times[len(times) // 2], 1),
                      "start_to_first_ms": round((first - started) * 1000, 1),
                      "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("export", "torch"))
    parser.add_argument("weights")
    parser.add_argument("input")
    parser.add_argument("output", nargs="?")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    if args.what == "export":
        export(args)
    else:
        run(args)


if __name__ == "__main__":
    main()
