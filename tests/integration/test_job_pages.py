#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The page of a job and its forms, as a browser without scripts uses them."""
import datetime
import html
import pathlib
import re
import sys
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import WEB, Hand, Lab, Shared, main, manifest_of, multipart, png, wait_until  # noqa: E402

PARAMS = {"type": "object", "properties": {"seed": {"type": "integer", "title": "Seed <b>", "minimum": 0, "maximum": 99,
                                                    "default": 7}}, "additionalProperties": False}
MODELS = {"test-model": manifest_of("test-model", title="A <model>", retention={"crop": True}, params=PARAMS),
          "seer": manifest_of("seer", output={"kind": "image", "content_type": "image/png", "heat_map": True}),
          "bare": manifest_of("bare"), "idle": manifest_of("idle")}
BROWSER = {"Accept": "text/html,*/*;q=0.8", "Accept-Language": "en"}


def page_of(lab, job, token="view", headers=None, path="", method="GET", query=""):
    token = job["tokens"].get(token, token)
    target = f"/j/{job['id']}{path}?" + (f"token={token}&" if token else "") + query
    return lab.request(method, target, headers={**BROWSER, **(headers or {})})


def text_of(answer):
    """What a person reads, without scripts and styles."""
    body = re.sub(r"<(script|style|head).*?</\1>", " ", answer.body.decode(), flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def cookies_of(job):
    return {"Cookie": f"manage={job['tokens']['manage']}; delete={job['tokens']['delete']}"}


class Pages(Shared):
    options = ("--web", str(WEB))
    models = MODELS

    def setUp(self):
        self.job = self.lab.submit(params={"seed": 42}).json

    def finish(self, job=None, crop=True):
        job = job or self.job
        with Hand(self.lab, model=job["model"]) as hand:
            claimed = hand.claim(job)
            grant = hand.grant(claimed)
            if crop and "put_crop" in grant:
                self.lab.request("PUT", grant["put_crop"], png(8, 8, (1, 2, 3)), {"Content-Type": "image/png"})
            if "put_heat_map" in grant:
                self.lab.request("PUT", grant["put_heat_map"], png(8, 8, (9, 2, 3)), {"Content-Type": "image/png"})
            self.assertEqual(hand.complete(claimed), "verdict 1")

    def says(self, answer, *texts, status=200):
        self.assertEqual(answer.status, status, answer)
        self.assertTrue(answer.headers["Content-Type"].startswith("text/html"), answer.headers)
        self.assertNotIn("<b>", answer.body.decode())
        for text in texts:
            self.assertIn(text, text_of(answer))

    def seen(self, *texts, **more):
        answer = page_of(self.lab, self.job, **more)
        self.says(answer, *texts)
        return answer

    # ---- in each state ----

    def test_a_job_that_waits_tells_its_place_and_when(self):
        for other in ("first", "second"):
            self.assertEqual(self.lab.submit(params={"seed": 1}).status, 202, other)
        last = self.lab.submit().json
        answer = page_of(self.lab, last)
        self.says(answer, "on its way", f"Pictures before yours: {self.lab.job(last)['position']}",
                  "You may close this page and come back", "A <model>")
        self.assertIn('<noscript><meta http-equiv="refresh" content="10"></noscript>', answer.body.decode())
        with Hand(self.lab):
            self.says(page_of(self.lab, last), "Ready in about")

    def test_nobody_at_work_is_said_so(self):
        bare = self.lab.submit(model="idle").json
        self.says(page_of(self.lab, bare), "nobody is working on such pictures")

    def test_a_job_that_runs_shows_its_progress(self):
        with Hand(self.lab) as hand:
            claimed = hand.claim(self.job)
            self.seen("being made now")
            hand.progress(claimed, 420)
            answer = self.seen("Done: 42 %")
            self.assertIn('value="42"', answer.body.decode())
            hand.complete(claimed)

    def test_a_delayed_job_says_for_what_it_waits(self):
        with Hand(self.lab) as hand:
            hand.retry(hand.claim(self.job))
            self.seen("We try again by ourselves", "Tries so far: 1")
        tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
        later = self.lab.submit(run_at=tomorrow.strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.says(page_of(self.lab, later.json), "the time that was asked for", "UTC")
        parent = self.lab.submit().json
        child = self.lab.submit(after=[{"job": parent["id"], "token": parent["tokens"]["view"]}]).json
        self.says(page_of(self.lab, child), "waits for other pictures")

    def test_a_job_that_failed_says_why_in_plain_words(self):
        with Hand(self.lab) as hand:
            hand.fail(hand.claim(self.job), "broken<script>alert(1)</script>")
        answer = self.seen("could not be made", "broken")
        self.assertNotIn(b"<script>alert", answer.body)
        self.assertNotIn(b"http-equiv", answer.body)

    def test_a_cancelled_job_says_so(self):
        self.lab.request("POST", f"/v1/jobs/{self.job['id']}/cancel", token=self.job["tokens"]["manage"])
        self.seen("This picture was cancelled")

    def test_every_language_has_its_words(self):
        for language, words in {"nl": "onderweg", "ru": "в работе", "zh": "正在制作"}.items():
            self.seen(words, headers={"Accept-Language": language})
        self.finish()
        for language, words in {"nl": "klaar", "ru": "готов", "zh": "完成了"}.items():
            self.seen(words, headers={"Accept-Language": language})

    # ---- the result ----

    def links(self, answer, pattern):
        return [html.unescape(link) for link in re.findall(r'(?:href|src|content|value)="([^"]*)"', answer.body.decode())
                if re.search(pattern, html.unescape(link))]

    def test_a_result_has_before_and_after_and_every_format(self):
        self.finish()
        answer = self.seen("Your picture is ready", "Kept until", "Seed <b> 42")
        self.assertIn("Seed &lt;b&gt;", answer.body.decode())
        crop, = self.links(answer, "/crop")
        self.assertEqual(self.lab.get(self.lab.get(crop).headers["Location"]).body, png(8, 8, (1, 2, 3)))
        formats = self.links(answer, r"^/v1/jobs/.*format=")
        self.assertEqual([self.lab.get(link).headers["Content-Type"] for link in formats],
                         ["image/png", "image/jpeg", "image/webp"])
        again, = self.links(answer, "again=")
        parsed = urllib.parse.urlsplit(again)
        query = urllib.parse.parse_qs(parsed.query)
        self.assertEqual(parsed.path, "/m/test-model")
        self.assertEqual(query, {"again": [self.job["id"]], "token": [self.job["tokens"]["view"]], "p": ['{"seed":42}']})

    def test_once_more_with_other_settings_needs_no_picture(self):
        self.finish()
        again, = self.links(self.seen(), "again=")
        page = self.lab.get(again, headers=BROWSER)
        self.says(page, "A <model>")
        body = page.body.decode()
        self.assertIn('name="param.seed"', body)
        self.assertRegex(body, r'name="param.seed"[^>]*value="42"')
        self.assertNotIn('type="file"', body)
        hidden = dict(re.findall(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)"', body))
        self.assertEqual(hidden["crop_of"], self.job["id"])
        crop, = self.links(page, "^/v1/.*/crop")
        self.assertEqual(self.lab.get(crop).status, 302)
        parts = [*hidden.items(), ("consent", "yes"), ("param.seed", "43")]
        kind, form = multipart(parts)
        answer = self.lab.request("POST", "/m/test-model", form, {**BROWSER, "Content-Type": kind})
        self.assertEqual(answer.status, 303, answer)
        new = re.match(r"/j/([0-9a-f]{34})\?token=", answer.headers["Location"]).group(1)
        stored, = self.lab.stored(f"inputs/{new}")
        self.assertEqual(stored.read_bytes(), png(8, 8, (1, 2, 3)))
        with Hand(self.lab) as hand:
            spec = hand.claim({"id": new})["spec"]
        self.assertEqual((spec["params"], spec["crop"]), ({"seed": 43}, None))
        # What was forgotten is asked for without the picture being lost.
        kind, form = multipart([*hidden.items(), ("param.seed", "44")])
        asked = self.lab.request("POST", "/m/test-model", form, {**BROWSER, "Content-Type": kind})
        self.assertEqual(asked.status, 422, asked)
        self.assertIn(f'name="crop_of" value="{self.job["id"]}"', asked.body.decode())

    def test_a_link_for_once_more_that_is_nonsense_is_the_usual_page(self):
        self.finish()
        view = self.job["tokens"]["view"]
        for query in ("again=x&token=y", f"again={self.job['id']}", f"again={self.job['id']}&token=x",
                      f"again={'0' * 34}&token={view}", "p=%7B", "p=[1]", "p=%7B%22seed%22:%22%3Cscript%3E%22%7D", "p=" + "x" * 2000,
                      "p=%7B%22other%22:1%7D"):
            answer = self.lab.get(f"/m/test-model?{query}", headers=BROWSER)
            self.says(answer, "A <model>")
            self.assertIn('type="file"', answer.body.decode())
            self.assertNotIn("<script>", answer.body.decode())

    def test_a_model_that_keeps_no_crop_shows_the_result_alone(self):
        self.job = self.lab.submit(model="bare").json
        self.finish()
        answer = self.seen("Your picture is ready")
        self.assertEqual(self.links(answer, "/crop"), [])
        self.assertEqual(self.links(answer, "again="), [])
        self.assertEqual(self.links(answer, "^/m/bare"), ["/m/bare"])  # there is nothing to be set otherwise

    def test_where_the_network_looked_is_shown_of_a_model_that_tells(self):
        self.job = self.lab.submit(model="seer").json
        target = f"/v1/jobs/{self.job['id']}/heat-map"
        self.refused(self.lab.get(target, token=self.job["tokens"]["view"]), 409, "conflict")
        self.finish()
        heat_map, = self.links(self.seen("Your picture is ready", "Where the network looked"), "/heat-map")
        self.assertEqual(self.lab.get(self.lab.get(heat_map).headers["Location"]).body, png(8, 8, (9, 2, 3)))
        self.assertEqual(self.lab.get(target).status, 401)
        folder = self.lab.objects / "results" / self.job["id"]
        self.assertTrue((folder / "1" / "heat-map.png").exists())
        self.assertEqual(self.lab.request("DELETE", f"/v1/jobs/{self.job['id']}",
                                          token=self.job["tokens"]["delete"]).status, 204)
        wait_until(lambda: not list(folder.rglob("*.png")), "heat map and result are gone")
        self.job = self.lab.submit().json
        self.finish()
        self.refused(self.lab.get(f"/v1/jobs/{self.job['id']}/heat-map", token=self.job["tokens"]["view"]), 404,
                     "not-found", says="no heat maps")
        self.assertEqual(self.links(self.seen(), "/heat-map"), [])

    def test_a_shared_link_shows_the_result_and_gives_no_other_right(self):
        self.finish()
        share = self.links(self.seen(), r"/j/.*token=")
        mine = self.job["tokens"]["view"]
        link = next(link for link in share if mine not in link and link.startswith("http"))
        token = urllib.parse.parse_qs(urllib.parse.urlsplit(link).query)["token"][0]
        self.assertNotIn(token, self.job["tokens"].values())
        answer = self.seen("Somebody has shared this picture", token=token)
        body = answer.body.decode()
        for secret in (*self.job["tokens"].values(), "/crop", "again=", "/rating", "/cancel", "/delete", "<dd>42"):
            self.assertNotIn(secret, body)
        picture, = self.links(answer, "^http.*format=jpeg")
        self.assertEqual(self.lab.get(picture).status, 200)
        job = f"/v1/jobs/{self.job['id']}"
        for method, target in (("GET", job), ("GET", job + "/crop"), ("GET", job + "/events"), ("DELETE", job),
                               ("POST", job + "/cancel"), ("PUT", job + "/rating")):
            body = {"rating": "up"} if method == "PUT" else None
            self.refused(self.lab.request(method, target, body, token=token), 403, "forbidden")
        for path, method in (("/delete", "GET"), ("/delete", "POST"), ("/cancel", "POST"), ("/rating", "POST")):
            self.assertEqual(page_of(self.lab, self.job, token=token, path=path, method=method).status, 403, path)
        self.refused(self.lab.submit(input={"crop_of": self.job["id"], "token": token}), 403, "forbidden")

    def test_crawlers_find_title_and_picture_that_they_may_fetch(self):
        self.finish()
        body = self.seen().body.decode()
        tags = dict(re.findall(r'<meta property="(og:[a-z:_]+)" content="([^"]*)"', body))
        picture = html.unescape(tags["og:image"])
        self.assertEqual(self.lab.get(picture).headers["Content-Type"], "image/jpeg")
        self.assertIn("noindex", self.lab.get(picture).headers["X-Robots-Tag"])
        self.assertTrue(tags["og:url"].startswith(self.lab.url + "/j/"))
        for secret in self.job["tokens"].values():
            self.assertNotIn(secret, tags["og:url"] + tags["og:image"])
        self.assertIn('<meta name="robots" content="noindex">', body)

    def test_nothing_is_shared_before_there_is_something(self):
        self.finish()
        token = re.search(r"/j/[0-9a-f]+\?token=([\w-]{22})", self.links(self.seen(), "^http.*/j/")[0]).group(1)
        self.assertNotEqual(token, self.job["tokens"]["view"])
        waiting = self.lab.submit().json
        self.assertEqual(page_of(self.lab, waiting, token=token).status, 403)

    # ---- forms ----

    def test_a_cancel_by_form_needs_the_cookie(self):
        self.assertNotIn("may_cancel", self.seen().body.decode())
        self.assertRegex(self.seen().body.decode(), r'id="cancel" hidden')
        self.assertNotRegex(self.seen(headers=cookies_of(self.job)).body.decode(), r'id="cancel" hidden')
        self.assertEqual(page_of(self.lab, self.job, path="/cancel", method="POST").status, 403)
        answer = page_of(self.lab, self.job, path="/cancel", method="POST", headers=cookies_of(self.job))
        self.assertEqual(answer.status, 303, answer)
        self.assertEqual(answer.headers["Location"], f"/j/{self.job['id']}?token={self.job['tokens']['view']}")
        self.seen("This picture was cancelled")
        again = page_of(self.lab, self.job, path="/cancel", method="POST", headers=cookies_of(self.job))
        self.assertEqual(again.status, 303)

    def test_a_form_of_another_site_does_nothing(self):
        foreign = ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"},
                   {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, {"Origin": "null"})
        for headers in foreign:
            for path in ("/cancel", "/delete"):
                answer = page_of(self.lab, self.job, path=path, method="POST", headers={**cookies_of(self.job), **headers})
                self.assertEqual(answer.status, 403, headers)
        self.assertEqual(self.lab.job(self.job)["state"], "queued")
        own = {"Origin": self.lab.url, "Sec-Fetch-Site": "same-origin"}
        self.assertEqual(page_of(self.lab, self.job, path="/cancel", method="POST",
                                 headers={**cookies_of(self.job), **own}).status, 303)

    def test_a_rating_by_form_is_kept_and_taken_back(self):
        self.finish()
        for value, rating in (("up", "up"), ("down", "down"), ("none", None)):
            answer = page_of(self.lab, self.job, path="/rating", method="POST", query=f"value={value}")
            self.assertEqual(answer.status, 303, answer)
            self.assertEqual(self.lab.job(self.job).get("rating"), rating)
            pressed = self.seen().body.decode().count('aria-pressed="true"')
            self.assertEqual(pressed, 1 if rating else 0)
        for value in ("", "sideways", "u", "%00", "<b>"):
            answer = page_of(self.lab, self.job, path="/rating", method="POST", query=f"value={value}")
            self.assertEqual(answer.status, 422, answer)

    def test_deleting_asks_first_and_leaves_nothing(self):
        self.finish()
        ask = page_of(self.lab, self.job, token="delete", path="/delete")
        self.says(ask, "Delete this picture?", "cannot be undone")
        self.assertEqual(self.lab.job(self.job)["state"], "succeeded")
        action, = re.findall(r'<form method="post" action="([^"]*)"', ask.body.decode())
        done = self.lab.request("POST", html.unescape(action), headers=BROWSER)
        self.says(done, "Nothing of it is left here")
        dropped = done.headers.get_all("Set-Cookie")
        self.assertEqual({line.split("=")[0] for line in dropped}, {"manage", "delete"})
        self.assertTrue(all("Max-Age=0" in line and f"Path=/j/{self.job['id']}" in line for line in dropped), dropped)
        self.says(self.lab.request("POST", html.unescape(action), headers=BROWSER), "There is nothing left", status=404)
        self.says(page_of(self.lab, self.job), "There is nothing here", status=404)
        self.says(page_of(self.lab, self.job, token="delete", path="/delete"), "There is nothing here", status=404)
        self.lab.trash_due()
        wait_until(lambda: not self.lab.stored(self.job["id"]), "its objects are gone")

    def test_nothing_in_redis_names_a_deleted_job(self):
        self.finish()
        page_of(self.lab, self.job, path="/rating", method="POST", query="value=up")
        page_of(self.lab, self.job, token="delete", path="/delete", method="POST")
        self.lab.trash_due()
        small = self.job["id"][2:14]

        def left():
            script = ("local found = {} for _, key in ipairs(redis.call('KEYS', '*')) do "
                      "if string.find(key, ARGV[1], 1, true) then found[#found + 1] = key "
                      "elseif string.sub(key, -2) ~= 'ev' and string.find(redis.call('DUMP', key), ARGV[1], 1, true) then "
                      "found[#found + 1] = key end end return found")
            # The events age out; a worker's last claim is forgotten with the worker.
            return [key for key in self.lab.redis_cli("eval", script, 0, small).split() if "nonce:" not in key]
        wait_until(lambda: not left(), "no key holds it")

    def test_deleting_by_cookie_works_and_by_other_tokens_does_not(self):
        for token in ("view", "manage", "x", ""):
            for method in ("GET", "POST"):
                answer = page_of(self.lab, self.job, token=token, path="/delete", method=method)
                self.assertIn(answer.status, (401, 403), (token, method))
        self.says(page_of(self.lab, self.job, token="", path="/delete", headers=cookies_of(self.job)), "Delete this picture?")
        done = page_of(self.lab, self.job, token="", path="/delete", method="POST", headers=cookies_of(self.job))
        self.says(done, "Nothing of it is left here")

    # ---- bad links ----

    def test_a_link_that_opens_nothing_is_a_kind_page(self):
        self.says(page_of(self.lab, self.job, token="x"), "This link does not open this page", status=403)
        self.says(page_of(self.lab, self.job, token=""), "This link does not open this page", status=401)
        self.says(page_of(self.lab, {"id": "0" * 34, "tokens": {}}, token="x"), "There is nothing here", status=404)
        for path in ("/j/", "/j/1", "/j/" + "f" * 34, "/j/" + "0" * 33 + "g", "/j/%3Cscript%3E", "/j/" + "0" * 2000):
            answer = self.lab.get(path, headers=BROWSER)
            self.assertEqual(answer.status, 404, path)
            self.assertNotIn(b"<script>", answer.body.replace(b'<script type="module"', b""))
        for token in ("%00", "<script>", "a" * 5000, "%22onload=", "%0d%0aSet-Cookie:x=1"):
            answer = page_of(self.lab, self.job, token=token)
            self.assertIn(answer.status, (400, 403, 414), token)
            self.assertIsNone(answer.headers.get("Set-Cookie"))

    def test_without_redis_the_page_says_so(self):
        with Lab(models=MODELS, dispatcher_options=self.options) as lab:
            job = lab.submit().json
            lab.stop("redis")
            answer = wait_until(lambda: (lambda a: a if a.status == 503 else None)(page_of(lab, job)), "a 503")
            self.says(answer, "not available right now", status=503)
            lab.redis_start()


class Mail(unittest.TestCase):
    def test_the_page_says_what_became_of_the_mail(self):
        with Lab(models=MODELS, dispatcher_options=("--web", str(WEB))) as lab, Hand(lab) as hand:
            job = lab.submit(email="visitor@example.org").json
            self.assertIn("We'll e-mail you", text_of(page_of(lab, job)))
            self.assertNotIn("visitor@", page_of(lab, job).body.decode())
            lab.redis_cli("set", "{k}mailhold", "quota", "px", 60000)
            wait_until(lambda: "may send no e-mails" in text_of(page_of(lab, job)), "the page says that mails wait")
            lab.redis_cli("del", "{k}mailhold")
            wait_until(lambda: "We'll e-mail you" in text_of(page_of(lab, job)), "they wait no more")
            lab.notifier_start()
            hand.complete(hand.claim(job))
            wait_until(lambda: lab.job(job)["notification"]["email"] == "sent", "the mail is out")
            self.assertNotIn("visitor@", page_of(lab, job).body.decode())


if __name__ == "__main__":
    main()
