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
import random
import shutil
import pathlib
import types

from plant import Plant

ALL = []


def scenario(name):
    def register(work):
        ALL.append(types.SimpleNamespace(name=name, work=work))
        return work
    return register


class Run:
    def __init__(self, name, options):
        self.name, self.options = name, options
        self.seed = options.seed
        self.rng = random.Random(f"{options.seed}/{name}")
        self.figures, self.problems, self.violations = {}, [], []

    def scale(self, short, long):
        return long if self.options.long else short

    def plant(self, **options):
        return Plant(seed=self.seed, **options)

    def judge(self, checker, prefix=""):
        """Takes the checker's verdict over."""
        self.violations += checker.violations
        for name, count in sorted(checker.sums.items()):
            if count:
                self.figures[prefix + name] = self.figures.get(prefix + name, 0) + count
        self.figures["violations"] = len(self.violations)

    def keep(self, plant):
        if self.options.keep:
            shutil.copytree(plant.history, pathlib.Path(self.options.keep) / self.name, dirs_exist_ok=True)

    def expect(self, condition, text):
        if not condition:
            self.problems.append(text)
