#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/backup: a Darkroom is saved while it works, lost whole, and brought back. With a bucket: test_s3_jobs.py."""
import collections
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "chaos"))
from darkroom import BUILD, ROOT, Lab, main, wait_until  # noqa: E402
import history  # noqa: E402
from plant import Plant  # noqa: E402

SCRIPTS = ROOT / "deploy" / "backup"


def script(lab, name, *words, status=0, path=None):
    """What it said; programs of the folder `path` go before others. A server waits five seconds for more who want a copy, unless told otherwise."""
    lab.redis_cli("config", "set", "repl-diskless-sync-delay", 0)
    result = subprocess.run(
        [str(word) for word in (SCRIPTS / name, *words)], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PATH": ":".join([*([str(path)] if path else []), os.environ["PATH"]]), "DARKROOM_CLI": str(BUILD / "dispatcher" / "darkroom"),
             "DARKROOM_REDIS": f"unix:{lab.redis_socket}", "DARKROOM_SECRET_FILE": str(lab.secret_file),
             "DARKROOM_STORE": f"local:{lab.objects}"})
    assert result.returncode == status, (result.returncode, result.stdout, result.stderr)
    return result.stdout + result.stderr


class Lost(unittest.TestCase):
    def test_what_was_accepted_before_the_backup_ends_once_after_the_restore(self):
        with Plant(lease_ms=1000, dispatchers=1, notifiers=1, workers=2, shards=2) as plant:
            folder = plant.path / "backups"
            folder.mkdir()
            ended = [self.offer(plant, f"ended-{n}") for n in range(8)]
            for job in ended:
                self.assertEqual(plant.outcome(job)["state"], "succeeded")
            wait_until(lambda: plant.mail.mails.count == len(ended), "the mails of those that have ended")
            # While it is made there is work on its way in, in hand and on its way out; one worker has stopped with some.
            plant.clients_start(10**6, visitors=2, window=3, poll_s=0.1)
            plant.suspend("worker-1")
            waiting = [self.offer(plant, f"waiting-{n}") for n in range(30)]
            said = script(plant, "backup.sh", folder / "one")
            self.assertIn(" objects", said)
            later = plant.offer("later", "tiny-16", 0)
            self.assertEqual(plant.outcome(later)["state"], "succeeded")
            self.lose(plant)
            # Wrong ways, none of which changes anything.
            self.refuse(plant, folder)
            said = script(plant, "restore.sh", folder / "one")
            self.assertIn(": 0 findings", said)
            for name in ("dispatcher-0", "notifier-0", "worker-0"):
                plant.revive(name)
                plant.wait_ready(name)
            self.assertEqual(plant.get(f"/v1/jobs/{later['id']}", token=later["tokens"]["view"]).status, 404)
            for job in ended + waiting:
                now = plant.outcome(job)
                self.assertEqual((now["state"], now["attempts"]), ("succeeded", 0), now)
            wait_until(lambda: self.mails(plant).keys() >= {f"waiting-{n}@example.org" for n in range(30)}, "all mails")
            # What had ended is not told once more; what ends again is, under another id.
            mails = self.mails(plant)
            for number in range(len(ended)):
                self.assertEqual(mails[f"ended-{number}@example.org"], 1)
            for number in range(len(waiting)):
                self.assertIn(mails[f"waiting-{number}@example.org"], (1, 2))
            self.assertEqual(plant.redis_cli("exists", "{q:00}hold", "{q:01}hold"), "0")
            self.assertEqual(plant.fsck(), [])

    def offer(self, plant, name):
        """A job whose end is mailed to its name; its picture is the same every time."""
        choice = plant.work["tiny-16"][0]
        answer = plant.submit(model="tiny-16", input=choice["picture"], email=f"{name}@example.org")
        self.assertEqual(answer.status, 202, answer)
        return answer.json

    def lose(self, plant):
        """All at once: the machine of Redis and the disk of the store."""
        for client in plant.clients:
            client.kill()
            client.wait()
        plant.resume("worker-1")
        for name in ("worker-0", "worker-1", "notifier-0", "dispatcher-0", "redis"):
            plant.kill(name)
        shutil.rmtree(plant.path / "redis")
        shutil.rmtree(plant.objects)
        (plant.path / "redis").mkdir()
        plant.redis_start()

    def refuse(self, plant, folder):
        copy = folder / "copy"
        shutil.copytree(folder / "one", copy)
        picture = next(path for path in (copy / "objects").rglob("*") if path.is_file())
        data = picture.read_bytes()
        picture.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        self.assertIn("is damaged", script(plant, "restore.sh", copy, status=65))
        picture.unlink()
        self.assertIn("is damaged", script(plant, "restore.sh", copy, status=65))
        picture.write_bytes(data)
        secret = plant.secret_file.read_text()
        plant.secret_file.write_text("0" * 64 + "\n")
        self.assertIn("is not the secret", script(plant, "restore.sh", copy, status=65))
        plant.secret_file.write_text(secret)
        plant.redis_cli("set", "other", "data")
        self.assertIn("is not empty", script(plant, "restore.sh", copy, status=73))
        # What is newer than we know stays, also by force.
        plant.redis_cli("set", "{q:00}protocol", "4 3")
        self.assertIn("start a newer one", script(plant, "restore.sh", "--force", copy, status=76))
        plant.redis_cli("flushall")
        self.assertFalse(plant.stored())
        self.refuse_versions(plant, copy)

    @staticmethod
    def refuse_versions(plant, copy):
        """Of a Redis newer than the redis-server here; into one that is older than that."""
        records = copy / "redis.rdb"
        data = records.read_bytes()
        sums = (copy / "SHA256SUMS").read_text()
        later = b"REDIS0999" + data[9:]
        records.write_bytes(later)
        (copy / "SHA256SUMS").write_text(sums.replace(*(hashlib.sha256(text).hexdigest() for text in (data, later))))
        assert "Can't handle RDB format version 999" in script(plant, "restore.sh", copy, status=74)
        records.write_bytes(data)
        (copy / "SHA256SUMS").write_text(sums)
        older = copy / "redis-cli"
        older.write_text("#!/bin/sh\ncase $* in\n"
                         f"'-s {plant.redis_socket}'*' info server') echo redis_version:6.2.9 ;;\n"
                         f"*) exec {shutil.which('redis-cli')} \"$@\" ;;\nesac\n")
        older.chmod(0o755)
        here = plant.redis_cli("info", "server").split("redis_version:")[1].split()[0]
        if not here.startswith("6.2."):
            said = script(plant, "restore.sh", copy, status=76, path=copy)
            assert "newer than the Redis, 6.2, which cannot read" in said, said
        older.unlink()

    @staticmethod
    def mails(plant):
        seen = collections.Counter()
        for event in history.read(plant.history):
            if event["what"] == "mail":
                seen[event["to"]] += 1
        return seen


