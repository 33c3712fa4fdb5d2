#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/containers: the container file, and the root of each image, made here as its steps make it there."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, ROOT, main  # noqa: E402
from reading import read  # noqa: E402

FILE = ROOT / "deploy" / "containers" / "Dockerfile"
COLLECT = ROOT / "deploy" / "containers" / "collect.sh"
PREFIX = os.environ.get("DARKROOM_PREFIX", "/usr/local").lstrip("/")
# Programs of each root, and how many bytes it may have.
ROOTS = {"dispatcher": (("darkroom-dispatcher", "darkroom"), 80e6), "notifier": (("darkroom-notifier",), 80e6),
         "worker": (("darkroom-worker",), 120e6)}
USER = "65532:65532"


class ContainerFile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.file = read(FILE)[str(FILE)]
        cls.stages, name = {}, ""
        for keyword, words in cls.file["instructions"]:
            if keyword == "FROM":
                name = words.split()[-1]
            cls.stages.setdefault(name, []).append((keyword, words))
        cls.images = {name: dict(steps) for name, steps in cls.stages.items() if steps[0][1].startswith("scratch ")}

    def test_a_parser_finds_nothing_wrong(self):
        self.assertEqual(self.file["problems"], [])

    def test_the_images_are_those_that_are_promised(self):
        self.assertEqual(set(self.images), {"dispatcher", "notifier", "worker-cpu", "worker-cuda"})

    def test_no_image_runs_as_root_or_has_a_shell(self):
        for name, steps in self.images.items():
            self.assertEqual(steps["USER"], USER, name)
            self.assertRegex(steps["ENTRYPOINT"], r'^\["/usr/bin/darkroom-', name)
            self.assertNotIn("RUN", steps, name)

    def test_the_roots_that_are_tested_here_are_those_of_the_images(self):
        collected = dict(re.findall(r"collect\.sh /tree /roots/(\w+) ((?:darkroom[\w-]* ?)+)",
                                    " ".join(words for _, words in self.stages["build"])))
        self.assertEqual({name: tuple(programs.split()) for name, programs in collected.items()},
                         {name: programs for name, (programs, _) in ROOTS.items()})
        for name, steps in self.stages.items():
            for source in [words for keyword, words in steps if keyword == "COPY" and name in self.images]:
                self.assertIn(re.search(r"/roots/(\w+)", source)[1], ROOTS, name)


@unittest.skipUnless(os.geteuid() == 0, "only root can change its root")
class Roots(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-roots-")
        cls.path = pathlib.Path(cls.folder.name)
        os.chmod(cls.path, 0o755)
        subprocess.run(["meson", "install", "-C", str(BUILD), "--no-rebuild", "--quiet", "--strip", "--destdir",
                        str(cls.path / "made")], check=True, capture_output=True)
        (cls.path / "tree").mkdir()
        (cls.path / "made" / PREFIX).rename(cls.path / "tree" / "usr")
        for name, (programs, _) in ROOTS.items():
            subprocess.run([COLLECT, cls.path / "tree", cls.path / name, *programs], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def inside(self, name, *words):
        return subprocess.run(["/usr/sbin/chroot", f"--userspec={USER}", str(self.path / name), *words], capture_output=True,
                              text=True, timeout=30, check=False, env={})

    def test_they_are_small(self):
        for name, (_, most) in ROOTS.items():
            size = sum(path.lstat().st_size for path in (self.path / name).rglob("*") if not path.is_dir())
            print(f"# the root of the {name} has {size / 1e6:.1f} MB")
            self.assertLess(size, most, name)

    def test_programs_start_with_nothing_else_there(self):
        for name, (programs, _) in ROOTS.items():
            self.assertFalse(list((self.path / name).glob("usr/bin/*sh")), name)
            for program in programs:
                result = self.inside(name, f"/usr/bin/{program}", "--version")
                self.assertEqual((result.returncode, result.stdout[:9]), (0, "darkroom "), result)

    def test_a_worker_makes_a_picture(self):
        result = self.inside("worker", "/usr/bin/darkroom-worker", "run", "digits", "--params", '{"number": "7"}',
                             "--models", "/usr/share/darkroom/models", "--output", "/tmp/digit.png")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual((self.path / "worker" / "tmp" / "digit.png").read_bytes()[:4], b"\x89PNG")
        (self.path / "worker" / "tmp" / "digit.png").unlink()

    def test_nobody_can_write_to_them(self):
        for name in ROOTS:
            for path in (self.path / name).rglob("*"):
                if not path.is_symlink() and path.name != "tmp":
                    self.assertFalse(path.stat().st_mode & 0o022, path)

    def test_a_library_that_is_missing_is_named(self):
        tree = self.path / "broken"
        (tree / "usr" / "bin").mkdir(parents=True)
        (tree / "usr" / "bin" / "darkroom").write_text("no program")
        result = subprocess.run([COLLECT, tree, self.path / "none", "darkroom"], capture_output=True, text=True,
                                check=False)
        self.assertNotEqual(result.returncode, 0)


if __name__ == "__main__":
    main()
