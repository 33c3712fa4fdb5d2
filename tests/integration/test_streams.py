#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Event streams: what a client that comes back is told, over a restart and beyond the window, and
what is on the wire."""
import pathlib
import re
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import DEADLINE_S, Hand, Lab, main, wait_until  # noqa: E402


class Watcher:
    """One connection of a client: what it was told, as (id, state, progress per mille)."""

    def __init__(self, lab, job, last_id=None, more=""):
        self.told, self.text = [], b""
        self.connection = socket.create_connection(("127.0.0.1", lab.port), timeout=DEADLINE_S)
        back = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        self.connection.sendall(f"GET /v1/jobs/{job['id']}/events?token={job['tokens']['view']} HTTP/1.1\r\n"
                                f"Host: x\r\n{back}{more}\r\n".encode())

    def read(self):
        """False at the end."""
        piece = self.connection.recv(65536)
        self.text += piece
        self.told = [(m[1].decode(), m[2].decode(), int(float(m[3]) * 1000 + 0.5)) for m in re.finditer(
            rb'id: (\S+)\ndata: \{.*?"state":"(\w+)".*?"progress":([0-9.]+).*?\n\n', self.text)]
        return bool(piece)

    def read_until(self, condition):
        while not condition(self):
            if not self.read():
                raise AssertionError(f"the stream ended: {self.text!r}")

    def read_to_the_end(self):
        while self.read():
            pass
        return self.what()

    def what(self):
        return [(state, progress) for _, state, progress in self.told]

    def last_id(self):
        return self.told[-1][0]

    def close(self):
        self.connection.close()


def told(watcher):
    return len(watcher.told)


def opened(watcher):
    """The head and something behind it: the stream is open."""
    return b"\r\n\r\n" in watcher.text and not watcher.text.endswith(b"\r\n\r\n")


class ComingBack(unittest.TestCase):
    def test_nothing_is_lost_or_repeated_over_a_restart(self):
        with Lab() as lab, Hand(lab) as hand:
            job, other = lab.submit().json, lab.submit().json
            first = Watcher(lab, job)
            first.read_until(told)
            self.assertEqual(first.what(), [("queued", 0)])
            claimed = hand.claim(job)
            first.read_until(lambda w: w.what()[-1] == ("running", 0))
            first.close()
            # Nobody watches, and then there is nobody to watch at.
            hand.progress(claimed, 250)
            lab.stop("dispatcher")
            hand.progress(claimed, 500)
            lab.dispatcher_start()
            second = Watcher(lab, job, first.last_id())
            second.read_until(lambda w: told(w) == 2)
            self.assertEqual(second.what(), [("running", 250), ("running", 500)])
            second.close()
            # Nothing happened to this job: nothing is told but that the stream is open.
            hand.claim(other)
            third = Watcher(lab, job, second.last_id())
            third.read_until(opened)
            self.assertEqual(third.what(), [])
            hand.progress(claimed, 750)
            third.read_until(told)
            third.close()
            hand.complete(claimed)
            fourth = Watcher(lab, job, third.last_id())
            self.assertEqual(fourth.read_to_the_end(), [("succeeded", 1000)])
            every = first.told + second.told + third.told + fourth.told
            self.assertEqual([progress for _, _, progress in every], [0, 0, 250, 500, 750, 1000])
            ids = [tuple(map(int, event_id.split("-"))) for event_id, _, _ in every]
            self.assertEqual(ids, sorted(set(ids)))
            path = f"/v1/jobs/{job['id']}/events?token={job['tokens']['view']}"
            self.assertEqual(lab.get(path, headers={"Last-Event-ID": fourth.last_id()}).status, 204)

    def test_a_whole_life_missed_is_told_in_order(self):
        with Lab() as lab, Hand(lab) as hand:
            first_of_all = lab.submit().json
            hand.claim(first_of_all)  # so that the stream of events has begun
            job = lab.submit().json
            watcher = Watcher(lab, job)
            watcher.read_until(told)
            watcher.close()
            claimed = hand.claim(job)
            hand.progress(claimed, 500)
            hand.complete(claimed)
            back = Watcher(lab, job, watcher.last_id())
            self.assertEqual(back.read_to_the_end(), [("running", 0), ("running", 500), ("succeeded", 1000)])

    def test_beyond_the_window_the_job_as_it_is_now(self):
        with Lab() as lab, Hand(lab) as hand:
            job = lab.submit().json
            claimed = hand.claim(job)
            watcher = Watcher(lab, job)
            watcher.read_until(told)
            watcher.close()
            for progress in (100, 200, 300):
                hand.progress(claimed, progress)
            lab.stop("dispatcher")
            lab.redis_cli("xtrim", "{q:00}ev", "maxlen", "1")
            lab.dispatcher_start()
            back = Watcher(lab, job, watcher.last_id())
            back.read_until(told)
            self.assertEqual(back.what(), [("running", 300)])
            hand.progress(claimed, 400)
            back.read_until(lambda w: told(w) == 2)
            self.assertEqual(back.what(), [("running", 300), ("running", 400)])
            back.close()
            # An id of a stream that is no more, of another Redis or a rolled back one.
            for strange in ("99999999999999-0", "junk", "1-", "-1"):
                back = Watcher(lab, job, strange)
                back.read_until(told)
                self.assertEqual(back.what(), [("running", 400)])
                back.close()


class Leaving(unittest.TestCase):
    def test_a_client_that_resets_while_its_answer_is_owed(self):
        with Lab() as lab:
            job = lab.submit().json
            target = f"/v1/jobs/{job['id']}?token={job['tokens']['view']}"
            requests = [f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n",
                        f"GET {target.replace('?', '/events?')} HTTP/1.1\r\nHost: x\r\n\r\n",
                        "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                        "Content-Length: 2\r\n\r\n{}"]
            for round_ in range(300):
                connections = []
                for _ in range(9):
                    connection = socket.create_connection(("127.0.0.1", lab.port), timeout=DEADLINE_S)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connections.append(connection)
                for i, connection in enumerate(connections):
                    connection.sendall(requests[i % 3].encode())
                # From at once to 3 ms later, so that some leave in each stage of their request.
                leave = time.perf_counter() + round_ / 100000
                while time.perf_counter() < leave:
                    pass
                for connection in connections:
                    connection.close()
            self.assertEqual(lab.get(target).status, 200)
            self.assertEqual(lab.stop("dispatcher"), 0)


class OnTheWire(unittest.TestCase):
    def open_streams(self, lab):
        return int(re.search(r"^darkroom_event_streams (\d+)", lab.get("/metrics").body.decode(), re.M)[1])

    def test_head_and_body(self):
        with Lab() as lab:
            job = lab.submit().json
            watcher = Watcher(lab, job)
            watcher.read_until(told)
            head, body = watcher.text.split(b"\r\n\r\n", 1)
            lines = head.decode().split("\r\n")
            self.assertEqual(lines[0], "HTTP/1.1 200 OK")
            headers = dict(line.split(": ", 1) for line in lines[1:])
            self.assertEqual(headers["Content-Type"], "text/event-stream")
            self.assertEqual((headers["Cache-Control"], headers["Connection"]), ("no-store", "close"))
            self.assertRegex(headers["Date"], r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")
            self.assertNotIn("Transfer-Encoding", headers)
            self.assertNotIn("Content-Length", headers)
            self.assertTrue(body.startswith(b"event: job\nid: "), body)
            self.assertEqual(self.open_streams(lab), 1)
            watcher.close()
            wait_until(lambda: self.open_streams(lab) == 0, "the client's leaving was noticed")

    def test_a_client_of_http_1_0_that_closes_its_side(self):
        with Lab() as lab:
            job = lab.submit().json
            with socket.create_connection(("127.0.0.1", lab.port), timeout=DEADLINE_S) as connection:
                connection.sendall(f"GET /v1/jobs/{job['id']}/events?token={job['tokens']['view']} HTTP/1.0\r\n\r\n"
                                   .encode())
                connection.shutdown(socket.SHUT_WR)
                text = b""
                while b'"state":"queued"' not in text:
                    text += connection.recv(65536)
                lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
                while piece := connection.recv(65536):
                    text += piece
                self.assertIn(b'"state":"cancelled"', text)

    def test_what_a_client_says_after_its_request_disturbs_nobody(self):
        with Lab() as lab:
            job = lab.submit().json
            watcher = Watcher(lab, job)
            watcher.read_until(told)
            watcher.connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
            self.assertEqual(watcher.read_to_the_end(), [("queued", 0), ("cancelled", 0)])

    def test_streams_end_when_the_dispatcher_does(self):
        with Lab() as lab:
            job = lab.submit().json
            watchers = [Watcher(lab, job) for _ in range(20)]
            for watcher in watchers:
                watcher.read_until(told)
            self.assertEqual(lab.stop("dispatcher"), 0)
            for watcher in watchers:
                self.assertEqual(watcher.read_to_the_end(), [("queued", 0)])

    def test_too_many_streams_are_refused(self):
        with Lab(dispatcher_options=("--connections", "8")) as lab:
            job = lab.submit().json
            watchers = [Watcher(lab, job) for _ in range(8)]
            for watcher in watchers:
                watcher.read_until(told)
            more = Watcher(lab, job)
            more.read_until(lambda w: b"}" in w.text)
            self.assertIn(b"HTTP/1.1 503", more.text)
            more.close()
            watchers.pop().close()
            wait_until(lambda: self.open_streams(lab) == 7, "there is room")
            again = Watcher(lab, job)
            again.read_until(told)


if __name__ == "__main__":
    main()
