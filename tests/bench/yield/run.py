#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""From one worker to many on one machine, each the real program with a device that only takes time.

    tests/bench/yield/run.py [--only NAME,…] [--workers 1,2,4,…] [--seconds 4] [--svg FILE] [--options='…']
        [--objects DIR]

Needs $DARKROOM_BUILD (a release build; build/ unless given) and python3-pil. A row for each device and number of
workers: what came out of it in a second, beside what the devices could do and beside as many single workers; who
used the processors for how long; what went through Redis and the loopback. Jobs are in the queue before the clock
starts, so that nothing but the workers' road is measured: claim, grant, fetch, decode, run, encode, upload, settle.
The store is the dispatcher's own, which then syncs nothing, in memory: on a disk it is the file system that is measured
(ext4 without a journal looks at every file that was deleted in the last minutes before it makes one)."""
import argparse
import base64
import dataclasses
import io
import json
import mmap
import os
import pathlib
import shlex
import shutil
import struct
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "support")]
import plot  # noqa: E402
from darkroom import BUILD, ROOT, Lab, wait_until  # noqa: E402

WORKER = BUILD / "tests" / "bench" / "yield" / "yield-worker"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
COUNTERS = struct.Struct("qqqq")  # runs, rows, busy_us, ended_us: tests/bench/yield/device.c
WARM_S = 1.5
MODEL = "yield"


@dataclasses.dataclass
class Device:
    name: str
    says: str
    weights: str  # of the shipped model that it is instead of
    batch: int
    base_us: int
    row_us: int
    workers: tuple

    @property
    def most(self):
        """Jobs a second of one device that never waits."""
        return self.batch * 1e6 / (self.base_us + self.batch * self.row_us)


DEVICES = (
    Device("pictures", "8 pictures of 256² in 400 ms", "portrait-drawing", 8, 80000, 40000, (1, 2, 4, 8, 16, 24)),
    Device("fast", "8 pictures of 256² in 80 ms", "portrait-drawing", 8, 16000, 8000, (1, 2, 4)),
    Device("numbers", "8 numbers in 160 ms, no picture", "digits", 8, 32000, 16000, (1, 2, 4, 8, 16, 24, 32)),
)


# ---- what is done ----

def manifest(device):
    """The shipped one's, under a name of its own and without what lies beside the result."""
    made = json.loads((ROOT / "models" / f"{device.weights}.json").read_text())
    for member in ("translations", "retention", "self_test"):
        made.pop(member, None)
    return {**made, "name": MODEL, "batch": {"max": device.batch}}


def portrait():
    from PIL import Image  # pylint: disable=import-outside-toplevel
    picture = Image.open(ROOT / "docs" / "images" / "astronaut.png").convert("RGB")
    out = io.BytesIO()
    picture.resize((256, 256), Image.BILINEAR).save(out, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def submit(lab, device, key, count):
    job = {"input": portrait()} if device.weights != "digits" else {"params": {"number": "7"}}
    most = 1000 if "input" in job else 10000
    while count > 0:
        answer = lab.request("POST", "/v1/batches", token=key["key"], body={
            "defaults": {"model": MODEL}, "jobs": [job] * min(count, most)})
        assert answer.status == 202, answer
        count -= most


def queued(lab):
    return int(lab.redis_cli("hget", f"{{q:00}}c:{MODEL}", "queued1") or 0)  # of usual priority


# ---- what is measured ----

def cpu_seconds(pid, thread=None):
    path = f"/proc/{pid}/task/{thread}/stat" if thread else f"/proc/{pid}/stat"
    fields = pathlib.Path(path).read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def machine_seconds():
    """Of all processors: at work, idle, and taken away by the host."""
    ticks = [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks[:8]) - idle - ticks[7]) * TICK_S, idle * TICK_S, ticks[7] * TICK_S


def loopback_bytes():
    line = next(line for line in pathlib.Path("/proc/net/dev").read_text().split("\n") if "lo:" in line)
    return int(line.split()[1])


class Snapshot:
    def __init__(self, lab, workers, counters):
        info = dict(line.split(":", 1) for line in lab.redis_cli("info", "all").splitlines() if ":" in line)
        scripts = info.get("cmdstat_fcall", "calls=0,").split(",")[0].removeprefix("calls=")
        dispatcher = lab.programs["dispatcher"].pid
        self.figures = {
            "time": time.monotonic(),
            "settled": int(lab.redis_cli("hget", f"{{q:00}}c:{MODEL}", "succeeded") or 0),
            "redis": cpu_seconds(lab.programs["redis"].pid),
            "scripts": int(scripts),
            "redis_bytes": int(info["total_net_input_bytes"]) + int(info["total_net_output_bytes"]),
            "dispatcher": cpu_seconds(dispatcher),
            "loop": cpu_seconds(dispatcher, dispatcher),
            "workers": sum(cpu_seconds(worker.pid) for worker in workers),
            "loopback": loopback_bytes(),
        }
        self.figures.update(zip(("work", "idle", "stolen"), machine_seconds()))
        self.devices = [COUNTERS.unpack_from(memory) for memory in counters]

    def since(self, earlier):
        """Differences. Of each device from the end of one run to that of another, or a part of a run would count as
        none or a whole."""
        figures = {name: value - earlier.figures[name] for name, value in self.figures.items()}
        figures.update(runs=0, rows=0, rate=0.0, busy=0.0)
        for now, before in zip(self.devices, earlier.devices):
            runs, rows, busy_us, took_us = (a - b for a, b in zip(now, before))
            figures["runs"] += runs
            figures["rows"] += rows
            figures["rate"] += rows * 1e6 / took_us if took_us else 0
            figures["busy"] += busy_us / took_us if took_us else 0
        return figures


