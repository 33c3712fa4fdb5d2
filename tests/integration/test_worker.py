#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The worker on its road: claim, fetch, run, upload, complete, and everything that may happen to it
on the way. Leases are short, so that what takes 30 s in production takes one here."""
import pathlib
import re
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from bare_png import bare_png  # noqa: E402
from darkroom import Lab, main, wait_until  # noqa: E402
from workbench import DEVICE, PICTURES, Workbench, noise_png, read_png, read_ppm, rgb_png, weights  # noqa: E402

LEASE = ("--lease-ms", "1000")
QUICK = (*LEASE, "--model", "quick", "--device", DEVICE)
LONG = ("--lease-ms", "30000")  # no lease runs out in between
SLOW = (*LEASE, "--model", "slow", "--device", "ref")


class Worker(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="darkroom-worker-")
        self.addCleanup(self.folder.cleanup)
        self.bench = Workbench(self.folder.name, max_attempts=2)

    def lab(self, **more):
        return Lab(models=self.bench.models, dispatcher_options=LEASE, **more)

    def submit(self, lab, picture, model="quick", **members):
        answer = lab.submit(picture, model, **members)
        self.assertEqual(answer.status, 202, answer)
        return answer.json

    def result(self, lab, job):
        answer = lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"])
        self.assertEqual(answer.status, 302, answer)
        return bare_png(lab.get(answer.headers["Location"]).body)

    def done(self, lab, job):
        """Waits for the job to succeed, gives the result's bytes, bare_png()."""
        now = lab.wait_for_state(job, "succeeded", "failed")
        self.assertEqual(now["state"], "succeeded", now)
        return self.result(lab, job)

    def uploads(self, lab, job):
        """Epochs of the results that lie in the store."""
        folder = lab.objects / "results" / job["id"]
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    # ---- the road ----

    def test_what_comes_out_is_what_run_makes_of_the_same_picture(self):
        with self.lab() as lab:
            lab.worker_start(*QUICK)
            for name in ("rgb8.png", "subsampled.jpg", "turned6.jpg", "lossy.webp"):
                job = self.submit(lab, PICTURES / name)
                self.assertEqual(self.done(lab, job), self.bench.expected("quick", PICTURES / name))

    def test_the_crop_counts_pixels_of_the_turned_picture(self):
        with self.lab() as lab:
            lab.worker_start(*QUICK)
            # turned6.png holds the scene on its side; the scene itself was cut out by hand.
            width, height, pixels = read_ppm((PICTURES / "scene.ppm").read_bytes())
            x, y, w, h = 5, 3, 12, 7
            self.assertLessEqual(x + w, width)
            self.assertLessEqual(y + h, height)
            cut = b"".join(pixels[3 * (row * width + x):3 * (row * width + x + w)]
                           for row in range(y, y + h))
            job = self.submit(lab, PICTURES / "turned6.png",
                              crop={"x": x, "y": y, "width": w, "height": h})
            self.assertEqual(self.done(lab, job), self.bench.expected("quick", rgb_png(w, h, cut)))

    def test_a_batch_of_many_users_jobs_gives_the_bytes_of_single_runs(self):
        pictures = [noise_png(40 + seed, 50, seed) for seed in range(9)]
        with self.lab() as lab:
            jobs = [self.submit(lab, picture) for picture in pictures]
            worker = lab.worker_start(*QUICK, "--batch", "8", "--depth", "8")
            for job, picture in zip(jobs, pictures):
                self.assertEqual(self.done(lab, job), self.bench.expected("quick", picture))
            self.assertEqual(lab.stop("worker"), 0)
            self.assertEqual(len(re.findall(" job.done ", worker.log)), 9)

    def test_an_idle_worker_wakes_for_a_job_and_logs_each_stage(self):
        with self.lab() as lab:
            worker = lab.worker_start(*QUICK)
            first = self.submit(lab, noise_png(8, 8, 1))
            self.done(lab, first)
            job = self.submit(lab, noise_png(8, 8, 2))
            self.done(lab, job)
            worker.wait_for_log(f"job.done job={job['id']}")
            line = next(line for line in worker.log.splitlines() if job["id"] in line)
            for step in ("grant", "fetch", "decode", "wait", "infer", "encode", "upload", "complete"):
                self.assertRegex(line, rf"\b{step}_ms=\d")
            self.assertNotIn("/o/", worker.log)
            self.assertNotIn(lab.worker_token, worker.log)

    def test_two_workers_share_a_queue(self):
        with self.lab() as lab:
            workers = [lab.worker_start(*SLOW, "--depth", "1", name=f"worker{i}") for i in (1, 2)]
            jobs = [self.submit(lab, noise_png(20, 20, seed), "slow") for seed in range(6)]
            for job in jobs:
                lab.wait_for_state(job, "succeeded", deadline_s=60)
                self.assertEqual(lab.job(job)["attempts"], 0)
                self.assertEqual(self.uploads(lab, job), ["1"])
            for worker in workers:
                self.assertIn(" job.done ", worker.log)

    def test_a_crop_lies_beside_the_result_and_goes_with_it(self):
        self.bench.manifest("keeper", 64, weights={"file": "quick.safetensors"}, cost_ms=5,
                            retention={"crop": True, "result_s": 3600})
        with self.lab() as lab:
            lab.worker_start(*LEASE, "--model", "keeper", "--model", "quick", "--device", DEVICE)
            picture = noise_png(90, 80, 1)
            job = self.submit(lab, picture, "keeper", crop={"x": 10, "y": 20, "width": 40, "height": 40})
            early = lab.get(f"/v1/jobs/{job['id']}/crop", token=job["tokens"]["view"])
            self.assertIn(early.status, (302, 409))
            result = self.done(lab, job)
            answer = lab.get(f"/v1/jobs/{job['id']}/crop", token=job["tokens"]["view"])
            self.assertEqual(answer.status, 302, answer)
            crop = lab.get(answer.headers["Location"]).body
            self.assertEqual(crop[:8] + crop[16:24], b"\x89PNG\r\n\x1a\n" + bytes((0, 0, 0, 64) * 2))
            self.assertEqual(lab.get(f"/v1/jobs/{job['id']}/crop").status, 401)
            # The same picture again is the same result.
            self.assertEqual(self.done(lab, self.submit(lab, crop, "keeper")), result)
            # Nobody else's job has one, and erasing takes it along.
            other = self.submit(lab, picture)
            self.done(lab, other)
            self.assertEqual(lab.get(f"/v1/jobs/{other['id']}/crop", token=other["tokens"]["view"]).status, 404)
            folder = lab.objects / "results" / job["id"]
            self.assertTrue((folder / "1" / "crop.png").exists())
            answer = lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
            self.assertEqual(answer.status, 204)
            wait_until(lambda: not lab.stored(f"results/{job['id']}/"), "crop and result are gone")

    def test_where_the_network_looked_lies_beside_the_result(self):
        weights = {"file": "quick.safetensors"}
        output = {"kind": "image", "content_type": "image/png", "heat_map": True}
        self.bench.manifest("seer", 64, weights=weights, cost_ms=5, output=output)
        with self.lab() as lab:
            lab.worker_start(*LEASE, "--model", "seer", "--model", "quick", "--device", DEVICE)
            picture = noise_png(90, 80, 1)
            job, other = self.submit(lab, picture, "seer"), self.submit(lab, picture)
            seen, unseen = self.done(lab, job), self.done(lab, other)
            answer = lab.get(f"/v1/jobs/{job['id']}/heat-map", token=job["tokens"]["view"])
            heat_map = lab.get(answer.headers["Location"]).body
            self.assertEqual(heat_map[:8] + heat_map[16:24], b"\x89PNG\r\n\x1a\n" + bytes((0, 0, 0, 64) * 2))
            self.assertNotEqual(heat_map, seen)
            self.assertEqual(read_png(seen), read_png(unseen), "the result is the same with it or without")

    # ---- bad input ----

    def test_a_corrupt_input_fails_its_job_and_no_other(self):
        with self.lab() as lab:
            good = [self.submit(lab, noise_png(30, 30, seed)) for seed in range(3)]
            contents = {"cut": noise_png(200, 200, 9)[:-500], "text": b"no picture", "none": b""}
            bad = {}
            for name, content in contents.items():
                bad[name] = self.submit(lab, noise_png(200, 200, 10))
                (lab.objects / "inputs" / bad[name]["id"]).write_bytes(content)
            gone = self.submit(lab, noise_png(30, 30, 11))
            (lab.objects / "inputs" / gone["id"]).unlink()
            lab.worker_start(*QUICK, "--batch", "8", "--depth", "8")
            for name, code in (("cut", "corrupt"), ("text", "unsupported")):
                now = lab.wait_for_state(bad[name], "failed")
                self.assertEqual(now["error"]["code"], code, now)
                self.assertTrue(now["error"]["detail"])
            lab.wait_for_state(bad["none"], "failed")
            self.assertEqual(lab.wait_for_state(gone, "failed")["error"]["code"], "not-found")
            for job in good:
                self.done(lab, job)

    def test_a_network_that_gives_no_numbers_fails_the_job_with_the_layer(self):
        weights(self.bench.models / "wild.safetensors", factor={"DownBlock.1.weight": 3e38})
        self.bench.manifest("wild", 64)
        with self.lab() as lab:
            lab.worker_start(*LEASE, "--device", DEVICE, "--batch", "4")
            wild = [self.submit(lab, noise_png(20, 20, seed), "wild") for seed in range(3)]
            good = [self.submit(lab, noise_png(20, 20, seed)) for seed in range(3)]
            for job in wild:
                now = lab.wait_for_state(job, "failed")
                self.assertEqual(now["error"]["code"], "corrupt")
                self.assertRegex(now["error"]["detail"], r"layer \S+ .*NaN or infinity")
            for job in good:
                self.done(lab, job)

    def test_a_network_that_hangs_fails_its_job_and_ends_the_worker(self):
        self.bench.manifest("slow", 320, timeout_ms=300, max_attempts=1)
        with self.lab() as lab:
            jobs = [self.submit(lab, noise_png(20, 20, seed), "slow") for seed in range(2)]
            worker = lab.worker_start(*SLOW)
            wait_until(lambda: not worker.running(), "the worker's end")
            self.assertEqual(lab.programs.pop("worker").stop(), 80)
            # Whichever came second was not to blame.
            late, waiting = sorted(map(lab.job, jobs), key=lambda now: now["state"])
            self.assertEqual((late["state"], late["error"]["code"]), ("failed", "timeout"))
            self.assertEqual((waiting["state"], waiting["attempts"]), ("queued", 0))

    # ---- workers that vanish ----

    def test_a_killed_worker_s_job_runs_elsewhere_with_one_result(self):
        with self.lab() as lab:
            lab.worker_start(*SLOW, name="first")
            job = self.submit(lab, noise_png(20, 20, 1), "slow")
            lab.wait_for_state(job, "running")
            lab.programs.pop("first").stop(signal.SIGKILL)
            lab.worker_start(*SLOW, name="second")
            result = self.done(lab, job)
            self.assertEqual(result, self.bench.expected("slow", noise_png(20, 20, 1), device="ref"))
            self.assertEqual(lab.job(job)["attempts"], 0)
            self.assertEqual(self.uploads(lab, job), ["2"])

    def test_jobs_of_a_killed_batch_all_run_and_pay_no_attempt(self):
        with self.lab() as lab:
            jobs = [self.submit(lab, noise_png(20, 20, seed), "slow") for seed in range(4)]
            lab.worker_start(*SLOW, name="first")
            for job in jobs:
                lab.wait_for_state(job, "running")
            lab.programs.pop("first").stop(signal.SIGKILL)
            lab.worker_start(*SLOW, name="second")
            for job in jobs:
                lab.wait_for_state(job, "succeeded", deadline_s=60)
                self.assertEqual(lab.job(job)["attempts"], 0)
                self.assertEqual(self.uploads(lab, job), ["2"])

    def test_a_stopped_worker_s_late_completion_is_refused(self):
        with self.lab() as lab:
            first = lab.worker_start(*SLOW, "--debug", name="first")
            job = self.submit(lab, noise_png(20, 20, 1), "slow")
            lab.wait_for_state(job, "running")
            first.process.send_signal(signal.SIGSTOP)
            lab.worker_start(*SLOW, name="second")
            result = self.done(lab, job)
            first.process.send_signal(signal.SIGCONT)
            first.wait_for_log(f"job.dropped job={job['id']}")
            self.assertEqual(self.result(lab, job), result)
            self.assertNotIn("job.done", first.log)
            wait_until(lambda: self.uploads(lab, job) == ["2"], "only the winner's upload")
            # And the first goes on as if nothing had been.
            lab.stop("second")
            self.done(lab, self.submit(lab, noise_png(20, 20, 2), "slow"))

    def test_a_crash_is_told_and_its_job_runs_elsewhere_before_the_lease_ends(self):
        with self.lab() as lab:
            lab.worker_start(*SLOW, *LONG, name="first")
            job = self.submit(lab, noise_png(20, 20, 1), "slow")
            lab.wait_for_state(job, "running")
            # Of its signals the one that a sanitizer leaves to us.
            self.assertEqual(lab.programs.pop("first").stop(signal.SIGABRT), -signal.SIGABRT)
            lab.wait_for_state(job, "queued", deadline_s=20)
            history = lab.redis_cli("lrange", "{q:00}h:" + job["id"][2:14], "0", "-1")
            self.assertIn("signal 6", history)
            self.assertEqual(lab.redis_cli("zcard", "{q:00}workers"), "0")
            lab.worker_start(*SLOW, *LONG, name="second")
            self.done(lab, job)

    def test_sigterm_finishes_what_runs_and_releases_the_rest(self):
        with self.lab() as lab:
            lab.worker_start(*SLOW, "--depth", "4", "--fetchers", "1")
            jobs = [self.submit(lab, noise_png(20, 20, seed), "slow") for seed in range(8)]
            lab.wait_for_state(jobs[0], "succeeded")
            self.assertEqual(lab.stop("worker"), 0)
            states = [lab.job(job) for job in jobs]
            self.assertEqual({now["state"] for now in states}, {"succeeded", "queued"})
            self.assertEqual({now["attempts"] for now in states}, {0})
            self.assertEqual(lab.redis_cli("zcard", "{q:00}workers"), "0")
            lab.worker_start(*SLOW, name="next")
            for job in jobs:
                lab.wait_for_state(job, "succeeded", deadline_s=60)

    def test_a_second_signal_ends_it_at_once(self):
        self.bench.manifest("slow", 320)  # three seconds, which the drain would wait for
        with self.lab() as lab:
            worker = lab.worker_start(*SLOW)
            job = self.submit(lab, noise_png(20, 20, 1), "slow")
            # As the heartbeats carry it.
            wait_until(lambda: lab.job(job)["progress"] >= 0.3, "the network at work")
            worker.process.send_signal(signal.SIGTERM)
            worker.wait_for_log("worker.drain")
            self.assertEqual(lab.stop("worker"), 128 + signal.SIGTERM)

    def test_a_drain_does_not_wait_for_grants(self):
        with self.lab() as lab:
            worker = lab.worker_start(*QUICK, *LONG)
            job = self.submit(lab, noise_png(20, 20, 1))
            self.done(lab, job)
            dispatcher = lab.programs["dispatcher"].process
            waits = self.submit(lab, noise_png(20, 20, 2), "slow")
            dispatcher.send_signal(signal.SIGSTOP)
            try:
                other = lab.worker_start(*SLOW, *LONG, name="other")
                other.wait_for_log("worker.first-claim")
                wait_until(lambda: lab.redis_cli("zcard", "{q:00}lease") == "1", "a lease")
                self.assertEqual(lab.stop("other"), 0)
                self.assertEqual(lab.redis_cli("zcard", "{q:00}lease"), "0")
                self.assertIn("released=1", other.log)
            finally:
                dispatcher.send_signal(signal.SIGCONT)
            now = lab.job(waits)
            self.assertEqual((now["state"], now["attempts"]), ("queued", 0))
            self.assertTrue(worker.running())

    def test_an_operator_can_pause_a_worker(self):
        with self.lab() as lab:
            worker = lab.worker_start(*QUICK)
            name = re.search(r"worker=(w-[0-9a-f]+)", worker.log)[1]
            lab.redis_cli("set", f"{{q:00}}drain:{name}", "1")
            worker.wait_for_log("worker.paused")
            job = self.submit(lab, noise_png(20, 20, 1))
            self.assertEqual(lab.job(job)["state"], "queued")
            lab.redis_cli("del", f"{{q:00}}drain:{name}")
            worker.wait_for_log("worker.resumed")
            self.done(lab, job)

    def test_an_idle_worker_drains_and_is_forgotten(self):
        with self.lab() as lab:
            worker = lab.worker_start(*QUICK)
            self.assertEqual(lab.stop("worker"), 0)
            self.assertIn("worker.end", worker.log)
            self.assertEqual(lab.redis_cli("zcard", "{q:00}workers"), "0")

    # ---- owners who change their mind ----

    def test_a_cancelled_job_is_dropped_and_the_next_one_runs(self):
        with self.lab() as lab:
            worker = lab.worker_start(*SLOW, "--debug")
            job = self.submit(lab, noise_png(20, 20, 1), "slow")
            lab.wait_for_state(job, "running")
            answer = lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
            self.assertEqual(answer.json["state"], "cancelled")
            worker.wait_for_log(f"job.dropped job={job['id']}")
            self.assertEqual(lab.job(job)["state"], "cancelled")
            self.done(lab, self.submit(lab, noise_png(20, 20, 2), "slow"))
            wait_until(lambda: not self.uploads(lab, job), "no upload of a cancelled job")

    # ---- servers that go away ----

    def test_a_store_that_takes_nothing_ends_in_the_dead_letter_with_the_reason(self):
        with self.lab() as lab:
            job = self.submit(lab, noise_png(20, 20, 1))
            results = lab.objects / "results"
            if results.is_dir():
                results.rmdir()
            results.write_bytes(b"in the way")
            worker = lab.worker_start(*QUICK)
            now = lab.wait_for_state(job, "failed")
            self.assertEqual(now["attempts"], 2)
            self.assertEqual(now["error"]["code"], "unavailable")
            self.assertIn("could not be stored: the object store answered 503", now["error"]["detail"])
            self.assertEqual(len(re.findall("worker.away server=store-put", worker.log)), 1)
            results.unlink()
            self.done(lab, self.submit(lab, noise_png(20, 20, 2)))

    def test_a_dispatcher_that_comes_back_gets_the_upload(self):
        with self.lab() as lab:
            worker = lab.worker_start(*SLOW)
            job = self.submit(lab, noise_png(20, 20, 1), "slow")
            lab.wait_for_state(job, "running")
            wait_until(lambda: "progress" in lab.job(job), "a job that runs")
            lab.stop("dispatcher")
            worker.wait_for_log("worker.away")
            lab.dispatcher_start()
            self.done(lab, job)

    def test_jobs_wait_for_a_dispatcher_that_gives_no_grants(self):
        with self.lab() as lab:
            jobs = [self.submit(lab, noise_png(20, 20, seed)) for seed in range(3)]
            lab.stop("dispatcher")
            worker = lab.worker_start(*QUICK)
            worker.wait_for_log("worker.away server=dispatcher")
            lab.dispatcher_start()
            for job in jobs:
                self.done(lab, job)
                self.assertEqual(lab.job(job)["attempts"], 0)

    def test_redis_restarts_and_everything_goes_on(self):
        with self.lab() as lab:
            worker = lab.worker_start(*SLOW)
            jobs = [self.submit(lab, noise_png(20, 20, seed), "slow") for seed in range(3)]
            lab.wait_for_state(jobs[0], "running", "succeeded")
            lab.stop("redis")
            worker.wait_for_log("worker.away server=redis")
            lab.redis_start()
            worker.wait_for_log("worker.back server=redis")
            for job in jobs:
                wait_until(lambda job=job: lab.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"])
                           .status == 200, "the dispatcher's connection")
                self.done(lab, job)
            self.assertEqual(len(re.findall("worker.away server=redis", worker.log)), 1)
            self.assertEqual(lab.stop("worker"), 0)

    def test_a_drain_ends_while_redis_is_away(self):
        with self.lab() as lab:
            worker = lab.worker_start(*QUICK)
            lab.stop("redis")
            worker.wait_for_log("worker.away server=redis")
            self.assertEqual(lab.stop("worker"), 0)
            lab.redis_start()

    # ---- a start that must not be ----

    def test_a_redis_that_evicts_is_refused(self):
        with self.lab() as lab:
            lab.redis_cli("config", "set", "maxmemory-policy", "allkeys-lru")
            with self.assertRaises(AssertionError):
                lab.worker_start(*QUICK)
            worker = lab.programs.pop("worker")
            self.assertEqual(worker.stop(), 65)
            self.assertIn("noeviction", worker.log)
            lab.redis_cli("config", "set", "maxmemory-policy", "noeviction")

    def test_a_worker_without_token_model_or_weights_says_what_it_lacks(self):
        with self.lab() as lab:
            empty = lab.path / "empty"
            empty.touch(mode=0o600)
            for options, status, word in (
                    (("--model", "nothing"), 66, "nothing"),
                    (("--worker-token-file", str(lab.path / "none")), 66, "none"),
                    (("--worker-token-file", str(empty)), 65, "32"),
                    (("--worker-token-file", "/dev/null"), 77, "open to all"),
                    (("--redis", "http://x"), 64, "redis"),
                    (("--dispatcher", "ftp://x"), 64, "dispatcher"),
                    (("--lease-ms", "0"), 64, "lease-ms")):
                with self.assertRaises(AssertionError):
                    lab.worker_start(*options)
                worker = lab.programs.pop("worker")
                self.assertEqual(worker.stop(), status, worker.log)
                self.assertIn(word, worker.log)
                worker.log_path.unlink()


if __name__ == "__main__":
    main()
