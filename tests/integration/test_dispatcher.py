#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The dispatcher over HTTP: what it accepts, and what it refuses and how."""
import base64
import json
import pathlib
import socket
import struct
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import ROOT, WEB, Lab, Shared, data_url, main, manifest_of, multipart, png, wait_until  # noqa: E402

UNKNOWN_ID = "00" + "ab" * 16
PARAMS = {"type": "object", "additionalProperties": False, "properties": {
    "strength": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5},
    "paper": {"type": "string", "enum": ["white", "cream"], "default": "white"}}}


def header_of_png(width, height):
    """A PNG that claims a size and ends properly, without the pixels."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b""))


def raw(lab, text, enough):
    """Sends bytes as they are and gives what comes back until it is enough, or the end."""
    answer = b""
    with socket.create_connection(("127.0.0.1", lab.port), timeout=30) as connection:
        try:
            connection.sendall(text)
            while not enough(answer) and (piece := connection.recv(65536)):
                answer += piece
        except ConnectionError:
            pass  # refused before all was sent
    return answer


class Submit(Shared):
    def test_json_with_a_data_url_is_accepted(self):
        answer = self.lab.submit(png(), email="somebody@example.org",
                                 crop={"x": 1, "y": 2, "width": 8, "height": 8})
        job = answer.json
        self.assertEqual(answer.status, 202)
        self.assertRegex(job["id"], r"^00[0-9a-f]{32}$")
        self.assertEqual(answer.headers["Location"], f"{self.lab.url}/v1/jobs/{job['id']}")
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertEqual((job["model"], job["state"], job["progress"]), ("test-model", "queued", 0))
        self.assertEqual(set(job["tokens"]), {"view", "manage", "delete"})
        self.assertIsInstance(job["position"], int)
        self.assertIsNone(job["error"])
        self.assertIsNone(job["result"])
        self.assertIn(job["tokens"]["view"], job["links"]["page"])
        stored = self.lab.stored(job["id"])
        self.assertEqual(stored[0].read_bytes()[:8], b"\x89PNG\r\n\x1a\n")

    def test_plain_base64_is_accepted(self):
        answer = self.lab.submit(input=base64.b64encode(png()).decode())
        self.assertEqual(answer.status, 202, answer)

    def test_a_form_is_accepted(self):
        for crop in ("1,2,8,8", '{"x":1,"y":2,"width":8,"height":8}', ""):
            answer = self.lab.submit_form([("model", "test-model"), ("crop", crop), ("params", "{}"),
                                           ("email", "somebody@example.org"), ("input", png(), "a.png")])
            self.assertEqual(answer.status, 202, answer)

    def test_a_chunked_body_is_accepted(self):
        body = json.dumps({"model": "test-model", "input": data_url(png())}).encode()
        answer = self.lab.request("POST", "/v1/jobs", iter([body[:10], body[10:]]),
                                  {"Content-Type": "application/json"})
        self.assertEqual(answer.status, 202, answer)

    def test_the_job_can_be_looked_at(self):
        job = self.lab.submit().json
        answer = self.lab.get(f"/v1/jobs/{job['id']}", token=job["tokens"]["view"])
        self.assertEqual(answer.status, 200)
        self.assertNotIn("tokens", answer.json)
        self.assertEqual(answer.json["state"], "queued")
        self.assertEqual(self.lab.get(f"/v1/jobs/{job['id']}?token={job['tokens']['manage']}").status, 200)

    def test_what_redis_keeps_does_not_show_the_address(self):
        self.lab.submit(email="very.visible@example.org")
        aof = b"".join(p.read_bytes() for p in (self.lab.path / "redis").rglob("*") if p.is_file())
        self.assertIn(b"test-model", aof)
        self.assertNotIn(b"visible", aof)
        self.assertNotIn("visible", self.lab.programs["dispatcher"].log)


class BadPictures(Shared):
    def both_ways(self, picture):
        yield self.lab.submit(picture)
        yield self.lab.submit_form([("model", "test-model"), ("input", picture, "x.png")])

    def tearDown(self):
        self.nothing_stored()

    def test_no_picture(self):
        for answer in self.both_ways(b"%PDF-1.4 this is no picture at all, whatever it is called"):
            self.refused(answer, 422, "invalid", "input")

    def test_zero_bytes(self):
        for answer in self.both_ways(b""):
            self.refused(answer, 422, "invalid", "input")

    def test_a_truncated_picture(self):
        whole = png(64, 64)
        for size in (9, 40, len(whole) - 20, len(whole) - 1):
            for answer in self.both_ways(whole[:size]):
                self.refused(answer, 422, "invalid", "input")

    def test_a_hundred_megapixels_by_the_header(self):
        for answer in self.both_ways(header_of_png(10000, 10001)):
            self.refused(answer, 422, "invalid", "input", 50000000, "megapixels")

    def test_a_side_too_long(self):
        for answer in self.both_ways(header_of_png(20000, 10)):
            self.refused(answer, 422, "invalid", "input", 16384)

    def test_a_picture_with_more_bytes_than_the_model_takes(self):
        with Lab(models={"small": manifest_of("small", input={
                "kind": "image", "max_bytes": 2000, "max_megapixels": 1, "size": 64})}) as lab:
            picture = png() + b"\0" * 2000
            self.refused(lab.submit(picture, "small"), 422, "invalid", "input", 2000)

    def test_input_that_is_no_base64(self):
        for text in ("data:image/png;base64,***", "data:image/png,abc", "not base64!", "data:"):
            self.refused(self.lab.submit(input=text), 422, "invalid", "input")

    def test_a_crop_outside_the_picture(self):
        crop = {"x": 10, "y": 0, "width": 8, "height": 8}
        self.refused(self.lab.submit(crop=crop), 422, "invalid", "crop", 16)
        crop = {"x": 0, "y": 9, "width": 16, "height": 8}
        self.refused(self.lab.submit(crop=crop), 422, "invalid", "crop", 16)
        form = [("model", "test-model"), ("crop", "10,0,8,8"), ("input", png(), "x")]
        self.refused(self.lab.submit_form(form), 422, "invalid", "crop", 16)

    def test_a_malformed_crop(self):
        good = {"x": 0, "y": 0, "width": 8, "height": 8}
        for field, change in (("crop.x", {"x": -1}), ("crop.width", {"width": 0}),
                              ("crop.y", {"y": 1.5}), ("crop.height", {"height": "8"}),
                              ("crop.x", {"x": 10 ** 12}), ("crop.z", {"z": 1})):
            self.refused(self.lab.submit(crop={**good, **change}), 422, "invalid", field)
        self.refused(self.lab.submit(crop=[0, 0, 8, 8]), 422, "invalid", "crop")
        for text in ("1,2,3", "1,2,3,4,5", "a,b,c,d", "1,2,3,-4", "[]", "{", "99999999999999999999,0,1,1"):
            form = [("model", "test-model"), ("crop", text), ("input", png(), "x")]
            self.refused(self.lab.submit_form(form), 422, "invalid", "crop")


class BadMembers(Shared):
    models = {"test-model": manifest_of("test-model"), "tunable": manifest_of("tunable", params=PARAMS)}

    def tearDown(self):
        self.nothing_stored()

    def test_an_unknown_model(self):
        self.refused(self.lab.submit(model="nosuch"), 422, "invalid", "model")
        self.refused(self.lab.submit(model="../test-model"), 422, "invalid", "model")
        form = [("model", "nosuch"), ("input", png(), "x")]
        self.refused(self.lab.submit_form(form), 422, "invalid", "model")

    def test_missing_members(self):
        self.refused(self.lab.request("POST", "/v1/jobs", {"input": data_url(png())}), 422, "invalid", "model")
        self.refused(self.lab.request("POST", "/v1/jobs", {"model": "test-model"}), 422, "invalid", "input")
        self.refused(self.lab.submit_form([("model", "test-model")]), 422, "invalid", "input")
        self.refused(self.lab.submit_form([("input", png(), "x")]), 422, "invalid", "model")

    def test_members_of_the_wrong_type(self):
        self.refused(self.lab.submit(model=7), 422, "invalid", "model")
        self.refused(self.lab.submit(input=[1]), 422, "invalid", "input")
        self.refused(self.lab.submit(email={}), 422, "invalid", "email")
        self.refused(self.lab.submit(params=[]), 422, "invalid", "params")

    def test_unknown_members(self):
        self.refused(self.lab.submit(webhook="https://example.org"), 422, "invalid", "webhook")
        form = [("model", "test-model"), ("nosuch", "1"), ("input", png(), "x")]
        self.refused(self.lab.submit_form(form), 422, "invalid", "nosuch")
        form = [("model", "test-model"), ("model", "test-model"), ("input", png(), "x")]
        self.refused(self.lab.submit_form(form), 422, "invalid", "model")
        form = [("n\u00f6such", "1"), ("input", png(), "x")]
        self.assertEqual(self.lab.submit_form(form).status, 422)

    def test_parameters(self):
        self.refused(self.lab.submit(params={"nosuch": 1}), 422, "invalid", "params.nosuch")
        for model_params, field, says in (({"strength": "much"}, "params.strength", "number"),
                                          ({"strength": 2}, "params.strength", "1"),
                                          ({"paper": "blue"}, "params.paper", "white"),
                                          ({"colour": 1}, "params.colour", "")):
            answer = self.lab.submit(model="tunable", params=model_params)
            self.refused(answer, 422, "invalid", field, says=says)
        form = [("model", "tunable"), ("params", "not json"), ("input", png(), "x")]
        self.refused(self.lab.submit_form(form), 422, "invalid", "params")

    def test_malformed_addresses(self):
        for address in ("nobody", "@example.org", "a@", "a b@example.org", "a@b@example.org",
                        "a@example..org", "a" * 65 + "@example.org", "a@" + "b" * 250 + ".org",
                        "<a@example.org>", "a@example.org,b@example.org", ""):
            self.refused(self.lab.submit(email=address), 422, "invalid", "email")
            if address:
                form = [("model", "test-model"), ("email", address), ("input", png(), "x")]
                self.refused(self.lab.submit_form(form), 422, "invalid", "email")

    def test_control_characters_in_any_field(self):
        for field in ("model", "email", "input"):
            for bad in ("a\r\nBcc: x@example.org", "a\nb", "a\tb", "a\x7f", "a\x01"):
                self.refused(self.lab.submit(**{field: bad}), 422, "invalid", field)
        for field in ("model", "email", "crop", "params"):
            form = dict(model="test-model")
            form[field] = "a@example.org\r\nBcc: x@example.org"
            answer = self.lab.submit_form([*form.items(), ("input", png(), "x")])
            self.refused(answer, 422, "invalid", field)
        answer = self.lab.submit(model="tunable", params={"paper": "white\r\nX: y"})
        self.refused(answer, 422, "invalid", "params.paper")

    def test_a_text_too_long(self):
        form = [("model", "m" * 9000), ("input", png(), "x")]
        self.refused(self.lab.submit_form(form), 422, "invalid", "model", 8192)


class BadBodies(Shared):
    options = ("--max-body-bytes", "100000")

    def post(self, body, kind="application/json", **headers):
        return self.lab.request("POST", "/v1/jobs", body, {"Content-Type": kind, **headers})

    def test_what_is_no_json(self):
        for body in (b"", b"{", b"[1,", b"nonsense", b'{"model": "\xff"}', b"{}x", b'{"a":1,"a":2}',
                     b"[" * 1000 + b"]" * 1000):
            self.refused(self.post(body), 400, "malformed")
        self.assertEqual(self.post(b"[]").status, 422)

    def test_what_is_no_form(self):
        kind, body = multipart([("model", "test-model"), ("input", png(), "x")])
        for cut in (0, 10, 60, len(body) - 5):
            self.refused(self.post(body[:cut], kind), 400, "malformed")
        self.refused(self.post(b"x" + body, kind), 400, "malformed")
        self.refused(self.post(body, "multipart/form-data"), 400, "malformed")

    def test_other_media_types(self):
        for kind in ("text/plain", "image/png", "application/x-www-form-urlencoded", "application/jsonp", ""):
            self.refused(self.post(b"x", kind), 415, "media-type")

    def test_a_body_over_the_limit(self):
        self.refused(self.post(b"x" * 100001), 413, "too-large", limit=100000, says="100000 bytes")
        pieces = (b"x" * 10000 for _ in range(20))
        self.refused(self.post(pieces), 413, "too-large", limit=100000)

    def test_a_client_that_asks_before_sending_is_answered_at_once(self):
        with socket.create_connection(("127.0.0.1", self.lab.port), timeout=30) as connection:
            connection.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                               b"Content-Length: 10000000\r\nExpect: 100-continue\r\n\r\n")
            self.assertIn(b" 413 ", connection.recv(65536))

    def test_a_client_that_does_not_ask_gets_its_answer_nevertheless(self):
        self.refused(self.post(b"x" * 20_000_000), 413, "too-large", limit=100000)

    def test_the_default_limit_fits_the_largest_picture_that_a_shipped_model_takes(self):
        shipped = [json.loads(path.read_text()) for path in (ROOT / "models").glob("*.json")]
        self.assertLess(max(model["input"].get("max_bytes", 0) for model in shipped) * 4 / 3, 31 * 1024 * 1024)
        with Lab() as lab:
            answer = lab.request("POST", "/v1/jobs", b"x" * (32 * 1024 * 1024 + 1),
                                 {"Content-Type": "application/json"})
            self.refused(answer, 413, "too-large", limit=32 * 1024 * 1024)

    def test_a_body_where_none_belongs(self):
        answer = self.lab.request("GET", "/healthz", b"x" * 10)
        self.refused(answer, 413, "too-large")


class Http(Shared):
    def test_unknown_routes(self):
        for path in ("/nosuch", "/v1", "/v1/jobs/", "/v1/jobs/x/y/z", "//", "/o", "/o/"):
            self.refused(self.lab.get(path), 404, "not-found")

    def test_methods_that_do_not_fit(self):
        for method, path, allow in (("DELETE", "/v1/jobs", "GET, HEAD, POST"), ("PUT", "/v1/models", "GET, HEAD"),
                                    ("POST", f"/v1/jobs/{UNKNOWN_ID}", "GET, HEAD, DELETE"),
                                    ("PATCH", "/healthz", "GET, HEAD"),
                                    ("OPTIONS", "/v1/jobs", "GET, HEAD, POST")):
            answer = self.lab.request(method, path)
            self.refused(answer, 405, "method")
            self.assertEqual(answer.headers["Allow"], allow)

    def test_head_is_get_without_a_body(self):
        for path in ("/healthz", "/v1/models"):
            head, whole = self.lab.request("HEAD", path), self.lab.get(path)
            self.assertEqual((head.status, head.body), (200, b""))
            self.assertEqual(head.headers["Content-Length"], whole.headers["Content-Length"])

    def test_malformed_http_is_refused(self):
        for text in (b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
                     b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET /a%0d%0ab HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET http:/ HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                     b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5000 + b"\r\n"):
            answer = raw(self.lab, text, lambda answer: b"\r\n\r\n" in answer)
            self.assertTrue(answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:100])
        self.assertEqual(self.lab.get("/healthz").status, 200)

    def test_requests_in_one_connection_are_answered_in_order(self):
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = raw(self.lab, request * 20, lambda text: text.count(b"ok\n") == 20)
        self.assertEqual(answer.count(b"HTTP/1.1 200"), 20)

    def test_health_and_models(self):
        self.assertEqual(self.lab.get("/healthz").body, b"ok\n")
        wait_until(lambda: self.lab.get("/readyz").status == 200, "ready")
        models = self.lab.get("/v1/models").json["models"]
        self.assertEqual([m["name"] for m in models], ["test-model"])
        self.assertNotIn("weights", models[0])

    def test_metrics(self):
        self.lab.submit()
        text = self.lab.get("/metrics").body.decode()
        self.assertIn('darkroom_http_requests_total{route="submit",status="202"}', text)
        self.assertIn('darkroom_jobs{model="test-model",state="queued"}', text)
        self.assertIn("darkroom_redis_connected 1", text)
        self.assertRegex(text, r"process_resident_memory_bytes \d{6,}")

    def test_without_a_web_folder_there_are_no_pages(self):
        self.refused(self.lab.get("/"), 404, "not-found")


class Pages(Shared):
    options = ("--web", str(WEB))

    def test_pages_come_with_strict_headers(self):
        for path in ("/", "/about", "/terms", "/privacy", "/m/test-model"):
            answer = self.lab.get(path)
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(answer.headers["Content-Type"], "text/html; charset=utf-8")
            self.assertIn("default-src 'none'", answer.headers["Content-Security-Policy"])
            self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(answer.headers["Referrer-Policy"], "same-origin")

    def test_assets_have_types_and_tags(self):
        answer = self.lab.get("/assets/submit.js")
        self.assertEqual(answer.headers["Content-Type"], "text/javascript; charset=utf-8")
        again = self.lab.get("/assets/submit.js", headers={"If-None-Match": answer.headers["ETag"]})
        self.assertEqual((again.status, again.body), (304, b""))
        self.assertEqual(self.lab.get("/assets/style.css").status, 200)

    def test_nothing_else_is_served(self):
        for path in ("/m/nosuch", "/j/x", "/assets/nosuch", "/assets/../index.html", "/assets/..%2findex.html",
                     "/assets//etc/passwd", "/assets/%2e%2e/index.html", "/index.html"):
            self.assertIn(self.lab.get(path).status, (400, 404), path)


if __name__ == "__main__":
    main()
