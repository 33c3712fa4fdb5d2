# SPDX-License-Identifier: MIT
"""Which redis-server the tests run: the one on the PATH, or what $DARKROOM_REDIS_SERVER names.

    DARKROOM_REDIS_SERVER=/opt/valkey/bin/valkey-server meson test -C build --suite integration

The redis-cli or valkey-cli beside it goes with it. Both come first on the PATH under Redis' names, so that scripts
which the tests start find them, too; to import this module does it. redis_server.c is the same for programs in C.
"""
import atexit
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def put_first(server):
    client = server.with_name(server.name.replace("server", "cli"))
    for program in (server, client):
        if not os.access(program, os.X_OK):
            sys.exit(f"DARKROOM_REDIS_SERVER: {program} is not a program")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="darkroom-redis-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "redis-server").symlink_to(server)
    (folder / "redis-cli").symlink_to(client)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"


if os.environ.get("DARKROOM_REDIS_SERVER"):
    put_first(pathlib.Path(os.environ["DARKROOM_REDIS_SERVER"]).absolute())


def version():
    """(7, 0); Valkey from 7.2 on counts on its own."""
    said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, said.partition("v=")[2].split()[0].split(".")[:2]))
