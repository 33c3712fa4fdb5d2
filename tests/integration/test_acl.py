#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The rights in deploy/redis/users.acl: enough for each program, and no more for a worker."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import redis_program  # noqa: E402
from darkroom import BUILD, ROOT, Lab, main, png, wait_until  # noqa: E402
from redis_fleet import Fleet, Node  # noqa: E402
from resp import ReplyError, Resp  # noqa: E402
from workbench import DEVICE, Workbench  # noqa: E402

ROLES = ("worker", "dispatcher", "notifier", "operator", "backup")
WORKER_SCRIPTS = ("hello", "bye", "claim", "heartbeat", "complete", "fail", "release")
LUA = ROOT / "common" / "lua"


class Guarded(Fleet):
    """One server with the users of deploy/redis/users.acl, whose passwords are their names."""

    def __init__(self, path):
        super().__init__(path)
        self.path.mkdir()
        users = (ROOT / "deploy" / "redis" / "users.acl").read_text()
        if redis_program.version() < (7, 0):
            users = re.sub(r" [-+](fcall|function)\S*", "", users)  # as users.sh --no-functions
        for role in ROLES:
            users = users.replace(f"user darkroom-{role} off", f"user darkroom-{role} on >{role}-password")
        (self.path / "users.acl").write_text(users + "user admin on >admin ~* +@all\n")
        node = Node(self.path, "server", "--aclfile", self.path / "users.acl", "--save", "",
                    config=f"include {ROOT}/deploy/redis/redis.conf\n")
        node.credentials = ["--user", "admin", "--pass", "admin", "--no-auth-warning"]
        self.nodes.append(node.start())

    @property
    def address(self):
        return f"redis://127.0.0.1:{self.nodes[0].port}"

    def url_of(self, role):
        return f"redis://darkroom-{role}@127.0.0.1:{self.nodes[0].port}"

    def password_file(self, role):
        path = self.path / f"{role}.password"
        path.touch(mode=0o600)
        path.write_text(f"{role}-password\n")
        return path

    url = property(lambda self: self.url_of("dispatcher"))

    def cli(self, _key, *words, check=True):
        return self.nodes[0].cli(*words, check=check)

    def cli_as(self, role, *words):
        node = self.nodes[0]
        admin, node.credentials = node.credentials, ["--user", f"darkroom-{role}", "--pass", f"{role}-password",
                                                     "--no-auth-warning"]
        try:
            return node.cli(*words, check=False)
        finally:
            node.credentials = admin


