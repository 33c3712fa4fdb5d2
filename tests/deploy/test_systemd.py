#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/systemd: units that systemd accepts, that may do little, and that are started again when it helps."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, ROOT, main  # noqa: E402

UNITS = BUILD / "deploy" / "systemd"
DAEMONS = {"dispatcher": "darkroom-dispatcher@8080.service", "notifier": "darkroom-notifier.service",
           "scale": "darkroom-scale.service", "worker": "darkroom-worker.service"}
# systemd-analyze's exposure, from 0 (nothing) to 10, in tenths: what they have today and a bit of room.
EXPOSURE = {"dispatcher": 15, "notifier": 15, "scale": 15, "worker": 18}
# docs/operations.md: after which exit statuses a daemon is started again.
AGAIN, LEFT = {69, 71, 74, 75, 80}, {64, 65, 66, 76, 77, 78}
WEIGHTS = {81, 82}  # of a worker: not what was meant


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd is not installed")
class Systemd(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-systemd-")
        cls.path = pathlib.Path(cls.folder.name)
        for template in UNITS.iterdir():
            if template.suffix in (".service", ".target"):
                # The programs of this build: systemd-analyze looks whether they are there.
                text = re.sub(r"^ExecStart=\S+/(darkroom[-\w]*)", lambda found: f"ExecStart={program(found[1])}",
                              template.read_text(), flags=re.M)
                (cls.path / template.name.replace("@", "@8080")).write_text(text)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def settings(self, daemon):
        """name → all values of a unit, in order."""
        found = {}
        for name, value in re.findall(r"^(\w+)=(.*)$", (self.path / DAEMONS[daemon]).read_text(), re.M):
            found.setdefault(name, []).append(value)
        return found

    def analyze(self, *words):
        result = subprocess.run(["systemd-analyze", *map(str, words)], capture_output=True, text=True, timeout=30,
                                check=False, env={**os.environ, "SYSTEMD_UNIT_PATH": f"{self.path}:"})
        return result.returncode, result.stdout + result.stderr

    def test_systemd_finds_nothing_wrong(self):
        status, said = self.analyze("verify", "--man=no", "--recursive-errors=no", *sorted(self.path.glob("darkroom*")))
        ours = [line for line in said.splitlines() if "darkroom" in line]
        self.assertEqual((status, ours), (0, []), said)

    def test_a_setting_that_systemd_does_not_know_is_found(self):
        broken = self.path / "broken.service"
        broken.write_text((self.path / DAEMONS["notifier"]).read_text().replace("LockPersonality", "LockPersonalty"))
        self.addCleanup(broken.unlink)
        self.assertIn("LockPersonalty", self.analyze("verify", "--man=no", "--recursive-errors=no", broken)[1])

    def test_each_daemon_may_do_little(self):
        for daemon, unit in DAEMONS.items():
            status, said = self.analyze("security", "--offline=yes", f"--threshold={EXPOSURE[daemon]}",
                                        self.path / unit)
            self.assertEqual(status, 0, said)

    def test_only_what_a_restart_can_help_is_started_again(self):
        for daemon in DAEMONS:
            settings = self.settings(daemon)
            self.assertEqual(settings["Restart"], ["on-failure"], daemon)  # so never after 0
            prevented = {int(number) for number in settings["RestartPreventExitStatus"][0].split()}
            self.assertEqual(prevented, LEFT | (WEIGHTS if daemon == "worker" else set()), daemon)
            self.assertFalse(prevented & AGAIN, daemon)

    def test_the_programs_have_the_options_that_the_units_set(self):
        for daemon in DAEMONS:
            settings = self.settings(daemon)
            names = re.findall(r"^  --([a-z-]+)", subprocess.run(
                [*command(daemon), "--help"], capture_output=True, text=True, check=True).stdout, re.M)
            credentials = {value.split(":")[0] for value in settings["LoadCredential"]}
            for value in settings["Environment"]:
                variable, path = value.split("=")
                self.assertIn(variable.removeprefix("DARKROOM_").lower().replace("_", "-"), names)
                self.assertIn(path.removeprefix("%d/"), credentials)

    def test_a_worker_has_time_to_drain(self):
        drain_ms = int(re.search(r"DRAIN_GIVE_UP_MS (\d+)", (ROOT / "worker" / "loop.c").read_text())[1])
        self.assertGreater(int(self.settings("worker")["TimeoutStopSec"][0]) * 1000, drain_ms)

    def test_users_and_folders_are_made(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        root = self.path / "root"
        (root / "etc").mkdir(parents=True)
        sources = ROOT / "deploy" / "systemd"
        subprocess.run(["systemd-sysusers", f"--root={root}", sources / "darkroom.sysusers"], check=True,
                       capture_output=True)
        (root / "etc" / "darkroom").mkdir()
        (root / "etc" / "darkroom" / "secret").write_text("x")
        subprocess.run(["systemd-tmpfiles", f"--root={root}", "--create", sources / "darkroom.tmpfiles"], check=True,
                       capture_output=True)
        users = {line.split(":")[0] for line in (root / "etc" / "passwd").read_text().splitlines()}
        for daemon in DAEMONS:
            self.assertIn(self.settings(daemon)["User"][0], users)
        for path, mode in (("etc/darkroom/secret", 0o600), ("var/lib/darkroom", 0o750),
                           ("var/lib/darkroom-notifier", 0o700)):
            self.assertEqual((root / path).stat().st_mode & 0o777, mode, path)


def command(daemon):
    return [program("darkroom"), "scale"] if daemon == "scale" else [program(f"darkroom-{daemon}")]


def program(name):
    return BUILD / ("worker" if name == "darkroom-worker" else "dispatcher") / name


if __name__ == "__main__":
    main()
