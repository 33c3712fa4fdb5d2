# SPDX-License-Identifier: MIT
"""The metadata service of a cloud, on loopback: AWS, Google and Azure, as far as spot notices go.

    with MetadataServer() as cloud:
        worker --spot aws --spot-endpoint cloud.url
        cloud.interrupt()            # the machine will be taken away
        cloud.recommend()            # AWS: it may be
        cloud.breaks("html")         # or another of BROKEN: answers that are none
        cloud.acknowledged           # Azure: ids of events that were
        cloud.asked("/latest/")      # how often a path that begins so was asked for

It is as strict as the real ones: AWS wants a session token, Google and Azure their header.
"""
import http.server
import json
import threading
import time
import urllib.parse

from loopback import LoopbackServer

BROKEN = ("html", "error", "empty", "giant", "nonsense", "cut", "redirect", "hang")


class MetadataServer(LoopbackServer):
    def __init__(self, name="this-machine_0"):
        self.name = name
        self.broken = None
        self.token = "AQAEAL-first=="
        self.action = None      # AWS
        self.rebalance = None   # AWS
        # AWS: the machine, and the credentials of its role; words["iam/…"] and so on may be changed or removed.
        self.credentials = {"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIAEXAMPLE1",
                            "SecretAccessKey": "wJalr/XUtn+FEMI=1", "Token": "IQoJb3JpZ2lu+/1==",
                            "LastUpdated": "2026-01-05T10:11:12Z", "Expiration": "2099-01-05T16:11:12Z"}
        self.words = {"instance-id": "i-0123456789abcdef0", "placement/region": "eu-west-1",
                      "services/domain": "amazonaws.com", "iam/security-credentials/": "darkroom-worker",
                      "tags/instance/aws:autoscaling:groupName": "darkroom-workers"}
        self.preempted = False  # Google
        self.events = []        # Azure
        self.acknowledged = []
        self.on_acknowledge = lambda: None
        self.requests = []      # (method, path)
        self.changed = threading.Condition()
        self.closing = False
        self.hung = 0           # requests that were left hanging since breaks()
        super().__init__(Handler, cloud=self)

    def close(self):
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        super().close()

    def breaks(self, kind):
        """One of BROKEN from now on, or None: as it should be."""
        with self.changed:
            self.broken, self.hung = kind, 0
            self.changed.notify_all()

    def asked(self, path=""):
        return sum(1 for _, asked in self.requests if asked.startswith(path))

    def recommend(self):
        self.rebalance = {"noticeTime": "2026-01-05T10:11:12Z"}

    def event(self, kind="Preempt", name=None, event_id="602d9444-d2cd-49c7-8624-8643e7171297"):
        self.events.append({
            "EventId": event_id, "EventStatus": "Scheduled", "EventType": kind,
            "ResourceType": "VirtualMachine", "Resources": [name or self.name],
            "NotBefore": "Mon, 05 Jan 2026 10:11:42 GMT", "Description": "", "EventSource": "Platform",
            "DurationInSeconds": -1})

    def interrupt(self):
        """In all three languages."""
        with self.changed:
            self.action = {"action": "terminate", "time": "2026-01-05T10:13:12Z"}
            self.event()
            self.preempted = True
            self.changed.notify_all()


