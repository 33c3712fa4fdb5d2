#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Several models on one worker: loaded when they are needed, closed when others need their room, left
out when they cannot be served; and a device that breaks."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import random_ugatit  # noqa: E402
from bare_png import bare_png  # noqa: E402
from darkroom import BUILD, Lab, main, wait_until  # noqa: E402
from workbench import DEVICE, WORKER, Workbench, noise_png, weights  # noqa: E402

LEASE = ("--lease-ms", "1000")
# One thread: several would only wait for each other where tests run beside each other.
OPTIONS = (*LEASE, "--device", DEVICE, "--threads", "1")
# A model runs twice before its first job; the oracle is not compared with itself.
RUNS_BEFORE_JOBS = 0 if DEVICE == "ref" else 2
FAULTY = BUILD / "tests" / "integration" / "faulty-worker"


class Residency(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="darkroom-residency-")
        self.addCleanup(self.folder.cleanup)
        self.bench = Workbench(self.folder.name, max_attempts=2)
        for name in ("slow.json", "slow.safetensors"):
            (self.bench.models / name).unlink()

    def model(self, name, seed=1, size=64, **members):
        weights(self.bench.models / f"{name}.safetensors", seed=seed)
        self.bench.manifest(name, size, cost_ms=5, max_attempts=2, **members)

    def lab(self, *options):
        return Lab(models=self.bench.models, dispatcher_options=(*LEASE, *options))

    def submit(self, lab, seed, model):
        answer = lab.submit(noise_png(20, 20, seed), model)
        self.assertEqual(answer.status, 202, answer)
        return answer.json

    def done(self, lab, job):
        now = lab.wait_for_state(job, "succeeded", "failed")
        self.assertEqual((now["state"], now["attempts"]), ("succeeded", 0), now)
        answer = lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"])
        return bare_png(lab.get(answer.headers["Location"]).body)

    def registration(self, lab):
        return "{q:00}w:" + lab.redis_cli("zrange", "{q:00}workers", "0", "-1")

    def ended(self, lab, *options):
        """Starts a worker that must not become ready; its exit status and its log."""
        with self.assertRaises(AssertionError):
            lab.worker_start(*options)
        worker = lab.programs.pop("worker")
        return worker.stop(), worker.log

    # ---- models that come and go ----

    def test_a_worker_is_ready_with_its_first_model_and_loads_the_others_for_their_jobs(self):
        self.model("second", seed=2)
        with self.lab() as lab:
            worker = lab.worker_start(*OPTIONS)
            self.assertEqual(re.findall(r"worker\.loaded model=(\S+)", worker.log), ["quick"])
            self.done(lab, self.submit(lab, 1, "second"))
            self.assertEqual(re.findall(r"worker\.loaded model=(\S+)", worker.log), ["quick", "second"])
            self.assertNotIn("worker.evicted", worker.log)
            wait_until(lambda: "+quick,+second" in lab.redis_cli("get", self.registration(lab)), "both are told of")

    @unittest.skipIf(DEVICE == "ref", "holds nothing that could be evicted")
    def test_with_room_for_one_each_model_comes_for_its_jobs_with_the_same_bytes(self):
        for seed, name in enumerate(("second", "third"), 2):
            self.model(name, seed=seed)
        names = ("quick", "second", "third")
        with self.lab() as lab:
            jobs = [(name, seed, self.submit(lab, seed, name)) for seed in range(2) for name in names]
            worker = lab.worker_start(*OPTIONS, "--batch", "4", "--memory", str(self.estimate()))
            for name, seed, job in jobs:
                self.assertEqual(self.done(lab, job), self.bench.expected(name, noise_png(20, 20, seed)))
            loaded = re.findall(r"worker\.loaded model=(\S+)", worker.log)
            self.assertEqual(set(loaded), set(names))
            self.assertEqual(len(re.findall("worker.evicted", worker.log)), len(loaded) - 1)
            # Each had two jobs at once: no model came more often than that.
            self.assertLessEqual(len(loaded), 6)

    def estimate(self):
        """Bytes that hold one of these models and not two, read off a refusal."""
        with self.lab() as lab:
            _, log = self.ended(lab, *OPTIONS, "--batch", "4", "--model", "quick", "--memory", "4096")
        return int(re.search(r"needs (\d+) MB", log)[1]) * 1024 * 1024

    def test_jobs_of_other_models_go_on_while_one_is_loaded(self):
        self.model("wide", seed=2, size=96)
        go = pathlib.Path(self.folder.name)
        with self.lab() as lab:
            worker = lab.start("worker", self.faulty(lab, "--depth", "1"),
                               {"FAULTY_LOAD": f"96:{go}"})
            worker.wait_for_log("worker.ready")
            wait_until(lambda: lab.redis_cli("hlen", "{q:00}slots:wide") == "1", "the second model is served")
            waits = [self.submit(lab, seed, "wide") for seed in range(2)]
            wait_until(lambda: (go / "loading").exists(), "a load that hangs")
            for seed in range(6):
                self.done(lab, self.submit(lab, seed, "quick"))
            self.assertNotIn("succeeded", [lab.job(job)["state"] for job in waits])
            (go / "go").touch()
            for job in waits:
                self.done(lab, job)

    def test_a_model_whose_jobs_waited_too_long_is_loaded_before_the_others_are_done(self):
        self.model("rare", seed=2, past_due_ms=300)
        memory = str(self.estimate())
        with self.lab() as lab:
            jobs = [self.submit(lab, seed, "quick") for seed in range(24)] + [self.submit(lab, 1, "rare")]
            before = lab.redis_cli("time").split()[0]
            # By then it has waited for longer than its model may.
            wait_until(lambda: int(lab.redis_cli("time").split()[0]) > int(before) + 1, "a second has passed")
            worker = lab.worker_start(*OPTIONS, "--memory", memory)
            for job in jobs:
                self.done(lab, job)
            order = re.findall(r"job\.done .*model=(\S+)", worker.log)
            # The model that is loaded goes first otherwise, as long as it has jobs.
            self.assertEqual(order.count("rare"), 1)
            self.assertLess(order.index("rare"), len(jobs) - 1)

    # ---- models that cannot be served ----

    def test_what_cannot_be_served_is_left_out_and_the_rest_is_served(self):
        models = self.bench.models
        whole = (models / "quick.safetensors").read_bytes()
        for name in ("cut", "foreign", "gone", "numbers", "shape"):
            self.bench.manifest(name, 64)
        (models / "cut.safetensors").write_bytes(whole[:-1])
        random_ugatit.write(models / "foreign.safetensors", [("w", "F32", (1,), bytes(4))])
        random_ugatit.write(models / "numbers.safetensors", [
            (name, "I32", shape, bytes(4 * count_of(shape))) for name, shape in random_ugatit.shapes(4, 2, 0)])
        weights(models / "shape.safetensors", change={"DownBlock.5.weight": (8, 5, 3, 3)})
        with self.lab() as lab:
            worker = lab.worker_start(*OPTIONS)
            self.done(lab, self.submit(lab, 1, "quick"))
            for name in ("cut", "foreign", "gone", "numbers", "shape"):
                worker.wait_for_log(f"worker.model_left_out model={name}")
            self.assertEqual(len(re.findall("worker.model_left_out", worker.log)), 5)
            # Nobody claims their jobs.
            job = self.submit(lab, 1, "cut")
            self.done(lab, self.submit(lab, 2, "quick"))
            now = lab.job(job)
            self.assertEqual((now["state"], now["attempts"]), ("queued", 0))

    def test_a_bad_model_that_was_named_ends_the_start(self):
        (self.bench.models / "quick.safetensors").write_bytes(b"nothing of the kind")
        self.model("second")
        with self.lab() as lab:
            status, log = self.ended(lab, *OPTIONS, "--model", "second", "--model", "quick")
            self.assertEqual(status, 65, log)
            self.assertRegex(log, r"darkroom-worker: \S+: .*safetensors|darkroom-worker: weights")
            (self.bench.models / "quick.safetensors").unlink()
            status, log = self.ended(lab, *OPTIONS, "--model", "quick")
            self.assertEqual(status, 66, log)

    def test_without_any_model_left_it_ends_and_says_why(self):
        (self.bench.models / "quick.safetensors").write_bytes(b"")
        with self.lab() as lab:
            status, log = self.ended(lab, *OPTIONS)
            self.assertEqual(status, 65, log)
            self.assertIn("model quick: 0 bytes", log)
            self.assertRegex(log.splitlines()[-1], r"^darkroom-worker: \S+")

    def test_a_model_that_needs_more_memory_than_there_may_be_is_left_out(self):
        self.model("second")
        self.bench.manifest("second", 1024)
        with self.lab() as lab:
            worker = lab.worker_start(*OPTIONS, "--memory", str(self.estimate()))
            worker.wait_for_log("worker.model_left_out model=second code=limit")
            self.assertRegex(worker.log, r"model second needs \d+ MB, and models may take \d+ MB")
            self.done(lab, self.submit(lab, 1, "quick"))

    @unittest.skipIf(DEVICE == "ref", "holds nothing that could be evicted")
    def test_weights_that_break_while_it_runs_give_their_jobs_back(self):
        self.model("second", seed=2)
        with self.lab() as lab:
            worker = lab.worker_start(*OPTIONS, "--memory", str(self.estimate()))
            self.done(lab, self.submit(lab, 1, "second"))
            self.done(lab, self.submit(lab, 1, "quick"))
            weights(self.bench.models / "second.safetensors", seed=3)
            job = self.submit(lab, 2, "second")
            worker.wait_for_log("worker.model_left_out model=second")
            self.assertIn("was replaced while the worker ran", worker.log)
            lab.wait_for_state(job, "queued")
            self.assertEqual(lab.job(job)["attempts"], 0)
            self.done(lab, self.submit(lab, 3, "quick"))
            wait_until(lambda: lab.redis_cli("hlen", "{q:00}slots:second") == "0", "it is served no more")
            # One that starts anew serves it.
            lab.worker_start(*OPTIONS, "--model", "second", name="next")
            self.done(lab, job)

    def test_a_device_with_less_memory_than_it_said_makes_room(self):
        self.model("second", seed=2)
        with self.lab() as lab:
            worker = lab.start("worker", self.faulty(lab), {"FAULTY_MEMORY": "2"})
            worker.wait_for_log("worker.ready")
            self.done(lab, self.submit(lab, 1, "second"))
            self.assertIn("worker.evicted model=quick", worker.log)
            self.done(lab, self.submit(lab, 1, "quick"))

    # ---- a device that breaks ----

    def faulty(self, lab, *options):
        return [FAULTY, "--redis", lab.redis_url, "--dispatcher", lab.url, "--models", lab.models,
                "--worker-token-file", lab.worker_token_file, *OPTIONS, *options]

    def test_a_broken_device_ends_the_worker_and_the_lease_brings_the_job_back(self):
        with self.lab() as lab:
            worker = lab.start("worker", self.faulty(lab), {"FAULTY_DEVICE": str(RUNS_BEFORE_JOBS + 2)})
            worker.wait_for_log("worker.ready")
            self.done(lab, self.submit(lab, 1, "quick"))
            job = self.submit(lab, 2, "quick")
            wait_until(lambda: not worker.running(), "the worker's end")
            self.assertEqual(lab.programs.pop("worker").stop(), 80)
            self.assertIn("worker.fatal code=device", worker.log)
            self.assertIn("darkroom-worker: device: running the network", worker.log)
            # Nothing was settled: the lease runs out by itself, and done() sees to it that it cost no attempt.
            self.assertNotIn(f"job={job['id']}", worker.log)
            lab.wait_for_state(job, "queued")
            lab.worker_start(*OPTIONS, name="next")
            self.assertEqual(self.done(lab, job), self.bench.expected("quick", noise_png(20, 20, 2)))

    # ---- the test before the first job ----

    def fingerprint(self, model):
        result = subprocess.run([WORKER, "self-test", model, "--models", self.bench.models, "--device", DEVICE,
                                 "--threads", "1", "--write"], capture_output=True, text=True, check=True)
        self.assertIn("self_test written", result.stdout)

    def no_job_taken(self, status, words, environment, *options, names=("quick", DEVICE), model="quick"):
        """A worker that has a job before it starts ends with this status, and has never been seen."""
        with self.lab() as lab:
            job = self.submit(lab, 1, model)
            worker = lab.start("worker", self.faulty(lab, *options), environment)
            wait_until(lambda: not worker.running(), "the worker's end")
            self.assertEqual(lab.programs.pop("worker").stop(), status, worker.log)
            last = worker.log.splitlines()[-1]
            for word in ("darkroom-worker: ", *names, *words):
                self.assertIn(word, last)
            self.assertNotIn("worker.ready", worker.log)
            self.assertEqual(lab.redis_cli("zcard", "{q:00}workers"), "0")
            now = lab.job(job)
            self.assertEqual((now["state"], now["attempts"]), ("queued", 0), now)

    @unittest.skipIf(DEVICE == "ref", "the oracle is not compared with itself")
    def test_a_device_that_does_not_repeat_itself_takes_no_job(self):
        for how in ("flip", "other"):
            with self.subTest(how):
                self.no_job_taken(80, ("the same picture gives",), {"FAULTY_OUTPUT": how})

    @unittest.skipIf(DEVICE == "ref", "the oracle is not compared with itself")
    def test_a_device_that_hangs_takes_no_job(self):
        self.bench.manifest("quick", 64, timeout_ms=200)
        self.no_job_taken(80, ("self-test hangs",), {"FAULTY_OUTPUT": "never"}, names=())

    @unittest.skipIf(DEVICE == "ref", "the oracle is not compared with itself")
    def test_a_device_that_is_always_wrong_takes_no_job(self):
        self.fingerprint("quick")
        for how, word in (("wrong", "instead of"), ("nan", "nan")):
            with self.subTest(how):
                self.no_job_taken(80, (word, "known values differ"), {"FAULTY_OUTPUT": how, "FAULTY_CHECK": "1"})

    @unittest.skipIf(DEVICE == "ref", "the oracle is not compared with itself")
    def test_a_model_that_is_wrong_on_a_sound_device_is_no_fault_of_the_device(self):
        self.fingerprint("quick")
        for how, word in (("wrong", "is allowed"), ("nan", "nan")):
            with self.subTest(how):
                self.no_job_taken(82, (word,), {"FAULTY_OUTPUT": how}, "--model", "quick")

    @unittest.skipIf(DEVICE == "ref", "the oracle is not compared with itself")
    def test_without_a_grid_only_the_device_is_judged(self):
        self.no_job_taken(80, ("nan", "known values differ"), {"FAULTY_OUTPUT": "nan", "FAULTY_CHECK": "1"})
        with self.lab() as lab:
            worker = lab.start("worker", self.faulty(lab), {"FAULTY_OUTPUT": "nan"})
            worker.wait_for_log("worker.ready")

    @unittest.skipIf(DEVICE == "ref", "the oracle is not compared with itself")
    def test_a_model_that_fails_when_it_is_loaded_later_gives_its_jobs_back(self):
        self.model("wide", seed=2, size=96)
        for model in ("quick", "wide"):
            self.fingerprint(model)
        with self.lab() as lab:
            worker = lab.start("worker", self.faulty(lab), {"FAULTY_OUTPUT": "wrong:96"})
            worker.wait_for_log("worker.ready")
            self.done(lab, self.submit(lab, 1, "quick"))
            job = self.submit(lab, 1, "wide")
            worker.wait_for_log("worker.model_left_out model=wide code=self-test")
            self.done(lab, self.submit(lab, 2, "quick"))
            now = lab.job(job)
            self.assertEqual((now["state"], now["attempts"]), ("queued", 0), now)
            self.assertNotIn("job.done job=" + job["id"], worker.log)


    # ---- the small test before it ----

    def large(self, **members):
        """A model alone whose pictures are large enough for a smaller test."""
        self.model("wide", size=128, **members)
        for name in ("quick.json", "quick.safetensors"):
            (self.bench.models / name).unlink()

    @unittest.skipUnless(DEVICE == "cpu", "only a processor has a smaller test")
    def test_what_a_small_picture_shows_is_found_before_the_worker_is_ready(self):
        self.large()
        self.fingerprint("wide")
        for how, status, word in (("flip:64", 80, "the same picture gives"), ("wrong:64", 82, "instead of"),
                                  ("nan:64", 82, "nan")):
            with self.subTest(how):
                self.no_job_taken(status, (word, "at 64 pixels"), {"FAULTY_OUTPUT": how}, names=("wide", DEVICE),
                                  model="wide")

    @unittest.skipUnless(DEVICE == "cpu", "only a processor has a smaller test")
    def test_a_manifest_with_a_grid_of_the_whole_picture_alone_is_tested_whole_before_the_worker_is_ready(self):
        self.large()
        self.fingerprint("wide")
        path = self.bench.models / "wide.json"
        manifest = json.loads(path.read_text())
        del manifest["self_test"]["small"]
        path.write_text(json.dumps(manifest))
        self.no_job_taken(82, ("instead of", "at 128 pixels"), {"FAULTY_OUTPUT": "wrong:128"}, names=("wide", DEVICE),
                          model="wide")

    @unittest.skipUnless(DEVICE == "cpu", "only a processor has a smaller test")
    def test_nothing_of_a_job_is_drawn_before_the_whole_test_and_its_failure_costs_no_attempt(self):
        self.large()
        self.fingerprint("wide")
        for how, status, words in (("flip:128", 80, ("the same picture gives", "at 128 pixels")),
                                   ("wrong:128", 82, ("instead of", "at 128 pixels"))):
            with self.subTest(how), self.lab() as lab:
                job = self.submit(lab, 1, "wide")
                worker = lab.start("worker", self.faulty(lab), {"FAULTY_OUTPUT": how})
                wait_until(lambda: not worker.running(), "the worker's end")
                self.assertEqual(lab.programs.pop("worker").stop(), status, worker.log)
                for word in words:
                    self.assertIn(word, worker.log.splitlines()[-1])
                self.assertIn("worker.ready", worker.log)
                self.assertNotIn("worker.loaded", worker.log)
                self.assertNotIn("job.done", worker.log)
                lab.wait_for_state(job, "queued")
                lab.worker_start(*OPTIONS, name="next")
                self.assertEqual(self.done(lab, job), self.bench.expected("wide", noise_png(20, 20, 1)))

    @unittest.skipUnless(DEVICE == "cpu", "only a processor has a smaller test")
    def test_a_job_is_claimed_and_waits_while_the_whole_test_runs(self):
        self.large(timeout_ms=2000)
        with self.lab() as lab:
            job = self.submit(lab, 1, "wide")
            worker = lab.start("worker", self.faulty(lab), {"FAULTY_OUTPUT": "never:128"})
            worker.wait_for_log("worker.ready")
            lab.wait_for_state(job, "running")
            wait_until(lambda: not worker.running(), "the worker's end")
            self.assertEqual(lab.programs.pop("worker").stop(), 80)
            self.assertIn("self-test hangs", worker.log.splitlines()[-1])


def count_of(shape):
    count = 1
    for side in shape:
        count *= side
    return count


if __name__ == "__main__":
    main()
