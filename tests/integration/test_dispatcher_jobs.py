#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The dispatcher after a job was accepted: rights, results, links, events, limits, outages."""
import http.server
import json
import os
import pathlib
import re
import signal
import socket
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import Hand, Lab, Shared, data_url, main, manifest_of, png, wait_until  # noqa: E402

UNKNOWN_ID = "00" + "ab" * 16


class Rights(Shared):
    def test_unknown_ids_missing_and_wrong_tokens(self):
        job, other = self.lab.submit().json, self.lab.submit().json
        view, manage = job["tokens"]["view"], job["tokens"]["manage"]
        wrong = [other["tokens"]["view"], other["tokens"]["delete"], "x" * 22, "", "x" * 1000, "a%00b"]
        routes = (("GET", "", view, job["tokens"]["delete"]), ("GET", "/events", view, job["tokens"]["delete"]),
                  ("GET", "/result", view, job["tokens"]["delete"]), ("POST", "/cancel", manage, view),
                  ("DELETE", "", job["tokens"]["delete"], manage))
        for method, tail, right, near in routes:
            path = f"/v1/jobs/{job['id']}{tail}"
            answer = self.lab.request(method, path)
            self.refused(answer, 401, "unauthorized")
            self.assertIn("Bearer", answer.headers["WWW-Authenticate"])
            for token in [*wrong, near]:
                self.refused(self.lab.request(method, f"{path}?token={token}"), 403, "forbidden")
            self.refused(self.lab.request(method, path, token=near), 403, "forbidden")
            self.refused(self.lab.request(method, f"/v1/jobs/{UNKNOWN_ID}{tail}", token=right), 404, "not-found")
            for bad in ("x", "00" + "AB" * 16, UNKNOWN_ID[:-1], UNKNOWN_ID + "0", "..%2f.."):
                answer = self.lab.request(method, f"/v1/jobs/{bad}{tail}", token=right)
                self.assertIn(answer.status, (400, 404))
        self.assertEqual(self.lab.job(job)["state"], "queued")

    def test_cancelling_twice_is_harmless(self):
        job = self.lab.submit().json
        for _ in range(2):
            answer = self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
            self.assertEqual((answer.status, answer.json["state"]), (200, "cancelled"))
        self.refused(self.lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"]), 409, "conflict")

    def test_a_result_that_is_not_there_yet_is_a_conflict(self):
        job = self.lab.submit().json
        answer = self.lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"])
        self.refused(answer, 409, "conflict")
        self.assertEqual(answer.problem["job"], job["id"])

    def test_erasing_removes_record_and_input(self):
        job = self.lab.submit().json
        self.assertTrue(self.lab.stored(job["id"]))
        answer = self.lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.refused(self.lab.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"]), 404, "not-found")
        again = self.lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
        self.refused(again, 404, "not-found")
        wait_until(lambda: not self.lab.stored(job["id"]), "input gone")


class Work(Shared):
    def test_from_claim_to_result(self):
        job = self.lab.submit(png(24, 24)).json
        with Hand(self.lab) as hand:
            claimed = hand.claim(job)
            self.assertEqual(claimed["spec"]["input"]["type"], "image/png")
            self.assertEqual(self.lab.job(job)["state"], "running")
            grant = hand.grant(claimed)
            self.assertEqual(self.lab.get(grant["get"]).body, png(24, 24))
            result = png(8, 8, (1, 2, 3))
            hand.complete(claimed, result)
            self.assertEqual(hand.claim(), None)
        done = self.lab.job(job)
        self.assertEqual((done["state"], done["progress"]), ("succeeded", 1))
        self.assertEqual(done["result"], {"content_type": "image/png", "bytes": len(result)})
        answer = self.lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"])
        self.assertEqual(answer.status, 302)
        got = self.lab.get(answer.headers["Location"])
        self.assertEqual((got.status, got.body), (200, result))
        self.assertEqual(got.headers["Content-Type"], "image/png")
        self.assertEqual(got.headers["X-Content-Type-Options"], "nosniff")
        self.assertIn("sandbox", got.headers["Content-Security-Policy"])
        self.assertRegex(got.headers["Content-Disposition"], r'^inline; filename="darkroom-[0-9a-f]{8}\.png"$')
        head = self.lab.request("HEAD", answer.headers["Location"])
        self.assertEqual((head.status, head.body, head.headers["Content-Length"]), (200, b"", str(len(result))))
        cancel = self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
        self.refused(cancel, 409, "conflict")
        self.lab.trash_due()
        wait_until(lambda: not self.lab.stored("inputs/" + job["id"]), "the input is gone")
        self.lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
        wait_until(lambda: self.lab.get(answer.headers["Location"]).status == 404, "the result is gone")

    def test_a_failed_job_says_why(self):
        job = self.lab.submit().json
        with Hand(self.lab) as hand:
            hand.fail(hand.claim(job), 'the"picture<is>broken')
        answer = self.lab.job(job)
        self.assertEqual(answer["state"], "failed")
        self.assertEqual(answer["error"], {"code": "corrupt", "detail": 'the"picture<is>broken'})

    def test_grants_are_for_workers_and_held_leases_only(self):
        job = self.lab.submit().json
        with Hand(self.lab) as hand:
            claimed = hand.claim(job)
            body = {"worker": hand.worker, "jobs": [{"id": claimed["id"], "epoch": claimed["epoch"]}]}
            self.refused(self.lab.request("POST", "/v1/grants", body), 401, "unauthorized")
            for token in ("x", self.lab.worker_token[:-1], self.lab.worker_token + "x", job["tokens"]["manage"]):
                self.refused(self.lab.request("POST", "/v1/grants", body, token=token), 403, "forbidden")
            for change in ({"id": claimed["id"] + 1}, {"epoch": claimed["epoch"] + 1}):
                wrong = {"worker": hand.worker, "jobs": [{**body["jobs"][0], **change}]}
                answer = self.lab.request("POST", "/v1/grants", wrong, token=self.lab.worker_token)
                self.assertEqual(answer.json["grants"][0]["error"], "lost")
            other = {**body, "worker": "w-" + "0" * 32}
            answer = self.lab.request("POST", "/v1/grants", other, token=self.lab.worker_token)
            self.assertEqual(answer.json["grants"][0]["error"], "lost")
            for bad, field in (({"worker": "x", "jobs": body["jobs"]}, "worker"), ({**body, "jobs": []}, "jobs"),
                               ({**body, "jobs": [{"id": -1, "epoch": 1}]}, "jobs.id"),
                               ({**body, "jobs": [{"id": 1}]}, "jobs.epoch"), ({**body, "x": 1}, "x"),
                               ({**body, "jobs": [{"id": 1, "epoch": 1}] * 257}, "jobs")):
                answer = self.lab.request("POST", "/v1/grants", bad, token=self.lab.worker_token)
                self.refused(answer, 422, "invalid", field)
            answer = self.lab.request("POST", "/v1/grants", b"{", {"Content-Type": "application/json"},
                                      token=self.lab.worker_token)
            self.refused(answer, 400, "malformed")
            hand.complete(claimed)


class Unsynced(Shared):
    options = ("--store-sync=no",)

    def test_pictures_and_results_are_kept_as_ever(self):
        job = self.lab.submit().json
        self.assertEqual(len(self.lab.stored(job["id"])), 1)
        with Hand(self.lab) as hand:
            hand.complete(hand.claim(job))
        self.assertEqual(self.lab.job(job)["state"], "succeeded")
        result = self.lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"])
        self.assertEqual(self.lab.get(result.headers["Location"]).body, png(8, 8))
        refused = self.lab.submit_form([("model", "test-model"), ("input", b"no picture", "x")])
        self.assertEqual(refused.status, 422)


class WithoutInput(Shared):
    models = {"dice": manifest_of("dice", input={"kind": "none"}, params={
        "type": "object", "properties": {"seed": {"type": "integer", "minimum": 0, "maximum": 9, "default": 3}}}),
        "test-model": manifest_of("test-model")}

    def submit(self, **members):
        return self.lab.request("POST", "/v1/jobs", {"model": "dice", **members})

    def test_it_is_accepted_granted_done_and_nothing_is_stored_for_it(self):
        for answer in (self.submit(params={"seed": 5}), self.lab.submit_form([("model", "dice"), ("params", '{"seed":5}')])):
            self.assertEqual(answer.status, 202, answer)
            self.assertEqual(self.lab.stored("inputs/"), [])
            with Hand(self.lab, "dice") as hand:
                claimed = hand.claim(answer.json)
                self.assertEqual((claimed["spec"]["input"], claimed["spec"]["params"]), (None, {"seed": 5}))
                grant = hand.grant(claimed)
                self.assertNotIn("get", grant)
                self.assertIn("put", grant)
                hand.complete(claimed)
            job = answer.json
            self.assertEqual(self.lab.job(job)["state"], "succeeded")
            gone = self.lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
            self.assertEqual(gone.status, 204)

    def test_a_picture_or_a_crop_for_it_is_refused(self):
        self.refused(self.submit(input=data_url(png())), 422, "invalid", "input")
        self.refused(self.submit(crop={"x": 0, "y": 0, "width": 1, "height": 1}), 422, "invalid", "crop")
        self.refused(self.lab.submit_form([("model", "dice"), ("input", png(), "x")]), 422, "invalid", "input")
        self.refused(self.submit(params={"seed": 10}), 422, "invalid", "params.seed")
        self.refused(self.submit(surprise=1), 422, "invalid", "surprise")
        self.refused(self.lab.request("POST", "/v1/jobs", {"model": "test-model"}), 422, "invalid", "input")

    def test_the_list_of_models_shows_it(self):
        models = {model["name"]: model for model in self.lab.get("/v1/models").json["models"]}
        self.assertEqual(models["dice"]["input"], {"kind": "none"})
        self.assertEqual(models["test-model"]["input"]["kind"], "image")


class Links(Shared):
    options = ("--max-upload-bytes", "2000")

    def setUp(self):
        job = self.lab.submit().json
        self.hand = Hand(self.lab)
        self.addCleanup(self.hand.__exit__)
        self.claimed = self.hand.claim(job)
        self.grant = self.hand.grant(self.claimed)

    def tearDown(self):
        self.hand.fail(self.claimed)

    def put(self, url, body=b"x", kind="image/png"):
        return self.lab.request("PUT", url, body, {"Content-Type": kind})

    def test_a_link_is_good_for_what_was_signed_and_nothing_else(self):
        put, get = self.grant["put"], self.grant["get"]
        self.refused(self.lab.get(put), 403, "forbidden")
        self.refused(self.put(get), 403, "forbidden")
        self.refused(self.put(put.replace("/result.png", "/other.png")), 403, "forbidden")
        self.refused(self.put(put.split("?")[0]), 403, "forbidden")
        self.refused(self.lab.get(get.split("?")[0]), 403, "forbidden")
        path, _, query = put.partition("?")
        for argument in query.split("&"):
            name, _, value = argument.partition("=")
            for changed in (value[:-1] + ("0" if value[-1:] != "0" else "1"), "", value + "0"):
                tampered = query.replace(argument, f"{name}={changed}")
                answer = self.put(f"{path}?{tampered}")
                self.assertEqual(answer.status, 403, (argument, changed, answer))
            self.assertEqual(self.put(f"{path}?{query.replace(argument, '')}").status, 403, argument)

    def test_size_and_type_are_part_of_the_link(self):
        put = self.grant["put"]
        self.refused(self.put(put, b"x" * 2001), 413, "too-large", limit=2000)
        self.refused(self.put(put, b"x", "text/html"), 415, "media-type")
        answer = self.lab.request("PUT", put, iter([b"x" * 10]), {"Content-Type": "image/png"})
        self.refused(answer, 411, "length-required")
        self.assertEqual(self.put(put, b"x" * 2000).status, 200)
        self.assertEqual(self.put(put, b"y" * 10).status, 200)

    def test_uploads_follow_each_other_on_one_connection_and_may_lose_their_client(self):
        target = self.grant["put"].removeprefix(self.lab.url)
        upload = (f"PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
                  "Content-Length: 3\r\n\r\nabc").encode()
        for _ in range(8):
            with socket.create_connection(("127.0.0.1", self.lab.port)) as gone:
                gone.sendall(upload)
        with socket.create_connection(("127.0.0.1", self.lab.port), timeout=20) as client:
            client.sendall(5 * upload)
            got = b""
            while got.count(b"HTTP/1.1 200") < 5 and (piece := client.recv(4096)):
                got += piece
        self.assertEqual(got.count(b"HTTP/1.1 "), got.count(b"HTTP/1.1 200"), got)
        self.assertEqual(got.count(b"HTTP/1.1 200"), 5)

    def test_paths_lead_nowhere(self):
        query = self.grant["get"].partition("?")[2]
        for path in ("/o/../secret", "/o/..%2fsecret", "/o/inputs/../../secret", "/o//etc/passwd",
                     "/o/%2e%2e/secret", "/o/inputs/%00", "/o/" + "a/" * 500, "/o/.hidden"):
            for method in ("GET", "PUT"):
                answer = self.lab.request(method, f"{path}?{query}")
                self.assertIn(answer.status, (400, 403, 404), (path, answer))


class ShortLinks(Shared):
    options = ("--link-seconds", "1")

    def test_a_link_expires(self):
        job = self.lab.submit().json
        with Hand(self.lab) as hand:
            hand.complete(hand.claim(job))
        link = self.lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"]).headers["Location"]
        wait_until(lambda: self.lab.get(link).status == 403, "the link has expired")
        fresh = self.lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"]).headers["Location"]
        self.assertNotEqual(link, fresh)


class Limited(unittest.TestCase):
    def test_a_client_that_submits_too_fast_is_told_when_to_come_back(self):
        with Lab(dispatcher_options=("--submits-per-minute", "1", "--submits-burst", "2")) as lab:
            self.assertEqual([lab.submit().status for _ in range(2)], [202, 202])
            answer = lab.submit()
            self.assertEqual((answer.status, answer.code), (429, "rate-limited"))
            self.assertEqual(answer.problem["limit"], 1)
            self.assertIn(int(answer.headers["Retry-After"]), range(1, 61))
            invented = lab.request("POST", "/v1/jobs", {}, {"X-Forwarded-For": "203.0.113.1"})
            self.assertEqual(invented.status, 429)

    def test_a_trusted_proxy_tells_clients_apart(self):
        with Lab(dispatcher_options=("--submits-per-minute", "1", "--submits-burst", "1",
                                     "--trusted-proxies", "127.0.0.1")) as lab:
            def submit(client):
                body = json.dumps({"model": "test-model", "input": data_url(png())}).encode()
                return lab.request("POST", "/v1/jobs", body, {
                    "Content-Type": "application/json", "X-Forwarded-For": f"1.1.1.1, {client}"}).status
            self.assertEqual([submit("203.0.113.1"), submit("203.0.113.1"), submit("203.0.113.2")],
                             [202, 429, 202])

    def test_a_visitor_with_too_many_waiting_jobs_is_refused_and_the_input_swept(self):
        with Lab(dispatcher_options=("--max-flow-queued", "2")) as lab:
            jobs = [lab.submit() for _ in range(3)]
            self.assertEqual([j.status for j in jobs], [202, 202, 429], jobs)
            wait_until(lambda: len(lab.stored("inputs/00")) == 2, "swept")

    def test_a_full_queue_is_unavailable(self):
        with Lab(dispatcher_options=("--max-queued", "1")) as lab:
            self.assertEqual(lab.submit().status, 202)
            answer = lab.submit()
            self.assertEqual((answer.status, answer.code), (503, "unavailable"))
            self.assertIn("Retry-After", answer.headers)


class Events(Shared):
    def submit_and_watch(self):
        job = self.lab.submit().json
        return job, self.lab.events(job)

    def follow(self, stream, *states):
        """The next jobs of the stream until one has a state of `states`."""
        for event, event_id, data in stream:
            if event is None:
                continue
            self.assertEqual(event, "job")
            self.assertRegex(event_id, r"^\d+-\d+$")
            if data["state"] in states:
                return data, event_id
        raise AssertionError(f"the stream ended before {states}")

    def test_the_whole_life_of_a_job_and_then_the_end(self):
        job, stream = self.submit_and_watch()
        first, _ = self.follow(stream, "queued")
        self.assertEqual(first["id"], job["id"])
        with Hand(self.lab) as hand:
            claimed = hand.claim(job)
            self.follow(stream, "running")
            hand.progress(claimed, 500)
            data, _ = self.follow(stream, "running")
            self.assertEqual(data["progress"], 0.5)
            hand.complete(claimed)
            data, last_id = self.follow(stream, "succeeded")
        self.assertIsNotNone(data["result"])
        self.assertEqual(list(stream), [])
        # A browser that reconnects by itself after the end is told that there is nothing more.
        path = f"/v1/jobs/{job['id']}/events?token={job['tokens']['view']}"
        self.assertEqual(self.lab.get(path, headers={"Last-Event-ID": last_id}).status, 204)
        again = [data["state"] for event, _, data in self.lab.events(job) if event]
        self.assertEqual(again, ["succeeded"])

    def test_cancelling_ends_the_stream(self):
        job, stream = self.submit_and_watch()
        self.follow(stream, "queued")
        self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
        self.follow(stream, "cancelled")
        self.assertEqual(list(stream), [])

    def test_erasing_ends_the_stream(self):
        job, stream = self.submit_and_watch()
        self.follow(stream, "queued")
        self.lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
        for _ in stream:
            pass

    def open_streams(self):
        text = self.lab.get("/metrics").body.decode()
        return int(re.search(r"^darkroom_event_streams (\d+)", text, re.M)[1])

    def test_head_of_a_stream_ends_at_once(self):
        job = self.lab.submit().json
        before = self.open_streams()
        answer = self.lab.request("HEAD", f"/v1/jobs/{job['id']}/events", token=job["tokens"]["view"])
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "text/event-stream"))
        wait_until(lambda: self.open_streams() <= before, "closed")

    def test_many_watch_one_job(self):
        job = self.lab.submit().json
        streams = [self.lab.events(job) for _ in range(20)]
        for stream in streams:
            self.follow(stream, "queued")
        self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
        for stream in streams:
            self.follow(stream, "cancelled")

    def test_positions_move_up(self):
        first, second = self.lab.submit().json, self.lab.submit().json
        stream = self.lab.events(second)
        data, _ = self.follow(stream, "queued")
        before = data["position"]
        self.assertGreaterEqual(before, 1)
        self.lab.request("POST", f"/v1/jobs/{first['id']}/cancel", token=first["tokens"]["manage"])
        while data["position"] >= before:
            data, _ = self.follow(stream, "queued")
        self.lab.request("POST", f"/v1/jobs/{second['id']}/cancel", token=second["tokens"]["manage"])

    def test_a_returning_client_gets_the_state_of_now(self):
        job = self.lab.submit().json
        stream = self.lab.events(job, headers={"Last-Event-ID": "1-0"})
        self.follow(stream, "queued")
        stream.close()
        stream = self.lab.events(job, headers={"Last-Event-ID": "junk"})
        self.follow(stream, "queued")
        stream.close()