def start_workers(lab, device, count, options):
    workers, counters = [], []
    for i in range(count):
        path = lab.path / f"counters-{i}"
        path.write_bytes(bytes(COUNTERS.size))
        with open(path, "r+b") as file:
            counters.append(mmap.mmap(file.fileno(), COUNTERS.size))
        workers.append(lab.start(f"worker-{i}", [
            WORKER, "--redis", lab.redis_url, "--dispatcher", lab.url, "--models", lab.models,
            "--worker-token-file", lab.worker_token_file, "--batch", device.batch, *options],
            {"YIELD_DEVICE": f"{device.base_us}:{device.row_us}", "YIELD_COUNTERS": str(path)}))
    for worker in workers:
        worker.wait_for_log("worker.ready")
    return workers, counters


def stop_workers(lab, workers):
    """All at once: the Lab would end them one by one."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.wait(60)
        worker.log_file.close()
        del lab.programs[worker.name]


def measure(device, count, arguments):
    seconds, options = arguments.seconds, shlex.split(arguments.options)
    with tempfile.TemporaryDirectory(dir=arguments.objects) as objects, Lab(
            models={MODEL: manifest(device)}, dispatcher=False, store=["--store", f"local:{objects}"]) as lab:
        shutil.copy(ROOT / "models" / f"{device.weights}.safetensors", lab.models)
        lab.redis_cli("config", "set", "appendfsync", "everysec")
        lab.dispatcher_start("--store-sync=no", "--max-flow-queued", 1000000)
        key = lab.key()
        jobs = int(count * (device.most * (WARM_S + seconds + 1.5) + 3 * device.batch))
        submit(lab, device, key, jobs)
        wait_until(lambda: queued(lab) >= jobs, "every job", 120)
        workers, counters = start_workers(lab, device, count, options)
        time.sleep(WARM_S)
        before = Snapshot(lab, workers, counters)
        time.sleep(seconds)
        figures = Snapshot(lab, workers, counters).since(before)
        assert queued(lab) > 0, "the queue ran dry"
        stop_workers(lab, workers)
    return figures


# ---- what is said ----

def describe(device, count, figures, single):
    took, jobs, rate = figures["time"], max(figures["settled"], 1), figures["rate"]
    row = {"device": device.name, "workers": count, "rate": rate, "of_device": rate / device.most / count,
           "of_single": rate / count / (single or rate / count), "load": os.getloadavg()[0]}
    row["busy"] = figures["busy"] / count
    row["fill"] = figures["rows"] / max(figures["runs"], 1) / device.batch
    for name in ("workers", "dispatcher", "loop", "redis"):
        row[f"{name}_cpu"] = figures[name] / took
        row[f"{name}_us"] = figures[name] * 1e6 / jobs
    row["used"] = (row["workers_cpu"] + row["dispatcher_cpu"] + row["redis_cpu"]) / os.cpu_count()
    row["machine"] = 1 - figures["idle"] / (figures["work"] + figures["idle"] + figures["stolen"])
    row["stolen"] = figures["stolen"] / (figures["work"] + figures["idle"] + figures["stolen"])
    row["scripts"] = figures["scripts"] / jobs
    row["redis_bytes"] = figures["redis_bytes"] / jobs
    row["loopback_MB_s"] = figures["loopback"] / took / 1e6
    row["settled"] = figures["settled"] / took
    return row


def show(row):
    print(f"{row['device']:9} {row['workers']:3} workers {row['rate']:7.1f} jobs/s = {row['of_device']:6.1%} of the devices, "
          f"{row['of_single']:6.1%} of single ones; busy {row['busy']:.1%}, full {row['fill']:.1%} | machine "
          f"{row['machine']:.0%} (stolen {row['stolen']:.0%}): workers {row['workers_cpu']:.2f}, dispatcher "
          f"{row['dispatcher_cpu']:.2f} (its loop {row['loop_cpu']:.2f}), Redis {row['redis_cpu']:.2f} processors | us a job: "
          f"{row['workers_us']:.0f}, {row['dispatcher_us']:.0f} ({row['loop_us']:.0f}), {row['redis_us']:.0f} | "
          f"Redis {row['scripts']:.2f} scripts, "
          f"{row['redis_bytes']:.0f} B a job; loopback {row['loopback_MB_s']:.1f} MB/s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--workers", default="")
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--options", default="", help="for the workers")
    parser.add_argument("--objects", default="/dev/shm", help="the folder for them")
    parser.add_argument("--svg")
    arguments = parser.parse_args()
    rows = []
    for device in DEVICES:
        if arguments.only and device.name not in arguments.only.split(","):
            continue
        print(f"{device.name}: {device.says}, {device.most:.0f} jobs/s at most", flush=True)
        single = None
        for count in map(int, arguments.workers.split(",")) if arguments.workers else device.workers:
            row = describe(device, count, measure(device, count, arguments), single)
            single = single or row["rate"] / count
            rows.append(row)
            show(row)
    if arguments.svg:
        plot.write(arguments.svg, [(device.says, [row for row in rows if row["device"] == device.name])
                                   for device in DEVICES])


if __name__ == "__main__":
    main()
