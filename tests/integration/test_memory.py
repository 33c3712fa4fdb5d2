#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Redis at its maxmemory: nothing new comes in, and everything that was accepted goes on."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import Hand, Lab, main, wait_until  # noqa: E402

MIB = 1024 * 1024


class Memory(unittest.TestCase):
    def used(self, lab):
        info = lab.redis_cli("info", "memory")
        return int(next(line for line in info.splitlines() if line.startswith("used_memory:")).split(":")[1])

    def fill(self, lab, name, size):
        """Adds `size` bytes in small keys, or as many as Redis lets in."""
        return lab.redis_cli("eval", "for i = 1, ARGV[2] do redis.call('rpush', 'filler:' .. ARGV[1] .. ':' .. i % 16, "
                             "string.rep('x', 30000)) end return 'OK'", 0, name, size // 32768, check=False)

    def refused(self, lab, says):
        answer = lab.submit()
        self.assertEqual((answer.status, answer.code), (503, "unavailable"))
        self.assertIn(says, answer.problem.get("detail", ""))

    def work(self, lab, hand, jobs):
        """Completes what can be claimed; true once all of `jobs` have succeeded."""
        while claimed := hand.claim():
            self.assertEqual(hand.complete(claimed), "verdict 1")
        return all(lab.job(job)["state"] == "succeeded" for job in jobs)

    def test_at_nine_tenths_no_job_is_accepted_and_at_the_limit_all_others_end(self):
        with Lab(dispatcher_options=("--lease-ms", 2000)) as lab, Hand(lab, lease_ms=2000) as hand:
            jobs = [lab.submit().json for _ in range(6)]
            cancelled = lab.submit().json
            running = hand.claim()
            limit = self.used(lab) + 16 * MIB
            lab.redis_cli("config", "set", "maxmemory", limit)
            lab.programs["dispatcher"].wait_for_log("dispatcher.ready")
            self.assertEqual(lab.submit().status, 202)
            # Nine tenths: Redis would still take it, and the dispatcher does not.
            self.fill(lab, "much", int(limit * 0.93) - self.used(lab))
            lab.programs["dispatcher"].wait_for_log("redis.full")
            self.refused(lab, "nearly full")
            # All of it.
            self.fill(lab, "all", 16 * MIB)
            self.assertIn("OOM", lab.redis_cli("set", "another", "x", check=False))
            self.refused(lab, "nearly full")
            self.assertEqual(hand.progress(running, 500), "verdict 1")
            self.assertEqual(hand.complete(running), "verdict 1")
            answer = lab.request("POST", f"/v1/jobs/{cancelled['id']}/cancel", token=cancelled["tokens"]["manage"])
            self.assertEqual(answer.json["state"], "cancelled")
            self.assertEqual(hand.retry(hand.claim()), "verdict 1")
            # The failed try comes back by itself, although nothing else may come in.
            wait_until(lambda: self.work(lab, hand, jobs), "every job succeeds")
            # Room again.
            lab.redis_cli("unlink", *(f"filler:{name}:{i}" for name in ("much", "all") for i in range(16)))
            wait_until(lambda: lab.submit().status == 202, "jobs are accepted again")
            self.assertIn("redis.room", lab.programs["dispatcher"].log)


if __name__ == "__main__":
    main()
