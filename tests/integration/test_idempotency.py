#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Idempotency-Key: one job for each, whatever dies in between."""
import concurrent.futures
import http.server
import os
import pathlib
import secrets
import signal
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import Hand, Lab, Shared, main, manifest_of, png, wait_until  # noqa: E402

PARAMS = {"type": "object", "additionalProperties": False, "properties": {
    "strength": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5},
    "paper": {"type": "string", "enum": ["white", "cream"], "default": "white"}}}
MODELS = {"test-model": manifest_of("test-model", params=PARAMS),
          "dice": manifest_of("dice", input={"kind": "none"}, params=PARAMS)}
NO_LIMIT = ["--submits-per-minute", "0"]


def with_key(key):
    return {"Idempotency-Key": key}


def throw(lab, key, port=None, token=None, **params):
    """A submission of the model that takes no picture."""
    return lab.request("POST", "/v1/jobs", {"model": "dice", "params": params}, with_key(key), token, port)


def held(lab):
    """What is held under idempotency keys: {key: value}."""
    return {name: lab.redis_cli("GET", name) for name in lab.redis_cli("KEYS", "*idem:*").splitlines()}


def claims(lab, model):
    """Every job that waits, by claiming them all."""
    with Hand(lab, model=model) as hand:
        return [claimed["public_id"] for claimed in iter(hand.claim, None)]


class Keys(Shared):
    options = NO_LIMIT
    models = MODELS

    def same(self, first, second):
        self.assertEqual((first.status, second.status), (202, 202), second)
        for member in ("id", "model", "tokens", "links", "created_at"):
            self.assertEqual(first.json[member], second.json[member])
        self.assertEqual(first.headers["Location"], second.headers["Location"])
        self.assertIsNone(first.headers["Idempotency-Replayed"])
        self.assertEqual(second.headers["Idempotency-Replayed"], "true")

    def test_the_same_key_and_body_is_the_same_job(self):
        key, before = secrets.token_hex(8), len(self.lab.stored("inputs/"))
        first = self.lab.submit(png(), headers=with_key(key), params={"paper": "cream", "strength": 0.5})
        # Members in another order, defaults spelt out or not, quotes around the key as in the draft.
        second = self.lab.submit(png(), headers=with_key(f'"{key}"'), params={"paper": "cream"})
        self.same(first, second)
        # The same job in another form.
        third = self.lab.submit_form([("params", '{"paper": "cream"}'), ("input", png(), "b.png"),
                                      ("model", "test-model")], headers=with_key(key))
        self.same(first, third)
        self.assertEqual(len(self.lab.stored("inputs/")), before + 1)
        self.same(throw(self.lab, key + "dice"), throw(self.lab, key + "dice"))

    def test_another_body_is_refused(self):
        key = secrets.token_hex(8)
        first = self.lab.submit(png(), headers=with_key(key), email="a@example.org",
                                crop={"x": 0, "y": 0, "width": 8, "height": 8})
        self.assertEqual(first.status, 202)
        good = {"email": "a@example.org", "crop": {"x": 0, "y": 0, "width": 8, "height": 8}}
        for picture, members in ((png(color=(1, 2, 3)), good), (png(), {}),
                                 (png(), {**good, "email": "b@example.org"}),
                                 (png(), {**good, "params": {"strength": 0.25}}),
                                 (png(), {**good, "crop": {"x": 1, "y": 0, "width": 8, "height": 8}})):
            answer = self.lab.submit(picture, headers=with_key(key), **members)
            self.refused(answer, 422, "key-reused", field="Idempotency-Key")
        self.refused(throw(self.lab, key), 422, "key-reused")
        self.assertEqual(self.lab.submit(png(), headers=with_key(key), **good).json["id"], first.json["id"])

    def test_a_key_is_its_flows_own(self):
        key, one, two = secrets.token_hex(8), self.lab.key(), self.lab.key()
        ids = {throw(self.lab, key, token=token).json["id"] for token in (None, one["key"], two["key"])}
        self.assertEqual(len(ids), 3)
        other = self.lab.key("--account", one["account"])
        self.assertIn(throw(self.lab, key, token=other["key"]).json["id"], ids)

    def test_what_is_no_key_is_refused(self):
        for bad in ("", '""', "x" * 256, '"' + "x" * 256 + '"', "caf\u00e9", "a\tb", "a\x7fb"):
            answer = self.lab.request("POST", "/v1/jobs", {"model": "dice"},
                                      {"Idempotency-Key": bad.encode("latin-1")})
            self.refused(answer, 400, "malformed", field="Idempotency-Key")
        self.assertEqual(throw(self.lab, "x" * 255).status, 202)
        self.assertEqual(throw(self.lab, "8e03978e-40d5-43e8-bc93-6894a57f9324 $(rm) {q:00} \\").status, 202)

    def test_a_refused_job_does_not_use_up_its_key(self):
        key = secrets.token_hex(8)
        self.assertEqual(throw(self.lab, key, strength=7).status, 422)
        self.assertEqual(self.lab.submit(b"no picture", headers=with_key(key)).status, 422)
        self.assertIsNone(throw(self.lab, key).headers["Idempotency-Replayed"])

    def test_while_another_request_is_at_work_it_is_a_conflict(self):
        key = secrets.token_hex(8)
        self.assertEqual(throw(self.lab, key).status, 202)
        name, value = next((n, v) for n, v in held(self.lab).items() if n.endswith(self.hash(key)))
        self.lab.redis_cli("SET", name, "R00" + "ab" * 16 + value[35:], "PX", 60000)
        answer = throw(self.lab, key)
        self.refused(answer, 409, "in-flight", field="Idempotency-Key")
        self.assertEqual(answer.headers["Retry-After"], "1")
        self.refused(throw(self.lab, key, strength=1), 422, "key-reused")
        self.lab.redis_cli("PEXPIRE", name, 1)
        wait_until(lambda: throw(self.lab, key).status == 202, "the reservation to run out")

    @staticmethod
    def hash(key):
        import hashlib
        return hashlib.sha256(key.encode()).hexdigest()[:32]

    def test_a_deleted_job_stays_deleted(self):
        key = secrets.token_hex(8)
        job = throw(self.lab, key).json
        self.lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
        self.refused(throw(self.lab, key), 409, "conflict", field="Idempotency-Key")

    def test_the_job_is_shown_as_it_is_now(self):
        key = secrets.token_hex(8)
        job = throw(self.lab, key).json
        self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
        answer = throw(self.lab, key)
        self.assertEqual((answer.status, answer.json["state"]), (202, "cancelled"))

    def test_something_else_under_the_key_is_an_error_for_this_job_only(self):
        keys = [secrets.token_hex(8) for _ in range(8)]
        for i, key in enumerate(keys):
            throw(self.lab, key)
            name = next(n for n in held(self.lab) if n.endswith(self.hash(key)))
            self.lab.redis_cli("DEL", name)
            if i % 2:
                self.lab.redis_cli(*(("LPUSH", name, "x") if i % 4 == 1 else ("SET", name, "Dnonsense")))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda key: throw(self.lab, key), keys))
        self.assertEqual([answer.status for answer in answers], [202, 503] * 4)
        self.assertEqual(self.lab.submit(headers=with_key(keys[1])).status, 503)
        self.lab.programs["dispatcher"].wait_for_log("idempotency.unreadable")


