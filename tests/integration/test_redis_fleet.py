#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A dispatcher and workers on a Redis Cluster and behind Sentinels: redirections and promotions under load."""
import pathlib
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import Hand, Lab, data_url, main, png, wait_until  # noqa: E402
from redis_fleet import Cluster, Sentinels  # noqa: E402

SHARDS = 4
OPTIONS = ("--shards", SHARDS, "--trusted-proxies", "127.0.0.1", "--lease-ms", 2000)


class Load:
    """Submits jobs of many visitors, one after the other, until it is told to stop; `accepted` is what must not
    be lost. A refusal (503) is an answer; a dispatcher that hangs is not."""

    def __init__(self, lab):
        self.lab, self.accepted, self.refused, self.failure = lab, [], 0, None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        if self.failure:
            raise self.failure

    def run(self):
        body = {"model": "test-model", "input": data_url(png())}
        visitor = 0
        try:
            while not self.ended.is_set():
                visitor = visitor % 200 + 1
                answer = self.lab.request("POST", "/v1/jobs", body, {"X-Forwarded-For": f"192.0.2.{visitor}"})
                if answer.status == 202:
                    self.accepted.append(answer.json)
                else:
                    assert answer.status == 503, answer
                    self.refused += 1
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def wait_for(self, more):
        count = len(self.accepted) + more
        wait_until(lambda: self.failure or len(self.accepted) >= count, f"{more} more jobs are accepted")


def shard_of(job):
    return int(job["id"][:2], 16)


class OnACluster(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(masters=3, replicas=1)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()

    def setUp(self):
        for node in self.cluster.masters():
            node.cli("flushall")

    def lab(self):
        return Lab(redis=self.cluster, dispatcher_options=OPTIONS)

    def finish(self, lab, jobs):
        """Hands take whatever waits, shard by shard, until all of `jobs` have succeeded."""
        for shard in range(SHARDS):
            with Hand(lab, shard=shard) as hand:
                while claimed := hand.claim():
                    self.assertEqual(hand.complete(claimed), "verdict 1")
        for job in jobs:
            self.assertEqual(lab.job(job)["state"], "succeeded")

    def test_shards_live_on_several_masters_and_jobs_run_on_each(self):
        with self.lab() as lab, Load(lab) as load:
            load.wait_for(40)
            load.ended.set()
            self.assertEqual(load.refused, 0)
            nodes = {self.cluster.node_of(f"{{q:{shard:02x}}}").name for shard in range(SHARDS)}
            self.assertGreater(len(nodes), 1)
            self.assertEqual({shard_of(job) for job in load.accepted}, set(range(SHARDS)))
            events = lab.events(load.accepted[0])
            self.assertEqual(next(events)[2]["state"], "queued")
            self.finish(lab, load.accepted)
            self.assertEqual([event[2]["state"] for event in events if event[0]][-1], "succeeded")

    def test_a_slot_moves_under_load_and_nothing_is_lost_or_split(self):
        with self.lab() as lab, Load(lab) as load:
            load.wait_for(30)
            shard = shard_of(load.accepted[0])
            key = f"{{q:{shard:02x}}}"
            old = self.cluster.node_of(key)
            target = next(node for node in self.cluster.masters() if node is not old)
            for _ in self.cluster.migration(self.cluster.slot_of(key), target):
                pass
            load.wait_for(30)
            load.ended.set()
            load.thread.join()
            self.assertIs(self.cluster.node_of(key), target)
            self.finish(lab, load.accepted)

    def test_a_flushed_script_cache_is_filled_again_under_load(self):
        with self.lab() as lab, Load(lab) as load:
            for _ in range(3):
                load.wait_for(10)
                for node in self.cluster.masters():
                    node.cli("script", "flush")
            load.ended.set()
            load.thread.join()
            self.assertEqual(load.refused, 0)
            self.finish(lab, load.accepted)


    def test_one_master_dies_and_the_other_shards_go_on_until_a_replica_is_promoted(self):
        with self.lab() as lab, Load(lab) as load:
            load.wait_for(30)
            shard = shard_of(load.accepted[0])
            key = f"{{q:{shard:02x}}}"
            old = self.cluster.node_of(key)
            self.cluster.kill(old)
            load.wait_for(5)
            self.cluster.wait_for_promotion(key, old)
            count = len(load.accepted)
            wait_until(lambda: any(shard_of(job) == shard for job in load.accepted[count:]),
                       "the shard accepts jobs again")


class BehindSentinels(unittest.TestCase):
    def test_a_promoted_replica_is_found_under_load(self):
        with Sentinels() as fleet, Lab(redis=fleet, dispatcher_options=OPTIONS) as lab:
            with Load(lab) as load, Hand(lab) as hand:
                load.wait_for(20)
                hand.claim()
                old = fleet.kill_master()
                fleet.wait_for_promotion("", old)
                load.wait_for(20)
                # A hand's connection is a worker's for settling; this one survived its master.
                wait_until(hand.claim, "a job is claimed from the new master")

    def test_a_master_that_became_a_replica_is_left(self):
        with Sentinels() as fleet, Lab(redis=fleet, dispatcher_options=OPTIONS) as lab:
            with Load(lab) as load, Hand(lab) as hand:
                load.wait_for(20)
                old = fleet.master()
                fleet.sentinels[0].cli("sentinel", "failover", fleet.name)
                fleet.wait_for_promotion("", old)
                load.wait_for(20)
                self.assertTrue(old.running())
                self.assertTrue(hand.claim())


if __name__ == "__main__":
    main()
