#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is left of finished jobs: the counter, ratings, what is shared, copies elsewhere."""
import concurrent.futures
import http.server
import json
import pathlib
import stat
import sys
import threading
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import Hand, Lab, Shared, main, manifest_of, png, wait_until  # noqa: E402


def finished(lab, hand, result=None, **members):
    """A job that has succeeded."""
    job = lab.submit(**members).json
    assert hand.complete(hand.claim(job), result) == "verdict 1", job
    return job


class Stats(unittest.TestCase):
    def stats(self, lab, **more):
        answer = lab.get("/v1/stats", **more)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers["Cache-Control"], "public, max-age=1")
        return answer.json

    def test_the_counter_counts_what_succeeded_over_restarts_and_dispatchers(self):
        models = {name: manifest_of(name) for name in ("test-model", "other")}
        with Lab(models=models) as lab, Hand(lab) as hand:
            self.assertEqual(self.stats(lab)["finished_total"], 0)
            wait_until(lambda: lab.redis_cli("exists", "{q:00}pace") == "1", "somebody has looked")
            finished(lab, hand)
            gone = finished(lab, hand)
            hand.fail(hand.claim(lab.submit().json))
            lab.submit()
            self.assertEqual(lab.request("DELETE", f"/v1/jobs/{gone['id']}", token=gone["tokens"]["delete"]).status, 204)
            wait_until(lambda: self.stats(lab)["finished_total"] == 2, "two are finished")
            self.assertEqual(self.stats(lab), {"finished_total": 2, "finished_per_minute": 2.0, "models": [
                {"model": "other", "finished_total": 0, "finished_per_minute": 0.0},
                {"model": "test-model", "finished_total": 2, "finished_per_minute": 2.0}]})
            second = lab.dispatcher_start(name="second")
            self.assertEqual(self.stats(lab, port=second.port)["finished_total"], 2)
            lab.stop("dispatcher")
            (lab.models / "test-model.json").unlink()
            lab.dispatcher_start()
            stats = self.stats(lab)
            self.assertEqual(stats["finished_total"], 2)  # also of a model that is served no more
            self.assertEqual([model["model"] for model in stats["models"]], ["other"])

    def test_the_counter_sums_up_all_shards(self):
        with Lab(dispatcher_options=("--shards", 4, "--trusted-proxies", "127.0.0.0/8")) as lab:
            shards = {}
            for visitor in range(64):
                job = lab.submit(headers={"X-Forwarded-For": f"192.0.2.{visitor}"}).json
                shards.setdefault(int(job["id"][:2], 16), job)
            self.assertGreater(len(shards), 1)
            for shard, job in shards.items():
                with Hand(lab, shard=shard) as hand:
                    self.assertEqual(hand.complete(hand.claim(job)), "verdict 1")
            wait_until(lambda: self.stats(lab)["finished_total"] == len(shards), "every shard counts")

    def test_without_redis_nothing_is_made_up(self):
        with Lab() as lab:
            lab.stop("redis")
            wait_until(lambda: lab.get("/v1/stats").status == 503, "no numbers")
            lab.redis_start()
            wait_until(lambda: lab.get("/v1/stats").status == 200, "numbers")