class Many(Shared):
    options = NO_LIMIT
    models = MODELS

    def test_of_many_at_once_over_two_dispatchers_one_makes_the_job(self):
        ports = [self.lab.port, self.lab.dispatcher_start(name="second").port]
        for submit, model in ((lambda i, key: throw(self.lab, key, ports[i % 2]), "dice"),
                              (lambda i, key: self.lab.submit(headers=with_key(key), port=ports[i % 2]),
                               "test-model")):
            for _ in range(5):
                key = secrets.token_hex(8)
                with concurrent.futures.ThreadPoolExecutor(16) as pool:
                    answers = list(pool.map(lambda i, s=submit, k=key: s(i, k), range(32)))
                statuses = [answer.status for answer in answers]
                self.assertEqual(set(statuses) - {202, 409}, set(), statuses)
                ids = {answer.json["id"] for answer in answers if answer.status == 202}
                self.assertEqual(len(ids), 1)
                self.assertEqual(claims(self.lab, model), list(ids))
        wait_until(lambda: len(self.lab.stored("inputs/")) <= 5, "no input of a job that is none")

    def test_a_full_queue_still_answers_for_what_it_has(self):
        with Lab(models=MODELS, dispatcher_options=[*NO_LIMIT, "--max-flow-queued", "1"]) as lab:
            first = throw(lab, "one")
            self.assertEqual(throw(lab, "two").code, "rate-limited")
            self.assertEqual(throw(lab, "one").json["id"], first.json["id"])
            self.assertEqual(lab.submit(headers=with_key("picture")).status, 202)
            for _ in range(2): # refused, so not held either
                self.assertEqual(lab.submit(headers=with_key("three")).code, "rate-limited")


class HangingStore(http.server.BaseHTTPRequestHandler):
    """An object store that takes a picture in and does not answer before it is told."""
    protocol_version = "HTTP/1.1"
    go, arrived = threading.Event(), threading.Event()

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "PUT":
            self.arrived.set()
            self.go.wait(30)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = answer

    def log_message(self, *_):
        pass


