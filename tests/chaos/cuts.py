# SPDX-License-Identifier: MIT
"""The connection to Redis breaks after a script has run and before its reply arrives."""
import json
import os
import re
import subprocess
import threading
import time

import places
from darkroom import BUILD
from scenario import scenario

# What the programs send while clients submit, watch, cancel and erase, workers come and go, some jobs
# fail, and mails go out. Plain commands are in lower case as Redis has them.
SCRIPTS = ("submit", "claim", "heartbeat", "complete", "fail", "release", "cancel", "erase", "get", "grants", "tick",
           "hello", "bye", "notify_intake", "notify_claim", "mail_take", "notify_settle", "mail_done", "trash_take", "xread",
           "blpop")


class Cutter:
    """Cuts after each of SCRIPTS until it has had its number. Not always, or nothing would ever end."""

    def __init__(self, run, wire, each):
        self.run, self.wire, self.each = run, wire, each
        self.lock = threading.Lock()
        wire.on_reply = self.on_reply

    def on_reply(self, program, script):
        if script not in SCRIPTS or self.wire.cuts[script] >= self.each:
            return None
        with self.lock:
            return "cut" if self.run.rng.random() < 0.3 else None

    def missing(self):
        return {script: self.wire.cuts[script] for script in SCRIPTS if self.wire.cuts[script] < self.each}


@scenario("cuts")
def cuts(run):
    """the connection cut after every script, before its reply: nothing twice, nothing stuck"""
    each = run.scale(3, 200)
    with run.plant_with_wire(lease_ms=1000, workers=4, wild=True) as (plant, wire):
        cutter = Cutter(run, wire, each)
        plant.clients_start(10**9, visitors=8, window=10, mail=300, cancel=100, erase=100, stream=30, chain=50)
        end = time.monotonic() + run.scale(60, 900)
        number = 0
        while cutter.missing() and time.monotonic() < end:
            # A worker that ends in good order says so: release and bye.
            time.sleep(0.3)
            number += 1
            plant.stop(f"worker-{number % 4}")
            plant.revive(f"worker-{number % 4}")
        missing = cutter.missing()
        run.figures.update(cuts=sum(wire.cuts.values()), scripts=len(SCRIPTS), fewest=min(wire.cuts[s] for s in SCRIPTS))
        wire.on_reply = lambda *_: None
        run.judge(plant.finish(stop=True))
        run.figures["leases_lost"] = places.counter(plant, "lost")
        run.expect(not missing, f"never {each} cuts after {missing}")


@scenario("cut-scripts")
def cut_scripts(run):
    """each script run twice for a lost reply, one job after another: the second time changes nothing"""
    program_of_ours(run, "test-cut-scripts", run.scale(10, 1000), {"DARKROOM_CUTS": str(run.scale(10, 1000))})


@scenario("fairness")
def fairness(run):
    """99 flows of ten jobs wait at most half as long again behind one with very many"""
    output = program_of_ours(run, "fairness", run.scale(20000, 1000000))
    run.figures.update(json.loads(output.splitlines()[-1]))


def program_of_ours(run, name, number, environment=None):
    """A scenario that is a C program of its own."""
    result = subprocess.run([BUILD / "tests" / "chaos" / name, str(number)], capture_output=True, text=True,
                            timeout=run.scale(60, 900), env={**os.environ, **(environment or {})}, check=False)
    for line in result.stdout.splitlines():
        print(line if line.startswith("#") else f"# {line}")
    run.expect(result.returncode == 0, f"{name} ended with {result.returncode}: {result.stdout[-500:]}{result.stderr[-500:]}")
    counted = re.search(r"# (\d+) cuts in (\d+) rounds", result.stdout)
    if counted:
        run.figures.update(cuts=int(counted[1]), rounds=int(counted[2]))
    return result.stdout
