#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the worker costs beside the network: its start, its CPU per job, the way to an idle one.

    tests/bench/worker_bench.py [--jobs 200] [--model portrait-drawing] [--models DIR]

Needs a release build in $DARKROOM_BUILD and python3-pil. Input: a 256 x 256 JPEG of the sample
portrait; output: PNG; store: local. Prints one line per figure."""
import argparse
import io
import pathlib
import re
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from PIL import Image  # noqa: E402
from darkroom import ROOT, Lab, wait_until  # noqa: E402


def portrait():
    picture = Image.open(ROOT / "docs" / "images" / "astronaut.png").convert("RGB")
    out = io.BytesIO()
    picture.resize((256, 256), Image.BILINEAR).save(out, "JPEG", quality=90)
    return out.getvalue()


def percentiles(name, values, unit):
    values = sorted(values)
    print(f"{name}: p50 {statistics.median(values):.1f}, "
          f"p99 {values[min(len(values) - 1, int(0.99 * len(values)))]:.1f} {unit} ({len(values)} values)")


def start(lab, options):
    values = []
    for _ in range(20):
        worker = lab.worker_start(*options)
        worker.wait_for_log("worker.first-claim")
        values.append(int(re.findall(r"first-claim since_exec_ms=(\d+)", worker.log)[-1]))
        lab.stop("worker")
    percentiles("exec to first claim", values, "ms")


def jobs(lab, options, model, count):
    photo = portrait()
    worker = lab.worker_start(*options)
    submitted = [lab.submit(photo, model).json for _ in range(count)]
    lab.wait_for_state(submitted[-1], "succeeded", deadline_s=600)
    wait_until(lambda: worker.log.count(" job.done ") >= count, "every job", 60)
    latency = []
    for _ in range(20): # one at a time, the worker idle before each
        job = lab.submit(photo, model).json
        lab.wait_for_state(job, "succeeded")
        latency.append(job["id"])
    lab.stop("worker")
    print(re.findall(r"worker.cpu (.*)", worker.log)[-1])
    lines = [line for line in worker.log.splitlines() if " job.done " in line]
    for step in ("grant", "fetch", "decode", "infer", "encode", "upload", "complete"):
        percentiles(step, [float(re.search(rf"\b{step}_ms=([\d.]+)", line)[1]) for line in lines], "ms")
    percentiles("submit to claim, idle worker", [
        int(re.search(r"queued_ms=(-?\d+)", line)[1])
        for line in lines if any(job in line for job in latency)], "ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--model", default="portrait-drawing")
    parser.add_argument("--models", default=ROOT / "models", help="folder of manifests")
    arguments = parser.parse_args()
    options = ("--model", arguments.model)
    with Lab(models=arguments.models) as lab:
        start(lab, options)
        jobs(lab, options, arguments.model, arguments.jobs)


if __name__ == "__main__":
    main()
