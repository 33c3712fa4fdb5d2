# SPDX-License-Identifier: MIT
"""The option tables of all programs: their page, their files, their secrets."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, DEADLINE_S, ROOT, main  # noqa: E402

sys.path.insert(0, str(ROOT / "common"))
sys.dont_write_bytecode = True
from config_page import DAEMONS, make_page, read_table  # noqa: E402

PAGE = ROOT / "docs" / "configuration.md"


class Options(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="darkroom-options-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)

    def run_program(self, program, *words, **environment):
        return subprocess.run([BUILD / program, *map(str, words)], env={"PATH": os.environ["PATH"], **environment},
                              capture_output=True, text=True, timeout=DEADLINE_S, cwd=self.path)

    def test_the_page_says_what_the_tables_say(self):
        self.assertEqual(make_page(BUILD), PAGE.read_text(),
                         f"run: common/config_page.py {BUILD} > docs/configuration.md")

    def test_every_option_has_a_line_of_help_and_every_secret_is_a_file(self):
        for name, program in DAEMONS:
            for option in read_table(BUILD / program):
                self.assertTrue(option["help"], (name, option))
                self.assertEqual(bool(option["secret"]) and not option["name"].endswith("-file"), False, option)
                for word in ("password", "token", "secret", "credentials", "header"):
                    if word in option["name"].split("-") and not option["secret"]:
                        self.fail(f"{name}: is --{option['name']} no secret?")

    def test_what_is_dumped_can_be_read_again(self):
        for name, program in DAEMONS:
            dumped = self.run_program(program, "--dump-config")
            self.assertEqual((dumped.returncode, dumped.stderr), (0, ""), name)
            file = self.path / "dumped"
            file.write_text(dumped.stdout)
            again = self.run_program(program, "--config", file, "--dump-config")
            self.assertEqual((again.returncode, again.stdout), (0, dumped.stdout), name)

    def test_a_secret_is_never_dumped_and_never_a_value(self):
        for name, program in DAEMONS:
            for option in read_table(BUILD / program):
                if not option["secret"]:
                    continue
                stem = option["name"].removesuffix("-file")
                variable = "DARKROOM_" + stem.upper().replace("-", "_")
                dumped = self.run_program(program, "--dump-config", **{variable: "hunter2"})
                self.assertIn(f"# {option['name']}: from the environment", dumped.stdout)
                self.assertNotIn("hunter2", dumped.stdout + dumped.stderr)
                typed = self.run_program(program, f"--{stem}", "hunter2")
                file = self.path / "file"
                file.write_text(f"{stem} = hunter2\n")
                written = self.run_program(program, "--config", file)
                for done, status in ((typed, 64), (written, 78)):
                    self.assertEqual(done.returncode, status, done)
                    self.assertEqual(done.stderr.count("\n"), 1, done)
                    self.assertIn(f"--{option['name']}", done.stderr)
                    self.assertIn(variable, done.stderr)
                    self.assertNotIn("hunter2", done.stderr)


if __name__ == "__main__":
    main()
