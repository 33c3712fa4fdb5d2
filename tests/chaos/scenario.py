# SPDX-License-Identifier: MIT
"""What a scenario is, and what it is given.

    @scenario("kills")
    def random_kills(run):
        \"\"\"One line that says what holds.\"\"\"
        with run.plant(workers=3) as plant:
            ...
            run.judge(plant.finish())
        run.expect(kills >= 10, "…")               # beyond what the history checker asks
        run.figures["kills"] = kills
"""
import contextlib
import pathlib
import random
import shutil
import tempfile
import types

from darkroom import BUILD
from plant import Plant
from wire import Wire

ALL = []


def scenario(name):
    def register(work):
        ALL.append(types.SimpleNamespace(name=name, work=work))
        return work
    return register


def quantiles(values):
    values = sorted(values)
    if not values:
        return {}
    return {name: round(values[min(len(values) - 1, int(part * len(values)))], 3)
            for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1))} | {"samples": len(values)}


class Run:
    def __init__(self, name, options):
        self.name, self.options = name, options
        self.seed = options.seed
        self.rng = random.Random(f"{options.seed}/{name}")
        self.figures, self.problems, self.violations = {}, [], []

    def scale(self, short, long):
        return long if self.options.long else short

    @contextlib.contextmanager
    def plant(self, **options):
        """A plant whose history is kept, however the run ends, where --keep asks for that."""
        with Plant(seed=self.seed, **options) as plant:
            try:
                yield plant
            finally:
                if self.options.keep:
                    shutil.copytree(plant.history, pathlib.Path(self.options.keep) / self.name, dirs_exist_ok=True)

    @contextlib.contextmanager
    def plant_with_sync_log(self, policy, **options):
        """A plant whose Redis and dispatchers note what they synced: (plant, {"redis", "store"} → log)."""
        with tempfile.TemporaryDirectory(prefix="darkroom-sync-") as folder:
            shim = BUILD / "tests" / "chaos" / "libsync_log.so"
            logs = {name: pathlib.Path(folder) / name for name in ("redis", "store")}
            preload = {kind: {"LD_PRELOAD": str(shim), "DARKROOM_SYNC_LOG": str(logs[log])}
                       for kind, log in (("redis", "redis"), ("dispatcher", "store"))}
            with self.plant(preload=preload, redis_options=("--appendfsync", policy), **options) as plant:
                yield plant, logs

    @contextlib.contextmanager
    def plant_with_wire(self, **options):
        """A plant whose programs reach Redis over a Wire: (plant, wire)."""
        with tempfile.TemporaryDirectory(prefix="darkroom-wire-") as folder:
            wire = Wire(folder)
            try:
                with self.plant(redis_proxy=wire, **options) as plant:
                    yield plant, wire
            finally:
                wire.close()

    def judge(self, checker):
        """Takes the checker's verdict over."""
        self.violations += checker.violations
        for name, count in sorted(checker.sums.items()):
            if count:
                self.figures[name] = self.figures.get(name, 0) + count
        self.figures["violations"] = len(self.violations)

    def expect(self, condition, text):
        if not condition:
            self.problems.append(text)
