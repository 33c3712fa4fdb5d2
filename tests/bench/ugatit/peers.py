#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a user would pick instead, on our own reference network.

    peers.py export WEIGHTS OUT.onnx --size 256        for ONNX Runtime
    peers.py torch WEIGHTS IN OUT --size 256 --runs 10 PyTorch, frozen, channels_last, 2 threads
    peers.py cuda --batch 1,8,32 [--full] [--seconds 2] on a GPU in fp16, channels_last, random weights: captured
                                                        as one CUDA graph, and by torch.compile with CUDA graphs
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


def measure_cuda(run, x, seconds):
    """Milliseconds of each run, by the card's own clock."""
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        first.record()
        run(x)
        last.record()
        torch.cuda.synchronize()
        times.append(first.elapsed_time(last))
    return sorted(times)


def capture(network, x):
    """What PyTorch's kernels take without Python between them."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            network(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(x)
    return lambda _: graph.replay()


def cuda(args):
    if not torch.cuda.is_available():
        print("no GPU that PyTorch can use")
        sys.exit(77)
    torch.backends.cudnn.benchmark = True
    network = reference_ugatit.Ugatit(64, 4, args.size if args.full else None)
    network = network.eval().cuda().half().to(memory_format=torch.channels_last)
    ways = {"graph": lambda x: capture(network, x),
            "compile": lambda x: torch.compile(network, mode="reduce-overhead", dynamic=False)}
    with torch.no_grad():
        for name, way in ways.items():
            for batch in map(int, args.batch.split(",")):
                x = torch.rand(batch, 3, args.size, args.size, device="cuda").half() * 2 - 1
                x = x.contiguous(memory_format=torch.channels_last)
                run = way(x)
                for _ in range(4):
                    run(x)
                times = measure_cuda(run, x, args.seconds)
                p50, p95 = times[len(times) // 2], times[(len(times) * 95 + 99) // 100 - 1]
                print(json.dumps({"model": "full" if args.full else "light", "device": "torch-" + name,
                                  "precision": "f16", "batch": batch, "runs": len(times),
                                  "p50_ms": round(p50 / batch, 4), "p95_ms": round(p95 / batch, 4),
                                  "images_per_s": round(1000 * batch * len(times) / sum(times), 1)}),
                      flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("export", "torch", "cuda"))
    parser.add_argument("weights", nargs="?")
    parser.add_argument("input", nargs="?")
    parser.add_argument("output", nargs="?")
    parser.add_argument("--batch", default="1,8,32")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    if args.what == "cuda":
        cuda(args)
    elif args.what == "export":
        export(args)
    else:
        run(args)


if __name__ == "__main__":
    main()