class Deaths(Shared):
    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HangingStore)
        cls.server.daemon_threads = True
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.lab = Lab(models=MODELS, dispatcher_options=NO_LIMIT)
        keys = cls.lab.path / "s3-keys"
        keys.touch(mode=0o600)
        keys.write_text("access\nsecret\n")
        cls.hanging = ["--store", "s3://bucket", "--s3-credentials-file", keys,
                       "--s3-endpoint", f"http://127.0.0.1:{cls.server.server_port}"]

    @classmethod
    def tearDownClass(cls):
        HangingStore.go.set()
        super().tearDownClass()
        cls.server.shutdown()

    def hang(self, key):
        """A submission that has reserved its key and now waits for the store."""
        HangingStore.go.clear()
        HangingStore.arrived.clear()
        slow = self.lab.dispatcher_start(*self.hanging, name="slow")
        pool = concurrent.futures.ThreadPoolExecutor(1)
        answer = pool.submit(lambda: self.lab.submit(headers=with_key(key), port=slow.port))
        assert HangingStore.arrived.wait(30)
        pool.shutdown(wait=False)
        return slow, answer

    def test_a_dispatcher_killed_while_it_stores_leaves_a_reservation_that_runs_out(self):
        slow, answer = self.hang("killed")
        os.kill(slow.pid, signal.SIGKILL)
        slow.process.wait()
        self.lab.programs.pop("slow").log_file.close()
        HangingStore.go.set()
        self.assertIsNotNone(answer.exception(30))
        self.assertEqual(self.lab.submit(headers=with_key("killed")).code, "in-flight")
        name, _ = next((n, v) for n, v in held(self.lab).items() if v.startswith("R"))
        self.assertLessEqual(int(self.lab.redis_cli("PTTL", name)), 30000)
        self.lab.redis_cli("PEXPIRE", name, 1)
        first = wait_until(lambda: (a := self.lab.submit(headers=with_key("killed"))).status == 202 and a,
                           "the next one makes the job")
        self.assertEqual(self.lab.submit(headers=with_key("killed")).json["id"], first.json["id"])
        self.assertEqual(claims(self.lab, "test-model"), [first.json["id"]])
        self.lab.redis_cli("DEL", name)

    def test_who_comes_too_late_gets_the_others_job(self):
        _, late = self.hang("late")
        name, value = next((n, v) for n, v in held(self.lab).items() if v.startswith("R"))
        self.lab.redis_cli("PEXPIRE", name, 1)
        first = wait_until(lambda: (a := self.lab.submit(headers=with_key("late"))).status == 202 and a,
                           "the next one makes the job")
        HangingStore.go.set()
        answer = late.result(30)
        self.assertEqual((answer.status, answer.json["id"]), (202, first.json["id"]))
        self.assertEqual(answer.headers["Idempotency-Replayed"], "true")
        self.assertNotIn(first.json["id"], value)
        self.assertEqual(claims(self.lab, "test-model"), [first.json["id"]])
        self.lab.stop("slow")
        self.lab.redis_cli("DEL", name)

    def test_keys_outlive_a_restart(self):
        first, picture = throw(self.lab, "restart"), self.lab.submit(headers=with_key("restart-picture"))
        self.lab.stop("dispatcher", signal.SIGTERM)
        self.lab.dispatcher_start()
        self.assertEqual(throw(self.lab, "restart").json, first.json)
        self.assertEqual(self.lab.submit(headers=with_key("restart-picture")).json["id"], picture.json["id"])
        self.assertEqual(claims(self.lab, "dice"), [first.json["id"]])
        self.assertEqual(claims(self.lab, "test-model"), [picture.json["id"]])

    def test_a_lost_answer_is_found_again(self):
        with Lab(models=MODELS, dispatcher_options=[*NO_LIMIT, "--redis-timeout-ms", "300"]) as lab:
            redis = lab.programs["redis"]
            wait_until(lambda: lab.get("/readyz").status == 200, "ready")
            os.kill(redis.pid, signal.SIGSTOP)
            try:
                self.assertEqual(throw(lab, "lost").status, 503)
            finally:
                os.kill(redis.pid, signal.SIGCONT)
            again = wait_until(lambda: (a := throw(lab, "lost")).status == 202 and a, "202")
            self.assertEqual(throw(lab, "lost").json["id"], again.json["id"])
            self.assertNotIn("job.disowned", lab.programs["dispatcher"].log)
            self.assertEqual(claims(lab, "dice"), [again.json["id"]])

    def test_a_store_that_fails_gives_the_key_back_at_once(self):
        (self.lab.objects / "inputs").rename(self.lab.objects / "elsewhere") if (
            self.lab.objects / "inputs").exists() else None
        (self.lab.objects / "inputs").write_text("no folder")
        try:
            self.assertEqual(self.lab.submit(headers=with_key("broken store")).status, 503)
        finally:
            (self.lab.objects / "inputs").unlink()
        answer = wait_until(lambda: (a := self.lab.submit(headers=with_key("broken store"))).status == 202 and a,
                            "202", 5)
        self.assertIsNone(answer.headers["Idempotency-Replayed"])
        self.lab.request("DELETE", f"/v1/jobs/{answer.json['id']}", token=answer.json["tokens"]["delete"])


if __name__ == "__main__":
    main()
