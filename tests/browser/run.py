#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""run.py [--only NAME]...: starts a whole Darkroom with the model that ships, then the browser tests
against it: NAME.test.mjs, or all of them one after the other.

Screenshots go to the folder that DARKROOM_SCREENSHOTS names, else to screenshots/ in the build.
Without Chromium or the npm packages of this folder the suite is skipped, saying so.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from darkroom import BUILD, ROOT, WEB, Lab  # noqa: E402


def missing():
    if not shutil.which("node"):
        return "node is not installed"
    if not shutil.which(os.environ.get("CHROMIUM", "chromium")):
        return "chromium is not installed"
    if not (HERE / "node_modules").is_dir():
        return "npm ci was not run in tests/browser"
    return ""


# Every kind of parameter, tight limits, and a part that is no square.
TRIAL = {
    "name": "trial", "title": "A trial of everything", "cost_ms": 40,
    "input": {"kind": "image", "max_bytes": 2000000, "max_megapixels": 20, "size": 256, "aspect": [3, 4]},
    "params": {"type": "object", "additionalProperties": False, "required": [], "properties": {
        "strength": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5, "title": "Strength",
                     "description": "How much of the photograph stays"},
        "lines": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3, "title": "Lines"},
        "paper": {"type": "string", "enum": ["white", "cream"], "default": "cream", "title": "Paper"},
        "frame": {"type": "boolean", "default": True, "title": "With a frame"},
        "seed": {"type": "integer", "minimum": 0, "maximum": 999999, "title": "Seed"},
        "caption": {"type": "string", "maxLength": 20, "title": "Caption"}}},
    "translations": {"nl": {"title": "Een proef van alles", "params": {
        "paper": {"title": "Papier", "choices": {"white": "wit", "cream": "crème"}}}}}}


def make_models(folder):
    """The models that ship, and one more on a picture of theirs."""
    for path in (ROOT / "models").iterdir():
        (folder / path.name).symlink_to(path)
    shipped = json.loads((ROOT / "models" / "portrait-drawing.json").read_text())
    (folder / "trial.json").write_text(json.dumps({**shipped, **TRIAL}))
    return folder


def run(names):
    failed = 0
    options = ["--web", WEB, "--compat", "selfie2anime=portrait-drawing"]
    with tempfile.TemporaryDirectory() as folder, \
            Lab(models=make_models(pathlib.Path(folder)), dispatcher_options=options) as lab:
        lab.worker_start()
        lab.notifier_start()
        environment = {"DARKROOM_SCREENSHOTS": str(BUILD / "screenshots"), **os.environ, "DARKROOM_SERVER": lab.url,
                       "DARKROOM_ACCOUNT_KEY": lab.key("--name", "visitor", "--scopes", "submit,read")["key"],
                       "DARKROOM_REDIS": lab.redis_url, "DARKROOM_OUTBOX": str(lab.outbox),
                       "DARKROOM_OPERATOR_KEY": lab.key("--name", "house", "--scopes", "operate")["key"]}
        if "fleet" in names:
            lab.worker_start("--batch", "1", name="second-worker")
        for name in names:
            failed |= subprocess.run(["node", "--test-reporter=tap", HERE / f"{name}.test.mjs"], env=environment,
                                     check=False).returncode
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", action="append", metavar="NAME")
    every = sorted(path.name.removesuffix(".test.mjs") for path in HERE.glob("*.test.mjs"))
    names = parser.parse_args().only or every
    for name in names:
        if name not in every:
            parser.error(f"there is no {name}.test.mjs")
    reason = missing()
    if reason:
        print(f"1..0 # SKIP {reason}")
        return 0
    return run(names)


if __name__ == "__main__":
    sys.exit(main())
