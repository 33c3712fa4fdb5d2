# SPDX-License-Identifier: MIT
"""A start that cannot be: one line that names what is wrong, and a status that says what kind of wrong it is."""
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, DEADLINE_S, ROOT, Lab, main, manifest_of, wait_until  # noqa: E402
from workbench import weights  # noqa: E402

USAGE, DATA, NO_INPUT, UNAVAILABLE, TEMPORARY, DENIED, CONFIGURATION = 64, 65, 66, 69, 75, 77, 78
PROTOCOL, CHECKSUM, SELF_TEST = 76, 81, 82
NOBODY = 65534


class BadStarts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(dispatcher=False)
        cls.addClassCleanup(cls.lab.close)
        cls.path = cls.lab.path
        cls.path.chmod(0o755)
        cls.busy = socket.create_server(("127.0.0.1", 0))
        cls.addClassCleanup(cls.busy.close)
        weights(cls.lab.models / "test-model.safetensors")

    def file(self, name, text="", mode=0o600):
        path = self.path / name
        path.unlink(missing_ok=True)
        path.touch(mode=mode)
        path.chmod(mode)
        path.write_text(text)
        return path

    def folder(self, name, **files):
        path = self.path / name
        path.mkdir(exist_ok=True)
        for stem, manifest in files.items():
            (path / f"{stem}.json").write_text(json.dumps(manifest))
        return path

    def command(self, program):
        lab = self.lab
        secret = ("--secret-file", lab.secret_file)
        token = ("--worker-token-file", lab.worker_token_file)
        return {
            "dispatcher": (BUILD / "dispatcher" / "darkroom-dispatcher", "--listen", "127.0.0.1:0", "--web", "", "--connections",
                           "64", "--redis", lab.redis_url, "--models", lab.models, *secret, *token, *lab.store_options),
            "notifier": (BUILD / "dispatcher" / "darkroom-notifier", "--redis", lab.redis_url, *secret, "--mail-from",
                         "lab@example.org", "--outbox", lab.outbox),
            "worker": (BUILD / "worker" / "darkroom-worker", "--redis", lab.redis_url, "--models", lab.models, *token),
            "cli": (BUILD / "dispatcher" / "darkroom", "fsck", "--redis", lab.redis_url),
        }[program]

    def refuse(self, program, status, *culprits, options=(), environment=None, nobody=False, bare=False):
        """Starts it, and holds status and standard error against what is expected."""
        def become_nobody():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        command = [str(word) for word in (*self.command(program)[:1 if bare else None], *options)]
        with self.subTest(program=program, options=options, environment=environment):
            done = subprocess.run(command, env={"PATH": os.environ["PATH"], **(environment or {})}, capture_output=True,
                                  text=True, timeout=DEADLINE_S, preexec_fn=become_nobody if nobody else None)
            self.assertEqual(done.returncode, status, done.stderr)
            said = [line for line in done.stderr.splitlines() if " info " not in line]
            self.assertEqual(len(said), 1, done.stderr)
            for culprit in culprits:
                self.assertIn(str(culprit), said[0])

    # ---- what the operator wrote ----

    def test_unknown_and_bad_options(self):
        for program, name, least in (("dispatcher", "max-queued", 1), ("notifier", "mail-lease-ms", 1000),
                                     ("worker", "fetchers", 1), ("cli", "shards", 1)):
            variable = "DARKROOM_" + name.upper().replace("-", "_")
            unknown = self.file("unknown.conf", "# a comment\nno-such-option = 1\n")
            self.refuse(program, USAGE, "--no-such-option", options=("--no-such-option", "1"))
            self.refuse(program, CONFIGURATION, "no-such-option", f"{unknown} line 2", options=("--config", unknown))
            for value in ("many", least - 1, "1e3", ""):
                self.refuse(program, USAGE, name, f"{least} to", options=(f"--{name}={value}",))
                self.refuse(program, CONFIGURATION, variable, f"{least} to", environment={variable: str(value)})
            wrong = self.file("wrong.conf", f"{name} = {least - 1}\n")
            self.refuse(program, CONFIGURATION, f"{wrong} line 1", name, options=("--config", wrong))
            self.refuse(program, CONFIGURATION, "line 1", "name = value",
                        options=("--config", self.file("words.conf", "nonsense\n")))
            self.refuse(program, NO_INPUT, "/none.conf", options=("--config", self.path / "none.conf"))
            self.refuse(program, USAGE, "--config", options=("--config",))

    def test_options_that_contradict_each_other_or_are_missing(self):
        for program, status, culprit, options in (
                ("dispatcher", USAGE, "public-url", ("--public-url", "ftp://x")),
                ("dispatcher", USAGE, "trusted-proxies", ("--trusted-proxies", "10.0.0.0/99")),
                ("dispatcher", USAGE, "log", ("--log", "loud")),
                ("dispatcher", USAGE, "listen", ("--listen", "nonsense")),
                ("dispatcher", USAGE, "redis", ("--redis", "http://127.0.0.1")),
                ("dispatcher", USAGE, "store", ("--store", "tape:/dev/st0")),
                ("notifier", USAGE, "outbox", ("--smtp", "smtps://mail.example.org")),
                ("notifier", USAGE, "mail-from", ("--mail-from", "nobody")),
                ("notifier", USAGE, "public-url", ("--public-url", "ftp://x")),
                ("worker", USAGE, "spot", ("--spot", "moon")),
                ("worker", USAGE, "device", ("--device", "abacus")),
                ("worker", USAGE, "dispatcher", ("--dispatcher", "ftp://x")),
                ("cli", USAGE, "redis", ("--redis", "http://127.0.0.1"))):
            self.refuse(program, status, culprit, options=options)
        for program, culprit in (("dispatcher", "--secret-file"), ("notifier", "--secret-file"),
                                 ("worker", "--worker-token-file")):
            self.refuse(program, CONFIGURATION, culprit, bare=True)

    # ---- secrets ----

    def test_secrets(self):
        for program, name in (("dispatcher", "secret-file"), ("dispatcher", "worker-token-file"),
                              ("dispatcher", "redis-password-file"), ("notifier", "secret-file"),
                              ("notifier", "redis-password-file"), ("worker", "worker-token-file"),
                              ("worker", "redis-password-file"), ("cli", "redis-password-file")):
            variable = "DARKROOM_" + name.removesuffix("-file").upper().replace("-", "_")
            option = f"--{name}"
            open_to_all = self.file("open", "0" * 64, mode=0o644)
            self.refuse(program, NO_INPUT, "/none", options=(option, self.path / "none"))
            self.refuse(program, DENIED, open_to_all, "chmod 600", options=(option, open_to_all))
            self.refuse(program, DATA, "/empty", options=(option, self.file("empty")))
            self.refuse(program, DATA, "/newline", options=(option, self.file("newline", "\n")))
            self.refuse(program, DATA, "/long", options=(option, self.file("long", "a" * 5000)))
            self.refuse(program, CONFIGURATION, variable, environment={variable: ""})
            self.refuse(program, CONFIGURATION, variable, "both", environment={variable: "a" * 64, f"{variable}_FILE": "x"})

    def test_files_that_we_may_not_read(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody else")
        self.refuse("worker", DENIED, "worker-token", nobody=True)
        self.refuse("notifier", DENIED, "secret", nobody=True)
        self.refuse("dispatcher", DENIED, "secret", nobody=True)
        mine = self.file("mine.conf", "shards = 1\n")
        for program in ("dispatcher", "notifier", "worker", "cli"):
            self.refuse(program, DENIED, mine, options=("--config", mine), nobody=True)

    def test_certificates(self):
        for name in ("smtp-ca-file", "webhook-ca-file"):
            self.refuse("notifier", NO_INPUT, name, "/none", options=(f"--{name}", self.path / "none"))
            for text in ("", "no certificate\n", "-----BEGIN CERTIFICATE-----\nMIIB\n"):
                self.refuse("notifier", DATA, name, "/pem", options=(f"--{name}", self.file("pem", text)))

    # ---- places ----

    def test_a_port_that_is_taken(self):
        address = f"127.0.0.1:{self.busy.getsockname()[1]}"
        self.refuse("dispatcher", TEMPORARY, address, "listen", options=("--listen", address))
        self.refuse("notifier", TEMPORARY, address, "metrics", options=("--metrics", address))
        self.refuse("worker", TEMPORARY, address, "metrics", options=("--metrics", address))

    def test_folders(self):
        none = self.path / "none"
        for program in ("dispatcher", "notifier", "worker"):
            self.refuse(program, NO_INPUT, "models", none, options=("--models", none))
        self.refuse("dispatcher", NO_INPUT, "store", options=("--store", "local:/proc/none"))
        self.refuse("notifier", NO_INPUT, "outbox", options=("--outbox", "/proc/none"))
        self.refuse("dispatcher", NO_INPUT, "/none", options=("--port-file", none / "port"))
        if os.geteuid() == 0:
            keys = (("--secret-file", self.file("ours", "0" * 64)), ("--worker-token-file", self.file("theirs", "0" * 64)))
            for _, path in keys:
                os.chown(path, NOBODY, NOBODY)
            options = [word for pair in keys for word in pair]
            self.lab.redis_cli("config", "set", "unixsocketperm", "777")
            self.refuse("dispatcher", DENIED, "store", options=options, nobody=True)
            self.refuse("notifier", DENIED, "outbox", options=options[:2], nobody=True)

    # ---- models ----

    def test_models_that_cannot_be_served(self):
        broken = self.folder("broken", **{"test-model": {**manifest_of("test-model"), "cost_ms": "soon"}})
        for program in ("dispatcher", "notifier", "worker"):
            self.refuse(program, DATA, broken / "test-model.json", "cost_ms", options=("--models", broken))
        self.refuse("worker", NO_INPUT, "no-such-model", options=("--model", "no-such-model"))
        self.refuse("worker", NO_INPUT, "models", options=("--models", self.folder("without")))
        manifest = manifest_of("other")
        manifest["weights"] = {"file": "other.safetensors", "sha256": "0" * 64}
        other = self.folder("other", other=manifest)
        weights(other / "other.safetensors")
        self.refuse("worker", CHECKSUM, "sha256", "other", options=("--models", other, "--model", "other"))
        (other / "other.safetensors").unlink()
        self.refuse("worker", NO_INPUT, "other.safetensors", options=("--models", other, "--model", "other"))

    # ---- Redis ----

    def test_a_redis_that_may_not_be_used(self):
        lab = self.lab
        lab.redis_cli("config", "set", "maxmemory-policy", "allkeys-lru")
        for program in ("dispatcher", "notifier", "worker"):
            self.refuse(program, DATA, "noeviction")
        lab.redis_cli("config", "set", "maxmemory-policy", "noeviction")
        lab.redis_cli("acl", "setuser", "few", "on", ">right", "~*", "+ping", "+select", "+info", "+config|get")
        self.addCleanup(lab.redis_cli, "acl", "deluser", "few")
        port = socket.create_server(("127.0.0.1", 0))
        number = port.getsockname()[1]
        port.close()
        lab.redis_cli("config", "set", "port", number)
        url = f"redis://few@127.0.0.1:{number}"
        wrong, right = self.file("wrong", "guess"), self.file("right", "right")
        for program in ("dispatcher", "notifier", "worker", "cli"):
            self.refuse(program, DENIED, "WRONGPASS", options=("--redis", url, "--redis-password-file", wrong))
            self.refuse(program, DENIED, "NOPERM", options=("--redis", url, "--redis-password-file", right))

    # ---- servers that are away: no bad start ----

    def wait_for(self, program, event, *options):
        """It says once that it waits, goes on, and ends with 0."""
        running = self.lab.start(program, [*self.command(program), *options])
        try:
            running.wait_for_log(event)
            if program == "dispatcher":
                port = wait_until(lambda: (self.path / "port").exists() and int((self.path / "port").read_text()), "a port")
                answer = self.lab.get("/readyz", port=port)
                self.assertEqual(answer.status, 503)
            self.assertTrue(running.running())
            self.assertEqual(running.log.count(event), 1, running.log)
        finally:
            log = running.log
            self.assertEqual(self.lab.stop(program), 0, log)
        return log

    def test_servers_that_are_away_are_waited_for(self):
        nobody = ("--redis", f"unix:{self.path}/nobody.sock")
        port = ("--port-file", self.path / "port")
        keys = self.file("keys", "access\nsecret\n")
        log = self.wait_for("dispatcher", "redis.down", *nobody, *port)
        self.assertIn("nobody.sock", self.wait_for("notifier", "redis.away", *nobody) + log)
        self.wait_for("worker", "worker.away server=redis", *nobody)
        (self.path / "port").unlink()
        self.wait_for("dispatcher", "dispatcher.ready", *port, "--store", "s3://bucket", "--s3-endpoint", "http://127.0.0.1:1",
                      "--s3-credentials-file", keys)

    def test_what_a_restart_would_not_help_is_what_the_units_say(self):
        left, of_weights = {USAGE, DATA, NO_INPUT, PROTOCOL, DENIED, CONFIGURATION}, {CHECKSUM, SELF_TEST}
        for unit in (ROOT / "deploy" / "systemd").glob("*.service.in"):
            said = re.search(r"^RestartPreventExitStatus=(.*)$", unit.read_text(), re.M)[1]
            self.assertEqual({int(status) for status in said.split()},
                             left | (of_weights if "worker" in unit.name else set()), unit.name)
        table = (ROOT / "docs" / "operations.md").read_text().split("### Exit statuses")[1].split("\n### ")[0]
        rows = dict(re.findall(r"^\| (\d+) \|.*\| ([^|]*) \|$", table, re.M))
        self.assertEqual({int(status) for status, what in rows.items() if what.startswith("leave it")}, left | of_weights | {0})


if __name__ == "__main__":
    main()
