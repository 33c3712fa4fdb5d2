#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a collector of traces is told of a job, and what becomes of it where there is none that listens."""
import base64
import pathlib
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import figures  # noqa: E402
from collector import Collector  # noqa: E402
from darkroom import DEADLINE_S, ROOT, Hand, Lab, main, png, wait_until  # noqa: E402
from mail_server import make_certificate  # noqa: E402
from webhook_server import WebhookServer  # noqa: E402
from workbench import DEVICE, Workbench  # noqa: E402

STAGES = ["grant", "fetch", "decode", "wait", "infer", "encode", "upload", "complete"]
ADDRESS = "somebody.known@example.org"


def parent_of(sampled=True):
    """A client's traceparent, and its trace's id and span."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return f"00-{trace}-{span}-{int(sampled):02x}", trace, span


def one(spans, name):
    found = [span for span in spans if span.name == name]
    assert len(found) == 1, (name, [span.name for span in spans])
    return found[0]


def verified(bodies):
    """What OpenTelemetry's own definitions say of each body."""
    if not shutil.which("node") or not (ROOT / "tests" / "traces" / "node_modules").is_dir():
        raise unittest.SkipTest("npm ci in tests/traces first")
    done = subprocess.run(["node", ROOT / "tests" / "traces" / "verify.mjs"], text=True, capture_output=True,
                          check=True, input="".join(body.decode() + "\n" for body in bodies))
    return done.stdout.splitlines()


