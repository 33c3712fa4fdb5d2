#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs and data of other versions of the protocol (docs/protocol.md, "Versions").

next-dispatcher and so on are the same programs with the scripts of the versions after this one, as
DARKROOM_TEST_PROTOCOL says: 3, which works beside 2, and 4, which works beside 3.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, DEADLINE_S, Lab, main, wait_until  # noqa: E402
from workbench import Workbench  # noqa: E402

REFUSED = 76
TOO_NEW = "the data have version 4, for programs of 3 or newer, and this program has version 2: start a newer one"
TOO_OLD = "the data have version 2, and this program has version 4 and knows data of 3 or newer: start an older one first"


class Versions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.models = Workbench(cls.folder.name).models

    def setUp(self):
        self.lab = Lab(dispatcher=False, models=self.models)
        self.addCleanup(lambda: self.assertEqual(self.lab.close(), []))

    def stamp(self, text):
        self.lab.redis_cli("set", "{q:00}protocol", text)

    def commands(self, folder_of):
        lab = self.lab
        common = ["--redis", lab.redis_url, "--models", lab.models]
        return {
            "dispatcher": [folder_of("dispatcher"), *common, "--listen", "127.0.0.1:0", "--secret-file", lab.secret_file,
                           "--worker-token-file", lab.worker_token_file, *lab.store_options],
            "notifier": [folder_of("notifier"), *common, "--public-url", "http://127.0.0.1:1", "--secret-file",
                         lab.secret_file, "--outbox", lab.outbox, "--mail-from", "a@example.org"],
            "worker": [folder_of("worker"), *common, "--dispatcher", "http://127.0.0.1:1", "--worker-token-file",
                       lab.worker_token_file, "--model", "slow", "--device", "ref"]}

    def refused(self, name, command, says, protocol="2"):
        result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=DEADLINE_S,
                                env={**os.environ, "DARKROOM_TEST_PROTOCOL": protocol}, check=False)
        self.assertEqual(result.returncode, REFUSED, (name, result.stdout + result.stderr))
        lines = [line for line in result.stderr.splitlines() if says in line]
        self.assertTrue(lines, (name, result.stderr))
        self.assertIn("{q:00}protocol", lines[-1])

    def test_a_program_that_the_data_have_left_behind_does_not_start(self):
        self.stamp("4 3")
        self.lab.redis_cli("set", "{q:00}shards", "1")
        own = {"dispatcher": "dispatcher/darkroom-dispatcher", "notifier": "dispatcher/darkroom-notifier",
               "worker": "worker/darkroom-worker"}
        commands = self.commands(lambda name: BUILD / own[name])
        commands["cli"] = [BUILD / "dispatcher" / "darkroom", "fsck", "--redis", self.lab.redis_url]
        commands["keys"] = [BUILD / "dispatcher" / "darkroom", "keys", "create", "--redis", self.lab.redis_url]
        for name, command in commands.items():
            with self.subTest(name):
                self.refused(name, command, TOO_NEW)
        self.assertEqual(set(self.lab.redis_cli("keys", "*").split()), {"{q:00}protocol", "{q:00}shards"})
        self.assertEqual(self.lab.redis_cli("get", "{q:00}protocol"), "4 3")

    def test_a_program_does_not_skip_a_version(self):
        self.stamp("2")
        self.lab.redis_cli("set", "{q:00}shards", "1")
        for name, command in self.commands(lambda name: BUILD / "tests" / "integration" / f"next-{name}").items():
            with self.subTest(name):
                self.refused(name, command, TOO_OLD, protocol="4")
        self.assertEqual(self.lab.redis_cli("get", "{q:00}protocol"), "2")

    def test_programs_that_are_left_behind_while_they_run_stop(self):
        lab = self.lab
        lab.dispatcher_start()
        lab.notifier_start()
        lab.worker_start("--model", "slow", "--device", "ref")
        self.stamp("4 3")
        wait_until(lambda: TOO_NEW.encode() in lab.get("/readyz").body, "the dispatcher is not ready, and says why")
        self.assertEqual(lab.submit(model="quick").status, 503)
        for name in ("notifier", "worker"):
            program = lab.programs.pop(name)
            self.assertEqual(program.process.wait(DEADLINE_S), REFUSED, program.log)
            self.assertIn(TOO_NEW, program.log)
        # Where the version comes back (a backup, another Redis), so does the dispatcher, by itself.
        self.stamp("3 2")
        wait_until(lambda: lab.get("/readyz").status == 200, "the dispatcher is ready again")
        self.assertEqual(lab.submit(model="quick").status, 202)


if __name__ == "__main__":
    main()
