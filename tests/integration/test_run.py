#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`darkroom-worker run`: one picture through one model, and every way to get it wrong."""
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from bare_png import bare_png  # noqa: E402
from darkroom import ROOT, main  # noqa: E402
from workbench import PICTURES, WORKER, Workbench, noise_png, read_npy, read_png, rgb_png, weights  # noqa: E402

# sysexits.h, as err_exit_status() maps them.
USAGE, DATA, NO_INPUT, CHECKSUM = 64, 65, 66, 81


class Run(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-run-")
        cls.bench = Workbench(cls.folder.name)
        cls.path = pathlib.Path(cls.folder.name)
        cls.photo = cls.path / "photo.png"
        cls.photo.write_bytes(noise_png(90, 120, 1))
        cls.out = cls.path / "out.png"

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        self.out.unlink(missing_ok=True)

    def run_photo(self, model, *options, photo=None):
        return self.bench.run(model, "--input", photo or self.photo, "--output", self.out, *options)

    def refused(self, status, words, model, *options, **more):
        """That exit status, one line that holds all the words, and no output."""
        got, error = self.run_photo(model, *options, **more)
        self.assertEqual(got, status, error)
        self.assertEqual(len(error.splitlines()), 1, error)
        for word in words:
            self.assertIn(word, error)
        self.assertFalse(self.out.exists())

    def test_a_manifest_by_name_by_path_and_its_weights_give_the_same_picture(self):
        results = []
        for model in ("quick", self.bench.models / "quick.json"):
            self.assertEqual(self.run_photo(str(model)), (0, ""))
            results.append(bare_png(self.out.read_bytes()))
        self.assertEqual(
            self.run_photo(str(self.bench.models / "quick.safetensors"), "--size", 64), (0, ""))
        results.append(bare_png(self.out.read_bytes()))
        self.assertEqual(read_png(results[0])[:2], (64, 64))
        self.assertEqual(results[0], results[1])
        self.assertEqual(results[0], results[2])

    def test_weights_that_are_not_the_ones_the_manifest_means(self):
        for digest, fine in ((hashlib.sha256((self.bench.models / "quick.safetensors").read_bytes()).hexdigest(), True),
                             ("0" * 64, False)):
            self.bench.manifest("hashed", 64, weights={"file": "quick.safetensors", "sha256": digest})
            if fine:
                self.assertEqual(self.run_photo("hashed"), (0, ""))
                self.out.unlink()
            else:
                self.refused(CHECKSUM, ("quick.safetensors", "hashed", "sha256"), "hashed")

    def test_the_shipped_manifests_name_the_hash_of_their_weights(self):
        for path in (ROOT / "models").glob("*.json"):
            about = json.loads(path.read_text())["weights"]
            self.assertEqual(about["sha256"], hashlib.sha256((path.parent / about["file"]).read_bytes()).hexdigest())

    def test_light_weights_without_a_size_take_256(self):
        self.assertEqual(self.run_photo(str(self.bench.models / "quick.safetensors")), (0, ""))
        self.assertEqual(read_png(self.out.read_bytes())[:2], (256, 256))

    def test_the_raw_output_is_what_the_picture_was_rounded_from(self):
        raw = self.path / "out.npy"
        self.assertEqual(self.run_photo("quick", "--raw", raw), (0, ""))
        shape, values = read_npy(raw.read_bytes())
        self.assertEqual(shape, (1, 3, 64, 64))
        self.assertTrue(all(-1 <= value <= 1 for value in values))
        _, _, rgb = read_png(self.out.read_bytes())
        for channel in range(3):
            for i in range(64 * 64):
                exact = (values[channel * 64 * 64 + i] * 0.5 + 0.5) * 255
                self.assertLessEqual(abs(rgb[3 * i + channel] - exact), 0.5001)

    def test_the_manifest_chooses_how_values_become_bytes(self):
        self.bench.manifest("cut", 64, weights={"file": "quick.safetensors"},
                            output={"kind": "image", "content_type": "image/png", "rounding": "truncate"})
        raw = self.path / "out.npy"
        self.assertEqual(self.run_photo("cut", "--raw", raw), (0, ""))
        _, values = read_npy(raw.read_bytes())
        _, _, rgb = read_png(self.out.read_bytes())
        for channel in range(3):
            for i in range(64 * 64):
                above = values[channel * 64 * 64 + i] * 127.5 + 127.5 - rgb[3 * i + channel]
                self.assertTrue(-1e-4 < above < 1.0001, above)

    def test_the_manifest_chooses_how_a_picture_is_resized(self):
        results = {}
        for resize in ("antialias", "bilinear", None):
            chosen = {"kind": "image", "max_bytes": 10000000, "max_megapixels": 50}
            self.bench.manifest(f"by-{resize}".lower(), 64, weights={"file": "quick.safetensors"},
                                input={**chosen, "resize": resize} if resize else chosen)
            # Every third pixel of each row and column: all that the four nearest of 192 see of them.
            for name, photo in (("photo", self.photo), ("fine", self.path / "fine.png")):
                if name == "fine":
                    rows = [bytes(255 if x % 3 == 1 else 0 for x in range(192) for _ in range(3))] * 192
                    photo.write_bytes(rgb_png(192, 192, b"".join(rows)))
                self.assertEqual(self.run_photo(f"by-{resize}".lower(), photo=photo), (0, ""))
                results[resize, name] = bare_png(self.out.read_bytes())
        self.assertEqual(results[None, "photo"], results["antialias", "photo"])
        self.assertNotEqual(results["bilinear", "photo"], results["antialias", "photo"])
        white = self.path / "white.png"
        white.write_bytes(rgb_png(64, 64, b"\xff" * (3 * 64 * 64)))
        self.assertEqual(results["bilinear", "fine"], self.bench.expected("quick", white))
        self.assertNotEqual(results["antialias", "fine"], results["bilinear", "fine"])

    def test_every_kind_of_picture_is_taken_and_turned_as_its_exif_says(self):
        upright = self.bench.expected("quick", PICTURES / "turned1.jpg")
        for name in ("baseline.jpg", "progressive.jpg", "lossless.webp", "rgba8.png", "grey1.png"):
            self.assertEqual(self.run_photo("quick", photo=PICTURES / name), (0, ""), name)
        self.assertEqual(self.run_photo("quick", photo=PICTURES / "turned1.jpg"), (0, ""))
        self.assertEqual(bare_png(self.out.read_bytes()), upright)
        self.assertEqual(self.run_photo("quick", photo=PICTURES / "turned6.jpg"), (0, ""))
        self.assertNotEqual(bare_png(self.out.read_bytes()), upright)

    def test_the_command_line_is_checked(self):
        for arguments, word in (
                (["run"], "MODEL"),
                (["run", "quick"], "--output"),
                (["run", "quick", "--models", self.bench.models, "--output", self.out], "--input"),
                (["run", "quick", "--input", self.photo], "--output"),
                (["run", "quick", "spare", "--input", self.photo, "--output", self.out], "spare"),
                (["run", "quick", "--inptu", self.photo], "--inptu"),
                (["run", "quick", "--input", self.photo, "--output", self.out, "--size", "5000"],
                 "size"),
                (["run", "quick", "--input", self.photo, "--output", self.out, "--device", "tpu"],
                 "cuda"),
                (["run", "quick", "--input", self.photo, "--output", self.out, "--precision", "f8"],
                 "bf16"),
                (["walk"], "walk")):
            result = subprocess.run([WORKER, *map(str, arguments)], capture_output=True, text=True,
                                    check=False)
            self.assertEqual(result.returncode, USAGE, (arguments, result.stderr))
            self.assertIn(word, result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)

    def test_help_names_every_option(self):
        result = subprocess.run([WORKER, "run", "--help"], capture_output=True, text=True, check=True)
        for word in ("darkroom-worker run", "--input", "--output", "--raw", "--device", "--precision",
                     "--size"):
            self.assertIn(word, result.stdout)

    def test_an_unknown_model_is_named(self):
        self.refused(NO_INPUT, ["nothing"], "nothing")
        self.refused(NO_INPUT, ["nothing.safetensors"], "nothing.safetensors")
        self.refused(NO_INPUT, ["nothing.json"], "nothing.json")

    def test_an_input_that_is_not_there_is_named(self):
        self.refused(NO_INPUT, ["none.png"], "quick", photo=self.path / "none.png")

    def test_an_input_that_is_no_picture_is_refused(self):
        broken = self.path / "broken"
        for content in (b"", b"not a picture", noise_png(64, 64, 1)[:-20], b"\x89PNG\r\n\x1a\n"):
            broken.write_bytes(content)
            self.refused(DATA, ["input"], "quick", photo=broken)
        self.refused(DATA, ["input"], "quick", photo=PICTURES / "bad_100_megapixels.png")

    def test_limits_are_the_manifests(self):
        self.bench.manifest("small", 64, weights={"file": "quick.safetensors"}, input={
            "kind": "image", "max_bytes": 2048, "max_megapixels": 1})
        self.refused(DATA, ["2048"], "small")

    def test_a_model_that_takes_no_picture_is_refused(self):
        self.bench.manifest("blind", 64, weights={"file": "quick.safetensors"})
        path = self.bench.models / "blind.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "input": {"kind": "none"}}))
        status, error = self.bench.run("blind", "--input", self.photo, "--output", self.path / "out.png")
        self.assertNotEqual(status, 0)
        self.assertIn("needs a picture", error)
        path.unlink()

    def test_an_output_that_cannot_be_written_is_named(self):
        status, error = self.bench.run("quick", "--input", self.photo, "--output",
                                       self.path / "none" / "out.png")
        self.assertEqual(status, NO_INPUT, error)
        self.assertIn("none", error)

    def test_a_device_is_not_replaced_by_a_file(self):
        link = self.path / "link"
        link.symlink_to("/dev/null")
        status, error = self.bench.run("quick", "--input", self.photo, "--output", link)
        self.assertEqual(status, USAGE, error)
        self.assertTrue(link.is_symlink())

    def test_weights_that_are_cut_off_are_refused_at_every_size(self):
        whole = (self.bench.models / "quick.safetensors").read_bytes()
        cut = self.path / "cut.safetensors"
        for size in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
            cut.write_bytes(whole[:size])
            self.refused(DATA, [], str(cut))

    def test_a_tensor_of_the_wrong_shape_is_named_with_both_shapes(self):
        wrong = weights(self.path / "wrong.safetensors", change={"DownBlock.5.weight": (8, 4, 3, 5)})
        self.refused(DATA, ["DownBlock.5.weight", "8x4x3x5", "8x4x3x3"], str(wrong))

    def test_an_output_that_is_no_number_names_the_layer(self):
        wild = weights(self.path / "wild.safetensors", factor={"DownBlock.1.weight": 3e38})
        self.refused(DATA, ["layer", "NaN or infinity"], str(wild), "--size", "64")

    def test_a_device_that_this_build_lacks_is_refused(self):
        got, error = self.bench.run("quick", "--input", self.photo, "--output", self.out,
                                    device="cuda")
        if got == 0:
            self.skipTest("this machine has a GPU")
        self.assertEqual(got, DATA, error)
        self.assertIn("cuda", error.lower())


if __name__ == "__main__":
    main()
