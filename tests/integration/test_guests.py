#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A fleet on real trained weights: every manifest of models/guests, from a person's picture to the result, against PyTorch.

The weights are in the folder that DARKROOM_TEST_WEIGHTS names; without it, or without PyTorch and PIL, nothing is run."""
import importlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "models")]
from bare_png import bare_png  # noqa: E402
from darkroom import DEADLINE_S, ROOT, Lab, main  # noqa: E402
from workbench import DEVICE, WORKER, read_png  # noqa: E402

GUESTS = ROOT / "models" / "guests"
PHOTO = ROOT / "docs" / "images" / "astronaut.png"
WEIGHTS = os.environ.get("DARKROOM_TEST_WEIGHTS")
# How each original makes bytes of what its network gives: the range of its input, blue first, and the way back.
ORIGINALS = {
    "cartoongan": ("reference_cartoongan", -1, 1, True, lambda y: (y * 127.5 + 127.5).round()),
    "fast-style-transfer": ("reference_fast_style_transfer", 0, 255, False, lambda y: (y * 150 + 127.5).floor()),
    "fast-srgan": ("reference_fast_srgan", -1, 1, False, lambda y: ((y + 1) / 2 * 255).floor())}


def original(manifest, weights):
    """(side, RGB bytes) that the original's own program makes of the photograph."""
    import reference_family
    import torch
    script, low, high, bgr, to_bytes = ORIGINALS[manifest["architecture"]]
    state = {name: value.float() for name, value in reference_family.read(weights).items()}
    x = reference_family.photograph(PHOTO, manifest["input"]["size"], low, high, bgr)
    with torch.no_grad():
        *_, y = importlib.import_module(script).trace(state, x)
    y = to_bytes(y.flip(1) if bgr else y).clamp(0, 255).byte()[0].permute(1, 2, 0)
    return y.shape[0], y.contiguous().numpy().tobytes()


class Guests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not WEIGHTS:
            raise unittest.SkipTest("DARKROOM_TEST_WEIGHTS names no folder")
        for module in ("torch", "PIL"):
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise unittest.SkipTest(f"python3-{module.lower()} is not installed") from error
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-guests-")
        cls.models = pathlib.Path(cls.folder.name)
        cls.manifests = {}
        for path in GUESTS.glob("*.json"):
            manifest = json.loads(path.read_text())
            # Small, for the test's sake: weights and everything else are as they are.
            manifest["input"]["size"] = 32 if manifest["architecture"] == "fast-srgan" else 64
            del manifest["self_test"]  # of the true size: test_self_test.py
            (cls.models / path.name).write_text(json.dumps(manifest))
            weights = manifest["weights"]["file"]
            (cls.models / weights).symlink_to(pathlib.Path(WEIGHTS).resolve() / weights)
            cls.manifests[manifest["name"]] = manifest
        cls.lab = Lab(models=cls.models)
        cls.lab.worker_start("--device", DEVICE)
        cls.jobs = {name: cls.lab.submit(PHOTO, model=name).json for name in cls.manifests}

    @classmethod
    def tearDownClass(cls):
        failures = cls.lab.close()
        cls.folder.cleanup()
        assert not failures, failures

    def job(self, name):
        """The finished resource and its result; each model makes its picture once."""
        job = self.jobs[name]
        done = self.lab.wait_for_state(job, "succeeded", "failed")
        self.assertEqual(done["state"], "succeeded", done)
        result = self.lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"])
        result = self.lab.get(result.headers["Location"])
        self.assertEqual(result.status, 200)
        return done, result.body

    def test_there_is_a_guest_of_each_kind(self):
        self.assertEqual({manifest["architecture"] for manifest in self.manifests.values()}, set(ORIGINALS))

    def test_each_gives_what_its_original_gives(self):
        for name, manifest in self.manifests.items():
            with self.subTest(name=name):
                _, result = self.job(name)
                width, height, pixels = read_png(result)
                side, want = original(manifest, self.models / manifest["weights"]["file"])
                self.assertEqual((width, height), (side, side))
                apart = [abs(a - b) for a, b in zip(pixels, want)]
                # A value beside the edge of two levels may fall to either side of it.
                self.assertLessEqual(max(apart), 1)
                self.assertLess(sum(map(bool, apart)), len(apart) / 100)

    def test_run_gives_the_same_picture(self):
        target = self.models / "run.png"
        for name in ("style-wave", "enlarge"):
            with self.subTest(name=name):
                subprocess.run([WORKER, "run", name, "--models", self.models, "--device", DEVICE, "--input", PHOTO,
                                "--output", target], check=True, timeout=DEADLINE_S)
                self.assertEqual(bare_png(target.read_bytes()), bare_png(self.job(name)[1]))

    def test_an_enlarged_picture_is_four_times_its_crop(self):
        from PIL import Image
        done, result = self.job("enlarge")
        sides = {Image.open(io.BytesIO(path.read_bytes())).size for path in self.lab.stored(f"results/{done['id']}/")}
        self.assertEqual(sides, {(32, 32), (128, 128)})
        self.assertEqual(Image.open(io.BytesIO(result)).size, (128, 128))
        self.assertIn(b"algorithmicallyEnhanced", result)


if __name__ == "__main__":
    main()
