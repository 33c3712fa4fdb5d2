#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""compare.py [--only NAME,NAME] [--scale X] [--aof off,everysec] BUILD: our queue beside its peers.

Every system runs the same rows on the same redis-server (a fresh one on a unix socket for each), with
300-byte jobs that do nothing: bulk submit, memory per queued job, drain (all queued before its one
worker process starts; from the first job's start to the last one's end), submit to start on an idle
worker, end to end (submitter and worker at the same time) and, at the end and all at once, a worker
killed with SIGKILL while another one is idle. A peer that is not installed is named and left out.
"""
import argparse
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PEERS = HERE.parent / "peers"
KILL_LIMIT_S = 75


class System:
    """How to start one system's submitter and worker; `jobs` is what it can chew in a few seconds."""

    def __init__(self, name, jobs, missing, submit, work, pause_ms=5):
        self.name, self.jobs, self.missing = name, jobs, missing
        self.submit_command, self.work_command, self.pause_ms = submit, work, pause_ms

    def start(self, command, server, jobs, mode, out=""):
        names = {"SOCKET": server.socket, "JOBS": str(jobs), "MODE": mode, "OUT": out}
        arguments = [names.get(word, word) for word in command]
        return subprocess.Popen(arguments, cwd=PEERS, env={**os.environ, **names}, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE if command is self.submit_command else subprocess.DEVNULL,
                                stderr=server.log, start_new_session=True, text=True)

    def submit(self, server, jobs, mode):
        """The seconds that the submitter says it took, without its own start."""
        process = self.start(self.submit_command, server, jobs, mode)
        said, _ = process.communicate(timeout=300)
        if process.returncode != 0:
            sys.exit(f"{self.name}: the submitter failed: {server.tail()}")
        return float(said.split()[-1]) if said.split() else 0.0

    def worker(self, server, jobs, mode, out):
        return self.start(self.work_command, server, jobs, mode, out)


