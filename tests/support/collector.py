# SPDX-License-Identifier: MIT
"""A collector of traces for tests: OTLP over HTTP in JSON on loopback, keeps every span that it took.

    collector = Collector()
    lab = Lab(dispatcher_options=["--otlp-endpoint", collector.url])
    spans = collector.wait_for(trace, "send mail")       # all of that trace, once one has this name
    span.name .kind .service .parent .attributes["http.route"] .links .start .end .failed
    collector.answer = lambda request: 503               # or (status, {header: value}, body), or "hang up"
    collector.close()
"""
import http.server
import json
import pathlib
import sys
import threading
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from darkroom import wait_until  # noqa: E402

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


def attributes_of(pairs):
    values = {}
    for pair in pairs:
        (kind, value), = pair["value"].items()
        assert pair["key"] not in values, pair
        values[pair["key"]] = int(value) if kind == "intValue" else value
    return values


def spans_of(body):
    for resource in body["resourceSpans"]:
        about = attributes_of(resource["resource"]["attributes"])
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield types.SimpleNamespace(
                    trace=span["traceId"], id=span["spanId"], parent=span.get("parentSpanId"), name=span["name"],
                    kind=KINDS[span["kind"]], start=int(span["startTimeUnixNano"]), end=int(span["endTimeUnixNano"]),
                    attributes=attributes_of(span.get("attributes", ())), failed=span.get("status") == {"code": 2},
                    links=[(link["traceId"], link["spanId"]) for link in span.get("links", ())],
                    service=about["service.name"], about=about)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_):
        pass

    def do_POST(self):
        owner = self.server.owner
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = types.SimpleNamespace(path=self.path, headers=self.headers, body=body)
        with owner.lock:
            owner.requests.append(request)
        answer = owner.answer(request)
        if answer == "hang up":
            self.close_connection = True
            return
        status, headers, text = (answer, {}, b"{}") if isinstance(answer, int) else answer
        if status == 200:
            with owner.lock:
                owner.spans += spans_of(json.loads(body))
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(text), **headers}.items():
            self.send_header(name, str(value))
        try:
            self.end_headers()
            self.wfile.write(text)
        except ConnectionError:
            pass  # who asked has stopped


class Collector:
    def __init__(self):
        self.lock = threading.Lock()
        self.requests, self.spans = [], []
        self.answer = lambda request: 200
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.owner = self
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def of(self, trace):
        with self.lock:
            return [span for span in self.spans if span.trace == trace]

    def wait_for(self, trace, *names):
        """Everything of the trace, once each of these is there as often as it stands here."""
        def found():
            spans = self.of(trace)
            have = [span.name for span in spans]
            return spans if all(have.count(name) >= names.count(name) for name in names) else None
        try:
            return wait_until(found)
        except AssertionError:
            raise AssertionError(f"of {trace} came {[span.name for span in self.of(trace)]}, not {names}") from None
