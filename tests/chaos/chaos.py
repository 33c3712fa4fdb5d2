#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the scenarios of tests/chaos; see run.sh. Output is TAP, with the sums of each history."""
import argparse
import importlib
import json
import pathlib
import random
import signal
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "support"))
import scenario  # noqa: E402

MODULES = ("kills", "power", "leases", "cuts", "upgrade")


class Terminated(BaseException):
    """SIGTERM or SIGINT, so that everything is taken down on the way out."""


def terminate(*_):
    raise Terminated


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SCENARIO", help="all of them, if none is named")
    parser.add_argument("--minutes", type=float, help="for the random kills: as many as fit")
    parser.add_argument("--jobs", type=int, help="for the random kills")
    parser.add_argument("--kills", type=int, help="for the random kills")
    parser.add_argument("--long", action="store_true", help="every count as docs/reliability.md has it")
    parser.add_argument("--seed", type=int, help="repeats the random choices of a run")
    parser.add_argument("--keep", metavar="FOLDER", help="copy each history here")
    parser.add_argument("--upgrade-from", metavar="REVISION", help="for the upgrade: from the programs of this revision")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    options.long = bool(options.long or options.jobs or options.minutes)
    return options


def run_one(one, options):
    """(ok, figures)"""
    run = scenario.Run(one.name, options)
    begun = time.monotonic()
    try:
        one.work(run)
    except (Terminated, KeyboardInterrupt):
        raise
    except BaseException as error:
        for line in traceback.format_exc().splitlines():
            print(f"# {line}")
        run.problems.append(f"{type(error).__name__}: {error}".split("\n")[0][:300])
    run.figures["seconds"] = round(time.monotonic() - begun, 1)
    return run


def main():
    options = parse()
    for module in MODULES:
        importlib.import_module(module)
    if options.list:
        for one in scenario.ALL:
            print(f"{one.name:12} {one.work.__doc__.splitlines()[0]}")
        return 0
    chosen = [one for one in scenario.ALL if not options.names or one.name in options.names]
    unknown = set(options.names) - {one.name for one in scenario.ALL}
    if unknown:
        print(f"no such scenario: {' '.join(sorted(unknown))}; see --list", file=sys.stderr)
        return 64
    options.seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, terminate)
    print(f"1..{len(chosen)}\n# --seed {options.seed}", flush=True)
    failed = 0
    for number, one in enumerate(chosen, 1):
        run = run_one(one, options)
        for kind, text in run.violations[:40]:
            print(f"# {kind}: {text}")
        for text in run.problems:
            print(f"# {text}")
        bad = bool(run.problems or run.violations)
        failed += bad
        print(f"# {one.name} {json.dumps(run.figures)}")
        print(f"{'not ok' if bad else 'ok'} {number} - {one.name}: {one.work.__doc__.splitlines()[0]}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Terminated, KeyboardInterrupt):
        print("Bail out! interrupted")
        sys.exit(130)
