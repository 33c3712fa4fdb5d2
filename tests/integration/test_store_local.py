#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test_store_local.py PROGRAM: runs test_store.c against the directory behind a dispatcher. Its TAP
lines are ours."""
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import Lab  # noqa: E402

try:
    with Lab() as lab:
        status = subprocess.run([sys.argv[1]], env={
            **os.environ, "STORE_DIRECTORY": str(lab.objects), "STORE_PUBLIC_URL": lab.url,
            "STORE_SECRET_FILE": str(lab.secret_file)}).returncode
except unittest.SkipTest as reason:
    print(f"1..0 # SKIP {reason}")
    status = 0
sys.exit(status)