class Handler(http.server.BaseHTTPRequestHandler):
    cloud = None
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", kind="text/plain", **headers):
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer_json(self, value):
        if value is None:
            self.answer(404, "<html><title>404 - Not Found</title></html>", "text/html")
        else:
            self.answer(200, json.dumps(value), "application/json")

    def answer_broken(self, kind):
        if kind == "html":
            self.answer(200, "<html><body>Please sign in: TRUE terminate Preempt</body></html>", "text/html")
        elif kind == "error":
            self.answer(500, '{"action": "terminate", "time": "2026-01-05T10:13:12Z"}')
        elif kind == "empty":
            self.answer(200)
        elif kind == "giant":
            self.answer(200, b'{"action": "terminate"' + b" " * 5_000_000)
        elif kind == "nonsense":
            self.answer(200, '{"action": 7, "time": [], "noticeTime": {}, "Events": [[], {"EventType": "Preempt"}]}')
        elif kind == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"action": "terminate"')
            self.close_connection = True
        elif kind == "redirect":
            self.answer(302, "", Location=self.cloud.url + "/elsewhere")
        else:
            with self.cloud.changed:
                self.cloud.hung += 1
                self.cloud.changed.wait_for(lambda: self.cloud.closing or self.cloud.broken != "hang", 60)
            self.close_connection = True

    def handle_any(self):
        cloud = self.cloud
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        cloud.requests.append((self.command, self.path))
        url = urllib.parse.urlsplit(self.path)
        try:
            if cloud.broken:
                self.answer_broken(cloud.broken)
            elif url.path.startswith("/latest/"):
                self.aws(url.path)
            elif url.path.startswith("/computeMetadata/"):
                self.google(url)
            elif url.path.startswith("/metadata/"):
                self.azure(url, body)
            else:
                self.answer(404)
        except OSError:
            self.close_connection = True  # the worker went away

    do_GET = do_PUT = do_POST = do_HEAD = handle_any

    def aws(self, path):
        cloud = self.cloud
        if path == "/latest/api/token":
            ttl = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
            if self.command != "PUT" or not ttl.isdigit() or not 1 <= int(ttl) <= 21600:
                self.answer(400)
            else:
                self.answer(200, cloud.token)
        elif self.headers.get("X-aws-ec2-metadata-token") != cloud.token:
            self.answer(401, "<html>Unauthorized</html>", "text/html")
        elif path == "/latest/meta-data/spot/instance-action":
            self.answer_json(cloud.action)
        elif path == "/latest/meta-data/events/recommendations/rebalance":
            self.answer_json(cloud.rebalance)
        elif path == "/latest/meta-data/iam/security-credentials/" + cloud.words.get("iam/security-credentials/", "?"):
            self.answer_json(cloud.credentials)
        elif path.removeprefix("/latest/meta-data/") in cloud.words:
            self.answer(200, cloud.words[path.removeprefix("/latest/meta-data/")])
        else:
            self.answer(404)

    def google(self, url):
        cloud = self.cloud
        query = urllib.parse.parse_qs(url.query)
        if self.headers.get("Metadata-Flavor") != "Google":
            self.answer(403, "Missing Metadata-Flavor:Google header.")
            return
        if url.path != "/computeMetadata/v1/instance/preempted":
            self.answer(404)
            return

        def etag():
            return "d2f1" if cloud.preempted else "ab09"
        if query.get("wait_for_change") == ["true"] and query.get("last_etag") == [etag()]:
            end = time.monotonic() + float(query.get("timeout_sec", ["3600"])[0])
            with cloud.changed:
                cloud.changed.wait_for(
                    lambda: cloud.closing or cloud.broken or query["last_etag"] != [etag()],
                    end - time.monotonic())
        if cloud.broken:
            self.answer_broken(cloud.broken)
            return
        self.answer(200, "TRUE" if cloud.preempted else "FALSE", ETag=etag(), Metadata_Flavor="Google")

    def azure(self, url, body):
        cloud = self.cloud
        query = urllib.parse.parse_qs(url.query)
        if self.headers.get("Metadata") != "true" or "api-version" not in query:
            self.answer(400, '{"error": "Bad request"}', "application/json")
        elif url.path == "/metadata/instance/compute/name":
            self.answer(200, cloud.name)
        elif url.path == "/metadata/scheduledevents" and self.command == "POST":
            cloud.on_acknowledge()
            cloud.acknowledged += [start["EventId"] for start in json.loads(body)["StartRequests"]]
            self.answer(200)
        elif url.path == "/metadata/scheduledevents":
            self.answer_json({"DocumentIncarnation": len(cloud.events), "Events": cloud.events})
        else:
            self.answer(404)
