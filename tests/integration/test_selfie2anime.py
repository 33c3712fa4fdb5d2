#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The routes of Selfie2Anime: what its client sends, replayed, and what it never should have done."""
import json
import pathlib
import re
import struct
import sys
import unittest
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import WEB, Hand, Lab, Shared, data_url, main, manifest_of, png, wait_until  # noqa: E402

SITE = "https://selfie2anime.example"
COMPAT = ("--web", WEB, "--compat", "selfie2anime=test-model")
JPEG = (pathlib.Path(__file__).resolve().parent.parent / "data" / "pictures" / "baseline.jpg").read_bytes()


def size_of(jpeg):
    """Width and height, from its frame header."""
    at = 2
    while jpeg[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + struct.unpack(">H", jpeg[at + 2:at + 4])[0]
    height, width = struct.unpack(">HH", jpeg[at + 5:at + 9])
    return width, height


class Selfies(Shared):
    options = (*COMPAT, "--submits-per-minute", "0")

    def setUp(self):
        self.hand = Hand(self.lab)
        self.addCleanup(self.hand.__exit__)
        self.width, self.height = size_of(JPEG)

    def body(self, **members):
        return {"email": "somebody@example.org", "photo": data_url(JPEG, "image/jpeg"),
                "crop": {"x": 0, "y": 0, "width": self.width, "height": self.height}, **members}

    def post(self, body, kind="application/json;charset=UTF-8", **headers):
        """As a browser sends it for a page of another site."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.lab.request("POST", "/analysis/selfie", body, {
            "Origin": SITE, "Content-Type": kind, "Accept": "application/json, text/plain, */*",
            "Sec-Fetch-Site": "cross-site", **headers})

    def page(self, target, **headers):
        return self.lab.get(target, headers={"Accept": "text/html", **headers})

    def submitted(self, **members):
        """The file's id, which the original's answer did not tell."""
        answer = self.post(self.body(**members))
        self.assertEqual((answer.status, answer.body), (200, b""), answer)
        return urllib.parse.parse_qs(urllib.parse.urlsplit(answer.headers["Location"]).query)["uuid"][0]

    def claim(self, file):
        return self.hand.claim({"id": file[:34]})

    # ---- what its client does ----

    def test_a_selfie_goes_in_as_the_original_client_sends_it(self):
        answer = self.post(self.body(crop={"x": 1, "y": 2, "width": 8, "height": 8}))
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
        self.assertIsNone(answer.headers["Access-Control-Allow-Credentials"])
        uuid = answer.headers["Location"].split("uuid=")[1]
        self.assertEqual(self.claim(uuid)["spec"]["crop"], [1, 2, 8, 8])

    def test_a_body_without_a_preflight_is_taken_too(self):
        self.assertEqual(self.post(self.body(), kind="text/plain;charset=UTF-8").status, 200)

    def test_a_preflight_is_granted_to_every_origin(self):
        answer = self.lab.request("OPTIONS", "/analysis/selfie", headers={
            "Origin": SITE, "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type"})
        self.assertEqual(answer.status, 204)
        self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
        self.assertIn("POST", answer.headers["Access-Control-Allow-Methods"])
        self.assertIn("content-type", answer.headers["Access-Control-Allow-Headers"].lower())

    def test_a_crop_that_was_rounded_over_the_edge_is_taken(self):
        file = self.submitted(crop={"x": 1, "y": 1, "width": self.width, "height": self.height - 1})
        self.assertEqual(self.claim(file)["spec"]["crop"], [1, 1, self.width - 1, self.height - 1])

    def test_the_count_is_a_true_number(self):
        def count():
            answer = self.lab.get("/analysis/count", headers={"Origin": SITE})
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
            self.assertEqual(list(answer.json), ["count"])
            return answer.json["count"]
        before = count()
        self.submitted()
        wait_until(lambda: count() > before, "a count that is one more")

    def test_the_viewer_waits_and_then_shows_the_picture(self):
        file = self.submitted()
        page = self.page(f"/analysis/me?uuid={file}")
        self.assertEqual((page.status, page.headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertIn(b'http-equiv="refresh"', page.body)
        self.assertNotIn(b"og:image", page.body)
        self.hand.complete(self.claim(file))
        for name in (file, file + ".jpg"):
            text = self.page(f"/analysis/me?uuid={name}").body.decode()
            image = re.search(r'property="og:image" content="([^"]+)"', text)[1]
            self.assertTrue(image.endswith(f"/outgoing/{file}.jpg"), image)
            self.assertIn(f'property="og:url" content="{self.lab.url}/analysis/me?uuid={file}"', text)
        jpeg = self.lab.get(self.lab.get(image).headers["Location"])
        self.assertEqual((jpeg.status, jpeg.headers["Content-Type"]), (200, "image/jpeg"))
        self.assertEqual(size_of(jpeg.body), (8, 8))

    def test_a_picture_that_failed_says_so(self):
        file = self.submitted()
        self.hand.fail(self.claim(file))
        page = self.page(f"/analysis/me?uuid={file}")
        self.assertEqual(page.status, 200)
        self.assertNotIn(b'http-equiv="refresh"', page.body)

    def test_delete_takes_everything_away(self):
        job = self.lab.submit().json  # for its tokens, which a mail would have
        share = self.shared(job)
        self.hand.complete(self.hand.claim(job))
        wrong = self.page(f"/analysis/delete?uuid={share}.jpg&key={job['tokens']['manage']}")
        self.assertEqual(wrong.status, 403)
        target = f"/analysis/delete?uuid={share}.jpg&key={job['tokens']['delete']}"
        self.assertEqual(self.page(target, **{"Sec-Purpose": "prefetch"}).status, 409)
        self.assertEqual(self.lab.request("HEAD", target).status, 409)
        self.assertEqual(self.lab.job(job)["state"], "succeeded")
        deleted = self.page(target)
        self.assertEqual(deleted.status, 200)
        self.assertIn(b'content="7; url=/"', deleted.body)
        self.assertEqual(self.page(target).status, 404)
        self.assertEqual(self.page(f"/analysis/me?uuid={share}").status, 404)
        self.assertEqual(self.lab.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"]).status, 404)

    def shared(self, job):
        """A file's id for a job of ours: its view token may do what a share token may."""
        return job["id"] + job["tokens"]["view"]

    # ---- what the original got wrong ----

    def test_bad_input_is_refused_with_a_reason_that_the_page_can_read(self):
        whole, before = self.body(), set(self.lab.stored("inputs/"))
        for body, status, field in [
                (b"{", 400, None), (b"", 400, None), (b"[]", 422, None), (b"null", 400, None),
                ({**whole, "email": "nobody"}, 422, "email"), ({**whole, "email": ""}, 422, "email"),
                ({**whole, "email": 7}, 422, "email"),
                ({**whole, "email": "a@b.example\r\nBcc: c@d.example"}, 422, "email"),
                ({k: v for k, v in whole.items() if k != "email"}, 422, "email"),
                ({k: v for k, v in whole.items() if k != "crop"}, 422, "crop"),
                ({k: v for k, v in whole.items() if k != "photo"}, 422, "photo"),
                ({**whole, "photo": "data:image/jpeg;base64,AAAA"}, 422, "photo"),
                ({**whole, "photo": "nothing"}, 422, "photo"), ({**whole, "photo": {"job": "x"}}, 422, "photo"),
                ({**whole, "photo": "data:image/jpeg,raw"}, 422, "photo"),
                ({**whole, "photo": data_url(JPEG[:200], "image/jpeg")}, 422, "photo"),
                ({**whole, "crop": {"x": -1, "y": 0, "width": 9, "height": 9}}, 422, "crop.x"),
                ({**whole, "crop": {"x": 0, "y": 0, "width": 0, "height": 9}}, 422, "crop.width"),
                ({**whole, "crop": {"x": 0, "y": 0, "width": 99999, "height": 9}}, 422, None),
                ({**whole, "crop": {"x": 0, "y": 0, "width": self.width + 3, "height": 9}}, 422, "crop"),
                ({**whole, "crop": {"x": 0.5, "y": 0, "width": 9, "height": 9}}, 422, "crop.x"),
                ({**whole, "crop": [0, 0, 9, 9]}, 422, "crop"),
                ({**whole, "model": "test-model"}, 422, "model"), ({**whole, "webhook": {"url": "https://x"}}, 422, "webhook")]:
            answer = self.post(body)
            self.assertEqual(answer.status, status, (str(body)[:200], answer))
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "*")
            if field:
                self.assertEqual(answer.problem.get("field"), field, answer)
        wait_until(lambda: not set(self.lab.stored("inputs/")) - before, "no input left behind")

    def test_a_picture_with_alpha_is_taken(self):
        pictures = pathlib.Path(__file__).resolve().parent.parent / "data" / "pictures"
        alpha = (pictures / "rgba8.png").read_bytes()
        self.assertEqual(self.post(self.body(photo=data_url(alpha), crop={"x": 0, "y": 0, "width": 4, "height": 4}))
                         .status, 200)

    def test_what_is_no_id_is_404_and_never_repeated_unescaped(self):
        job = self.lab.submit().json
        share = self.shared(job)
        wrong = ["x", share[:34], share[:-1], share[:-1] + ("A" if share[-1] != "A" else "B"), "0" * 56, share + "x",
                 "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', share + '"><script>', "../../etc/passwd",
                 "%00", "a" * 5000, share + ".png"]
        for text in wrong:
            for target in ("/analysis/me?uuid=", "/analysis/delete?key=x&uuid="):
                quoted = text if text == "%00" else urllib.parse.quote(text)
                page = self.page(target + quoted)
                self.assertIn(page.status, (400, 404), (text[:80], page))
                self.assertNotIn(b"<script>alert", page.body)
                self.assertNotIn(b"<img src=x", page.body)
            if "/" not in text:
                self.assertIn(self.lab.get("/outgoing/" + urllib.parse.quote(text)).status, (400, 404))
        for target in ("/analysis/me", "/analysis/me?uuid=", "/analysis/delete", f"/analysis/delete?uuid={share}"):
            self.assertEqual(self.page(target).status, 400, target)

    def test_other_methods_are_405(self):
        self.assertEqual(self.lab.get("/analysis/selfie").status, 405)
        self.assertEqual(self.lab.request("POST", "/analysis/count", {}).status, 405)

    def test_a_key_counts_for_nothing_here(self):
        key = self.lab.key("--scopes", "submit,read")["key"]
        answer = self.lab.request("POST", "/analysis/selfie", self.body(), token=key)
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.lab.get("/v1/jobs", token=key).json["jobs"], [])


