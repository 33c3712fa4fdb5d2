#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What dispatcher, worker and notifier tell Prometheus of one job and its mail."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import figures  # noqa: E402
from darkroom import Lab, main, png, wait_until  # noqa: E402
from workbench import DEVICE, Workbench  # noqa: E402

STAGES = {"grant", "fetch", "decode", "wait", "infer", "encode", "upload", "complete"}


class Fleet(unittest.TestCase):
    """One job with a mail goes through all three programs; what they say then is looked at."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-metrics-")
        cls.addClassCleanup(cls.folder.cleanup)
        bench = Workbench(cls.folder.name)
        cls.lab = Lab(models=bench.models)
        cls.addClassCleanup(cls.lab.close)
        worker = cls.lab.worker_start("--model", "quick", "--device", DEVICE, "--metrics", "127.0.0.1:0")
        notifier = cls.lab.notifier_start("--metrics", "127.0.0.1:0")
        before = figures.of_program(worker, "worker.metrics")
        assert figures.value(before, "darkroom_worker_jobs_total") is None, before
        answer = cls.lab.submit(png(), "quick", email="someone@example.org")
        assert answer.status == 202, answer
        cls.lab.wait_for_state(answer.json, "succeeded")
        notifier.wait_for_log("mail.sent")
        wait_until(lambda: "darkroom_mails_total" in cls.lab.get("/metrics").body.decode(), "mails are counted")
        cls.texts = {"dispatcher": cls.lab.get("/metrics").body.decode(),
                     "worker": figures.of_program(worker, "worker.metrics"),
                     "notifier": figures.of_program(notifier, "notifier.metrics")}

    def value(self, program, name, **labels):
        return figures.value(self.texts[program], name, **labels)

    def test_promtool_finds_nothing_to_say_about_any_of_them(self):
        for program, text in self.texts.items():
            with self.subTest(program):
                self.assertEqual(figures.promtool("check", "metrics", input=text), "")

    def test_names_have_base_units_and_every_family_a_help(self):
        for program, text in self.texts.items():
            for name, kind in figures.families(text).items():
                with self.subTest(program, name=name):
                    self.assertEqual(name.endswith("_total"), kind == "counter")
                    self.assertNotRegex(name, r"_(ms|milliseconds|permille|kb|mb)(_|$)")
                    self.assertIn(f"# HELP {name} ", text)
                    self.assertTrue(name.startswith(("darkroom_", "process_")))

    def test_histograms_are_whole(self):
        """Buckets rise, and the last is the count."""
        for program, text in self.texts.items():
            buckets = {}
            for name, labels, number in figures.samples(text):
                if name.endswith("_bucket"):
                    key = name, tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
                    buckets.setdefault(key, []).append((float(labels["le"]), number))
            self.assertTrue(buckets, program)
            for (name, labels), points in buckets.items():
                self.assertEqual(points, sorted(points))
                self.assertEqual([n for _, n in points], sorted(n for _, n in points))
                self.assertEqual(points[-1], (float("inf"), figures.value(
                    text, name.replace("_bucket", "_count"), **dict(labels))))

    def test_a_request_is_counted_by_route_and_class(self):
        self.assertEqual(self.value("dispatcher", "darkroom_http_requests_total", route="submit", status="202"), 1)
        self.assertEqual(self.value("dispatcher", "darkroom_http_request_seconds_count", route="submit", **{"class": "2xx"}), 1)
        self.assertEqual(self.value("dispatcher", "darkroom_store_failures_total"), 0)
        self.assertEqual(self.value("dispatcher", "darkroom_workers", model="quick"), 1)
        self.assertEqual(self.value("dispatcher", "darkroom_oldest_job_seconds", model="quick"), 0)

    def test_each_stage_of_a_job_has_its_time_and_they_sum_up_to_the_whole(self):
        stages = {labels["stage"]: number for name, labels, number in figures.samples(self.texts["worker"])
                  if name == "darkroom_worker_stage_seconds_sum"}
        self.assertEqual(set(stages), STAGES)
        for stage in STAGES:
            self.assertEqual(self.value("worker", "darkroom_worker_stage_seconds_count", stage=stage), 1)
        whole = self.value("worker", "darkroom_worker_job_seconds_sum")
        self.assertGreater(sum(stages.values()), 0)
        self.assertAlmostEqual(sum(stages.values()), whole, delta=0.05 * whole + 0.005)
        self.assertEqual(self.value("worker", "darkroom_job_queued_seconds_count", model="quick"), 1)
        self.assertEqual(self.value("worker", "darkroom_worker_jobs_total", outcome="done"), 1)

    def test_a_mail_is_timed(self):
        self.assertEqual(self.value("notifier", "darkroom_mail_delivery_seconds_count", outcome="sent"), 1)
        self.assertEqual(self.value("dispatcher", "darkroom_mails_total", outcome="sent"), 1)


class Options(unittest.TestCase):
    def test_an_address_that_is_taken_or_wrong_ends_the_program_with_the_options_name(self):
        with tempfile.TemporaryDirectory(prefix="darkroom-metrics-") as folder:
            bench = Workbench(folder)
            with Lab(models=bench.models) as lab:
                for address in ("nowhere", f"127.0.0.1:{lab.port}"):
                    with self.subTest(address), self.assertRaises(AssertionError):
                        lab.worker_start("--device", DEVICE, "--metrics", address, name=f"worker {address}")
                    self.assertIn("metrics: ", lab.programs[f"worker {address}"].log)
                    lab.programs.pop(f"worker {address}").stop()


if __name__ == "__main__":
    main()
