#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A webhook receiver for tests: https on loopback, keeps every request that reached it.

    receiver = WebhookServer(make_certificate(folder), log=folder / "webhooks.jsonl")
    lab.notifier_start("--webhook-allow", "127.0.0.1/32", "--webhook-ca-file", receiver.ca_file)
    ... webhook {"url": receiver.url("/jobs")} ...
    event = receiver.wait_for(1)[0]                      # .path .id .timestamp .event .status …
    receiver.answer = lambda request: 503                # or (status, {header: value}), "hang up"
    receiver.close()

What a path says of itself needs no `answer`: /status/410, /slow/15000 (milliseconds before the
answer), /big (an answer that never ends), /redirect, and two together as /slow/100/status/503.

As a program of its own, for tests that only look at the log afterwards:

    webhook_server.py --folder DIR [--port N] [--fail 0.1]

It makes DIR/certificate.pem (give it to the notifier as --webhook-ca-file), writes DIR/port once it
listens, and appends to DIR/webhooks.jsonl one line for each request, before it answers:

    {"at_ms", "path", "id", "timestamp", "signature", "body", "status", "headers"}

`body` is the text as it was signed, `id` is webhook-id, `status` what it answers (0: hangs up).
--fail answers that part of the requests with 503 after having logged them, so that a sender must
try again. SIGTERM ends it."""
import argparse
import http.server
import json
import pathlib
import random
import re
import signal
import socket
import ssl
import sys
import threading
import time
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from darkroom import DEADLINE_S, wait_until  # noqa: E402
from mail_server import make_certificate  # noqa: E402

MAX_BODY = 1 << 20


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def do_POST(self):
        owner = self.server.owner
        body = self.rfile.read(min(MAX_BODY, int(self.headers.get("Content-Length", 0))))
        request = types.SimpleNamespace(
            at_ms=int(time.time() * 1000), path=self.path, id=self.headers.get("webhook-id", ""),
            timestamp=self.headers.get("webhook-timestamp", ""),
            signature=self.headers.get("webhook-signature", ""), body=body.decode("utf-8", "replace"),
            headers={name.lower(): value for name, value in self.headers.items()}, status=200)
        answer = owner.answer(request)
        if answer is None:
            answer = of_path(self.path)
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        request.status = 0 if status == "hang up" else status
        owner.keep(request)
        slow = re.search(r"/slow/(\d+)", self.path)
        if slow:
            owner.closing.wait(int(slow[1]) / 1000)
        if status == "hang up":
            self.close_connection = True
            return
        self.respond(status, headers)

    do_GET = do_PUT = do_POST

    def respond(self, status, headers):
        endless = "/big" in self.path
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(1 << 40 if endless else 0))
        self.end_headers()
        while endless and not self.server.owner.closing.is_set():
            self.wfile.write(bytes(65536))


def of_path(path):
    if "/redirect" in path:
        return 307, {"Location": "/elsewhere"}
    status = re.search(r"/status/(\d{3})", path)
    return int(status[1]) if status else 200


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def finish_request(self, request, client_address):
        # The handshake belongs to the connection's thread, or one silent client would stop all.
        request.settimeout(DEADLINE_S)
        try:
            with self.owner.context.wrap_socket(request, server_side=True) as encrypted:
                super().finish_request(encrypted, client_address)
        except (OSError, ssl.SSLError):
            self.owner.broken += 1

    def handle_error(self, *_):
        self.owner.broken += 1


class WebhookServer:
    def __init__(self, certificate, log=None, host="127.0.0.1", port=0):
        self.ca_file = certificate[0]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(*certificate)
        self.answer = lambda request: None
        self.requests = []
        self.broken = 0  # connections that brought no request
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._log = open(log, "a", buffering=1) if log else None
        Server.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._server = Server((host, port), Handler)
        self._server.owner = self
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, path="/", host="localhost"):
        return f"https://{host}:{self.port}{path}"

    def keep(self, request):
        with self._lock:
            self.requests.append(request)
            if self._log:
                self._log.write(json.dumps(vars(request)) + "\n")

    def of(self, path):
        return [request for request in self.requests if request.path == path]

    def wait_for(self, count, path=None):
        def enough():
            found = self.of(path) if path else list(self.requests)
            return found if len(found) >= count else None
        return wait_until(enough, f"{count} webhooks")

    def close(self):
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        if self._log:
            self._log.close()
            self._log = None


def main():
    parser = argparse.ArgumentParser(description="Receives webhooks and writes them down.")
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--fail", type=float, default=0.0)
    options = parser.parse_args()
    certificate = options.folder / "certificate.pem", options.folder / "key.pem"
    if not certificate[0].exists():
        certificate = make_certificate(options.folder)
    receiver = WebhookServer(certificate, log=options.folder / "webhooks.jsonl", port=options.port)
    if options.fail:
        receiver.answer = lambda request: 503 if random.random() < options.fail else None
    port_file = options.folder / "port"
    port_file.with_suffix(".new").write_text(f"{receiver.port}\n")
    port_file.with_suffix(".new").rename(port_file)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    receiver.close()


if __name__ == "__main__":
    main()
