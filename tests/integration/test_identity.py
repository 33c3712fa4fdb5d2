#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Who is asking: API keys, their scopes and origins, over HTTP."""
import concurrent.futures
import datetime
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, Hand, Lab, Shared, main, manifest_of, multipart, png, wait_until  # noqa: E402

PAGE = "https://page.example"


def preflight(lab, origin, path="/v1/jobs", method="POST"):
    return lab.request("OPTIONS", path, headers={
        "Origin": origin, "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type"})


class Keys(Shared):
    def test_a_job_belongs_to_the_account_and_its_keys_need_no_token(self):
        key = self.lab.key("--name", "shop")
        other = self.lab.key("--account", key["account"], "--scopes", "read")
        stranger = self.lab.key()
        answer = self.lab.submit(token=key["key"])
        self.assertEqual(answer.status, 202, answer)
        path = f"/v1/jobs/{answer.json['id']}"
        for good in (key, other):
            self.assertEqual(self.lab.get(path, token=good["key"]).json["id"], answer.json["id"])
        self.assertEqual(self.lab.get(path, token=stranger["key"]).code, "forbidden")
        self.assertEqual(self.lab.get(path + "/result", token=key["key"]).status, 409)
        self.assertEqual(self.lab.get(path + "/result", token=stranger["key"]).status, 403)
        self.assertEqual(self.lab.get(path + "/events", token=stranger["key"]).status, 403)
        # A visitor's job is nobody's account's; the tokens go on working.
        visitors = self.lab.submit().json
        self.assertEqual(self.lab.get(f"/v1/jobs/{visitors['id']}", token=key["key"]).status, 403)
        self.assertEqual(self.lab.job(answer.json)["state"], "queued")
        self.assertEqual(self.lab.get(f"/v1/jobs/00{'ab' * 16}", token=key["key"]).status, 404)

    def test_cancel_and_delete_need_the_scope_submit(self):
        key = self.lab.key()
        reader = self.lab.key("--account", key["account"], "--scopes", "read,operate")
        stranger = self.lab.key()
        job = self.lab.submit(token=key["key"]).json
        path = f"/v1/jobs/{job['id']}"
        for bad in (reader, stranger):
            self.assertEqual(self.lab.request("POST", path + "/cancel", token=bad["key"]).status, 403)
            self.assertEqual(self.lab.request("DELETE", path, token=bad["key"]).status, 403)
        self.assertEqual(self.lab.job(job)["state"], "queued")
        answer = self.lab.request("POST", path + "/cancel", token=key["key"])
        self.assertEqual((answer.status, answer.json["state"]), (200, "cancelled"))
        self.assertEqual(self.lab.request("DELETE", path, token=key["key"]).status, 204)
        self.assertEqual(self.lab.get(path, token=key["key"]).status, 404)

    def test_a_key_says_how_many_jobs_of_the_account_run_at_once(self):
        with Lab() as lab, Hand(lab) as hand:
            key = lab.key("--concurrency", "2")
            mine = {lab.submit(token=key["key"]).json["id"] for _ in range(4)}
            lab.submit()
            claimed = []
            while (job := hand.claim()) is not None:
                claimed.append(job)
            self.assertEqual(len([job for job in claimed if job["public_id"] in mine]), 2)
            self.assertEqual(len(claimed), 3)
            hand.fail(next(job for job in claimed if job["public_id"] in mine))
            self.assertIn(hand.claim()["public_id"], mine)
            self.assertIsNone(hand.claim())

    def test_an_account_has_its_own_limits_of_waiting_and_running_jobs(self):
        key = self.lab.key("--max-queued", "2", "--concurrency", "1")
        other = self.lab.key("--account", key["account"], "--weight", "2")
        self.assertEqual((other["max_queued"], other["concurrency"]), (2, 1))
        statuses = [self.lab.submit(token=k["key"]).status for k in (key, other, key, other)]
        self.assertEqual(statuses, [202, 202, 429, 429])
        refused = self.lab.submit(token=key["key"])
        self.assertEqual(refused.problem["limit"], 2)
        self.assertGreater(int(refused.headers["Retry-After"]), 0)
        self.assertEqual(self.lab.submit(token=self.lab.key()["key"]).status, 202)
        self.assertEqual(self.lab.redis_cli("HGET", "{q:00}limits", key["account"]), "1 0")
        self.lab.keys("limit", key["account"], "--max-queued", "3", "--concurrency", "0")
        wait_until(lambda: self.lab.submit(token=other["key"]).status == 202, "the new limit counts")
        self.assertEqual(self.lab.submit(token=key["key"]).status, 429)
        wait_until(lambda: self.lab.redis_cli("HGET", "{q:00}limits", key["account"]) == "", "no limit is told")

    def test_events_with_a_key(self):
        key = self.lab.key()
        job = self.lab.submit(token=key["key"]).json
        self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=key["key"])
        answer = self.lab.get(f"/v1/jobs/{job['id']}/events", token=key["key"])
        self.assertIn(b'"state":"cancelled"', answer.body.replace(b" ", b""))

    def test_submit_needs_the_scope_submit(self):
        reader = self.lab.key("--scopes", "read")
        self.assertEqual(self.lab.submit(token=reader["key"]).code, "forbidden")
        self.assertEqual(self.lab.submit_form([("model", "test-model"), ("input", png(), "a.png")],
                                              token=reader["key"]).code, "forbidden")

    def test_what_is_no_key_is_refused(self):
        good = self.lab.key()["key"]
        for bad in ("dk_", "dk_x", good[:-1], good + "x", good[:-1] + "+", good + " x",
                    "dk_" + "A" * 43, "dk_" + "A" * 5000, "dk_" + "%00" * 15):
            answer = self.lab.submit(token=bad)
            self.assertEqual((answer.status, answer.code), (401, "unauthorized"), bad[:60])
            self.assertIn("Bearer", answer.headers["WWW-Authenticate"])
        self.assertEqual(self.lab.submit(token=good).status, 202)

    def test_a_token_that_looks_like_a_key_is_a_token(self):
        job = self.lab.submit().json
        answer = self.lab.get(f"/v1/jobs/{job['id']}", token="dk_" + "A" * 19)
        self.assertEqual(answer.status, 403)

    def test_a_revoked_key_is_refused_within_two_seconds(self):
        key = self.lab.key()
        self.assertEqual(self.lab.submit(token=key["key"]).status, 202)
        self.lab.keys("revoke", key["id"])
        end = time.monotonic() + 2.5
        wait_until(lambda: self.lab.get("/v1/jobs/00" + "ab" * 16, token=key["key"]).status == 401,
                   "the key is refused")
        self.assertLess(time.monotonic(), end)

    def test_the_key_is_nowhere_in_redis_or_the_log(self):
        key = self.lab.key()
        self.lab.submit(token=key["key"])
        secret = key["key"][3:]
        for name in self.lab.redis_cli("--raw", "KEYS", "{k}*").splitlines():
            self.assertNotIn(secret, name)
            if self.lab.redis_cli("TYPE", name) == "hash":
                self.assertNotIn(secret, self.lab.redis_cli("HGETALL", name))
        self.assertNotIn(secret, self.lab.programs["dispatcher"].log)

    def test_a_key_that_was_edited_by_hand_is_an_error_that_says_so(self):
        key = self.lab.key()
        name = next(line for line in self.lab.redis_cli("KEYS", "{k}key:*").splitlines()
                    if self.lab.redis_cli("HGET", line, "id") == key["id"])
        self.lab.redis_cli("HSET", name, "weight", "heavy")
        self.assertEqual(self.lab.submit(token=key["key"]).status, 500)
        self.lab.programs["dispatcher"].wait_for_log("key.unreadable")
        self.assertIn("weight", self.lab.programs["dispatcher"].log.split("key.unreadable")[1])
        broken = self.lab.key()
        name = next(line for line in self.lab.redis_cli("KEYS", "{k}key:*").splitlines()
                    if self.lab.redis_cli("HGET", line, "id") == broken["id"])
        self.lab.redis_cli("SET", name, "no hash")
        self.assertEqual(self.lab.submit(token=broken["key"]).status, 500)
        self.lab.redis_cli("DEL", name)

    def test_a_cold_key_with_a_body_that_waits_for_100_continue(self):
        """The request is held before its body; what comes then must not be lost."""
        key = self.lab.key("--scopes", "submit")
        kind, body = multipart([("model", "test-model"), ("input", png(300, 300), "a.png")])
        for token, status in ((key["key"], b"202"), ("dk_" + "B" * 43, b"401")):
            with socket.create_connection(("127.0.0.1", self.lab.port), timeout=30) as connection:
                connection.sendall((f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                                    f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                                    "Expect: 100-continue\r\nConnection: close\r\n\r\n").encode())
                answer = connection.recv(65536)
                if answer.startswith(b"HTTP/1.1 100"):
                    connection.sendall(body)
                    answer = answer.partition(b"\r\n\r\n")[2]
                while piece := connection.recv(65536):
                    answer += piece
            self.assertEqual(answer.split()[1], status, answer)

    def test_two_requests_in_one_packet_with_a_cold_key(self):
        key = self.lab.key()
        one = f"GET /v1/jobs/00{'ab' * 16} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key['key']}\r\n"
        with socket.create_connection(("127.0.0.1", self.lab.port), timeout=30) as connection:
            connection.sendall((one + "\r\n" + one + "Connection: close\r\n\r\n").encode())
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        self.assertEqual(answer.count(b"HTTP/1.1 404"), 2, answer)


