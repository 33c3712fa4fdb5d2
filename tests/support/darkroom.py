# SPDX-License-Identifier: MIT
"""A Darkroom of one's own for tests: redis-server, dispatcher, worker, notifier on loopback.

    from darkroom import Lab, main

    class Submit(unittest.TestCase):
        def test_a_job_is_accepted(self):
            with Lab() as lab:
                job = lab.submit("picture.png").json
                ...

    if __name__ == "__main__":
        main()

Each answer is held against /openapi.json (described.py).

Everything lives in one temporary directory, listens on a unix socket or a port that the kernel
chose, and is stopped by its process id when the Lab ends. Nothing sleeps for a fixed time:
wait_until() polls with a deadline. A failed test shows the programs' logs. Output is TAP.
"""
import base64
import http.client
import json
import os
import pathlib
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import redis_program  # noqa: E402,F401
from described import Description  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("DARKROOM_BUILD", ROOT / "build")).resolve()
WEB = BUILD / "dispatcher" / "web"  # for --web
# Sanitizer builds and busy machines are slow; a deadline only ends what would never happen.
DEADLINE_S = float(os.environ.get("DARKROOM_TEST_DEADLINE", "30"))


def wait_until(condition, what="the condition", deadline_s=None):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + (deadline_s or DEADLINE_S)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true in time")
        time.sleep(0.01)


def png(width=16, height=16, color=(200, 100, 50)):
    """A small valid PNG of one colour."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    rows = b"".join(b"\0" + bytes(color) * width for _ in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def data_url(data, kind="image/png"):
    return f"data:{kind};base64," + base64.b64encode(data).decode()


def multipart(parts, boundary="darkroom-test-boundary"):
    """(content type, body) of a form; parts: (name, bytes or str[, file name])."""
    out = b""
    for name, value, *file_name in parts:
        value = value if isinstance(value, bytes) else value.encode()
        disposition = f'form-data; name="{name}"'
        if file_name:
            disposition += f'; filename="{file_name[0]}"'
        out += (f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n").encode() + value + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", out + f"--{boundary}--\r\n".encode()


class Response:
    """What a server answered. `json` is the parsed body; `problem` checks that it is one."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def problem(self):
        assert self.headers.get("Content-Type") == "application/problem+json", (self.status, self.body)
        document = self.json
        assert document["status"] == self.status and document["type"].startswith("/problems/"), document
        return document

    @property
    def code(self):
        return self.problem["type"].removeprefix("/problems/")

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Program:
    """One child process whose log goes to a file. `environment` is added to ours."""

    def __init__(self, lab, name, arguments, environment=None):
        self.name = name
        self.log_path = lab.path / f"{name}.log"
        # A program of this name may have run before; its lines are not ours.
        self.log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        self.log_file = open(self.log_path, "ab")
        self.process = subprocess.Popen([str(a) for a in arguments], stdin=subprocess.DEVNULL,
                                        stdout=self.log_file, stderr=self.log_file,
                                        env={**os.environ, **(environment or {})})

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        with open(self.log_path, "rb") as file:
            file.seek(self.log_start)
            return file.read().decode(errors="replace")

    def running(self):
        return self.process.poll() is None

    def wait_for_log(self, text, start=0):
        def seen():
            if text in self.log[start:]:
                return True
            assert self.running(), f"{self.name} ended with {self.process.returncode}:\n{self.log}"
            return False
        wait_until(seen, f"'{text}' in {self.name}'s log")

    def stop(self, with_signal=signal.SIGTERM):
        """Returns the exit status; a program that does not end in time is killed and a failure."""
        if self.running():
            self.process.send_signal(with_signal)
        try:
            return self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end:\n{self.log}") from None
        finally:
            self.log_file.close()


