#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The page where a picture is handed in, as a browser without scripts uses it."""
import html.parser
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import WEB, Hand, Lab, main, manifest_of, multipart, png, wait_until  # noqa: E402

PARAMS = {"type": "object", "additionalProperties": False, "required": ["caption"], "properties": {
    "strength": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5, "title": "Strength"},
    "steps": {"type": "integer", "minimum": 1, "maximum": 50, "default": 20},
    "far": {"type": "integer", "minimum": 0, "maximum": 100000, "default": 7},
    "seed": {"type": "integer", "minimum": 0, "maximum": 999999999},
    "paper": {"type": "string", "enum": ["white", "cream"], "default": "cream"},
    "size": {"type": "integer", "minimum": 1, "maximum": 9, "enum": [1, 3, 9], "default": 3},
    "frame": {"type": "boolean", "default": True},
    "caption": {"type": "string", "maxLength": 40, "title": "Caption", "description": "Below it."}}}
TRANSLATIONS = {"nl": {"title": "Een proef", "params": {
    "paper": {"title": "Papier", "choices": {"white": "wit", "cream": "crème"}}}}}
# What people type into fields to see what happens, and what proxies and logs trip over.
HOSTILE = ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "'\"`</textarea></title>",
           "{{t.common.brand}}{{#model}}", "&lt;b&gt;&amp;", "\u202e\u0000x", "a\r\nSet-Cookie: evil=1",
           "a\nLocation: https://evil.example", "%0d%0aX: 1", "../../etc/passwd", "x" * 9000,
           "\U0001f600 \u4f60\u597d", "javascript:alert(1)", "${7*7}", "';DROP TABLE jobs;--"]