class Outages(unittest.TestCase):
    def unavailable(self, answer):
        self.assertEqual((answer.status, answer.code), (503, "unavailable"), answer)
        self.assertGreater(int(answer.headers["Retry-After"]), 0)

    def test_redis_down_at_submit_and_back(self):
        with Lab() as lab:
            job = lab.submit().json
            stream = lab.events(job)
            self.assertEqual(next(stream)[2]["state"], "queued")
            lab.stop("redis", signal.SIGKILL)
            self.unavailable(lab.submit())
            self.unavailable(lab.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"]))
            self.unavailable(lab.get("/readyz"))
            self.assertEqual(lab.get("/healthz").status, 200)
            self.assertIn("darkroom_redis_connected 0", lab.get("/metrics").body.decode())
            lab.redis_start()
            wait_until(lambda: lab.get("/readyz").status == 200, "ready again")
            self.assertEqual(lab.job(job)["state"], "queued")
            second = lab.submit()
            self.assertEqual(second.status, 202)
            lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
            states = [data["state"] for event, _, data in stream if event]
            self.assertEqual(states[-1], "cancelled")
            inputs = [path.name for path in lab.stored("inputs/")]
            self.assertIn(second.json["id"], inputs)

    def test_a_submit_whose_answer_got_lost_is_neither_kept_nor_run(self):
        with Lab(dispatcher_options=("--redis-timeout-ms", "300", "--submits-per-minute", "0")) as lab:
            redis = lab.programs["redis"]
            wait_until(lambda: lab.get("/readyz").status == 200, "ready")
            # A server that hangs takes the command in and answers too late.
            os.kill(redis.pid, signal.SIGSTOP)
            try:
                answer = lab.submit()
            finally:
                os.kill(redis.pid, signal.SIGCONT)
            self.unavailable(answer)
            wait_until(lambda: lab.get("/readyz").status == 200, "ready again")
            wait_until(lambda: "job.disowned" in lab.programs["dispatcher"].log, "disowned")
            with Hand(lab) as hand:
                self.assertIsNone(hand.claim())
            wait_until(lambda: not lab.stored("inputs/00"), "swept")
            self.assertEqual(lab.submit().status, 202)

    def test_the_dispatcher_starts_before_redis(self):
        with Lab(dispatcher=False) as lab:
            lab.stop("redis")
            lab.dispatcher_start()
            self.unavailable(lab.submit())
            lab.redis_start()
            wait_until(lambda: lab.submit().status == 202, "accepted")

    def test_a_redis_that_evicts_is_refused(self):
        with Lab(dispatcher=False) as lab:
            lab.redis_cli("config", "set", "maxmemory-policy", "allkeys-lru")
            with self.assertRaisesRegex(AssertionError, "(?s)ended with.*noeviction"):
                lab.dispatcher_start()
            lab.programs.pop("dispatcher")

    def test_a_store_that_is_away_is_unavailable_and_comes_back(self):
        class Bucket(http.server.BaseHTTPRequestHandler):
            """Takes everything: signatures are tested against a real S3 elsewhere."""
            def do_PUT(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.end_headers()

            def do_HEAD(self):
                self.send_response(200)
                self.end_headers()

            do_GET = do_DELETE = do_HEAD

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket, bind_and_activate=False)
        server.server_bind()  # the port is ours, but nobody listens yet
        with tempfile.NamedTemporaryFile("w", suffix=".s3") as credentials:
            credentials.write("access\nsecret\n")
            credentials.flush()
            with Lab(store=["--store", "s3://bucket", "--s3-credentials-file", credentials.name,
                            "--s3-endpoint", f"http://127.0.0.1:{server.server_port}"]) as lab:
                self.unavailable(lab.submit())
                self.unavailable(lab.get("/readyz"))
                server.server_activate()
                threading.Thread(target=server.serve_forever, daemon=True).start()
                self.assertEqual(lab.submit().status, 202)
        server.shutdown()
        server.server_close()

    def test_a_stop_ends_streams_and_answers_what_was_begun(self):
        with Lab() as lab:
            job = lab.submit().json
            stream = lab.events(job)
            next(stream)
            self.assertEqual(lab.stop("dispatcher"), 0)
            self.assertEqual(list(stream), [])
            lab.dispatcher_start()
            self.assertEqual(lab.job(job)["state"], "queued")

    def test_a_lease_that_is_not_renewed_expires(self):
        with Lab(dispatcher_options=("--lease-ms", "300")) as lab:
            job = lab.submit().json
            with Hand(lab, lease_ms=300) as lost:
                self.assertEqual(lost.claim()["public_id"], job["id"])
                lab.wait_for_state(job, "queued")
                with Hand(lab, lease_ms=30000) as hand:
                    hand.complete(hand.claim())
            self.assertEqual(lab.job(job)["state"], "succeeded")


class Sweep(unittest.TestCase):
    def test_old_objects_without_a_job_go_and_all_others_stay(self):
        with Lab(dispatcher_options=("--sweep-ms", "100")) as lab:
            job = lab.submit().json
            orphan, young, foreign = ("00" + "ab" * 16, "00" + "cd" * 16, "07" + "ab" * 16)
            hour = 3600
            for name, age in ((f"inputs/{orphan}", 2 * hour), (f"results/{orphan}/1/result.png", 2 * hour),
                              (f"inputs/{young}", 0), (f"inputs/{foreign}", 2 * hour), ("inputs/note", 2 * hour),
                              (f"inputs/{job['id']}", 2 * hour)):
                path = lab.objects / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    path.write_bytes(b"x")
                os.utime(path, (time.time() - age,) * 2)
            wait_until(lambda: not lab.stored(orphan), "swept")
            # Another whole round after it, in which nothing else may go.
            again = lab.objects / "inputs" / ("00" + "ef" * 16)
            again.write_bytes(b"x")
            os.utime(again, (time.time() - 2 * hour,) * 2)
            wait_until(lambda: not again.exists(), "swept again")
            for name in (young, foreign, "note", job["id"]):
                self.assertTrue((lab.objects / "inputs" / name).exists(), name)

    def test_an_empty_redis_does_not_empty_the_store(self):
        with Lab(dispatcher_options=("--sweep-ms", "100")) as lab:
            old = time.time() - 7200
            (lab.objects / "inputs").mkdir(parents=True, exist_ok=True)
            for i in range(20):
                path = lab.objects / "inputs" / f"00{i:032x}"
                path.write_bytes(b"x")
                os.utime(path, (old, old))
            lab.programs["dispatcher"].wait_for_log("sweep.refused")
            self.assertEqual(len(list((lab.objects / "inputs").iterdir())), 20)

    def test_orphans_alone_in_their_folder_go_where_results_show_that_it_is_the_right_redis(self):
        with Lab(dispatcher_options=("--sweep-ms", "100")) as lab:
            job = lab.submit().json
            old = time.time() - 7200
            for name in [f"results/{job['id']}/{epoch}/result.png" for epoch in range(30)] + [
                    f"inputs/00{i:032x}" for i in range(20)]:
                path = lab.objects / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x")
                os.utime(path, (old, old))
            wait_until(lambda: len(lab.stored("inputs/")) == 1, "swept")
            self.assertEqual(len(lab.stored("results/")), 30)


class Start(unittest.TestCase):
    def refused(self, lab, says, **more):
        with self.assertRaisesRegex(AssertionError, f"(?s)ended with.*{says}"):
            lab.dispatcher_start(**more)
        lab.programs.pop("dispatcher")

    def test_bad_settings_are_refused_by_name(self):
        with Lab(dispatcher=False) as lab:
            for option, value in (("--secret-file", "/nonexistent"), ("--worker-token-file", "/nonexistent"),
                                  ("--models", "/nonexistent"), ("--listen", "nonsense"),
                                  ("--trusted-proxies", "x"), ("--store", "ftp://x"),
                                  ("--public-url", "javascript:x"), ("--web", "/nonexistent"), ("--log", "loud")):
                with self.subTest(option), \
                        self.assertRaisesRegex(AssertionError, f"(?s)ended with.*{option[2:]}"):
                    lab.dispatcher_start(option, value)
                lab.programs.pop("dispatcher")


if __name__ == "__main__":
    main()
