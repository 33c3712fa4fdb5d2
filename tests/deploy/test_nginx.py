#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/nginx: a real nginx with TLS in front of two real dispatchers."""
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from certificates import Certificates  # noqa: E402
from darkroom import BUILD, Hand, Lab, data_url, main, png, wait_until  # noqa: E402
from nginx_front import FILES, NGINX, free_port, write  # noqa: E402

BURST = 20  # of one visitor
PATIENCE_S = 2  # of nginx, instead of 15


def curl_has_http2():
    return shutil.which("curl") and "HTTP2" in subprocess.run(["curl", "--version"], capture_output=True, text=True,
                                                              check=False).stdout


@unittest.skipUnless(NGINX, "nginx is not installed")
@unittest.skipUnless(curl_has_http2(), "there is no curl that speaks HTTP/2")
class Nginx(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(dispatcher=False, dispatcher_options=("--trusted-proxies", "127.0.0.1", "--submits-per-minute", "1", "--submits-burst", BURST))
        try:
            cls.start()
        except BaseException:
            cls.lab.close()
            raise

    @classmethod
    def start(cls):
        cls.plain, cls.secure = free_port(), free_port()
        cls.url = f"https://localhost:{cls.secure}"
        cls.options = ("--public-url", cls.url)
        cls.lab.dispatcher_start(*cls.options)
        other = cls.lab.dispatcher_start(*cls.options, name="dispatcher-2")
        cls.tls = Certificates(cls.lab.path / "tls")
        cls.path = cls.lab.path / "nginx"
        cls.path.mkdir(mode=0o755)
        os.chmod(cls.lab.path, 0o755)
        configuration = write(cls.path, cls.tls, "127.0.0.1", cls.plain, cls.secure,
                              [f"127.0.0.1:{port}" for port in (cls.lab.port, other.port)], PATIENCE_S)
        cls.nginx = cls.lab.start("nginx", [NGINX, "-p", cls.path, "-c", configuration, "-e", "stderr"])

        def answers():
            assert cls.nginx.running(), cls.nginx.log
            return cls.curl("/healthz")[0] == 200
        wait_until(answers, "nginx answers")

    @classmethod
    def tearDownClass(cls):
        failures = cls.lab.close()
        assert not failures, failures

    @classmethod
    def curl(cls, target, *options, body=None):
        """(status, headers with small names, body) of one request."""
        result = subprocess.run(["curl", "-sS", "--max-time", "20", "--cacert", cls.tls.ca, "-D", "-", *options,
                                 *(["--data-binary", "@-"] if body is not None else []), cls.url + target],
                                input=body, capture_output=True, check=False)
        head, _, body = result.stdout.partition(b"\r\n\r\n")
        while body.startswith(b"HTTP/"):  # after 100 Continue
            head, _, body = body.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = [line.split(": ", 1) for line in lines[1:] if ": " in line]
        status = int(lines[0].split()[1]) if lines[0] else 0
        return status, [(name.lower(), value) for name, value in headers], body

    def submit(self, *options, picture=None):
        body = json.dumps({"model": "test-model", "input": data_url(picture or png())}).encode()
        return self.curl("/v1/jobs", "-H", "Content-Type: application/json", *options, body=body)

    def test_nginx_finds_nothing_wrong(self):
        result = subprocess.run([NGINX, "-t", "-p", self.path, "-c", self.path / "nginx.conf", "-e", "stderr"],
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn("[warn]", result.stderr)

    def test_http_2_over_tls_and_nothing_without(self):
        result = subprocess.run(["curl", "-sS", "--cacert", self.tls.ca, "-o", os.devnull, "-w",
                                 "%{http_version}", f"{self.url}/healthz"], capture_output=True, text=True, check=True)
        self.assertEqual(result.stdout, "2")
        result = subprocess.run(["curl", "-sS", "-o", os.devnull, "-w", "%{http_code} %{redirect_url}",
                                 f"http://127.0.0.1:{self.plain}/v1/models?x=1"], capture_output=True, text=True,
                                check=True)
        self.assertEqual(result.stdout, "301 https://127.0.0.1/v1/models?x=1")

    def test_no_header_is_there_twice(self):
        for target in ("/v1/models", "/v1/jobs/none", "/healthz"):
            _, headers, _ = self.curl(target)
            names = [name for name, _ in headers if name != "vary"]
            self.assertEqual(sorted(names), sorted(set(names)), headers)
            self.assertIn("strict-transport-security", names)

    def test_an_event_arrives_when_it_happens(self):
        status, _, body = self.submit()
        self.assertEqual(status, 202, body)
        job = json.loads(body)
        context = ssl.create_default_context(cafile=str(self.tls.ca))
        with socket.create_connection(("127.0.0.1", self.secure), timeout=20) as plain, \
                context.wrap_socket(plain, server_hostname="localhost") as stream, Hand(self.lab) as hand:
            stream.sendall(f"GET /v1/jobs/{job['id']}/events?token={job['tokens']['view']} HTTP/1.1\r\n"
                           "Host: localhost\r\n\r\n".encode())
            self.text = ""

            def read_until(word):
                while word not in self.text:
                    more = stream.recv(65536).decode()
                    self.assertTrue(more, self.text)
                    self.text += more
            # Each is read before the next one is caused, so nothing behind it can have pushed it out.
            read_until("queued")
            claimed = hand.claim(job)
            read_until("running")
            hand.progress(claimed, 250)
            read_until("250")
            hand.fail(claimed)
            read_until("failed")

    def test_the_limits_are_those_of_the_dispatchers(self):
        dumped = dict(line.split(" = ", 1) for line in subprocess.run(
            [BUILD / "dispatcher" / "darkroom-dispatcher", "--dump-config"], capture_output=True, text=True, check=True).stdout.splitlines()
            if " = " in line)
        text = (FILES / "darkroom.conf").read_text()
        for option in ("max-body-bytes", "max-batch-bytes", "max-upload-bytes"):
            self.assertRegex(text, rf"# --{option}[^;]*client_max_body_size {dumped[option]};")

    def test_a_body_over_the_limit_is_refused_as_a_problem(self):
        status, headers, body = self.submit(picture=b"x" * 26_000_000)
        self.assertEqual((status, dict(headers)["content-type"]), (413, "application/problem+json"))
        self.assertEqual(json.loads(body)["type"], "/problems/too-large")

    def test_visitors_are_told_apart_by_their_addresses(self):
        # Whoever speaks to nginx here has the address of a trusted proxy, so what it says of its client is believed.
        statuses = []
        while len(statuses) < 2 * BURST and 429 not in statuses:
            statuses.append(self.submit("-H", "X-Forwarded-For: 203.0.113.5")[0])
        self.assertEqual(set(statuses), {202, 429})
        self.assertEqual(self.submit("-H", "X-Forwarded-For: 203.0.113.6")[0], 202)

    def test_metrics_are_not_for_the_world(self):
        self.assertEqual(self.curl("/metrics")[0], 404)

    def test_when_a_dispatcher_dies_the_other_one_answers(self):
        self.lab.stop("dispatcher-2", signal.SIGKILL)
        try:
            for _ in range(6):
                self.assertEqual(self.curl("/v1/models")[0], 200)
                self.assertEqual(self.submit()[0], 202)
        finally:
            self.revive()

    def revive(self):
        port = int((self.lab.path / "dispatcher-2.port").read_text())
        self.lab.dispatcher_start(*self.options, "--listen", f"127.0.0.1:{port}", name="dispatcher-2")

    def test_a_dispatcher_that_says_nothing_any_more_holds_no_request_up_for_long(self):
        # As when its host is gone: the connections that nginx has kept to it look well.
        program = self.lab.programs["dispatcher-2"]
        os.kill(program.pid, signal.SIGSTOP)
        try:
            self.assertEqual({self.curl("/v1/models", "--max-time", str(4 * PATIENCE_S))[0] for _ in range(4)}, {200})
        finally:
            os.kill(program.pid, signal.SIGCONT)
        seen, visitors = program.log.count("job.accepted"), iter(range(1 << 16))
        wait_until(lambda: self.submit("-H", f"X-Forwarded-For: 2001:db8:{next(visitors):x}::1")[0] == 202 and
                   program.log.count("job.accepted") > seen, "nginx has taken it back")

    def test_who_asks_to_wait_may_wait_for_longer(self):
        body = json.loads(self.submit()[2])
        status, headers, _ = self.curl(f"/v1/jobs/{body['id']}", "-H", f"Prefer: wait={PATIENCE_S + 1}",
                                       "-H", f"Authorization: Bearer {body['tokens']['view']}")
        self.assertEqual((status, dict(headers)["preference-applied"]), (200, f"wait={PATIENCE_S + 1}"))
        status, headers, body = self.submit("-H", f"Prefer: wait={PATIENCE_S + 1}", picture=b"x" * 26_000_000)
        self.assertEqual((status, dict(headers)["content-type"]), (413, "application/problem+json"))

    def test_a_post_that_a_dispatcher_may_have_read_is_not_repeated(self):
        program = self.lab.programs["dispatcher-2"]
        os.kill(program.pid, signal.SIGSTOP)  # the kernel takes connections and requests, nobody answers
        statuses = []
        threads = [threading.Thread(target=lambda: statuses.append(self.submit("--max-time", "8")[0])) for _ in range(4)]
        for thread in threads:
            thread.start()
        # nginx takes them nearly in turn; the stopped one's can only wait.
        wait_until(lambda: len(statuses) + self.unread() == 4, "the other one's answers")
        stuck = self.unread()
        self.assertGreater(stuck, 0)
        self.lab.stop("dispatcher-2", signal.SIGKILL)
        for thread in threads:
            thread.join()
        self.revive()
        self.assertEqual(sorted(statuses), [202] * (4 - stuck) + [503] * stuck)

    def unread(self):
        """Of how many connections dispatcher-2 has something to read."""
        port = int((self.lab.path / "dispatcher-2.port").read_text())
        rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1].endswith(f":{port:04X}") and row[3] == "01" and int(row[4].split(":")[1], 16) > 0
                   for row in rows)


if __name__ == "__main__":
    main()
