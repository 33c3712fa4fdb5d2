#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Dispatcher and worker on a Redis Cluster and behind Sentinels: redirections and promotions under load."""
import itertools
import pathlib
import signal
import socket
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
import redis_program  # noqa: E402
from darkroom import Hand, Lab, data_url, main, png, wait_until  # noqa: E402
from redis_fleet import Cluster, Sentinels  # noqa: E402
from workbench import DEVICE, Workbench  # noqa: E402

SHARDS = 4
SPREAD = ("--shards", SHARDS, "--lease-ms", 2000)


class Load:
    """Submits jobs of many visitors until it is told to stop, never many more than are done; `accepted` is what
    must not be lost. A refusal (503) is an answer; a dispatcher that hangs is not."""

    def __init__(self, lab):
        self.lab, self.accepted, self.refused, self.failure = lab, [], 0, None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.ended.set()
        self.thread.join()
        if self.failure:
            raise self.failure

    def run(self):
        body = {"model": "quick", "input": data_url(png())}
        visitor, pending = 0, []
        try:
            while not self.ended.is_set():
                if len(pending) > 16:
                    oldest = pending.pop(0)
                    if not self.is_over(oldest):
                        pending.append(oldest)  # it may be in a shard that nobody serves
                        self.ended.wait(0.01)
                        continue
                visitor = visitor % 200 + 1
                answer = self.lab.request("POST", "/v1/jobs", body, {"X-Forwarded-For": f"192.0.2.{visitor}"})
                if answer.status == 202:
                    self.accepted.append(answer.json)
                    pending.append(answer.json)
                else:
                    assert answer.status == 503, answer
                    self.refused += 1
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def is_over(self, job):
        answer = self.lab.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"])
        return answer.status == 404 or (answer.status == 200 and answer.json["state"] in ("succeeded", "failed"))

    def wait_for(self, more):
        count = len(self.accepted) + more
        wait_until(lambda: self.failure or len(self.accepted) >= count, f"{more} more jobs are accepted")


def shard_of(job):
    return int(job["id"][:2], 16)


