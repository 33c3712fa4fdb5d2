#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`darkroom-worker weights`: what it lists, what it recognises, what it converts, and every way to get it wrong."""
import array
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import main  # noqa: E402
from workbench import WORKER, Workbench, noise_png, weights  # noqa: E402
import random_ugatit  # noqa: E402
import tensor_bundle  # noqa: E402
from ugatit_scopes import variables  # noqa: E402

# sysexits.h, as err_exit_status() maps them.
USAGE, DATA, NO_INPUT = 64, 65, 66


class Weights(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-weights-")
        cls.path = pathlib.Path(cls.folder.name)
        cls.light = weights(cls.path / "light.safetensors")
        cls.bundle = cls.path / "model-7"
        tensor_bundle.write(str(cls.bundle), list(tensor_bundle.small()), shards=2)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def command(self, *arguments):
        done = subprocess.run([WORKER, "weights", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                              check=False)
        return done.returncode, done.stdout, done.stderr

    def listed(self, *arguments):
        status, out, error = self.command(*arguments, "--json")
        self.assertEqual((status, error), (0, ""))
        return json.loads(out)

    def refused(self, status, words, *arguments):
        got, _, error = self.command(*arguments)
        self.assertEqual(got, status, error)
        self.assertEqual(len(error.splitlines()), 1, error)
        for word in words:
            self.assertIn(word, error)

    def test_the_list_has_every_tensor_with_statistics(self):
        listed = self.listed(self.bundle)
        self.assertEqual(listed["format"], "tensorflow-bundle")
        self.assertIsNone(listed["network"])
        self.assertIn("no architecture that is known", listed["reason"])
        rows = {row["name"]: row for row in listed["tensors"]}
        self.assertEqual(len(rows), 90)
        self.assertEqual(rows["global_step"], {"name": "global_step", "dtype": "I64", "shape": [], "statistics": {
            "nan": 0, "infinite": 0, "min": -5.0, "max": -5.0, "mean": -5.0, "deviation": 0.0}})
        kernel = rows["generator_B/resblock_3/res1/conv_0/conv2d/kernel"]
        self.assertEqual((kernel["dtype"], kernel["shape"]), ("F32", [1, 2, 3]))
        self.assertEqual(kernel["statistics"]["mean"], 3 + 5 / 16)
        self.assertAlmostEqual(kernel["statistics"]["deviation"], (35 / 12) ** 0.5 / 8)
        for row in self.listed(self.bundle, "--no-statistics")["tensors"]:
            self.assertNotIn("statistics", row)

    def test_nan_and_infinity_are_counted_and_do_not_spoil_the_rest(self):
        wild = self.path / "wild.safetensors"
        values = struct.pack("<6f", float("nan"), float("inf"), 1, float("-inf"), 3, float("nan"))
        random_ugatit.write(wild, [("a", "F32", (6,), values), ("b", "F32", (1,), struct.pack("<f", float("nan")))])
        rows = self.listed(wild)["tensors"]
        self.assertEqual(rows[0]["statistics"],
                         {"nan": 2, "infinite": 2, "min": 1.0, "max": 3.0, "mean": 2.0, "deviation": 1.0})
        self.assertEqual(rows[1]["statistics"], {"nan": 1, "infinite": 0})
        _, out, _ = self.command(wild)
        self.assertIn("2 NaN, 2 infinite", out)

    def test_the_network_is_named_with_its_variant(self):
        self.assertEqual(self.listed(self.light)["network"] | {"parameters": 0, "channels": 0}, {
            "architecture": "ugatit", "kind": "light", "variant": "pytorch", "channels": 0, "size": 256, "parameters": 0})
        status, out, _ = self.command(self.light)
        self.assertEqual(status, 0)
        self.assertIn("ugatit, light, variant pytorch", out)
        self.assertIn("DownBlock.1.weight", out)

    def test_a_part_of_a_file_is_chosen_by_name(self):
        both = self.path / "both.safetensors"
        tensors = [(f"{part}.{name}", "F32", shape, bytes(4 * size)) for part, channels in (("genA2B", 4), ("genB2A", 8))
                   for name, shape in random_ugatit.shapes(channels, 1, None)
                   for size in [shape[0] * (shape[1] if len(shape) > 1 else 1) * (shape[2] ** 2 if len(shape) > 2 else 1)]]
        random_ugatit.write(both, tensors)
        self.assertEqual(self.listed(both)["network"]["channels"], 4)
        self.assertEqual(self.listed(both, "--part", "genB2A")["network"]["channels"], 8)
        self.refused(NO_INPUT, ["no part disGA"], both, "--part", "disGA")

    def convert(self, source, *options):
        out = self.path / "converted.safetensors"
        out.unlink(missing_ok=True)
        status, _, error = self.command(source, "--convert", out, *options)
        self.assertEqual((status, error), (0, ""))
        return out

    def test_converted_files_have_the_same_names_and_values(self):
        before = self.listed(self.bundle)
        after = self.listed(self.convert(self.bundle))
        self.assertEqual(after["format"], "safetensors")
        for was, now in zip(before["tensors"], after["tensors"], strict=True):
            if was["dtype"].startswith(("F", "BF")):
                was["dtype"] = "F32"
            self.assertEqual(was, now)
        half = self.listed(self.convert(self.bundle, "--half"))
        self.assertEqual({row["dtype"] for row in half["tensors"]}, {"F16", "I64", "I32", "I16", "I8", "U8", "BOOL"})
        self.assertEqual(half["tensors"][0]["statistics"], before["tensors"][0]["statistics"])

    def test_attributes_survive_a_conversion(self):
        source = self.path / "attributes.safetensors"
        header = {"__metadata__": {"license": "MIT", "up": "2", "note": "two\nlines"},
                  "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
        text = json.dumps(header).encode()
        source.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
        for file in (source, self.convert(source)):
            self.assertEqual(self.listed(file)["attributes"], {"license": "MIT", "up": 2.0, "note": "two\nlines"})
        self.assertIn("note = two lines", self.command(source)[1])

    def test_converted_tensors_begin_on_lines_of_64_bytes(self):
        data = self.convert(self.light).read_bytes()
        length = struct.unpack("<Q", data[:8])[0]
        self.assertEqual((8 + length) % 64, 0)
        header = json.loads(data[8:8 + length])
        end = 0
        for entry in sorted(header.values(), key=lambda entry: entry["data_offsets"]):
            begin, position = end, entry["data_offsets"]
            self.assertEqual(position[0], begin)  # no gaps
            end = position[1]
            if (position[1] - position[0]) % 64 == 0:
                self.assertEqual(position[0] % 64, 0)
        self.assertEqual(end, len(data) - 8 - length)

    def test_a_value_that_no_half_holds_is_refused_by_name(self):
        large = self.path / "large.safetensors"
        random_ugatit.write(large, [("fine", "F32", (1,), struct.pack("<f", 65504)),
                                    ("large", "F32", (1,), struct.pack("<f", 65520))])
        out = self.path / "none.safetensors"
        self.refused(USAGE, ["tensor large", "65520"], large, "--convert", out, "--half")
        self.assertFalse(out.exists())

    def test_a_manifest_chooses_part_and_smoothing_of_a_checkpoint(self):
        folder = self.path / "bench"
        folder.mkdir()
        bench = Workbench(folder)
        rng, tensors = random.Random(1), []
        for scope in ("generator_A", "generator_B"):
            for name, shape in variables(4, 4, None):
                count = 1
                for size in shape:
                    count *= size
                low, high = (0, 1) if name.endswith(("rho", "gamma")) else (-0.3, 0.3)
                values = array.array("f", [rng.uniform(low, high) for _ in range(count)])
                tensors.append((f"{scope}/{name}", "F32", shape, values.tobytes()))
        tensor_bundle.write(str(bench.models / "UGATIT.model-7"), tensors)
        photo = self.path / "photo.png"
        photo.write_bytes(noise_png(32, 32, 1))
        pictures = []
        for choice in ({}, {"part": "generator_B"}, {"part": "generator_A"}, {"smoothing": False}):
            bench.manifest("chosen", 32, variant="tensorflow", weights={"file": "UGATIT.model-7", **choice})
            raw = self.path / "raw.npy"
            self.assertEqual(bench.run("chosen", "--input", photo, "--raw", raw), (0, ""))
            pictures.append(raw.read_bytes())
        self.assertEqual(pictures[0], pictures[1])
        self.assertEqual(len(set(pictures)), 3)
        bench.manifest("chosen", 32, variant="tensorflow", weights={"file": "UGATIT.model-7", "part": "genA2B"})
        status, error = bench.run("chosen", "--input", photo, "--raw", raw)
        self.assertEqual(status, NO_INPUT)
        self.assertIn("no part genA2B", error)

    def test_bad_input_has_one_line_and_its_own_status(self):
        self.refused(NO_INPUT, ["nothing"], self.path / "nothing")
        self.refused(USAGE, ["wanted FILE"])
        self.refused(USAGE, ["--half"], self.light, "--half")
        self.refused(USAGE, ["not a file"], self.path)
        junk = self.path / "junk"
        junk.write_bytes(b"no weights at all")
        self.refused(DATA, ["known format"], junk)
        cut = self.path / "cut.safetensors"
        cut.write_bytes(self.light.read_bytes()[:-1])
        self.refused(DATA, ["cut off"], cut)
        wrong = weights(self.path / "wrong.safetensors", change={"DownBlock.5.weight": (8, 4, 3, 5)})
        self.refused(DATA, ["DownBlock.5.weight", "8x4x3x5", "8x4x3x3"], wrong)
        pathlib.Path(f"{self.path}/gone.index").write_bytes(pathlib.Path(f"{self.bundle}.index").read_bytes())
        self.refused(NO_INPUT, ["gone.data-0000", "-of-00002", "No such file"], self.path / "gone")
        self.refused(NO_INPUT, ["cannot write"], self.light, "--convert", self.path / "none" / "out")


if __name__ == "__main__":
    main()
