#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`darkroom-worker bench`: what it says of a model, and every way to get it wrong. No speed is
asserted."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import DEADLINE_S, main  # noqa: E402
from workbench import DEVICE, WORKER, Workbench, weights  # noqa: E402

USAGE, DATA, NO_INPUT = 64, 65, 66


class Bench(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-bench-")
        cls.bench = Workbench(cls.folder.name)
        cls.models = cls.bench.models

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_bench(self, model, *options):
        result = subprocess.run(
            [WORKER, "bench", model, "--models", self.models, "--device", DEVICE, "--threads", "1",
             "--seconds", "0", *options], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        return result.returncode, result.stdout, result.stderr.strip()

    def refused(self, status, word, model, *options):
        got, out, error = self.run_bench(model, *options)
        self.assertEqual((got, out), (status, ""), error)
        self.assertEqual(len(error.splitlines()), 1, error)
        self.assertIn(word, error)

    def test_a_line_of_json_for_each_batch_size_agrees_with_itself(self):
        status, out, error = self.run_bench("quick", "--batch", "1,3", "--json")
        self.assertEqual((status, error), (0, ""))
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([line["batch"] for line in lines], [1, 3])
        for line in lines:
            self.assertEqual((line["model"], line["architecture"], line["kind"], line["size"]),
                             ("quick", "ugatit", "light", 64))
            self.assertEqual((line["device"], line["precision"], line["threads"]), (DEVICE, "f32", 1))
            self.assertGreaterEqual(line["runs"], 3)
            self.assertLessEqual(line["p50_ms"], line["p95_ms"])
            self.assertAlmostEqual(line["tflops"],
                                   2e-12 * line["multiply_adds"] * line["images_per_s"],
                                   delta=1e-4 * line["tflops"])
            self.assertAlmostEqual(line["of_peak"], line["tflops"] / line["peak_tflops"],
                                   delta=1e-3 * line["of_peak"])
            self.assertGreater(line["first_ms"], 0)
            self.assertGreater(line["reload_ms"], 0)
            self.assertGreaterEqual(line["ready_ms"] + 10, line["open_ms"] + line["prepare_ms"])
            self.assertGreater(line["rss_bytes"], 1 << 20)
            self.assertEqual(line["device_bytes"], 0)

    def test_the_table_has_a_line_for_each_batch_size(self):
        status, out, error = self.run_bench("quick", "--batch", "2,1")
        self.assertEqual((status, error), (0, ""))
        for word in ("quick: ugatit light", f"device {DEVICE} in f32", "start: open", "memory:"):
            self.assertIn(word, out)
        rows = [line.split() for line in out.splitlines()]
        self.assertEqual([row[0] for row in rows if len(row) == 8 and row[-1] == "%"], ["2", "1"])

    def test_a_weights_file_needs_no_manifest(self):
        status, out, error = self.run_bench(
            self.models / "quick.safetensors", "--size", "32", "--json")
        self.assertEqual((status, error), (0, ""))
        self.assertEqual(json.loads(out)["size"], 32)

    def test_what_cannot_be_measured_is_said_in_one_line(self):
        self.refused(NO_INPUT, "none", "none")
        self.refused(NO_INPUT, "gone", self.models / "gone.safetensors")
        for batch in ("0", "65", "1,,2", "1,", "", "one", "1 2"):
            self.refused(USAGE, "batch", "quick", "--batch", batch)
        self.refused(USAGE, "precision", "quick", "--precision", "f8")
        self.refused(USAGE, "device", "quick", "--device", "tpu")
        self.refused(DATA, "precision", "quick", "--precision", "f16")
        broken = weights(self.models / "broken.safetensors")
        broken.write_bytes(broken.read_bytes()[:-4])
        self.refused(DATA, "", broken)
        status, _, error = self.run_bench("quick", "quick")
        self.assertEqual(status, USAGE, error)

    def test_weights_that_give_no_numbers_are_named_by_their_layer(self):
        wild = weights(self.models / "wild.safetensors", factor={"DownBlock.1.weight": 3e38})
        self.refused(DATA, "NaN or infinity", wild, "--size", "64")


if __name__ == "__main__":
    main()
