# SPDX-License-Identifier: MIT
"""A mail server for tests: keeps what it takes, refuses what it is told to refuse.

    with MailServer() as server:
        lab.notifier_start("--smtp", server.url)
        mail = server.wait_for(1)[0]          # .envelope_from, .envelope_to, .message
        server.refuse = lambda command, argument: "450 later" if command == "RCPT" else None

Written on sockets, so that every reply is the test's to choose, and so that a message can be looked
at byte by byte; the real one beside it is aiosmtpd. With certificate=(cert, key) it offers STARTTLS
and, after it, AUTH PLAIN and LOGIN.
"""
import base64
import email
import email.policy
import socket
import ssl
import subprocess
import threading
import types

from darkroom import DEADLINE_S, wait_until


def make_certificate(folder, name="localhost"):
    """A self-signed certificate: (certificate file, key file)."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
                    f"subjectAltName=DNS:{name}", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return certificate, key


class MailServer:
    def __init__(self, certificate=None, implicit_tls=False, login=None, port=0, host="127.0.0.1"):
        self.mails = []
        self.commands = []  # as they came, without their arguments
        self.refuse = lambda command, argument: None  # a reply, "hang up", "silence", or None
        self.login = login  # (user, password): AUTH is offered and needed
        self.starttls = certificate and not implicit_tls
        self.implicit_tls = implicit_tls
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*certificate)
        self.socket, self.host = socket.create_server((host, port)), host
        self.port = self.socket.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    @property
    def url(self):
        return f"smtp://{self.host}:{self.port}"

    def wait_for(self, count):
        wait_until(lambda: len(self.mails) >= count, f"{count} mails")
        return self.mails

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.settimeout(DEADLINE_S)
        try:
            if self.implicit_tls:
                connection = self.context.wrap_socket(connection, server_side=True)
            Session(self, connection).run()
        except (OSError, EOFError):
            pass
        finally:
            connection.close()


class Session:
    def __init__(self, server, connection):
        self.server, self.connection = server, connection
        self.file = connection.makefile("rb")
        self.encrypted, self.trusted = server.implicit_tls, not server.login
        self.sender, self.recipients = None, []

    def say(self, text):
        self.connection.sendall(text.encode() + b"\r\n")

    def line(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError
        return line[:-2].decode()

    def refused(self, command, argument=""):
        reply = self.server.refuse(command, argument)
        if reply == "hang up":
            raise EOFError
        if reply == "silence":
            self.file.read(1)  # until the other side gives up
            raise EOFError
        if reply:
            self.say(reply)
        return bool(reply)

    def run(self):
        if self.refused("CONNECT"):
            return
        self.say("220 test ESMTP")
        while True:
            command, _, argument = self.line().partition(" ")
            command = command.upper()
            self.server.commands.append(command)
            if self.refused(command, argument):
                continue
            if command == "QUIT":
                self.say("221 bye")
                return
            getattr(self, "on_" + command.lower(), lambda _: self.say("502 no such command"))(argument)

    def on_ehlo(self, _):
        offers = ["test"]
        if self.server.starttls and not self.encrypted:
            offers.append("STARTTLS")
        if self.server.login and (self.encrypted or not self.server.context):
            offers.append("AUTH PLAIN LOGIN")
        offers.append("8BITMIME")
        for offer in offers[:-1]:
            self.say("250-" + offer)
        self.say("250 " + offers[-1])

    def on_starttls(self, _):
        self.say("220 go on")
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.file = self.connection.makefile("rb")
        self.encrypted = True

    def on_auth(self, argument):
        kind, _, initial = argument.partition(" ")
        if kind != "PLAIN":
            self.say("504 no such mechanism")
            return
        if not initial:
            self.say("334 ")
            initial = self.line()
        _, user, password = base64.b64decode(initial).decode().split("\0")
        self.trusted = (user, password) == self.server.login
        self.say("235 welcome" if self.trusted else "535 5.7.8 wrong")

    def on_mail(self, argument):
        if not self.trusted:
            self.say("530 5.7.0 log in first")
            return
        self.sender, self.recipients = argument, []
        self.say("250 ok")

    def on_rcpt(self, argument):
        self.recipients.append(argument)
        self.say("250 ok")

    def on_rset(self, _):
        self.say("250 ok")

    def on_data(self, _):
        self.say("354 go on")
        lines = []
        while (line := self.file.readline()) != b".\r\n":
            if not line:
                raise EOFError
            lines.append(line[1:] if line.startswith(b".") else line)
        if self.refused("CONTENT"):
            return
        data = b"".join(lines)
        self.server.mails.append(types.SimpleNamespace(
            sender=self.sender, recipients=self.recipients, data=data, encrypted=self.encrypted,
            message=email.message_from_bytes(data, policy=email.policy.default)))
        if not self.refused("TAKEN"):
            self.say("250 taken")
