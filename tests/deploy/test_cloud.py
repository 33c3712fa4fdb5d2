#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/release.sh and deploy/cloud-init: machines that become a worker or the front by their user data alone, from a
release and secrets that they fetch, on a network where AWS is stand-ins."""
import base64
import functools
import hashlib
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import unittest

import jsonschema
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import machine  # noqa: E402
from aws_server import AwsServer  # noqa: E402
from certificates import Certificates  # noqa: E402
from darkroom import BUILD, ROOT, main, wait_until  # noqa: E402
from metadata_server import MetadataServer  # noqa: E402
from reading import HERE  # noqa: E402

FILES = ROOT / "deploy" / "cloud-init"
# Unpacked from Debian's package by tests/run.sh; installed it would take charge of this machine.
SCHEMA = HERE / "cloud-init" / "usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"
GLIBC = re.compile(r"/(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|util))\.so\.\d+$")
BOOT = base64.b64encode((FILES / "boot.sh").read_bytes()).decode()
WORKER = {"boot": BOOT, "secret": "lab/worker", "redis": "redis://darkroom-worker@127.0.0.2:6379/0", "group": "darkroom-workers",
          "dispatcher": "http://127.0.0.1:8080", "device": "cpu", "precision": "f32", "guard_idle_s": "0"}
FRONT = {"boot": BOOT, "secret": "lab/front", "tls_secret": "lab/tls", "address": "127.0.0.2", "region": "eu-west-1",
         "public_url": "https://lab.example", "contact": "mailto:lab@example.org", "bucket": "lab-objects", "group": "darkroom-workers",
         "retain_ms": "604800000", "mail_from": "Darkroom <lab@example.org>", "smtp_user": "AKIAEXAMPLE", "least": "2", "most": "5",
         "target_wait_s": "60", "start_s": "120"}


def names_of(template):
    return set(re.findall(r"\$\{(\w+)\}", (FILES / template).read_text()))


def rendered(template, values):
    """As Terraform's templatefile() does it with plain names."""
    text = (FILES / template).read_text()
    assert text.startswith("#cloud-config\n") and "%{" not in text and "$${" not in text
    return yaml.safe_load(re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text))


class Texts(unittest.TestCase):
    values = {"release_url": "https://releases.example/darkroom.tar.gz", "release_sha256": "0" * 64}

    def test_cloud_init_s_schema_finds_nothing_wrong(self):
        if not SCHEMA.exists():
            self.skipTest("cloud-init is not unpacked: packages_unpack cloud-init tests/deploy/cloud-init")
        schema = json.loads(SCHEMA.read_text())
        for name, values in (("worker.yaml", WORKER), ("front.yaml", FRONT)):
            data = rendered(name, {**self.values, **values})
            jsonschema.Draft4Validator(schema).validate(data)
            for change in ({"runcmd": "reboot"}, {"write_files": [{"content": "x"}]}, {"packages": {"a": 1}}):
                with self.assertRaises(jsonschema.ValidationError):
                    jsonschema.Draft4Validator(schema).validate({**data, **change})

    def test_no_secret_stands_in_user_data(self):
        for name, values in (("worker.yaml", WORKER), ("front.yaml", FRONT)):
            self.assertEqual(names_of(name) - {"release_url", "release_sha256"}, set(values), name)
            for word in ("password", "token", "key", "s3-credentials"):
                self.assertNotIn(word, names_of(name))

    def test_the_scripts_are_clean(self):
        subprocess.run(["sh", "-n", FILES / "boot.sh"], check=True)
        subprocess.run(["bash", "-n", ROOT / "deploy" / "release.sh"], check=True)

    def test_user_data_is_not_too_large(self):
        for name, values in (("worker.yaml", WORKER), ("front.yaml", FRONT)):
            text = (FILES / name).read_text()
            self.assertLess(len(text) + len(values["boot"]), 16384)


