#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""rediss://: OverTls for a build that has it, WithoutTls for one that has not."""
import contextlib
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from certificates import Certificates  # noqa: E402
from darkroom import BUILD, Lab, main, png, wait_until  # noqa: E402
from redis_fleet import Cluster, Fleet, Node, Sentinels  # noqa: E402
from workbench import DEVICE, Workbench  # noqa: E402


class Server(Fleet):
    """One server."""

    def __init__(self, path, tls=None):
        super().__init__(path)
        self.tls = tls
        self.nodes.append(Node(self.path, "server", "--save", "", "--maxmemory-policy", "noeviction", tls=tls).start())
        self.url = f"{'rediss' if tls else 'redis'}://127.0.0.1:{self.nodes[0].port}"

    def cli(self, _key, *words, check=True):
        return self.nodes[0].cli(*words, check=check)

    def present(self, certificate, key):
        """Another certificate, to those who connect from now on."""
        self.cli("", "config", "set", "tls-cert-file", certificate, "tls-key-file", key)
        self.cli("", "client", "kill", "type", "normal", "skipme", "yes")


def refusal(program, *options):
    """What a program says that does not start."""
    result = subprocess.run([str(word) for word in (program, *options)], capture_output=True, text=True, timeout=30,
                            check=False)
    assert result.returncode != 0, f"{program} {options} ended well: {result.stdout}"
    return result.stdout + result.stderr


DISPATCHER, NOTIFIER = BUILD / "dispatcher" / "darkroom-dispatcher", BUILD / "dispatcher" / "darkroom-notifier"
WORKER, CLI = BUILD / "worker" / "darkroom-worker", BUILD / "dispatcher" / "darkroom"


def needs(program, folder):
    """What a program looks at before it turns to Redis."""
    secret = pathlib.Path(folder) / "secret"
    secret.touch(mode=0o600)
    secret.write_text("5" * 64 + "\n")
    return {DISPATCHER: ("--listen", "127.0.0.1:0", "--models", folder, "--secret-file", secret,
                         "--worker-token-file", secret, "--store", f"local:{folder}/objects"),
            NOTIFIER: ("--secret-file", secret, "--outbox", f"{folder}/outbox", "--mail-from", "darkroom@example.org"),
            WORKER: ("--models", folder, "--worker-token-file", secret),
            CLI: ()}[program]


