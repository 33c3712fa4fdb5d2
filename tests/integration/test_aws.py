#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""darkroom scale and darkroom secrets: what they tell and ask of AWS, by the role of a machine."""
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from aws_server import AwsServer  # noqa: E402
from darkroom import BUILD, DEADLINE_S, Hand, Lab, main, png, wait_until  # noqa: E402
from metadata_server import MetadataServer  # noqa: E402

DARKROOM = BUILD / "dispatcher" / "darkroom"


class Signal:
    """A dispatcher whose /v1/scale says what a test wants; None: 503."""

    def __init__(self, answer):
        self.answer, self.asked = answer, 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(handler):
                body = json.dumps(self.answer or {}).encode()
                handler.send_response(503 if self.answer is None else 200)
                handler.send_header("Content-Type", "application/json")
                handler.send_header("Content-Length", str(len(body)))
                handler.end_headers()
                handler.wfile.write(body)
                self.asked += 1

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Aws(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab()
        made = json.loads(subprocess.run(
            [DARKROOM, "keys", "create", "--scopes", "scale", "--json", "--redis", cls.lab.redis_url], capture_output=True,
            text=True, check=True).stdout)
        cls.key = cls.lab.path / "scale.key"
        cls.key.touch(mode=0o600)
        cls.key.write_text(made["key"] + "\n")

    @classmethod
    def tearDownClass(cls):
        failures = cls.lab.close()
        assert not failures, failures

    def setUp(self):
        self.cloud = MetadataServer()
        self.addCleanup(self.cloud.close)
        self.aws = AwsServer(self.cloud, least=1, most=4)
        self.addCleanup(self.aws.close)
        self.folder = self.lab.path / self.id().split(".")[-1]
        self.folder.mkdir()

    def options(self):
        return ["--aws-endpoint", self.aws.url, "--aws-metadata", self.cloud.url]

    def scale_options(self, *options, least=1, most=4):
        return [DARKROOM, "scale", self.aws.group, "--server", self.lab.url, "--key-file", self.key, "--least", least,
                "--most", most, *self.options(), *options]

    def run_once(self, *words):
        result = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=DEADLINE_S,
                                check=False)
        return result.returncode, result.stderr + result.stdout

    # ---- scale ----

    def test_a_group_grows_with_the_queue(self):
        program = self.lab.start("scale", self.scale_options("--every", "1", "--target-wait", "1", "--start", "0"))
        wait_until(lambda: self.aws.desired == [1], "the least")
        for _ in range(60):
            self.assertEqual(self.lab.submit(png(), "test-model").status, 202)
        wait_until(lambda: self.aws.desired[-1] == 4, "as many as there may be")
        self.assertEqual(self.aws.refused, [])
        self.assertEqual({members["HonorCooldown"] for _, members in self.aws.calls}, {"false"})
        self.assertIn("scale.set group=darkroom-workers machines=4", program.log)
        self.assertEqual(self.lab.stop("scale"), 0)

    def test_a_group_shrinks_when_fewer_are_wanted_and_stays_when_nobody_knows(self):
        signal = Signal({"wanted": 3})
        self.addCleanup(signal.close)
        program = self.lab.start("scale", self.scale_options("--every", "1", "--down-after", "0", "--server", signal.url))
        wait_until(lambda: self.aws.desired == [3], "three")
        for answer in (None, {"wanted": "0"}):
            signal.answer = answer
            signal.asked = 0
            wait_until(lambda: signal.asked >= 1, "a look")
        self.assertEqual(self.aws.desired, [3])
        signal.answer = {"wanted": 2}
        wait_until(lambda: self.aws.desired[-1] == 2, "two")
        program.wait_for_log("scale.back")
        self.assertEqual((program.log.count("scale.failed"), program.log.count("scale.back")), (1, 1))
        self.assertEqual(self.lab.stop("scale"), 0)

    def test_who_does_not_answer_changes_nothing(self):
        program = self.lab.start("scale", self.scale_options("--every", "1", "--down-after", "0", "--server",
                                                             "http://127.0.0.1:9"))
        program.wait_for_log("scale.failed")
        self.assertEqual(self.aws.desired, [])
        self.assertEqual(self.lab.stop("scale"), 0)
        self.assertEqual(program.log.count("scale.failed"), 1)

    def test_what_is_wrong_is_named(self):
        for words, status, text in (
                (self.scale_options("--once"), 0, "scale.set"),
                (self.scale_options("--once", least=0, most=0), 64, "ValidationError"),
                (self.scale_options("--once", least=5), 64, "--least is more than --most"),
                (self.scale_options("--once", "--model", "nobody's"), 66, "no such model"),
                ([*self.scale_options("--once")[:3], "--once", *self.options()], 64, "--key-file wants")):
            returned, said = self.run_once(*words)
            self.assertEqual(returned, status, said)
            self.assertIn(text, said)

    # ---- secrets ----

    def test_a_secret_becomes_files_that_only_we_can_read(self):
        pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
        self.aws.secrets["darkroom/worker"] = json.dumps({"worker-token": "é" + "t" * 40, "certificate.pem": pem})
        status, said = self.run_once(DARKROOM, "secrets", "darkroom/worker", self.folder, *self.options())
        self.assertEqual((status, self.aws.refused), (0, []), said)
        self.assertNotIn("tttt", said)
        self.assertEqual((self.folder / "worker-token").read_text(), "é" + "t" * 40)
        self.assertEqual((self.folder / "certificate.pem").read_text(), pem)
        self.assertEqual({path.stat().st_mode & 0o777 for path in self.folder.iterdir()}, {0o600})

    def test_a_secret_that_is_none_writes_nothing(self):
        for value, text in (('{"../../etc/passwd": "x"}', "no file's name"), ('{".profile": "x"}', "no file's name"),
                            ('{"a": "x", "b": 1}', "no text"), ("{}", "no object"), ("[]", "no object"), ("hunter2", "JSON")):
            self.aws.secrets["odd"] = value
            status, said = self.run_once(DARKROOM, "secrets", "odd", self.folder, *self.options())
            self.assertIn(status, (64, 65), said)
            self.assertIn(text, said)
            self.assertNotIn("hunter2", said)
            self.assertEqual(list(self.folder.iterdir()), [])

    def test_a_right_or_a_role_that_is_missing_is_named(self):
        self.assertIn("ResourceNotFoundException", self.run_once(DARKROOM, "secrets", "none", self.folder, *self.options())[1])
        self.aws.fails = "AccessDeniedException"
        self.assertIn("AccessDeniedException", self.run_once(DARKROOM, "secrets", "none", self.folder, *self.options())[1])
        del self.cloud.words["iam/security-credentials/"]
        status, said = self.run_once(DARKROOM, "secrets", "none", self.folder, *self.options())
        self.assertEqual((status, "has no role" in said), (77, True), said)


