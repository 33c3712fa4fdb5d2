#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""install.py FOLDER DATADIR: copies what build.py made to where an installation has it."""
import os
import pathlib
import shutil
import sys

target = pathlib.Path(os.environ["MESON_INSTALL_DESTDIR_PREFIX"]) / sys.argv[2]
shutil.rmtree(target, ignore_errors=True)
shutil.copytree(sys.argv[1], target)
