#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`darkroom-worker self-test`: the shipped models draw what their manifests say, and nothing else passes."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import DEADLINE_S, ROOT, main  # noqa: E402
from workbench import DEVICE, WORKER, Workbench, weights  # noqa: E402

WEIGHTS = os.environ.get("DARKROOM_TEST_WEIGHTS")
USAGE, NO_INPUT, SELF_TEST = 64, 66, 82


class SelfTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="darkroom-self-test-")
        self.addCleanup(folder.cleanup)
        self.bench = Workbench(folder.name)

    def run_test(self, model, *options, models=None, device=DEVICE):
        result = subprocess.run(
            [WORKER, "self-test", model, "--models", models or self.bench.models, "--device", device, "--threads", "1",
             *options], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        return result.returncode, result.stdout.strip(), result.stderr.strip()

    def refused(self, status, words, *arguments):
        got, said, error = self.run_test(*arguments)
        self.assertEqual((got, said), (status, ""), error)
        self.assertEqual(len(error.splitlines()), 1, error)
        for word in words:
            self.assertIn(word, error)

    def test_the_shipped_models_draw_what_they_did_in_every_precision(self):
        for model in ("digits", "portrait-drawing"):
            for precision in ("f32", "bf16"):
                status, said, error = self.run_test(model, "--precision", precision, models=ROOT / "models", device="cpu")
                self.assertEqual((status, error), (0, ""))
                self.assertIn(f"{model} on cpu-{precision}: two runs give the same bytes, at most 0.0", said)
        self.assertEqual(self.run_test("digits", models=ROOT / "models", device="ref")[0], 0)

    @unittest.skipUnless(WEIGHTS, "DARKROOM_TEST_WEIGHTS names no folder")
    def test_guests_draw_what_they_did(self):
        # The others take seconds each.
        for path in ROOT.glob("models/guests/style-*.json"):
            shutil.copy(path, self.bench.models)
            name = json.loads(path.read_text())["weights"]["file"]
            (self.bench.models / name).symlink_to(pathlib.Path(WEIGHTS).resolve() / name)
            status, said, error = self.run_test(path.stem, device="cpu")
            self.assertEqual((status, error), (0, ""))
            self.assertIn("two runs give the same bytes, at most 0.0", said)

    def test_every_shipped_and_known_model_has_its_grid(self):
        for path in (*ROOT.glob("models/*.json"), *ROOT.glob("models/guests/*.json")):
            manifest = json.loads(path.read_text())
            self.assertEqual(manifest["self_test"]["tolerance"], 0.02, path)
            # A worker is ready by a small picture, where there is one.
            self.assertEqual("small" in manifest["self_test"], "size" in manifest["input"], path)

    def test_a_grid_is_written_into_a_manifest_and_nothing_else_is_changed(self):
        path = self.bench.models / "quick.json"
        for text in (path.read_text(), json.dumps(json.loads(path.read_text()), indent=2) + "\n"):
            path.write_text(text)
            self.assertIn("has no self_test to compare with", self.run_test("quick")[1])
            for _ in range(2):
                status, said, error = self.run_test("quick", "--write")
                self.assertEqual((status, error), (0, ""))
                self.assertIn("self_test written to", said)
            now = json.loads(path.read_text())
            self.assertEqual(now.pop("self_test")["tolerance"], 0.02)
            self.assertEqual(now, json.loads(text))
            self.assertEqual(path.read_text().count("self_test"), 1)
            self.assertIn(" off the manifest's grid (0.02 is allowed)", self.run_test("quick")[1])

    def test_other_weights_do_not_pass_and_the_line_says_what_is_worst(self):
        self.run_test("quick", "--write")
        weights(self.bench.models / "quick.safetensors", seed=7)
        self.refused(SELF_TEST, (f"self-test of quick on {DEVICE}-f32", "plane", "row", "instead of", "0.02 is allowed"),
                     "quick")

    def test_what_is_large_enough_is_tested_with_a_small_picture_as_well(self):
        path = self.bench.models / "slow.json"
        manifest = json.loads(path.read_text())
        self.assertIn("; 64 pixels,", self.run_test("slow")[1].splitlines()[0])
        for _ in range(2):
            self.run_test("slow", "--write")
        now = json.loads(path.read_text())
        grids = now.pop("self_test")
        self.assertEqual(now, manifest)
        self.assertNotEqual(grids["grid"], grids["small"])
        small, whole = self.run_test("slow")[1].splitlines()
        self.assertRegex(small, "the same bytes, at most 0.0[0-9]+ off the manifest's grid .*; 64 pixels,")
        self.assertRegex(whole, "the same bytes, at most 0.0[0-9]+ off the manifest's grid .*; 128 pixels,")
        # What no small picture was recorded of is tested whole alone.
        del grids["small"]
        path.write_text(json.dumps(now | {"self_test": grids}))
        self.assertRegex(self.run_test("slow")[1], "^[^\n]*; 128 pixels,[^\n]*$")
        weights(self.bench.models / "slow.safetensors", channels=8, blocks=4, seed=7)
        self.refused(SELF_TEST, ("slow", "at 128 pixels"), "slow")

    def test_other_weights_do_not_pass_the_small_test(self):
        self.run_test("slow", "--write")
        weights(self.bench.models / "slow.safetensors", channels=8, blocks=4, seed=7)
        self.refused(SELF_TEST, ("slow", "at 64 pixels", "instead of"), "slow")

    def test_a_grid_of_another_size_is_no_grid(self):
        self.run_test("quick", "--write")
        path = self.bench.models / "quick.json"
        manifest = json.loads(path.read_text())
        manifest["self_test"]["grid"] = manifest["self_test"]["grid"][:-4]
        path.write_text(json.dumps(manifest))
        self.refused(USAGE, ("self_test.grid",), "quick")

    def test_a_wrong_command_line_is_named(self):
        shutil.copy(self.bench.models / "quick.safetensors", self.bench.path / "bare.safetensors")
        self.refused(USAGE, ("no manifest",), str(self.bench.path / "bare.safetensors"))
        self.refused(USAGE, ("slow",), "quick", "slow")
        self.refused(USAGE, ("precision",), "quick", "--precision", "half")
        self.refused(NO_INPUT, ("absent",), "absent")


if __name__ == "__main__":
    main()
