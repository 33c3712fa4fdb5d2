#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""packages.py [--may-fail] NPM FOLDER STAMP LIST LOCK NPMRC: `npm ci` in a folder of the build.

The three files are copied there, so that nothing is written beside them. ninja calls it again only
when one of them has changed. With --may-fail a registry that cannot be reached is a warning, and the
pages are built without bundles.
"""
import pathlib
import shutil
import subprocess
import sys


def main(words):
    may_fail = words[0] == "--may-fail"
    npm, folder, stamp, *files = words[may_fail:]
    folder = pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder)
    # No package runs a script of its own here.
    run = subprocess.run([npm, "ci", "--ignore-scripts", "--no-progress", "--loglevel=error"], cwd=folder,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if run.returncode:
        print(run.stdout[-2000:])
        shutil.rmtree(folder)
        if not may_fail:
            return "npm ci failed in dispatcher/web"
        print("warning: npm ci failed, the pages are built without their bundles (-Dweb=enabled makes this an error)")
    pathlib.Path(stamp).touch()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
