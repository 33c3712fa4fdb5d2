#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Requests that wait for their job (Prefer: wait), what a client has already (ETag), and traces."""
import base64
import json
import pathlib
import re
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import DEADLINE_S, Hand, Lab, Response, Shared, main, png, wait_until  # noqa: E402
from mail_server import make_certificate  # noqa: E402
from webhook_server import WebhookServer  # noqa: E402

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def waits(seconds):
    return {"Prefer": f"wait={seconds}"}


class Later:
    """A request on a thread of its own: `answer` waits for it."""

    def __init__(self, ask):
        self.thread = threading.Thread(target=self._run, args=(ask,), daemon=True)
        self.thread.start()

    def _run(self, ask):
        self.response = ask()

    @property
    def answer(self):
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive(), "no answer came"
        return self.response

    def done(self):
        return not self.thread.is_alive()


class Waiting(Shared):
    options = ("--idle-seconds", "1")

    def setUp(self):
        self.hand = Hand(self.lab)
        self.addCleanup(self.hand.__exit__)
        self.addCleanup(wait_until, lambda: self.waiting() == 0, "nobody waits any more")

    def waiting(self):
        return int(re.search(r"^darkroom_waiting_requests (\d+)", self.lab.get("/metrics").body.decode(), re.M)[1])

    def asked(self, count=1):
        wait_until(lambda: self.waiting() == count, f"{count} that wait")

    def look(self, job, seconds, **headers):
        return self.lab.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"],
                            headers={**waits(seconds), **headers})

    def raw(self, job, seconds):
        """A client whose socket the test has in hand."""
        connection = socket.create_connection(("127.0.0.1", self.lab.port), timeout=DEADLINE_S)
        self.addCleanup(connection.close)
        connection.sendall(f"GET /v1/jobs/{job['id']} HTTP/1.1\r\nHost: x\r\nPrefer: wait={seconds}\r\n"
                           f"Authorization: Bearer {job['tokens']['view']}\r\n\r\n".encode())
        return connection

    def read_answer(self, connection):
        file = connection.makefile("rb")
        status, headers = int(file.readline().split()[1]), {}
        while line := file.readline().decode().rstrip("\r\n"):
            name, _, value = line.partition(": ")
            headers[name] = value
        return Response(status, headers, file.read(int(headers["Content-Length"])))

    # ---- the end of a job ----

    def test_a_look_is_answered_when_the_job_has_ended(self):
        job = self.lab.submit().json
        later = Later(lambda: self.look(job, 40))
        self.asked()
        claimed = self.hand.claim(job)
        self.hand.progress(claimed, 500)
        self.assertFalse(later.done())
        self.hand.complete(claimed)
        answer = later.answer
        self.assertEqual((answer.status, answer.json["state"]), (200, "succeeded"))
        self.assertEqual(answer.headers["Preference-Applied"], "wait=40")
        self.assertEqual(answer.json, self.lab.job(job))

    def test_a_submission_is_answered_201_with_the_ended_job(self):
        later = Later(lambda: self.lab.submit(headers={**waits(40), "Idempotency-Key": "once"}))
        self.asked()
        claimed = wait_until(self.hand.claim, "the job")
        self.hand.complete(claimed)
        answer = later.answer
        job = answer.json
        self.assertEqual((answer.status, job["state"], job["result"]["content_type"]),
                         (201, "succeeded", "image/png"))
        self.assertTrue(answer.headers["Location"].endswith(job["id"]))
        self.assertEqual(answer.headers["Preference-Applied"], "wait=40")
        self.assertIsNone(answer.headers["Retry-After"])
        self.assertEqual(self.lab.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"]).status, 200)
        # The same again, which has ended by now: at once, and without the wish as it always was.
        again = self.lab.submit(headers={**waits(40), "Idempotency-Key": "once"})
        self.assertEqual((again.status, again.json["id"]), (201, job["id"]))
        self.assertEqual(again.headers["Idempotency-Replayed"], "true")
        self.assertEqual(self.lab.submit(headers={"Idempotency-Key": "once"}).status, 202)

    def test_many_wait_for_one_job_and_a_failure_ends_it_too(self):
        job = self.lab.submit().json
        later = [Later(lambda: self.look(job, 40)) for _ in range(8)]
        self.asked(8)
        self.hand.fail(self.hand.claim(job))
        self.assertEqual({one.answer.json["state"] for one in later}, {"failed"})

    def test_a_cancel_ends_the_wait(self):
        job = self.lab.submit().json
        later = Later(lambda: self.look(job, 40))
        self.asked()
        self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"])
        self.assertEqual(later.answer.json["state"], "cancelled")

    def test_an_erased_job_is_404_for_who_waits(self):
        job = self.lab.submit().json
        later = Later(lambda: self.look(job, 40))
        self.asked()
        self.lab.request("DELETE", f"/v1/jobs/{job['id']}", token=job["tokens"]["delete"])
        self.refused(later.answer, 404, "not-found")

    # ---- what else ends it ----

    def test_time_runs_out(self):
        begun = time.monotonic()
        answer = self.lab.submit(headers=waits(2))  # longer than a silent connection may last
        self.assertGreater(time.monotonic() - begun, 1.9)
        self.assertEqual((answer.status, answer.json["state"]), (202, "queued"))
        self.assertEqual(answer.headers["Preference-Applied"], "wait=2")
        answer = self.look(answer.json, 1)
        self.assertEqual((answer.status, answer.json["state"]), (200, "queued"))

    def test_a_client_that_leaves_is_forgotten(self):
        job = self.lab.submit().json
        clients = [self.raw(job, 50) for _ in range(3)]
        self.asked(3)
        clients[1].close()
        self.asked(2)
        clients[0].close()
        clients[2].close()
        self.asked(0)

    def test_one_that_only_closes_its_side_is_answered_at_once(self):
        job = self.lab.submit().json
        client = self.raw(job, 50)
        self.asked()
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.read_answer(client).json["state"], "queued")

    def test_the_connection_goes_on_afterwards(self):
        job = self.lab.submit().json
        client = self.raw(job, 40)
        self.asked()
        self.hand.complete(self.hand.claim(job))
        self.assertEqual(self.read_answer(client).json["state"], "succeeded")
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.read_answer(client).status, 200)

    def test_the_end_of_the_dispatcher_ends_it(self):
        with Lab() as lab:
            job = lab.submit().json
            later = Later(lambda: lab.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"], headers=waits(50)))
            wait_until(lambda: b"darkroom_waiting_requests 1" in lab.get("/metrics").body, "one that waits")
            lab.stop("dispatcher")
            self.assertEqual(later.answer.json["state"], "queued")

    # ---- wishes ----

    def test_a_wish_is_bounded_and_one_that_cannot_be_read_is_none(self):
        job = self.lab.submit().json
        self.hand.complete(self.hand.claim(job))
        self.assertEqual(self.look(job, 600).headers["Preference-Applied"], "wait=50")
        for wish in ("wait", "wait=soon", "wait=-3", "respond-async", "wait=0"):
            answer = self.lab.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"], headers={"Prefer": wish})
            self.assertEqual((answer.status, answer.headers["Preference-Applied"]), (200, None), wish)

    def test_a_job_with_lines_of_its_own_is_shown_to_who_watches_it(self):
        """What a record brings beside the job outlives the reply that brought it."""
        first = self.lab.submit().json
        ahead = self.lab.submit().json
        job = self.lab.submit(after=[{"job": first["id"], "token": first["tokens"]["view"]}],
                              headers={"Idempotency-Key": "k" * 200, "traceparent": PARENT}).json
        stream = self.lab.events(job)
        self.assertEqual(next(stream)[2]["after"], [first["id"]])
        self.hand.complete(self.hand.claim(first))
        told = [next(stream)[2]]  # queued, behind the other
        self.lab.request("POST", f"/v1/jobs/{ahead['id']}/cancel", token=ahead["tokens"]["manage"])
        while told[-1]["position"] != 0:
            told.append(next(stream)[2])
        self.assertTrue(all(one["after"] == [first["id"]] and TRACE in one["traceparent"] for one in told), told)
        self.hand.complete(self.hand.claim(job))


class Tags(Shared):
    def again(self, target, token, etag, method="GET"):
        return self.lab.request(method, target, token=token, headers={"If-None-Match": etag})

    def test_what_did_not_change_is_304(self):
        with Hand(self.lab) as hand:
            key = self.lab.key("--scopes", "submit,read")
            picture = {"model": "test-model", "input": "data:image/png;base64," + PNG}
            batch = self.lab.request("POST", "/v1/batches", {"jobs": [picture]}, token=key["key"]).json
            job = self.lab.submit().json
            for target, token in ((f"/v1/jobs/{job['id']}", job["tokens"]["view"]),
                                  (f"/v1/batches/{batch['id']}", batch["tokens"]["view"]), ("/v1/models", None)):
                first = self.lab.get(target, token=token)
                etag = first.headers["ETag"]
                self.assertRegex(etag, r'^"[0-9a-f]{32}"$')
                for known in (etag, f'W/{etag}', f'"x", {etag}', "*"):
                    answer = self.again(target, token, known)
                    self.assertEqual((answer.status, answer.body, answer.headers["ETag"]), (304, b"", etag), target)
                self.assertEqual(self.again(target, token, '"x"').body, first.body)
                self.assertEqual(self.again(target, token, etag, "HEAD").status, 304)
            first = self.lab.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"])
            hand.complete(hand.claim(job))
            answer = self.again(f"/v1/jobs/{job['id']}", job["tokens"]["view"], first.headers["ETag"])
            self.assertEqual((answer.status, answer.json["state"]), (200, "succeeded"))
            # The result behind its link.
            link = self.lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"]).headers["Location"]
            first = self.lab.get(link)
            answer = self.again(link, None, first.headers["ETag"])
            self.assertEqual((first.status, answer.status, answer.body), (200, 304, b""))
            self.assertEqual(self.again(link, None, '"x"').body, first.body)

    def test_what_acts_is_never_304(self):
        job = self.lab.submit().json
        answer = self.lab.request("POST", f"/v1/jobs/{job['id']}/cancel", token=job["tokens"]["manage"],
                                  headers={"If-None-Match": "*"})
        self.assertEqual((answer.status, answer.json["state"]), (200, "cancelled"))


class Traces(unittest.TestCase):
    def test_a_trace_runs_from_the_submission_to_the_webhook(self):
        with Lab(dispatcher_options=["--webhook-allow", "127.0.0.1/32", "--log", "debug"]) as lab, Hand(lab) as hand:
            receiver = WebhookServer(make_certificate(lab.path))
            self.addCleanup(receiver.close)
            notifier = lab.notifier_start("--webhook-allow", "127.0.0.1/32", "--webhook-ca-file", receiver.ca_file)
            key = lab.key("--scopes", "submit,read")["key"]
            answer = lab.submit(token=key, headers={"traceparent": PARENT}, email="somebody@example.org",
                                webhook={"url": receiver.url("/jobs")})
            own = answer.headers["traceparent"]
            self.assertRegex(own, rf"^00-{TRACE}-[0-9a-f]{{16}}-01$")
            self.assertNotEqual(own, PARENT)
            self.assertEqual(answer.json["traceparent"], own)
            hand.complete(hand.claim(answer.json))
            event = receiver.wait_for(1)[0]
            self.assertRegex(event.headers["traceparent"], rf"^00-{TRACE}-[0-9a-f]{{16}}-01$")
            self.assertNotIn(event.headers["traceparent"], (own, PARENT))
            self.assertEqual(json.loads(event.body)["data"]["traceparent"], own)
            for event_name in ("webhook.sent", "mail.sent"):
                wait_until(lambda name=event_name: re.search(rf"{name}.*{TRACE}", notifier.log), event_name)
            lab.programs["dispatcher"].wait_for_log(TRACE)
            # A batch's jobs are part of it as well.
            batch = lab.request("POST", "/v1/batches", {"jobs": [{"model": "test-model", "input": PNG}]}, token=key,
                                headers={"traceparent": PARENT})
            self.assertIn(TRACE, batch.headers["traceparent"])
            self.assertIn(TRACE, lab.get(f"/v1/jobs/{batch.json['jobs'][0]['id']}", token=key).json["traceparent"])

    def test_one_that_is_not_valid_is_ignored(self):
        with Lab() as lab:
            for text in ("nonsense", PARENT.upper(), PARENT.replace("00-", "ff-", 1), PARENT + "-more",
                         f"00-{'0' * 32}-00f067aa0ba902b7-01", "x" * 4000):
                answer = lab.submit(headers={"traceparent": text})
                self.assertEqual((answer.status, answer.headers["traceparent"]), (202, None), text[:60])
                self.assertNotIn("traceparent", answer.json)


PNG = base64.b64encode(png()).decode()

if __name__ == "__main__":
    main()
