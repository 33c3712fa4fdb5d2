#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Jobs that wait for others, over HTTP, with a real worker."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from bare_png import bare_png  # noqa: E402
from darkroom import Hand, Lab, data_url, main, wait_until  # noqa: E402
from workbench import DEVICE, Workbench, noise_png  # noqa: E402

QUICK = ("--model", "quick", "--device", DEVICE)


def named(job, token="view"):
    """How a visitor names a job."""
    return {"job": job["id"], "token": job["tokens"][token]}


class Chains(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-chains-")
        cls.bench = Workbench(cls.folder.name)
        cls.lab = Lab(models=cls.bench.models, dispatcher_options=("--submits-per-minute", "0"))

    @classmethod
    def tearDownClass(cls):
        failures = cls.lab.close()
        cls.folder.cleanup()
        assert not failures, failures

    def tearDown(self):
        self.lab.redis_cli("flushall")

    def submit(self, picture=None, status=202, **members):
        if "input" not in members:
            answer = self.lab.submit(picture or noise_png(20, 20, 1), "quick", **members)
        else:
            answer = self.lab.request("POST", "/v1/jobs", {"model": "quick", **members})
        self.assertEqual(answer.status, status, answer)
        return answer.json

    def result(self, job):
        answer = self.lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"])
        self.assertEqual(answer.status, 302, answer)
        return bare_png(self.lab.get(answer.headers["Location"]).body)

    def state(self, job):
        return self.lab.job(job)["state"]

    # ---- the road ----

    def test_the_second_of_a_chain_works_on_the_first_s_output(self):
        picture = noise_png(40, 40, 7)
        first = self.submit(picture)
        second = self.submit(input=named(first))
        self.assertEqual((second["state"], second["after"]), ("delayed", [first["id"]]))
        self.assertEqual(self.lab.job(second)["after"], [first["id"]])
        third = self.submit(input=named(second, "manage"), crop={"x": 2, "y": 3, "width": 30, "height": 40})
        self.lab.worker_start(*QUICK)
        try:
            for job in (first, second, third):
                now = self.lab.wait_for_state(job, "succeeded", "failed")
                self.assertEqual(now["state"], "succeeded", now)
        finally:
            self.assertEqual(self.lab.stop("worker"), 0)
        middle = self.bench.expected("quick", picture)
        self.assertEqual(self.result(first), middle)
        self.assertEqual(self.result(second), self.bench.expected("quick", middle))
        self.assertEqual(self.lab.job(third)["attempts"], 0)

    def test_a_crop_beyond_the_result_fails_that_job_alone(self):
        first = self.submit()
        second = self.submit(input=named(first), crop={"x": 0, "y": 0, "width": 1000, "height": 1000})
        self.lab.worker_start(*QUICK)
        try:
            now = self.lab.wait_for_state(second, "failed")
        finally:
            self.assertEqual(self.lab.stop("worker"), 0)
        self.assertNotEqual(now["error"]["code"], "parent_failed")
        self.assertEqual(self.state(first), "succeeded")

    def test_a_job_waits_for_all_that_it_names(self):
        one, two = self.submit(), self.submit()
        both = self.submit(after=[named(one), named(two)])
        with Hand(self.lab, "quick") as hand:
            hand.complete(hand.claim())
            self.assertEqual(self.state(both), "delayed")
            self.assertEqual(self.lab.job(both)["after"], [one["id"], two["id"]])
            hand.complete(hand.claim())
            self.assertEqual(self.state(both), "queued")
            self.assertEqual(hand.claim()["public_id"], both["id"])

    def test_the_grant_of_an_heir_is_its_parent_s_result(self):
        first = self.submit()
        second = self.submit(input=named(first))
        with Hand(self.lab, "quick") as hand:
            hand.complete(hand.claim(), b"the first result")
            grant = hand.grant(hand.claim(second))
            self.assertEqual(self.lab.get(grant["get"]).body, b"the first result")

    # ---- how it ends ----

    def test_a_failed_parent_fails_the_chain_and_says_who(self):
        first = self.submit()
        second = self.submit(after=[named(first)])
        third = self.submit(after=[named(second)])
        with Hand(self.lab, "quick") as hand:
            hand.fail(hand.claim())
        for job, parent in ((second, first), (third, second)):
            now = self.lab.wait_for_state(job, "failed")
            self.assertEqual(now["error"]["code"], "parent_failed")
            self.assertIn(parent["id"], now["error"]["detail"])

    def test_a_parent_that_has_failed_fails_a_late_child_at_once(self):
        first = self.submit()
        self.lab.request("POST", f"/v1/jobs/{first['id']}/cancel", token=first["tokens"]["manage"])
        late = self.submit(after=[named(first)])
        self.assertEqual((late["state"], late["error"]["code"]), ("failed", "parent_failed"))

    def test_erasing_a_parent_fails_who_waits_for_its_result(self):
        first = self.submit()
        second = self.submit(input=named(first))
        self.assertEqual(self.lab.request("DELETE", f"/v1/jobs/{first['id']}",
                                          token=first["tokens"]["delete"]).status, 204)
        self.assertEqual(self.lab.wait_for_state(second, "failed")["error"]["code"], "parent_failed")

    # ---- who may name what ----

    def refused(self, status, field=None, **members):
        problem = self.submit(status=status, **members)
        if field:
            self.assertEqual(problem.get("field"), field, problem)
        return problem

    def test_a_visitor_names_a_job_only_with_its_token(self):
        first, other = self.submit(), self.submit()
        self.refused(403, after=[first["id"]])
        self.refused(403, input={"job": first["id"]})
        self.refused(403, after=[{"job": first["id"], "token": other["tokens"]["view"]}])
        self.refused(403, after=[named(first, "delete")])
        self.assertEqual(self.lab.redis_cli("hlen", "{q:00}need"), "0")

    def test_what_is_no_job_of_mine_is_refused_in_words(self):
        first = self.submit()
        self.lab.request("DELETE", f"/v1/jobs/{first['id']}", token=first["tokens"]["delete"])
        self.assertIn("retention", self.refused(422, "after", after=[named(first)])["detail"])
        self.assertIn("retention", self.refused(422, input=named(first))["detail"])

    def test_a_job_of_another_shard_is_of_another_owner(self):
        key = self.lab.key()["key"]
        for parents in (["05" + "00" * 16], ["00" * 17]):
            answer = self.lab.submit(noise_png(20, 20, 1), "quick", after=parents)
            self.assertEqual(answer.status, 403, answer)
            body = {"model": "quick", "input": data_url(noise_png(20, 20, 1)), "after": parents}
            answer = self.lab.request("POST", "/v1/jobs", body, token=key)
            self.assertEqual((answer.status, answer.problem["field"]), (422, "after"), answer)
            answer = self.lab.request("POST", "/v1/batches", {"jobs": [body]}, token=key)
            self.assertEqual(answer.status, 422, answer)
            self.assertIn("after", answer.problem["field"])

    def test_members_that_make_no_sense_are_refused(self):
        first = self.submit()
        self.refused(422, "after", after="x")
        self.refused(422, "after", after=["x"])
        self.refused(422, "after.job", after=[{"job": 7}])
        self.refused(422, "after.tokn", after=[{"job": first["id"], "tokn": "x"}])
        self.refused(422, "after", after=[named(first)] * 17)
        self.refused(422, "input.id", input={"id": first["id"]})
        self.refused(422, "input", input=7)

    def test_the_same_job_named_twice_counts_once(self):
        first = self.submit()
        second = self.submit(after=[named(first), named(first)], input=named(first))
        self.assertEqual(second["after"], [first["id"]])
        with Hand(self.lab, "quick") as hand:
            hand.complete(hand.claim())
            self.assertEqual(hand.claim()["public_id"], second["id"])

    def test_an_idempotency_key_makes_one_child(self):
        first = self.submit()
        headers = {"Idempotency-Key": "chain-1"}
        body = {"model": "quick", "input": named(first)}
        one = self.lab.request("POST", "/v1/jobs", body, headers)
        two = self.lab.request("POST", "/v1/jobs", body, headers)
        self.assertEqual((one.status, two.status), (202, 202))
        self.assertEqual(one.json["id"], two.json["id"])
        other = self.submit()
        body["input"] = named(other)
        self.assertEqual(self.lab.request("POST", "/v1/jobs", body, headers).status, 422)
        self.assertEqual(self.lab.redis_cli("hlen", "{q:00}need"), "1")


if __name__ == "__main__":
    main()