class OverTls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-tls-")
        cls.path = pathlib.Path(cls.folder.name)
        cls.bench = Workbench(cls.path)
        cls.tls = Certificates(cls.path / "ours")
        cls.trust = ("--redis-ca-file", cls.tls.ca)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @contextlib.contextmanager
    def lab(self, fleet, *options, dispatcher=True):
        with fleet, Lab(redis=fleet, models=self.bench.models, dispatcher=dispatcher,
                        dispatcher_options=options) as lab:
            yield lab

    def start_refused(self, lab, *options):
        with self.assertRaises(AssertionError) as failure:
            lab.dispatcher_start(*options)
        lab.programs.pop("dispatcher")
        return str(failure.exception)

    def wait_for_reason(self, lab, *texts):
        def told():
            answer = lab.request("GET", "/readyz")
            return answer.status == 503 and any(text in str(answer.json) for text in texts)
        wait_until(told, f"/readyz says {texts}")

    def work(self, lab, *options):
        lab.worker_start(*options, "--model", "quick", "--device", DEVICE)
        job = lab.submit(png(), "quick", email="somebody@example.org").json
        lab.wait_for_state(job, "succeeded")

    def test_a_job_goes_through_every_program(self):
        with self.lab(Server(self.path / "all", self.tls), *self.trust) as lab:
            lab.notifier_start(*self.trust)
            self.work(lab, *self.trust)
            wait_until(lambda: list(lab.outbox.glob("*.eml")), "a mail")
            for _ in range(20):  # several records each way
                self.assertEqual(lab.submit(png(64, 64), "quick").status, 202)
            keys = subprocess.run([CLI, "keys", "create", "--scopes", "operate", "--redis", lab.redis_url, *self.trust],
                                  capture_output=True, text=True, timeout=30, check=False)
            self.assertEqual(keys.returncode, 0, keys.stderr)

    def test_the_environment_s_authorities_are_the_default(self):
        with self.lab(Server(self.path / "default", self.tls), dispatcher=False) as lab:
            lab.dispatcher_start(environment={"SSL_CERT_FILE": str(self.tls.ca)})
            self.assertEqual(lab.submit(png(), "quick").status, 202)

    def test_nodes_of_a_cluster_are_reached(self):
        with self.lab(Cluster(self.path / "cluster", masters=2, tls=self.tls), *self.trust, "--shards", 4) as lab:
            self.work(lab, *self.trust, "--shards", 4)

    def test_sentinels_and_their_master_are_reached(self):
        with self.lab(Sentinels(self.path / "sentinels", sentinels=1, tls=self.tls), *self.trust) as lab:
            self.work(lab, *self.trust)

    def test_a_name_is_verified(self):
        named = self.tls.sign("named", "DNS:localhost")
        with self.lab(Server(self.path / "named", self.tls), dispatcher=False) as lab:
            lab.fleet.present(*named)
            said = self.start_refused(lab, *self.trust)
            self.assertIn("certificate is refused: IP address mismatch", said)
            lab.redis_url = f"rediss://localhost:{lab.fleet.nodes[0].port}"
            lab.dispatcher_start(*self.trust)
            lab.fleet.present(*self.tls.sign("other", "DNS:elsewhere.example,IP:127.0.0.1"))
            self.wait_for_reason(lab, "certificate is refused: hostname mismatch")

    def test_an_authority_that_nobody_trusts_is_refused(self):
        stranger = Certificates(self.path / "stranger")
        with self.lab(Server(self.path / "server", self.tls), *self.trust, dispatcher=False) as lab:
            self.assertIn("certificate is refused", self.start_refused(
                lab, "--redis-ca-file", stranger.ca))
            lab.dispatcher_start()
            # What comes later is not trusted more than what was there at the start.
            lab.fleet.present(stranger.certificate, stranger.key)
            self.wait_for_reason(lab, "certificate is refused")
            lab.fleet.present(self.tls.certificate, self.tls.key)
            wait_until(lambda: lab.request("GET", "/readyz").status == 200, "the server is trusted again")
            self.assertEqual(lab.submit(png(), "quick").status, 202)

    def test_a_server_that_asks_for_certificates_gets_one(self):
        asking = Certificates(self.path / "asking")
        asking.asks_clients = True
        ours, key = asking.sign("client", "DNS:client.example")
        with self.lab(Server(self.path / "asks", asking), "--redis-ca-file", asking.ca, dispatcher=False) as lab:
            dispatcher = lab.dispatcher_start()
            self.assertRegex(dispatcher.log, "redis.down.*(certificate required|want a certificate)")
            self.wait_for_reason(lab, "certificate required", "want a certificate")
            self.assertEqual(lab.stop("dispatcher"), 0)
            lab.dispatcher_start("--redis-cert-file", ours, "--redis-key-file", key)
            self.assertEqual(lab.submit(png(), "quick").status, 202)

    def test_a_server_without_tls_is_not_waited_for(self):
        with self.lab(Server(self.path / "plain"), dispatcher=False) as lab:
            lab.redis_url = lab.redis_url.replace("redis:", "rediss:")
            dispatcher = lab.dispatcher_start(*self.trust)
            self.assertRegex(dispatcher.log, "redis.down.*(does this port speak TLS|TLS: )")
            # The handshake hangs, and nothing else does.
            self.assertEqual(lab.request("GET", "/healthz").status, 200)
            self.assertEqual(lab.request("GET", "/readyz").status, 503)

    def test_options_that_cannot_work_are_refused(self):
        url = "rediss://127.0.0.1:1"
        missing = self.path / "missing.pem"
        for program in (WORKER, CLI, NOTIFIER):
            command = ["keys", "list"] if program is CLI else []
            with self.subTest(program=program.name):
                self.assertIn("rediss://", refusal(
                    program, *command, "--redis", "redis://127.0.0.1:1", *self.trust, *needs(program, self.path)))
                self.assertIn("missing.pem", refusal(
                    program, *command, "--redis", url, "--redis-ca-file", missing, *needs(program, self.path)))
        with self.lab(Server(self.path / "options", self.tls), dispatcher=False) as lab:
            self.assertIn("given together", self.start_refused(lab, "--redis-cert-file", self.tls.certificate))
            self.assertIn("missing.pem", self.start_refused(lab, "--redis-ca-file", missing))
            self.assertIn("key values mismatch", self.start_refused(
                lab, "--redis-cert-file", self.tls.certificate, "--redis-key-file", self.tls.ca_key))


class WithoutTls(unittest.TestCase):
    def test_every_program_says_that_it_has_none(self):
        for program, *command in ((DISPATCHER,), (NOTIFIER,), (WORKER,), (CLI, "keys", "list")):
            for scheme in ("rediss", "rediss+cluster", "rediss+sentinel"):
                with self.subTest(program=program.name, scheme=scheme), \
                        tempfile.TemporaryDirectory(prefix="darkroom-tls-") as folder:
                    said = refusal(program, *command, "--redis", f"{scheme}://127.0.0.1:1/x",
                                   *needs(program, folder))
                    self.assertIn("TLS is not built in", said)


if __name__ == "__main__":
    main()
