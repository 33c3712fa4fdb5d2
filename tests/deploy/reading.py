# SPDX-License-Identifier: MIT
"""Container files and YAML, read by packages of npm (read.mjs)."""
import json
import pathlib
import shutil
import subprocess
import unittest

HERE = pathlib.Path(__file__).resolve().parent


def read(*paths):
    """Path → what read.mjs says of it. Skips where its packages are not there."""
    if not shutil.which("node") or not (HERE / "node_modules" / "yaml").exists():
        raise unittest.SkipTest("npm's packages are not there: npm ci in tests/deploy")
    result = subprocess.run(["node", str(HERE / "read.mjs"), *map(str, paths)], capture_output=True, text=True,
                            check=True)
    return json.loads(result.stdout)