class Lab:
    """Starts redis-server and a dispatcher; worker(), notifier() and so on add the rest.

    models: a folder of manifests, or a dict name → manifest to be written into one. Without it one
    model "test-model" without weights is served, enough for everything but a worker.
    dispatcher=False leaves the dispatcher to dispatcher_start().
    redis: a Cluster or Sentinels of redis_fleet.py instead of one redis-server; it stays its owner's.
    """

    host = "127.0.0.1"  # where the dispatcher of request() is

    def __init__(self, models=None, dispatcher_options=(), dispatcher=True, store=None, redis=None):
        if not shutil.which("redis-server"):
            raise unittest.SkipTest("redis-server is not installed")
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="darkroom-test-"))
        self.programs = {}
        self.port = 0
        self.models = self.path / "models"
        if isinstance(models, (str, pathlib.Path)):
            self.models = pathlib.Path(models)
        else:
            self.models.mkdir()
            for name, manifest in (models or {"test-model": manifest_of("test-model")}).items():
                (self.models / f"{name}.json").write_text(json.dumps(manifest))
        self.secret_file = self._secret("secret")
        self.worker_token_file = self._secret("worker-token")
        self.worker_token = self.worker_token_file.read_text().strip()
        self.redis_socket = self.path / "redis.sock"
        self.fleet = redis
        self.redis_url = redis.url if redis else f"unix:{self.redis_socket}"
        self.objects = self.path / "objects"
        self.store_options = store or ["--store", f"local:{self.objects}"]
        self.outbox = self.path / "outbox"
        (self.path / "redis").mkdir()
        self.default_options = list(dispatcher_options)
        try:
            if not redis:
                self.redis_start()
            if dispatcher:
                self.dispatcher_start()
        except BaseException:
            self.close()
            raise

    def _secret(self, name):
        path = self.path / name
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32) + "\n")
        return path

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and kind is not unittest.SkipTest:
            for program in self.programs.values():
                print(f"# ---- {program.name}", *program.log.splitlines()[-30:], sep="\n# ")
        failures = self.close()
        if kind is None and failures:
            raise AssertionError("; ".join(failures))

    def close(self):
        """Ends everything; returns what did not end well (a sanitizer's report among it)."""
        failures = []
        for name in reversed(list(self.programs)):
            try:
                status = self.stop(name)
                if status != 0 and not name.startswith("redis"):
                    failures.append(f"{name} ended with {status}")
            except AssertionError as failure:
                failures.append(str(failure))
        shutil.rmtree(self.path, ignore_errors=True)
        return failures

    # ---- programs ----

    def start(self, name, arguments, environment=None):
        assert name not in self.programs, name
        self.programs[name] = Program(self, name, arguments, environment)
        return self.programs[name]

    def stop(self, name, with_signal=signal.SIGTERM):
        program = self.programs.pop(name)
        status = program.stop(with_signal)
        if "ERROR: AddressSanitizer" in program.log or "runtime error:" in program.log:
            raise AssertionError(f"{name}: {program.log}")
        return status

    def redis_start(self, *options):
        """Starts on what was there before: AOF, every write synced."""
        redis = self.start("redis", [
            "redis-server", "--port", "0", "--unixsocket", self.redis_socket, "--unixsocketperm", "700",
            "--dir", self.path / "redis", "--appendonly", "yes", "--appendfsync", "always", "--save", "",
            "--maxmemory-policy", "noeviction", *options])

        def answers():
            assert redis.running(), redis.log
            return self.redis_cli("ping", check=False) == "PONG"
        wait_until(answers, "redis answers")
        return redis

    def redis_cli(self, *arguments, check=True):
        if self.fleet:
            key = next((word for word in arguments if str(word).startswith("{")), "{q:00}")
            return self.fleet.cli(key, *arguments, check=check)
        result = subprocess.run(["redis-cli", "-s", str(self.redis_socket), *map(str, arguments)],
                                capture_output=True, text=True, check=check)
        return result.stdout.strip()

    def dispatcher_start(self, *options, name="dispatcher", environment=None):
        """Listens on the port of before, if there was one, so that links stay right."""
        port_file = self.path / f"{name}.port"
        port_file.unlink(missing_ok=True)
        port = self.port if name == "dispatcher" else 0
        program = self.start(name, [
            BUILD / "dispatcher" / "darkroom-dispatcher", "--listen", f"127.0.0.1:{port}",
            "--port-file", port_file, "--redis", self.redis_url, "--models", self.models,
            "--secret-file", self.secret_file, "--worker-token-file", self.worker_token_file,
            *self.store_options, *self.default_options, *options], environment)
        program.wait_for_log("dispatcher.ready")
        program.port = int(port_file.read_text())
        if name == "dispatcher":
            self.port = program.port
        return program

    def worker_start(self, *options, name="worker", environment=None):
        program = self.start(name, [
            BUILD / "worker" / "darkroom-worker", "--redis", self.redis_url, "--dispatcher", self.url,
            "--models", self.models, "--worker-token-file", self.worker_token_file, *options], environment)
        program.wait_for_log("worker.ready")
        return program

    def notifier_start(self, *options, name="notifier"):
        """Without --smtp among the options mails go to self.outbox."""
        outbox = [] if "--smtp" in options else ["--outbox", self.outbox]
        program = self.start(name, [
            BUILD / "dispatcher" / "darkroom-notifier", "--redis", self.redis_url, "--public-url", self.url,
            "--models", self.models, "--secret-file", self.secret_file,
            "--mail-from", "darkroom@example.org", *outbox, *options])
        program.wait_for_log("notifier.ready")
        return program

    def stored(self, part=""):
        """The objects in the local store whose key contains `part`. The store removes folders that
        became empty meanwhile, which os.walk() forgives and pathlib does not."""
        files = [pathlib.Path(folder) / name for folder, _, names in os.walk(self.objects) for name in names]
        return [path for path in files if part in path.relative_to(self.objects).as_posix()]

    def trash_due(self):
        """Time passes: objects that outlive their use for a while are to be deleted now."""
        self.redis_cli("eval", "for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do "
                       "redis.call('ZADD', KEYS[1], 0, key) end", 1, "{q:00}trash")

    # ---- HTTP ----

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def request(self, method, target, body=None, headers=None, token=None, port=None):
        """One request. `target` is a path or a URL of ours; a dict as body is sent as JSON."""
        if target.startswith("http"):
            parsed = urllib.parse.urlsplit(target)
            port = parsed.port
            target = parsed.path + (f"?{parsed.query}" if parsed.query else "")
        headers = dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection(self.host, port or self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, target, body=body, headers=headers)
            response = connection.getresponse()
            answer = Response(response.status, response.headers, response.read())
        finally:
            connection.close()
        description = Description.of_build(BUILD)
        if description:
            description.check(method, target, answer)
        return answer

    def get(self, target, **more):
        return self.request("GET", target, **more)

    def submit(self, picture=None, model="test-model", token=None, headers=None, port=None, **members):
        """POST /v1/jobs as JSON. `picture`: bytes, a path, or None for a small PNG."""
        if isinstance(picture, (str, pathlib.Path)):
            picture = pathlib.Path(picture).read_bytes()
        members.setdefault("input", data_url(picture if picture is not None else png()))
        return self.request("POST", "/v1/jobs", {"model": model, **members}, headers, token, port)

    def keys(self, *arguments, check=True):
        """darkroom keys …; what it printed on standard output."""
        return subprocess.run([str(BUILD / "dispatcher" / "darkroom"), "keys", *map(str, arguments),
                               "--redis", self.redis_url], capture_output=True, text=True,
                              check=check).stdout.strip()

    def key(self, *options):
        """A new API key: a dict with key, id, account and so on."""
        return json.loads(self.keys("create", "--json", *options))

    def submit_form(self, parts, headers=None, **more):
        kind, body = multipart(parts)
        return self.request("POST", "/v1/jobs", body, {"Content-Type": kind, **(headers or {})}, **more)

    def job(self, job):
        """The current resource of a job that submit() gave."""
        return self.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"]).json

    def wait_for_state(self, job, *states, deadline_s=None):
        return wait_until(lambda: (lambda now: now if now["state"] in states else None)(self.job(job)),
                          f"a state of {states}", deadline_s)

    def events(self, job, headers=None, token=None):
        """Yields (event, id, data) of the job's stream until it ends; comments as (None, None, text)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        token = token or job["tokens"]["view"]
        connection.request("GET", f"/v1/jobs/{job['id']}/events?token={token}", headers=headers or {})
        response = connection.getresponse()
        assert response.status == 200, (response.status, response.read())
        try:
            fields = {}
            for line in response:
                line = line.decode().rstrip("\n")
                if line.startswith(":"):
                    yield None, None, line[1:].strip()
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    yield fields.get("event"), fields.get("id"), json.loads(fields["data"])
                    fields = {}
        finally:
            connection.close()


class Hand:
    """A worker by hand (tests/support/hand.c): hand.claim() → Claimed or None, and so on."""

    def __init__(self, lab, model="test-model", lease_ms=30000, shard=0):
        program = BUILD / "tests" / "integration" / "hand"
        self.lab, self.shard = lab, shard
        self.process = subprocess.Popen([str(program), lab.redis_url, str(lease_ms), model, str(shard)],
                                        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.worker = self._tell("hello")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(DEADLINE_S)
        self.process.stdout.close()

    def _tell(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer, "the hand fell off"
        return answer

    def claim(self, job=None):
        """A dict with id, epoch, public_id, spec; or None. Given a job, fails what comes before it."""
        while (answer := self._tell("claim")) != "none":
            small, epoch, public_id, spec = answer.split(" ", 3)
            claimed = {"id": int(small), "epoch": int(epoch), "public_id": public_id, "spec": json.loads(spec)}
            if job is None or job["id"] == public_id:
                return claimed
            self.fail(claimed)
        return None

    def progress(self, job, permille):
        return self._tell("progress", job["id"], job["epoch"], permille)

    def fail(self, job, detail="broken"):
        return self._tell("fail", job["id"], job["epoch"], detail)

    def retry(self, job):
        return self._tell("retry", job["id"], job["epoch"], "later")

    def grant(self, job):
        """POST /v1/grants for one claimed job."""
        answer = self.lab.request("POST", "/v1/grants", token=self.lab.worker_token, body={
            "worker": self.worker, "shard": self.shard, "jobs": [{"id": job["id"], "epoch": job["epoch"]}]})
        assert answer.status == 200, answer
        return answer.json["grants"][0]

    def complete(self, job, result=None):
        """Uploads and completes as a worker does."""
        result = result if result is not None else png(8, 8)
        grant = self.grant(job)
        answer = self.lab.request("PUT", grant["put"], result, grant["put_headers"])
        assert answer.status == 200, answer
        return self._tell("complete", job["id"], job["epoch"], job["public_id"], len(result))


def manifest_of(name, **members):
    """A valid manifest without weights behind it."""
    manifest = {
        "name": name, "title": "A model for tests", "description": "Makes nothing.",
        "architecture": "ugatit", "variant": "pytorch", "weights": {"file": f"{name}.safetensors"},
        "input": {"kind": "image", "max_bytes": 10000000, "max_megapixels": 50, "size": 256},
        "params": {"type": "object", "properties": {}, "additionalProperties": False},
        "output": {"kind": "image", "content_type": "image/png"}, "batch": {"max": 1}, "cost_ms": 300,
        "max_attempts": 3, "retry": {"backoff_ms": 50}, "timeout_ms": 60000, "license": "MIT",
        "training": "None."}
    manifest.update(members)
    return manifest


class Shared(unittest.TestCase):
    """Tests that leave the Lab as it was share one: self.lab."""
    options = ()
    models = None

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(dispatcher_options=cls.options, models=cls.models)

    @classmethod
    def tearDownClass(cls):
        failures = cls.lab.close()
        assert not failures, failures

    def refused(self, response, status, code, field=None, limit=None, says=None):
        self.assertEqual((response.status, response.code), (status, code), response)
        if field is not None:
            self.assertEqual(response.problem.get("field"), field, response)
        if limit is not None:
            self.assertEqual(response.problem.get("limit"), limit, response)
        if says is not None:
            self.assertIn(says, response.problem.get("detail", ""), response)

    def nothing_stored(self):
        wait_until(lambda: not self.lab.stored("inputs/"), "no input left behind")


class TapResult(unittest.TestResult):
    """Prints one TAP line for each test."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def _line(self, word, test, suffix=""):
        self.count += 1
        print(f"{word} {self.count} - {test.id().split('.', 1)[-1]}{suffix}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line("ok", test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(subtest, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line("ok", test, f" # SKIP {reason}")

    def _failed(self, test, err):
        print("# " + self._exc_info_to_string(err, test).replace("\n", "\n# "))
        self._line("not ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._failed(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._failed(test, err)


def main():
    """Runs the tests of the calling module, or those named on the command line, as TAP."""
    loader = unittest.defaultTestLoader
    names = [name for name in sys.argv[1:] if not name.startswith("-")]
    suite = (loader.loadTestsFromNames(names, sys.modules["__main__"]) if names
             else loader.loadTestsFromModule(sys.modules["__main__"]))
    result = TapResult()
    suite.run(result)
    print(f"1..{result.count}", flush=True)
    sys.exit(0 if result.wasSuccessful() else 1)