class Fleet(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-fleet-")
        cls.bench = Workbench(cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def lab(self, fleet):
        lab = Lab(redis=fleet, models=self.bench.models,
                  dispatcher_options=(*SPREAD, "--trusted-proxies", "127.0.0.1"))
        lab.worker_start(*SPREAD, "--model", "quick", "--device", DEVICE)
        return lab

    def all_succeed(self, lab, jobs):
        for job in jobs:
            lab.wait_for_state(job, "succeeded")
            self.assertEqual(lab.job(job)["attempts"], 0)

    def works_again(self, lab, load, wanted=lambda job: True):
        """Some job that was accepted from now on and that `wanted` holds for runs. (The first of them may have
        gone to a master that did not know yet that it was none any more.)"""
        start, count = time.monotonic(), len(load.accepted)
        wait_until(lambda: any(wanted(job) and lab.job(job).get("state") == "succeeded"
                               for job in load.accepted[count:]), "a job runs again")
        print(f"# a job ran {1000 * (time.monotonic() - start):.0f} ms after the promotion")


class OnACluster(Fleet):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster = Cluster(masters=3, replicas=1)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()
        super().tearDownClass()

    def setUp(self):
        for node in self.cluster.masters():
            node.cli("flushall")

    def test_a_flushed_script_cache_is_filled_again_under_load(self):
        with self.lab(self.cluster) as lab, Load(lab) as load:
            for _ in range(3):
                load.wait_for(10)
                for node in self.cluster.masters():
                    node.cli("script", "flush")
                    if redis_program.version() >= (7, 0):
                        node.cli("function", "flush")
            load.stop()
            self.assertEqual(load.refused, 0)
            self.all_succeed(lab, load.accepted)

    def test_a_slot_moves_under_load_and_nothing_is_lost_or_split(self):
        with self.lab(self.cluster) as lab, Load(lab) as load:
            load.wait_for(30)
            key = f"{{q:{shard_of(load.accepted[0]):02x}}}"
            old = self.cluster.node_of(key)
            target = next(node for node in self.cluster.masters() if node is not old)
            self.cluster.migrate(self.cluster.slot_of(key), target)
            load.wait_for(30)
            load.stop()
            self.assertIs(self.cluster.node_of(key), target)
            self.all_succeed(lab, load.accepted)

    def test_one_master_dies_and_the_other_shards_go_on_until_a_replica_is_promoted(self):
        with self.lab(self.cluster) as lab, Load(lab) as load:
            load.wait_for(30)
            shard = shard_of(load.accepted[0])
            key = f"{{q:{shard:02x}}}"
            old = self.cluster.node_of(key)
            lost = [self.cluster.node_of(f"{{q:{number:02x}}}") is old for number in range(SHARDS)]
            self.cluster.kill(old)
            load.wait_for(5)
            self.cluster.wait_for_promotion(key, old)
            self.works_again(lab, load, lambda job: shard_of(job) == shard)
            load.stop()
            # What the dead master had said yes to, its replica may not have heard.
            self.all_succeed(lab, [job for job in load.accepted if not lost[shard_of(job)]])

    def test_what_hangs_with_one_shard_holds_up_no_other_and_ends_when_that_is_back(self):
        with Cluster(masters=3) as cluster, Lab(redis=cluster, models=self.bench.models, dispatcher_options=(
                *SPREAD, "--trusted-proxies", "127.0.0.1")) as lab:
            lab.worker_start(*SPREAD, "--model", "slow", "--device", "ref", "--uploaders", "2")
            visitors = itertools.count()

            def submit():
                return lab.request("POST", "/v1/jobs", {"model": "slow", "input": data_url(png())},
                                   {"X-Forwarded-For": f"2001:db8:{next(visitors):x}::1"})
            node = cluster.node_of("{q:00}")
            theirs = {number for number in range(SHARDS) if cluster.node_of(f"{{q:{number:02x}}}") is node}
            self.assertNotEqual(theirs, set(range(SHARDS)))
            hung = []
            while len(hung) < 12:  # two seconds' work, of which most is in the worker's hands by then
                job = submit().json
                hung += [job] if shard_of(job) in theirs else []
            node.signal(signal.SIGSTOP)
            try:
                others = []
                wait_until(lambda: (lambda answer: answer.status == 202 and shard_of(answer.json) not in theirs and
                                    others.append(answer.json) or len(others) >= 2)(submit()), "others are accepted")
                for job in others:
                    lab.wait_for_state(job, "succeeded")
            finally:
                node.signal(signal.SIGCONT)
            for job in hung:
                lab.wait_for_state(job, "succeeded")

    def test_shards_live_on_several_masters_and_jobs_run_on_each(self):
        with self.lab(self.cluster) as lab, Load(lab) as load:
            load.wait_for(40)
            load.stop()
            self.assertEqual(load.refused, 0)
            nodes = {self.cluster.node_of(f"{{q:{shard:02x}}}").name for shard in range(SHARDS)}
            self.assertGreater(len(nodes), 1)
            self.assertEqual({shard_of(job) for job in load.accepted}, set(range(SHARDS)))
            for shard in range(SHARDS):
                job = next(job for job in load.accepted if shard_of(job) == shard)
                self.assertEqual([event[2]["state"] for event in lab.events(job) if event[0]][-1], "succeeded")
            self.all_succeed(lab, load.accepted)


    def test_the_first_request_with_a_key_finds_a_node_that_has_no_shard(self):
        with Cluster(masters=2) as cluster:
            cluster.migrate(cluster.slot_of("{k}"), next(
                node for node in cluster.nodes if node is not cluster.node_of("{q:00}")))
            with Lab(redis=cluster) as lab:
                key = lab.key()
                self.assertEqual(lab.submit(token=key["key"]).status, 202)

    def test_keys_limits_and_idempotency_hold_on_every_shard(self):
        with self.lab(self.cluster) as lab:
            for _ in range(6): # accounts of other shards, whose keys are all in one place
                key = lab.key("--per-minute", "1", "--burst", "3")
                first = lab.submit(model="quick", token=key["key"], headers={"Idempotency-Key": "x"})
                again = lab.submit(model="quick", token=key["key"], headers={"Idempotency-Key": "x"})
                self.assertEqual((first.status, again.status), (202, 202), again)
                self.assertEqual(first.json["id"], again.json["id"])
                statuses = [lab.submit(model="quick", token=key["key"]).status for _ in range(3)]
                self.assertEqual(statuses, [202, 429, 429])
                listed = lab.get("/v1/jobs", token=key["key"]).json["jobs"]
                self.assertEqual(listed[1]["id"], first.json["id"])
                self.assertEqual(len(listed), 2)
                lab.keys("revoke", key["id"])

    def test_visitors_are_served_while_the_node_with_the_limits_is_away(self):
        with self.lab(self.cluster) as lab, Load(lab) as load:
            load.wait_for(10)
            # It comes last by its name, and may have no replica any more.
            self.cluster.kill(self.cluster.node_of("{k}"))
            load.wait_for(5)
            load.stop()


class BehindSentinels(Fleet):
    def test_a_promoted_replica_is_found_under_load(self):
        with Sentinels() as fleet, self.lab(fleet) as lab, Load(lab) as load:
            load.wait_for(20)
            old = fleet.kill_master()
            fleet.wait_for_promotion("", old)
            self.works_again(lab, load)

    def test_a_master_without_its_replica_may_have_been_replaced_and_is_not_even_read(self):
        with Sentinels() as fleet, Lab(redis=fleet) as lab:
            job = lab.submit().json
            for option, value in (("min-replicas-to-write", 1), ("min-replicas-max-lag", 1)):
                fleet.master().cli("config", "set", option, value)
            replica = next(node for node in fleet.nodes if node is not fleet.master())
            replica.kill()

            def look():
                return lab.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"]).status
            wait_until(lambda: look() == 503, "the master is left")
            wait_until(lambda: "NOREPLICAS" in lab.get("/readyz").json.get("detail", ""), "the reason")
            replica.start()
            wait_until(lambda: look() == 200, "it has its replica again")

    def test_a_sentinel_whose_host_is_gone_is_asked_once_and_not_again_and_again(self):
        # Each question to it would hold up a command for half a second.
        with Sentinels() as fleet, Lab(redis=fleet, dispatcher=False) as lab, \
                socket.create_server(("127.0.0.1", 0)) as silent:
            silent.setblocking(False)
            lab.redis_url = lab.redis_url.replace("//", f"//127.0.0.1:{silent.getsockname()[1]},")
            with Hand(lab) as hand:
                end = time.monotonic() + 2
                while time.monotonic() < end:
                    hand.claim()
                    time.sleep(0.05)
            silent.accept()[0].close()
            with self.assertRaises(BlockingIOError):
                silent.accept()

    def test_a_job_that_too_few_replicas_have_is_refused_and_withdrawn(self):
        with Sentinels() as fleet, Lab(redis=fleet, dispatcher_options=(
                "--redis-wait-replicas", 1, "--redis-wait-ms", 300)) as lab:
            self.assertEqual(lab.submit().status, 202)
            replica = next(node for node in fleet.nodes if node is not fleet.master())
            replica.kill()
            self.assertEqual(lab.submit().status, 503)
            wait_until(lambda: lab.redis_cli("hget", "{q:00}c:", "queued") == "1", "the job is withdrawn")
            # One with a key is there to be asked for again; but then, too, only once it is safe.
            mine = {"token": lab.key()["key"], "headers": {"Idempotency-Key": "x"}}
            self.assertEqual([lab.submit(**mine).status for _ in range(2)], [503, 503])
            replica.start()
            wait_until(lambda: lab.submit(**mine).status == 202, "the same job is accepted")
            wait_until(lambda: lab.submit().status == 202, "the replica is in step again")

    def test_a_master_that_became_a_replica_is_left(self):
        with Sentinels() as fleet, self.lab(fleet) as lab, Load(lab) as load:
            load.wait_for(20)
            old = fleet.master()
            fleet.sentinels[0].cli("sentinel", "failover", fleet.name)
            fleet.wait_for_promotion("", old)
            self.works_again(lab, load)
            self.assertTrue(old.running())


if __name__ == "__main__":
    main()
