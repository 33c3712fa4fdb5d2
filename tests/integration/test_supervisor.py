#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What each daemon tells its supervisor, over the datagram socket that systemd gives a unit of Type=notify."""
import os
import pathlib
import socket
import sys
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import ROOT, Lab, main, wait_until  # noqa: E402

WATCHDOG_US = 400000  # so a beat each 200 ms


class Supervisor:
    """Collects the messages of one program, each as a dict; start the program within `with`."""

    def __init__(self, folder, name):
        self.path = folder / f"{name}.notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)
        self.heard = []
        self.environment = unittest.mock.patch.dict(os.environ, {
            "NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(WATCHDOG_US)})

    def __enter__(self):
        self.environment.start()
        return self

    def __exit__(self, *_):
        self.environment.stop()

    def messages(self):
        while True:
            try:
                text = self.socket.recv(4096).decode()
            except BlockingIOError:
                return self.heard
            self.heard.append(dict(line.split("=", 1) for line in text.split("\n")))

    def wait_for(self, **members):
        return wait_until(lambda: next((one for one in self.messages() if members.items() <= one.items()), None),
                          f"{members}")

    def wait_for_beats(self, count):
        start = len([one for one in self.messages() if "WATCHDOG" in one])
        wait_until(lambda: len([one for one in self.messages() if "WATCHDOG" in one]) >= start + count, "beats")


class Supervised(unittest.TestCase):
    def setUp(self):
        self.lab = Lab(dispatcher=False, models=ROOT / "models")
        self.addCleanup(lambda: self.assertEqual(self.lab.close(), []))

    def watch(self, name, start):
        supervisor = Supervisor(self.lab.path, name)
        with supervisor:
            start()
        self.addCleanup(supervisor.socket.close)
        return supervisor

    def ends_well(self, name, supervisor):
        self.assertEqual(self.lab.stop(name), 0)
        supervisor.wait_for(STOPPING="1")
        self.assertEqual(sum("READY" in one for one in supervisor.messages()), 1)

    def test_the_dispatcher_says_that_it_serves_lives_and_ends(self):
        supervisor = self.watch("dispatcher", self.lab.dispatcher_start)
        supervisor.wait_for(READY="1")
        supervisor.wait_for_beats(3)
        self.assertRegex(supervisor.messages()[-1]["STATUS"], "^Redis is there; [0-9]+ connections")
        self.lab.stop("redis")
        wait_until(lambda: supervisor.messages()[-1].get("STATUS", "").startswith("Redis is away"), "the outage")
        self.lab.redis_start()
        self.ends_well("dispatcher", supervisor)

    def test_the_notifier_is_ready_once_it_has_redis(self):
        self.lab.dispatcher_start()
        self.lab.stop("redis")
        supervisor = Supervisor(self.lab.path, "notifier")
        self.addCleanup(supervisor.socket.close)
        with supervisor, unittest.mock.patch("darkroom.Program.wait_for_log"):
            self.lab.notifier_start()
        wait_until(lambda: any(one["STATUS"].startswith("waiting for Redis") for one in supervisor.messages()),
                   "a word about Redis")
        self.assertFalse([one for one in supervisor.messages() if "READY" in one])
        self.lab.redis_start()
        supervisor.wait_for(READY="1")
        supervisor.wait_for_beats(1)
        self.ends_well("notifier", supervisor)

    def test_the_worker_is_ready_once_it_can_claim(self):
        self.lab.dispatcher_start()
        supervisor = self.watch("worker", lambda: self.lab.worker_start("--model", "digits"))
        supervisor.wait_for(READY="1")
        supervisor.wait_for_beats(3)
        self.assertRegex(supervisor.messages()[-1]["STATUS"], "^serving; 0 jobs in hand, 0 done")
        self.ends_well("worker", supervisor)


if __name__ == "__main__":
    main()
