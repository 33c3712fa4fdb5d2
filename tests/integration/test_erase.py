#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""darkroom erase: afterwards nothing in Redis or the store tells of the address, and all else is as it was."""
import datetime
import email
import email.policy
import json
import os
import pathlib
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, Hand, Lab, data_url, main, png, wait_until  # noqa: E402

SHARDS = 3
ADDRESS = "erase.me@private.example"
DARKROOM = BUILD / "dispatcher" / "darkroom"
READ = {"string": ("get",), "hash": ("hgetall",), "set": ("smembers",), "list": ("lrange", 0, -1),
        "zset": ("zrange", 0, -1, "withscores"), "stream": ("xrange", "-", "+")}


class EraseTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab(dispatcher_options=("--shards", SHARDS, "--submits-burst", "1000", "--submits-per-minute", "10000"))
        self.addCleanup(lambda: self.assertEqual(self.lab.close(), []))
        self.addCleanup(lambda: [self.assertNotIn("private", p.log) for p in self.lab.programs.values()])
        self.operator = self.key_file("operator", "operate")

    def key_file(self, name, scopes):
        path = self.lab.path / f"{name}.key"
        path.touch(mode=0o600)
        path.write_text(self.lab.key("--scopes", scopes)["key"] + "\n")
        return path

    def erase(self, *words, stdin=None, key=None, check=True):
        done = subprocess.run([str(w) for w in (DARKROOM, "erase", *words, "--server", self.lab.url, "--key-file",
                                                key or self.operator)],
                              input=stdin, capture_output=True, text=True, timeout=60,
                              env={**os.environ, "HOME": "/nonexistent"})
        if check:
            self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def everything(self):
        """All of Redis as text, but the events, which hold ids alone and age out."""
        out = {}
        for key in self.lab.redis_cli("keys", "*").splitlines():
            kind = self.lab.redis_cli("type", key)
            if kind in READ and not key.endswith("}ev"):  # "none": it has expired meanwhile
                command, *rest = READ[kind]
                out[key] = self.lab.redis_cli("--no-raw", command, key, *rest)
        return out

    def hands(self):
        return [Hand(self.lab, shard=shard) for shard in range(SHARDS)]

    def claim_any(self, hands):
        return next(((hand, job) for hand in hands if (job := hand.claim())), None)

    def build(self, address, count=1):
        """Jobs of an address in all kinds of states, of several owners. Their ids."""
        jobs = []
        hands = self.hands()
        for _ in range(count):
            for _ in range(3):  # of accounts, which are in different shards
                token = self.lab.key("--scopes", "submit,read")["key"]
                jobs.append(self.lab.submit(email=address, token=token, headers={"Idempotency-Key": str(len(jobs))}))
                hand, job = wait_until(lambda: self.claim_any(hands), "a job")
                hand.complete(job, png())
            jobs.append(self.lab.submit(email=address))
            hand, job = wait_until(lambda: self.claim_any(hands), "a job")
            hand.fail(job)
        later = (datetime.datetime.utcnow() + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        jobs.append(self.lab.submit(email=address, run_at=later))
        for hand in hands:
            hand.__exit__()
        return [job.json["id"] for job in jobs]

    def test_nothing_of_an_address_is_left_and_all_else_stays(self):
        lab = self.lab
        lab.notifier_start("--shards", SHARDS, "--mail-per-address-hour", "2")
        mine = self.build(ADDRESS)
        other = self.build("stays@private.example")
        mine.append(lab.submit(email=ADDRESS).json["id"])  # queued
        other.append(lab.submit(email="stays@private.example").json["id"])
        wait_until(lambda: lab.programs["notifier"].log.count("mail.") >= 8, "mails sent and held")
        hashes = {key.split("byaddr:")[1] for key in lab.redis_cli("keys", "*byaddr:*").splitlines()}
        self.assertEqual(len(hashes), 2)

        before = self.everything()
        dry = json.loads(self.erase("--email", ADDRESS, "--dry-run", "--json").stdout)
        self.assertEqual(dry, {"dry_run": True, "jobs": 6, "unfinished": 2, "inputs": dry["inputs"], "results": 3,
                               "mails": 2, "unreadable": 0, "unsubscribed": "none"})
        for key, value in before.items():
            if "byaddr:" in key or "}j:" in key or "}n:" in key:
                self.assertEqual(lab.redis_cli("exists", key), "1", key)

        path = lab.path / "address"
        path.write_text(ADDRESS.upper().replace("PRIVATE.EXAMPLE", "private.example") + "\n")
        done = json.loads(self.erase("--email-file", path, "--json").stdout)
        self.assertEqual({**done, "dry_run": True, "inputs": dry["inputs"]}, dry)
        for shard in range(SHARDS):
            lab.redis_cli("eval", "for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do "
                          "redis.call('ZADD', KEYS[1], 0, key) end", 1, f"{{q:{shard:02x}}}trash")
        wait_until(lambda: not any(lab.stored(job) for job in mine), "an empty store")
        wait_until(lambda: not lab.redis_cli("keys", "*trash"), "an empty trash")

        after = self.everything()
        [theirs] = {key.split("byaddr:")[1] for key in after if "byaddr:" in key}
        [gone] = hashes - {theirs}

        def told_by(word):
            return [key for key, value in after.items() if word in key or word in value]
        self.assertEqual(told_by(gone), [])
        for job in mine:
            # An idempotency key stands for its job for a day; a place in a lane is skipped when its turn comes,
            # and a worker's last claim is forgotten soon. Neither is more than a random number.
            self.assertEqual([key for key in told_by(job) if "}idem:" not in key], [])
            self.assertEqual([key for key in told_by(job[2:14])
                              if not any(kind in key for kind in ("}idem:", "}nonce:", "}r:", "}tomb:"))], [])
        for job in other:
            self.assertTrue(told_by(job[2:14]))
        self.assertIn("0 jobs", self.erase("--email", "-", stdin=ADDRESS + "\n").stdout)
        checked = subprocess.run([str(w) for w in (
            DARKROOM, "fsck", "--redis", lab.redis_url, "--shards", SHARDS, "--store", f"local:{lab.objects}",
            "--secret-file", lab.secret_file)], capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_a_wish_for_no_mail_outlives_the_erasure_unless_it_is_forgotten_too(self):
        lab = self.lab
        lab.notifier_start("--shards", SHARDS)
        lab.submit(email=ADDRESS)
        with Hand(self.lab) as first, Hand(self.lab, shard=1) as second, Hand(self.lab, shard=2) as third:
            hand, job = wait_until(lambda: self.claim_any([first, second, third]), "a job")
            hand.complete(job, png())
        [mail] = wait_until(lambda: list(lab.outbox.glob("*.eml")), "a mail")
        link = email.message_from_bytes(mail.read_bytes(), policy=email.policy.default)["List-Unsubscribe"]
        self.assertIn(lab.request("POST", link.strip("<>"), b"").status, (200, 204))
        self.assertIn("has unsubscribed, which is remembered", self.erase("--email", ADDRESS).stdout)
        self.assertEqual(lab.redis_cli("zcard", "{k}unwanted"), "1")
        again = self.erase("--email", ADDRESS, "--forget-choice", "--dry-run", "--json")
        self.assertEqual(json.loads(again.stdout)["unsubscribed"], "kept")
        self.assertEqual(lab.redis_cli("zcard", "{k}unwanted"), "1")
        self.assertIn("is forgotten as well", self.erase("--email", ADDRESS, "--forget-choice").stdout)
        self.assertEqual(lab.redis_cli("zcard", "{k}unwanted"), "0")

    def test_many_jobs_go_page_by_page_and_an_interrupted_erasure_goes_on(self):
        lab = self.lab
        token = lab.key("--scopes", "submit")["key"]
        for _ in range(4):
            batch = {"defaults": {"model": "test-model", "email": ADDRESS, "input": data_url(png())}, "jobs": [{}] * 250}
            self.assertEqual(lab.request("POST", "/v1/batches", batch, token=token).status, 202)
        body = {"email": ADDRESS}
        operator = self.operator.read_text().strip()
        first = lab.request("POST", "/v1/addresses/erase", body, token=operator).json
        self.assertEqual(first["jobs"], 300)
        self.assertRegex(first["next"], r"^[0-2]\.\d+$")
        self.assertIsNone(first["unsubscribed"])
        counted = json.loads(self.erase("--email", ADDRESS, "--dry-run", "--json").stdout)
        self.assertEqual((counted["jobs"], counted["unfinished"]), (700, 700))
        self.assertIn("700 jobs", self.erase("--email", ADDRESS).stdout)
        for name in ("byaddr", "bj", "j", "bases"):
            self.assertEqual(lab.redis_cli("keys", f"*}}{name}:*"), "", name)

    def test_only_an_operator_may_and_nonsense_is_refused(self):
        other = self.key_file("other", "submit,read")
        self.assertEqual(self.erase("--email", ADDRESS, key=other, check=False).returncode, 77)
        self.assertEqual(self.lab.request("POST", "/v1/addresses/erase", {"email": ADDRESS}).status, 401)
        operator = self.operator.read_text().strip()
        for body, field in (({}, "email"), ({"email": "nobody"}, "email"), ({"email": ADDRESS, "dry_run": 1}, "dry_run"),
                            ({"email": ADDRESS, "cursor": "9.1"}, "cursor"), ({"email": ADDRESS, "cursor": "0.-1"}, "cursor"),
                            ({"email": ADDRESS, "cursor": "x"}, "cursor"), ({"email": ADDRESS, "what": 1}, "what")):
            answer = self.lab.request("POST", "/v1/addresses/erase", body, token=operator)
            self.assertEqual((answer.status, answer.problem["field"]), (422, field), body)
            self.assertNotIn("private", answer.problem["detail"])
        for words in ((), ("--email", ADDRESS, "--email-file", "x"), ("--email-file", "/nonexistent")):
            self.assertNotEqual(self.erase(*words, check=False).returncode, 0)


if __name__ == "__main__":
    main()
