#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a page asks before it hands in a job: what a model's queue looks like now, and a picture that
the browser cannot show."""
import concurrent.futures
import io
import pathlib
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import ROOT, Hand, Lab, Shared, main, manifest_of, png, wait_until  # noqa: E402

try:
    from PIL import Image
except ImportError:
    Image = None

PICTURES = pathlib.Path(__file__).resolve().parent.parent / "data" / "pictures"


class ForecastTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab(models={name: manifest_of(name) for name in ("test-model", "other")})
        self.addCleanup(lambda: self.assertEqual(self.lab.close(), []))

    def queue(self, model="test-model"):
        answer = self.lab.get(f"/v1/models/{model}")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json["name"], model)
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        return answer.json["queue"]

    def test_a_queue_is_shown_to_everybody_as_it_is(self):
        nobody = {"state": "open", "queued": 0, "running": 0, "workers": 0, "wait_seconds": None}
        self.assertEqual(self.queue(), nobody)
        with Hand(self.lab) as hand:
            for _ in range(3):
                self.assertEqual(self.lab.submit().status, 202)
            waiting = wait_until(lambda: (lambda now: now if now["queued"] == 3 else None)(self.queue()),
                                 "three that wait")
            self.assertEqual(waiting["workers"], 1)
            self.assertGreater(waiting["wait_seconds"], 0)
            hand.claim()
            wait_until(lambda: self.queue()["running"] == 1, "one that runs")
            self.assertEqual(self.queue("other"), nobody)

    def test_a_paused_queue_says_so_and_promises_nothing(self):
        key = self.lab.key("--scopes", "operate")["key"]
        with Hand(self.lab):
            self.assertEqual(self.lab.request("POST", "/v1/queues/test-model/pause", token=key).status, 200)
            paused = wait_until(lambda: (lambda now: now if now["state"] == "paused" else None)(self.queue()),
                                "a pause")
            self.assertIsNone(paused["wait_seconds"])

    def test_without_redis_nothing_is_known(self):
        self.lab.stop("redis")
        unknown = {"state": "unknown", "queued": None, "running": None, "workers": None, "wait_seconds": None}
        wait_until(lambda: self.queue() == unknown, "unknown figures")

    def test_many_who_ask_at_once_cost_one_look(self):
        self.queue()

        def calls():
            return sum(int(line.split("calls=")[1].split(",")[0]) for line in
                       self.lab.redis_cli("info", "commandstats").splitlines() if "evalsha:" in line or "fcall:" in line)
        before = calls()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: self.queue(), range(200)))
        self.assertLess(calls() - before, 60)  # housekeeping asks, too

    def test_an_unknown_model_is_404(self):
        for name in ("nobody", "%2e%2e", "x" * 300, "%00"):
            self.assertIn(self.lab.get(f"/v1/models/{name}").status, (400, 404))


class PreviewTest(Shared):
    options = ["--max-body-bytes", "3000000"]

    def preview(self, body, **headers):
        return self.lab.request("POST", "/v1/previews", body,
                                {"Content-Type": "application/octet-stream", **headers})

    def heic(self, width, height, *options):
        if Image is None or not shutil.which("heif-enc"):
            self.skipTest("python3-pil or heif-enc is not installed")
        if b"without libheif" in self.preview((PICTURES / "scene.heic").read_bytes()).body:
            self.skipTest("built without libheif")
        gradient = Image.linear_gradient("L").resize((width, height)).convert("RGB")
        path = self.lab.path / f"{width}x{height}.png"
        gradient.save(path)
        subprocess.run(["heif-enc", "-q", "60", "-p", "preset=ultrafast", *options, "-o", f"{path}.heic", path],
                       check=True, capture_output=True)
        return pathlib.Path(f"{path}.heic").read_bytes()

    def test_a_heic_becomes_a_small_jpeg(self):
        answer = self.preview(self.heic(1600, 1200))
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers["Content-Type"], "image/jpeg")
        self.assertEqual(answer.headers["Picture-Size"], "1600x1200")
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        image = Image.open(io.BytesIO(answer.body))
        self.assertEqual((image.format, image.size), ("JPEG", (1024, 768)))
        self.assertLess(image.getpixel((500, 20))[0], 60)
        self.assertGreater(image.getpixel((500, 740))[0], 190)
        self.assertEqual(self.lab.stored(), [])

    def test_a_small_picture_keeps_its_size_and_stands_upright(self):
        if Image is None:
            self.skipTest("python3-pil is not installed")
        for name in ("turned6.heic", "transposed.heic", "turned6.jpg"):
            answer = self.preview((PICTURES / name).read_bytes())
            if answer.status == 422 and "libheif" in answer.problem["detail"]:
                self.skipTest("built without libheif")
            self.assertEqual(answer.status, 200, (name, answer))
            self.assertEqual(answer.headers["Picture-Size"], "24x16")
            image = Image.open(io.BytesIO(answer.body))
            self.assertEqual(image.size, (24, 16))
            red, green, _ = image.getpixel((22, 1))
            self.assertTrue(red > 180 and green < 60, (name, red, green))

    def test_a_heic_is_handed_in_like_any_other_picture(self):
        with Hand(self.lab) as hand:
            answer = self.lab.submit_form([("model", "test-model"), ("crop", "0,0,800,800"),
                                           ("input", self.heic(1000, 800), "IMG_1.HEIC")])
            self.assertEqual(answer.status, 202, answer)
            job = wait_until(lambda: hand.claim(answer.json), "the job")
            self.assertEqual(job["spec"]["crop"], [0, 0, 800, 800])
            hand.complete(job)

    def test_what_is_no_picture_is_refused(self):
        for body in (b"", b"x", b"<svg/>", png()[:-5], (PICTURES / "bad_frame.heic").read_bytes(),
                     (PICTURES / "bad_grid.heic").read_bytes(), (PICTURES / "bad_frames.heic").read_bytes(),
                     (PICTURES / "scene.heic").read_bytes()[:1500], (PICTURES / "bad_animated.webp").read_bytes()):
            answer = self.preview(body)
            self.assertEqual((answer.status, answer.code), (422, "invalid"), body[:20])
            self.assertEqual(answer.problem["field"], "input")

    def test_more_bytes_than_a_body_may_have_are_413(self):
        self.assertEqual(self.preview(b"x" * 3000001).status, 413)

    def test_many_at_once_are_bounded_and_told_to_come_again(self):
        body = png(3000, 3000)
        with concurrent.futures.ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(lambda _: self.preview(body), range(24)))
        self.assertEqual({a.status for a in answers} - {200, 503}, set())
        self.assertIn(200, {a.status for a in answers})
        for refused in (a for a in answers if a.status == 503):
            self.assertEqual(refused.headers["Retry-After"], "2")
        wait_until(lambda: self.preview(png()).status == 200, "room again")

    def test_a_foreign_page_may_not(self):
        self.assertEqual(self.preview(png(), Origin="https://evil.example").status, 403)


class WorkerTest(unittest.TestCase):
    def test_a_worker_makes_something_of_a_heic(self):
        with Lab(models=ROOT / "models") as lab:
            lab.worker_start()
            answer = lab.submit(PICTURES / "tiles.heic", model="portrait-drawing", crop={
                "x": 10, "y": 0, "width": 70, "height": 70})
            if answer.status == 422 and "libheif" in answer.problem["detail"]:
                self.skipTest("built without libheif")
            self.assertEqual(answer.status, 202, answer)
            self.assertEqual(lab.wait_for_state(answer.json, "succeeded", "failed")["state"], "succeeded")


class PreviewLimitTest(unittest.TestCase):
    def test_a_preview_counts_as_a_submission(self):
        with Lab(dispatcher_options=["--submits-per-minute", "1", "--submits-burst", "2"]) as lab:
            codes = [lab.request("POST", "/v1/previews", png(), {"Content-Type": "image/png"}).status
                     for _ in range(3)]
            self.assertEqual(codes, [200, 200, 429])


if __name__ == "__main__":
    main()
