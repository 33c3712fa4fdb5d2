#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The code samples of docs/samples, run as they stand against a dispatcher and a worker."""
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import DEADLINE_S, ROOT, Lab, main  # noqa: E402

SAMPLES = ROOT / "docs" / "samples"
PICTURE = ROOT / "tests" / "data" / "pictures" / "baseline.jpg"
RUNS = {"submit.sh": ("sh", ["curl", "jq", "uuidgen"]), "submit.py": (sys.executable, []),
        "submit.mjs": ("node", ["node"])}


class Samples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(models=ROOT / "models")
        cls.lab.worker_start()
        cls.result = cls.lab.path / "result.png"

    @classmethod
    def tearDownClass(cls):
        failures = cls.lab.close()
        assert not failures, failures

    def run_sample(self, name, picture, **environment):
        program, needs = RUNS[name]
        for need in needs:
            if not shutil.which(need):
                self.skipTest(f"{need} is not installed")
        self.result.unlink(missing_ok=True)
        return subprocess.run([program, SAMPLES / name, picture, self.result], text=True, timeout=DEADLINE_S,
                              env={**os.environ, "DARKROOM_URL": self.lab.url, **environment},
                              capture_output=True, check=False)

    def test_every_sample_is_run(self):
        self.assertEqual({path.name for path in SAMPLES.iterdir()}, set(RUNS))

    def test_each_brings_the_result_home(self):
        key = self.lab.key()["key"]
        for name in RUNS:
            for environment in ({}, {"DARKROOM_KEY": key}):
                with self.subTest(name=name, **environment):
                    run = self.run_sample(name, PICTURE, **environment)
                    self.assertEqual((run.returncode, run.stderr), (0, ""), run)
                    self.assertTrue(self.result.read_bytes().startswith(b"\x89PNG"))
        self.assertEqual(len(self.lab.get("/v1/jobs", token=key).json["jobs"]), len(RUNS))

    def test_each_says_why_it_was_refused(self):
        for name in RUNS:
            with self.subTest(name=name):
                run = self.run_sample(name, SAMPLES / name)  # no picture
                self.assertNotEqual(run.returncode, 0)
                self.assertIn("refused", run.stderr)
                self.assertFalse(self.result.exists())


if __name__ == "__main__":
    main()
