#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Starts a whole Darkroom with the model that ships, then the browser tests against it.

Screenshots go to the folder that DARKROOM_SCREENSHOTS names. Without Chromium or the npm packages
of this folder the suite is skipped, saying so.
"""
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from darkroom import ROOT, WEB, Lab  # noqa: E402


def missing():
    if not shutil.which("node"):
        return "node is not installed"
    if not shutil.which(os.environ.get("CHROMIUM", "chromium")):
        return "chromium is not installed"
    if not (HERE / "node_modules").is_dir():
        return "npm ci was not run in tests/browser"
    return ""


def run():
    options = ["--web", WEB]
    with Lab(models=ROOT / "models", dispatcher_options=options) as lab:
        lab.worker_start()
        lab.notifier_start()
        environment = {**os.environ, "DARKROOM_SERVER": lab.url}
        return subprocess.run(["node", "--test-reporter=tap", HERE / "pages.test.mjs"], env=environment,
                              check=False).returncode


if __name__ == "__main__":
    reason = missing()
    if reason:
        print(f"1..0 # SKIP {reason}")
        sys.exit(0)
    sys.exit(run())
