#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A dispatcher that ends while clients speak to it (docs/operations.md, "Upgrading")."""
import http.client
import json
import pathlib
import signal
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import DEADLINE_S, Hand, Lab, data_url, main, png, wait_until  # noqa: E402


class Drain(unittest.TestCase):
    def setUp(self):
        self.lab = Lab(dispatcher=False)
        self.addCleanup(lambda: self.assertEqual(self.lab.close(), []))

    def begin(self, *options):
        self.program = self.lab.dispatcher_start(*options)
        return self.program

    def connect(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.lab.port, timeout=DEADLINE_S)
        connection.connect()
        return connection

    def refuses(self):
        try:
            socket.create_connection(("127.0.0.1", self.lab.port), timeout=0.2).close()
            return False
        except (ConnectionRefusedError, TimeoutError):  # not heard at all while the door is being shut
            return True

    def ask_to_end(self):
        self.program.process.send_signal(signal.SIGTERM)

    def ended(self, unanswered=0):
        program = self.lab.programs.pop("dispatcher")
        self.assertEqual(program.process.wait(DEADLINE_S), 0, program.log)
        self.assertIn(f"unanswered={unanswered}", program.log)

    def ask(self, connection, method, target, body=None):
        connection.request(method, target, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer, answer.read()

    def test_a_balancer_hears_of_it_before_anybody_is_refused(self):
        self.begin("--drain-delay-ms", 400)
        kept = self.connect()
        self.assertEqual(self.ask(kept, "GET", "/readyz")[0].status, 200)
        job = self.lab.submit().json
        stream = self.lab.events(job)
        next(stream)
        self.ask_to_end()
        wait_until(lambda: self.lab.get("/readyz").status == 503, "/readyz fails")
        self.assertIn("about to end", self.lab.get("/readyz").problem["detail"])
        answer, body = self.ask(kept, "POST", "/v1/jobs", json.dumps({"model": "test-model", "input": data_url(png())}))
        self.assertEqual((answer.status, answer.headers["Connection"]), (202, "close"), body)
        # A shared answer as well, more than once.
        for _ in range(2):
            answer, _ = self.ask(self.connect(), "GET", "/openapi.json")
            self.assertEqual((answer.status, answer.headers.get_all("Connection")), (200, ["close"]))
        with Hand(self.lab) as hand:
            hand.claim(job)
        self.assertIn("running", [data.get("state") for kind, _, data in stream if kind])  # and it ends, cleanly
        wait_until(self.refuses, "nobody is let in")
        self.ended()

    def test_a_kept_connection_gets_one_more_answer(self):
        self.begin()
        kept, silent = self.connect(), self.connect()
        for connection in (kept, silent):
            self.assertIsNone(self.ask(connection, "GET", "/healthz")[0].headers.get("Connection"))
        self.ask_to_end()
        wait_until(self.refuses, "nobody is let in")
        answer, _ = self.ask(kept, "GET", "/healthz")
        self.assertEqual((answer.status, answer.headers["Connection"]), (200, "close"))
        # The silent one does not hold it up for long.
        begun = time.monotonic()
        self.ended()
        self.assertLess(time.monotonic() - begun, 9)
        self.assertEqual(silent.sock.recv(1), b"")

    def test_who_was_in_the_line_is_served(self):
        self.begin()
        self.program.process.send_signal(signal.SIGSTOP)
        waiting = [self.connect() for _ in range(20)]
        for connection in waiting:
            connection.request("POST", "/v1/jobs", json.dumps({"model": "test-model", "input": data_url(png())}),
                               {"Content-Type": "application/json"})
        self.ask_to_end()
        self.program.process.send_signal(signal.SIGCONT)
        self.assertEqual([connection.getresponse().status for connection in waiting], [202] * 20)
        self.ended()

    def test_whoever_is_let_in_is_served(self):
        seen = []

        def knock():
            while True:
                try:
                    with socket.create_connection(("127.0.0.1", self.lab.port), timeout=DEADLINE_S) as connection:
                        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                        seen.append(connection.recv(15))
                except ConnectionRefusedError:
                    return
                except ConnectionError as error:
                    seen.append(error)
        for _ in range(10):
            self.begin("--drain-delay-ms", "50")
            threads = [threading.Thread(target=knock) for _ in range(6)]
            for thread in threads:
                thread.start()
            wait_until(lambda: len(seen) >= 100, "they come in")
            self.ask_to_end()
            for thread in threads:
                thread.join()
            self.ended()
            self.assertEqual(set(seen), {b"HTTP/1.1 200 OK"})
            seen.clear()

    def test_an_upload_that_was_begun_is_taken(self):
        self.begin()
        body = json.dumps({"model": "test-model", "input": data_url(png())}).encode()
        upload = self.connect()
        upload.putrequest("POST", "/v1/jobs")
        upload.putheader("Content-Type", "application/json")
        upload.putheader("Content-Length", str(len(body)))
        upload.endheaders(body[:20])
        # Until the dispatcher has read the beginning, it is like any silent connection.
        wait_until(lambda: "darkroom_buffered_bytes 0\n" not in self.lab.get("/metrics").body.decode(), "it is read")
        self.ask_to_end()
        wait_until(self.refuses, "nobody is let in")
        time.sleep(1.2)  # longer than a silent connection gets
        upload.send(body[20:])
        answer = upload.getresponse()
        self.assertEqual((answer.status, answer.headers["Connection"]), (202, "close"))
        self.ended()

    def test_what_never_ends_does_not_hold_it_up(self):
        self.begin("--drain-ms", 300)
        upload = self.connect()
        upload.putrequest("POST", "/v1/jobs")
        upload.putheader("Content-Type", "application/json")
        upload.putheader("Content-Length", "1000")
        upload.endheaders(b"{")
        wait_until(lambda: "darkroom_buffered_bytes 0\n" not in self.lab.get("/metrics").body.decode(), "it is read")
        self.ask_to_end()
        self.ended(unanswered=1)

    def test_a_stream_goes_on_at_another_dispatcher(self):
        self.begin()
        other = self.lab.dispatcher_start(name="other")
        job = self.lab.submit().json
        first = list(self.and_end(self.lab.events(job)))
        self.assertEqual(first[0][2]["state"], "queued")
        self.ended()
        with Hand(self.lab) as hand:
            hand.claim(job)
            self.lab.port = other.port
            later = self.lab.events(job, {"Last-Event-ID": first[-1][1]})
            self.assertEqual(next(one for one in later if one[0])[2]["state"], "running")
            later.close()

    def and_end(self, stream):
        for one in stream:
            self.ask_to_end() if one[0] else None
            yield one


if __name__ == "__main__":
    main()
