#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The whole road with a bucket as the object store; runs below `s3_server.sh run`."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from bare_png import bare_png  # noqa: E402
from darkroom import BUILD, Hand, Lab, main, wait_until  # noqa: E402
from gateway import Gateway  # noqa: E402
from workbench import DEVICE, Workbench, noise_png  # noqa: E402

WORKER = ("--lease-ms", "1000", "--model", "quick", "--device", DEVICE)


def keys(prefix):
    """What lies in the bucket, by a way of its own past the gateway."""
    return subprocess.run([BUILD / "tests" / "integration" / "bucket-ls", prefix], check=True,
                          capture_output=True, text=True).stdout.split()


class Bucket(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="darkroom-s3-jobs-")
        self.addCleanup(folder.cleanup)
        self.bench = Workbench(folder.name, max_attempts=3)
        server = urllib.parse.urlsplit(os.environ["S3_ENDPOINT"])
        self.gateway = Gateway(server.hostname, server.port)
        self.addCleanup(self.gateway.close_down)

    def lab(self, credentials=None):
        return Lab(models=self.bench.models, dispatcher_options=("--lease-ms", "1000"), store=[
            "--store", f"s3://{os.environ['S3_BUCKET']}", "--s3-region", os.environ["S3_REGION"],
            "--s3-endpoint", f"http://127.0.0.1:{self.gateway.port}",
            "--s3-credentials-file", credentials or os.environ["S3_CREDENTIALS_FILE"]])

    def submit(self, lab, picture):
        answer = lab.submit(picture, "quick")
        self.assertEqual(answer.status, 202, answer)
        return answer.json

    def result(self, lab, job):
        """Follows the job's link to the bucket."""
        answer = lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"])
        self.assertEqual(answer.status, 302, answer)
        link = answer.headers["Location"]
        self.assertIn("X-Amz-Signature=", link)
        with urllib.request.urlopen(link) as response:
            self.assertEqual(response.headers["Content-Type"], "image/png")
            return bare_png(response.read())

    def erase(self, lab, job):
        answer = lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
        self.assertEqual(answer.status, 204, answer)
        lab.trash_due()
        wait_until(lambda: not keys(""), "all of it is gone")

    def test_a_job_goes_through_the_bucket_and_is_erased_from_it(self):
        picture = noise_png(40, 50, 1)
        with self.lab() as lab:
            job = self.submit(lab, picture)
            self.assertEqual(keys("inputs/"), [f"inputs/{job['id']}"])
            worker = lab.worker_start(*WORKER)
            self.assertEqual(lab.wait_for_state(job, "succeeded", "failed")["state"], "succeeded")
            self.assertEqual(self.result(lab, job), self.bench.expected("quick", picture))
            self.assertEqual(keys("results/"), [f"results/{job['id']}/1/result.png"])
            lab.trash_due()
            wait_until(lambda: not keys("inputs/"), "the input is gone")
            self.assertNotIn("X-Amz", worker.log)
            answer = lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
            self.assertEqual(answer.status, 204, answer)
            wait_until(lambda: not keys(""), "the result is gone")

    def test_without_the_bucket_submissions_are_put_off_and_nothing_is_lost(self):
        with self.lab() as lab:
            self.assertEqual(lab.get("/readyz").status, 200)
            waiting = self.submit(lab, noise_png(40, 50, 2))
            self.gateway.close_down()
            refused = lab.submit(noise_png(40, 50, 3), "quick")
            self.assertEqual((refused.status, refused.code), (503, "unavailable"))
            self.assertGreater(int(refused.headers["Retry-After"]), 0)
            wait_until(lambda: lab.get("/readyz").status == 503, "the dispatcher is not ready")
            worker = lab.worker_start(*WORKER)
            worker.wait_for_log("unavailable")
            self.gateway.open_up()
            wait_until(lambda: lab.get("/readyz").status == 200, "the dispatcher is ready")
            later = self.submit(lab, noise_png(40, 50, 4))
            for job in (waiting, later):
                self.assertEqual(lab.wait_for_state(job, "succeeded", "failed")["state"],
                                 "succeeded")
                self.result(lab, job)

    def test_keys_that_the_bucket_does_not_take_are_named(self):
        right = pathlib.Path(os.environ["S3_CREDENTIALS_FILE"]).read_text()
        mine = pathlib.Path(self.bench.models).parent / "credentials"
        mine.touch(mode=0o600)
        for wrong, words in ((right.replace("TESTSECRETKEY", "ANOTHERSECRET"), "the object store does not accept the secret key"),
                             (right.replace("TESTACCESSKEY", "ANOTHERACCESS"), "the object store does not know the access key")):
            self.assertNotEqual(wrong, right)
            mine.write_text(wrong)
            with self.subTest(words), self.lab(mine) as lab:
                dispatcher = lab.programs["dispatcher"]
                dispatcher.wait_for_log("store.down")
                self.assertRegex(dispatcher.log, f'store.down code=denied detail="[^"]*{words}')
                ready = lab.get("/readyz")
                self.assertEqual(ready.status, 503)
                self.assertIn(words, ready.body.decode())
                refused = lab.submit(noise_png(40, 50, 6), "quick")
                self.assertEqual((refused.status, refused.code), (503, "unavailable"))
                self.assertNotIn("ANOTHERSECRET", dispatcher.log)

    def test_a_start_without_the_bucket_says_so_and_waits_for_it(self):
        self.gateway.close_down()
        with self.lab() as lab:
            dispatcher = lab.programs["dispatcher"]
            dispatcher.wait_for_log("store.down code=unavailable")
            self.assertEqual(lab.get("/readyz").status, 503)
            self.gateway.open_up()
            dispatcher.wait_for_log("store.up")
            self.assertEqual(lab.get("/readyz").status, 200)
            self.assertEqual(dispatcher.log.count("store."), 2)

    def test_a_bucket_to_which_there_is_no_way_costs_a_job_nothing(self):
        with self.lab() as lab:
            job = self.submit(lab, noise_png(40, 50, 5))
            self.gateway.close_down()
            worker = lab.worker_start(*WORKER)
            # As often as it may fail; each time the worker leaves it to others for a while.
            wait_until(lambda: worker.log.count("job.released") == 3, "three tries")
            self.assertIn("the input could not be fetched: unavailable", worker.log)
            self.gateway.open_up()
            now = lab.wait_for_state(job, "failed", "succeeded")
            self.assertEqual((now["state"], now["attempts"]), ("succeeded", 0))
            self.erase(lab, job)

    def test_the_dead_letter_keeps_its_input_for_a_replay_until_it_is_erased(self):
        with self.lab() as lab, Hand(lab, "quick") as hand:
            job = self.submit(lab, noise_png(40, 50, 5))
            hand.fail(hand.claim(job))
            self.assertEqual(lab.wait_for_state(job, "failed", "succeeded")["state"], "failed")
            self.assertEqual(keys("inputs/"), [f"inputs/{job['id']}"])
            self.erase(lab, job)

    def test_a_bucket_is_saved_into_a_folder_and_filled_from_one(self):
        """As deploy/backup does it. An object that has changed its size stands for one that was lost."""
        folder = self.bench.path / "saved"
        store = ["--store", f"s3://{os.environ['S3_BUCKET']}", "--s3-endpoint", os.environ["S3_ENDPOINT"],
                 "--s3-region", os.environ["S3_REGION"], "--s3-credentials-file", os.environ["S3_CREDENTIALS_FILE"]]

        def objects(verb):
            return subprocess.run([BUILD / "dispatcher" / "darkroom", "objects", verb, folder, *store], check=True,
                                  capture_output=True, text=True)
        with self.lab() as lab:
            picture = noise_png(16, 16, 9)
            job = self.submit(lab, picture)
            key = f"inputs/{job['id']}"
            objects("save")
            self.assertEqual((folder / key).read_bytes(), picture)
            (folder / key).write_bytes(b"another picture")
            objects("load")
            shutil.rmtree(folder)
            saved = objects("save")
            self.assertEqual((folder / key).read_bytes(), b"another picture")
            self.assertIn(f"{hashlib.sha256(b'another picture').hexdigest()}  objects/{key}", saved.stdout.splitlines())
            self.assertEqual({line.split("  objects/")[1] for line in saved.stdout.splitlines()},
                             set(keys("inputs/")) | set(keys("results/")))
            self.erase(lab, job)


if __name__ == "__main__":
    main()
