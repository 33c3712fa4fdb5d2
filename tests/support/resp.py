# SPDX-License-Identifier: MIT
"""Redis' protocol in a few lines: a client for tests, and the reader that a proxy needs.

    with Resp("unix:/path") as redis:
        redis.call("HGETALL", key)              # bytes, int, None, list; ReplyError is raised

    size = whole(buffer, at)                    # bytes of the value that begins there, or 0: not all yet
"""
import socket


class ReplyError(Exception):
    """Redis answered with an error."""


def whole(buffer, at=0):
    """How many bytes the reply or command at `at` has; 0 while it is not all there."""
    start, left = at, 1
    while left:
        end = buffer.find(b"\r\n", at)
        if end < 0:
            return 0
        kind, number = buffer[at:at + 1], buffer[at + 1:end]
        at = end + 2
        left -= 1
        if kind == b"$" and number != b"-1":
            at += int(number) + 2
            if at > len(buffer):
                return 0
        elif kind == b"*" and number != b"-1":
            left += int(number)
    return at - start


def parse(buffer, at=0):
    """(value, position behind it) of a whole reply."""
    end = buffer.index(b"\r\n", at)
    kind, rest, at = buffer[at:at + 1], bytes(buffer[at + 1:end]), end + 2
    if kind == b"+":
        return rest, at
    if kind == b"-":
        return ReplyError(rest.decode()), at
    if kind == b":":
        return int(rest), at
    if int(rest) < 0:
        return None, at
    if kind == b"$":
        return bytes(buffer[at:at + int(rest)]), at + int(rest) + 2
    values = []
    for _ in range(int(rest)):
        value, at = parse(buffer, at)
        values.append(value)
    return values, at


def pack(*words):
    out = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(out)


class Resp:
    def __init__(self, url, timeout_s=30):
        if url.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout_s)
            self.socket.connect(url[5:])
        else:
            host, port = url.removeprefix("redis://").split("/")[0].split(":")
            self.socket = socket.create_connection((host, int(port)), timeout=timeout_s)
        self.rest = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def read(self):
        while not (size := whole(self.rest)):
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError("redis closed the connection")
            self.rest += data
        value, _ = parse(self.rest)
        del self.rest[:size]
        return value

    def call(self, *words):
        value = self.many([words])[0]
        if isinstance(value, ReplyError):
            raise value
        return value

    def many(self, commands):
        """Sends them together; errors are among the answers."""
        self.socket.sendall(b"".join(pack(*words) for words in commands))
        return [self.read() for _ in commands]

    def scan(self, pattern):
        cursor, found = b"0", set()
        while True:
            cursor, keys = self.call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            found.update(keys)
            if cursor == b"0":
                return sorted(found)
