#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the faults of faults.py on a fleet under load; see run.sh. Output is TAP: a line for each, and for the verdict."""
import argparse
import collections
import json
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "chaos"), str(HERE.parent / "support")]
import faults  # noqa: E402
import places  # noqa: E402
from darkroom import wait_until  # noqa: E402
from fleet import Fleet, names  # noqa: E402
from network import Network  # noqa: E402
from redis_hosts import RedisHosts  # noqa: E402

SHORT = ("worker-redis-deaf", "worker-vanishes")
RECOVERY_S = 120  # a fault's jobs are over so long after its end, or the run has failed


class Terminated(BaseException):
    """SIGTERM or SIGINT, so that everything is taken down on the way out."""


def terminate(*_):
    raise Terminated


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help="all of them, if none is named")
    parser.add_argument("--minutes", type=float, default=0, help="so long, in random order once each has been")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--per-second", type=float, default=20, metavar="JOBS")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--keep", metavar="FOLDER")
    parser.add_argument("--list", action="store_true")
    return parser.parse_args()


class Tap:
    def __init__(self):
        self.number = self.failed = 0

    def say(self, good, text):
        self.number += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {text}", flush=True)

    def trace(self):
        for line in traceback.format_exc().splitlines():
            print(f"# {line}")


def one_fault(fleet, fault, rng, seconds):
    """Its figures: all in seconds, as clients saw it."""
    begun = time.monotonic()
    steps = fault.work(fleet, rng)
    next(steps)
    time.sleep(max(0.0, begun + seconds - time.monotonic()))
    fleet.network.heal()
    healed = time.monotonic()
    next(steps, None)
    watch = fleet.watch
    wait_until(lambda: time.sleep(0.1) or watch.well_since(healed), "the end of every job of before, and new ones", RECOVERY_S)
    over = time.monotonic()
    return {"fault_s": round(healed - begun, 1), "accepted": watch.count("accepted", begun, over),
            "unanswered": sum(begun <= t < over for t in watch.unanswered),
            "no_202_for_s": round(watch.longest_gap("accepted", begun, over), 1),
            "no_end_for_s": round(watch.longest_gap("ended", begun, over), 1),
            "slowest_job_s": round(watch.slowest(begun, over), 1), "well_after_s": round(over - healed, 1)}


def judge(fleet, tap, figures):
    checker = fleet.finish(deadline_s=300, stop=True)
    for kind, text in checker.violations[:60]:
        print(f"# {kind}: {text}")
    sums = {name: count for name, count in sorted(checker.sums.items()) if count}
    figures.update(sums, left_for_the_sweep=getattr(fleet, "left_for_the_sweep", 0),
                   leases_lost=places.counter(fleet, "lost"), charged=len(places.charged(fleet)))
    tap.say(not checker.violations, f"what the clients saw: {len(checker.violations)} violations")
    tap.say(not checker.sums["cut-lost"], f"{checker.sums['cut-lost']} accepted jobs lost with a master")
    return figures


def run(options, rng, tap, path):
    chosen = options.names or (SHORT if options.short else list(faults.ALL))
    size = {"workers": 2, "s3": False} if options.short else {"workers": 6, "s3": True}
    network = Network(names(**size), options.seed)
    redis = RedisHosts(network, [f"redis-{number}" for number in range(3)], path / "redis")
    seconds_of = collections.defaultdict(list)
    with redis, Fleet(network, path, redis, lease_ms=2000 if options.short else 4000, seed=options.seed, **size) as fleet:
        try:
            begun = time.monotonic()
            fleet.load_begin(options.per_second)
            wait_until(lambda: fleet.watch.read() or len(fleet.watch.ended) > 20, "jobs that end")
            queue = list(chosen)
            while queue or time.monotonic() < begun + 60 * options.minutes:
                name = queue.pop(0) if queue else rng.choice(chosen)
                fault = faults.ALL[name]
                try:
                    figures = one_fault(fleet, fault, rng, 3 if options.short else fault.seconds)
                    seconds_of[name].append(figures)
                    print(f"# {name} {json.dumps(figures)}")
                    tap.say(True, f"{name}: {fault.text}")
                except AssertionError:
                    tap.trace()
                    tap.say(False, f"{name}: {fault.text}")
                    fleet.network.heal()
            figures = {"minutes": round((time.monotonic() - begun) / 60, 1),
                       "faults": sum(map(len, seconds_of.values()))}
            print(f"# all {json.dumps(judge(fleet, tap, figures))}")
        finally:
            if options.keep:
                shutil.copytree(path, pathlib.Path(options.keep) / "files", dirs_exist_ok=True,
                                ignore=shutil.ignore_patterns("osd", "mon", "rgw", "run"))
                shutil.copytree(fleet.path, pathlib.Path(options.keep) / "fleet", dirs_exist_ok=True,
                                ignore=shutil.ignore_patterns("objects", "*.sock"))
    for name, several in seconds_of.items():
        worst = {key: max(one[key] for one in several) for key in several[0]}
        print(f"# worst of {len(several)} {name} {json.dumps(worst)}")
    network.close()


def main():
    options = parse()
    if options.list:
        for fault in faults.ALL.values():
            print(f"{fault.name:20} {fault.text}")
        return 0
    unknown = set(options.names) - set(faults.ALL)
    if unknown:
        print(f"no such scenario: {' '.join(sorted(unknown))}; see --list", file=sys.stderr)
        return 64
    options.seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, terminate)
    print(f"# --seed {options.seed}", flush=True)
    tap = Tap()
    try:
        with tempfile.TemporaryDirectory(prefix="darkroom-hosts-") as folder:
            run(options, random.Random(options.seed), tap, pathlib.Path(folder))
    except AssertionError as failure:
        tap.trace()
        tap.say(False, f"the run itself: {str(failure).splitlines()[0][:200]}")
    print(f"1..{tap.number}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Terminated, KeyboardInterrupt):
        print("Bail out! interrupted")
        sys.exit(130)
