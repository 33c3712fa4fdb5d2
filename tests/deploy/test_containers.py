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
import container  # noqa: E402
from darkroom import BUILD, ROOT, Lab, main, wait_until  # noqa: E402
from reading import read  # noqa: E402

FILE = ROOT / "deploy" / "containers" / "Dockerfile"
COLLECT = ROOT / "deploy" / "containers" / "collect.sh"
PREFIX = os.environ.get("DARKROOM_PREFIX", "/usr/local").lstrip("/")
# Programs of each root, and how many bytes it may have.
ROOTS = {"dispatcher": (("darkroom-dispatcher", "darkroom"), 80e6),
         "notifier": (("darkroom-notifier", "darkroom"), 80e6), "worker": (("darkroom-worker", "darkroom"), 120e6)}
MOST_WITH_CUDA = 150e6
USER = "65532:65532"
UNWANTED = r"lib(python|cublas|cudnn|cufft|curand|cusparse|cusolver|nccl|nvrtc|torch)"


def stages_of(instructions):
    """Stage → (keyword, words) of its instructions, in order."""
    stages, name = {}, ""
    for keyword, words, _ in instructions:
        if keyword == "FROM":
            name = words.split()[-1]
        stages.setdefault(name, []).append((keyword, words))
    return stages


class ContainerFile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.file = read(FILE)[str(FILE)]
        cls.stages = stages_of(cls.file["instructions"])
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

    def test_every_image_asks_its_program_where_it_listens(self):
        for name, steps in self.images.items():
            environment = container.environment_of(steps)
            port = environment.get("DARKROOM_METRICS", environment.get("DARKROOM_LISTEN")).split(":")[1]
            self.assertEqual(container.health_check(steps),
                             ["/usr/bin/darkroom", "health", f"http://127.0.0.1:{port}/healthz"], name)

    def test_the_roots_that_are_tested_here_are_those_of_the_images(self):
        collected = dict(re.findall(r"collect\.sh /tree /roots/(\w+) ((?:darkroom[\w-]* ?)+)",
                                    " ".join(words for _, words in self.stages["build"])))
        self.assertEqual({name: tuple(programs.split()) for name, programs in collected.items()},
                         {name: programs for name, (programs, _) in ROOTS.items()})
        for name, steps in self.stages.items():
            for source in [words for keyword, words in steps if keyword == "COPY" and name in self.images]:
                self.assertIn(re.search(r"/roots/(\w+)", source)[1], ROOTS, name)


def size_of(root):
    return sum(path.lstat().st_size for path in root.rglob("*") if not path.is_dir())


def most_of(name, root):
    """How many bytes the root of this name may have. A worker of CUDA looks for the driver's library."""
    with_cuda = name == "worker" and b"libcuda.so.1" in (root / "usr/bin/darkroom-worker").read_bytes()
    return MOST_WITH_CUDA if with_cuda else ROOTS[name][1]


def needed_by(root):
    """Names of the libraries that its programs and libraries are linked with."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink() and
             (path.parent.name == "bin" or ".so" in path.name)]
    said = subprocess.run(["readelf", "-d", *files], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"\(NEEDED\)\s+Shared library: \[([^]]+)\]", said))


def check_that_images_run(test, roots, images):
    """Each image in its root against a real Redis. `roots`: name of the image → its root; `images`: → its steps."""
    with Lab(dispatcher=False) as lab:
        os.chmod(lab.path, 0o755)
        os.chmod(lab.redis_socket, 0o777)
        secrets, objects = lab.path / "secrets", lab.path / "objects"
        subprocess.run([ROOT / "deploy" / "containers" / "secrets.sh", secrets], check=True)
        os.chmod(secrets, 0o755)
        objects.mkdir()
        os.chown(objects, *map(int, USER.split(":")))
        mounts = {"/run/redis": lab.path, "/run/secrets": secrets}
        common = {"DARKROOM_REDIS": "unix:/run/redis/redis.sock", "DARKROOM_PUBLIC_URL": "http://127.0.0.1:8080",
                  "DARKROOM_SECRET_FILE": "/run/secrets/secret", "DARKROOM_WORKER_TOKEN_FILE": "/run/secrets/worker-token"}
        own = {"dispatcher": ("DARKROOM_PUBLIC_URL", "DARKROOM_SECRET_FILE", "DARKROOM_WORKER_TOKEN_FILE"),
               "notifier": ("DARKROOM_PUBLIC_URL", "DARKROOM_SECRET_FILE"), "worker": ("DARKROOM_WORKER_TOKEN_FILE",)}
        more = {"dispatcher": {}, "worker": {"DARKROOM_DISPATCHER": "http://127.0.0.1:8080"},
                "notifier": {"DARKROOM_SMTP": "smtp://127.0.0.1:25", "DARKROOM_MAIL_FROM": "darkroom@example.org"}}
        for name, root in roots.items():
            kind = name.split("-")[0]
            environment = {key: common[key] for key in ("DARKROOM_REDIS", *own[kind])} | more[kind]
            places = mounts | ({"/var/lib/darkroom": objects} if kind == "dispatcher" else {})
            container.start(lab, name, root, images[name], places, environment)
        for name, root in roots.items():
            program, check = lab.programs[name], container.health_check(images[name])
            for words in (check, [word.replace("/healthz", "/readyz") for word in check]):
                wait_until(lambda p=program, n=name, w=words: container.inside(p, roots[n], images[n], w).returncode == 0,
                           f"{name}: {words}")
            test.assertIn(f"{name.split('-')[0]}.ready", program.log)
            process = pathlib.Path(f"/proc/{program.pid}")
            test.assertRegex((process / "status").read_text(), r"Uid:(\t65532){4}\n")
            test.assertRegex((process / "status").read_text(), r"CapEff:\t0+\nCapBnd:\t0+\n")
            test.assertRegex((process / "mountinfo").read_text(), r"(?m)^\S+ \S+ \S+ \S+ / ro[, ]")
            test.assertEqual(lab.stop(name), 0)


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
        for name in ROOTS:
            size, most = size_of(self.path / name), most_of(name, self.path / name)
            print(f"# the root of the {name} has {size / 1e6:.1f} MB of {most / 1e6:.0f}")
            self.assertLess(size, most, name)

    def test_no_python_and_none_of_nvidias_large_libraries_is_needed(self):
        for name in ROOTS:
            needed = needed_by(self.path / name)
            self.assertIn("libc.so.6", needed)
            self.assertEqual({one for one in needed if re.match(UNWANTED, one)}, set(), name)
            self.assertFalse([path for path in (self.path / name).rglob("*") if re.match(UNWANTED, path.name)], name)

    @unittest.skipUnless(container.can_run(), "this machine allows no namespaces")
    def test_images_run_on_a_read_only_root_without_rights_and_are_healthy(self):
        stages = stages_of(read(FILE)[str(FILE)]["instructions"])
        roots = {name: self.path / name.split("-")[0] for name in ("dispatcher", "notifier", "worker-cpu")}
        check_that_images_run(self, roots, {name: dict(stages[name]) for name in roots})

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
