#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command line against a server that answers whatever a test wants: refusals, dropped streams,
hostile texts. What it does against the real dispatcher is in test_visitor.py."""
import email
import email.policy
import http.server
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, DEADLINE_S, main, png, wait_until  # noqa: E402

DARKROOM = BUILD / "dispatcher" / "darkroom"
ID = "00" + "0123456789abcdef" * 2
TOKENS = {"view": "VIEWVIEWVIEWVIEWVIEW00", "manage": "MANAGEMANAGEMANAGE0000",
          "delete": "DELETEDELETEDELETE0000"}


def job(state="queued", **members):
    resource = {"id": ID, "model": "test-model", "state": state, "position": None, "eta_seconds": None,
                "progress": 0.0, "attempts": 0, "created_at": "2026-11-21T12:00:00.000Z",
                "updated_at": "2026-11-21T12:00:00.000Z", "error": None, "result": None,
                "links": {"page": f"http://127.0.0.1/j/{ID}?token=VIEW"}}
    resource.update(members)
    return resource


def problem(status, code, **members):
    return (status, {"Content-Type": "application/problem+json"},
            json.dumps({"type": f"/problems/{code}", "title": code, "status": status, **members}))


class Stub:
    """Answers each request by calling answer(request) → (status, headers, body) or a generator of
    pieces, and remembers what was asked."""

    def __init__(self, answer):
        stub = self
        self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                self.body = self.rfile.read(length)
                # A kept connection has one handler for all its requests.
                request = types.SimpleNamespace(command=self.command, path=self.path,
                                                headers=self.headers, body=self.body)
                stub.requests.append(request)
                status, headers, body = answer(request)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if isinstance(body, str):
                    body = body.encode()
                if isinstance(body, bytes):
                    if "Content-Length" not in headers:
                        self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    if "Content-Length" in headers:
                        self.close_connection = True
                else:
                    self.send_header("Connection", "close")
                    self.end_headers()
                    self.close_connection = True
                    try:
                        for piece in body:
                            self.wfile.write(piece.encode())
                            self.wfile.flush()
                    except BrokenPipeError:
                        pass

            do_GET = do_POST = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02},
                         daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def accepted():
    return 202, {"Content-Type": "application/json"}, json.dumps({**job(position=3, eta_seconds=9),
                                                                  "tokens": TOKENS})


def event(resource, number=1):
    return f"id: {number}-0\nevent: job\ndata: {json.dumps(resource)}\n\n"


class CliTest(unittest.TestCase):
    def setUp(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="darkroom-cli-"))
        self.picture = self.path / "a secret name.png"
        self.picture.write_bytes(png())
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.path),
                            "XDG_STATE_HOME": str(self.path / "state")}
        self.environment.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})
        self.state_file = self.path / "state" / "darkroom" / "jobs.json"
        self.stub = None

    def tearDown(self):
        if self.stub:
            self.stub.close()
        shutil.rmtree(self.path)

    def serve(self, answer):
        self.stub = Stub(answer)
        self.environment["DARKROOM_SERVER"] = self.stub.url

    def run_cli(self, *words, status=0):
        done = subprocess.run([DARKROOM, *map(str, words)], env=self.environment, capture_output=True,
                              text=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, status, done)
        return done

    def token(self, text):
        path = self.path / "token"
        path.touch(mode=0o600)
        path.write_text(text + "\n")
        return path

    def submit(self, *words, status=0):
        return self.run_cli("submit", self.picture, "--model", "test-model", *words, status=status)

    def remember_a_job(self):
        self.serve(lambda request: accepted())
        self.submit()
        self.stub.close()

    # ---- submit ----

    def test_the_form_holds_what_was_asked_and_not_the_files_name(self):
        self.serve(lambda request: accepted())
        self.submit("--email", "a@b.example", "--crop", "1,2,3,4", "--param", "strength=0.5",
                    "-p", "style=ink", "-p", "n=3", "-p", "on=true", "-p", "quoted=\"7\"")
        request = self.stub.requests[0]
        self.assertEqual((request.command, request.path), ("POST", "/v1/jobs"))
        head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
        form = email.message_from_bytes(head + request.body, policy=email.policy.HTTP)
        parts = {part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
                 for part in form.iter_parts()}
        self.assertEqual(parts["model"], b"test-model")
        self.assertEqual(parts["email"], b"a@b.example")
        self.assertEqual(parts["crop"], b"1,2,3,4")
        self.assertEqual(json.loads(parts["params"]),
                         {"strength": 0.5, "style": "ink", "n": 3, "on": True, "quoted": "7"})
        self.assertEqual(parts["input"], png())
        self.assertNotIn(b"secret", request.body)

    def test_a_model_without_a_picture_gets_parameters_alone(self):
        self.serve(lambda request: accepted())
        self.run_cli("submit", "--model", "digits", "--param", "seed=7")
        body = self.stub.requests[0].body
        self.assertIn(b'{"seed":7}', body)
        self.assertNotIn(b'name="input"', body)
        self.assertNotIn("Idempotency-Key", self.stub.requests[0].headers)

    def test_an_idempotency_key_is_sent_as_it_is_or_refused(self):
        self.serve(lambda request: accepted())
        self.submit("--idempotency-key", "order 17")
        self.assertEqual(self.stub.requests[0].headers["Idempotency-Key"], "order 17")
        for bad in ("", "a\nX-Evil: 1", "a\r\nb", "\x7f", "caf\u00e9", "x" * 256):
            self.submit("--idempotency-key", bad, status=64)
        self.assertEqual(len(self.stub.requests), 1)

    def test_submit_says_where_the_job_stands(self):
        self.serve(lambda request: accepted())
        done = self.submit()
        self.assertIn(ID, done.stdout)
        self.assertIn("Waiting: 3 before it, about 9 s", done.stdout)
        self.assertIn(f"/j/{ID}?token=VIEW", done.stdout)

    def test_json_is_what_the_server_said_and_nothing_else(self):
        self.serve(lambda request: accepted())
        done = self.submit("--json")
        self.assertEqual(json.loads(done.stdout)["tokens"], TOKENS)
        self.assertEqual(done.stderr, "")

    def test_bad_usage_ends_before_anything_is_sent(self):
        self.serve(lambda request: accepted())
        self.run_cli(status=64)
        self.run_cli("nonsense", status=64)
        self.run_cli("submit", status=64)
        self.run_cli("submit", self.picture, status=64)
        self.run_cli("submit", self.picture, self.picture, "--model", "m", status=64)
        self.submit("--param", "noequals", status=64)
        self.submit("--param", "a=1", "--param", "a=2", status=64)
        self.submit("--param", "=1", status=64)
        self.submit("--unknown", status=64)
        self.submit("--server", "ftp://127.0.0.1", status=64)
        self.run_cli("submit", self.path / "none.png", "--model", "m", status=66)
        self.run_cli("get", "../../etc/passwd", status=66)
        self.run_cli("get", "../../etc/passwd", "--token-file", self.token("T"), status=66)
        self.assertEqual(self.stub.requests, [])

    def test_a_refusal_is_one_line_with_field_and_limit_and_its_own_status(self):
        cases = [
            (problem(422, "invalid", detail="the crop reaches outside the picture", field="crop",
                     limit=512), 65, "crop", "512"),
            (problem(400, "malformed", detail="the form is cut off"), 65, "cut off", ""),
            (problem(413, "too-large", detail="more than is taken", field="input", limit=1000), 65,
             "input", "1000"),
            (problem(401, "unauthorized"), 77, "unauthorized", ""),
            (problem(403, "forbidden", detail="a token without this right"), 77, "right", ""),
            (problem(404, "not-found", detail="no such job"), 66, "no such job", ""),
            (problem(409, "conflict", detail="not ready"), 75, "not ready", ""),
            (problem(503, "unavailable", detail="Redis is away"), 69, "Redis is away", ""),
        ]
        answers = iter([case[0] for case in cases])
        self.serve(lambda request: next(answers))
        for _, status, *texts in cases:
            done = self.submit(status=status)
            self.assertEqual(done.stdout, "")
            lines = done.stderr.splitlines()
            self.assertTrue(lines[-1].startswith("darkroom: "), lines)
            self.assertEqual(sum(line.startswith("darkroom:") for line in lines), 1)
            for text in texts:
                self.assertIn(text, lines[-1])
        self.assertFalse(self.state_file.exists())

    def test_when_to_come_back_is_told(self):
        self.serve(lambda request: (429, {"Content-Type": "application/problem+json",
                                          "Retry-After": "17"},
                                    '{"title": "rate", "status": 429, "detail": "too many"}'))
        self.assertIn("try again in 17 s", self.submit(status=75).stderr)

    def test_a_server_that_is_away_or_no_darkroom_is_named(self):
        self.serve(lambda request: (200, {"Content-Type": "text/html"}, "<h1>hello</h1>"))
        self.assertIn("no Darkroom", self.submit(status=65).stderr)
        self.assertIn("no Darkroom", self.run_cli("models", status=65).stderr)
        self.environment["DARKROOM_SERVER"] = "http://127.0.0.1:1"
        self.assertIn("127.0.0.1", self.run_cli("models", status=69).stderr)

    def test_nothing_from_the_server_moves_the_cursor(self):
        self.serve(lambda request: problem(422, "invalid", detail="\x1b[2J\x1b]0;title\x07", field="\x1b[H"))
        done = self.submit(status=65)
        self.assertNotIn("\x1b", done.stderr)
        self.stub.close()
        self.serve(lambda request: (202, {}, json.dumps({**job(state="\x1b[2J"), "tokens": TOKENS})))
        self.assertNotIn("\x1b", self.submit(status=65).stderr)
        self.stub.close()
        self.serve(lambda request: (202, {}, json.dumps({**job(id="../../../x"), "tokens": TOKENS})))
        self.submit(status=65)

    # ---- state file ----

    def test_tokens_are_kept_for_the_owner_only_and_used_by_right(self):
        self.remember_a_job()
        self.assertEqual(stat.S_IMODE(self.state_file.stat().st_mode), 0o600)
        answers = {("GET", f"/v1/jobs/{ID}"): job("running", progress=0.5),
                   ("POST", f"/v1/jobs/{ID}/cancel"): job("cancelled"),
                   ("DELETE", f"/v1/jobs/{ID}"): None}

        def answer(request):
            body = answers[request.command, request.path]
            return (200, {}, json.dumps(body)) if body else (204, {}, b"")
        self.serve(answer)
        self.assertIn("Working 50 %", self.run_cli("get", ID[:8]).stdout)
        self.assertIn("Cancelled", self.run_cli("cancel", ID).stdout)
        self.run_cli("delete", ID)
        self.assertEqual([request.headers["Authorization"] for request in self.stub.requests],
                         [f"Bearer {TOKENS[right]}" for right in ("view", "manage", "delete")])
        self.assertNotIn(ID, self.state_file.read_text())
        self.run_cli("get", ID, status=66)
        self.run_cli("get", ID, "--token-file", self.token("OTHER"))
        refused = self.run_cli("get", ID, "--token", "OTHER", status=64)
        self.assertIn("--token-file", refused.stderr)
        self.assertNotIn("OTHER", refused.stderr)
        self.assertEqual(self.stub.requests[-1].headers["Authorization"], "Bearer OTHER")

    def test_a_job_goes_to_the_server_where_it_was_submitted(self):
        self.serve(lambda request: accepted())
        self.submit()
        del self.environment["DARKROOM_SERVER"]
        self.run_cli("get", ID)
        self.assertEqual(self.stub.requests[-1].path, f"/v1/jobs/{ID}")

    def test_list_asks_for_each_job_and_knows_those_that_are_gone(self):
        self.remember_a_job()
        self.serve(lambda request: (200, {}, json.dumps(job("succeeded"))))
        # The same job, at the server that runs now.
        self.state_file.write_text(re.sub(r"http://127[^\"]*", self.stub.url,
                                          self.state_file.read_text()))
        self.assertRegex(self.run_cli("list").stdout, f"{ID} .*Ready")
        self.assertEqual(json.loads(self.run_cli("list", "--json").stdout)[0]["state"], "succeeded")
        self.stub.close()
        port = self.stub.server.server_port
        self.serve(lambda request: problem(404, "not-found"))
        self.state_file.write_text(self.state_file.read_text().replace(
            f":{port}", f":{self.stub.server.server_port}"))
        self.assertRegex(self.run_cli("list").stdout, f"{ID} .*gone")

    def test_a_state_file_that_cannot_be_written_loses_no_job(self):
        self.serve(lambda request: accepted())
        (self.path / "state").write_text("a file where the folder should be")
        done = self.submit()
        self.assertIn("not kept", done.stderr)
        self.assertIn(ID, done.stdout)

    # ---- following ----

    def follow(self, *streams, words=("--wait",), status=0, result=None):
        """Submits and waits; each connection for events gets the next stream."""
        rest = list(streams)

        def answer(request):
            if request.command == "POST":
                return accepted()
            if request.path.endswith("/events"):
                return 200, {"Content-Type": "text/event-stream"}, iter(rest.pop(0))
            return result(request)
        self.serve(answer)
        return self.submit(*words, status=status)

    def test_waiting_shows_each_change_once_and_ends_with_the_job(self):
        done = self.follow([": hello\n\n", event(job(position=1)), event(job(position=1)),
                            event(job("running", progress=0.1)), event(job("running", progress=0.2)),
                            event(job("succeeded"))])
        lines = done.stderr.splitlines()
        self.assertEqual(lines[1:], ["Waiting: 1 before it", "Working 0 %", "Ready"])
        self.assertIn("Ready", done.stdout)

    def test_a_dropped_stream_is_taken_up_where_it_was(self):
        self.follow([event(job(), 7)], [": nothing yet\n\n"],
                    [event(job("running"), 8)[:-20]], [event(job("succeeded"), 9)])
        events = [r for r in self.stub.requests if r.path.endswith("/events")]
        self.assertEqual([r.headers["Last-Event-ID"] for r in events], [None, "7-0", "7-0", "7-0"])

    def test_the_exit_status_tells_how_the_job_ended(self):
        error = {"code": "corrupt", "detail": "the PNG ends early"}
        done = self.follow([event(job("failed", error=error))], status=1)
        self.assertIn("the PNG ends early", done.stdout)
        self.stub.close()
        self.follow([event(job("cancelled"))], status=2)

    def test_waiting_ends_at_its_timeout_and_at_a_signal(self):
        hold = threading.Event()

        def stream():
            yield event(job())
            hold.wait(DEADLINE_S)
        self.follow(stream(), words=("--wait", "--timeout", "1"), status=75)
        child = subprocess.Popen([DARKROOM, "watch", ID], env=self.environment, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        self.stub.close()
        self.serve(lambda request: (200, {}, stream()))
        child.kill()
        child.communicate()
        child = subprocess.Popen([DARKROOM, "watch", ID, "--server", self.stub.url], text=True,
                                 env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: self.stub.requests, "the watcher's request")
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=DEADLINE_S)
        hold.set()
        self.assertEqual(child.returncode, 130)

    def test_an_event_that_is_no_job_is_an_error(self):
        self.follow(["event: job\ndata: {broken\n\n"], status=65)
        self.stub.close()
        self.follow(["data: " + "x" * 70000], status=65)

    def test_a_terminal_gets_a_bar(self):
        self.serve(lambda request: accepted() if request.command == "POST" else
                   (200, {}, iter([event(job("running", progress=0.5)), event(job("succeeded"))])))
        controller, terminal = pty.openpty()
        child = subprocess.Popen([DARKROOM, "submit", self.picture, "--model", "m", "--wait"],
                                 env=self.environment, stdout=subprocess.DEVNULL, stderr=terminal)
        os.close(terminal)
        shown = b""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end and select.select([controller], [], [], DEADLINE_S)[0]:
            try:
                piece = os.read(controller, 4096)
            except OSError:  # the other side is closed
                break
            shown += piece
        self.assertEqual(child.wait(DEADLINE_S), 0)
        os.close(controller)
        self.assertRegex(shown.decode(), r"\r\x1b\[KSending \[#+ *\] +\d+ %")
        self.assertIn("\r\x1b[KWorking [############            ]  50 %", shown.decode())
        self.assertTrue(shown.decode().endswith("Ready\r\n"))

    # ---- results ----

    def test_a_result_is_fetched_from_the_link_without_our_token(self):
        def result(request):
            if request.path == f"/v1/jobs/{ID}/result":
                self.assertEqual(request.headers["Authorization"], f"Bearer {TOKENS['view']}")
                return 302, {"Location": "/o/results?s=signed"}, ""
            self.assertEqual(request.path, "/o/results?s=signed")
            self.assertIsNone(request.headers["Authorization"])
            return 200, {"Content-Type": "image/png"}, png(8, 8)
        output = self.path / "out.png"
        self.follow([event(job("succeeded"))], words=("-o", output), result=result)
        self.assertEqual(output.read_bytes(), png(8, 8))

    def test_the_link_may_lead_to_another_server(self):
        other = Stub(lambda request: (200, {}, png(9, 9)))
        output = self.path / "out.png"
        self.follow([event(job("succeeded"))], words=("-o", output),
                    result=lambda request: (302, {"Location": f"{other.url}/bucket/x?X-Amz=1"}, ""))
        other.close()
        self.assertEqual(output.read_bytes(), png(9, 9))
        self.assertIsNone(other.requests[0].headers["Authorization"])

    def test_a_link_to_anything_else_is_refused(self):
        for location in ("file:///etc/passwd", "gopher://127.0.0.1/", ""):
            output = self.path / "out.png"
            self.follow([event(job("succeeded"))], words=("-o", output), status=65,
                        result=lambda request: (302, {"Location": location}, ""))
            self.stub.close()
            self.assertFalse(output.exists())

    def test_a_download_that_is_cut_off_leaves_the_old_file(self):
        output = self.path / "out.png"
        output.write_bytes(b"old")

        def result(request):
            if request.path.endswith("/result"):
                return 302, {"Location": "/o/x"}, ""
            return 200, {"Content-Length": "1000"}, b"half"
        self.follow([event(job("succeeded"))], words=("-o", output), status=69, result=result)
        self.assertEqual(output.read_bytes(), b"old")
        self.assertEqual(sorted(os.listdir(self.path)), ["a secret name.png", "out.png", "state"])

    def test_a_failed_job_writes_no_file(self):
        output = self.path / "out.png"
        self.follow([event(job("failed"))], words=("-o", output), status=1)
        self.assertFalse(output.exists())

    def test_health_is_the_status_and_what_was_said(self):
        self.serve(lambda request: (200, {}, "ready\n") if request.path == "/readyz" else
                   (503, {}, "the loop \x1b[2Jhangs\nand more"))
        self.environment["http_proxy"] = "http://127.0.0.1:1"
        self.assertEqual(self.run_cli("health", f"{self.stub.url}/readyz").stdout, "ready\n")
        done = self.run_cli("health", f"{self.stub.url}/healthz", status=69)
        self.assertEqual(done.stdout, "the loop ?[2Jhangs\n")
        self.assertIn("503", done.stderr)
        self.run_cli("health", "http://127.0.0.1:1/healthz", status=69)
        self.run_cli("health", "127.0.0.1:1", status=64)
        self.run_cli("health", status=64)

    def test_models_are_listed(self):
        self.serve(lambda request: (200, {}, json.dumps({"models": [
            {"name": "portrait-drawing", "title": "Portrait drawing", "description": "Draws."}]})))
        self.assertRegex(self.run_cli("models").stdout, "portrait-drawing +Portrait drawing. Draws.")
        self.assertEqual(json.loads(self.run_cli("models", "--json").stdout)["models"][0]["name"],
                         "portrait-drawing")


if __name__ == "__main__":
    main()