class Fields(html.parser.HTMLParser):
    """The form's fields by name; what an alert says; every attribute of the page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.fields, self.alerts, self.tags, self.selects, self.about = {}, {}, [], {}, {}
        self._select = self._alert = self._title = None
        self.title = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append((tag, values))
        if values.get("role") == "alert" and "hidden" not in values:
            self._alert = values.get("id")
            self.alerts[self._alert] = ""
        if tag == "title":
            self._title = True
        if tag == "select":
            self._select = values["name"]
            self.selects[self._select] = []
        if tag == "option":
            self.selects[self._select].append(values["value"])
            if "selected" in values:
                self.fields[self._select] = values["value"]
        if tag == "input" and values.get("name"):
            self.about[values["name"]] = values
            if values["type"] == "checkbox":
                if "checked" in values:
                    self.fields[values["name"]] = values.get("value")
            elif values["type"] != "file":
                self.fields[values["name"]] = values.get("value") or ""

    def handle_endtag(self, tag):
        if tag in ("p", "div"):
            self._alert = None
        if tag == "title":
            self._title = None

    def handle_data(self, data):
        if self._alert:
            self.alerts[self._alert] += data.strip()
        if self._title:
            self.title += data


class SubmitPageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(models={
            "test-model": manifest_of("test-model", input={
                "kind": "image", "max_bytes": 300000, "max_megapixels": 1, "size": 64, "aspect": [3, 4]}),
            "many": manifest_of("many", title="<b>Many</b> & \"more\"", params=PARAMS,
                                translations=TRANSLATIONS),
            "idle": manifest_of("idle"),
            "digits": manifest_of("digits", input={"kind": "none"}, params={
                "type": "object", "additionalProperties": False, "properties": {
                    "seed": {"type": "integer", "minimum": 0, "maximum": 999}}})},
            dispatcher_options=["--web", WEB, "--submits-per-minute", "0"])

    @classmethod
    def tearDownClass(cls):
        failures = cls.lab.close()
        assert not failures, failures

    def page(self, model="test-model", **headers):
        answer = self.lab.get(f"/m/{model}", headers={"Accept": "text/html", **headers})
        self.assertEqual(answer.status, 200)
        return Fields(answer.body.decode())

    def send(self, parts, model="test-model", **headers):
        kind, body = multipart(parts)
        return self.lab.request("POST", f"/m/{model}", body, {
            "Content-Type": kind, "Accept": "text/html,*/*;q=0.8", **headers})

    def parts(self, model="test-model", picture=None, **changes):
        """As a browser sends the form that it was shown."""
        fields = {**self.page(model).fields, "consent": "yes", **changes}
        parts = [(name, value) for name, value in fields.items() if value is not None]
        return parts + [("input", picture if picture is not None else png(60, 40), "me.png")]

    def again(self, answer, status=422):
        self.assertEqual(answer.status, status, answer)
        self.assertTrue(answer.headers["Content-Type"].startswith("text/html"))
        return Fields(answer.body.decode())

    def accepted(self, answer):
        self.assertEqual(answer.status, 303, answer)
        link = answer.headers["Location"]
        self.assertRegex(link, r"^/j/[0-9a-f]{34}\?token=[\w-]{22}$")
        return link.split("/")[2].split("?")[0], link.split("token=")[1]

    def spec(self, job, model="test-model"):
        with Hand(self.lab, model=model) as hand:
            return wait_until(lambda: hand.claim({"id": job}), "the job")["spec"]

    # ---- the page ----

    def test_every_parameter_is_a_field_of_its_kind(self):
        page = self.page("many")
        kinds = {name.removeprefix("param."): about["type"] for name, about in page.about.items()
                 if name.startswith("param.")}
        self.assertEqual(kinds, {"strength": "range", "steps": "range", "far": "number", "seed": "number",
                                 "frame": "checkbox", "caption": "text"})
        self.assertEqual(page.selects, {"param.paper": ["white", "cream"], "param.size": ["1", "3", "9"]})
        self.assertEqual({name: value for name, value in page.fields.items() if name not in ("key", "param.seed")}, {
            "param.strength": "0.5", "param.steps": "20", "param.far": "7", "param.paper": "cream",
            "param.size": "3", "param.frame": "true", "param.caption": "", "email": ""})
        self.assertTrue(0 <= int(page.fields["param.seed"]) <= 999999999)
        self.assertNotEqual(page.fields["param.seed"], self.page("many").fields["param.seed"])
        self.assertEqual(page.about["param.strength"]["step"], "0.01")
        self.assertIn('<b>Many</b> & "more"', page.title)

    def test_the_page_speaks_the_visitors_language(self):
        text = self.lab.get("/m/many", headers={"Accept-Language": "nl"}).body.decode()
        for part in ("Een proef", "Papier", "crème", "Inleveren", "voorwaarden", "In de wachtrij: 0"):
            self.assertIn(part, text)
        for language, part in (("zh", "提交"), ("ru", "Сдать"), ("en", "Hand in")):
            self.assertIn(part, self.lab.get(f"/m/many?lang={language}").body.decode())

    def test_the_queue_is_told_before_anything_is_sent(self):
        for paused, part in ((False, "No machine is at work"), (True, "Work is paused")):
            if paused:
                self.lab.redis_cli("set", "{q:00}pause:idle", "1")
            wait_until(lambda part=part: part in self.lab.get("/m/idle").body.decode(), part)
        self.lab.redis_cli("del", "{q:00}pause:idle")

    def test_a_model_that_is_not_there_is_a_page_that_says_so(self):
        answer = self.lab.get("/m/nobody", headers={"Accept": "text/html"})
        self.assertEqual(answer.status, 404)
        self.assertIn("There is nothing here", answer.body.decode())
        self.assertEqual(self.send(self.parts(), model="nobody").status, 404)

    # ---- what is accepted ----

    def test_a_form_becomes_a_job_and_a_link_to_its_page(self):
        answer = self.send(self.parts(email="somebody@example.org"))
        job, view = self.accepted(answer)
        self.assertEqual(self.lab.get(f"/v1/jobs/{job}", token=view).json["state"], "queued")
        cookies = answer.headers.get_all("Set-Cookie")
        self.assertEqual(len(cookies), 2)
        tokens = {}
        for cookie in cookies:
            first, *flags = cookie.split("; ")
            name, tokens[name] = first.split("=")[0], first.split("=")[1]
            self.assertIn(f"Path=/j/{job}", flags)
            self.assertIn("HttpOnly", flags)
            self.assertIn("SameSite=Strict", flags)
        self.assertEqual(set(tokens), {"manage", "delete"})
        # The middle of 60 x 40 in the shape that the model wants, 3:4.
        self.assertEqual(self.spec(job)["crop"], [15, 0, 30, 40])
        self.assertEqual(self.lab.request("DELETE", f"/v1/jobs/{job}", token=tokens["delete"]).status, 204)

    def test_parameters_arrive_as_what_they_are(self):
        job, _ = self.accepted(self.send(self.parts("many", **{
            "param.strength": "0.25", "param.steps": "3", "param.seed": "12", "param.size": "9",
            "param.frame": None, "param.caption": "Für „Élise“"}), model="many"))
        self.assertEqual(self.spec(job, "many")["params"], {
            "strength": 0.25, "steps": 3, "far": 7, "seed": 12, "paper": "cream", "size": 9,
            "frame": False, "caption": "Für „Élise“"})

    def test_an_empty_number_is_the_default(self):
        job, _ = self.accepted(self.send(self.parts("many", **{
            "param.steps": "", "param.caption": "x", "param.seed": ""}), model="many"))
        params = self.spec(job, "many")["params"]
        self.assertEqual(params["steps"], 20)
        self.assertNotIn("seed", params)

    def test_a_model_without_a_picture_has_none_in_its_form(self):
        page = self.page("digits")
        self.assertNotIn("input", page.about)
        fields = {**page.fields, "consent": "yes", "param.seed": "7"}
        job, _ = self.accepted(self.send(list(fields.items()), model="digits"))
        self.assertEqual(self.spec(job, "digits")["params"], {"seed": 7})

    def test_the_button_pressed_twice_hands_in_once(self):
        parts = self.parts()
        first, second = self.accepted(self.send(parts)), self.accepted(self.send(parts))
        self.assertEqual(first, second)
        changed = [(n, v, *f) if n != "email" else (n, "other@example.org") for n, v, *f in parts]
        page = self.again(self.send(changed))
        self.assertIn("You changed something", page.alerts["failed"])
        self.assertNotEqual(page.fields["key"], dict(p[:2] for p in parts)["key"])

    # ---- what is refused ----

    def test_the_form_comes_back_filled_in_with_the_problem_beside_its_field(self):
        stored = self.lab.stored("inputs/")
        answer = self.send(self.parts("many", email="no address", **{
            "param.strength": "0.75", "param.caption": "kept"}), model="many")
        page = self.again(answer)
        self.assertIn("no e-mail address", page.alerts["problem-email"])
        self.assertEqual(page.about["email"]["aria-invalid"], "true")
        self.assertEqual(page.fields["email"], "no address")
        self.assertEqual(page.fields["param.strength"], "0.75")
        self.assertEqual(page.fields["param.caption"], "kept")
        self.assertEqual(page.fields["consent"], "yes")
        self.assertEqual(page.fields["param.frame"], "true")
        self.assertEqual(self.lab.stored("inputs/"), stored)

    def test_each_fault_is_told_where_it_is(self):
        for changes, where in (({"consent": None}, "problem-consent"), ({"picture": b""}, "problem-input"),
                               ({"picture": b"GIF89a"}, "problem-input"),
                               ({"picture": png()[:-9]}, "problem-input"),
                               ({"picture": png(1200, 900)}, "problem-input"),
                               ({"email": "a@b"}, "problem-email"),
                               ({"crop": "0,0,900,900"}, "failed")):
            page = self.again(self.send(self.parts(**changes)))
            self.assertIn(where, page.alerts, changes)
            self.assertIn("failed", page.alerts)
        for name, value in (("strength", "2"), ("strength", "much"), ("steps", "1.5"), ("size", "2"), ("paper", "red"),
                            ("far", "1e3"), ("seed", "-1"), ("frame", "maybe"), ("caption", "x" * 41), ("caption", "")):
            page = self.again(self.send(self.parts("many", **{"param.caption": "x", f"param.{name}": value}),
                                        model="many"))
            self.assertIn(f"problem-{name}", page.alerts, (name, value))
            self.assertTrue(page.title.startswith("Not handed in yet."))

    def test_a_picture_with_too_many_bytes_is_refused_as_such(self):
        page = self.again(self.send(self.parts(picture=b"\x89PNG\r\n\x1a\n" + b"x" * 400000)))
        self.assertIn("too large", page.alerts["problem-input"])

    def test_parts_that_are_no_part_of_the_form_are_refused(self):
        for extra in (("model", "digits"), ("params", "{}"), ("webhook", "https://x.example/"), ("priority", "high"),
                      ("param.", "1"), ("param.ghost", "1"), ("nonsense", "1"), ("email", "twice@example.org"),
                      ("param." + "x" * 50, "1")):
            self.again(self.send([*self.parts(), extra]))
        self.again(self.send([*self.parts(), ("param." + "x" * 90, "1")]), status=400)
        self.assertEqual(self.send([(f"param.a{i}", "1") for i in range(60)]).status, 400)

    def test_pages_of_other_sites_cannot_send_it(self):
        parts = self.parts()
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"},
                        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
            self.assertEqual(self.send(parts, **headers).status, 403, headers)
        self.accepted(self.send(parts, Origin=self.lab.url, **{"Sec-Fetch-Site": "same-origin"}))

    def test_what_is_no_form_is_refused(self):
        for kind, body in (("application/json", b"{}"), ("text/plain", b"x"),
                           ("application/x-www-form-urlencoded", b"consent=yes")):
            answer = self.lab.request("POST", "/m/test-model", body, {"Content-Type": kind, "Accept": "text/html"})
            self.assertEqual(answer.status, 415, kind)

    # ---- hostile texts ----

    def quiet(self, answer):
        """Nothing that was sent became markup or a header."""
        text = answer.body.decode()
        page = Fields(text)
        self.assertNotIn("evil", json.dumps(list(answer.headers.items())))
        self.assertFalse([t for t, a in page.tags if t == "script" and not a.get("src", "").startswith("/assets/")])
        self.assertFalse([a for _, a in page.tags if any(n.startswith("on") for n in a)])
        self.assertFalse([a for _, a in page.tags if a.get("src") == "x"])
        return page

    def test_hostile_texts_in_every_field_stay_texts(self):
        for text in HOSTILE:
            for field in ("email", "param.caption", "param.strength", "param.paper", "param.seed", "param.frame",
                          "consent", "crop", "key"):
                changes = {"param.caption": "x", "email": "no address", field: text}
                answer = self.send(self.parts("many", **changes), model="many")
                self.assertIn(answer.status, (400, 422), (field, text[:30]))
                page = self.quiet(answer)
                if field == "param.caption" and answer.status == 422 and len(text) < 100 and "\0" not in text:
                    # Line ends are a browser's to make one.
                    self.assertEqual(page.fields[field].replace("\r\n", "\n"), text.replace("\r\n", "\n"))

    def test_hostile_names_of_files_and_parts_are_of_no_effect(self):
        for text in ("../../x", "a\"; name=\"consent", "<script>", "x" * 3000, "\u4f60"):
            parts = self.parts()
            parts[-1] = ("input", parts[-1][1], text)
            answer = self.send(parts)
            self.assertIn(answer.status, (303, 400, 422), text[:20])
            self.quiet(answer)

    def test_bytes_that_are_no_text_are_refused(self):
        for field in ("email", "param.caption", "consent", "crop"):
            answer = self.send(self.parts("many", **{"param.caption": "x", "email": "no address", field: b"\xff\xfe<b>"}),
                               model="many")
            self.assertIn(answer.status, (400, 422), field)
            self.quiet(answer)

    def test_hostile_texts_in_the_api_are_answered_in_kind(self):
        for text in HOSTILE:
            for members in ({"email": text}, {"params": {"caption": text, "steps": text}},
                            {"model": text}, {"crop": text}, {"lang": text}, {"webhook": {"url": text}},
                            {"priority": text}, {"run_at": text}, {"input": text}, {text[:60]: 1}):
                answer = self.lab.submit(**{"model": "many", **members})
                self.assertIn(answer.status, (400, 403, 422), (members, answer))
                self.assertNotIn("evil", json.dumps(list(answer.headers.items())))
                self.assertEqual(answer.headers["Content-Type"], "application/problem+json")


if __name__ == "__main__":
    main()