def importable(*modules):
    code = "import " + ", ".join(modules)
    return subprocess.run(["/usr/bin/python3", "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def systems(build):
    bench = str(build / "tests/bench/queue/queue_peer")
    node = shutil.which("node") or "node"
    python = "/usr/bin/python3"
    return [
        System("Darkroom", 200000, None if os.path.exists(bench) else f"{bench} is not built",
               [bench, "submit", "SOCKET", "JOBS", "MODE"], [bench, "work", "SOCKET", "JOBS", "MODE", "OUT"]),
        System("BullMQ", 60000,
               None if (PEERS / "node_modules/bullmq").is_dir() else f"npm install --no-save in {PEERS}",
               [node, "bullmq.mjs", "submit", "SOCKET", "JOBS", "MODE"],
               [node, "bullmq.mjs", "work", "SOCKET", "JOBS", "MODE", "OUT"]),
        System("Sidekiq", 60000, None if shutil.which("sidekiq") else "apt install ruby-sidekiq",
               ["ruby", "sidekiq_jobs.rb"], ["sidekiq", "-c", "10", "-r", "./sidekiq_jobs.rb"]),
        System("Celery", 6000, None if importable("celery", "redis") else "apt install python3-celery python3-redis",
               [python, "celery_jobs.py"],
               [python, "-W", "ignore", "-m", "celery", "-A", "celery_jobs", "worker", "-P", "solo", "-l", "error"]),
        System("RQ", 1500, None if importable("rq", "redis") else "apt install python3-rq python3-redis",
               [python, "rq_jobs.py", "submit"], [python, "rq_jobs.py", "work"]),
    ]


class Server:
    """A redis-server of its own, that ends with this object."""

    def __init__(self, aof):
        self.folder = tempfile.mkdtemp(prefix="darkroom-bench-")
        self.socket = f"{self.folder}/redis.sock"
        self.log = open(f"{self.folder}/log", "w+", encoding="utf-8")
        options = ["--appendonly", "no"] if aof == "off" else ["--appendonly", "yes", "--appendfsync", aof]
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "", "--dir", self.folder,
             *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while self.call("PING") != "PONG":
            if time.monotonic() > deadline:
                sys.exit("redis-server does not start")
            time.sleep(0.02)

    def call(self, *arguments):
        return subprocess.run(["redis-cli", "-s", self.socket, *arguments], capture_output=True,
                              text=True).stdout.strip()

    def info(self, name):
        for line in self.call("INFO").splitlines():
            if line.startswith(name + ":"):
                return float(line.split(":")[1])
        return 0.0

    def cpu(self):
        return self.info("used_cpu_user") + self.info("used_cpu_sys")

    def tail(self):
        self.log.seek(0)
        return self.log.read()[-2000:]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def end(process):
    """Kills a worker and what it forked."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def wait_for(server, path, process, limit_s):
    deadline = time.monotonic() + limit_s
    while not (os.path.exists(path) and os.path.getsize(path)):
        if time.monotonic() > deadline or (process.poll() is not None and not os.path.exists(path)):
            sys.exit(f"a worker did not get through: {server.tail()}")
        time.sleep(0.02)


def row(name, value):
    print(f"  {name:<34}{value}", flush=True)


def measure_queued(system, server, jobs):
    """Bulk submit, memory, drain."""
    before, cpu = server.info("used_memory"), server.cpu()
    seconds = system.submit(server, jobs, "count")
    bytes_each = (server.info("used_memory") - before) / jobs
    row("bulk submit", f"{jobs / seconds:,.0f} jobs/s, Redis CPU {(server.cpu() - cpu) * 1e6 / jobs:.1f} us")
    row("memory per queued job", f"{bytes_each:,.0f} bytes")
    out, cpu = f"{server.folder}/drain", server.cpu()
    worker = system.worker(server, jobs, "count", out)
    wait_for(server, out, worker, 120)
    end(worker)
    first, last = map(float, open(out, encoding="ascii").read().split())
    row("drain, one worker process", f"{(jobs - 1) / (last - first) * 1e6:,.0f} jobs/s, "
        f"Redis CPU {(server.cpu() - cpu) * 1e6 / jobs:.1f} us")


def measure_end_to_end(system, server, jobs):
    server.call("FLUSHALL")
    out = f"{server.folder}/both"
    worker = system.worker(server, jobs, "count", out)
    time.sleep(1.5)
    start = time.time()
    submitter = system.start(system.submit_command, server, jobs, "count")
    wait_for(server, out, worker, 120)
    end(worker)
    submitter.wait(timeout=60)
    last = float(open(out, encoding="ascii").read().split()[1])
    row("end to end, both running", f"{jobs / (last / 1e6 - start):,.0f} jobs/s")


def measure_wake(system, server, jobs):
    server.call("FLUSHALL")
    out = f"{server.folder}/wake"
    worker = system.worker(server, jobs, "wake", out)
    time.sleep(1.5)
    system.submit(server, jobs, "wake")
    wait_for(server, out, worker, 60)
    end(worker)
    waits = sorted(float(line) / 1000 for line in open(out, encoding="ascii").read().split())
    row("submit to start, idle worker", f"p50 {statistics.median(waits):.2f} ms, p99 {waits[len(waits) * 99 // 100]:.2f} ms")


class Kill:
    """One worker hangs in a job and is killed; another one is idle."""

    def __init__(self, system):
        self.system, self.server = system, Server("off")
        self.out = f"{self.server.folder}/hang"
        self.victim = system.worker(self.server, 1, "hang", self.out)
        system.submit(self.server, 1, "hang")
        self.other = self.killed = None

    def lines(self):
        try:
            return open(self.out, encoding="ascii").read().splitlines()
        except FileNotFoundError:
            return []

    def strike(self):
        wait_for(self.server, self.out, self.victim, 30)
        self.other = self.system.worker(self.server, 1, "hang", self.out)
        time.sleep(2)
        end(self.victim)
        self.killed = time.time()

    def verdict(self):
        lines = self.lines()
        return f"{float(lines[1].split()[1]) / 1e6 - self.killed:.1f} s" if len(lines) > 1 else ""

    def close(self):
        end(self.other)
        self.server.close()


def measure_kills(wanted):
    print("worker killed with SIGKILL, job running elsewhere after", flush=True)
    kills = [Kill(system) for system in wanted]
    for kill in kills:
        kill.strike()
    deadline = time.monotonic() + KILL_LIMIT_S
    while time.monotonic() < deadline and not all(kill.verdict() for kill in kills):
        time.sleep(0.1)
    for kill in kills:
        row(kill.system.name, kill.verdict() or f"not within {KILL_LIMIT_S} s")
        kill.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--scale", type=float, default=1, help="of the job counts")
    parser.add_argument("--aof", default="off,everysec")
    parser.add_argument("--no-kill", action="store_true")
    parser.add_argument("build", type=pathlib.Path)
    arguments = parser.parse_args()
    only = [name.lower() for name in arguments.only.split(",") if name]
    wanted = []
    for system in systems(arguments.build.resolve()):
        if only and system.name.lower() not in only:
            continue
        if system.missing:
            print(f"{system.name}: left out ({system.missing})")
        else:
            wanted.append(system)
    for aof in arguments.aof.split(","):
        for system in wanted:
            jobs = max(100, int(system.jobs * arguments.scale))
            print(f"{system.name}, AOF {aof}, {jobs:,} jobs", flush=True)
            server = Server(aof)
            try:
                measure_queued(system, server, jobs)
                measure_end_to_end(system, server, jobs)
                if aof == "off":
                    measure_wake(system, server, 100 if system.name == "RQ" else 400)
            finally:
                server.close()
    if not arguments.no_kill:
        measure_kills(wanted)


main()