class Store(unittest.TestCase):
    """A dispatcher whose bucket opens to the role of its machine."""

    def setUp(self):
        self.cloud = MetadataServer()
        self.addCleanup(self.cloud.close)
        self.aws = AwsServer(self.cloud)
        self.addCleanup(self.aws.close)
        self.options = ["--store", "s3://lab-objects", "--s3-endpoint", self.aws.url, "--s3-region", "eu-west-1", "--s3-role",
                        self.cloud.url]

    def replace_keys(self):
        self.cloud.credentials = {**self.cloud.credentials, "AccessKeyId": "ASIAEXAMPLE2", "SecretAccessKey": "other/secret+2",
                                  "Token": "another/token=="}

    def test_objects_and_links_are_signed_by_the_role_and_by_its_next_keys(self):
        with Lab(store=self.options) as lab, Hand(lab) as hand:
            self.assertEqual(lab.request("GET", "/readyz").status, 200)
            job = lab.submit(png(), "test-model").json
            [path] = self.aws.objects
            self.assertTrue(path.startswith("/lab-objects/inputs/"), path)
            hand.complete(hand.claim(job), b"a result")
            self.assertEqual(self.result(lab, job), b"a result")
            self.assertEqual(self.aws.refused, [])
            self.replace_keys()
            statuses = []
            wait_until(lambda: statuses.append(lab.submit(png(), "test-model").status) or statuses[-1] == 202, "the next keys")
            self.assertEqual(set(self.aws.refused), {"InvalidClientTokenId"})
            self.assertEqual(set(statuses[:-1]) - {503}, set())
            self.assertEqual(self.result(lab, job), b"a result")

    def result(self, lab, job):
        found = lab.request("GET", f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"])
        self.assertEqual(found.status, 302, found)
        return lab.request("GET", found.headers["Location"]).body

    def test_a_machine_without_a_role_is_refused_at_the_start(self):
        del self.cloud.words["iam/security-credentials/"]
        self.refused("has no role", *self.options[4:], "--store", "s3://lab-objects")

    def test_either_a_file_or_a_role_is_wanted(self):
        self.refused("s3-role", "--store", "s3://lab-objects")

    def refused(self, text, *options):
        with Lab(dispatcher=False) as lab:
            result = subprocess.run([BUILD / "dispatcher" / "darkroom-dispatcher", "--redis", lab.redis_url, "--models", lab.models,
                                     "--secret-file", lab.secret_file, "--worker-token-file", lab.worker_token_file, "--listen",
                                     "127.0.0.1:0", *options], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(text, result.stderr)


if __name__ == "__main__":
    main()
