#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A dispatcher whose jobs are spread over several shards."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, Hand, Lab, Shared, data_url, main, png, wait_until  # noqa: E402
from workbench import Workbench  # noqa: E402

SHARDS = 4


class Shards(Shared):
    options = ("--shards", SHARDS, "--lease-ms", 600, "--trusted-proxies", "127.0.0.1")

    def submit_in_every_shard(self):
        """One job in each shard, by visitors from as many addresses as that takes."""
        jobs = {}
        for host in range(1, 250):
            body = {"model": "test-model", "input": data_url(png())}
            answer = self.lab.request("POST", "/v1/jobs", body, {"X-Forwarded-For": f"192.0.2.{host}"})
            self.assertEqual(answer.status, 202, answer)
            shard = int(answer.json["id"][:2], 16)
            self.assertLess(shard, SHARDS)
            if shard in jobs:
                self.cancel(answer.json)
            jobs.setdefault(shard, answer.json)
            if len(jobs) == SHARDS:
                return [jobs[shard] for shard in range(SHARDS)]
        raise AssertionError(f"only shards {sorted(jobs)} were used")

    def cancel(self, job):
        return self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])

    def metric(self, name, labels=""):
        found = re.search(rf"^{name}{re.escape(labels)} (-?\d+)$", self.lab.get("/metrics").body.decode(), re.M)
        return int(found.group(1))

    def test_a_job_lives_in_the_shard_that_its_id_names(self):
        for shard, job in enumerate(self.submit_in_every_shard()):
            self.assertEqual(self.lab.redis_cli("exists", f"{{q:{shard:02x}}}j:{job['id'][2:14]}"), "1")
            self.assertEqual(self.lab.job(job)["state"], "queued")
            self.assertEqual(self.cancel(job).json["state"], "cancelled")

    def test_jobs_of_every_shard_are_granted_watched_and_finished(self):
        for shard, job in enumerate(self.submit_in_every_shard()):
            events = self.lab.events(job)
            self.assertEqual(next(events)[2]["state"], "queued")
            with Hand(self.lab, shard=shard) as hand:
                self.assertEqual(hand.complete(hand.claim(job)), "verdict 1")
            self.assertEqual([state for state in (event[2]["state"] for event in events if event[0])][-1],
                             "succeeded")
            self.assertEqual(self.lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"]).status, 302)

    def test_the_same_visitor_stays_in_one_shard(self):
        ids = {self.lab.submit().json["id"][:2] for _ in range(5)}
        self.assertEqual(len(ids), 1)

    def test_counters_are_summed_and_workers_are_not(self):
        model = 'model="test-model"'
        before = self.metric("darkroom_jobs_submitted_total", f"{{{model}}}")
        jobs = self.submit_in_every_shard()
        self.assertGreaterEqual(self.metric("darkroom_jobs_submitted_total", f"{{{model}}}"), before + SHARDS)
        self.assertGreaterEqual(self.metric("darkroom_jobs", f'{{{model},state="queued"}}'), SHARDS)
        for job in jobs:
            self.cancel(job)

    def test_expired_leases_go_back_in_every_shard(self):
        for shard, job in enumerate(self.submit_in_every_shard()):
            with Hand(self.lab, shard=shard, lease_ms=300) as hand:
                hand.claim(job)
            wait_until(lambda: self.lab.job(job)["state"] == "queued", "the lease to run out")
            self.cancel(job)

    def test_what_erased_jobs_leave_behind_is_swept_in_every_shard(self):
        for job in self.submit_in_every_shard():
            answer = self.lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
            self.assertEqual(answer.status, 204)
            wait_until(lambda: not self.lab.stored(job["id"]), "the input to go")

    def test_an_id_of_a_shard_that_does_not_exist_is_unknown(self):
        for tail in ("", "/events", "/result"):
            answer = self.lab.get(f"/v1/jobs/{SHARDS:02x}{'ab' * 16}{tail}?token={'x' * 22}")
            self.refused(answer, 404, "not-found")

    def test_grants_of_a_shard_that_does_not_exist_are_refused(self):
        answer = self.lab.request("POST", "/v1/grants", token=self.lab.worker_token, body={
            "worker": "w-" + "0" * 32, "shard": SHARDS, "jobs": [{"id": 1, "epoch": 1}]})
        self.refused(answer, 422, "invalid", field="shard")

    def test_a_program_that_counts_otherwise_does_not_start(self):
        result = subprocess.run(
            [str(part) for part in (
                BUILD / "dispatcher" / "darkroom-dispatcher", "--listen", "127.0.0.1:0", "--redis",
                self.lab.redis_url, "--models", self.lab.models, "--secret-file", self.lab.secret_file,
                "--worker-token-file", self.lab.worker_token_file, *self.lab.store_options, "--shards", "2")],
            capture_output=True, text=True, timeout=30, check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("--shards 4", result.stderr)


class Workers(unittest.TestCase):
    def test_a_worker_serves_every_shard_and_leaves_them_all(self):
        with tempfile.TemporaryDirectory(prefix="darkroom-shards-") as folder:
            bench = Workbench(folder)
            options = ("--shards", SHARDS, "--lease-ms", 2000)
            with Lab(models=bench.models, dispatcher_options=(*options, "--trusted-proxies", "127.0.0.1")) as lab:
                lab.worker_start(*options, "--model", "quick", "--model", "slow", "--device", "ref")
                body = {"model": "quick", "input": data_url(png())}
                jobs = [lab.request("POST", "/v1/jobs", body, {"X-Forwarded-For": f"192.0.2.{host}"}).json
                        for host in range(1, 41)]
                self.assertEqual({int(job["id"][:2], 16) for job in jobs}, set(range(SHARDS)))
                for job in jobs:
                    lab.wait_for_state(job, "succeeded")
                # One that runs is cancelled by the push of its own shard.
                for host in range(1, 9):
                    answer = lab.request("POST", "/v1/jobs", dict(body, model="slow"),
                                         {"X-Forwarded-For": f"192.0.2.{host}"})
                    lab.wait_for_state(answer.json, "running")
                    lab.request("POST", f"/v1/jobs/{answer.json['id']}/cancel",
                                token=answer.json["tokens"]["manage"])
                    lab.wait_for_state(answer.json, "cancelled")
                self.assertEqual(lab.stop("worker"), 0)
                for shard in range(SHARDS):
                    self.assertEqual(lab.redis_cli("zcard", f"{{q:{shard:02x}}}workers"), "0")
                    self.assertEqual(lab.redis_cli("zcard", f"{{q:{shard:02x}}}lease"), "0")


if __name__ == "__main__":
    main()
