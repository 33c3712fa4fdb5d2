# SPDX-License-Identifier: MIT
"""SIGHUP: limits and models change while jobs go on; what is wrong changes nothing."""
import hashlib
import json
import pathlib
import re
import signal
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import Lab, data_url, main, manifest_of, png, wait_until  # noqa: E402
from workbench import DEVICE, Workbench, weights  # noqa: E402

SUCCESSFUL = "darkroom_config_last_reload_successful"
OPTIONS = ("--device", DEVICE, "--batch", 2, "--threads", 1)


class Reload(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="darkroom-reload-")
        self.addCleanup(folder.cleanup)
        self.bench = Workbench(folder.name)
        self.path = pathlib.Path(folder.name)
        (self.bench.models / "slow.json").unlink()

    def file(self, name, text):
        path = self.path / f"{name}.conf"
        path.write_text(text)
        return path

    def reload(self, program, event="config.reloaded"):
        """Returns the line that it answers with."""
        start = len(program.log)
        program.process.send_signal(signal.SIGHUP)
        program.wait_for_log(event, start)
        return next(line for line in program.log[start:].splitlines() if event in line)

    def figure(self, text, name):
        return float(re.search(rf"^{name} (\S+)$", text, re.M)[1])

    def named(self, lab):
        return [model["name"] for model in lab.get("/v1/models").json["models"]]

    # ---- the dispatcher ----

    def test_limits_and_models_of_a_dispatcher(self):
        config = self.file("dispatcher", "max-body-bytes = 2000\nsubmits-burst = 100\n")
        with Lab(models=self.bench.models, dispatcher=False) as lab:
            dispatcher = lab.dispatcher_start("--config", config)
            large = {"model": "quick", "input": data_url(png(64, 64) + b"\0" * 4000)}
            self.assertEqual(lab.request("POST", "/v1/jobs", large).status, 413)
            self.file("dispatcher", "max-body-bytes = 1000000\nsubmits-burst = 100\nlease-ms = 20000\n")
            self.bench.manifest("second", 64)
            said = self.reload(dispatcher)
            self.assertIn("want_restart=lease-ms", said)
            self.assertNotEqual(lab.request("POST", "/v1/jobs", large).status, 413)
            self.assertEqual(self.named(lab), ["quick", "second"])
            figures = lab.get("/metrics").body.decode()
            self.assertEqual(self.figure(figures, SUCCESSFUL), 1)
            self.assertIn('model="second"', figures)
            since = self.figure(figures, "darkroom_config_last_reload_success_timestamp_seconds")
            self.assertAlmostEqual(since, time.time(), delta=60)
            (self.bench.models / "second.json").unlink()
            self.reload(dispatcher)
            self.assertEqual(self.named(lab), ["quick"])
            self.assertEqual(lab.get("/v1/models/second").status, 404)

    def test_a_wrong_file_changes_nothing_and_says_what_is_wrong(self):
        config = self.file("dispatcher", "max-body-bytes = 2000\n")
        with Lab(models=self.bench.models, dispatcher=False) as lab:
            dispatcher = lab.dispatcher_start("--config", config)
            before = lab.get("/v1/models").body
            for text, *words in (("max-body-bytes = many\n", "line 1", "max-body-bytes", "many"),
                                 ("max-body-bytes = 900\n", "1024"), ("no-such = 1\n", "no-such"),
                                 ("max-body-bytes = 5000\ntrusted-proxies = 10.0.0.0/99\n", "trusted-proxies")):
                self.file("dispatcher", text)
                said = self.reload(dispatcher, "config.refused")
                for word in words:
                    self.assertIn(word, said)
                self.assertEqual(lab.get("/v1/models").body, before)
                self.assertEqual(lab.request("POST", "/v1/jobs", {"model": "quick", "input": "x" * 2100}).status, 413)
                self.assertEqual(self.figure(lab.get("/metrics").body.decode(), SUCCESSFUL), 0)
            self.file("dispatcher", "max-body-bytes = 2000\n")
            (self.bench.models / "quick.json").write_text("{")
            self.assertIn("quick.json", self.reload(dispatcher, "config.refused"))
            self.bench.manifest("quick", 64)
            self.reload(dispatcher)
            self.assertEqual(self.figure(lab.get("/metrics").body.decode(), SUCCESSFUL), 1)

    # ---- the notifier ----

    def test_quotas_of_a_notifier(self):
        config = self.file("notifier", "mail-quota-hour = 5\n")
        with Lab(models=self.bench.models) as lab:
            notifier = lab.notifier_start("--config", config, "--metrics", "127.0.0.1:0")
            port = int(re.search(r"notifier.metrics port=(\d+)", notifier.log)[1])
            self.file("notifier", "mail-quota-hour = 6\nwebhook-retry-ms = 5000\nshards = 2\n")
            self.assertIn("want_restart=shards", self.reload(notifier))
            self.file("notifier", "mail-quota-hour = -1\n")
            self.assertIn("mail-quota-hour", self.reload(notifier, "config.refused"))
            self.assertEqual(self.figure(lab.get("/metrics", port=port).body.decode(), SUCCESSFUL), 0)
            self.file("notifier", "")
            self.reload(notifier)

    # ---- the worker, and all together ----

    def result(self, lab, job):
        wait_until(lambda: lab.job(job)["state"] in ("succeeded", "failed"), "an end")
        self.assertEqual(lab.job(job)["state"], "succeeded", lab.job(job))
        answer = lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"])
        return lab.get(answer.headers["Location"]).body

    def name_of(self, path):
        """What a result says of the weights that made it."""
        return hashlib.sha256(path.read_bytes()).hexdigest().encode()

    def submit(self, lab, model):
        answer = lab.request("POST", "/v1/jobs", {"model": model, "input": data_url(png(64, 64))})
        self.assertEqual(answer.status, 202, answer)
        return answer.json

    def test_models_of_a_worker_come_change_and_go(self):
        with Lab(models=self.bench.models) as lab:
            dispatcher, worker = lab.programs["dispatcher"], lab.worker_start(*OPTIONS)
            quick = self.bench.models / "quick.safetensors"
            first = self.name_of(quick)
            self.assertIn(first, self.result(lab, self.submit(lab, "quick")))
            weights(self.bench.models / "second.safetensors", seed=2)
            self.bench.manifest("second", 64)
            self.reload(dispatcher)
            self.reload(worker)
            self.assertIn(self.name_of(self.bench.models / "second.safetensors"),
                          self.result(lab, self.submit(lab, "second")))
            # Other weights under the same name, as a deployment would bring them.
            weights(self.bench.models / "new", seed=2).rename(quick)
            self.reload(worker)
            wait_until(lambda: "worker.evicted model=quick" in worker.log, "the old ones go")
            changed = self.name_of(quick)
            self.assertNotEqual(changed, first)
            self.assertIn(changed, self.result(lab, self.submit(lab, "quick")))
            (self.bench.models / "second.json").unlink()
            self.reload(worker)
            wait_until(lambda: "worker.evicted model=second" in worker.log, "it goes")
            (self.bench.models / "quick.json").write_text("{")
            self.assertIn("quick.json", self.reload(worker, "config.refused"))
            self.assertIn(changed, self.result(lab, self.submit(lab, "quick")))

    def test_no_job_is_lost_while_everything_is_read_again(self):
        dispatcher_file, worker_file = self.file("dispatcher", "submits-per-minute = 0\n"), self.file("worker", "")
        with Lab(models=self.bench.models, dispatcher=False) as lab:
            lab.dispatcher_start("--config", dispatcher_file)
            lab.worker_start("--config", worker_file, *OPTIONS)
            lab.worker_start("--config", worker_file, *OPTIONS, name="other")
            jobs, failures, stop = [], [], threading.Event()

            def hand_in():
                body = json.dumps({"model": "quick", "input": data_url(png(64, 64))}).encode()
                while not stop.is_set():
                    answer = lab.request("POST", "/v1/jobs", body, {"Content-Type": "application/json"})
                    (jobs if answer.status == 202 else failures).append(answer.json)
                    time.sleep(0.005)
            threads = [threading.Thread(target=hand_in) for _ in range(2)]
            for thread in threads:
                thread.start()
            for turn in range(6):
                good = turn % 2 == 0
                self.file("dispatcher", f"submits-per-minute = 0\nmax-queued = {1000 + turn if good else 'many'}\n")
                self.file("worker", "debug = false\n" if good else "debug = perhaps\n")
                if good:  # the same network under new weights' name: it is served by what there is now
                    weights(self.bench.models / "new", seed=3 + turn).rename(self.bench.models / "quick.safetensors")
                    self.bench.manifest(f"extra-{turn}", 64)
                for name in ("dispatcher", "worker", "other"):
                    self.reload(lab.programs[name], "config.reloaded" if good else "config.refused")
            wait_until(lambda: len(jobs) >= 60, "jobs", deadline_s=20)
            stop.set()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])
            for job in jobs:
                wait_until(lambda: lab.job(job)["state"] not in ("queued", "running"), "the end")
                self.assertEqual(lab.job(job)["state"], "succeeded", lab.job(job))
                self.assertEqual(lab.job(job)["attempts"], 0)


if __name__ == "__main__":
    main()
