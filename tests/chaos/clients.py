#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients: they submit, watch, cancel, erase and fetch over HTTP, and write down what they saw.

    clients.py --history FILE --who NAME --servers HOST:PORT,… --work FILE [--jobs N] [--seed N] …

--work names a JSON file {"models": {NAME: {"input": [{"picture": base64, "expect": SHA-256}]}}}.
With --ca-file they speak TLS. Each thread is one visitor with an address of its own and a few jobs at a time. A connection that
breaks is opened again, to the next dispatcher; what was submitted over it stays unknown. SIGTERM:
no more submits; what was begun is seen to its end, or until --give-up seconds of no progress.
"""
import argparse
import json
import random
import signal
import socket
import ssl
import threading
import time
import urllib.parse

import history

FINAL = ("succeeded", "failed", "cancelled")
stopping = threading.Event()


class Gone(Exception):
    """No answer: the connection broke, or took too long."""


class Http:
    """One kept connection to one of the servers, (host, port); the next one after each failure."""

    def __init__(self, servers, rng, forwarded_for, tls=None):
        self.servers, self.at, self.tls = servers, rng.randrange(len(servers)), tls
        self.forwarded_for = forwarded_for
        self.broken = lambda status: None  # told of a request without an answer, or with one of 500 and above
        self.socket, self.rest = None, b""

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket, self.rest = None, b""

    def fail(self, why):
        self.close()
        self.at = (self.at + 1) % len(self.servers)
        raise Gone(why)

    def connect(self):
        try:
            self.socket = socket.create_connection(self.servers[self.at], timeout=10)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                self.socket = self.tls.wrap_socket(self.socket, server_hostname=self.servers[self.at][0])
        except OSError as error:
            self.fail(error)

    def send(self, method, target, token=None, body=b"", headers=()):
        lines = [f"{method} {target} HTTP/1.1", "Host: %s:%d" % self.servers[self.at], f"X-Forwarded-For: {self.forwarded_for}",
                 *headers]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        try:
            self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        except OSError as error:
            self.fail(error)

    def read_until(self, mark):
        while mark not in self.rest:
            self.fill()
        head, self.rest = self.rest.split(mark, 1)
        return head

    def fill(self):
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            self.fail(error)
        if not data:
            self.fail("closed")
        self.rest += data

    def head(self):
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:])
        return int(lines[0].split(" ")[1]), {name.lower(): value for name, value in fields.items()}

    def request(self, method, target, token=None, body=b"", headers=()):
        """(status, headers, body); Gone when there was no answer."""
        try:
            answer = self.exchange(method, target, token, body, headers)
        except Gone:
            self.broken(0)
            raise
        if answer[0] >= 500:
            self.broken(answer[0])
        return answer

    def exchange(self, method, target, token, body, headers):
        if self.socket is None:
            self.connect()
        self.send(method, target, token, body, headers)
        status, fields = self.head()
        size = int(fields.get("content-length", 0)) if method != "HEAD" and status != 204 else 0
        while len(self.rest) < size:
            self.fill()
        data, self.rest = self.rest[:size], self.rest[size:]
        if fields.get("connection", "").lower() == "close":
            self.close()
        return status, fields, data


class Visitor(threading.Thread):
    """One client. Never more than `window` jobs on their way."""

    def __init__(self, options, work, notes, number, quota):
        super().__init__(daemon=True)
        self.options, self.work, self.notes = options, work, notes
        self.who = f"{options.who}.{number}"
        self.rng = random.Random(f"{options.seed}/{self.who}")
        self.http = Http(options.servers, self.rng, f"10.{self.rng.randrange(256)}.{self.rng.randrange(256)}.9",
                         options.tls)
        self.store = None  # where the results are, if elsewhere
        self.next_submit_t = 0.0
        self.http.broken = lambda status: self.note("broken", status=status)
        self.quota = quota
        self.submitted = 0
        self.jobs = {}  # id → resource with what we remember of it
        self.progress_t = time.monotonic()

    def note(self, what, **members):
        self.notes.note(what, **members)

    def run(self):
        while True:
            more = self.submitted < self.quota and not stopping.is_set()
            if not more and not self.jobs:
                return
            if time.monotonic() - self.progress_t > self.options.give_up_s:
                self.note("gave-up", ids=list(self.jobs))
                return
            while more and self.may_submit() and self.submit():
                more = self.submitted < self.quota
            self.look_at_all()

    def dare(self, permille):
        return self.rng.randrange(1000) < permille

    # ---- submit ----

    def may_submit(self):
        return len(self.jobs) < self.options.window and time.monotonic() >= self.next_submit_t

    def submit(self):
        self.next_submit_t = time.monotonic() + self.options.pace_s
        # One in eight of those that are bound to fail, where there are some.
        models = [model for model in self.work if self.work[model][0].get("fate") is None] * 7
        model = self.rng.choice(models + [model for model in self.work if model not in models])
        choice = self.rng.choice(self.work[model])
        tag = f"{self.who}-{self.submitted}"
        members = {"model": model}
        if choice.get("picture"):
            members["input"] = choice["picture"]
        plan = {"tag": tag, "expect": choice["expect"], "again": choice.get("again"), "model": model}
        if choice.get("fate"):
            plan["fate"] = choice["fate"]
        if self.dare(self.options.chain):
            self.follow(members, plan)
        if self.dare(self.options.mail):
            plan["mail"] = members["email"] = f"{tag}@example.org"
        if self.options.api_key:  # of an account with an endpoint
            plan["hook"] = True
        plan["cancels"] = self.dare(self.options.cancel)
        self.submitted += 1
        self.note("submit", **plan)
        headers = ["Content-Type: application/json"]
        repeats = 0
        if self.options.idempotent:
            headers.append(f"Idempotency-Key: {tag}-{self.options.seed}")
            repeats = self.options.repeats
        body = json.dumps(members).encode()
        while not self.post(tag, plan, body, headers, repeats):
            repeats -= 1
            time.sleep(0.1)
        return True

    def follow(self, members, plan):
        """Makes it wait for jobs of ours that have not ended, now and then for the result of one."""
        parents = [job_id for job_id in self.jobs if not self.jobs[job_id]["erases"]]
        parents = self.rng.sample(parents, min(len(parents), self.rng.randrange(1, 4)))
        if not parents:
            return
        named = [{"job": job_id, "token": self.jobs[job_id]["tokens"]["view"]} for job_id in parents]
        members["after"] = named
        plan["after"] = parents
        giver = self.jobs[parents[0]]["plan"]
        if giver["model"] == members["model"] and giver.get("again") and self.dare(500):
            members["input"] = named[0]
            plan["expect"] = giver["again"]
            del plan["again"]

    def post(self, tag, plan, body, headers, repeats):
        """False: to be sent again, which only an idempotency key permits."""
        try:
            status, _, data = self.http.request("POST", "/v1/jobs", self.options.api_key, body, headers)
        except Gone:
            if repeats > 0:
                return False
            self.note("unknown", tag=tag)
            time.sleep(0.05)
            return True
        if status != 202:
            if repeats > 0 and status in (409, 429, 503):
                return False
            # With a key, an earlier try may have been accepted without our seeing it.
            self.note("unknown" if self.options.idempotent else "refused", tag=tag, status=status)
            time.sleep(0.05)
            return True
        job = json.loads(data)
        self.note("accepted", tag=tag, id=job["id"])
        now = time.monotonic()
        self.jobs[job["id"]] = {"tokens": job["tokens"], "plan": plan, "next": now, "since": now,
                                "erases": self.dare(self.options.erase)}
        self.see(job["id"], job, "submit")
        self.progress_t = now
        if plan["cancels"] and self.dare(500):  # the others are cancelled when they are looked at
            self.look_at_one(job["id"])
        return True

    # ---- watch ----

    def see(self, job_id, resource, via):
        error = resource.get("error") or {}
        self.note("seen", id=job_id, state=resource["state"], attempts=resource["attempts"],
                  code=error.get("code"), via=via)
        return resource["state"]

    def look_at_all(self):
        looked = False
        for job_id in list(self.jobs):
            job = self.jobs[job_id]
            if time.monotonic() < job["next"]:
                continue
            looked = True
            self.look_at_one(job_id)
        if not looked:
            time.sleep(min(0.02, self.options.poll_s))

    def look_at_one(self, job_id):
        job = self.jobs[job_id]
        job["next"] = time.monotonic() + self.options.poll_s
        try:
            if self.dare(self.options.stream) and not job["plan"]["cancels"]:
                self.stream(job_id, job)
            else:
                self.look_at(job_id, job)
        except Gone:
            job["next"] = time.monotonic() + 0.05

    def look_at(self, job_id, job):
        if job["plan"]["cancels"] and not job.get("asked"):
            self.cancel(job_id, job)
        status, _, data = self.http.request("GET", f"/v1/jobs/{job_id}", job["tokens"]["view"])
        if status in (404, 410):
            self.note("missing", id=job_id, status=status)
            self.finish(job_id)
        elif status == 200 and self.see(job_id, json.loads(data), "poll") in FINAL:
            self.end(job_id, job, json.loads(data)["state"])

    def stream(self, job_id, job):
        """Follows the events until they end; whatever breaks leaves the rest to polling."""
        http = Http(self.http.servers, self.rng, self.http.forwarded_for, self.http.tls)
        try:
            http.connect()
            http.socket.settimeout(5)
            http.send("GET", f"/v1/jobs/{job_id}/events", job["tokens"]["view"])
            status, _ = http.head()
            while status == 200:
                for line in http.read_until(b"\n\n").decode(errors="replace").split("\n"):
                    if line.startswith("data: "):
                        resource = json.loads(line[6:])
                        if self.see(job_id, resource, "stream") in FINAL:
                            status = 0
        finally:
            http.close()

    def cancel(self, job_id, job):
        job["asked"] = True
        status, _, data = self.http.request("POST", f"/v1/jobs/{job_id}/cancel", job["tokens"]["manage"])
        state = json.loads(data).get("state") if status == 200 else None
        self.note("cancel", id=job_id, status=status, state=state)

    def end(self, job_id, job, state):
        if state == "succeeded" and not self.fetch(job_id, job):
            return
        if job["erases"]:
            self.note("erase", id=job_id)
            status, _, _ = self.http.request("DELETE", f"/v1/jobs/{job_id}", job["tokens"]["delete"])
            if status != 204:
                return
            self.note("erased", id=job_id)
        self.finish(job_id)

    def fetch(self, job_id, job):
        status, fields, _ = self.http.request("GET", f"/v1/jobs/{job_id}/result", job["tokens"]["view"])
        if status != 302:
            return False
        status, _, data = self.follow_link(fields["location"])
        if status != 200:
            return False
        self.note("result", id=job_id, sha256=history.digest(data), bytes=len(data))
        return True

    def follow_link(self, location):
        link = urllib.parse.urlsplit(location)
        http, server = self.http, (link.hostname, link.port or {"http": 80, "https": 443}[link.scheme])
        if server not in self.options.servers:
            if self.store is None or self.store.servers != [server]:
                self.store = Http([server], self.rng, self.http.forwarded_for)
            http = self.store
        return http.request("GET", f"{link.path}?{link.query}" if link.query else link.path)

    def finish(self, job_id):
        del self.jobs[job_id]
        self.progress_t = time.monotonic()


def servers(text):
    pairs = [one.rsplit(":", 1) for one in text.split(",")]
    return [(host, int(port)) for host, port in pairs]


def authority(path):
    return ssl.create_default_context(cafile=path)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--history", required=True)
    parser.add_argument("--who", default="c")
    parser.add_argument("--servers", required=True, type=servers, metavar="HOST:PORT,…")
    parser.add_argument("--ca-file", type=authority, dest="tls", help="speak TLS, and trust these")
    parser.add_argument("--work", required=True)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--visitors", type=int, default=4)
    parser.add_argument("--window", type=int, default=20)
    parser.add_argument("--pace-s", type=float, default=0, help="between two submits of a visitor")
    parser.add_argument("--repeats", type=int, default=50, help="of a submit with --idempotent")
    parser.add_argument("--poll-s", type=float, default=0.1)
    parser.add_argument("--give-up-s", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--api-key", help="submit with it; its account hears of each end by webhook")
    parser.add_argument("--idempotent", action="store_true", help="send an Idempotency-Key, and repeat")
    for name in ("mail", "cancel", "erase", "stream", "chain"):
        parser.add_argument(f"--{name}", type=int, default=0, metavar="PERMILLE")
    return parser.parse_args()


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    with open(options.work, encoding="utf-8") as file:
        work = json.load(file)
    notes = history.History(options.history, options.who)
    visitors = []
    for number in range(options.visitors):
        quota = options.jobs // options.visitors + (number < options.jobs % options.visitors)
        visitors.append(Visitor(options, work, notes, number, quota))
        visitors[-1].start()
    for visitor in visitors:
        while visitor.is_alive():
            visitor.join(0.2)
    notes.close()


if __name__ == "__main__":
    main()
