#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Many jobs in one call: all or none."""
import pathlib
import signal
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import Hand, Shared, data_url, main, manifest_of, png, wait_until  # noqa: E402

MODELS = {
    "test-model": manifest_of("test-model"),
    "noise": manifest_of("noise", input={"kind": "none"}, params={
        "type": "object", "additionalProperties": False,
        "properties": {"seed": {"type": "integer", "minimum": 0, "maximum": 1000000}}}),
}
LEASE = ("--lease-ms", "30000")


class Batches(Shared):
    models = MODELS
    options = LEASE

    def setUp(self):
        self.lab.redis_cli("flushall")
        for path in self.lab.stored():
            path.unlink(missing_ok=True)
        self.key = self.lab.key("--max-queued", "20000")["key"]
        # What the dispatcher knows of a key outlives a flush by two seconds at most.

    def post(self, jobs, defaults=None, key=None, headers=None):
        body = {"jobs": jobs}
        if defaults is not None:
            body["defaults"] = defaults
        return self.lab.request("POST", "/v1/batches", body, headers, token=key or self.key)

    def accepted(self, *arguments, **more):
        answer = self.post(*arguments, **more)
        self.assertEqual(answer.status, 202, answer)
        return answer.json

    def look(self, batch, query="", right="view"):
        answer = self.lab.get(f"/v1/batches/{batch['id']}{query}", token=batch["tokens"][right])
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def settled(self):
        """Nothing is on its way into a lane any more."""
        wait_until(lambda: self.lab.redis_cli("llen", "{q:00}kin") == "0", "the line of kin is empty")

    def noise(self, count):
        return [{"params": {"seed": seed}} for seed in range(count)]

    # ---- the road ----

    def test_a_batch_is_accepted_and_its_jobs_run_in_order(self):
        answer = self.post(self.noise(5), {"model": "noise"})
        self.assertEqual(answer.status, 202, answer)
        batch = answer.json
        self.assertTrue(answer.headers["Location"].endswith(f"/v1/batches/{batch['id']}"))
        self.assertEqual((batch["count"], len(batch["jobs"])), (5, 5))
        now = self.look(batch)
        self.assertEqual([job["id"] for job in now["jobs"]], [job["id"] for job in batch["jobs"]])
        self.assertEqual((now["states"]["queued"], now["done"], now["next"]), (5, False, None))
        with Hand(self.lab, "noise") as hand:
            for seed, job in enumerate(batch["jobs"]):
                claimed = hand.claim()
                self.assertEqual((claimed["public_id"], claimed["spec"]["params"]), (job["id"], {"seed": seed}))
                hand.complete(claimed)
        now = self.look(batch)
        self.assertEqual((now["states"]["succeeded"], now["done"]), (5, True))
        # Each job has its own tokens, and belongs to the account.
        job = batch["jobs"][0]
        self.assertEqual(self.lab.job(job)["state"], "succeeded")
        self.assertEqual(self.lab.get(f"/v1/jobs/{job['id']}", token=self.key).status, 200)
        listed = self.lab.get("/v1/jobs", token=self.key).json["jobs"]
        self.assertEqual({one["id"] for one in listed}, {one["id"] for one in batch["jobs"]})

    def test_pictures_come_inline_and_defaults_are_overridden(self):
        batch = self.accepted([{}, {"model": "noise", "input": None, "params": {"seed": 3}},
                               {"input": data_url(png(30, 30)), "crop": {"x": 1, "y": 2, "width": 5, "height": 6}}],
                              {"model": "test-model", "input": data_url(png())})
        self.assertEqual(len(self.lab.stored("inputs/")), 2)
        with Hand(self.lab, "test-model") as hand:
            first, second = hand.claim(), hand.claim()
            self.assertIsNone(hand.claim())
            self.assertEqual(self.lab.get(hand.grant(first)["get"]).body, png())
            self.assertEqual(second["spec"]["crop"], [1, 2, 5, 6])
        self.assertEqual(len(batch["jobs"]), 3)

    def test_ten_thousand_jobs_in_one_call(self):
        self.lab.redis_cli("config", "set", "slowlog-log-slower-than", "5000")
        self.lab.redis_cli("slowlog", "reset")
        batch = self.accepted(self.noise(10000), {"model": "noise"})
        self.assertEqual(len({job["id"] for job in batch["jobs"]}), 10000)
        self.settled()
        now = self.look(batch)
        self.assertEqual((now["states"]["queued"], len(now["jobs"]), now["next"]), (10000, 1000, 1000))
        now = self.look(batch, "?offset=9999&limit=10")
        self.assertEqual((now["jobs"][0]["id"], now["next"]), (batch["jobs"][9999]["id"], None))
        self.assertEqual(len(self.look(batch, "?limit=10000")["jobs"]), 10000)
        answer = self.lab.request("POST", f"/v1/batches/{batch['id']}/cancel", token=batch["tokens"]["manage"])
        self.assertEqual((answer.status, answer.json["states"]["cancelled"]), (200, 10000))
        self.assertEqual(self.lab.request("DELETE", f"/v1/batches/{batch['id']}",
                                          token=batch["tokens"]["delete"]).status, 204)
        self.assertEqual(self.lab.get(f"/v1/batches/{batch['id']}", token=self.key).status, 404)
        # Only said: a machine that is busy with other things would fail this.
        print("# calls over 5 ms:", self.lab.redis_cli("slowlog", "len"))

    def test_an_input_may_be_the_result_of_an_earlier_job(self):
        first = self.lab.submit(token=self.key).json
        self.accepted([{"input": {"job": first["id"]}}, {"input": {"job": first["id"]}, "after": [first["id"]]}],
                      {"model": "test-model"})
        with Hand(self.lab) as hand:
            hand.complete(hand.claim(), b"the result")
            for _ in range(2):
                self.assertEqual(self.lab.get(hand.grant(hand.claim())["get"]).body, b"the result")

    # ---- all or none ----

    def refused_batch(self, jobs, status, field=None, **more):
        answer = self.post(jobs, **more)
        self.assertEqual(answer.status, status, answer)
        if field:
            self.assertEqual(answer.problem["field"], field, answer)
        wait_until(lambda: self.lab.redis_cli("keys", "{q:00}j:*") == "", "no job left behind")
        self.nothing_stored()
        return answer

    def test_one_bad_job_refuses_them_all(self):
        good = {"model": "test-model", "input": data_url(png())}
        self.refused_batch([good, good, {"model": "test-model", "input": "no picture"}], 422, "jobs[2].input")
        self.refused_batch([good, {"model": "none-such"}], 422, "jobs[1].model")
        self.refused_batch([{"params": {"seed": -1}}], 422, defaults={"model": "noise"})
        self.refused_batch([good, 7], 422, "jobs[1]")
        self.refused_batch([good, {**good, "colour": "red"}], 422, "jobs[1].colour")
        self.refused_batch([good, {**good, "after": ["00" * 17]}], 422, "after")

    def test_a_body_that_is_no_batch_is_refused(self):
        self.refused_batch([], 422, "jobs")
        self.refused_batch({}, 422, "jobs")
        self.refused_batch([{"model": "noise"}] * 10001, 422, "jobs")
        self.refused_batch([{"model": "noise"}], 422, "defaults", defaults=7)
        for body, status in ((b"{", 400), (b"[]", 422), (b'{"jobs": [], "more": 1}', 422)):
            answer = self.lab.request("POST", "/v1/batches", body, {"Content-Type": "application/json"},
                                      token=self.key)
            self.assertEqual(answer.status, status, answer)

    def test_an_account_s_limit_refuses_the_whole_batch(self):
        small = self.lab.key("--max-queued", "10")["key"]
        self.refused_batch(self.noise(11), 429, defaults={"model": "noise"}, key=small)
        self.accepted(self.noise(10), {"model": "noise"}, key=small)

    def test_batches_are_for_accounts(self):
        reader = self.lab.key("--scopes", "read")["key"]
        self.assertEqual(self.post(self.noise(1), {"model": "noise"}, key=reader).status, 403)
        answer = self.lab.request("POST", "/v1/batches", {"jobs": self.noise(1)})
        self.assertEqual(answer.status, 401, answer)

    def test_a_dispatcher_that_dies_between_chunks_leaves_nothing(self):
        answers = []
        self.lab.redis_cli("client", "pause", "300", "WRITE")
        thread = threading.Thread(target=lambda: answers.append(self.try_post()))
        thread.start()
        # Most of its chunks are still to come when the first is there.
        wait_until(lambda: int(self.lab.redis_cli("zcard", "{q:00}delay")) > 0, "a first chunk")
        self.lab.stop("dispatcher", signal.SIGKILL)
        thread.join()
        there = int(self.lab.redis_cli("zcard", "{q:00}delay"))
        self.lab.dispatcher_start()
        if answers == [None] and there < 10000:
            with Hand(self.lab, "noise") as hand:
                self.assertIsNone(hand.claim())
            batch = self.lab.redis_cli("zrange", "{q:00}open", "0", "-1")
            self.lab.redis_cli("zadd", "{q:00}open", "1", batch)
            wait_until(lambda: self.lab.redis_cli("keys", "{q:00}j:*") == "", "nothing is left")

    def try_post(self):
        try:
            return self.post(self.noise(10000), {"model": "noise"}).status
        except (OSError, ValueError):
            return None

    # ---- idempotency ----

    def test_a_key_makes_one_batch(self):
        headers = {"Idempotency-Key": "b-1"}
        first = self.accepted(self.noise(300), {"model": "noise"}, headers=headers)
        again = self.post(self.noise(300), {"model": "noise"}, headers=headers)
        self.assertEqual((again.status, again.headers["Idempotency-Replayed"]), (202, "true"))
        self.assertEqual(again.json, first)
        other = self.post(self.noise(299), {"model": "noise"}, headers=headers)
        self.assertEqual((other.status, other.code), (422, "key-reused"))
        self.settled()
        self.assertEqual(self.look(first)["states"]["queued"], 300)
        self.assertEqual(self.lab.redis_cli("hget", "{q:00}c:noise", "submitted"), "300")

    def test_a_refused_batch_does_not_use_up_its_key(self):
        headers = {"Idempotency-Key": "b-2"}
        job = {"model": "test-model", "input": data_url(png())}
        self.refused_batch([{**job, "after": ["00" * 17]}], 422, headers=headers)
        self.accepted([job], headers=headers)

    # ---- afterwards ----

    def test_a_cancel_in_the_middle_leaves_what_is_done(self):
        batch = self.accepted(self.noise(200), {"model": "noise"})
        with Hand(self.lab, "noise") as hand:
            hand.complete(hand.claim())
            running = hand.claim()
            answer = self.lab.request("POST", f"/v1/batches/{batch['id']}/cancel", token=self.key)
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual((answer.json["states"]["succeeded"], answer.json["states"]["cancelled"]), (1, 199))
            self.assertTrue(answer.json["done"])
            self.assertEqual(hand.progress(running, 500), "verdict 3")

    def test_deleting_a_batch_deletes_its_objects(self):
        batch = self.accepted([{"input": data_url(png())}] * 3, {"model": "test-model"})
        self.assertEqual(len(self.lab.stored("inputs/")), 3)
        answer = self.lab.request("DELETE", f"/v1/batches/{batch['id']}", token=batch["tokens"]["delete"])
        self.assertEqual(answer.status, 204, answer)
        wait_until(lambda: not self.lab.stored("inputs/"), "the pictures are gone")
        self.assertEqual(self.lab.get(f"/v1/jobs/{batch['jobs'][0]['id']}",
                                      token=batch["jobs"][0]["tokens"]["view"]).status, 404)

    def test_each_token_is_good_for_its_right_only(self):
        batch = self.accepted(self.noise(2), {"model": "noise"})
        path, tokens = f"/v1/batches/{batch['id']}", batch["tokens"]
        stranger = self.lab.key()["key"]
        self.assertEqual(self.lab.get(path).status, 401)
        self.assertEqual(self.lab.get(path, token=stranger).status, 403)
        self.assertEqual(self.lab.get(path, token=batch["jobs"][0]["tokens"]["view"]).status, 403)
        self.assertEqual(self.lab.get(path, token=tokens["manage"]).status, 200)
        self.assertEqual(self.lab.request("POST", path + "/cancel", token=tokens["view"]).status, 403)
        self.assertEqual(self.lab.request("DELETE", path, token=tokens["manage"]).status, 403)
        self.assertEqual(self.lab.request("DELETE", path, token=stranger).status, 403)
        self.assertEqual(self.look(batch)["states"]["queued"], 2)
        self.assertEqual(self.lab.get("/v1/batches/" + "00" * 17, token=self.key).status, 404)
        self.assertEqual(self.lab.get(path + "?limit=0", token=self.key).status, 422)


if __name__ == "__main__":
    main()