class Switches(unittest.TestCase):
    def test_without_the_option_there_are_no_such_routes(self):
        with Lab() as lab:
            self.assertEqual(lab.get("/analysis/count").status, 404)
            self.assertEqual(lab.request("POST", "/analysis/selfie", {}).status, 404)

    def test_its_rate_is_limited_as_any_submission(self):
        with Lab(dispatcher_options=[*COMPAT, "--submits-per-minute", "1", "--submits-burst", "1"]) as lab:
            body = {"email": "a@b.example", "photo": data_url(png(64, 64)), "crop": {"x": 0, "y": 0, "width": 9, "height": 9}}
            answers = [lab.request("POST", "/analysis/selfie", body) for _ in range(2)]
            self.assertEqual([answer.status for answer in answers], [200, 429])
            self.assertEqual(answers[1].headers["Access-Control-Allow-Origin"], "*")
            self.assertTrue(answers[1].headers["Retry-After"])

    def test_a_wrong_option_stops_the_start(self):
        models = {"test-model": manifest_of("test-model"), "seeds": manifest_of("seeds", input={"kind": "none"})}
        with Lab(models=models, dispatcher=False) as lab:
            for option in ("selfie2anime", "selfie2anime=unknown", "selfie2anime=seeds", "other=test-model"):
                with self.assertRaisesRegex(AssertionError, "compat"):
                    lab.dispatcher_start("--web", WEB, "--compat", option, name=f"dispatcher-{option}")
                lab.programs.pop(f"dispatcher-{option}").log_file.close()
            with self.assertRaisesRegex(AssertionError, "compat"):
                lab.dispatcher_start("--compat", "selfie2anime=test-model", name="dispatcher-bare")
            lab.programs.pop("dispatcher-bare").log_file.close()


if __name__ == "__main__":
    main()