class Rating(Shared):
    def rate(self, job, rating, token="view", **more):
        return self.lab.request("PUT", f"/v1/jobs/{job['id']}/rating", {"rating": rating},
                                token=job["tokens"].get(token, token), **more)

    def test_a_result_is_rated_once_and_the_rating_may_change(self):
        operator = self.lab.key("--scopes", "operate")["key"]

        def ratings():
            return self.lab.get("/v1/queues", token=operator).json["queues"][0]["ratings"]
        before = ratings()
        with Hand(self.lab) as hand:
            job = finished(self.lab, hand)
        self.assertNotIn("rating", self.lab.job(job))
        for rating in ("up", "up", "down", "down"):
            self.assertEqual(self.rate(job, rating).json, {"rating": rating})
            self.assertEqual(self.lab.job(job)["rating"], rating)
        self.assertEqual(ratings(), {"up": before["up"], "down": before["down"] + 1})
        metrics = self.lab.get("/metrics").body.decode()
        self.assertIn(f'darkroom_jobs_rated{{model="test-model",rating="down"}} {before["down"] + 1}', metrics)
        self.assertEqual(self.rate(job, None).json, {"rating": None})
        self.assertNotIn("rating", self.lab.job(job))
        self.assertEqual(ratings(), before)

    def test_what_is_no_rating_is_refused(self):
        with Hand(self.lab) as hand:
            job = finished(self.lab, hand)
        for value in ("sideways", "u", "", 1, True, ["up"], {"up": 1}):
            self.refused(self.rate(job, value), 422, "invalid", "rating")
        target, token = f"/v1/jobs/{job['id']}/rating", job["tokens"]["view"]
        self.refused(self.lab.request("PUT", target, {}, token=token), 422, "invalid", "rating")
        self.refused(self.lab.request("PUT", target, {"rating": "up", "x": 1}, token=token), 422, "invalid", "x")
        for body in (b"", b"up", b"{", b"[]", b"\0"):
            self.assertIn(self.lab.request("PUT", target, body, token=token).status, (400, 422), body)
        self.refused(self.lab.request("PUT", target, b" " * 300, token=token), 413, "too-large")
        self.assertNotIn("rating", self.lab.job(job))

    def test_who_may_not_see_a_job_may_not_rate_it(self):
        with Hand(self.lab) as hand:
            job = finished(self.lab, hand)
        self.refused(self.rate(job, "up", token="delete"), 403, "forbidden")
        self.refused(self.rate(job, "up", token="x"), 403, "forbidden")
        self.refused(self.lab.request("PUT", f"/v1/jobs/{job['id']}/rating", {"rating": "up"}), 401, "unauthorized")
        self.refused(self.lab.request("PUT", f"/v1/jobs/{'0' * 34}/rating", {"rating": "up"}, token="x"), 404, "not-found")
        waiting = self.lab.submit().json
        self.refused(self.rate(waiting, "up"), 409, "conflict")


