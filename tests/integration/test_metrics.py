#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What dispatcher, worker and notifier tell Prometheus of one job and its mail."""
import json
import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import figures  # noqa: E402
from darkroom import BUILD, ROOT, Lab, main, png, wait_until  # noqa: E402
from workbench import DEVICE, Workbench  # noqa: E402

STAGES = {"grant", "fetch", "decode", "wait", "infer", "encode", "upload", "complete"}


PROMETHEUS = ROOT / "deploy" / "prometheus"
ALERT = re.compile(r"^      - alert: (\w+)$(.*?)^        (?:for|labels):", re.MULTILINE | re.DOTALL)


def alert_queries():
    found = ALERT.findall((PROMETHEUS / "alerts.yml").read_text())
    return [re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE).split("expr:", 1)[1] for _, text in found]


class Files(unittest.TestCase):
    """What deploy/ has for Prometheus and Grafana."""

    def test_promtool_accepts_the_configuration_and_the_rules(self):
        figures.promtool("check", "config", PROMETHEUS / "prometheus.yml")
        figures.promtool("check", "rules", "--lint=all", "--lint-fatal", PROMETHEUS / "alerts.yml")

    def test_every_alert_fires_when_it_should_and_not_when_it_should_not(self):
        figures.promtool("test", "rules", PROMETHEUS / "alerts_test.yml")
        tested = (PROMETHEUS / "alerts_test.yml").read_text()
        for name in self.alerts():
            with self.subTest(name):
                self.assertRegex(tested, rf"alertname: {name}\n +eval_time: \w+\n +exp_alerts:\n +- exp_labels")
                self.assertRegex(tested, rf"alertname: {name}, eval_time: \w+, exp_alerts: \[\]")

    def test_every_alert_is_explained(self):
        text = (ROOT / "docs" / "operations.md").read_text()
        explained = re.findall(r"^\| `(Darkroom\w+)` \|", text, re.MULTILINE)
        self.assertEqual(sorted(explained), sorted(self.alerts()))

    def test_every_query_of_the_dashboard_is_one(self):
        """promtool knows no query for itself, but rules made of them."""
        rules = []
        for i, query in enumerate(figures.dashboard_promql()):
            self.assertNotIn("$", query)
            rules.append({"record": f"q{i}", "expr": query})
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump({"groups": [{"name": "board", "rules": rules}]}, file)  # JSON is YAML
            file.flush()
            figures.promtool("check", "rules", file.name)

    def test_panels_do_not_overlap_and_have_their_own_numbers(self):
        panels = json.loads(figures.DASHBOARD.read_text())["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        cells = [(x, y) for box in (panel["gridPos"] for panel in panels)
                 for x in range(box["x"], box["x"] + box["w"]) for y in range(box["y"], box["y"] + box["h"])]
        self.assertEqual(len(set(cells)), len(cells))
        self.assertLess(max(x for x, _ in cells), 24)

    def alerts(self):
        return [name for name, _ in ALERT.findall((PROMETHEUS / "alerts.yml").read_text())]


class Fleet(unittest.TestCase):
    """One job with a mail goes through all three programs; what they say then is looked at."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-metrics-")
        cls.addClassCleanup(cls.folder.cleanup)
        bench = Workbench(cls.folder.name)
        cls.lab = Lab(models=bench.models)
        cls.addClassCleanup(cls.lab.close)
        worker = cls.lab.worker_start("--model", "quick", "--device", DEVICE, "--metrics", "127.0.0.1:0",
                                      environment={"LD_LIBRARY_PATH": str(BUILD / "tests" / "integration")})
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

    def test_what_alerts_and_dashboard_ask_for_is_there(self):
        names = set.union(*map(figures.names, self.texts.values()))
        asked = alert_queries() + figures.dashboard_queries()
        self.assertGreater(len(asked), 40)
        for query in asked:
            with self.subTest(query):
                wanted = set(re.findall(r"\b(?:darkroom|process)_\w+", re.sub(r'"[^"]*"', '""', query)))
                self.assertTrue(wanted or re.search(r"\bup\b", query))
                self.assertEqual(wanted - names, set())

    def test_gpus_are_as_the_drivers_library_says_and_what_one_does_not_tell_is_left_out(self):
        first = {"gpu": "0", "uuid": "GPU-11111111-2222-3333-4444-555555555555"}
        for name, wanted in {"utilization_ratio": 0.93, "memory_used_bytes": 20 * 2**30, "memory_bytes": 80 * 2**30,
                             "power_watts": 312.5, "energy_joules_total": 5000003, "temperature_celsius": 61}.items():
            with self.subTest(name):
                self.assertEqual(self.value("worker", f"darkroom_gpu_{name}", **first), wanted)
        self.assertEqual(self.value("worker", "darkroom_gpu_utilization_ratio", gpu="1"), 0)
        self.assertIsNone(self.value("worker", "darkroom_gpu_energy_joules_total", gpu="1"))
        self.assertIsNone(self.value("worker", "darkroom_gpu_power_watts", gpu="1"))

    def test_a_mail_is_timed(self):
        self.assertEqual(self.value("notifier", "darkroom_mail_delivery_seconds_count", outcome="sent"), 1)
        self.assertEqual(self.value("dispatcher", "darkroom_mails_total", outcome="sent"), 1)


class Options(unittest.TestCase):
    def test_without_a_driver_there_are_no_figures_of_gpus(self):
        with tempfile.TemporaryDirectory(prefix="darkroom-metrics-") as folder, \
                Lab(models=Workbench(folder).models) as lab:
            worker = lab.worker_start("--device", DEVICE, "--metrics", "127.0.0.1:0", environment={
                "LD_LIBRARY_PATH": str(BUILD / "tests" / "integration"), "DARKROOM_STUB_NVML": "broken"})
            text = figures.of_program(worker, "worker.metrics")
            self.assertEqual([name for name, _, _ in figures.samples(text) if name.startswith("darkroom_gpu_")], [])

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
