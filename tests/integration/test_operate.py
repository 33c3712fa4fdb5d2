#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What operators do: darkroom fsck on a queue and a store that somebody has broken."""
import json
import os
import pathlib
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, Hand, Lab, main  # noqa: E402

DARKROOM = BUILD / "dispatcher" / "darkroom"


def darkroom(*arguments):
    return subprocess.run([str(DARKROOM), *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "HOME": "/nonexistent"})


class Fsck(unittest.TestCase):
    def fsck(self, lab, *options):
        result = darkroom("fsck", "--json", "--redis", lab.redis_url, "--store", f"local:{lab.objects}",
                          "--secret-file", lab.secret_file, *options)
        self.assertIn(result.returncode, (0, 1), result.stderr)
        return result.returncode, json.loads(result.stdout)

    def test_a_sound_house_has_no_findings(self):
        with Lab() as lab, Hand(lab) as hand:
            lab.submit()
            hand.complete(hand.claim())
            lab.submit()
            status, report = self.fsck(lab)
            self.assertEqual((status, report["found"], report["records"]), (0, 0, 2), report)
            self.assertGreaterEqual(report["objects"], 2)

    def test_objects_and_records_are_held_against_each_other(self):
        with Lab() as lab, Hand(lab) as hand:
            done = lab.submit().json
            hand.complete(hand.claim())
            waiting, lost = lab.submit().json, lab.submit().json
            [result] = lab.stored(f"results/{done['id']}/")
            result.unlink()
            lab.redis_cli("del", "{q:00}j:" + lost["id"][2:14])
            [orphan] = lab.stored(f"inputs/{lost['id']}")
            old = time.time() - 7200
            os.utime(orphan, (old, old))

            status, report = self.fsck(lab)
            found = {finding["name"]: finding["what"] for finding in report["findings"]}
            self.assertEqual(status, 1)
            self.assertIn("not there", found[f"results/{done['id']}/1/result.png"])
            self.assertIn("no record", found[f"inputs/{lost['id']}"])
            self.assertTrue(orphan.exists())

            status, report = self.fsck(lab, "--mend")
            self.assertEqual(status, 1, "a lost result cannot be mended")
            self.assertFalse(orphan.exists())
            status, report = self.fsck(lab)
            self.assertEqual([finding["name"] for finding in report["findings"]],
                             [f"results/{done['id']}/1/result.png"])
            self.assertEqual(hand.claim()["public_id"], waiting["id"])

    def test_most_objects_without_a_record_mean_the_wrong_redis(self):
        with Lab() as lab:
            for _ in range(10):
                lab.submit()
            old = time.time() - 7200
            for path in lab.stored("inputs/"):
                os.utime(path, (old, old))
            lab.redis_cli("flushall")
            result = darkroom("fsck", "--mend", "--redis", lab.redis_url, "--store", f"local:{lab.objects}",
                              "--secret-file", lab.secret_file)
            self.assertEqual(result.returncode, 1)
            self.assertIn("is this the right Redis?", result.stderr)
            self.assertEqual(len(lab.stored("inputs/")), 10)

    def test_what_is_missing_is_named(self):
        away = darkroom("fsck", "--redis", "unix:/nonexistent/redis.sock")
        self.assertEqual(away.returncode, 69)
        with Lab() as lab:
            lab.submit()
            shards = darkroom("fsck", "--redis", lab.redis_url, "--shards", "3")
            self.assertNotEqual(shards.returncode, 0)
            self.assertIn("--shards 1", shards.stderr)
            secret = darkroom("fsck", "--redis", lab.redis_url, "--store", f"local:{lab.objects}")
            self.assertEqual(secret.returncode, 64)
            self.assertIn("secret", secret.stderr)


if __name__ == "__main__":
    main()
