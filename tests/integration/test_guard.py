#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A worker that is busy protects its machine: by a pod's deletion cost, by an autoscaling group's protection."""
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from aws_server import AwsServer  # noqa: E402
from certificates import Certificates  # noqa: E402
from darkroom import DEADLINE_S, Lab, main, wait_until  # noqa: E402
from metadata_server import MetadataServer  # noqa: E402
from workbench import WORKER, Workbench, noise_png  # noqa: E402

ALWAYS = ("--device", "ref", "--guard-idle-s", "0")
QUICK = ("--model", "quick", *ALWAYS)
MODEL = ("--model", "slow", *ALWAYS)  # with less, a worker may be idle again before the guard has said that it is busy
MACHINE = "i-0123456789abcdef0"
COST = "controller.kubernetes.io/pod-deletion-cost"


class Cluster:
    """What of Kubernetes' API a worker's role lets it do: PATCH pods of one namespace."""

    def __init__(self, tls):
        self.token, self.costs, self.refused, self.broken = "first.token-1", [], [], None
        handler = type("Handler", (ClusterHandler,), {"cluster": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # who does not trust us hangs up
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class ClusterHandler(http.server.BaseHTTPRequestHandler):
    cluster = None
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, reason):
        self.cluster.refused.append(reason)
        self.answer(status, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": status})

    def do_PATCH(self):
        cluster, body = self.cluster, self.rfile.read(int(self.headers["Content-Length"]))
        if cluster.broken:
            self.refuse(*cluster.broken)
        elif self.headers["Authorization"] != f"Bearer {cluster.token}":
            self.refuse(401, "Unauthorized")
        elif self.path != "/api/v1/namespaces/darkroom/pods/worker-6d4-x1":
            self.refuse(404, "NotFound")
        elif self.headers["Content-Type"] != "application/merge-patch+json":
            self.refuse(415, "UnsupportedMediaType")
        else:
            patch = json.loads(body)
            cost = patch["metadata"]["annotations"].pop(COST)
            if patch != {"metadata": {"annotations": {}}} or not isinstance(cost, str):
                self.refuse(422, "Invalid")
                return
            cluster.costs.append(int(cost))
            # The whole pod comes back, which is much more than was sent.
            self.answer(200, {"kind": "Pod", "metadata": {"annotations": {COST: cost}}, "spec": "x" * 100000})


class Guard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-guard-")
        cls.path = pathlib.Path(cls.folder.name)
        cls.tls = Certificates(cls.path / "tls")
        cls.bench = Workbench(cls.folder.name)
        cls.lab = Lab(models=cls.bench.models)

    @classmethod
    def tearDownClass(cls):
        failures = cls.lab.close()
        cls.folder.cleanup()
        assert not failures, failures

    def tearDown(self):
        for name in [name for name in self.lab.programs if name.startswith("worker")]:
            self.assertEqual(self.lab.stop(name), 0)

    def job(self, seed=1, model="slow"):
        answer = self.lab.submit(noise_png(20, 20, seed), model)
        self.assertEqual(answer.status, 202, answer)
        self.lab.wait_for_state(answer.json, "succeeded")

    def refusal(self, *options, environment=None):
        result = subprocess.run(
            [WORKER, "--redis", self.lab.redis_url, "--models", self.bench.models, "--worker-token-file",
             self.lab.worker_token_file, *map(str, options)], capture_output=True, text=True, timeout=DEADLINE_S, check=False,
            env={**os.environ, **(environment or {})})
        self.assertIn(result.returncode, range(64, 79), result)
        return result.stderr.splitlines()[-1]


class Kubernetes(Guard):
    def setUp(self):
        self.cluster = Cluster(self.tls)
        self.addCleanup(self.cluster.close)
        self.account = self.path / "account"
        self.account.mkdir(exist_ok=True)
        (self.account / "ca.crt").write_bytes(self.tls.ca.read_bytes())
        (self.account / "namespace").write_text("darkroom")
        (self.account / "token").write_text(self.cluster.token)
        self.variables = {"KUBERNETES_SERVICE_HOST": "127.0.0.1",
                          "KUBERNETES_SERVICE_PORT": str(self.cluster.server.server_port),
                          "DARKROOM_GUARD_POD": "worker-6d4-x1"}

    def worker(self, *options):
        return self.lab.worker_start(*MODEL, "--guard", "kubernetes", "--guard-account", self.account, *options,
                                     environment=self.variables)

    def hears(self, *costs):
        wait_until(lambda: self.cluster.costs == list(costs), f"{costs}; {self.cluster.costs} {self.cluster.refused}")

    def test_a_busy_pod_costs_more_than_an_idle_one_and_a_new_token_is_used(self):
        worker = self.worker("--metrics", "127.0.0.1:0")
        self.hears(0)
        self.job()
        self.hears(0, 1000, 0)
        self.cluster.token = "second.token-2"
        (self.account / "token").write_text("second.token-2\n")
        self.job(2)
        self.hears(0, 1000, 0, 1000, 0)
        self.assertEqual(self.cluster.refused, [])
        port = int(worker.log.split("worker.metrics port=")[1].split()[0])

        def figures():
            text = self.lab.request("GET", "/metrics", port=port).body.decode()
            return [line for line in text.splitlines() if line.startswith("darkroom_worker_guard_total{")]
        wait_until(lambda: sorted(figures()) == ['darkroom_worker_guard_total{word="busy",outcome="told"} 2',
                                                 'darkroom_worker_guard_total{word="idle",outcome="told"} 3'], "the figures")

    def test_a_right_that_is_missing_harms_no_job_and_is_said_once(self):
        self.cluster.broken = (403, "Forbidden")
        worker = self.worker()
        wait_until(lambda: self.job() or len(self.cluster.refused) >= 4, "refusals")
        self.assertEqual(worker.log.count("guard.failed"), 1, worker.log)
        self.assertIn("403", worker.log)
        self.assertNotIn(self.cluster.token, worker.log)
        self.cluster.broken = None
        wait_until(lambda: self.job(9) or "guard.back" in worker.log, "it is told again")

    def test_a_server_that_the_cluster_s_authority_does_not_know_hears_no_token(self):
        (self.account / "ca.crt").write_bytes(Certificates(self.path / "other").ca.read_bytes())
        worker = self.worker()
        worker.wait_for_log("guard.failed")
        self.job()
        self.assertEqual((self.cluster.costs, self.cluster.refused), ([], []))

    def test_what_a_pod_has_and_this_is_not_is_named(self):
        here = ("--guard", "kubernetes", "--guard-account", self.account)
        for options, environment, words in (
                (here, {"KUBERNETES_SERVICE_HOST": ""}, "guard: "),
                ((*here[:3], self.path / "nowhere"), self.variables, "nowhere/namespace"),
                (here, {**self.variables, "DARKROOM_GUARD_POD": "../secrets/x"}, "guard-pod: "),
                ((*here, "--guard-endpoint", "kubernetes.default"), self.variables, "guard-endpoint: "),
                (("--guard", "moon"), {}, "guard: "), (("--guard", "command"), {}, "guard-command: ")):
            if environment.get("KUBERNETES_SERVICE_HOST") == "":
                environment = {"KUBERNETES_SERVICE_PORT": ""}
            self.assertIn(words, self.refusal(*options, environment=environment))


class Aws(Guard):
    def setUp(self):
        self.cloud = MetadataServer()
        self.addCleanup(self.cloud.close)
        self.aws = AwsServer(self.cloud)
        self.addCleanup(self.aws.close)

    def worker(self, *options, name="worker", model=MODEL):
        return self.lab.worker_start(*model, "--guard", "aws", "--spot-endpoint", self.cloud.url, "--guard-endpoint",
                                     self.aws.url, "--guard-lock", self.path / "lock", *options, name=name)

    def told(self, *words):
        """These, in this order, since the last call."""
        def heard():
            return [members["ProtectedFromScaleIn"] for _, members in self.aws.calls]
        wait_until(lambda: heard() == list(words), f"{words}; {heard()} {self.aws.refused}")
        self.aws.calls.clear()

    def test_a_busy_machine_is_protected_and_the_signature_is_right(self):
        self.worker()
        self.told("false")
        self.job()
        self.told("true", "false")
        self.assertEqual((self.aws.refused, self.aws.protected), ([], {MACHINE: False}))
        self.assertEqual(self.cloud.asked("/latest/meta-data/iam/"), 2)  # the role, and once its credentials

    def test_credentials_that_were_replaced_or_expire_are_asked_for_again(self):
        self.worker()
        self.told("false")
        self.cloud.credentials = {**self.cloud.credentials, "AccessKeyId": "ASIAEXAMPLE2", "Token": "another=="}
        self.job()
        self.told("true", "false")
        self.assertEqual(self.aws.refused, ["InvalidClientTokenId"])
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
        self.cloud.credentials = {**self.cloud.credentials, "Expiration": soon}
        self.assertEqual(self.lab.stop("worker"), 0)
        self.worker()
        self.told("false")
        before = self.cloud.asked("/latest/meta-data/iam/")
        self.job(2)
        self.told("true", "false")
        self.assertEqual(self.cloud.asked("/latest/meta-data/iam/"), before + 4)

    def test_the_group_is_the_option_s_or_the_tag_s(self):
        del self.cloud.words["tags/instance/aws:autoscaling:groupName"]
        worker = self.worker()
        worker.wait_for_log("guard.failed")
        self.assertIn("wanted --guard-group", worker.log)
        self.assertEqual(self.lab.stop("worker"), 0)
        self.worker("--guard-group", self.aws.group)
        self.told("false")

    def test_workers_of_one_machine_are_protected_while_any_is_busy(self):
        self.worker(name="worker-1", model=QUICK)
        self.told("false")
        self.worker(name="worker-2")
        self.told("false")
        long = self.lab.submit(noise_png(20, 20, 5), "slow").json
        wait_until(lambda: self.aws.protected[MACHINE], "protection")
        self.job(6, "quick")
        self.assertTrue(self.aws.protected[MACHINE] or self.lab.job(long)["state"] == "succeeded")
        self.lab.wait_for_state(long, "succeeded")
        wait_until(lambda: not self.aws.protected[MACHINE], "the end of the protection")
        heard = [members["ProtectedFromScaleIn"] for _, members in self.aws.calls]
        self.assertEqual(heard.count("false"), 1 if heard == ["true", "true", "false"] else heard.count("false"))
        self.assertEqual(self.aws.refused, [])

    def test_a_worker_that_dies_busy_leaves_no_protection_for_ever(self):
        self.worker(model=(*MODEL, "--lease-ms", "1000"))
        self.told("false")
        job = self.lab.submit(noise_png(20, 20, 7), "slow").json
        self.told("true")
        self.lab.stop("worker", 9)
        self.assertTrue(self.aws.protected[MACHINE])
        self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
        self.worker()
        wait_until(lambda: not self.aws.protected[MACHINE], "the end of the protection")

    def test_who_ends_takes_its_protection_back(self):
        self.worker("--guard-idle-s", "3600")
        self.job()
        self.told("true")
        self.assertEqual(self.lab.stop("worker"), 0)
        self.told("false")

    def test_a_service_that_hangs_holds_up_neither_jobs_nor_the_end(self):
        worker = self.worker()
        self.told("false")
        self.aws.held = threading.Event()
        for seed in range(3):
            self.job(seed)
        before = time.monotonic()
        self.assertEqual(self.lab.stop("worker"), 0)
        self.assertLess(time.monotonic() - before, 20)
        self.assertIn("worker.end", worker.log)

    def test_an_error_of_the_service_is_named(self):
        self.aws.fails = "ScalingActivityInProgress"
        worker = self.worker()
        worker.wait_for_log("ScalingActivityInProgress")
        self.job()

    def test_a_lock_that_cannot_be_made_is_named(self):
        said = self.refusal("--guard", "aws", "--guard-lock", "/nowhere/guard")
        self.assertIn("guard-lock: ", said)


del Guard

if __name__ == "__main__":
    main()
