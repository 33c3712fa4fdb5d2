# SPDX-License-Identifier: MIT
"""The history of a run: one JSON object a line, appended by whoever saw something.

    history = History(folder / "client-1.jsonl", "client-1")
    history.note("seen", id=job, state="running")
    for event in read(folder): ...                  # of all files, in the order of their clock

Written by clients and receivers only; nothing here comes from the queue or a program's log. The
clock is the machine's monotonic one, in seconds: it is the same for every process.

what        members beside t (when) and who
submit      tag, expect (SHA-256 of the right result), mail, hook, fate,   before the request leaves
            after (ids that it waits for)
accepted    tag, id                                               202 came, or the same answer again
refused     tag, status                                           another answer came
unknown     tag                                                   no answer came
seen        id, state, attempts, code, via                        a resource, by poll or stream
missing     id, status                                            404 or 410 for its resource
result      id, sha256, bytes                                     its result was fetched
cancel      id, status, state                                     the answer to a cancellation
erase       id                                                    before a deletion is asked for
erased      id                                                    the answer to a deletion was 204
mail        to, message_id, job, ended                            a mail arrived
hook        event, job, kind, body                                a webhook delivery arrived
object      key                                                   the object store at the end
inventory                                                         that was all of it
broken      status                                                a request had no answer (0), or 500 and above
power-cut   policy, window_s                                      always, everysec: the machine went off; failover
gave-up     ids                                                   a client waits no longer
"""
import hashlib
import json
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from bare_png import bare_png  # noqa: E402


def digest(result):
    """SHA-256 of a result without what it says of itself, which has the job's date in it."""
    return hashlib.sha256(bare_png(result)).hexdigest()


class History:
    """Appends to one file. Any thread; each line is written whole."""

    def __init__(self, path, who):
        self.who = who
        self.file = open(path, "ab", buffering=0)
        self.lock = threading.Lock()

    def note(self, what, **members):
        line = json.dumps({"t": time.monotonic(), "who": self.who, "what": what, **members},
                          separators=(",", ":")) + "\n"
        with self.lock:
            self.file.write(line.encode())

    def close(self):
        self.file.close()


def read(folder):
    """All events of a folder, in the order of their clock. A line that a kill cut short is skipped
    only where it is a file's last."""
    events = []
    for path in sorted(pathlib.Path(folder).glob("*.jsonl")):
        lines = path.read_bytes().split(b"\n")
        events += [json.loads(line) for line in lines[:-1]]
    return sorted(events, key=lambda event: event["t"])
