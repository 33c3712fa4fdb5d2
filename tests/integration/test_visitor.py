#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a visitor meets, end to end: the command line, the dispatcher, a worker by hand, the mail and
the links in it."""
import email
import email.policy
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, DEADLINE_S, Hand, Lab, main, manifest_of, png, wait_until  # noqa: E402

DARKROOM = BUILD / "dispatcher" / "darkroom"
PARAMS = {"type": "object", "additionalProperties": False, "properties": {
    "strength": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5}}}

SEED = {"type": "object", "additionalProperties": False, "properties": {
    "seed": {"type": "integer", "minimum": 0, "maximum": 999, "default": 0}}}


class VisitorTest(unittest.TestCase):
    def setUp(self):
        self.lab = Lab(models={
            "test-model": manifest_of("test-model", params=PARAMS),
            "digits": manifest_of("digits", input={"kind": "none"}, params=SEED)})
        self.addCleanup(lambda: self.assertEqual(self.lab.close(), []))
        self.picture = self.lab.path / "picture.png"
        self.picture.write_bytes(png(64, 64))
        self.environment = {"PATH": os.environ["PATH"], "XDG_STATE_HOME": str(self.lab.path),
                            "DARKROOM_SERVER": self.lab.url}
        self.environment.update({k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")})

    def start_cli(self, *words):
        return subprocess.Popen([DARKROOM, *map(str, words)], env=self.environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end_cli(self, child, status=0):
        out, errors = child.communicate(timeout=DEADLINE_S)
        self.assertEqual(child.returncode, status, (out, errors))
        return out + errors

    def run_cli(self, *words, status=0):
        return self.end_cli(self.start_cli(*words), status)

    def submit(self, *words, status=0, picture=None):
        return self.run_cli("submit", picture or self.picture, "--model", "test-model", *words,
                            status=status)

    def submitted_id(self):
        return json.loads(self.run_cli("list", "--json"))[0]["id"]

    def claim(self, hand):
        return wait_until(hand.claim, "a job to claim")

    def mail(self):
        path = wait_until(lambda: list(self.lab.outbox.glob("*.eml")), "a mail")[0]
        return email.message_from_bytes(path.read_bytes(), policy=email.policy.default)

    # ---- the road ----

    def test_parameters_alone_where_the_model_takes_no_picture(self):
        self.run_cli("submit", "--model", "digits", "--param", "seed=7")
        with Hand(self.lab, model="digits") as hand:
            job = self.claim(hand)
            self.assertEqual(job["spec"]["params"], {"seed": 7})
            self.assertNotIn("get", hand.grant(job))
        self.assertIn("takes no picture", self.run_cli("submit", self.picture, "--model", "digits", status=65))
        self.assertIn("input is required", self.run_cli("submit", "--model", "test-model", status=65))

    def test_the_same_key_again_is_the_same_job(self):
        first = json.loads(self.submit("--idempotency-key", "order 17", "--json"))
        again = json.loads(self.submit("--idempotency-key", "order 17", "--json"))
        self.assertEqual(first["id"], again["id"])
        self.submit("--idempotency-key", "order 17", "--param", "strength=1", status=65)

    def test_a_picture_in_a_mail_with_a_link_out(self):
        self.lab.notifier_start()
        output = self.lab.path / "result.png"
        with Hand(self.lab) as hand:
            child = self.start_cli("submit", self.picture, "--model", "test-model", "--email",
                                   "somebody@example.org", "--crop", "8,8,32,32", "--param",
                                   "strength=0.25", "-o", output)
            job = self.claim(hand)
            self.assertEqual(job["spec"]["crop"], [8, 8, 32, 32])
            self.assertEqual(job["spec"]["params"], {"strength": 0.25})
            hand.progress(job, 500)
            hand.complete(job, png(10, 10))
            self.assertIn("Ready", self.end_cli(child))
        self.assertEqual(output.read_bytes(), png(10, 10))

        mail = self.mail()
        self.assertEqual(mail["To"], "somebody@example.org")
        text = mail.get_body(("plain",)).get_content()
        view = re.search(rf"{self.lab.url}/j/(\w+)\?token=([\w-]+)", text)
        erase = re.search(rf"{self.lab.url}/j/(\w+)/delete\?token=([\w-]+)", text)
        self.assertEqual({view[1], erase[1]}, {job["public_id"]})

        # The link of the result may look and nothing else; the link to delete may only delete.
        path = f"/v1/jobs/{view[1]}"
        self.assertEqual(self.lab.get(path, token=view[2]).json["state"], "succeeded")
        self.assertEqual(self.lab.request("POST", path + "/cancel", token=view[2]).status, 403)
        self.assertEqual(self.lab.request("DELETE", path, token=view[2]).status, 403)
        self.assertEqual(self.lab.get(path, token=erase[2]).status, 403)
        link = self.lab.get(path + "/result", token=view[2])
        self.assertEqual(link.status, 302)
        self.assertEqual(self.lab.get(link.headers["Location"]).body, png(10, 10))
        self.assertEqual(self.lab.request("DELETE", path, token=erase[2]).status, 204)
        self.assertEqual(self.lab.get(path, token=view[2]).status, 404)
        self.assertIn("gone", self.run_cli("list"))

    def test_a_failure_is_told_on_the_spot_and_by_mail(self):
        self.lab.notifier_start()
        with Hand(self.lab) as hand:
            child = self.start_cli("submit", self.picture, "--model", "test-model", "--email",
                                   "somebody@example.org", "--lang", "nl", "--wait")
            hand.fail(self.claim(hand), "no-luck-today")
            self.assertIn("no-luck-today", self.end_cli(child, status=1))
        self.assertEqual(self.mail()["Subject"], "Je foto is niet gelukt")

    def test_a_job_can_be_watched_cancelled_listed_and_deleted(self):
        self.submit()
        job = self.submitted_id()
        self.assertIn("Waiting", self.run_cli("get", job[:10]))
        self.run_cli("get", job, "-o", self.lab.path / "early.png", status=75)
        watcher = self.start_cli("watch", job)
        self.assertIn("Cancelled", self.run_cli("cancel", job))
        self.assertIn("Cancelled", self.end_cli(watcher, status=2))
        self.assertIn("Cancelled", self.run_cli("cancel", job))
        self.assertRegex(self.run_cli("list"), f"{job} .*test-model .*Cancelled")
        self.assertIn("Deleted", self.run_cli("delete", job))
        self.assertIn("No jobs", self.run_cli("list"))

    def test_the_models_are_told_with_their_titles(self):
        self.assertRegex(self.run_cli("models"), r"test-model +A model for tests\. Makes nothing\.")

    def test_a_watcher_outlives_a_restart_of_the_dispatcher(self):
        child = self.start_cli("submit", self.picture, "--model", "test-model", "--wait")
        wait_until(lambda: self.lab.redis_cli("zcard", "{q:00}lease") == "0"
                   and (self.lab.path / "darkroom" / "jobs.json").exists(), "the submit")
        self.lab.stop("dispatcher")
        self.lab.dispatcher_start()
        with Hand(self.lab) as hand:
            hand.complete(self.claim(hand))
        self.assertIn("Ready", self.end_cli(child))

    # ---- bad input ----

    def test_bad_input_is_refused_in_a_line_that_names_the_member(self):
        whole = png(64, 64)
        bad = {"empty": b"", "text": b"not a picture", "cut": whole[:-20],
               "huge": whole[:16] + (65535).to_bytes(4, "big") + (65535).to_bytes(4, "big") + whole[24:]}
        for name, data in bad.items():
            path = self.lab.path / name
            path.write_bytes(data)
            said = self.run_cli("submit", path, "--model", "test-model", status=65)
            self.assertIn("input", said)
        for words, field in [
                (("--crop", "0,0,65,64"), "crop"), (("--crop", "1,2,3"), "crop"),
                (("--crop", "0,0,0,0"), "crop"), (("--email", "nobody"), "email"),
                (("--email", "a@b.example\r\nBcc: c@d.example"), "email"),
                (("--param", "strength=2"), "strength"), (("--param", "strength=big"), "strength"),
                (("--param", "unknown=1"), "unknown")]:
            said = self.submit(*words, status=65)
            self.assertIn(field, said)
            self.assertNotIn("d.example", said)
        said = self.run_cli("submit", self.picture, "--model", "no-such-model", status=65)
        self.assertIn("model", said)
        self.assertEqual(self.lab.redis_cli("xlen", "{q:00}out"), "0")

    def test_another_jobs_token_opens_nothing(self):
        self.submit()
        first = self.submitted_id()
        other = self.lab.submit().json
        manage = self.lab.path / "manage"
        manage.touch(mode=0o600)
        manage.write_text(other["tokens"]["manage"])
        self.run_cli("get", first, "--token-file", manage, status=77)
        self.run_cli("cancel", first, "--token-file", manage, status=77)
        self.run_cli("get", "00" + "ab" * 16, "--token-file", manage, status=66)

    def test_without_redis_the_server_says_when_to_come_back(self):
        self.lab.stop("redis")
        said = self.submit(status=69)
        self.assertIn("try again in", said)
        self.lab.redis_start()
        wait_until(lambda: self.lab.get("/readyz").status == 200, "the dispatcher is ready again")
        self.submit()


if __name__ == "__main__":
    main()
