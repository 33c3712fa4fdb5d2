#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Webhooks from the submission to the receiver, who checks them with Standard Webhooks' own library."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "support"))
import figures  # noqa: E402
from darkroom import BUILD, DEADLINE_S, Hand, Lab, data_url, main, png, wait_until  # noqa: E402
from mail_server import MailServer, make_certificate  # noqa: E402
from redis_fleet import Cluster  # noqa: E402
from webhook_server import WebhookServer  # noqa: E402

ALL = ["job.succeeded", "job.failed", "job.cancelled"]
FAST = ("--webhook-retry-ms", "50")
SECRET_PATH = "?key=very-private"


def verify(secret, *requests):
    """What the npm package says of each."""
    if not shutil.which("node") or not (ROOT / "webhooks" / "node_modules").is_dir():
        raise unittest.SkipTest("npm ci in tests/webhooks first")
    lines = [json.dumps({"secret": secret, "headers": request.headers, "body": request.body})
             for request in requests]
    done = subprocess.run(["node", ROOT / "webhooks" / "verify.mjs"], input="\n".join(lines) + "\n",
                          text=True, capture_output=True, check=True, timeout=DEADLINE_S)
    return done.stdout.split("\n")[:-1]


class Webhooks(unittest.TestCase):
    """What both classes of tests need."""
    allow = ("--webhook-allow", "127.0.0.1/32")
    options = ()

    def redis(self):
        """None: one of the Lab's own."""

    def setUp(self):
        self.lab = Lab(dispatcher_options=[*self.allow, *self.options], redis=self.redis())
        self.addCleanup(self.close_lab)
        self.receiver = WebhookServer(make_certificate(self.lab.path))
        self.addCleanup(self.receiver.close)
        self.key = self.lab.key()
        self.hand = Hand(self.lab)
        self.addCleanup(self.hand.__exit__)

    def close_lab(self):
        """No secret, URL or token in any log, and no program that ended badly."""
        for program in self.lab.programs.values():
            for private in ("very-private", "whsec_", "dk_", "token="):
                self.assertNotIn(private, program.log)
        self.assertEqual(self.lab.close(), [])

    def notifier(self, *options, name="notifier", allow=True):
        return self.lab.notifier_start(*FAST, *(self.allow if allow else ()), "--webhook-ca-file",
                                       self.receiver.ca_file, *options, name=name)

    def api(self, method, path, body=None, key=None):
        return self.lab.request(method, f"/v1/webhooks{path}", body, token=(key or self.key)["key"])

    def register(self, path="/", events=ALL, key=None, **more):
        answer = self.api("POST", "", {"url": self.receiver.url(path + SECRET_PATH), "events": events, **more}, key)
        self.assertEqual(answer.status, 201, answer)
        return answer.json

    def submit(self, key=True, **members):
        answer = self.lab.submit(token=self.key["key"] if key is True else key, **members)
        self.assertEqual(answer.status, 202, answer)
        return answer.json

    def end(self, job, how="succeeded"):
        if how == "cancelled":
            self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
            return job
        claimed = self.hand.claim(job)
        self.assertEqual(claimed["public_id"], job["id"])
        self.hand.complete(claimed) if how == "succeeded" else self.hand.fail(claimed)
        return job

    def ended(self, how="succeeded", **members):
        return self.end(self.submit(**members), how)

    def replay(self, body, key):
        return self.lab.request("POST", "/v1/notifications/replay", body, token=key["key"])

    def unsent(self, operator=None):
        operator = operator or self.lab.key("--scopes", "operate")
        return self.lab.get("/v1/notifications", token=operator["key"]).json

    def told(self, job):
        """The job as its owner sees it, without what a webhook does not have."""
        shown = self.lab.job(job)
        del shown["links"]["page"], shown["notification"]
        return shown

    def check(self, request, job, type, state):
        event = json.loads(request.body)
        self.assertEqual((event["type"], event["data"]["id"], event["data"]["state"]), (type, job["id"], state))
        self.assertEqual(event["data"]["model"], "test-model")
        self.assertEqual(event["timestamp"], event["data"]["updated_at"])
        self.assertLess(abs(int(request.timestamp) - time.time()), 60)
        self.assertTrue(request.id.startswith(job["id"]), request.id)
        self.assertNotIn(".", request.id)
        self.assertNotIn("token", request.body)
        for token in job["tokens"].values():
            self.assertNotIn(token, request.body)
        self.assertEqual(request.headers["content-type"], "application/json")