class Formats(Shared):
    """The pixels are looked at in tests/browser; that they stay the same over formats in test_picture.c."""
    BEGINS = {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff", "jpg": b"\xff\xd8\xff", "webp": b"RIFF"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with Hand(cls.lab) as hand:
            cls.job = finished(cls.lab, hand, result=png(32, 24))

    def result(self, job=None, token="view", **query):
        job = job or self.job
        return self.lab.get(f"/v1/jobs/{job['id']}/result?" + urllib.parse.urlencode(query),
                            token=job["tokens"].get(token, token))

    def test_a_result_comes_in_the_format_that_is_asked_for(self):
        for name, begins in self.BEGINS.items():
            answer = self.result(format=name)
            self.assertEqual(answer.status, 200, answer)
            self.assertTrue(answer.body.startswith(begins), answer)
            kind = name.replace("jpg", "jpeg")
            self.assertEqual(answer.headers["Content-Type"], f"image/{kind}")
            self.assertEqual(answer.headers["Content-Disposition"],
                             f'attachment; filename="test-model-{self.job["id"][:8]}.{kind.replace("jpeg", "jpg")}"')
            self.assertEqual(answer.headers["Cache-Control"], "private, max-age=300")
        self.assertEqual(self.result(format="png").body, png(32, 24))  # untouched

    def test_a_tag_saves_the_way(self):
        tags = {}
        for name in ("png", "jpeg", "webp"):
            tags[name] = self.result(format=name).headers["ETag"]
            target = f"/v1/jobs/{self.job['id']}/result?format={name}&token={self.job['tokens']['view']}"
            answer = self.lab.get(target, headers={"If-None-Match": tags[name]})
            self.assertEqual((answer.status, answer.body, answer.headers["ETag"]), (304, b"", tags[name]))
        self.assertEqual(len(set(tags.values())), 3)

    def test_many_at_once_wait_for_each_other(self):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda i: self.result(format=("jpeg", "webp")[i % 2]), range(64)))
        self.assertEqual({answer.status for answer in answers}, {200})
        self.assertEqual(len({answer.body for answer in answers}), 2)

    def test_a_smaller_one_keeps_its_shape_and_a_small_one_its_size(self):
        def size(**query):
            body = self.result(format="png", **query).body
            return int.from_bytes(body[16:20], "big"), int.from_bytes(body[20:24], "big")
        self.assertEqual(size(side=16), (16, 12))
        self.assertEqual(size(side=31), (31, 23))
        self.assertEqual(self.result(format="png", side=32).body, png(32, 24))  # untouched
        self.assertEqual(size(side=1024), (32, 24))
        with Hand(self.lab) as hand:
            tall = finished(self.lab, hand, result=png(2, 400))
        self.assertEqual(self.result(tall, format="webp", side=16).status, 200)
        tags = [self.result(format="png", side=side).headers["ETag"] for side in (16, 17)]
        self.assertNotEqual(*tags)
        for side in ("", "15", "1025", "-1", "x", "16.5", "9" * 30):
            self.refused(self.result(format="png", side=side), 422, "invalid", "side")
        self.refused(self.result(side=64), 422, "invalid", "side")

    def test_what_is_no_format_is_refused(self):
        for name in ("", "gif", "heic", "PNG", "png ", "../png", "p" * 300, "png\0", "<png>"):
            self.refused(self.result(format=name), 422, "invalid", "format")

    def test_who_may_not_see_it_gets_it_in_no_format(self):
        self.refused(self.result(token="x", format="png"), 403, "forbidden")
        self.refused(self.result(token="delete", format="png"), 403, "forbidden")
        self.refused(self.lab.get(f"/v1/jobs/{self.job['id']}/result?format=png"), 401, "unauthorized")
        waiting = self.lab.submit().json
        self.refused(self.result(waiting, format="png"), 409, "conflict")

    def test_a_result_that_is_gone_or_no_picture_is_not_converted(self):
        with Hand(self.lab) as hand:
            gone, broken = finished(self.lab, hand, png(4, 4)), finished(self.lab, hand, b"no picture at all")
        self.lab.stored(f"results/{gone['id']}/1/result.png")[0].unlink()
        self.refused(self.result(gone, format="webp"), 404, "not-found")
        self.refused(self.result(broken, format="webp"), 503, "unavailable")
        self.assertEqual(self.result(format="webp").status, 200)