@unittest.skipUnless(os.environ.get(machine.INSIDE), "namespaces want root")
@unittest.skipUnless(os.environ.get("DARKROOM_PREFIX", "/usr/local") == "/usr/local", "this build has another prefix")
class Machines(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-release-")
        cls.path = pathlib.Path(cls.folder.name)
        said = subprocess.run([ROOT / "deploy" / "release.sh", BUILD, cls.path], capture_output=True, text=True, check=True).stdout
        cls.sha256, cls.release = said.split()
        assert hashlib.sha256(pathlib.Path(cls.release).read_bytes()).hexdigest() == cls.sha256
        cls.here = machine.Machine().__enter__()
        cls.addClassCleanup(lambda: cls.here.__exit__(None, None, None))
        cls.cloud = MetadataServer()
        cls.aws = AwsServer(cls.cloud, least=2, most=5)
        handler = functools.partial(QuietHandler, directory=str(cls.path))
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.url = f"http://127.0.0.1:{cls.server.server_port}/{pathlib.Path(cls.release).name}"
        cls.environment = {"DARKROOM_AWS_ENDPOINT": cls.aws.url, "DARKROOM_AWS_METADATA": cls.cloud.url}
        cls.secrets()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def secrets(cls):
        tls = Certificates(cls.path / "tls", "DNS:lab.example")
        token = "t" * 64
        passwords = {f"redis-{who}.password": f"password of {who}".replace(" ", "-") for who in ("dispatcher", "notifier", "worker")}
        cls.aws.secrets["lab/front"] = json.dumps({"secret": "a" * 64, "worker-token": token, **passwords,
                                                   "smtp.password": "BExample/1="})
        cls.aws.secrets["lab/worker"] = json.dumps({"worker-token": token, "redis-worker.password": passwords["redis-worker.password"]})
        cls.aws.secrets["lab/tls"] = json.dumps({"certificate.pem": tls.certificate.read_text(), "key.pem": tls.key.read_text()})

    def data(self, template, values, **changes):
        return rendered(template, {**values, "release_url": self.url, "release_sha256": self.sha256, **changes})

    def apply(self, *words, **changes):
        return self.here.apply(self.data(*words, **changes), self.environment)

    def test_1_a_release_that_is_another_one_is_not_installed(self):
        with self.assertRaisesRegex(AssertionError, "another checksum"):
            self.apply("worker.yaml", WORKER, release_sha256="0" * 64)
        self.assertFalse((self.here.root / "usr/local/bin/darkroom-worker").exists())

    def test_2_a_front_serves_and_keeps_its_group_in_size(self):
        said = self.apply("front.yaml", FRONT)
        for unit in ("nginx.service", "darkroom-dispatcher@8080.service", "darkroom-dispatcher@8081.service",
                     "darkroom-notifier.service", "darkroom-scale.service", "darkroom.target"):
            self.assertIn(unit, " ".join(line for line in said if line.startswith("enable")))
            self.here.unit(unit)
        for port in (8080, 8081):
            self.here.start(f"darkroom-dispatcher@{port}.service", {"DARKROOM_S3_ROLE": self.cloud.url}).wait_for_log("dispatcher.ready")
        self.here.start("darkroom-notifier.service").wait_for_log("notifier.ready")
        self.here.start("darkroom-scale.service", self.environment)
        wait_until(lambda: self.aws.desired == [2], "the group's least")
        self.assertEqual(self.here.run("sh", "-c", "nginx >/nginx.said 2>&1").returncode, 0, self.here.read("/nginx.said"))
        result = self.here.run("curl", "-sS", "--max-time", "5", "--insecure", "--resolve", "lab.example:443:127.0.0.1",
                               "https://lab.example/v1/models")
        self.assertIn('"portrait-drawing"', result.stdout, result.stderr)
        for path in (self.here.root / "etc/darkroom").rglob("*"):
            if path.is_file() and path.suffix not in (".conf", ".env"):
                self.assertEqual(path.stat().st_mode & 0o077, 0, path)

    def test_3_a_worker_serves_and_protects_its_machine(self):
        before = len(self.aws.calls)
        said = self.apply("worker.yaml", WORKER)
        self.assertIn("enable darkroom-worker.service darkroom.target", said)
        self.here.start("darkroom-worker.service", {"DARKROOM_GUARD_ENDPOINT": self.aws.url,
                                                    "DARKROOM_SPOT_ENDPOINT": self.cloud.url}).wait_for_log("worker.ready")
        wait_until(lambda: ("SetInstanceProtection" in {action for action, _ in self.aws.calls[before:]}), "a word about idleness")
        self.assertEqual(self.aws.refused, [])

    def test_4_libraries_are_the_release_s_own(self):
        for program in (self.here.root / "usr/local/bin").glob("darkroom*"):
            said = self.here.run("ldd", f"/usr/local/bin/{program.name}").stdout
            paths = re.findall(r"(/\S+) \(0x", said)
            self.assertTrue(paths)
            strangers = [path for path in paths if not GLIBC.search(path) and "/usr/local/bin/../lib/darkroom/" not in path]
            self.assertEqual(strangers, [], program.name)

    def test_5_the_same_build_gives_the_same_release(self):
        self.assertNotIn(b"darkroom-release", pathlib.Path(self.release).read_bytes()[:64])  # no name, no time in its head
        listed = subprocess.run(["tar", "-tvzf", self.release], capture_output=True, text=True, check=True).stdout.splitlines()
        self.assertEqual({tuple(line.split()[1:2] + line.split()[3:5]) for line in listed}, {("0/0", "1970-01-01", "00:00")})
        names = [line.split()[5] for line in listed]
        self.assertEqual(names, sorted(names))


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


if __name__ == "__main__":
    machine.enter()
    main()