class Wishes(Shared):
    def test_a_key_may_ask_for_no_more_than_its_ceiling(self):
        high, low = self.lab.key("--priority", "high"), self.lab.key("--priority", "low")
        normal = self.lab.submit(token=high["key"]).json
        urgent = self.lab.submit(token=high["key"], priority="high").json
        unhurried = self.lab.submit(token=low["key"]).json
        self.refused(self.lab.submit(token=low["key"], priority="normal"), 422, "invalid", field="priority")
        self.refused(self.lab.submit(priority="high"), 422, "invalid", field="priority")
        form = [("model", "test-model"), ("input", png(), "a.png"), ("priority", "high")]
        self.refused(self.lab.submit_form(form), 422, "invalid", field="priority")
        second = self.lab.submit_form(form, token=high["key"]).json
        with Hand(self.lab) as hand:
            order = [claimed["public_id"] for claimed in iter(hand.claim, None)]
        expected = [job["id"] for job in (urgent, second, normal, unhurried)]
        self.assertEqual([each for each in order if each in expected], expected)

    def test_a_job_may_start_later_and_must_end_in_time(self):
        def at(seconds):
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        later = self.lab.submit(run_at=at(3600)).json
        self.assertEqual((later["state"], later["position"]), ("delayed", None))
        self.assertEqual(self.lab.submit(run_at=at(-3600)).json["state"], "queued")
        short = self.lab.submit(run_at=at(3600), deadline=at(3601)).json
        self.assertEqual(short["state"], "delayed")
        doomed = self.lab.submit(deadline=at(2)).json
        self.assertEqual(self.lab.wait_for_state(doomed, "failed")["error"]["code"], "deadline")
        for bad in ({"run_at": "soon"}, {"deadline": at(-5)}, {"run_at": at(400 * 86400)}):
            self.refused(self.lab.submit(**bad), 422, "invalid", field=next(iter(bad)))