class Again(Shared):
    """Other settings for the crop that a job has left."""
    models = {"test-model": manifest_of("test-model", retention={"crop": True}), "bare": manifest_of("bare"),
              "seeds": {**manifest_of("seeds"), "input": {"kind": "none"}}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with Hand(cls.lab) as hand:
            cls.job = cls.lab.submit().json
            claimed = hand.claim(cls.job)
            grant = hand.grant(claimed)
            cls.crop = png(20, 20, (1, 2, 3))
            cls.lab.request("PUT", grant["put_crop"], cls.crop, {"Content-Type": "image/png"})
            assert hand.complete(claimed) == "verdict 1"

    def again(self, job=None, token="view", model="test-model", headers=None, key=None, **members):
        job = job or self.job
        source = {"crop_of": job["id"]} | ({"token": job["tokens"].get(token, token)} if token else {})
        return self.lab.submit(model=model, input=source, headers=headers, token=key, **members)

    def test_the_crop_is_copied_for_who_may_view_the_job(self):
        for answer in (self.again(), self.again(token="manage"), self.again(crop={"x": 1, "y": 1, "width": 9, "height": 9})):
            self.assertEqual(answer.status, 202, answer)
            stored, = self.lab.stored(f"inputs/{answer.json['id']}")
            self.assertEqual(stored.read_bytes(), self.crop)
        form = self.lab.submit_form([("model", "bare"), ("crop_of", self.job["id"]),
                                     ("crop_token", self.job["tokens"]["view"])])
        self.assertEqual(form.status, 202, form)

    def test_an_idempotency_key_stands_for_the_same_crop(self):
        headers = {"Idempotency-Key": "again-and-again"}
        first, second = self.again(headers=headers), self.again(headers=headers)
        self.assertEqual(first.json["id"], second.json["id"])
        self.assertEqual(second.headers["Idempotency-Replayed"], "true")

    def test_who_may_not_view_a_job_gets_nothing_of_it(self):
        self.refused(self.again(token="delete"), 403, "forbidden")
        self.refused(self.again(token=""), 403, "forbidden")
        self.refused(self.again(token="", key=self.lab.key()["key"]), 403, "forbidden")

    def test_jobs_without_a_crop_are_refused(self):
        with Hand(self.lab, model="bare") as hand:
            bare = finished(self.lab, hand, model="bare")
        self.refused(self.again(bare), 422, "invalid", "input.crop_of", says="keeps no crops")
        self.refused(self.again(self.lab.submit().json), 422, "invalid", "input.crop_of")
        self.refused(self.again({"id": "0" * 34, "tokens": {}}, token="x"), 422, "invalid", "input.crop_of")
        self.refused(self.again(model="seeds"), 422, "invalid", "input")
        self.refused(self.again(crop={"x": 0, "y": 0, "width": 21, "height": 9}), 422, "invalid", "crop")

    def test_nonsense_is_refused(self):
        for source in ({"crop_of": "x"}, {"crop_of": 1}, {"crop_of": None}, {"crop_of": {"a": 1}},
                       {"crop_of": self.job["id"], "token": 1}, {"crop_of": self.job["id"], "token": "x" * 99},
                       {"crop_of": self.job["id"], "job": self.job["id"]}):
            answer = self.lab.submit(input=source)
            self.assertEqual((answer.status, answer.code), (422, "invalid"), source)
            self.assertTrue(answer.problem["field"].startswith("input"), answer)
        for parts in ([("crop_of", "x")], [("crop_of", self.job["id"]), ("crop_token", "x" * 99)],
                      [("crop_of", self.job["id"]), ("input", png())]):
            self.refused(self.lab.submit_form([("model", "bare"), *parts]), 422, "invalid", "crop_of")

    def test_a_crop_that_is_gone_is_said_to_be(self):
        with Hand(self.lab) as hand:
            job = finished(self.lab, hand)
        self.refused(self.again(job), 422, "invalid", "input.crop_of", says="not there")


class Cache(http.server.BaseHTTPRequestHandler):
    """A CDN that is told to forget."""

    def do_PURGE(self):
        self.server.calls.append((self.command, self.path, self.headers.get("X-Token")))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PURGE

    def log_message(self, *_):
        pass


class Purge(unittest.TestCase):
    def cache(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cache)
        server.calls, server.status = [], 200
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def erase(self, lab, job):
        self.assertEqual(lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"]).status, 204)

    def waiting(self, lab):
        return int(lab.redis_cli("zcard", "{q:00}purge")) + int(lab.redis_cli("zcard", "{q:00}trash"))

    def paths_of(self, job):
        return {f"/o/results/{job['id']}/1/result.png", f"/o/results/{job['id']}/1/crop.png",
                f"/o/results/{job['id']}/1/heat-map.png", f"/o/inputs/{job['id']}",
                f"/j/{job['id']}", f"/v1/jobs/{job['id']}"}

    def test_a_url_is_called_for_every_object_and_page_that_is_gone(self):
        cache = self.cache()
        url = f"http://127.0.0.1:{cache.server_port}{{path}}"
        with Lab(dispatcher=False) as lab:
            (lab.path / "header").write_text("X-Token: hush\n")
            (lab.path / "header").chmod(0o600)
            lab.dispatcher_start("--purge-url", url, "--purge-header-file", lab.path / "header")
            with Hand(lab) as hand:
                job, other = finished(lab, hand), finished(lab, hand)
            self.erase(lab, job)
            lab.trash_due()
            wait_until(lambda: {path for _, path, _ in cache.calls} >= self.paths_of(job), "all is purged")
            self.assertEqual({(verb, token) for verb, _, token in cache.calls}, {("PURGE", "hush")})
            wait_until(lambda: self.waiting(lab) == 0, "nothing waits")
            self.assertFalse([path for _, path, _ in cache.calls if f"results/{other['id']}" in path])
            self.assertNotIn("hush", lab.programs["dispatcher"].log)

    def test_a_cache_that_is_away_is_asked_again(self):
        cache = self.cache()
        cache.status = 503
        with Lab(dispatcher_options=("--purge-url", f"http://127.0.0.1:{cache.server_port}/purge?what={{path}}",
                                     "--purge-method", "POST")) as lab:
            with Hand(lab) as hand:
                job = finished(lab, hand)
            self.erase(lab, job)
            lab.trash_due()
            lab.programs["dispatcher"].wait_for_log("purge.failed")
            wait_until(lambda: not lab.stored("results/"), "the objects are gone all the same")
            cache.status = 404  # never heard of it: as good as purged

            def done():
                lab.redis_cli("eval", "for _, m in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do "
                              "redis.call('ZADD', KEYS[1], 0, m) end", 1, "{q:00}purge")
                return self.waiting(lab) == 0
            wait_until(done, "nothing waits")
            self.assertIn(("POST", f"/purge?what=/j/{job['id']}", None), cache.calls)

    def test_a_program_is_run_with_one_argument_and_no_shell(self):
        with Lab(dispatcher=False) as lab:
            program, seen = lab.path / "purge $(me)", lab.path / "seen"
            program.write_text(f"#!/bin/sh\n[ $# = 1 ] && echo \"$1\" >> '{seen}'\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            lab.dispatcher_start("--purge-command", program)
            with Hand(lab) as hand:
                job = finished(lab, hand)
            self.erase(lab, job)
            lab.trash_due()
            wait_until(lambda: seen.exists() and set(seen.read_text().split()) >= self.paths_of(job), "all is purged")
            wait_until(lambda: self.waiting(lab) == 0, "nothing waits")

    def test_a_program_that_fails_is_run_again_later(self):
        with Lab(dispatcher_options=("--purge-command", "/bin/false")) as lab:
            with Hand(lab) as hand:
                self.erase(lab, finished(lab, hand))
            lab.programs["dispatcher"].wait_for_log("ended with status 1")
            wait_until(lambda: int(lab.redis_cli("zcard", "{q:00}purge")) > 0, "it waits")

    def test_a_hook_that_cannot_be_is_refused_at_start(self):
        with Lab(dispatcher=False) as lab:
            for options, says in (
                    (("--purge-url", "ftp://cache{path}"), "purge-url"),
                    (("--purge-url", "http://cache/"), "{path}"),
                    (("--purge-url", "http://{path}/"), "{path}"),
                    (("--purge-url", "http://a{path}{path}"), "{path}"),
                    (("--purge-url", "http://a{path}", "--purge-method", "BAN"), "purge-method"),
                    (("--purge-url", "http://a{path}", "--purge-header-file", "/nowhere"), "purge-header-file"),
                    (("--purge-url", "http://a{path}", "--purge-command", "/bin/true"), "either"),
                    (("--purge-command", "true"), "absolute"),
                    (("--purge-command", "/nowhere/purge"), "purge-command")):
                with self.subTest(options), self.assertRaises(AssertionError) as refused:
                    lab.dispatcher_start(*options)
                self.assertIn(says, str(refused.exception))
                lab.programs.pop("dispatcher").log_file.close()

    def test_without_a_hook_nothing_waits_for_one(self):
        with Lab() as lab, Hand(lab) as hand:
            self.erase(lab, finished(lab, hand, result=png(4, 4)))
            lab.trash_due()
            wait_until(lambda: self.waiting(lab) == 0, "the trash is out")
            self.assertEqual(json.dumps(lab.stored()), "[]")


if __name__ == "__main__":
    main()
