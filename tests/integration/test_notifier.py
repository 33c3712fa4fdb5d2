#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The notifier: which mails leave, what is in them, and that none is lost or doubled needlessly."""
import email
import email.policy
import email.utils
import importlib.util
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, Lab, main, wait_until  # noqa: E402
from mail_server import MailServer, make_certificate  # noqa: E402

ENDED_JOB = BUILD / "tests" / "integration" / "ended-job"
SOMEBODY = "somebody.very.private@example.org"
FAST = ("--mail-retry-ms", "50")  # the first backoff


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class NotifierTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab(dispatcher=False)
        self.addCleanup(self.close_lab)

    def close_lab(self):
        """No test leaves an address or a token in a log, or a process that ended badly."""
        for program in self.lab.programs.values():
            self.assertNotIn("private", program.log)
            self.assertNotRegex(program.log, "token")
        self.assertEqual(self.lab.close(), [])

    def end_job(self, state="succeeded", code="", to=SOMEBODY):
        words = [ENDED_JOB, self.lab.redis_url, self.lab.secret_file, to, state] + [code] * bool(code)
        done = subprocess.run(words, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def notifier(self, *options, name="notifier"):
        return self.lab.notifier_start(*FAST, *options, name=name)

    def server(self, **how):
        server = MailServer(**how)
        self.addCleanup(server.close)
        return server

    def settled(self, program, event, count=1):
        wait_until(lambda: program.log.count(event) >= count, f"{count} times {event}")

    def unsent(self):
        """What Redis keeps of mails that were given up."""
        return [self.lab.redis_cli("hget", f"{{q:00}}n:{row}", "reason")
                for row in self.lab.redis_cli("zrange", "{q:00}unsent", "0", "-1").splitlines()]

    # ---- what is in a mail ----

    def check_mail(self, data, job, subject):
        """Every promise that holds for all mails; returns the texts of both parts."""
        for line in data.split(b"\r\n"):
            self.assertNotIn(b"\n", line)
            self.assertLessEqual(len(line), 998 if line.startswith(b"List-Unsubscribe: ") else 78)
            self.assertTrue(line.isascii())
        mail = email.message_from_bytes(data, policy=email.policy.default)
        self.assertEqual(mail.defects, [])
        self.assertEqual(mail["Subject"], subject)
        self.assertEqual(mail["From"].addresses[0].addr_spec, "darkroom@example.org")
        self.assertEqual([a.addr_spec for a in mail["To"].addresses], [SOMEBODY])
        self.assertEqual(mail["Auto-Submitted"], "auto-generated")
        self.assertRegex(mail["Message-ID"], rf"^<{job}-[0-9a-f]+-m@example\.org>$")
        age = time.time() - email.utils.parsedate_to_datetime(mail["Date"]).timestamp()
        self.assertTrue(-5 < age < 120, age)
        self.assertEqual(mail.get_content_type(), "multipart/alternative")
        self.assertEqual([part.get_content_type() for part in mail.iter_parts()],
                         ["text/plain", "text/html"])
        for header in mail.keys():
            self.assertEqual(len(mail.get_all(header)), 1, header)
        texts = [part.get_content() for part in mail.iter_parts()]
        for text in texts:
            self.assertRegex(text, rf"{self.lab.url}/j/{job}\?token=[\w-]{{22}}(?![\w-])")
            self.assertRegex(text, rf"{self.lab.url}/j/{job}/delete\?token=[\w-]{{22}}(?![\w-])")
            tokens = set(re.findall(r"token=([\w-]+)", text))
            self.assertEqual(len(tokens), 2)
            self.assertNotIn("{{", text)
            self.assertIn("A model for tests", text)
        return texts

    def test_a_real_mail_server_receives_the_mail_of_a_picture(self):
        if not importlib.util.find_spec("aiosmtpd"):
            self.skipTest("aiosmtpd is not installed")
        port, folder = free_port(), self.lab.path / "mailbox"
        self.lab.start("aiosmtpd", [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}",
                                    "-c", "aiosmtpd.handlers.Mailbox", folder])

        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0
        wait_until(listens, "aiosmtpd listens")
        self.notifier("--smtp", f"smtp://127.0.0.1:{port}")
        job = self.end_job()
        path = wait_until(lambda: list(folder.glob("new/*")), "a mail")[0]
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        self.assertEqual(mail["X-RcptTo"], SOMEBODY)
        self.assertEqual(mail["X-MailFrom"], "darkroom@example.org")
        self.assertIn(f"/j/{job}?token=", mail.get_body(("plain",)).get_content())
        os.kill(self.lab.programs["aiosmtpd"].pid, signal.SIGKILL)  # it has no clean end
        self.lab.programs.pop("aiosmtpd").process.wait()

    def test_the_mail_of_a_picture_keeps_every_promise(self):
        server = self.server()
        notifier = self.notifier("--smtp", server.url)
        job = self.end_job()
        mail = server.wait_for(1)[0]
        text, html = self.check_mail(mail.data, job, "Your picture is ready")
        self.assertIn("Your picture is ready", text)
        self.assertIn("deletes it", text)
        self.assertIn("stops all mails", text)
        self.assertRegex(html, rf'<a href="{self.lab.url}/j/{job}\?token=')
        self.assertEqual(mail.recipients, [f"TO:<{SOMEBODY}>"])
        self.assertTrue(mail.sender.startswith("FROM:<darkroom@example.org>"))
        self.settled(notifier, "mail.sent")
        self.assertEqual(self.lab.redis_cli("zcard", "{q:00}due"), "0")

    def test_the_mail_of_a_failure_says_why(self):
        server = self.server()
        self.notifier("--smtp", server.url)
        job = self.end_job("failed", "corrupt")
        for text in self.check_mail(server.wait_for(1)[0].data, job, "Your picture could not be made"):
            self.assertIn("damaged or cut off", text)
            self.assertNotIn("as the test wants it", text)

    def test_an_outbox_folder_takes_whole_files(self):
        notifier = self.notifier()
        jobs = {self.end_job() for _ in range(3)}
        self.settled(notifier, "mail.sent", 3)
        self.assertNotIn("mail.away", notifier.log)
        files = list(self.lab.outbox.iterdir())
        self.assertEqual({path.name.split("-")[0] for path in files}, jobs)
        for path in files:
            self.assertTrue(path.name.endswith(".eml"))
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            self.check_mail(path.read_bytes(), path.name.split("-")[0], "Your picture is ready")

    # ---- what a server can say ----

    def test_a_mail_waits_while_its_server_is_away(self):
        port = free_port()
        notifier = self.notifier("--smtp", f"smtp://127.0.0.1:{port}")
        job = self.end_job()
        self.settled(notifier, "mail.deferred", 2)
        self.assertEqual(notifier.log.count("mail.away"), 1)
        server = self.server(port=port)
        self.check_mail(server.wait_for(1)[0].data, job, "Your picture is ready")
        self.settled(notifier, "mail.sent")
        self.assertEqual(notifier.log.count("mail.away"), 2)  # gone, and back
        self.assertEqual(len(server.mails), 1)

    def test_what_is_refused_for_now_goes_out_later_under_the_same_id(self):
        server = self.server()
        replies = {"RCPT": "450 4.2.0 greylisted", "CONTENT": "451 4.3.0 later", "TAKEN": "hang up"}
        server.refuse = lambda command, argument: replies.pop(command, None)
        notifier = self.notifier("--smtp", server.url)
        self.end_job()
        mails = server.wait_for(2)
        self.settled(notifier, "mail.sent")
        self.assertEqual(notifier.log.count("mail.deferred"), 3)
        self.assertEqual(len({mail.message["Message-ID"] for mail in mails}), 1)
        self.assertEqual(len(mails), 2)  # the first was taken, and the answer lost

    def test_what_is_refused_for_good_is_kept_with_its_reason(self):
        server = self.server()
        server.refuse = lambda command, argument: (
            f"550 5.1.1 {argument} is unknown here" if command == "RCPT" else None)
        notifier = self.notifier("--smtp", server.url)
        self.end_job()
        self.settled(notifier, "mail.refused")
        self.assertEqual(self.unsent(), ["the mail server answered 550 to the recipient"])
        self.assertEqual(self.lab.redis_cli("zcard", "{q:00}due"), "0")
        server.refuse = lambda command, argument: None
        self.end_job(to="other.private@example.org")
        self.assertEqual(server.wait_for(1)[0].recipients, ["TO:<other.private@example.org>"])

    def test_a_fault_of_the_configuration_loses_no_mail(self):
        server = self.server()
        server.refuse = lambda command, argument: "553 5.7.1 not your address" if command == "MAIL" else None
        notifier = self.notifier("--smtp", server.url)
        self.end_job()
        self.settled(notifier, "mail.deferred")
        self.assertEqual(self.unsent(), [])
        server.refuse = lambda command, argument: None
        server.wait_for(1)

    def test_another_secret_defers_and_refuses_nothing(self):
        job = self.end_job()
        other = self.lab._secret("another-secret")
        right, self.lab.secret_file = self.lab.secret_file, other
        notifier = self.notifier()
        self.settled(notifier, "mail.deferred")
        self.assertIn("another secret", notifier.log)
        self.lab.stop("notifier")
        self.lab.secret_file = right
        notifier = self.notifier()
        self.settled(notifier, "mail.sent")
        self.assertTrue(list(self.lab.outbox.glob(f"{job}*.eml")))

    def test_a_silent_server_is_given_up_for_now(self):
        server = self.server()
        replies = ["silence"]
        server.refuse = lambda command, argument: replies.pop() if command == "RCPT" and replies else None
        notifier = self.notifier("--smtp", server.url, "--smtp-timeout-ms", "300")
        self.end_job()
        self.settled(notifier, "mail.sent")
        self.assertIn("did not answer in time", notifier.log)

    # ---- encryption ----

    def with_login(self, **how):
        certificate = make_certificate(self.lab.path)
        server = self.server(certificate=certificate, login=("lab", "p4ss-word"), **how)
        password = self.lab.path / "password"
        password.write_text("p4ss-word\n")
        password.chmod(0o600)
        scheme = "smtps" if how.get("implicit_tls") else "smtp+starttls"
        return server, ("--smtp", f"{scheme}://localhost:{server.port}", "--smtp-user", "lab",
                        "--smtp-password-file", password, "--smtp-ca-file", certificate[0])

    def test_starttls_and_a_login_come_before_the_mail(self):
        server, options = self.with_login()
        self.notifier(*options)
        self.end_job()
        self.assertTrue(server.wait_for(1)[0].encrypted)
        self.assertEqual(server.commands[:5], ["EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL"])

    def test_a_real_mail_server_that_wants_starttls_and_a_login_gets_them(self):
        if not importlib.util.find_spec("aiosmtpd"):
            self.skipTest("aiosmtpd is not installed")
        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import AuthResult
        taken = []

        class Handler:
            async def handle_DATA(self, server, session, envelope):
                taken.append((session.ssl is not None, session.authenticated, envelope))
                return "250 taken"

        def authenticator(server, session, envelope, mechanism, login):
            return AuthResult(success=(login.login, login.password) == (b"lab", b"p4ss-word"))
        _, options = self.with_login()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.lab.path / "certificate.pem", self.lab.path / "key.pem")
        controller = Controller(Handler(), hostname="127.0.0.1", port=free_port(), tls_context=context,
                                require_starttls=True, auth_required=True, authenticator=authenticator)
        controller.start()
        self.addCleanup(controller.stop)
        self.notifier(*options, "--smtp", f"smtp+starttls://localhost:{controller.port}")
        self.end_job()
        encrypted, authenticated, envelope = wait_until(lambda: taken, "a mail")[0]
        self.assertTrue(encrypted and authenticated)
        self.assertEqual((envelope.mail_from, envelope.rcpt_tos), ("darkroom@example.org", [SOMEBODY]))

    def test_tls_from_the_first_byte_works_too(self):
        server, options = self.with_login(implicit_tls=True)
        self.notifier(*options)
        self.end_job()
        self.assertTrue(server.wait_for(1)[0].encrypted)

    def test_a_server_without_starttls_learns_nothing(self):
        server = self.server()
        notifier = self.notifier("--smtp", f"smtp+starttls://127.0.0.1:{server.port}")
        self.end_job()
        self.settled(notifier, "mail.deferred")
        self.assertLessEqual(set(server.commands), {"EHLO", "QUIT"})

    def test_a_certificate_that_nobody_signed_is_no_certificate(self):
        server, options = self.with_login()
        notifier = self.notifier(*options[:-2])
        self.end_job()
        self.settled(notifier, "mail.deferred")
        self.assertLessEqual(set(server.commands), {"EHLO", "STARTTLS", "QUIT"})

    def test_a_wrong_password_waits_for_the_right_one(self):
        server, options = self.with_login()
        (self.lab.path / "password").write_text("wrong\n")
        notifier = self.notifier(*options)
        self.end_job()
        self.settled(notifier, "mail.deferred")
        self.assertIn("535 to the login", notifier.log)
        self.assertNotIn("MAIL", server.commands)
        server.login = ("lab", "wrong")
        server.wait_for(1)

    # ---- crashes, limits, company ----

    def killed_at(self, stage):
        """kill -9 while the server is at `stage` of the first mail; another notifier follows."""
        server = self.server()
        armed = [True]

        def refuse(command, argument):
            if command == stage and armed:
                os.kill(first.pid, signal.SIGKILL)
                wait_until(lambda: first.process.poll() is not None, "the end of the first")
                armed.clear()
        server.refuse = refuse
        options = ("--smtp", server.url, "--mail-lease-ms", "1000", "--smtp-timeout-ms", "900")
        first = self.notifier(*options)
        self.end_job()
        wait_until(lambda: not armed, f"the {stage} of the first mail")
        self.lab.programs.pop("notifier")
        first.stop()
        second = self.notifier(*options, name="second")
        self.settled(second, "mail.sent")
        return server.mails

    def test_killed_before_the_mail_was_taken_it_goes_out_once(self):
        self.assertEqual(len(self.killed_at("RCPT")), 1)

    def test_killed_after_the_mail_was_taken_it_goes_out_again_under_the_same_id(self):
        mails = self.killed_at("TAKEN")
        self.assertEqual(len(mails), 2)
        self.assertEqual(len({mail.message["Message-ID"] for mail in mails}), 1)

    def test_killed_again_and_again_it_loses_no_mail(self):
        server = self.server()
        options = ("--smtp", server.url, "--mail-lease-ms", "1000", "--smtp-timeout-ms", "900")
        jobs = set()
        countdown, victim = [], []

        def refuse(command, argument):
            # Each notifier dies a little further on in the conversation than the one before it.
            if countdown and victim:
                countdown[0] -= 1
                if countdown[0] == 0:
                    countdown.clear()
                    os.kill(victim.pop().pid, signal.SIGKILL)
        server.refuse = refuse
        for kills in range(6):
            countdown[:] = [9 + kills]
            notifier = self.notifier(*options, name=f"notifier{kills}")
            victim.append(notifier)
            jobs |= {self.end_job(to=f"private{kills}.{i}@example.org") for i in range(4)}
            wait_until(lambda: not notifier.running(), "the end of a notifier")
            self.lab.programs.pop(notifier.name)
            notifier.stop()
        last = self.notifier(*options)
        wait_until(lambda: self.lab.redis_cli("zcard", "{q:00}due") == "0", "an empty outbox")
        self.settled(last, "mail.sent")
        ids = [mail.message["Message-ID"] for mail in server.mails]
        self.assertEqual({mail_id[1:35] for mail_id in ids}, jobs)
        self.assertEqual(len(set(ids)), len(jobs))
        self.assertLessEqual(len(ids), len(jobs) + 6)  # each kill doubles one mail at most

    def test_an_address_gets_so_many_mails_an_hour_and_the_rest_later(self):
        notifier = self.notifier("--mail-per-address-hour", "2")
        for _ in range(4):
            self.end_job()
        self.end_job(to="other.private@example.org")
        self.settled(notifier, "mail.limited", 2)
        self.settled(notifier, "mail.sent", 3)
        self.assertEqual(len(list(self.lab.outbox.iterdir())), 3)
        rows = self.lab.redis_cli("zrange", "{q:00}due", "0", "-1").splitlines()
        self.assertEqual(len(rows), 2)
        waits = [int(text) for text in re.findall(r"mail\.limited .*wait_ms=(\d+)", notifier.log)]
        for wait in waits:
            self.assertTrue(3500000 < wait <= 3600000, wait)
        # An hour later: what was counted is forgotten, and the rows are due.
        for key in self.lab.redis_cli("keys", "{k}mailto:*").splitlines():
            self.lab.redis_cli("del", key)
        for row in rows:
            self.lab.redis_cli("zadd", "{q:00}due", "0", row)
        self.settled(notifier, "mail.sent", 5)
        self.assertEqual(len(list(self.lab.outbox.iterdir())), 5)

    def test_two_notifiers_send_each_mail_once(self):
        server = self.server()
        programs = [self.notifier("--smtp", server.url, name=name) for name in ("one", "two")]
        jobs = sorted(self.end_job(to=f"private{i}@example.org") for i in range(12))
        wait_until(lambda: sum(p.log.count("mail.sent") for p in programs) == 12, "12 mails")
        self.assertEqual(sorted(m.message["Message-ID"][1:35] for m in server.mails), jobs)

    def test_redis_may_go_and_come_back(self):
        notifier = self.notifier()
        self.lab.stop("redis")
        self.settled(notifier, "redis.away")
        self.lab.redis_start()
        self.end_job()
        self.settled(notifier, "mail.sent")
        self.assertEqual(notifier.log.count("redis.away"), 2)  # gone, and back
        self.assertTrue(notifier.running())

    def test_it_waits_for_a_redis_that_is_not_there_yet(self):
        self.lab.stop("redis")
        words = [BUILD / "dispatcher" / "darkroom-notifier", "--redis", self.lab.redis_url,
                 "--secret-file", self.lab.secret_file, "--mail-from", "darkroom@example.org",
                 "--outbox", self.lab.outbox]
        early = self.lab.start("early", words)
        early.wait_for_log("redis.away")
        self.assertNotIn("notifier.ready", early.log)
        self.lab.redis_start()
        early.wait_for_log("notifier.ready")

    def test_an_evicting_redis_is_refused(self):
        self.lab.redis_cli("config", "set", "maxmemory-policy", "allkeys-lru")
        done = self.run_notifier("--outbox", self.lab.outbox)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("noeviction", done.stderr)

    def run_notifier(self, *options):
        return subprocess.run(
            [BUILD / "dispatcher" / "darkroom-notifier", "--redis", self.lab.redis_url, "--secret-file",
             self.lab.secret_file, "--mail-from", "darkroom@example.org", *options],
            capture_output=True, text=True, timeout=60)

    def test_bad_settings_refuse_to_start_and_say_which(self):
        outbox = ("--outbox", self.lab.outbox)
        for options, text in [
                ((), "--smtp and --outbox"),
                (("--smtp", "smtp://127.0.0.1", *outbox), "--smtp and --outbox"),
                (("--smtp", "smtp://mail.example"), "plain"),
                (("--smtp", "http://mail.example"), "smtps://"),
                (("--smtp", "smtp://127.0.0.1", "--smtp-user", "lab"), "--smtp-password-file"),
                (("--smtp", "smtp://127.0.0.1", "--mail-lease-ms", "1000"), "smtp-timeout-ms"),
                ((*outbox, "--mail-from", "nobody"), "mail-from"),
                ((*outbox, "--mail-from", "A\nBcc: x <a@b.example>"), "mail-from"),
                ((*outbox, "--public-url", "darkroom.example"), "public-url"),
                ((*outbox, "--secret-file", "/nonexistent"), "/nonexistent"),
                ((*outbox, "--mail-per-address-hour", "0"), "mail-per-address-hour"),
                (("--outbox", "/proc/nothing"), "outbox")]:
            done = self.run_notifier(*options)
            self.assertNotEqual(done.returncode, 0, options)
            self.assertIn(text, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)


if __name__ == "__main__":
    main()
