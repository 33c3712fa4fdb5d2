#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What operators do: over HTTP with a key, by the command line, and darkroom fsck on a queue and a
store that somebody has broken."""
import json
import os
import pathlib
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, Hand, Lab, main, manifest_of, wait_until  # noqa: E402

DARKROOM = BUILD / "dispatcher" / "darkroom"


def darkroom(*arguments):
    return subprocess.run([str(DARKROOM), *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, env={**os.environ, "HOME": "/nonexistent"})


def make_key(lab, scopes):
    result = darkroom("keys", "create", "--redis", lab.redis_url, "--scopes", scopes)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def operate(lab, *words, key):
    """darkroom WORDS with the key in a file."""
    path = lab.path / "key"
    path.touch(mode=0o600)
    path.write_text(key + "\n")
    return darkroom(*words, "--server", lab.url, "--key-file", path)


class Operators(unittest.TestCase):
    ROUTES = (("GET", "/v1/queues"), ("GET", "/v1/workers"), ("GET", "/v1/dead"),
              ("POST", "/v1/queues/test-model/pause"), ("POST", "/v1/queues/test-model/resume"),
              ("POST", "/v1/dead/" + "0" * 34 + "/replay"), ("POST", "/v1/dead/replay"), ("GET", "/v1/fleet"))

    def test_only_a_key_with_the_scope_may_operate(self):
        with Lab() as lab:
            other = make_key(lab, "submit,read")
            for method, path in self.ROUTES:
                self.assertEqual(lab.request(method, path).status, 401, path)
                self.assertEqual(lab.request(method, path, token=other).status, 403, path)
                self.assertEqual(lab.request(method, path, token="dk_" + "A" * 43).status, 401, path)
            self.assertEqual(lab.redis_cli("exists", "{q:00}pause:test-model"), "0")

    def test_an_autoscalers_key_sees_how_many_workers_are_wanted_and_nothing_else(self):
        with Lab() as lab:
            scaler, operator = make_key(lab, "scale"), make_key(lab, "operate")
            for method, path in self.ROUTES:
                self.assertEqual(lab.request(method, path, token=scaler).status, 403, path)
            self.assertEqual(lab.get("/v1/jobs", token=scaler).status, 403)
            self.assertEqual(lab.get("/v1/scale").status, 401)
            self.assertEqual(lab.get("/v1/scale", token=make_key(lab, "submit,read")).status, 403)
            for key in scaler, operator:
                answer = lab.get("/v1/scale?model=test-model", token=key)
                self.assertEqual((answer.status, answer.json["wanted"]), (200, 0))

    def test_wanted_workers_follow_what_waits_and_never_fall_below_the_busy_ones(self):
        with Lab() as lab, Hand(lab) as hand:
            key = make_key(lab, "scale")

            def scale(**query):
                words = "&".join(f"{name}={value}" for name, value in query.items())
                return lab.get(f"/v1/scale?{words}", token=key).json

            self.assertEqual(scale(model="test-model"), {
                "model": "test-model", "paused": False, "target_wait_seconds": 60, "queued": 0, "running": 0,
                "oldest_seconds": 0, "drain_seconds": 0, "workers": 1, "busy": 0, "wanted": 0})
            for _ in range(3):
                lab.submit()
            job = hand.claim()
            one = scale(model="test-model", target_wait_s=1, start_s=0)
            self.assertEqual((one["queued"], one["running"], one["workers"], one["busy"]), (2, 1, 1, 1))
            cost_s = json.loads((lab.models / "test-model.json").read_text())["cost_ms"] / 1000
            self.assertAlmostEqual(one["drain_seconds"], 2 * cost_s, places=2)
            self.assertGreaterEqual(one["wanted"], 1)
            self.assertGreaterEqual(scale(model="test-model", most=0)["wanted"], 1)
            self.assertGreaterEqual(scale(model="test-model", least=4)["wanted"], 4)
            both = scale(target_wait_s=1, start_s=0)
            [each] = both.pop("models")
            self.assertEqual(each["model"], "test-model")
            self.assertEqual((both["queued"], both["running"], both["busy"]), (2, 1, 1))
            self.assertEqual(both["wanted"], each["wanted"])
            text = lab.get("/metrics").body.decode()
            self.assertIn('darkroom_scale_busy_workers{model="test-model"} 1\n', text)
            self.assertIn('darkroom_scale_wanted_workers{model="test-model"} ', text)
            self.assertIn('darkroom_scale_drain_seconds{model="test-model"} ', text)
            hand.complete(job)
            self.assertEqual(scale(model="test-model")["busy"], 0)

    def test_a_paused_model_wants_nobody(self):
        with Lab() as lab:
            key, scaler = make_key(lab, "operate"), make_key(lab, "scale")
            lab.submit()
            self.assertEqual(lab.get("/v1/scale?model=test-model", token=scaler).json["wanted"], 1)
            self.assertIsNone(lab.get("/v1/scale?model=test-model", token=scaler).json["drain_seconds"])
            lab.request("POST", "/v1/queues/test-model/pause", token=key)
            paused = lab.get("/v1/scale?model=test-model&least=2", token=scaler).json
            self.assertEqual((paused["wanted"], paused["paused"], paused["queued"]), (0, True, 1))

    def test_a_scale_that_makes_no_sense_is_refused(self):
        with Lab() as lab:
            key = make_key(lab, "scale")
            for model in "nothing", "", "x" * 300:
                self.assertEqual(lab.get(f"/v1/scale?model={model}", token=key).status, 404, model)
            for query in ("target_wait_s=0", "target_wait_s=86401", "target_wait_s=x", "start_s=-1", "least=-1",
                          "most=100001", "least=5&most=4", "target_wait_s=1.5", "least="):
                answer = lab.get(f"/v1/scale?{query}", token=key)
                self.assertEqual((answer.status, answer.code), (422, "invalid"), query)

    def test_a_paused_model_is_served_again_once_it_is_resumed(self):
        with Lab() as lab, Hand(lab) as hand:
            key = make_key(lab, "operate")
            job = lab.submit().json
            paused = lab.request("POST", "/v1/queues/test-model/pause", token=key)
            self.assertEqual(paused.json, {"model": "test-model", "paused": True, "changed": True})
            self.assertIsNone(hand.claim())
            [queue] = lab.get("/v1/queues", token=key).json["queues"]
            self.assertEqual((queue["model"], queue["paused"], queue["queued"], queue["submitted"]),
                             ("test-model", True, 1, 1))
            self.assertIsNone(lab.job(job)["eta_seconds"])
            self.assertFalse(lab.request("POST", "/v1/queues/test-model/pause", token=key).json["changed"])
            self.assertTrue(lab.request("POST", "/v1/queues/test-model/resume", token=key).json["changed"])
            self.assertEqual(hand.claim()["public_id"], job["id"])

    def test_what_is_no_model_or_no_job_is_404(self):
        with Lab() as lab:
            key = make_key(lab, "operate")
            for path in ("/v1/queues/nothing/pause", "/v1/queues/" + "x" * 300 + "/pause",
                         "/v1/dead/" + "0" * 34 + "/replay",
                         "/v1/dead/ff" + "0" * 32 + "/replay", "/v1/dead/1/replay"):
                self.assertEqual(lab.request("POST", path, token=key).status, 404, path)
            for query in ("limit=0", "limit=201", "limit=x", "offset=-1", "limit=10&offset=191", "limit=",
                          "limit=" + "9" * 40):
                answer = lab.get(f"/v1/dead?{query}", token=key)
                self.assertEqual((answer.status, answer.code), (422, "invalid"), query)

    def test_the_dead_letter_is_shown_and_replayed(self):
        with Lab() as lab, Hand(lab) as hand:
            key = make_key(lab, "operate")
            dead, alive = lab.submit().json, lab.submit().json
            hand_job = hand.claim()
            limit = json.loads((lab.models / "test-model.json").read_text()).get("max_attempts", 3)
            for attempt in range(limit):
                hand.retry(hand_job)
                if attempt + 1 < limit:
                    lab.redis_cli("zadd", "{q:00}delay", "1", dead["id"][2:14])
                    wait_until(lambda: lab.job(dead)["state"] == "queued", "the retry")
                    hand_job = hand.claim()
                    self.assertEqual(hand_job["public_id"], dead["id"])
            page = lab.get("/v1/dead", token=key).json
            self.assertEqual(page["total"], 1)
            [letter] = page["dead"]
            self.assertEqual((letter["id"], letter["attempts"]), (dead["id"], limit))
            self.assertEqual(len(letter["history"]), limit)
            self.assertEqual(lab.request("POST", f"/v1/dead/{alive['id']}/replay", token=key).status, 409)

            again = lab.request("POST", f"/v1/dead/{dead['id']}/replay", token=key)
            self.assertEqual((again.status, again.json["state"]), (200, "queued"))
            self.assertEqual(lab.request("POST", f"/v1/dead/{dead['id']}/replay", token=key).status, 409)
            self.assertEqual(lab.get("/v1/dead", token=key).json, {"total": 0, "dead": []})
            self.assertEqual(hand.claim()["public_id"], alive["id"])
            hand.complete(hand.claim())
            self.assertEqual(lab.job(dead)["state"], "succeeded")

    def test_workers_of_all_shards_are_seen_with_what_they_hold(self):
        with Lab(dispatcher_options=["--shards", "2"]) as lab, Hand(lab, shard=0) as first, \
                Hand(lab, shard=1) as second:
            key = make_key(lab, "operate")
            job = lab.submit().json
            holder, idle = (first, second) if job["id"].startswith("00") else (second, first)
            self.assertEqual(holder.claim()["public_id"], job["id"])
            workers = {worker["id"]: worker for worker in lab.get("/v1/workers", token=key).json["workers"]}
            self.assertEqual({id: worker["running"] for id, worker in workers.items()},
                             {holder.worker: 1, idle.worker: 0})
            self.assertEqual(workers[idle.worker]["models"], ["test-model"])
            self.assertEqual(workers[idle.worker]["loaded"], [])
            self.assertGreater(workers[idle.worker]["silent_after_seconds"], 0)

    def bury(self, lab, hand, count):
        """Jobs that fail for good at their first attempt; their ids, the oldest first."""
        ids = []
        for _ in range(count):
            job = lab.submit().json
            hand.retry(hand.claim(job))
            self.assertEqual(lab.job(job)["state"], "failed")
            ids.append(job["id"])
        return ids

    def test_many_dead_letters_are_replayed_at_once(self):
        models = {"test-model": manifest_of("test-model", max_attempts=1)}
        with Lab(models=models, dispatcher_options=["--shards", "2"]) as lab, Hand(lab, shard=0) as first, \
                Hand(lab, shard=1) as second:
            key = make_key(lab, "operate")
            shard = int(lab.submit().json["id"][:2], 16)
            dead = self.bury(lab, (first, second)[shard], 3)
            alive = lab.submit().json["id"]
            none = [f"{shard:02x}" + "0" * 32, "ff" + "0" * 32]
            answer = lab.request("POST", "/v1/dead/replay", {"ids": [*dead[:2], alive, *none, dead[0]]}, token=key)
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(answer.json["replayed"], 2)
            self.assertEqual(sorted(answer.json["skipped"]), sorted([alive, *none, dead[0]]))
            self.assertEqual([letter["id"] for letter in lab.get("/v1/dead", token=key).json["dead"]], dead[2:])
            self.assertEqual(lab.request("POST", "/v1/dead/replay", {"ids": []}, token=key).json,
                             {"replayed": 0, "skipped": []})
            for body in ({}, {"ids": "all"}, {"ids": [7]}, {"ids": ["x"]}, {"ids": dead, "more": 1},
                         {"ids": [dead[2]] * 201}, {"ids": [dead[2] + "0"]}):
                refused = lab.request("POST", "/v1/dead/replay", body, token=key)
                self.assertEqual((refused.status, refused.code), (422, "invalid"), body)
            for text, status in ((b"{", 400), (b" " * 20000, 413)):
                self.assertEqual(lab.request("POST", "/v1/dead/replay", text, token=key).status, status)
            self.assertEqual(lab.get("/v1/dead", token=key).json["total"], 1)

    def test_the_fleet_in_one_answer(self):
        with Lab(models={"test-model": manifest_of("test-model", max_attempts=1)}) as lab, Hand(lab) as hand:
            key = make_key(lab, "operate")
            self.bury(lab, hand, 1)
            running, _ = lab.submit().json, lab.submit().json
            claimed = hand.claim()
            hand.progress(claimed, 500)
            lab.redis_cli("set", f"{{q:00}}drain:{hand.worker}", "1")
            fleet = lab.get("/v1/fleet", token=key).json
            [queue] = fleet["queues"]
            self.assertEqual([queue[name] for name in ("model", "queued", "running", "dead", "failed", "paused")],
                             ["test-model", 1, 1, 1, 1, False])
            self.assertEqual((fleet["dead"], fleet["unsent"]), (1, 0))
            self.assertEqual(fleet["mail"], lab.get("/v1/notifications", token=key).json["mail"])
            [worker] = fleet["workers"]
            self.assertEqual((worker["id"], worker["models"], worker["draining"]),
                             (hand.worker, ["test-model"], True))
            self.assertTrue(0 <= worker["heard_seconds_ago"] < 60, worker)
            [job] = worker["jobs"]
            self.assertEqual((job["id"], job["model"], job["progress"]), (running["id"], "test-model", 0.5))
            self.assertGreaterEqual(job["since"], running["created_at"])
            self.assertEqual(lab.get("/v1/workers", token=key).json["workers"][0]["jobs"], [job])

    def test_samples_reach_back_and_only_the_new_ones_are_sent(self):
        with Lab() as lab:
            key = make_key(lab, "operate")

            def fleet(since=""):
                return lab.get(f"/v1/fleet{since}", token=key).json
            first = wait_until(lambda: (lambda now: now if now["samples"]["count"] else None)(fleet()), "a sample")
            lab.submit()
            samples = wait_until(lambda: (lambda now: now if 1 in now["models"]["test-model"]["queued"] else None)(
                fleet()["samples"]), "a sample with the job in it")
            self.assertEqual((samples["step_seconds"], samples["from"] % 5), (5, 0))
            self.assertEqual(samples["from"], first["samples"]["from"])
            for name, values in samples["models"]["test-model"].items():
                self.assertEqual(len(values), samples["count"], name)
            last = samples["from"] + 5 * (samples["count"] - 1)
            self.assertLess(abs(last - time.time()), 60)
            newer = fleet(f"?since={last - 5}")["samples"]
            self.assertEqual(newer["from"], last)
            self.assertEqual(fleet(f"?since={last + 100}")["samples"]["count"], 0)
            [queue] = fleet()["queues"]
            self.assertGreater(queue["submitted_per_minute"], 0)
            self.assertEqual(queue["finished_per_minute"], 0)
            for query in ("since=x", "since=-1", "since=", "since=" + "9" * 30):
                answer = lab.get(f"/v1/fleet?{query}", token=key)
                self.assertEqual((answer.status, answer.code), (422, "invalid"), query)

    def test_without_redis_the_fleet_is_503_and_comes_back(self):
        with Lab() as lab:
            key = make_key(lab, "operate")
            self.assertEqual(lab.get("/v1/fleet", token=key).status, 200)
            lab.stop("redis")
            wait_until(lambda: lab.get("/readyz").status == 503, "the outage is noticed")
            self.assertEqual(lab.get("/v1/fleet", token=key).status, 503)
            lab.redis_start()
            wait_until(lambda: lab.get("/v1/fleet", token=key).status == 200, "the fleet again")

    def test_the_command_line_shows_and_does_the_same(self):
        with Lab() as lab, Hand(lab) as hand:
            key = make_key(lab, "operate")
            lab.submit()
            lab.submit()
            hand.claim()
            self.assertRegex(operate(lab, "queues", key=key).stdout, r"test-model +1 +1 ")
            workers = operate(lab, "workers", key=key)
            self.assertEqual(workers.returncode, 0, workers.stderr)
            self.assertEqual(operate(lab, "dead", key=key).stdout, "None.\n")
            self.assertIn("is paused", operate(lab, "pause", "test-model", key=key).stdout)
            self.assertRegex(operate(lab, "queues", key=key).stdout, "paused")
            self.assertIn("is served", operate(lab, "resume", "test-model", key=key).stdout)
            self.assertEqual(operate(lab, "pause", "nothing", key=key).returncode, 66)
            self.assertEqual(operate(lab, "pause", "NO MODEL", key=key).returncode, 64)
            self.assertEqual(operate(lab, "dead", "replay", "x", key=key).returncode, 64)
            self.assertEqual(operate(lab, "dead", "replay", "all", key=key).returncode, 0)
            self.assertEqual(operate(lab, "queues", key=make_key(lab, "read")).returncode, 77)
            self.assertEqual(darkroom("queues", "--server", lab.url).returncode, 64)


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
