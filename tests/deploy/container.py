#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One image's root as a container engine would run it, without an engine: read-only, as its user and without any right,
with a loopback of its own and nothing of this machine but what is mounted. Needs root.

    program = container.start(lab, "worker", root, steps, {"/run/redis": folder}, {"DARKROOM_REDIS": "unix:/run/…"})
    container.inside(program, root, steps, words)      # runs a command beside it; its CompletedProcess

`steps` are the instructions of the image's stage, by keyword: USER, WORKDIR, ENV, ENTRYPOINT, HEALTHCHECK.
"""
import ctypes
import fcntl
import json
import os
import shlex
import shutil
import socket
import struct
import subprocess
import sys

DEVICES = ("null", "zero", "random", "urandom")
MOUNTS = ("proc", "dev", "tmp", "run/secrets", "run/redis")
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, LAST_CAPABILITY = 24, 38, 40


def can_run():
    """Whether this machine lets us make namespaces."""
    return os.geteuid() == 0 and shutil.which("unshare") is not None and subprocess.run(
        ["unshare", "--mount", "--net", "true"], capture_output=True, check=False).returncode == 0


def environment_of(steps):
    return dict(word.split("=", 1) for word in shlex.split(steps.get("ENV", "")))


def start(lab, name, root, steps, mounts, environment):
    return lab.start(name, ["unshare", "--mount", "--net", "--propagation", "private", sys.executable, __file__,
                            json.dumps({"root": str(root), "steps": steps, "words": json.loads(steps["ENTRYPOINT"]),
                                        "mounts": {place: str(path) for place, path in mounts.items()},
                                        "environment": {**environment_of(steps), **environment}})])


def inside(program, root, steps, words):
    uid, gid = steps["USER"].split(":")
    return subprocess.run(["nsenter", f"--target={program.pid}", "--mount", "--net", "/usr/sbin/chroot", f"--userspec={uid}:{gid}",
                           "--groups=", str(root), *words], capture_output=True, text=True, timeout=30, check=False,
                          env=environment_of(steps))


def health_check(steps):
    """The words of the image's own."""
    return json.loads(steps["HEALTHCHECK"].removeprefix("CMD "))


def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        request = struct.pack("16sH14x", b"lo", 0x1 | 0x40)  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(one, 0x8914, request)  # SIOCSIFFLAGS


def build(root, mounts):
    """The engine makes the places of mounts before the root is made read-only."""
    mount("--bind", root, root)
    for place in (*MOUNTS, *(one.lstrip("/") for one in mounts)):
        os.makedirs(f"{root}/{place}", exist_ok=True)
    mount("-o", "remount,bind,ro", root)
    mount("--bind", "/proc", f"{root}/proc")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", f"{root}/dev")
    for name in DEVICES:
        with open(f"{root}/dev/{name}", "w", encoding="ascii"):
            pass
        mount("--bind", f"/dev/{name}", f"{root}/dev/{name}")
    mount("-t", "tmpfs", "-o", "mode=1777,noexec,nosuid", "tmpfs", f"{root}/tmp")
    for place, path in mounts.items():
        mount("--bind", path, f"{root}{place}")


def confine(root, user, folder):
    uid, gid = map(int, user.split(":"))
    libc = ctypes.CDLL(None, use_errno=True)
    os.chroot(root)
    os.chdir(folder)
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def main():
    wanted = json.loads(sys.argv[1])
    loopback_up()
    build(wanted["root"], wanted["mounts"])
    confine(wanted["root"], wanted["steps"]["USER"], wanted["steps"].get("WORKDIR", "/"))
    os.execve(wanted["words"][0], wanted["words"], wanted["environment"])


if __name__ == "__main__":
    main()
