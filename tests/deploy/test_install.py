#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`meson install`: every file in its place, and programs that find what belongs to them from wherever they are."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, ROOT, WEB, main  # noqa: E402

PREFIX = os.environ.get("DARKROOM_PREFIX", "/usr/local")
PROGRAMS = ("darkroom", "darkroom-dispatcher", "darkroom-notifier", "darkroom-worker")
DAEMONS = {"dispatcher": "darkroom-dispatcher", "notifier": "darkroom-notifier", "worker": "darkroom-worker"}


def files_below(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def expected():
    """What an installation consists of, below its prefix."""
    names = {f"bin/{name}" for name in PROGRAMS}
    for folder, place in ((ROOT / "models", "share/darkroom/models"), (WEB, "share/darkroom/web"),
                          (ROOT / "docs", "share/doc/darkroom/docs")):
        names |= {f"{place}/{name}" for name in files_below(folder)}
    names |= {f"share/darkroom/examples/{name}.conf" for name in DAEMONS}
    names |= {"share/darkroom/redis/redis.conf", "share/darkroom/redis/replicated.conf",
              "share/darkroom/redis/sentinel.conf", "share/darkroom/redis/users.acl",
              "share/darkroom/redis/users.sh",
              "share/doc/darkroom/LICENSE", "share/doc/darkroom/README.md"}
    names |= {f"share/darkroom/backup/{name}.sh" for name in ("backup", "restore", "redis_url")}
    names |= {"share/darkroom/nginx/darkroom.conf", "share/darkroom/nginx/upstream.conf"}
    names |= {f"share/darkroom/prometheus/{name}" for name in ("alerts.yml", "alerts_test.yml", "prometheus.yml")}
    names |= {f"share/darkroom/grafana/{name}" for name in (
        "darkroom.json", "provisioning/dashboards/darkroom.yml", "provisioning/datasources/darkroom.yml")}
    names |= {f"lib/systemd/system/{name}" for name in (
        "darkroom.target", "darkroom-dispatcher@.service", "darkroom-notifier.service", "darkroom-scale.service",
        "darkroom-worker.service")}
    names |= {"lib/sysusers.d/darkroom.conf", "lib/tmpfiles.d/darkroom.conf"}
    return names


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-install-")
        subprocess.run(["meson", "install", "-C", str(BUILD), "--no-rebuild", "--quiet", "--destdir", cls.folder.name],
                       check=True, capture_output=True)
        cls.root = pathlib.Path(cls.folder.name + PREFIX)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_program(self, name, *words, cwd="/"):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DARKROOM_")}
        return subprocess.run([str(self.root / "bin" / name), *map(str, words)], capture_output=True, text=True,
                              timeout=30, check=False, cwd=cwd, env=environment)

    def dumped(self, name, option, cwd="/"):
        result = self.run_program(name, "--dump-config", cwd=cwd)
        self.assertEqual(result.returncode, 0, result.stderr)
        return re.search(rf"^{option} = (.*)$", result.stdout, re.M)[1]

    def test_every_file_is_where_it_belongs(self):
        self.assertEqual(sorted(files_below(self.root)), sorted(expected()))

    def test_only_programs_can_be_run_and_anybody_can_read_the_rest(self):
        for name in files_below(self.root):
            mode = (self.root / name).stat().st_mode & 0o777
            script = name.startswith("share/doc/darkroom/docs/samples/") or name.endswith((".sh", ".py"))
            allowed = (0o755,) if name.startswith("bin/") else (0o644, 0o755) if script else (0o644,)
            self.assertIn(mode, allowed, name)

    def test_the_programs_start(self):
        for name in PROGRAMS:
            result = self.run_program(name, "--version")
            self.assertEqual((result.returncode, result.stdout[:9]), (0, "darkroom "), result)

    def test_the_examples_are_valid(self):
        for example, program in DAEMONS.items():
            path = self.root / "share/darkroom/examples" / f"{example}.conf"
            result = self.run_program(program, "--config", path, "--check-config")
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_models_and_pages_are_found(self):
        data = self.root.resolve() / "share/darkroom"
        for program in DAEMONS.values():
            self.assertEqual(self.dumped(program, "models"), str(data / "models"))
        self.assertEqual(self.dumped("darkroom-dispatcher", "web"), str(data / "web"))

    def test_a_folder_in_the_working_directory_comes_first(self):
        self.assertEqual(self.dumped("darkroom-worker", "models", cwd=ROOT), "models")

    def test_an_installed_worker_makes_a_picture(self):
        output = self.root / "digits.png"
        result = self.run_program("darkroom-worker", "run", "digits", "--params", '{"number": "7"}', "--output", output)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(output.read_bytes()[:4], b"\x89PNG")
        output.unlink()


if __name__ == "__main__":
    main()
