# SPDX-License-Identifier: MIT
"""What the clients have written down so far, read while they write: for figures, and to know when a fleet is well again.

    watch = Watch(history_folder)
    watch.read()
    watch.well_since(t)                         # all jobs accepted before are over, others were accepted and ended since
    watch.longest_gap("accepted", t0, t1)       # seconds without a single one
"""
import json

FINAL = ("succeeded", "failed", "cancelled")


class Watch:
    def __init__(self, folder):
        self.folder, self.read_to = folder, {}
        self.accepted, self.ended = {}, {}  # id → when
        self.gone = set()
        self.submits, self.unanswered = {}, []  # tag → when

    def read(self):
        for path in self.folder.glob("client-*.jsonl"):
            with open(path, "rb") as file:
                file.seek(self.read_to.get(path, 0))
                news = file.read()
            news = news[:news.rfind(b"\n") + 1]
            self.read_to[path] = self.read_to.get(path, 0) + len(news)
            for line in news.splitlines():
                self.take(json.loads(line))

    def take(self, event):
        if event["what"] == "accepted":
            self.accepted.setdefault(event["id"], event["t"])
        elif event["what"] == "seen" and event["state"] in FINAL:
            self.ended.setdefault(event["id"], event["t"])
        elif event["what"] in ("missing", "erased"):
            self.gone.add(event["id"])
        elif event["what"] == "submit":
            self.submits[event["tag"]] = event["t"]
        elif event["what"] in ("unknown", "refused"):
            self.unanswered.append(event["t"])

    def events(self, what):
        self.read()
        return [{"id": job, "t": t} for job, t in getattr(self, what).items()]

    def well_since(self, t):
        self.read()
        over = all(accepted >= t or job in self.ended or job in self.gone for job, accepted in self.accepted.items())
        return over and any(self.accepted.get(job, 0) >= t for job in self.ended)

    def count(self, what, since, until):
        return sum(since <= t < until for t in getattr(self, what).values())

    def longest_gap(self, what, since, until):
        times = sorted(t for t in getattr(self, what).values() if since <= t < until)
        times = [since, *times, until]
        return max(after - before for before, after in zip(times, times[1:]))

    def slowest(self, since, until):
        """The longest time from a 202 to the end, of jobs accepted between the two."""
        return max((self.ended[job] - t for job, t in self.accepted.items() if since <= t < until and job in self.ended),
                   default=0.0)
