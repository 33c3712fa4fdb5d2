#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Weights that a manifest names by URL: fetched once, in pieces where need be, compared, and kept."""
import hashlib
import http.server
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import DEADLINE_S, Lab, main, wait_until  # noqa: E402
from workbench import DEVICE, WORKER, Workbench, noise_png, weights  # noqa: E402

# err_exit_status()
NO_INPUT, UNAVAILABLE, IO, LATER, CHECKSUM = 66, 69, 74, 75, 81
PIECE = 20000


class Handler(http.server.BaseHTTPRequestHandler):
    """/KIND/… is the server's one file, given in a way that KIND says."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def file(self, most=None, ranges=True):
        data, begin = self.server.data, 0
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if ranges else None
        if found:
            begin = int(found[1])
            if begin >= len(data):
                self.answer(416, Content_Range=f"bytes */{len(data)}")
                return
        part = data[begin:]
        headers = {"Content_Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if found else {}
        self.answer(206 if found else 200, part[:most], length=len(part), **headers)
        self.close_connection = most is not None

    def do_GET(self):
        kind = self.path.split("/")[1]
        with self.server.lock:
            self.server.seen.append((kind, self.headers.get("Range")))
            count = len(self.server.seen)
        if kind == "whole":
            self.file()
        elif kind == "cut":
            self.file(most=PIECE)
        elif kind == "plain":
            self.file(most=PIECE if count == 1 else None, ranges=False)
        elif kind in ("hang", "stall"):
            self.file(most=PIECE if kind == "hang" else 1)
            self.wfile.flush()
            self.server.go.wait(DEADLINE_S)
        elif kind == "gate":
            self.server.go.wait(DEADLINE_S)
            self.file()
        elif kind == "away":
            self.answer(302, Location="/whole/moved")
        elif kind == "circle":
            self.answer(302, Location="/circle/again")
        elif kind == "busy" and count < 3:
            self.answer(503, Retry_After="0")
        elif kind == "busy":
            self.file()
        else:
            self.answer(404, b"no such file")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, data):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.seen = data, []
        self.lock, self.go = threading.Lock(), threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_):
        pass  # a client that was killed

    def url(self, kind):
        return f"http://127.0.0.1:{self.server_address[1]}/{kind}/quick.safetensors?signature=marker"

    def end(self):
        self.go.set()
        self.shutdown()
        self.server_close()


class Cache(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="darkroom-cache-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        self.bench = Workbench(folder.name)
        self.cache = self.path / "deep" / "cache"
        self.data = (self.bench.models / "quick.safetensors").read_bytes()
        self.sha256 = hashlib.sha256(self.data).hexdigest()
        self.file, self.part = self.cache / self.sha256, self.cache / f"{self.sha256}.part"
        self.server = Server(self.data)
        self.addCleanup(self.server.end)
        self.photo = self.path / "photo.png"
        self.photo.write_bytes(noise_png(30, 20, 1))
        self.assertGreater(len(self.data), 3 * PIECE)

    def model(self, kind, name="far", sha256=None, **members):
        self.bench.manifest(name, 64, weights={"url": self.server.url(kind), "sha256": sha256 or self.sha256},
                            batch={"max": 8}, cost_ms=5, **members)

    def start(self, *options, **more):
        return subprocess.Popen(
            [WORKER, "run", "far", "--models", self.bench.models, "--device", DEVICE, "--input", self.photo, "--raw",
             self.path / "out.npy", "--weights-cache", self.cache, *options], stderr=subprocess.PIPE, text=True,
            env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}, **more)

    def end(self, process):
        """(exit status, the last line that it said)"""
        _, said = process.communicate(timeout=DEADLINE_S)
        return process.returncode, (said.splitlines() or [""])[-1]

    def fetched(self, *options):
        status, said = self.end(self.start(*options))
        self.assertEqual(status, 0, said)
        self.assertEqual(self.file.read_bytes(), self.data)
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o444)
        self.assertEqual(os.listdir(self.cache), [self.sha256])

    def refused(self, status, *words, **more):
        got, said = self.end(self.start("--weights-patience-s", "1", **more))
        self.assertEqual(got, status, said)
        for word in (self.server.url("").split("?")[0].rsplit("/", 2)[0], *words):
            self.assertIn(word, said)
        self.assertNotIn("marker", said)

    def ranges(self):
        return [of for _, of in self.server.seen]

    # ---- what comes ----

    def test_weights_are_fetched_once_and_used_from_the_cache_afterwards(self):
        self.model("whole")
        self.fetched()
        self.fetched()
        self.assertEqual(self.server.seen, [("whole", None)])

    def test_a_file_beside_the_manifest_counts_before_the_url(self):
        self.bench.manifest("far", 64, weights={"file": "quick.safetensors", "url": self.server.url("missing"),
                                                "sha256": self.sha256})
        self.assertEqual(self.end(self.start())[0], 0)
        self.assertEqual(self.server.seen, [])

    def test_a_cut_transfer_goes_on_where_it_was_cut(self):
        self.model("cut")
        self.fetched()
        self.assertEqual(self.ranges(), [None] + [f"bytes={at}-" for at in range(PIECE, len(self.data), PIECE)])

    def test_a_server_without_ranges_gives_the_whole_again(self):
        self.model("plain")
        self.fetched()
        self.assertEqual(self.ranges(), [None, f"bytes={PIECE}-", None])

    def test_a_redirect_and_a_busy_server_are_followed_and_waited_for(self):
        for kind in ("away", "busy"):
            with self.subTest(kind):
                self.server.seen.clear()
                self.model(kind)
                self.file.unlink(missing_ok=True)
                self.fetched()

    def test_what_a_killed_worker_had_fetched_is_not_fetched_again(self):
        self.model("hang")
        killed = self.start()
        wait_until(lambda: self.part.exists() and self.part.stat().st_size == PIECE, "a piece of it")
        killed.kill()
        self.end(killed)
        self.model("whole")
        self.fetched()
        self.assertEqual(self.ranges(), [None, f"bytes={PIECE}-"])

    def test_a_piece_of_another_file_is_thrown_away(self):
        self.model("whole")
        for size in (PIECE, len(self.data), len(self.data) + 1):
            with self.subTest(size):
                self.cache.mkdir(parents=True, exist_ok=True)
                self.file.unlink(missing_ok=True)
                self.part.write_bytes(bytes(size))
                self.server.seen.clear()
                self.fetched()
                self.assertEqual(self.ranges(), [f"bytes={size}-", None])

    def test_a_whole_piece_is_used_as_it_is(self):
        self.model("whole")
        self.cache.mkdir(parents=True)
        self.part.write_bytes(self.data)
        self.fetched()
        self.assertEqual(self.ranges(), [f"bytes={len(self.data)}-"])

    def test_a_cached_file_that_went_bad_is_fetched_again(self):
        self.model("whole")
        self.fetched()
        self.file.chmod(0o644)
        self.file.write_bytes(self.data[:-1] + bytes([self.data[-1] ^ 1]))
        self.fetched()
        self.assertEqual(len(self.server.seen), 2)

    def test_two_at_once_fetch_it_once(self):
        self.model("gate")
        first = self.start()
        wait_until(lambda: self.server.seen, "a request")
        others = [self.start() for _ in range(2)]
        for other in others:
            self.assertIn("worker.weights_wait", other.stderr.readline())
        self.server.go.set()
        for process in (first, *others):
            self.assertEqual(self.end(process)[0], 0)
        self.assertEqual(self.server.seen, [("gate", None)])
        self.assertEqual(os.listdir(self.cache), [self.sha256])

    # ---- what does not come ----

    def test_a_wrong_checksum_names_url_and_both_sums_and_leaves_nothing(self):
        self.model("whole", sha256="0" * 64)
        self.refused(CHECKSUM, "/whole/quick.safetensors", self.sha256, "0" * 64)
        self.assertEqual(os.listdir(self.cache), [])
        self.assertEqual(self.ranges(), [None])

    def test_what_cannot_be_fetched_is_tried_again_and_then_named(self):
        for kind, status, word in (("missing", NO_INPUT, "404"), ("circle", 65, "redirect"), ("stall", LATER, "")):
            with self.subTest(kind):
                self.server.seen.clear()
                self.model(kind)
                self.refused(status, word)
                # Where a server hangs its silence alone takes all the patience.
                self.assertGreater(len(self.server.seen), 0 if kind == "stall" else 1)
        self.server.end()
        self.refused(UNAVAILABLE)

    def test_a_full_disk_is_said_and_left_empty(self):
        def limited():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (PIECE, PIECE))
        self.model("whole")
        self.refused(IO, "cannot write", str(self.cache), preexec_fn=limited)
        self.assertEqual(os.listdir(self.cache), [])

    def test_a_folder_that_cannot_be_made_is_said(self):
        self.model("whole")
        (self.path / "deep").write_text("in the way")
        status, said = self.end(self.start())
        self.assertEqual(status, NO_INPUT, said)
        self.assertIn("weights-cache", said)

    # ---- a worker ----

    def lab(self):
        for name in ("slow.json", "slow.safetensors"):
            (self.bench.models / name).unlink()
        return Lab(models=self.bench.models)

    def options(self, *more):
        return ("--device", DEVICE, "--threads", "1", "--weights-cache", self.cache, *more)

    def done(self, lab, model):
        answer = lab.submit(noise_png(20, 20, 1), model)
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual(lab.wait_for_state(answer.json, "succeeded", "failed")["state"], "succeeded")

    def test_a_worker_serves_what_it_has_while_weights_are_on_their_way(self):
        self.model("gate", name="afar")  # the first by name
        other = weights(self.path / "other.safetensors", seed=2).read_bytes()
        self.cache.mkdir(parents=True)
        cached = hashlib.sha256(other).hexdigest()
        (self.cache / cached).write_bytes(other)
        self.model("missing", name="near", sha256=cached)
        with self.lab() as lab:
            worker = lab.worker_start(*self.options())
            for model in ("quick", "near", "quick"):
                self.done(lab, model)
            self.assertEqual(self.server.seen, [("gate", None)])
            self.server.go.set()
            self.done(lab, "afar")
            self.assertRegex(worker.log, r"worker\.weights_fetched model=afar")

    def test_a_signal_ends_a_worker_that_fetches(self):
        self.model("hang")
        with self.lab() as lab:
            worker = lab.start("worker", [WORKER, "--redis", lab.redis_url, "--dispatcher", lab.url, "--models",
                                          lab.models, "--worker-token-file", lab.worker_token_file, "--model", "far",
                                          *self.options()])
            wait_until(lambda: self.part.exists() and self.part.stat().st_size == PIECE, "a piece of it")
            self.assertNotIn("worker.ready", worker.log)
            self.assertEqual(lab.programs.pop("worker").stop(), 0)
            self.assertEqual(self.part.stat().st_size, PIECE)

    def test_a_model_that_is_not_what_was_meant_ends_the_start_where_it_was_named(self):
        self.model("whole", sha256="0" * 64)
        with self.lab() as lab:
            with self.assertRaises(AssertionError):
                lab.worker_start(*self.options("--model", "far"))
            worker = lab.programs.pop("worker")
            self.assertEqual(worker.stop(), CHECKSUM)
            self.assertNotIn("worker.ready", worker.log)
            # Without it the others are served.
            worker = lab.worker_start(*self.options())
            self.done(lab, "quick")
            worker.wait_for_log("worker.model_left_out model=far code=checksum")


if __name__ == "__main__":
    main()