class Saved(unittest.TestCase):
    def setUp(self):
        self.lab = Lab()
        self.addCleanup(lambda: self.assertEqual(self.lab.close(), []))
        self.folder = self.lab.path / "backups"
        self.folder.mkdir()

    def script_calls(self):
        calls = re.findall(r"cmdstat_(?:fcall|evalsha):calls=(\d+)", self.lab.redis_cli("info", "commandstats"))
        return sum(map(int, calls))

    def test_nothing_is_deleted_while_it_is_made(self):
        job = self.lab.submit().json
        self.lab.redis_cli("set", "{q:00}hold", 1, "px", 60000)
        self.assertEqual(self.lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"]).status, 204)
        wait_until(lambda: int(self.lab.redis_cli("zcount", "{q:00}trash", "-inf", "+inf")) > 0, "it is thrown away")
        count = self.script_calls()
        wait_until(lambda: self.script_calls() > count + 6, "housekeeping has looked")
        self.assertTrue(self.lab.stored(f"inputs/{job['id']}"))
        self.lab.redis_cli("del", "{q:00}hold")
        wait_until(lambda: not self.lab.stored(f"inputs/{job['id']}"), "it is deleted")

    def test_a_second_one_shares_what_has_not_changed(self):
        lab = self.lab
        first, second = lab.submit().json, lab.submit().json
        script(lab, "backup.sh", self.folder / "one")
        self.assertEqual(lab.request("DELETE", f"/v1/jobs/{first['id']}", token=first["tokens"]["delete"]).status, 204)
        wait_until(lambda: not lab.stored(f"inputs/{first['id']}"), "it is deleted")
        third = lab.submit().json
        said = script(lab, "backup.sh", "--previous", self.folder / "one", self.folder / "two")
        self.assertIn("2 objects", said)
        one, two = ({path.name: path for path in (self.folder / name / "objects" / "inputs").rglob("*") if path.is_file()}
                    for name in ("one", "two"))
        self.assertEqual((set(one), set(two)), ({first["id"], second["id"]}, {second["id"], third["id"]}))
        self.assertTrue(one[second["id"]].samefile(two[second["id"]]))
        for name in ("one", "two"):
            self.assertIn("as they were saved", script(lab, "restore.sh", "--check", self.folder / name))
        # One that was not finished has another name.
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["one", "two"])
        self.assertIn("there already", script(lab, "backup.sh", self.folder / "two", status=73))

    def test_a_restore_by_force_brings_back_what_it_was(self):
        lab = self.lab
        job = lab.submit(email="a@example.org").json
        key = lab.key("--name", "kept")
        script(lab, "backup.sh", self.folder / "one")
        lab.submit()
        self.assertEqual(lab.stop("dispatcher"), 0)
        self.assertIn(": 0 findings", script(lab, "restore.sh", "--force", self.folder / "one"))
        # A restart reads it from the append-only file.
        lab.stop("redis", signal.SIGKILL)
        lab.redis_start()
        lab.dispatcher_start()
        self.assertEqual(lab.job(job)["state"], "queued")
        self.assertEqual(lab.get("/v1/jobs", token=key["key"]).status, 200)
        self.assertEqual(int(lab.redis_cli("hget", "{q:00}c:", "queued")), 1)


if __name__ == "__main__":
    main()
