#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The whole road with a bucket as the object store; runs below `s3_server.sh run`."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from bare_png import bare_png  # noqa: E402
from darkroom import BUILD, Lab, main, wait_until  # noqa: E402
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

    def lab(self):
        return Lab(models=self.bench.models, dispatcher_options=("--lease-ms", "1000"), store=[
            "--store", f"s3://{os.environ['S3_BUCKET']}", "--s3-region", os.environ["S3_REGION"],
            "--s3-endpoint", f"http://127.0.0.1:{self.gateway.port}",
            "--s3-credentials-file", os.environ["S3_CREDENTIALS_FILE"]])

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

    def test_a_bucket_that_stays_away_fails_the_job_with_its_reason(self):
        with self.lab() as lab:
            job = self.submit(lab, noise_png(40, 50, 5))
            self.gateway.close_down()
            lab.worker_start(*WORKER)
            now = lab.wait_for_state(job, "failed", "succeeded")
            self.assertEqual((now["state"], now["error"]["code"]), ("failed", "unavailable"), now)
            self.assertIn("input", now["error"]["detail"])
            # The dead letter keeps its input for a replay; erasing the job takes it away.
            self.assertEqual(keys("inputs/"), [f"inputs/{job['id']}"])
            self.gateway.open_up()
            answer = lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
            self.assertEqual(answer.status, 204, answer)
            lab.trash_due()
            wait_until(lambda: not keys("inputs/"), "the input is gone")


if __name__ == "__main__":
    main()