class OfAccounts(Webhooks):
    # ---- endpoints ----

    def test_an_endpoint_is_its_accounts_and_shows_its_secret_once(self):
        made = self.register("/a", description="the shop")
        self.assertRegex(made["id"], r"^wh_[0-9a-f]{16}$")
        self.assertRegex(made["secret"], r"^whsec_[A-Za-z0-9+/]{43}=$")
        shown = self.api("GET", f"/{made['id']}").json
        self.assertEqual(shown, {name: value for name, value in made.items() if name != "secret"})
        self.assertEqual((shown["events"], shown["description"], shown["disabled_at"]), (ALL, "the shop", None))
        self.assertEqual(self.api("GET", "").json, {"webhooks": [shown]})
        everything = self.lab.redis_cli("hgetall", f"{{k}}hook:{made['id']}")
        self.assertNotIn("very-private", everything)
        self.assertNotIn(made["secret"][6:], everything)
        stranger, reader = self.lab.key(), self.lab.key("--account", self.key["account"], "--scopes", "read")
        self.assertEqual(self.api("GET", "", key=stranger).json, {"webhooks": []})
        for method, tail in (("GET", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/enable")):
            self.assertEqual(self.api(method, f"/{made['id']}{tail}", key=stranger).code, "not-found")
            self.assertEqual(self.api(method, f"/wh_{'0' * 16}{tail}").code, "not-found")
            self.assertEqual(self.api(method, f"/nonsense{tail}").code, "not-found")
            self.assertEqual(self.lab.request(method, f"/v1/webhooks/{made['id']}{tail}").code, "unauthorized")
        self.assertEqual(self.api("GET", f"/{made['id']}", key=reader).status, 200)
        self.assertEqual(self.api("DELETE", f"/{made['id']}", key=reader).code, "forbidden")
        self.assertEqual(self.api("DELETE", f"/{made['id']}").status, 204)
        self.assertEqual(self.api("GET", f"/{made['id']}").code, "not-found")
        self.assertEqual(self.lab.redis_cli("keys", "*hook*"), "")

    def test_what_is_no_endpoint_is_refused_with_the_member_at_fault(self):
        good = {"url": "https://example.org/", "events": ALL}
        for member, value in (("url", "http://example.org/"), ("url", "https://10.0.0.1/"), ("url", 7),
                              ("url", "https://[::ffff:169.254.169.254]/"), ("url", "https://2130706433/"),
                              ("url", "https://user:pw@example.org/"), ("url", "https://example.org:25/"),
                              ("url", "https://example.org/" + "x" * 1100), ("events", ["job.started"]),
                              ("events", ["job.failed", "job.failed"]), ("events", "job.failed"), ("events", None),
                              ("events", ALL + ALL), ("description", "x" * 300), ("description", "a\nb"),
                              ("secret", "whsec_mine")):
            answer = self.api("POST", "", {**good, member: value})
            self.assertEqual((answer.status, answer.problem.get("field")), (422, member), (value, answer))
        self.assertEqual(self.lab.request("POST", "/v1/webhooks", b"{", token=self.key["key"]).code, "malformed")
        for _ in range(16):
            self.assertEqual(self.api("POST", "", good).status, 201)
        answer = self.api("POST", "", good)
        self.assertEqual((answer.code, answer.problem["limit"]), ("conflict", 16))
        self.assertEqual(self.lab.redis_cli("hlen", f"{{q:00}}hooks:{self.key['account']}"), "16")

    # ---- delivery ----

    def test_every_way_to_end_is_told_and_verified_by_the_standards_library(self):
        endpoint, quiet = self.register("/a"), self.register("/b", ["job.failed"])
        self.notifier()
        jobs = {state: self.ended(state) for state in ("succeeded", "failed", "cancelled")}
        requests = self.receiver.wait_for(3, "/a" + SECRET_PATH)
        by_job = {json.loads(request.body)["data"]["id"]: request for request in requests}
        for state, job in jobs.items():
            self.check(by_job[job["id"]], job, f"job.{state}", state)
        self.assertEqual(json.loads(by_job[jobs["succeeded"]["id"]].body)["data"],
                         self.told(jobs["succeeded"]))
        self.assertEqual(json.loads(by_job[jobs["failed"]["id"]].body)["data"]["error"]["detail"], "broken")
        other = self.receiver.wait_for(1, "/b" + SECRET_PATH)
        self.check(other[0], jobs["failed"], "job.failed", "failed")
        self.assertNotEqual(other[0].id, by_job[jobs["failed"]["id"]].id)
        self.assertEqual(verify(endpoint["secret"], *requests), ["ok"] * 3)
        self.assertEqual(verify(quiet["secret"], other[0]), ["ok"])
        self.assertNotIn("ok", verify(quiet["secret"], *requests))
        forged = requests[0]
        forged.body = forged.body.replace("job.", "bob.")
        self.assertNotIn("ok", verify(endpoint["secret"], forged))
        self.assertEqual(len(self.receiver.requests), 4)

    def test_an_id_is_constant_and_a_timestamp_fresh_over_tries(self):
        endpoint = self.register("/a")
        answers = [503, "hang up", 500, (429, {"Retry-After": "1"})]
        self.receiver.answer = lambda request: answers.pop(0) if answers else None
        notifier = self.notifier("--metrics", "127.0.0.1:0")
        job = self.ended()
        requests = self.receiver.wait_for(5)
        notifier.wait_for_log("webhook.sent")
        text = figures.of_program(notifier, "notifier.metrics")
        for status, count in {"5xx": 2, "4xx": 1, "2xx": 1}.items():  # libcurl may hide who hangs up
            self.assertEqual(figures.value(text, "darkroom_webhook_delivery_seconds_count", **{"class": status}), count)
        for outcome, count in {"sent": 1, "refused": 0}.items():
            self.assertEqual(figures.value(text, "darkroom_webhooks_total", outcome=outcome), count)
        self.assertGreaterEqual(figures.value(text, "darkroom_webhooks_total", outcome="deferred"), 3)
        self.assertEqual(len({request.id for request in requests}), 1)
        self.assertEqual(len({request.body for request in requests}), 1)
        self.assertGreaterEqual(requests[4].at_ms - requests[3].at_ms, 1000)  # Retry-After
        self.assertGreater(int(requests[4].timestamp), int(requests[0].timestamp))
        self.assertEqual(verify(endpoint["secret"], *requests), ["ok"] * 5)
        self.check(requests[4], job, "job.succeeded", "succeeded")
        self.assertEqual(self.lab.redis_cli("keys", "{q:00}n:*"), "")

    def test_after_a_rotation_both_secrets_verify(self):
        endpoint = self.register("/a")
        answer = self.api("POST", f"/{endpoint['id']}/rotate")
        self.assertEqual(answer.status, 200, answer)
        rotated = answer.json
        self.assertNotEqual(rotated["secret"], endpoint["secret"])
        self.assertIsNotNone(rotated["old_secret_until"])
        self.assertNotIn("secret", self.api("GET", f"/{endpoint['id']}").json)
        self.notifier()
        self.ended()
        request = self.receiver.wait_for(1)[0]
        self.assertEqual(len(request.signature.split(" ")), 2)
        self.assertEqual(verify(rotated["secret"], request), ["ok"])
        self.assertEqual(verify(endpoint["secret"], request), ["ok"])
        self.lab.redis_cli("hset", f"{{k}}hook:{endpoint['id']}", "old_until", int(time.time() * 1000) - 1)
        self.ended()
        request = self.receiver.wait_for(2)[1]
        self.assertEqual(verify(rotated["secret"], request), ["ok"])
        self.assertNotEqual(verify(endpoint["secret"], request), ["ok"])

    def test_gone_disables_the_endpoint_until_it_is_enabled(self):
        endpoint = self.register("/a")
        self.receiver.answer = lambda request: 410
        notifier = self.notifier()
        first = self.ended()
        notifier.wait_for_log("webhook.disabled")
        wait_until(lambda: self.unsent()["total"] == 1, "one that was given up")
        shown = self.api("GET", f"/{endpoint['id']}").json
        self.assertIsNotNone(shown["disabled_at"])
        self.assertIn("410", shown["disabled_reason"])
        self.receiver.answer = lambda request: None
        self.ended()
        self.assertEqual(self.lab.redis_cli("xlen", "{q:00}out"), "0")
        shown = self.api("POST", f"/{endpoint['id']}/enable").json
        self.assertEqual((shown["disabled_at"], shown["disabled_reason"]), (None, None))
        second = self.ended()
        self.check(self.receiver.wait_for(2)[1], second, "job.succeeded", "succeeded")
        self.assertEqual(self.replay({"ids": [first["id"]], "state": "unsent"}, self.key).json,
                         {"jobs": 1, "notifications": 1})
        self.assertEqual(self.receiver.wait_for(3)[2].id, self.receiver.requests[0].id)

    # ---- a job's own ----

    def test_a_job_may_bring_a_url_or_name_an_endpoint(self):
        endpoint = self.register("/endpoint", [])
        self.notifier()
        job = self.ended(webhook={"url": self.receiver.url("/own" + SECRET_PATH)})
        request = self.receiver.wait_for(1, "/own" + SECRET_PATH)[0]
        self.check(request, job, "job.succeeded", "succeeded")
        self.assertEqual(verify(job["tokens"]["webhook"], request), ["ok"])
        self.assertNotIn("webhook", self.lab.job(job).get("tokens", {}))
        form = self.lab.submit_form([("model", "test-model"), ("input", png(), "a.png"),
                                     ("webhook", endpoint["id"])], token=self.key["key"])
        self.assertEqual(form.status, 202, form)
        self.end(form.json)
        request = self.receiver.wait_for(1, "/endpoint" + SECRET_PATH)[0]
        self.assertEqual(verify(endpoint["secret"], request), ["ok"])
        self.assertNotIn("webhook", form.json["tokens"])
        again = {"headers": {"Idempotency-Key": "one"}, "webhook": {"url": self.receiver.url("/twice")}}
        first, second = self.submit(**again), self.submit(**again)
        self.assertEqual(first["tokens"], second["tokens"])
        again["webhook"] = {"url": self.receiver.url("/other")}
        self.assertEqual(self.lab.submit(token=self.key["key"], **again).status, 422)

    def test_a_webhook_that_cannot_be_is_refused(self):
        stranger = self.lab.key()
        foreign = self.register(key=stranger)
        for webhook in ({"url": "http://example.org/"}, {"url": "https://127.0.0.2/"}, {}, {"id": "wh_1"}, "x", [],
                        {"url": "https://example.org/", "id": foreign["id"]}, {"id": foreign["id"]},
                        {"id": "wh_" + "0" * 16}, {"uri": "https://example.org/"}):
            answer = self.lab.submit(token=self.key["key"], webhook=webhook)
            self.assertEqual(answer.status, 422, (webhook, answer))
            self.assertIn("webhook", answer.problem["field"])
        answer = self.lab.submit(webhook={"url": "https://example.org/"})
        self.assertEqual(answer.code, "forbidden", answer)
        self.assertEqual(self.lab.redis_cli("keys", "{q:00}j:*"), "")

    # ---- receivers that misbehave ----

    def test_a_slow_receiver_delays_neither_another_nor_a_mail(self):
        slow, quick = self.register("/slow/15000"), self.lab.key()
        self.register("/quick", key=quick)
        mails = MailServer()
        self.addCleanup(mails.close)
        self.notifier("--smtp", mails.url)
        for _ in range(20):
            self.ended()
        self.receiver.wait_for(4, "/slow/15000" + SECRET_PATH)
        for count in range(1, 6):
            self.end(self.submit(key=quick["key"], email="somebody.very-private@example.org"))
            self.receiver.wait_for(count, "/quick" + SECRET_PATH)
            mails.wait_for(count)
        # What is under way to the slow one is its share, of which none has been answered yet.
        self.assertEqual(len(self.receiver.of("/slow/15000" + SECRET_PATH)), 4)
        self.assertEqual(self.lab.redis_cli("zcard", f"{{q:00}}hl:{slow['id']}"), "4")
        self.receiver.closing.set()

    def test_a_mail_server_that_hangs_delays_no_webhook(self):
        mails = MailServer()
        self.addCleanup(mails.close)
        mails.refuse = lambda command, argument: "silence" if command == "MAIL" else None
        self.register("/a")
        self.notifier("--smtp", mails.url)
        self.ended(email="somebody.very-private@example.org")
        wait_until(lambda: "MAIL" in mails.commands, "a mail under way")
        for _ in range(3):
            self.ended()
        self.receiver.wait_for(4)
        mails.close()
        self.lab.programs["notifier"].process.kill()  # it would wait for the server
        self.lab.programs.pop("notifier").process.wait()

    def test_redirects_endless_answers_and_silence_are_no_way_in(self):
        self.register("/redirect")
        self.register("/big")
        self.register("/slow/2000")
        notifier = self.notifier("--webhook-timeout-ms", "500")
        self.ended()
        self.receiver.wait_for(2, "/redirect" + SECRET_PATH)
        self.receiver.wait_for(2, "/slow/2000" + SECRET_PATH)
        notifier.wait_for_log("webhook.sent")  # 200 is 200, however much comes behind it
        self.assertEqual(len(self.receiver.of("/big" + SECRET_PATH)), 1)
        self.assertEqual(self.receiver.of("/elsewhere"), [])
        self.receiver.closing.set()

    def test_a_certificate_that_nobody_signed_gets_nothing(self):
        self.register("/a")
        notifier = self.lab.notifier_start(*FAST, *self.allow)
        self.ended()
        notifier.wait_for_log("webhook.deferred")
        self.assertEqual(self.receiver.requests, [])

    def test_an_internal_address_gets_no_connection(self):
        """The names resolve to loopback, and so does what looks like an address of another kind."""
        for host in ("localhost", "127.0.0.1", "[::ffff:127.0.0.1]"):
            answer = self.api("POST", "", {"url": self.receiver.url("/", host) + SECRET_PATH, "events": ALL})
            self.assertEqual(answer.status, 201, answer)
        notifier = self.notifier(allow=False)
        self.ended()
        wait_until(lambda: notifier.log.count("not on the public internet") >= 6, "two tries of each")
        self.assertEqual((self.receiver.requests, self.receiver.broken), ([], 0))

    # ---- crashes and replays ----

    def test_each_event_has_one_id_whoever_kills_the_notifier(self):
        endpoint = self.register("/slow/20")
        options = ("--webhook-lease-ms", "1000", "--webhook-timeout-ms", "900")
        self.notifier(*options)
        jobs = set()
        for turn in range(4):
            jobs |= {self.ended()["id"] for _ in range(10)}
            wait_until(lambda: len(self.receiver.requests) > 5 * turn, "something under way")
            program = self.lab.programs.pop("notifier")
            os.kill(program.pid, signal.SIGKILL)
            program.process.wait()
            program.log_file.close()
            self.notifier(*options)
        wait_until(lambda: len({json.loads(r.body)["data"]["id"] for r in list(self.receiver.requests)}) == len(jobs)
                   and not self.lab.redis_cli("keys", "{q:00}n:*"), "all of them")
        ids = {}
        for request in self.receiver.requests:
            ids.setdefault(json.loads(request.body)["data"]["id"], set()).add(request.id)
        self.assertEqual(set(ids), jobs)
        self.assertEqual({len(of_job) for of_job in ids.values()}, {1})
        self.assertEqual(len({next(iter(of_job)) for of_job in ids.values()}), len(jobs))
        self.assertEqual(set(verify(endpoint["secret"], *self.receiver.requests)), {"ok"})

    def test_a_stop_gives_back_what_is_under_way(self):
        self.register("/slow/8000")
        self.notifier("--webhook-timeout-ms", "60000", "--webhook-lease-ms", "600000")
        self.ended()
        first = self.receiver.wait_for(1)[0]
        self.assertEqual(self.lab.stop("notifier"), 0)
        self.receiver.closing.set()
        self.notifier()
        self.assertEqual(self.receiver.wait_for(2)[1].id, first.id)

    def test_redis_may_come_and_go(self):
        """What was under way meanwhile is settled afterwards, and not sent twice."""
        self.register("/slow/300")
        notifier = self.notifier()
        self.ended()
        self.receiver.wait_for(1)
        self.lab.stop("redis")
        notifier.wait_for_log("webhook.redis_away")
        self.lab.redis_start()
        wait_until(lambda: self.lab.get("/readyz").status == 200, "the dispatcher is back")
        notifier.wait_for_log("webhook.sent")
        self.assertEqual(self.lab.redis_cli("keys", "{q:00}n:*"), "")
        self.hand = Hand(self.lab)
        self.addCleanup(self.hand.__exit__)
        self.ended()
        self.assertEqual(len(self.receiver.wait_for(2)), 2)

    def test_notifications_are_sent_again_under_their_ids(self):
        operator, stranger = self.lab.key("--scopes", "operate"), self.lab.key()
        self.register("/a")
        self.notifier()
        jobs = [self.ended(email="somebody.very-private@example.org") for _ in range(3)]
        first = {request.id for request in self.receiver.wait_for(3)}
        wait_until(lambda: len(list(self.lab.outbox.glob("*.eml"))) == 3, "three mails")
        wait_until(lambda: not self.lab.redis_cli("keys", "{q:00}n:*"), "all settled")
        ids = [job["id"] for job in jobs]
        self.assertEqual(self.replay({"ids": ids}, stranger).json, {"jobs": 0, "notifications": 0})
        self.assertEqual(self.replay({"ids": ids[:1], "kind": "webhook"}, self.key).json,
                         {"jobs": 1, "notifications": 1})
        self.receiver.wait_for(4)
        self.assertEqual(self.replay({"since": "2020-01-01T00:00:00Z"}, operator).json,
                         {"jobs": 3, "notifications": 6})
        self.receiver.wait_for(7)
        self.assertEqual({request.id for request in self.receiver.requests}, first)
        self.assertEqual(self.replay({"since": "2020-01-01T00:00:00Z", "until": "2021-01-01T00:00:00Z"}, operator).json,
                         {"jobs": 0, "notifications": 0})
        for body, field in (({}, "since"), ({"ids": ["x"]}, "ids"), ({"since": "now"}, "since"),
                            ({"ids": ids, "since": "2020-01-01T00:00:00Z"}, "ids"), ({"ids": ids, "kind": "x"}, "kind"),
                            ({"ids": ids, "state": "sent"}, "state"), ({"ids": ids, "more": 1}, "more")):
            answer = self.replay(body, operator)
            self.assertEqual((answer.status, answer.problem["field"]), (422, field), answer)
        self.assertEqual(self.lab.request("POST", "/v1/notifications/replay", {"ids": ids}).code, "unauthorized")
        self.assertEqual(self.lab.get("/v1/notifications", token=self.key["key"]).code, "forbidden")
        key_file = self.lab.path / "key"
        key_file.touch(mode=0o600)
        key_file.write_text(operator["key"] + "\n")
        darkroom = [BUILD / "dispatcher" / "darkroom", "replay", "--key-file", key_file, "--server", self.lab.url]
        done = subprocess.run([*darkroom, ids[0], ids[1], "--kind", "webhook"], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, "2 notifications of 2 jobs are sent again\n"), done.stderr)
        self.receiver.wait_for(9)

    def test_a_deleted_endpoint_and_an_erased_job_are_not_told_any_more(self):
        endpoint = self.register("/status/503")
        notifier = self.notifier()
        job = self.ended()
        self.receiver.wait_for(1)
        self.lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
        wait_until(lambda: not self.lab.redis_cli("keys", "{q:00}n:*"), "no row")
        self.ended()
        self.receiver.wait_for(2)
        self.assertEqual(self.api("DELETE", f"/{endpoint['id']}").status, 204)
        notifier.wait_for_log("webhook.unwanted")
        wait_until(lambda: not self.lab.redis_cli("keys", "{q:00}n:*"), "no row")
        wait_until(lambda: not self.lab.redis_cli("keys", "{q:00}h[qlo]*"), "nothing left behind")


class OfVisitors(Webhooks):
    options = ("--webhook-visitors",)

    def test_visitors_may_bring_a_webhook_where_the_operator_lets_them(self):
        self.notifier()
        job = self.end(self.submit(key=None, webhook={"url": self.receiver.url("/own")}))
        request = self.receiver.wait_for(1)[0]
        self.assertEqual(verify(job["tokens"]["webhook"], request), ["ok"])
        answer = self.lab.submit(webhook={"id": "wh_" + "0" * 16})
        self.assertEqual(answer.code, "forbidden")


class OverShards(Webhooks):
    options = ("--shards", "4")

    def test_jobs_of_every_shard_are_told_and_sent_again(self):
        notifier = self.notifier("--shards", "4")
        jobs = {}
        while len({job["id"][:2] for job in jobs.values()}) < 3:
            key = self.lab.key()
            self.register("/a", key=key)
            job = self.submit(key=key["key"])
            jobs[job["id"]] = self.end(job, "cancelled")
        self.receiver.wait_for(len(jobs))
        self.assertEqual({json.loads(request.body)["data"]["id"] for request in self.receiver.requests}, set(jobs))
        wait_until(lambda: notifier.log.count("webhook.sent") == len(jobs), "all settled")
        operator = self.lab.key("--scopes", "operate")
        for question in ({"ids": list(jobs)}, {"since": "2020-01-01T00:00:00Z"}):
            self.assertEqual(self.replay({**question, "kind": "webhook"}, operator).json,
                             {"jobs": len(jobs), "notifications": len(jobs)})
        self.receiver.wait_for(2 * len(jobs))
        self.assertEqual(len({request.id for request in self.receiver.requests}), len(jobs))


class OverACluster(OverShards):
    def redis(self):
        cluster = Cluster()
        self.addCleanup(cluster.close)
        return cluster


if __name__ == "__main__":
    main()
