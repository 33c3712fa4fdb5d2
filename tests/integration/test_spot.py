#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A worker on a machine that may be taken away: what the clouds say, and what it believes."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import DEADLINE_S, Lab, main, wait_until  # noqa: E402
from metadata_server import BROKEN, MetadataServer  # noqa: E402
from workbench import DEVICE, WORKER, Workbench, noise_png  # noqa: E402

QUICK = ("--model", "quick", "--device", DEVICE, "--spot-poll-ms", "50")
SLOW = ("--model", "slow", "--device", "ref", "--spot-poll-ms", "50")
CLOUDS = ("aws", "gcp", "azure")


class Spot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-spot-")
        cls.bench = Workbench(cls.folder.name)
        cls.bench.manifest("slow", 160, cost_ms=1000)
        cls.bench.manifest("endless", 320, cost_ms=600000, weights={"file": "slow.safetensors"})
        cls.lab = Lab(models=cls.bench.models)

    @classmethod
    def tearDownClass(cls):
        failures = cls.lab.close()
        cls.folder.cleanup()
        assert not failures, failures

    def setUp(self):
        self.cloud = MetadataServer()
        self.addCleanup(lambda: self.cloud.close())

    def another_cloud(self):
        self.cloud.close()
        self.cloud = MetadataServer()

    def tearDown(self):
        for name in [name for name in self.lab.programs if name.startswith("worker")]:
            self.assertEqual(self.lab.stop(name), 0)

    def worker(self, *options, cloud=None, name="worker"):
        spot = ("--spot", cloud, "--spot-endpoint", self.cloud.url) if cloud else ()
        return self.lab.worker_start(*options, *spot, name=name)

    def submit(self, seed=1, model="quick"):
        answer = self.lab.submit(noise_png(20, 20, seed), model)
        self.assertEqual(answer.status, 202, answer)
        return answer.json

    def done(self, *jobs):
        for job in jobs:
            self.lab.wait_for_state(job, "succeeded", deadline_s=60)

    def gone(self, worker):
        """It has ended well, without being told to, and is on no list."""
        wait_until(lambda: not worker.running(), "the worker's end")
        self.lab.programs.pop(worker.name)
        self.assertEqual(worker.stop(), 0, worker.log)
        self.assertNotIn("ERROR: AddressSanitizer", worker.log)
        self.assertEqual(self.lab.redis_cli("zcard", "{q:00}workers"), "0")
        self.assertEqual(self.lab.redis_cli("zcard", "{q:00}lease"), "0")

    def looked_again(self, times=2):
        """The service was asked so often from now on."""
        before = self.cloud.asked()
        wait_until(lambda: self.cloud.asked() >= before + times, "another look")

    # ---- what protects a busy one ----

    def test_a_program_hears_when_it_is_busy_and_when_it_is_idle(self):
        program, heard = pathlib.Path(self.folder.name) / "guard", pathlib.Path(self.folder.name) / "heard"
        program.write_text(f'#!/bin/sh\necho "$@" >> {heard}\n')
        program.chmod(0o700)
        self.worker(*QUICK, "--guard", "command", "--guard-command", program, "--guard-idle-s", "1")
        words = []

        def hears(word):
            words.append(word)
            wait_until(lambda: heard.exists() and [line.split()[0] for line in heard.read_text().splitlines()] == words,
                       f"{words}")

        hears("idle")
        self.done(self.submit())
        hears("busy")
        hears("idle")
        [worker] = self.lab.redis_cli("zrange", "{q:00}workers", "0", "-1").split()
        self.assertEqual({line.split()[1] for line in heard.read_text().splitlines()}, {worker})

    def test_a_guard_that_cannot_be_run_is_refused_at_the_start(self):
        for program in "guard", "/nowhere/guard":
            result = subprocess.run([str(WORKER), "--redis", self.lab.redis_url, "--dispatcher", self.lab.url,
                                     "--models", str(self.bench.models), "--worker-token-file",
                                     str(self.lab.worker_token_file), "--guard", "command", "--guard-command",
                                     program],
                                    capture_output=True, text=True, timeout=DEADLINE_S)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("guard-command", result.stderr)

    # ---- what a notice does ----

    def test_each_cloud_s_notice_ends_the_worker(self):
        for cloud in CLOUDS:
            worker = self.worker(*QUICK, cloud=cloud)
            self.done(self.submit())
            self.assertTrue(worker.running())
            self.cloud.interrupt()
            self.gone(worker)
            self.assertIn(f"spot.notice from={cloud}", worker.log)
            self.another_cloud()

    def test_google_s_notice_comes_with_the_event_and_not_with_the_next_look(self):
        worker = self.lab.worker_start("--model", "quick", "--device", DEVICE, "--spot", "gcp",
                                       "--spot-endpoint", self.cloud.url, "--spot-poll-ms", "60000")
        wait_until(lambda: self.cloud.asked("/computeMetadata/v1/instance/preempted?wait_for_change") == 1,
                   "the question that waits")
        self.cloud.interrupt()
        self.gone(worker)

    def test_what_runs_is_finished_and_the_rest_runs_elsewhere_uncharged(self):
        worker = self.worker(*SLOW, "--depth", "4", "--fetchers", "1", cloud="aws")
        jobs = [self.submit(seed, "slow") for seed in range(8)]
        self.done(jobs[0])
        self.cloud.interrupt()
        self.gone(worker)
        states = [self.lab.job(job) for job in jobs]
        self.assertEqual({now["state"] for now in states}, {"succeeded", "queued"})
        self.worker(*SLOW)
        self.done(*jobs)
        self.assertEqual({self.lab.job(job)["attempts"] for job in jobs}, {0})

    def test_what_cannot_be_finished_is_given_back_at_once(self):
        worker = self.worker("--model", "endless", "--device", "ref", "--spot-poll-ms", "50",
                             "--lease-ms", "1500", cloud="aws")
        job = self.submit(1, "endless")
        wait_until(lambda: self.lab.job(job)["progress"] >= 0.3, "the network at work")
        self.cloud.interrupt()
        self.gone(worker)
        self.assertIn("worker.abandoned", worker.log)
        now = self.lab.job(job)
        self.assertEqual((now["state"], now["attempts"]), ("queued", 0))
        self.assertEqual(self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel",
                                          token=job["tokens"]["manage"]).status, 200)

    def test_a_machine_that_goes_claims_nothing_more(self):
        self.cloud.interrupt()
        worker = self.lab.start("worker", [
            WORKER, "--redis", self.lab.redis_url, "--dispatcher", self.lab.url,
            "--models", self.lab.models, "--worker-token-file", self.lab.worker_token_file, *QUICK,
            "--spot", "gcp", "--spot-endpoint", self.cloud.url])
        self.gone(worker)
        job = self.submit()
        self.assertEqual(self.lab.job(job)["state"], "queued")
        self.worker(*QUICK)
        self.done(job)

    # ---- a recommendation is no notice ----

    def test_a_recommendation_lets_everything_claimed_finish_and_nothing_follow(self):
        jobs = [self.submit(seed, "slow") for seed in range(3)]
        worker = self.worker(*SLOW, "--depth", "2", cloud="aws")
        wait_until(lambda: self.lab.redis_cli("zcard", "{q:00}lease") == "3", "all are claimed")
        self.cloud.recommend()
        worker.wait_for_log("worker.retire jobs=3")
        late = self.submit(9, "slow")
        self.gone(worker)
        self.assertEqual({self.lab.job(job)["state"] for job in jobs}, {"succeeded"})
        self.assertEqual(self.lab.job(late)["state"], "queued")
        self.worker(*SLOW)
        self.done(late)

    def test_a_notice_after_a_recommendation_releases_what_has_not_begun(self):
        jobs = [self.submit(seed, "slow") for seed in range(5)]
        worker = self.worker(*SLOW, "--depth", "6", "--fetchers", "1", cloud="aws")
        wait_until(lambda: self.lab.redis_cli("zcard", "{q:00}lease") == "5", "all are claimed")
        self.cloud.recommend()
        worker.wait_for_log("worker.retire")
        self.cloud.interrupt()
        self.gone(worker)
        self.assertIn("spot.notice from=aws", worker.log)
        self.worker(*SLOW)
        self.done(*jobs)

    def test_recommendations_may_be_ignored(self):
        self.cloud.recommend()
        worker = self.worker(*QUICK, "--spot-rebalance=false", cloud="aws")
        self.looked_again()
        self.done(self.submit())
        self.assertTrue(worker.running())
        self.cloud.interrupt()
        self.gone(worker)

    # ---- answers that are none ----

    def test_bad_answers_drain_nobody(self):
        for cloud in CLOUDS:
            self.cloud.breaks("html")
            worker = self.worker(*QUICK, cloud=cloud)
            worker.wait_for_log("worker.away server=spot")
            for kind in BROKEN:
                self.cloud.breaks(None)
                wait_until(lambda: worker.log.count("worker.back") == worker.log.count("worker.away"), "sight")
                self.cloud.breaks(kind)
                if kind == "hang":
                    wait_until(lambda: self.cloud.hung, "a question without an answer")
                else:
                    self.looked_again(3)
                self.done(self.submit())
                self.assertTrue(worker.running(), (cloud, kind, worker.log))
            self.assertLess(worker.log.count("worker.away"), 2 * len(BROKEN) + 2)
            self.assertNotIn("spot.notice", worker.log)
            self.assertNotIn("spot.recommendation", worker.log)
            self.cloud.breaks(None)
            self.cloud.interrupt()
            self.gone(worker)
            self.another_cloud()

    def test_a_drain_does_not_wait_for_a_service_that_hangs(self):
        worker = self.worker(*QUICK, cloud="gcp")
        self.cloud.breaks("hang")
        wait_until(lambda: self.cloud.hung, "a question without an answer")
        self.assertEqual(self.lab.stop("worker"), 0)
        self.assertIn("worker.end", worker.log)

    def test_a_session_token_that_has_expired_is_replaced(self):
        worker = self.worker(*QUICK, cloud="aws")
        self.looked_again()
        self.cloud.token = "AQAEAL-second=="
        self.looked_again()
        self.cloud.interrupt()
        self.gone(worker)
        self.assertEqual(self.cloud.asked("/latest/api/token"), 2)

    def test_a_token_that_is_none_goes_into_no_header(self):
        for token in ("", "two\r\nX-Injected: yes", "x" * 5000, "a b"):
            self.cloud.token = token
            self.cloud.requests.clear()
            worker = self.worker(*QUICK, cloud="aws")
            worker.wait_for_log("worker.away server=spot")
            self.assertEqual(self.cloud.asked("/latest/meta-data/"), 0)
            self.assertEqual(self.lab.stop("worker"), 0)

    def test_another_machine_s_event_and_another_kind_of_event_drain_nobody(self):
        self.cloud.event(name="this-machine_1")
        self.cloud.event(kind="Reboot")
        worker = self.worker(*QUICK, cloud="azure")
        self.looked_again(4)
        self.done(self.submit())
        self.assertTrue(worker.running())
        self.assertEqual(self.cloud.acknowledged, [])
        self.cloud.event(event_id="ours")
        self.gone(worker)
        self.assertEqual(self.cloud.acknowledged, ["ours"])

    def test_an_event_is_acknowledged_only_when_the_work_is_done(self):
        states = []
        worker = self.worker(*SLOW, cloud="azure")
        jobs = [self.submit(seed, "slow") for seed in range(2)]
        self.cloud.on_acknowledge = lambda: states.extend(self.lab.job(job)["state"] for job in jobs)
        wait_until(lambda: self.lab.redis_cli("zcard", "{q:00}lease") != "0", "work")
        self.cloud.interrupt()
        self.gone(worker)
        self.assertEqual(len(self.cloud.acknowledged), 1)
        self.assertNotIn("running", states)
        self.assertIn("succeeded", states)

    def test_an_event_is_not_acknowledged_where_workers_share_a_machine(self):
        worker = self.worker(*QUICK, "--spot-acknowledge=false", cloud="azure")
        self.cloud.interrupt()
        self.gone(worker)
        self.assertEqual(self.cloud.acknowledged, [])

    # ---- everybody else ----

    def test_a_file_that_appears_is_a_notice(self):
        path = self.lab.path / "going"
        worker = self.worker(*QUICK, "--spot", "file", "--spot-file", path)
        self.done(self.submit())
        path.touch()
        self.gone(worker)
        path.unlink()

    def test_a_command_says_whether_there_is_a_notice(self):
        path, asked = self.lab.path / "going", self.lab.path / "asked"
        worker = self.worker(*QUICK, "--spot", "command", "--spot-command", f"echo >> {asked}; test -e {path}")
        wait_until(lambda: asked.exists() and asked.stat().st_size >= 2, "the command runs again")
        self.done(self.submit())
        path.touch()
        self.gone(worker)
        path.unlink()

    def test_a_command_that_fails_or_hangs_is_no_notice(self):
        for command in ("exit 3", "kill -SEGV $$", "/nowhere/no-such-program", "sleep 1000"):
            worker = self.worker(*QUICK, "--spot", "command", "--spot-command", command)
            if command != "sleep 1000":
                worker.wait_for_log("worker.away server=spot")
            self.done(self.submit())
            self.assertEqual(self.lab.stop("worker"), 0, command)
            self.assertNotIn("spot.notice", worker.log)

    def test_options_that_make_no_sense_are_refused(self):
        for options, name in ((("--spot", "moon"), "spot"), (("--spot", "file"), "spot-file"),
                              (("--spot-command", "true"), "spot-command"),
                              (("--spot", "aws", "--spot-endpoint", "169.254.169.254"), "spot-endpoint")):
            result = subprocess.run(
                [WORKER, "--worker-token-file", self.lab.worker_token_file, *options],
                capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            self.assertNotEqual(result.returncode, 0, options)
            self.assertIn(f"darkroom-worker: {name}: ", result.stderr)


if __name__ == "__main__":
    main()
