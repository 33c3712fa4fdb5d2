#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/containers/Dockerfile, every step of every stage, without an engine: by hand, as root, with a network.

    tests/deploy/stages.py                # all images
    tests/deploy/stages.py --keep /var/tmp/darkroom-stages dispatcher worker-cpu

With --keep a stage whose steps and files are those of the last time is not made again. Debian comes from debootstrap (minbase), CUDA's image is stood for by /usr/local/cuda of this machine. Then each image is
measured, looked through for libraries that have no place in it, and run, as test_containers.py does with roots that it
makes of this machine's build. Takes some minutes: a Debian is filled, and everything compiled.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import test_containers as images  # noqa: E402
from darkroom import ROOT, main  # noqa: E402
from reading import read  # noqa: E402

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WORK, WANTED = None, ()


def say(text):
    print(f"# {text}", flush=True)


def copy(source, target):
    """Of a folder what is in it, as COPY does."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", "--reflink=auto", f"{source}/.", target], check=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)


def debian(root):
    base = WORK / "debian"
    if not base.exists():
        subprocess.run(["debootstrap", "--variant=minbase", "bookworm", f"{base}.part"], check=True, stdout=subprocess.DEVNULL)
        pathlib.Path(f"{base}.part").rename(base)
    copy(base, root)


class Stage:
    """A stage while its steps are done one after the other; of one that is kept nothing but what later steps go by."""

    def __init__(self, builder, name, kept):
        self.builder, self.root, self.kept = builder, WORK / f"stage-{name}", kept
        self.folder, self.environment = "/", {"PATH": PATH}

    def do(self, keyword, words, flags):
        began = time.monotonic()
        getattr(self, f"do_{keyword.lower()}", lambda *_: None)(words, flags)
        if time.monotonic() - began > 1:
            say(f"{time.monotonic() - began:6.1f} s  {keyword} {' '.join(words.split())[:90]}")

    def do_from(self, words, _):
        base = self.builder.base_of(words)
        if base.startswith("nvidia/cuda:"):
            self.root = pathlib.Path("/")
            assert (self.root / "usr/local/cuda/bin/nvcc").exists(), "no CUDA in /usr/local/cuda"
            return
        before = self.builder.stage(base) if base in self.builder.steps else None
        if before:
            self.folder, self.environment = before.folder, dict(before.environment)
        if self.kept:
            return
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(mode=0o755)
        if before:
            copy(before.root, self.root)
        elif base.startswith("debian:"):
            debian(self.root)

    def do_workdir(self, words, _):
        self.folder = words
        (self.root / words.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def do_env(self, words, _):
        self.environment |= dict(word.split("=", 1) for word in words.split())

    def do_copy(self, words, flags):
        if self.kept:
            return
        source, target = words.split()
        target = self.root / os.path.join(self.folder, target).lstrip("/")
        if "from" in flags:
            copy(self.builder.stage(flags["from"]).root / source.lstrip("/"), target)
        elif source == ".":
            subprocess.run(["tar", "-x", "-C", target], input=self.builder.context, check=True)
        else:
            copy(ROOT / source, target)
        if "chown" in flags:
            subprocess.run(["chown", "-R", flags["chown"], target], check=True)

    def do_run(self, words, _):
        if self.kept:
            return
        words = json.loads(words) if words.startswith("[") else ["/bin/sh", "-c", words]
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        environment = dict(self.environment)
        if "NODE_EXTRA_CA_CERTS" in os.environ:  # a network that has an authority of its own
            shutil.copy(os.environ["NODE_EXTRA_CA_CERTS"], self.root / "run/authorities.pem")
            environment["NODE_EXTRA_CA_CERTS"] = "/run/authorities.pem"
        inside = ["chroot", self.root, "env", "-i", *(f"{name}={value}" for name, value in environment.items()),
                  "sh", "-c", 'cd "$0" && exec "$@"', self.folder, *words]
        outside = 'mount --bind /proc "$0/proc" && mount --rbind /dev "$0/dev" && exec "$@"'
        log = WORK / "log"
        with open(log, "wb") as out:
            status = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", outside, self.root, *inside],
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False).returncode
        assert status == 0, f"{words}\n{log.read_text(errors='replace')[-4000:]}"


class Builder:
    def __init__(self, instructions):
        self.steps, self.arguments, self.done, name = {}, {}, {}, None
        for keyword, words, flags in instructions:
            if keyword == "ARG" and name is None:
                self.arguments |= [words.split("=", 1)]
            else:
                name = words.split()[-1] if keyword == "FROM" else name
                self.steps.setdefault(name, []).append((keyword, words, flags))
        # What git has, as .dockerignore lets through.
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        self.context = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=ROOT, input=names, capture_output=True,
                                      check=True).stdout

    def base_of(self, words):
        return re.sub(r"\$\{(\w+)\}", lambda found: self.arguments[found[1]], words).split()[0]

    def sources(self, name):
        """What a stage begins with and takes from: other stages, images."""
        copied = [flags["from"] for keyword, _, flags in self.steps[name] if "from" in flags]
        return [self.base_of(self.steps[name][0][1]), *copied]

    def fingerprint(self, name):
        """Of all that goes into a stage."""
        if name not in self.steps:
            return name
        parts = [json.dumps(self.steps[name]), *map(self.fingerprint, self.sources(name))]
        if any(keyword == "COPY" and "from" not in flags for keyword, _, flags in self.steps[name]):
            parts.append(hashlib.sha256(self.context).hexdigest())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def stage(self, name):
        if name not in self.done:
            for source in self.sources(name):
                if source in self.steps:
                    self.stage(source)
            mark, print_of = WORK / f"stage-{name}.done", self.fingerprint(name)
            stage = Stage(self, name, mark.exists() and mark.read_text() == print_of)
            mark.unlink(missing_ok=True)
            say(f"{name}: {'as it was' if stage.kept else 'being made'}")
            for step in self.steps[name]:
                stage.do(*step)
            mark.write_text(print_of)
            self.done[name] = stage
        return self.done[name]

    def image(self, name):
        """Its instructions by keyword, as container.py wants them."""
        return {keyword: words for keyword, words, _ in self.steps[name]}


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.builder = Builder(read(images.FILE)[str(images.FILE)]["instructions"])
        cls.roots = {name: cls.builder.stage(name).root for name in WANTED}

    def test_they_are_small_and_need_nothing_large(self):
        for name, root in self.roots.items():
            size, most = images.size_of(root), images.most_of(name.split("-")[0], root)
            say(f"the image {name} has {size / 1e6:.1f} MB of {most / 1e6:.0f}")
            self.assertLess(size, most, name)
            self.assertEqual({one for one in images.needed_by(root) if re.match(images.UNWANTED, one)}, set(), name)

    def test_their_programs_start(self):
        for name, root in self.roots.items():
            entry = json.loads(self.builder.image(name)["ENTRYPOINT"])
            subprocess.run(["/usr/sbin/chroot", f"--userspec={images.USER}", root, *entry, "--version"], check=True, env={},
                           stdout=subprocess.DEVNULL)

    def test_they_run_and_are_healthy(self):
        # Without a GPU a worker for one ends at once, as it should.
        roots = {name: root for name, root in self.roots.items() if name != "worker-cuda"}
        images.check_that_images_run(self, roots, {name: self.builder.image(name) for name in roots})


def options():
    global WORK, WANTED
    parser = argparse.ArgumentParser(description="Executes the container file and tests the images.")
    parser.add_argument("--keep", metavar="FOLDER", help="where Debian and the stages stay; else in a folder that goes")
    parser.add_argument("images", nargs="*", default=["dispatcher", "notifier", "worker-cpu", "worker-cuda"])
    read_options = parser.parse_args()
    WORK, WANTED = read_options.keep and pathlib.Path(read_options.keep), read_options.images
    sys.argv[1:] = []


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("stages.py: only root can change its root")
    if not shutil.which("debootstrap"):
        sys.exit("stages.py: debootstrap is not installed")
    options()
    if WORK:
        WORK.mkdir(parents=True, exist_ok=True)
        main()
    else:
        with tempfile.TemporaryDirectory(prefix="darkroom-stages-") as temporary:
            WORK = pathlib.Path(temporary)
            main()