def clock_iso():
    """Now, as the resource of a job writes times."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class History(Shared):
    models = {name: manifest_of(name, input={"kind": "none"}, params={
        "type": "object", "additionalProperties": False,
        "properties": {"seed": {"type": "integer", "title": "Seed", "minimum": 0, "maximum": 99, "default": 7}}})
        for name in ("one", "two")}
    options = ["--shards", "3"]

    def throw(self, key, model="one", **members):
        answer = self.lab.request("POST", "/v1/jobs", {"model": model, **members}, token=key["key"])
        self.assertEqual(answer.status, 202, answer)
        return answer.json["id"]

    def page(self, key, **query):
        answer = self.lab.get("/v1/jobs?" + urllib.parse.urlencode(query), token=key["key"])
        self.assertEqual(answer.status, 200, answer)
        return [job["id"] for job in answer.json["jobs"]], answer.json["next"]

    def test_jobs_of_the_account_come_newest_first_and_page_by_page(self):
        key, other = self.lab.key(), self.lab.key()
        ids = [self.throw(key) for _ in range(7)][::-1]
        foreign = self.throw(other)
        self.assertEqual(self.page(key), (ids, None))
        self.assertEqual(self.page(other), ([foreign], None))
        reader = self.lab.key("--account", key["account"], "--scopes", "read")
        seen, after = self.page(reader, limit=3)
        self.assertEqual(seen, ids[:3])
        # What comes in and goes meanwhile moves nothing.
        late = self.throw(key)
        self.lab.request("DELETE", f"/v1/jobs/{ids[1]}", token=key["key"])
        while after is not None:
            more, after = self.page(reader, limit=3, cursor=after)
            seen += more
        self.assertEqual(seen, ids)
        self.assertEqual(self.page(key)[0], [late] + [each for each in ids if each != ids[1]])

    def test_filters(self):
        key = self.lab.key()
        ones, twos = [self.throw(key) for _ in range(4)], [self.throw(key, "two") for _ in range(3)]
        self.lab.request("POST", f"/v1/jobs/{ones[0]}/cancel", token=key["key"])
        self.assertEqual(self.page(key, model="two"), (twos[::-1], None))
        self.assertEqual(self.page(key, state="cancelled"), (ones[:1], None))
        self.assertEqual(self.page(key, state="queued", model="one"), (ones[:0:-1], None))
        self.assertEqual(self.page(key, state="running"), ([], None))
        self.assertEqual(self.page(key, model="two", limit=2)[0], twos[:0:-1])
        self.assertEqual(self.page(key, state="cancelled,queued", model="one"), (ones[::-1], None))

    def test_jobs_of_a_time(self):
        key = self.lab.key()
        ids, times = [], []
        for _ in range(5):
            ids.append(self.throw(key))
            times.append(self.lab.get(f"/v1/jobs/{ids[-1]}", token=key["key"]).json["created_at"])
            wait_until(lambda: clock_iso() > times[-1], "another millisecond")
        self.assertEqual(self.page(key, **{"from": times[2]}), (ids[:1:-1], None))
        self.assertEqual(self.page(key, to=times[2]), (ids[2::-1], None))
        self.assertEqual(self.page(key, **{"from": times[1], "to": times[3]}), (ids[3:0:-1], None))
        self.assertEqual(self.page(key, **{"from": times[3], "to": times[1]}), ([], None))
        self.assertEqual(self.page(key, **{"from": "2099-01-01T00:00:00Z"}), ([], None))
        self.assertEqual(self.page(key, to="1970-01-02T00:00:00Z"), ([], None))

    def test_a_search_looks_at_id_model_and_parameters(self):
        key = self.lab.key()
        seeded = self.throw(key, params={"seed": 42})
        other = self.throw(key, "two", params={"seed": 9})
        self.assertEqual(self.page(key, q='"seed":42'), ([seeded], None))
        self.assertEqual(self.page(key, q="SEED"), ([other, seeded], None))
        self.assertEqual(self.page(key, q="tw"), ([other], None))
        self.assertEqual(self.page(key, q=seeded[:12].upper()), ([seeded], None))
        self.assertEqual(self.page(key, q=seeded), ([seeded], None))
        for nothing in ("image", "%s", "\\", "'", "input", "é", "*"):
            self.assertEqual(self.page(key, q=nothing), ([], None), nothing)

    def states(self, jobs, **more):
        return self.lab.request("POST", "/v1/jobs/states", {"jobs": jobs}, **more)

    def test_many_states_in_one_call_for_who_has_their_tokens(self):
        jobs = [self.lab.request("POST", "/v1/jobs", {"model": "one"}).json for _ in range(3)]
        gone = jobs[2]
        self.lab.request("DELETE", f"/v1/jobs/{gone['id']}", token=gone["tokens"]["delete"])
        asked = [{"id": gone["id"], "token": gone["tokens"]["view"]},
                 {"id": jobs[0]["id"], "token": jobs[0]["tokens"]["manage"]},
                 {"id": jobs[1]["id"], "token": jobs[0]["tokens"]["view"]},
                 {"id": jobs[1]["id"], "token": jobs[1]["tokens"]["delete"]},
                 {"id": jobs[1]["id"]},
                 {"id": "ff" + "0" * 32, "token": "A" * 22}]
        answer = self.states(asked)
        self.assertEqual(answer.status, 200, answer)
        body = answer.json
        self.assertEqual([(job["id"], job["state"]) for job in body["jobs"]], [(jobs[0]["id"], "queued")])
        self.assertNotIn("tokens", body["jobs"][0])
        self.assertIn(jobs[0]["tokens"]["view"], body["jobs"][0]["links"]["page"])
        self.assertEqual(body["missing"], [gone["id"]])
        self.assertEqual(body["refused"], [jobs[1]["id"]] * 3 + ["ff" + "0" * 32])
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(self.states([]).json, {"jobs": [], "missing": [], "refused": []})

    def test_many_states_for_a_key_of_their_account(self):
        keys = [self.lab.key() for _ in range(4)] # of several shards
        ids = [[self.throw(key) for _ in range(20)] for key in keys]
        asked = [{"id": id} for group in ids for id in group]
        answer = self.states(asked, token=keys[1]["key"]).json
        self.assertEqual([job["id"] for job in answer["jobs"]], ids[1])
        self.assertEqual(answer["refused"], ids[0] + ids[2] + ids[3])
        unknown = self.states([{"id": "00" + "0" * 32}, {"id": "ff" + "0" * 32}], token=keys[0]["key"]).json
        self.assertEqual(unknown, {"jobs": [], "missing": ["00" + "0" * 32, "ff" + "0" * 32], "refused": []})
        submitter = self.lab.key("--account", keys[0]["account"], "--scopes", "submit")
        self.assertEqual(self.states([], token=submitter["key"]).status, 403)
        self.assertEqual(self.states([], token="dk_" + "A" * 43).status, 401)

    def test_a_record_that_cannot_be_read_hides_no_other(self):
        key = self.lab.key()
        ids = [self.throw(key), self.throw(key)]
        broken = f"{{q:{ids[0][:2]}}}j:{ids[0][2:14]}"
        self.lab.redis_cli("set", broken, "hello")
        answer = self.states([{"id": id} for id in ids], token=key["key"]).json
        self.assertEqual([job["id"] for job in answer["jobs"]], ids[1:])
        self.lab.redis_cli("del", broken)

    def test_bad_questions_for_states(self):
        good = {"id": "00" + "0" * 32}
        for body, field in (({}, "jobs"), ({"jobs": {}}, "jobs"), ({"jobs": [good] * 101}, "jobs"),
                            ({"jobs": ["x"]}, "jobs"), ({"jobs": [{}]}, "jobs.id"), ({"jobs": [{"id": 7}]}, "jobs.id"),
                            ({"jobs": [{"id": "0" * 33}]}, "jobs"), ({"jobs": [{"id": "../../etc/passwd"}]}, "jobs"),
                            ({"jobs": [{"id": "x" * 5000}]}, "jobs.id"), ({"jobs": [{**good, "token": 1}]}, "jobs.token"),
                            ({"jobs": [{**good, "token": "x" * 500}]}, "jobs.token"),
                            ({"jobs": [{**good, "token": "a\nb"}]}, "jobs.token"),
                            ({"jobs": [{**good, "more": 1}]}, "jobs.more"), ({"jobs": [], "more": 1}, "more")):
            self.refused(self.lab.request("POST", "/v1/jobs/states", body), 422, "invalid", field=field)
        for text in (b"", b"{", b"[]x", b'{"jobs":[{"id":{"id":{}}}]}', b"\xff\xfe"):
            self.refused(self.lab.request("POST", "/v1/jobs/states", text), 400, "malformed")
        self.refused(self.lab.request("POST", "/v1/jobs/states", b" " * 40000), 413, "too-large")
        self.assertEqual(self.lab.get("/v1/jobs/states", token="A" * 22).status, 404)
        self.assertEqual(self.lab.request("DELETE", "/v1/jobs/states", token="A" * 22).status, 404)

    def test_bad_questions(self):
        key = self.lab.key()
        for query in ("state=done", "state=", "limit=0", "limit=101", "limit=x", "limit=-1", "limit=%31%30x",
                      "cursor=x", "cursor=-2", "cursor=99999999999999999999", "model=..%2fetc", "model=", "state=%00",
                      "state=queued,", "state=queued,done", "state=queue", "state=" + "queued," * 20, "from=yesterday",
                      "from=2026-01-05", "to=2026-01-05T10:00:00%2b01:00", "to=", "from=1969-01-01T00:00:00Z",
                      "q=" + "x" * 65, "q=a%0ab", "q=%zz"):
            answer = self.lab.get("/v1/jobs?" + query, token=key["key"])
            self.refused(answer, 422, "invalid", field=query.partition("=")[0])
        self.assertEqual(self.page(key, cursor=10 ** 15), ([], None))
        self.assertEqual(self.lab.get("/v1/jobs").status, 401)
        self.assertEqual(self.lab.get("/v1/jobs", token=self.lab.key("--scopes", "submit")["key"]).status, 403)


class Origins(Shared):
    options = ["--cors-origins", "https://friend.example"]

    def test_a_preflight_is_granted_to_origins_that_some_key_allows(self):
        self.assertEqual(preflight(self.lab, PAGE).status, 403)
        key = self.lab.key("--origins", f"{PAGE},https://two.example:8443")
        for origin in (PAGE, "https://two.example:8443", "https://friend.example"):
            answer = preflight(self.lab, origin)
            self.assertEqual((answer.status, answer.headers["Access-Control-Allow-Origin"]), (204, origin))
            self.assertIn("Idempotency-Key", answer.headers["Access-Control-Allow-Headers"])
            self.assertIn("Origin", answer.headers["Vary"])
            self.assertIsNone(answer.headers["Access-Control-Allow-Credentials"])
        for origin in ("https://page.example.evil.example", "http://page.example", "https://page.example:8443",
                       "https://PAGE.example", "null", "*", "https://", "https://page.example/", "x" * 3000):
            answer = preflight(self.lab, origin)
            self.assertEqual(answer.status, 403, origin)
            self.assertIsNone(answer.headers["Access-Control-Allow-Origin"])
        self.lab.keys("revoke", key["id"])
        self.assertEqual(preflight(self.lab, PAGE).status, 403)

    def test_the_request_is_judged_by_its_own_key(self):
        key = self.lab.key("--origins", PAGE)
        other = self.lab.key("--origins", "https://other.example")
        plain = self.lab.key()
        answer = self.lab.submit(token=key["key"], headers={"Origin": PAGE})
        self.assertEqual(answer.status, 202)
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], PAGE)
        self.assertEqual(answer.headers["Vary"], "Origin")
        self.assertIn("Location", answer.headers["Access-Control-Expose-Headers"])
        for wrong in (other, plain):
            answer = self.lab.submit(token=wrong["key"], headers={"Origin": PAGE})
            self.assertEqual(answer.status, 403)
            self.assertIsNone(answer.headers["Access-Control-Allow-Origin"])
        # Without an Origin it is no page.
        self.assertEqual(self.lab.submit(token=other["key"]).status, 202)
        job = self.lab.submit(token=key["key"]).json
        stream = self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=key["key"],
                                  headers={"Origin": PAGE})
        self.assertEqual(stream.headers["Access-Control-Allow-Origin"], PAGE)
        stream = self.lab.get(f"/v1/jobs/{job['id']}/events", token=key["key"], headers={"Origin": PAGE})
        self.assertEqual(stream.headers["Access-Control-Allow-Origin"], PAGE)

    def test_visitors_come_from_our_own_pages_and_from_friends(self):
        for origin in (self.lab.url, f"http://localhost:{self.lab.port}"):
            host = origin.removeprefix("http://")
            self.assertEqual(self.lab.submit(headers={"Origin": origin, "Host": host}).status, 202, origin)
        answer = self.lab.submit(headers={"Origin": "https://friend.example"})
        self.assertEqual((answer.status, answer.headers["Access-Control-Allow-Origin"]),
                         (202, "https://friend.example"))
        for origin in (PAGE, "null", "https://friend.example.evil.example", ""):
            answer = self.lab.submit(headers={"Origin": origin})
            self.assertEqual(answer.status, 403, origin)
            self.assertIsNone(answer.headers["Access-Control-Allow-Origin"])
        answer = self.lab.get("/v1/models", headers={"Origin": "https://friend.example"})
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://friend.example")
        self.assertIn("models", answer.json)
        again = self.lab.get("/v1/models", headers={"Origin": "https://friend.example",
                                                    "If-None-Match": answer.headers["ETag"]})
        self.assertEqual(again.status, 304)
        self.assertIn("Origin", again.headers.get_all("Vary"))
        answer = self.lab.get("/v1/models", headers={"Origin": PAGE})
        self.assertEqual((answer.status, answer.headers["Access-Control-Allow-Origin"]), (200, None))

    def test_options_without_a_preflight_is_no_method(self):
        self.assertEqual(self.lab.request("OPTIONS", "/v1/jobs").status, 405)
        self.assertEqual(self.lab.request("OPTIONS", "/healthz", headers={
            "Origin": PAGE, "Access-Control-Request-Method": "GET"}).status, 405)

    def test_a_preflight_while_redis_is_away(self):
        with Lab(dispatcher_options=["--cors-origins", "https://friend.example"]) as lab:
            lab.stop("redis")
            wait_until(lambda: preflight(lab, PAGE).status == 503, "503")
            self.assertEqual(preflight(lab, "https://friend.example").status, 204)
            self.assertEqual(lab.submit(token="dk_" + "C" * 43).status, 503)


class Limits(Shared):
    """Two dispatchers on one Redis."""
    options = ["--submits-per-minute", "1", "--submits-burst", "6", "--trusted-proxies", "127.0.0.1,10.0.0.0/8"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ports = [cls.lab.port, cls.lab.dispatcher_start(name="second").port]

    def statuses(self, count, threads=1, **more):
        """Of so many submissions that no model takes, spread over both; 422 means let in."""
        def one(i):
            return self.lab.request("POST", "/v1/jobs", {"model": "none", "input": ""},
                                    port=self.ports[i % 2], **more)
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, range(count)))

    def test_a_key_has_one_bucket_whichever_dispatcher_is_asked(self):
        for threads in (1, 8):
            key = self.lab.key("--per-minute", "1", "--burst", "10")
            answers = self.statuses(30, threads, token=key["key"])
            self.assertEqual([answer.status for answer in answers].count(422), 10)
            refused = next(answer for answer in answers if answer.status != 422)
            self.assertEqual((refused.code, refused.problem["limit"]), ("rate-limited", 1))
            self.assertTrue(50 <= int(refused.headers["Retry-After"]) <= 60, refused.headers)

    def test_a_busy_key_gets_what_its_bucket_holds_and_no_more(self):
        key = self.lab.key("--per-minute", "1", "--burst", "300")
        answers = self.statuses(500, 8, token=key["key"])
        let_in = [answer.status for answer in answers].count(422)
        self.assertLessEqual(let_in, 300)
        # What was taken ahead and not used comes back.
        self.assertGreaterEqual(let_in, 200)
        def the_rest():
            nonlocal let_in
            let_in += [answer.status for answer in self.statuses(20, token=key["key"])].count(422)
            return let_in >= 300
        wait_until(the_rest, "all 300 are let in")
        self.assertEqual(let_in, 300)

    def test_keys_of_one_account_and_visitors_have_buckets_of_their_own(self):
        one = self.lab.key("--per-minute", "1", "--burst", "1")
        two = self.lab.key("--account", one["account"], "--per-minute", "1", "--burst", "1")
        free = self.lab.key()
        for key in (one, two):
            self.assertEqual([a.status for a in self.statuses(3, token=key["key"])], [422, 429, 429])
        self.assertEqual({a.status for a in self.statuses(20, token=free["key"])}, {422})

    def test_an_address_has_one_bucket_and_only_proxies_may_name_another(self):
        def let_in(forwarded):
            return [a.status for a in self.statuses(10, headers={"X-Forwarded-For": forwarded})].count(422)
        self.assertEqual(let_in("203.0.113.1"), 6)
        self.assertEqual(let_in("203.0.113.1"), 0)
        self.assertEqual(let_in("1.2.3.4, 203.0.113.1"), 0)
        self.assertEqual(let_in("203.0.113.1, 10.9.9.9"), 0)
        self.assertEqual(let_in("203.0.113.2"), 6)
        self.assertEqual(let_in("2001:db8::1"), 6)
        self.assertEqual(let_in("2001:db8::ffff"), 0)
        names = self.lab.redis_cli("KEYS", "{k}rate:*")
        self.assertNotIn("203.0.113", names)

    def test_a_proxy_that_writes_a_line_of_its_own_is_heard(self):
        """What the client made up stands in the first line."""
        statuses = []
        for i in range(10):
            with socket.create_connection(("127.0.0.1", self.lab.port), timeout=30) as connection:
                body = b'{"model":"none","input":""}'
                connection.sendall((f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 1.2.3.{i}\r\n"
                                    "Content-Type: application/json\r\nx-forwarded-for: 203.0.113.77\r\n"
                                    f"X-Forwarded-For: 10.1.1.1\r\nContent-Length: {len(body)}\r\n"
                                    "Connection: close\r\n\r\n").encode() + body)
                answer = b""
                while piece := connection.recv(65536):
                    answer += piece
            statuses.append(int(answer.split()[1]))
        self.assertEqual(statuses, [422] * 6 + [429] * 4)

    def test_buckets_outlive_a_dispatcher(self):
        key = self.lab.key("--per-minute", "1", "--burst", "4")
        self.assertEqual([a.status for a in self.statuses(3, token=key["key"])], [422] * 3)
        self.lab.stop("second")
        self.ports[1] = self.lab.dispatcher_start(*self.options, name="second").port
        self.assertEqual([a.status for a in self.statuses(4, token=key["key"])], [422] + [429] * 3)

    def test_forwarded_for_of_a_stranger_is_not_believed(self):
        with Lab(dispatcher_options=["--submits-per-minute", "1", "--submits-burst", "3"]) as lab:
            statuses = [lab.request("POST", "/v1/jobs", {"model": "none", "input": ""},
                                    headers={"X-Forwarded-For": f"203.0.113.{i}"}).status for i in range(6)]
            self.assertEqual(statuses, [422] * 3 + [429] * 3)

    def test_a_bucket_fills_again_and_leaves_nothing_behind(self):
        key = self.lab.key("--per-minute", "1200", "--burst", "2")
        wait_until(lambda: 429 in [a.status for a in self.statuses(4, token=key["key"])], "429")
        wait_until(lambda: self.lab.redis_cli("EXISTS", "{k}rate:" + key["id"]) == "0", "the bucket is full")
        self.assertEqual(self.statuses(1, token=key["key"])[0].status, 422)

    def test_a_bucket_of_another_type_is_an_error_and_no_crash(self):
        key = self.lab.key("--per-minute", "1", "--burst", "2")
        self.lab.redis_cli("LPUSH", "{k}rate:" + key["id"], "x")
        # Each dispatcher counts for itself meanwhile.
        statuses = [answer.status for answer in self.statuses(8, token=key["key"])]
        self.assertEqual(statuses, [422] * 4 + [429] * 4)
        self.lab.programs["dispatcher"].wait_for_log("limits.unreadable")
        self.lab.redis_cli("DEL", "{k}rate:" + key["id"])
        self.lab.redis_cli("SET", "{k}rate:" + key["id"], "nonsense")
        self.assertEqual(self.statuses(1, token=key["key"])[0].status, 422)


class Command(Shared):
    def test_keys_are_listed_without_the_key(self):
        key = self.lab.key("--name", "one", "--scopes", "operate", "--weight", "2.5")
        listed = self.lab.keys("list")
        self.assertIn(key["id"], listed)
        self.assertNotIn(key["key"], listed)
        self.lab.keys("revoke", key["id"])
        self.assertIn("revoked", next(line for line in self.lab.keys("list").splitlines() if key["id"] in line))

    def darkroom(self, *arguments, check=True):
        return subprocess.run([str(BUILD / "dispatcher" / "darkroom"), *map(str, arguments),
                               "--server", self.lab.url], capture_output=True, text=True, check=check,
                              env={**os.environ, "XDG_STATE_HOME": str(self.lab.path / "nobody")})

    def test_the_jobs_of_a_key_from_anywhere(self):
        key, other = self.lab.key(), self.lab.key()
        files = []
        for each in (key, other):
            files.append(self.lab.path / f"key-{each['id']}")
            files[-1].touch(mode=0o600)
            files[-1].write_text(each["key"] + "\n")
        picture = self.lab.path / "picture.png"
        picture.write_bytes(png())
        ids = [json.loads(self.darkroom("submit", picture, "--model", "test-model", "--json",
                                        "--key-file", files[0]).stdout)["id"] for _ in range(3)]
        shutil.rmtree(self.lab.path / "nobody") # another machine
        listed = self.darkroom("list", "--key-file", files[0]).stdout
        self.assertEqual([line.split()[0] for line in listed.splitlines()], ids[::-1])
        listed = self.darkroom("list", "--key-file", files[0], "--json", "--limit", "2").stdout
        self.assertEqual([job["id"] for job in json.loads(listed)], ids[:0:-1])
        self.assertIn("No jobs", self.darkroom("list", "--key-file", files[1]).stdout)
        self.assertEqual(self.darkroom("get", ids[0], "--key-file", files[1], check=False).returncode, 77)
        self.assertIn("Cancelled", self.darkroom("cancel", ids[0], "--key-file", files[0]).stdout)
        self.lab.keys("revoke", key["id"])
        wait_until(lambda: self.darkroom("list", "--key-file", files[0], check=False).returncode == 77, "refused")

    def test_wrong_options_are_refused(self):
        for options in (["--scopes", "all"], ["--priority", "urgent"], ["--weight", "0"], ["--weight", "x"],
                        ["--origins", "*"], ["--origins", "https://a.example/"], ["--name", "x" * 65],
                        ["--account", "a1"], ["--account", "a" + "0" * 16], ["--name", "a\nb"]):
            self.assertEqual(self.lab.keys("create", *options, check=False), "", options)
        self.assertEqual(self.lab.keys("create").count("\n"), 0)


if __name__ == "__main__":
    main()