class Acl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-acl-")
        cls.bench = Workbench(cls.folder.name)
        cls.server = Guarded(pathlib.Path(cls.folder.name) / "redis")

    @classmethod
    def tearDownClass(cls):
        cls.server.close()
        cls.folder.cleanup()

    def start(self, lab, role):
        lab.redis_url = self.server.url_of(role)
        password = ("--redis-password-file", self.server.password_file(role))
        if role == "worker":
            return lab.worker_start(*password, "--lease-ms", 2000, "--model", "quick", "--device", DEVICE)
        return getattr(lab, f"{role}_start")(*password)

    def operate(self, *words):
        result = subprocess.run([str(word) for word in (
            BUILD / "dispatcher" / "darkroom", *words, "--redis", self.server.url_of("operator"),
            "--redis-password-file", self.server.password_file("operator"))],
            capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_every_program_works_with_its_own_user(self):
        self.server.cli("", "acl", "log", "reset")
        with Lab(redis=self.server, models=self.bench.models, dispatcher=False,
                 dispatcher_options=("--lease-ms", 2000)) as lab:
            for role in ("dispatcher", "worker", "notifier"):
                self.start(lab, role)
            for _ in range(2):
                job = lab.submit(png(), "quick", email="somebody@example.org").json
                lab.wait_for_state(job, "succeeded")
                mails = wait_until(lambda: list(lab.outbox.glob("*.eml")), "a mail")
                for mail in mails:
                    mail.unlink()
                self.server.cli("", "script", "flush")
            job = lab.submit(png(), "slow").json
            lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
            lab.wait_for_state(job, "cancelled")
            self.assertEqual(lab.stop("worker"), 0)
            self.operate("keys", "create", "--scopes", "operate")
            self.operate("fsck", "--store", f"local:{lab.objects}", "--secret-file", lab.secret_file)
        denied = self.server.cli("", "acl", "log")
        self.assertNotIn("darkroom-", denied)

    def test_a_worker_reaches_neither_keys_nor_the_server(self):
        for words in (("get", "{k}key:0"), ("hgetall", "{k}"), ("set", "other", "1"), ("get", "other"),
                      ("flushall",), ("flushdb",), ("keys", "*"), ("scan", "0"), ("config", "get", "*"),
                      ("config", "set", "maxmemory", "1"), ("shutdown", "nosave"),
                      ("replicaof", "127.0.0.1", "1"), ("acl", "list"), ("acl", "setuser", "x", "on"),
                      ("client", "list"), ("client", "kill", "type", "normal"), ("save",),
                      ("script", "flush"), ("cluster", "reset"), ("sort", "{q:00}lease"),
                      ("publish", "channel", "1"), ("subscribe", "channel"), ("module", "list"),
                      ("restore", "{q:00}x", "0", "x"), ("rename", "{q:00}lease", "{q:00}x"),
                      ("eval", "return redis.call('get', '{k}key:0')", "1", "{q:00}"),
                      ("eval", "return redis.call('get', 'other')", "0"),
                      ("eval", "return redis.call('config', 'get', '*')", "0"),
                      ("eval", "return redis.call('flushall')", "0")):
            answer = self.server.cli_as("worker", *words)
            self.assertTrue(re.search(r"NOPERM|permission|can't access|can't run this command|not allowed from script", answer),
                            f"{words}: {answer}")
        self.assertEqual(self.server.cli_as("worker", "ping"), "PONG")
        # redis-cli 6.2 goes on listening where MONITOR was refused.
        with Resp(self.server.address) as redis:
            redis.call("auth", "darkroom-worker", "worker-password")
            with self.assertRaisesRegex(ReplyError, "NOPERM"):
                redis.call("monitor")

    def test_others_do_not_administrate(self):
        for role in ("dispatcher", "notifier"):
            for words in (("flushall",), ("config", "get", "*"), ("keys", "*"), ("shutdown",), ("acl", "list"),
                          ("get", "other"), ("script", "flush")):
                self.assertRegex(self.server.cli_as(role, *words), "NOPERM|permission", (role, words))

    @unittest.skipIf(redis_program.version() < (7, 0), "this redis-server has no functions")
    def test_functions_are_loaded_by_others_than_workers_and_deleted_by_operators(self):
        library = "#!lua name=other\nredis.register_function('other', function() return 'called' end)"
        load, listed, deleted = ("function", "load", library), ("function", "list"), ("function", "delete", "other")
        rights = {"worker": (), "dispatcher": (load,), "notifier": (load,), "operator": (load, listed, deleted)}
        for role, allowed in rights.items():
            for words in (load, listed, deleted, ("function", "flush"), ("function", "dump")):
                self.server.cli("", "function", "flush")
                if words == deleted:
                    self.server.cli("", *load)
                answer = self.server.cli_as(role, *words)
                self.assertEqual("NOPERM" in answer, words not in allowed, (role, words, answer))
        self.server.cli("", *load)
        self.assertEqual(self.server.cli_as("worker", "fcall", "other", "0"), "called")
        self.server.cli("", "function", "flush")

    def test_a_backup_reads_all_and_administrates_nothing(self):
        copy = pathlib.Path(self.folder.name) / "copy.rdb"
        self.server.cli_as("backup", "--rdb", copy)
        self.assertEqual(copy.read_bytes()[:5], b"REDIS")
        for words in (("set", "{q:00}hold", "1", "px", "1000"), ("del", "{q:00}hold"), ("get", "{q:00}shards")):
            self.assertNotRegex(self.server.cli_as("backup", *words), "NOPERM|permission", words)
        for words in (("flushall",), ("config", "get", "*"), ("keys", "*"), ("shutdown",), ("acl", "list"),
                      ("set", "{k}key:0", "1"), ("eval", "return 1", "0"), ("replicaof", "no", "one")):
            self.assertRegex(self.server.cli_as("backup", *words), "NOPERM|permission", words)

    def test_the_worker_s_list_is_what_its_scripts_call(self):
        called, files = set(), [LUA / f"{name}.lua" for name in WORKER_SCRIPTS]
        for path in files:
            text = path.read_text()
            called |= set(re.findall(r"\bp?call\(\s*(?:call,\s*)?'([A-Z]+)'", text))
            for pair in re.findall(r"and '([A-Z]{4,})' or '([A-Z]{4,})'", text):
                called |= set(pair)
            used = re.search(r"^-- @use (.*)$", text, re.M)
            files += [part for name in (used.group(1).split() if used else ())
                      if (part := LUA / f"{name}.lua") not in files]
        line = next(line for line in (ROOT / "deploy" / "redis" / "users.acl").read_text().splitlines()
                    if line.startswith("user darkroom-worker "))
        allowed = {word[1:] for word in line.split() if word.startswith("+")}
        plain = {"asking", "blpop", "cluster|slots", "eval", "evalsha", "fcall", "get", "info", "ping", "role", "select",
                 "setnx"}
        self.assertEqual(allowed, {name.lower() for name in called} | plain)
        self.assertNotIn("@", line.replace("-@all", ""))

    def test_a_wrong_password_is_named_as_such(self):
        lab = Lab(redis=self.server, models=self.bench.models, dispatcher=False)
        try:
            lab.redis_url = self.server.url_of("dispatcher")
            with self.assertRaises(AssertionError) as failure:
                lab.dispatcher_start("--redis-password-file", self.server.password_file("worker"))
            self.assertIn("WRONGPASS", str(failure.exception))
            self.assertNotIn("worker-password", str(failure.exception))
        finally:
            lab.close()


if __name__ == "__main__":
    main()
