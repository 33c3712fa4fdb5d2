# SPDX-License-Identifier: MIT
"""A wire between the programs and Redis that can be cut at a chosen reply, and a chosen command held.

    wire = Wire(folder)
    Plant(redis_proxy=wire, …)                         # every program gets a socket of its own
    wire.on_reply = lambda program, script: "cut"      # the command ran; its reply is never seen
    wire.on_reply = lambda program, script: b"-LOADING …\r\n"       # or this is seen in its place
    wire.break_all()                                   # every connection that is open now
    wire.on_command = lambda program, script: None     # may block: the command waits meanwhile
    wire.on_answer = lambda program, script, reply: None       # reply() parses it

Scripts are told apart by the SHA-1 that the build gave them; a plain command goes by its name in lower
case. A cut closes the connection on both sides, as a broken network does.
"""
import collections
import pathlib
import re
import socket
import threading

from darkroom import BUILD
from resp import parse, whole


def script_names():
    """SHA-1 → name, as the build has it."""
    source = (BUILD / "common" / "queue_scripts.c").read_text()
    return {sha.encode(): name for name, sha in re.findall(r'"(\w+)", "([0-9a-f]{40})"', source)}


class Wire:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.names = script_names()
        self.listeners = {}
        self.on_command = self.on_reply = self.on_answer = lambda *_: None
        self.cuts, self.seen = collections.Counter(), collections.Counter()
        self.lock = threading.Lock()
        self.links = []
        self.closed = False

    def url_for(self, program, target):
        """Where `program` finds the Redis at `target`, a unix socket."""
        target = target.removeprefix("unix:")
        path = self.folder / f"wire-{program}.sock"
        if program not in self.listeners:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen(64)
            self.listeners[program] = listener
            threading.Thread(target=self.accept, args=(program, listener, target), daemon=True).start()
        return f"unix:{path}"

    def close(self):
        self.closed = True
        for listener in self.listeners.values():
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def accept(self, program, listener, target):
        while not self.closed:
            try:
                client = listener.accept()[0]
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(target)
            except OSError:
                client.close()
                server.close()
                continue
            self.links = [link for link in self.links if not link.over] + [Link(self, program, client, server)]

    def break_all(self):
        for link in self.links:
            link.cut()

    def name_of(self, command):
        """What a command that is whole is called."""
        words = command.split(b"\r\n", 6)
        verb = words[2].lower()
        if verb == b"fcall" and len(words) > 4:
            return words[4].decode().rpartition("_")[0]
        if verb in (b"evalsha", b"eval") and len(words) > 4:
            if verb == b"evalsha":
                return self.names.get(words[4], "evalsha")
            return "eval"
        return verb.decode()


class Link:
    """One connection: a thread each way."""

    def __init__(self, wire, program, client, server):
        self.wire, self.program, self.client, self.server = wire, program, client, server
        self.over = False
        self.waiting = collections.deque()  # names of commands whose replies are to come
        for work in (self.forth, self.back):
            threading.Thread(target=self.guarded, args=(work,), daemon=True).start()

    def guarded(self, work):
        try:
            work()
        except OSError:
            pass
        self.cut()

    def cut(self):
        self.over = True
        for one in (self.client, self.server):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def forth(self):
        buffer = bytearray()
        while data := self.client.recv(1 << 18):
            buffer += data
            at = 0
            while size := whole(buffer, at):
                name = self.wire.name_of(bytes(buffer[at:at + min(size, 200)]))
                self.wire.on_command(self.program, name)
                self.waiting.append(name)
                self.server.sendall(buffer[at:at + size])
                at += size
            del buffer[:at]

    def back(self):
        buffer = bytearray()
        while data := self.server.recv(1 << 18):
            buffer += data
            at = sent = 0
            while size := whole(buffer, at):
                name = self.waiting.popleft()
                self.wire.seen[name] += 1
                self.wire.on_answer(self.program, name, lambda at=at: parse(buffer, at)[0])
                answer = self.wire.on_reply(self.program, name)
                if isinstance(answer, bytes):
                    buffer[at:at + size] = answer
                    size = len(answer)
                elif answer == "cut":
                    if at > sent:
                        self.client.sendall(buffer[sent:at])
                    with self.wire.lock:
                        self.wire.cuts[name] += 1
                    return
                at += size
            if at > sent:
                self.client.sendall(buffer[:at])
            del buffer[:at]
