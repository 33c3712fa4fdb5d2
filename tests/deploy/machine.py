# SPDX-License-Identifier: MIT
"""A machine of one's own for tests: this one's files, on which writes leave no trace, a network of its own, and no systemd.

    if __name__ == "__main__":
        machine.enter()                    # as root: starts the program again in namespaces of its own
        main()

    with machine.Machine() as here:
        here.apply(user_data)              # what cloud-init would do with it; gives what systemctl was told
        here.start("darkroom-worker.service").wait_for_log("worker.ready")

Units are started by their own words: ExecStart with Environment, EnvironmentFile and LoadCredential, drop-ins included.
"""
import base64
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

INSIDE = "DARKROOM_TEST_MACHINE"
# Stands for systemd: notes what it is told, and starts what a boot needs at once.
SYSTEMCTL = """#!/bin/sh
echo "$@" >>/systemctl.log
case "$*" in *restart*redis-server.service*)
    redis-server /etc/redis/redis.conf --daemonize yes --supervised no --dir /tmp --logfile /redis.log --pidfile /redis.pid >/redis.said 2>&1
esac
"""
FOLDERS = ("/usr/local/lib/systemd/system", "/etc/systemd/system", "/lib/systemd/system")


def enter():
    """Everything that is started there ends with it."""
    if os.environ.get(INSIDE) or os.geteuid() != 0 or not shutil.which("unshare"):
        return
    os.environ[INSIDE] = "1"
    words = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
        os.execvp(words[0], [*words, sys.executable, *sys.argv])
    del os.environ[INSIDE]


class Running:
    def __init__(self, machine, name, words, environment):
        self.name, self.log_path = name, machine.path / f"{name}.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(["/usr/sbin/chroot", str(machine.root), *words], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=environment)

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_for_log(self, text):
        from darkroom import wait_until

        def seen():
            assert text in self.log or self.process.poll() is None, f"{self.name} ended:\n{self.log}"
            return text in self.log
        wait_until(seen, f"'{text}' in {self.name}'s log:\n{self.log}")

    def stop(self):
        self.process.terminate()
        return self.process.wait(30)


class Machine:
    def __init__(self):
        if not os.environ.get(INSIDE):
            raise unittest.SkipTest("namespaces want root")
        self.folder = tempfile.TemporaryDirectory(prefix="darkroom-machine-")
        self.path = pathlib.Path(self.folder.name)
        self.root = self.path / "root"
        for name in ("root", "upper", "work"):
            (self.path / name).mkdir()
        self.mount("-t", "overlay", "overlay", "-o",
                   f"lowerdir=/,upperdir={self.path}/upper,workdir={self.path}/work", self.root)
        self.mount("-t", "proc", "proc", self.root / "proc")
        self.mount("--bind", "/dev", self.root / "dev")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        for folder in ("etc/darkroom", "usr/local/share/darkroom"):
            shutil.rmtree(self.root / folder, ignore_errors=True)
        self.write("usr/local/bin/systemctl", SYSTEMCTL, 0o755)
        self.running = []

    def mount(self, *words):
        result = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise unittest.SkipTest(f"mount: {result.stderr.strip()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in reversed(self.running):
            one.stop()
        for folder in ("dev", "proc", ""):
            subprocess.run(["umount", "-l", str(self.root / folder)], check=False)
        self.folder.cleanup()

    def write(self, path, text, mode=0o644):
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def read(self, path):
        return (self.root / path.lstrip("/")).read_text()

    def run(self, *words, environment=None):
        return subprocess.run(["/usr/sbin/chroot", str(self.root), *words], capture_output=True, text=True, timeout=120, check=False,
                              env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **(environment or {})})

    def apply(self, user_data, environment=None):
        """write_files and runcmd, in this order, as cloud-init has it."""
        for file in user_data.get("write_files", ()):
            text = file["content"]
            if file.get("encoding") == "b64":
                text = base64.b64decode(text, validate=True).decode()
            self.write(file["path"], text, int(file["permissions"], 8))
        (self.root / "systemctl.log").unlink(missing_ok=True)
        for words in user_data["runcmd"]:
            result = self.run(*words, environment=environment)
            if result.returncode != 0:
                raise AssertionError(f"{words} ended with {result.returncode}:\n{result.stdout}{result.stderr}")
        return self.read("systemctl.log").splitlines()

    def unit(self, name):
        """name → values, in order, of a unit and its drop-ins."""
        template = re.sub(r"@[^.]*", "@", name)
        files = [self.root / folder.lstrip("/") / template for folder in FOLDERS]
        parts = [next(path for path in files if path.exists())]
        for folder in FOLDERS:
            parts += sorted((self.root / folder.lstrip("/") / f"{template}.d").glob("*.conf"))
        found = {}
        for path in parts:
            for key, value in re.findall(r"^(\w+)=(.*)$", path.read_text(), re.M):
                found.setdefault(key, []).append(value)
        return found

    def start(self, name, environment=None):
        unit = self.unit(name)
        instance = name.split("@")[1].split(".")[0] if "@" in name else ""
        credentials = f"/run/credentials/{name}"
        shutil.rmtree(self.root / credentials.lstrip("/"), ignore_errors=True)
        for one in unit.get("LoadCredential", ()):
            word, path = one.split(":")
            self.write(f"{credentials}/{word}", self.read(path), 0o400)
        for one in unit.get("RuntimeDirectory", ()):
            (self.root / "run" / one).mkdir(exist_ok=True)
        variables = {"PATH": "/usr/bin", **(environment or {})}
        for one in unit.get("Environment", ()):
            key, value = one.split("=", 1)
            variables[key] = value.replace("%d", credentials)
        for one in unit.get("EnvironmentFile", ()):
            if (self.root / one.lstrip("-/")).exists():
                variables |= dict(line.split("=", 1) for line in self.read(one.lstrip("-")).splitlines())
        [command] = unit["ExecStart"]
        command = re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], command.replace("%i", instance))
        self.running.append(Running(self, name, command.split(), variables))
        return self.running[-1]