class Fleet(unittest.TestCase):
    """All three programs tell one collector of the same jobs."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="darkroom-traces-")
        cls.addClassCleanup(folder.cleanup)
        cls.collector = Collector()
        cls.addClassCleanup(cls.collector.close)
        otlp = ["--otlp-endpoint", cls.collector.url]
        bench = Workbench(folder.name)
        bench.manifest("quick", 64, batch={"max": 8}, cost_ms=5, retry={"backoff_ms": 10})
        cls.lab = Lab(models=bench.models, dispatcher_options=[*otlp, "--webhook-allow", "127.0.0.1/32"])
        cls.addClassCleanup(cls.lab.close)
        cls.receiver = WebhookServer(make_certificate(cls.lab.path))
        cls.addClassCleanup(cls.receiver.close)
        cls.worker = cls.lab.worker_start("--model", "quick", "--device", DEVICE, "--batch", "4", *otlp,
                                          environment={"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test"})
        cls.notifier = cls.lab.notifier_start(
            "--webhook-allow", "127.0.0.1/32", "--webhook-ca-file", cls.receiver.ca_file, "--mail-thumbnails=false",
            *otlp)
        cls.key = cls.lab.key("--scopes", "submit,read")["key"]

    def test_a_job_is_one_tree_from_the_request_to_the_mail(self):
        header, trace, span = parent_of()
        began = time.time_ns()
        answer = self.lab.submit(png(), "quick", self.key, {"traceparent": header}, email=ADDRESS,
                                 webhook={"url": self.receiver.url("/jobs")})
        self.assertEqual(answer.status, 202, answer)
        spans = self.collector.wait_for(trace, "POST /v1/jobs", "process quick", "send mail", "POST",
                                        "GET /o/{*}", "PUT /o/{*}", "POST /v1/grants")
        job = answer.json["id"]
        request, enqueue, process = (one(spans, name) for name in ("POST /v1/jobs", "enqueue quick", "process quick"))
        self.assertEqual((request.parent, request.kind, request.service), (span, "server", "darkroom-dispatcher"))
        self.assertEqual(request.attributes, {"http.request.method": "POST", "http.route": "/v1/jobs",
                                              "url.scheme": "http", "http.response.status_code": 202})
        self.assertEqual((enqueue.parent, enqueue.kind), (request.id, "producer"))
        self.assertEqual(enqueue.attributes["messaging.destination.name"], "quick")
        self.assertEqual(enqueue.attributes["messaging.message.id"], job)
        self.assertEqual(answer.headers["traceparent"], f"00-{trace}-{enqueue.id}-01")
        self.assertEqual((process.parent, process.kind, process.service), (enqueue.id, "consumer", "darkroom-worker"))
        self.assertEqual(process.about["deployment.environment.name"], "test")
        self.assertEqual(process.about["service.instance.id"], process.attributes["messaging.client.id"])
        self.assertEqual([process.attributes[f"darkroom.job.{name}"] for name in ("attempt", "epoch", "outcome")],
                         [1, 1, "done"])
        stages = [one(spans, name) for name in STAGES]
        self.assertEqual({stage.parent for stage in stages}, {process.id})
        times = [process.start] + [at for stage in stages for at in (stage.start, stage.end)] + [process.end]
        self.assertEqual(times[:-1], sorted(times[:-1]))
        self.assertLessEqual(began, request.start)
        for stage, kind in (("upload", "client"), ("infer", "internal")):
            self.assertEqual(one(spans, stage).kind, kind)
        # What the worker asks of the dispatcher is below the stage that asked.
        for route, stage in (("POST /v1/grants", "grant"), ("GET /o/{*}", "fetch"), ("PUT /o/{*}", "upload")):
            self.assertEqual(one(spans, route).parent, one(spans, stage).id)
        mail, hook = one(spans, "send mail"), one(spans, "POST")
        self.assertEqual((mail.parent, mail.kind, mail.service), (enqueue.id, "client", "darkroom-notifier"))
        self.assertEqual((hook.parent, hook.attributes["http.response.status_code"]), (enqueue.id, 200))
        self.assertEqual(self.receiver.wait_for(1)[0].headers["traceparent"], f"00-{trace}-{hook.id}-01")
        self.assertFalse(any(span.failed for span in spans))
        self.assertEqual({span.parent for span in spans} - {span.id for span in spans}, {span})
        self.assertRegex(self.worker.log, rf"job\.done job={job} .*trace_id={trace}")

    def test_a_run_for_several_is_linked_to_each_and_each_to_it(self):
        """Jobs of different people have traces of their own; the network runs once for them."""
        self.lab.request("POST", "/v1/queues/quick/pause", token=self.lab.key("--scopes", "operate")["key"])
        traces = []
        for _ in range(4):
            header, trace, _ = parent_of()
            traces.append(trace)
            self.assertEqual(self.lab.submit(png(), "quick", headers={"traceparent": header}).status, 202)
        self.lab.request("POST", "/v1/queues/quick/resume", token=self.lab.key("--scopes", "operate")["key"])
        inferences = [one(self.collector.wait_for(trace, "process quick", "infer"), "infer") for trace in traces]
        together = [span for span in inferences if span.links]
        self.assertGreaterEqual(len(together), 2)
        run_trace, run_span = together[0].links[0]
        run = one(self.collector.wait_for(run_trace, "run quick"), "run quick")
        self.assertEqual((run.id, run.parent), (run_span, None))
        self.assertIn((together[0].trace, together[0].id), run.links)
        self.assertEqual(run.attributes["messaging.batch.message_count"], len(run.links))
        self.assertLessEqual(together[0].start, run.end)

    def test_a_failed_job_says_where_and_each_attempt_is_a_step(self):
        header, trace, _ = parent_of()
        answer = self.lab.submit(b"\x89PNG\r\n\x1a\n but not a picture", "quick", headers={"traceparent": header})
        if answer.status == 202:
            self.lab.wait_for_state(answer.json, "failed")
            self.collector.wait_for(trace, "process quick")
        else:
            request = one(self.collector.wait_for(trace, "POST /v1/jobs"), "POST /v1/jobs")
            self.assertEqual(request.attributes["http.response.status_code"], answer.status)
            self.assertFalse(request.failed)  # the client's mistake, not ours
        # The input vanishes: the worker tries in vain, and again.
        header, trace, _ = parent_of()
        self.lab.request("POST", "/v1/queues/quick/pause", token=self.lab.key("--scopes", "operate")["key"])
        job = self.lab.submit(png(20, 20), "quick", headers={"traceparent": header}).json
        for path in self.lab.stored(job["id"]):
            path.unlink()
        self.lab.request("POST", "/v1/queues/quick/resume", token=self.lab.key("--scopes", "operate")["key"])
        self.lab.wait_for_state(job, "failed")
        spans = self.collector.wait_for(trace, "process quick", "fetch")
        tries = sorted((span for span in spans if span.name == "process quick"), key=lambda span: span.start)
        self.assertEqual([span.attributes["darkroom.job.attempt"] for span in tries], list(range(1, len(tries) + 1)))
        last = tries[-1]
        self.assertTrue(last.failed)
        self.assertEqual(last.attributes["darkroom.job.outcome"], "failed")
        fetch = next(span for span in spans if span.name == "fetch" and span.parent == last.id)
        self.assertTrue(fetch.failed)
        self.assertEqual(fetch.attributes["error.type"], last.attributes["error.type"])

    def test_a_job_that_comes_without_a_trace_begins_one(self):
        answer = self.lab.submit(png(), "quick")
        found = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-01", answer.headers["traceparent"])
        self.assertTrue(found, answer.headers["traceparent"])
        spans = self.collector.wait_for(found[1], "POST /v1/jobs", "process quick")
        self.assertIsNone(one(spans, "POST /v1/jobs").parent)
        self.assertEqual(one(spans, "enqueue quick").id, found[2])

    def test_what_its_client_does_not_sample_nobody_is_told_of(self):
        header, trace, _ = parent_of(sampled=False)
        job = self.lab.submit(png(), "quick", headers={"traceparent": header})
        self.assertRegex(job.headers["traceparent"], f"^00-{trace}-.*-00$")
        self.lab.wait_for_state(job.json, "succeeded")
        after = self.lab.submit(png(), "quick")
        self.collector.wait_for(after.headers["traceparent"].split("-")[1], "process quick")
        self.assertEqual(self.collector.of(trace), [])

    def test_requests_without_a_job_are_told_of_only_where_they_bring_a_trace(self):
        header, trace, span = parent_of()
        self.lab.get("/v1/models", headers={"traceparent": header})
        self.assertEqual(one(self.collector.wait_for(trace, "GET /v1/models"), "GET /v1/models").parent, span)
        self.assertFalse([span.name for span in self.collector.spans if span.name == "GET /readyz"])

    def test_a_batch_is_put_into_the_queue_in_one_step(self):
        header, trace, _ = parent_of()
        picture = {"model": "quick", "input": base64.b64encode(png()).decode()}
        answer = self.lab.request("POST", "/v1/batches", {"jobs": [picture] * 3}, token=self.key,
                                  headers={"traceparent": header})
        self.assertEqual(answer.status, 202, answer)
        spans = self.collector.wait_for(trace, "POST /v1/batches", *["process quick"] * 3)
        enqueue = one(spans, "enqueue a batch")
        self.assertEqual(enqueue.parent, one(spans, "POST /v1/batches").id)
        self.assertEqual(enqueue.attributes["messaging.batch.message_count"], 3)
        self.assertEqual({span.parent for span in spans if span.name == "process quick"}, {enqueue.id})

    def test_nothing_private_is_told_and_opentelemetry_takes_it_all(self):
        header, trace, _ = parent_of()
        job = self.lab.submit(png(), "quick", headers={"traceparent": header}, email=ADDRESS).json
        self.collector.wait_for(trace, "process quick", "send mail")
        header, trace, _ = parent_of()
        self.lab.get(f"/j/{job['id']}?token={job['tokens']['view']}", headers={"traceparent": header})
        self.lab.get("/u/secret-token-of-a-mail", headers={"traceparent": header})
        self.collector.wait_for(trace, "GET /j/{}", "GET /u/{}")
        bodies = [request.body for request in self.collector.requests]
        everything = b"".join(bodies).decode()
        for secret in (ADDRESS, "example.org", job["tokens"]["view"], job["tokens"]["manage"], "secret-token-of-a-mail",
                       self.key, self.lab.worker_token, "sig=", self.receiver.url("/jobs")):
            self.assertNotIn(secret, everything)
        self.assertEqual({request.path for request in self.collector.requests}, {"/v1/traces"})
        self.assertEqual({request.headers["Content-Type"] for request in self.collector.requests}, {"application/json"})
        self.assertEqual(verified(bodies), ["ok"] * len(bodies))


def dropped(lab, reason):
    return figures.value(lab.get("/metrics").body.decode(), "darkroom_spans_dropped_total", reason=reason)


def traced(lab, **members):
    """A job with a trace, whose id it gives."""
    header, trace, _ = parent_of()
    answer = lab.submit(headers={"traceparent": header}, **members)
    assert answer.status == 202, answer
    return trace


def ask_often(lab, count):
    """Requests of one trace, one behind the other on one connection, as fast as they are answered."""
    request = f"HEAD /healthz HTTP/1.1\r\nHost: x\r\ntraceparent: {parent_of()[0]}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", lab.port), DEADLINE_S) as connection:
        connection.sendall(request * count)
        answers = b""
        while answers.count(b"\r\n\r\n") < count:
            more = connection.recv(1 << 16)
            assert more, answers[-300:]
            answers += more
    assert answers.count(b"HTTP/1.1 200 ") == count


class Answers(unittest.TestCase):
    """What a collector may answer, and what is done about it."""

    @classmethod
    def setUpClass(cls):
        cls.collector = Collector()
        cls.addClassCleanup(cls.collector.close)
        cls.lab = Lab(dispatcher_options=["--otlp-endpoint", cls.collector.url])
        cls.addClassCleanup(cls.lab.close)
        cls.log = property(lambda self: self.lab.programs["dispatcher"].log)

    def setUp(self):
        self.collector.answer = lambda request: 200
        self.collector.wait_for(traced(self.lab), "POST /v1/jobs")  # whatever was before is over
        self.seen, self.before = len(self.collector.requests), dropped(self.lab, "failed")

    def bodies(self):
        return [request.body for request in self.collector.requests[self.seen:]]

    def test_it_is_asked_again_when_it_says_and_then_has_them_once(self):
        answers = [(429, {"Retry-After": 1}, b""), (503, {}, b""), "hang up"]
        self.collector.answer = lambda request: answers.pop(0) if answers else 200
        trace = traced(self.lab)
        began = time.monotonic()
        spans = self.collector.wait_for(trace, "POST /v1/jobs")
        self.assertGreater(time.monotonic() - began, 1)
        self.assertEqual(len([span for span in spans if span.name == "POST /v1/jobs"]), 1)
        self.assertEqual(len(set(self.bodies()[:4])), 1)
        log = self.lab.programs["dispatcher"]
        log.wait_for_log("traces.failing")
        log.wait_for_log("traces.sent")
        self.assertEqual(dropped(self.lab, "failed"), self.before)
        self.assertEqual(dropped(self.lab, "full"), 0)
        self.assertEqual(figures.value(self.lab.get("/metrics").body.decode(), "darkroom_spans_exported_total"),
                         len(self.collector.spans) - self.before)

    def test_what_it_refuses_is_not_sent_again(self):
        self.collector.answer = lambda request: 400
        traced(self.lab)
        wait_until(lambda: dropped(self.lab, "failed") > self.before, "spans were refused")
        self.assertEqual(len(set(self.bodies())), len(self.bodies()))
        self.assertIn("400", self.log)

    def test_what_it_takes_in_part_is_counted_in_part(self):
        self.collector.answer = lambda request: (
            200, {}, b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}')
        traced(self.lab)
        wait_until(lambda: dropped(self.lab, "failed") == self.before + 2, "two were refused")
        self.lab.programs["dispatcher"].wait_for_log("too old")


class Trouble(unittest.TestCase):
    def setUp(self):
        self.collector = Collector()
        self.addCleanup(self.collector.close)

    def start(self, *options, **more):
        lab = Lab(dispatcher=False)
        self.addCleanup(lambda: self.assertEqual(lab.close(), []))
        lab.dispatcher_start("--otlp-endpoint", self.collector.url, *options, **more)
        return lab

    def test_one_that_hangs_costs_spans_but_no_job_and_no_stop(self):
        """More spans than are kept, while nothing is taken."""
        hanging = threading.Event()
        self.addCleanup(hanging.set)
        self.collector.answer = lambda request: hanging.wait(60) and 200
        lab = self.start()
        while not dropped(lab, "full"):
            ask_often(lab, 500)
        with Hand(lab) as hand:
            job = lab.submit().json
            hand.complete(hand.claim(job))
            self.assertEqual(lab.job(job)["state"], "succeeded")
        began = time.monotonic()
        self.assertEqual(lab.stop("dispatcher"), 0)
        self.assertLess(time.monotonic() - began, 10)

    def test_what_is_left_at_a_stop_is_sent_with_the_headers_that_the_environment_has(self):
        lab = self.start(environment={"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20some-token"})
        trace, log = traced(lab), lab.programs["dispatcher"]
        self.assertEqual(lab.stop("dispatcher"), 0)
        self.assertTrue(self.collector.of(trace))
        self.assertEqual({request.headers["Authorization"] for request in self.collector.requests}, {"Bearer some-token"})
        self.assertNotIn("some-token", log.log)

    def test_a_stranger_may_not_decide_where_the_operator_says_so(self):
        lab = self.start("--trace-strangers=false", "--trace-ratio", "0")
        header, trace, _ = parent_of()
        answer = lab.submit(headers={"traceparent": header})
        self.assertRegex(answer.headers["traceparent"], f"^00-{trace}-.*-00$")
        lab.get("/v1/models", headers={"traceparent": header})
        key = lab.key("--scopes", "submit")["key"]
        mine, known, _ = parent_of()
        self.assertEqual(lab.submit(token=key, headers={"traceparent": mine}).status, 202)
        self.assertIsNone(lab.submit().headers["traceparent"])
        self.assertEqual(lab.stop("dispatcher"), 0)
        self.assertTrue(self.collector.of(known))
        self.assertEqual(self.collector.of(trace), [])

    def test_a_wrong_setting_ends_the_start_and_is_named(self):
        lab = Lab(dispatcher=False)
        self.addCleanup(lab.close)
        for options, says in ((["--otlp-endpoint", "collector:4317"], "otlp-endpoint"),
                              (["--otlp-endpoint", self.collector.url, "--trace-ratio", "2"], "trace-ratio"),
                              (["--otlp-endpoint", self.collector.url, "--otlp-headers-file", "/nowhere"],
                               "otlp-headers-file")):
            name = f"dispatcher {says}"
            with self.subTest(says), self.assertRaises(AssertionError):
                lab.dispatcher_start(*options, name=name)
            self.assertIn(says, lab.programs[name].log)
            self.assertNotEqual(lab.programs.pop(name).stop(), 0)


if __name__ == "__main__":
    main()
