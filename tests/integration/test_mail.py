#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mails from the submission to the mailbox: languages, the small picture, who wants none, what holds them up."""
import email
import email.policy
import html.parser
import importlib.util
import pathlib
import random
import re
import socket
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import WEB, Hand, Lab, main, manifest_of, multipart, data_url, png, wait_until  # noqa: E402
from mail_server import MailServer  # noqa: E402

SUBJECTS = {"en": "Your picture is ready", "nl": "Je foto is klaar", "ru": "Ваш снимок готов",
            "zh": "你的照片已经做好了"}
TITLES = {"en": "A <b>bold</b> & \"quoted\" model", "nl": "Een <i>schuin</i> model"}
FAST = ("--mail-retry-ms", "50", "--smtp-timeout-ms", "5000")


def models():
    model = manifest_of("test-model")
    model["title"] = TITLES["en"]
    model["translations"] = {"nl": {"title": TITLES["nl"]}}
    return {"test-model": model}


def noise(side):
    """A PNG that a JPEG cannot make much smaller."""
    import struct
    import zlib
    rng = random.Random(1)
    rows = b"".join(b"\0" + rng.randbytes(side * 3) for _ in range(side))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


class Html(html.parser.HTMLParser):
    """What a mail program makes of the HTML: tags, links, pictures, text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.pictures, self.text, self.lang = [], [], [], "", None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        assert not any(name.startswith("on") for name in attributes), attributes
        if tag == "html":
            self.lang = attributes["lang"]
        elif tag == "a":
            self.links.append(attributes["href"])
        elif tag == "img":
            self.pictures.append(attributes["src"])

    def handle_data(self, data):
        self.text += data


class MailTest(unittest.TestCase):
    def lab(self, *options, **how):
        lab = Lab(models(), ("--web", WEB, *options), **how)
        self.addCleanup(lambda: self.assertEqual(lab.close(), []))
        self.addCleanup(lambda: [self.assertNotIn("private", p.log) for p in lab.programs.values()])
        return lab

    def server(self):
        server = MailServer()
        self.addCleanup(server.close)
        return server

    def start(self, *options, dispatcher=()):
        """A lab with a notifier that sends to a server of the test's."""
        lab, server = self.lab(*dispatcher), self.server()
        lab.notifier_start("--smtp", server.url, *FAST, *options)
        return lab, server

    def finish(self, lab, picture=None):
        """Ends the next job with this picture as its result."""
        with Hand(lab) as hand:
            claimed = wait_until(hand.claim, "a job")
            hand.complete(claimed, picture or png(400, 200))
            return claimed["public_id"]

    def fail_one(self, lab):
        with Hand(lab) as hand:
            hand.fail(wait_until(hand.claim, "a job"))

    def told(self, lab, job):
        return lab.job(job)["notification"]

    def becomes(self, lab, job, word):
        return wait_until(lambda: (lambda n: n if n and n["email"] == word else None)(self.told(lab, job)),
                          f"notification {word}")

    # ---- what arrives ----

    def check_structure(self, data):
        """Lines, encodings and parts, as any program must be able to read them. Returns text and HTML."""
        for line in data.split(b"\r\n"):
            self.assertNotIn(b"\n", line)
            self.assertLessEqual(len(line), 78 if not line.startswith(b"List-Unsubscribe: ") else 998)
            self.assertTrue(line.isascii())
        mail = email.message_from_bytes(data, policy=email.policy.default)
        for part in mail.walk():
            self.assertEqual(part.defects, [])
        for header in mail.keys():
            self.assertEqual(len(mail.get_all(header)), 1, header)
            self.assertEqual(mail[header].defects, (), header)
        self.assertEqual(mail.get_content_type(), "multipart/alternative")
        plain, rich = mail.iter_parts()
        self.assertEqual(plain.get_content_type(), "text/plain")
        text = plain.get_content()
        pictures = []
        if rich.get_content_type() == "multipart/related":
            rich, *pictures = rich.iter_parts()
        self.assertEqual(rich.get_content_type(), "text/html")
        page = Html(rich.get_content())
        for picture in pictures:
            self.assertEqual((picture.get_content_type(), picture.get_content_disposition()), ("image/jpeg", "inline"))
            self.assertEqual([f"cid:{picture['Content-ID'][1:-1]}"], page.pictures)
            self.assertEqual(picture.get_content()[:3], b"\xff\xd8\xff")
            self.assertLessEqual(len(picture.get_content()), 30720)
        self.assertEqual(len(pictures), len(page.pictures))
        for words in (text, page.text):
            self.assertNotIn("{{", words)
        self.assertFalse({"b", "i", "script"} & set(page.tags))  # of the titles: nothing of theirs is markup
        return mail, text, page

    def test_each_language_arrives_whole_with_a_small_picture(self):
        if not importlib.util.find_spec("aiosmtpd"):
            self.skipTest("aiosmtpd is not installed")
        from aiosmtpd.controller import Controller
        taken = {}

        class Handler:
            async def handle_DATA(self, server, session, envelope):
                taken[envelope.rcpt_tos[0]] = envelope.original_content
                return "250 taken"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        controller = Controller(Handler(), hostname="127.0.0.1", port=port, decode_data=False)
        controller.start()
        self.addCleanup(controller.stop)
        lab = self.lab()
        lab.notifier_start("--smtp", f"smtp://127.0.0.1:{port}", *FAST)
        form = multipart([("model", "test-model"), ("email", "nl@private.example"), ("lang", "nl"),
                          ("input", png(), "a.png")])
        jobs = {
            "en": lab.submit(email="en@private.example"),
            "nl": lab.request("POST", "/v1/jobs", form[1], {"Content-Type": form[0]}),
            "ru": lab.submit(email="ru@private.example", headers={"Accept-Language": "de, ru-RU;q=0.9, en;q=0.1"}),
            "zh": lab.submit(email="zh@private.example", lang="zh-Hant"),
        }
        for answer in jobs.values():
            self.assertEqual((answer.status, answer.json["notification"]), (202, {"email": "waiting"}))
        for _ in jobs:
            self.finish(lab, noise(700))
        for lang, answer in jobs.items():
            data = wait_until(lambda: taken.get(f"{lang}@private.example"), f"the mail in {lang}")
            mail, text, page = self.check_structure(data)
            job = answer.json["id"]
            self.assertEqual((mail["Subject"], mail["Content-Language"], page.lang), (SUBJECTS[lang], lang, lang))
            self.assertEqual(len(page.pictures), 1)
            self.assertEqual(mail["Auto-Submitted"], "auto-generated")
            self.assertRegex(mail["Message-ID"], rf"^<{job}-[0-9a-f]+-m@example\.org>$")
            for words in (text, page.text):
                self.assertIn(TITLES.get(lang, TITLES["en"]), words)
            for part in ("", "/delete"):
                link = f"{lab.url}/j/{job}{part}?token="
                self.assertTrue(any(found.startswith(link) for found in page.links), page.links)
                self.assertIn(link, text)
            self.assertTrue(all(found.startswith(lab.url + "/") for found in page.links))
            self.assertEqual(self.becomes(lab, answer.json, "sent"), {"email": "sent"})

    def test_the_mail_of_a_failure_has_no_picture(self):
        lab, server = self.start()
        lab.submit(email="somebody@private.example", lang="ru")
        self.fail_one(lab)
        mail, text, page = self.check_structure(server.wait_for(1)[0].data)
        self.assertEqual((mail["Subject"], page.pictures), ("Снимок не получился", []))

    def test_a_result_that_cannot_be_had_holds_up_no_mail(self):
        """The result's server takes connections and says nothing."""
        lab, server = self.lab(), self.server()
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        notifier = lab.notifier_start("--smtp", server.url, *FAST, "--public-url", url)
        lab.submit(email="first@private.example")
        self.finish(lab)
        asked, _ = silent.accept()  # its picture is asked for, and does not come
        lab.submit(email="second@private.example")
        self.fail_one(lab)
        self.assertEqual(server.wait_for(1)[0].recipients, ["TO:<second@private.example>"])
        self.assertEqual(server.wait_for(2)[1].recipients, ["TO:<first@private.example>"])
        asked.close()
        for mail in server.mails:
            self.assertEqual(self.check_structure(mail.data)[2].pictures, [])
        self.assertIn("picture=0", notifier.log)

    def test_a_notifier_that_stops_gives_back_what_waits_for_its_picture(self):
        lab, server = self.lab(), self.server()
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        lab.notifier_start("--smtp", server.url, *FAST, "--public-url", f"http://127.0.0.1:{silent.getsockname()[1]}")
        job = lab.submit(email="somebody@private.example").json
        self.finish(lab)
        asked, _ = silent.accept()
        lab.stop("notifier")
        asked.close()
        self.assertEqual(self.told(lab, job), {"email": "waiting"})
        lab.notifier_start("--smtp", server.url, *FAST)  # its lease would be two minutes
        self.assertEqual(len(self.check_structure(server.wait_for(1)[0].data)[2].pictures), 1)
        self.becomes(lab, job, "sent")

    def test_pictures_can_be_left_out(self):
        lab, server = self.start("--mail-thumbnails=false")
        lab.submit(email="somebody@private.example")
        self.finish(lab)
        self.assertEqual(self.check_structure(server.wait_for(1)[0].data)[2].pictures, [])

    # ---- who wants none ----

    def test_one_click_stops_mails_and_the_same_page_starts_them_again(self):
        lab, server = self.start()
        lab.submit(email="Some.Body@private.example", lang="nl")
        self.finish(lab)
        mail = server.wait_for(1)[0].message
        link = mail["List-Unsubscribe"].strip("<>")
        self.assertRegex(link, rf"^{lab.url}/u/[\w-]{{54}}\?lang=nl$")
        page = lab.get(link)
        self.assertEqual(page.status, 200)
        self.assertIn('<form method="post">', page.body.decode())
        self.assertIn("Geen mails meer naar dit adres?", page.body.decode())
        self.assertEqual(lab.redis_cli("zcard", "{k}unwanted"), "0")  # looking stops nothing

        for _ in range(2):  # as a mail program does it: without cookies, twice is once
            done = lab.request("POST", link, b"List-Unsubscribe=One-Click",
                               {"Content-Type": "application/x-www-form-urlencoded"})
            self.assertEqual(done.status, 200)
            self.assertIn("Geen mails meer", done.body.decode())
        self.assertEqual(lab.redis_cli("zcard", "{k}unwanted"), "1")
        again = lab.submit(email="some.body@PRIVATE.example").json
        self.assertEqual(again["notification"], {"email": "suppressed"})
        self.finish(lab)
        self.assertEqual(self.becomes(lab, again, "suppressed"), {"email": "suppressed"})
        other = lab.submit(email="other@private.example").json
        self.finish(lab)
        self.becomes(lab, other, "sent")
        self.assertEqual([m.recipients for m in server.wait_for(2)[1:]], [["TO:<other@private.example>"]])

        action = re.search(r'action="(/u/[\w-]+/again)"', lab.get(link).body.decode())[1]
        self.assertEqual(lab.request("POST", action, b"").status, 200)
        self.assertEqual(lab.redis_cli("zcard", "{k}unwanted"), "0")
        last = lab.submit(email="some.body@private.example").json
        self.assertEqual(last["notification"], {"email": "waiting"})
        self.finish(lab)
        self.becomes(lab, last, "sent")

    def test_who_unsubscribes_while_a_job_is_made_gets_no_mail(self):
        lab, server = self.start()
        lab.submit(email="somebody@private.example")
        self.finish(lab)
        link = server.wait_for(1)[0].message["List-Unsubscribe"].strip("<>")
        job = lab.submit(email="somebody@private.example").json
        self.assertEqual(job["notification"], {"email": "waiting"})
        lab.request("POST", link, b"")
        self.finish(lab)
        self.becomes(lab, job, "suppressed")
        wait_until(lambda: "mail.unwanted" in lab.programs["notifier"].log, "mail.unwanted")
        self.assertEqual(len(server.mails), 1)
        self.assertEqual(lab.redis_cli("zcard", "{q:00}due"), "0")

    def test_no_other_link_stops_anything(self):
        lab = self.lab()
        for token in ("a" * 54, "x", "0" * 32 + "A" * 22, "0" * 600, "%00", "..%2f..", "<script>"):
            for method, target in (("GET", f"/u/{token}"), ("POST", f"/u/{token}"), ("POST", f"/u/{token}/again")):
                answer = lab.request(method, target, b"" if method == "POST" else None)
                self.assertIn(answer.status, (400, 404), target)
                self.assertNotIn(b"<script>", answer.body.replace(b'<script type="module"', b""))
        self.assertEqual(lab.redis_cli("exists", "{k}unwanted"), "0")

    # ---- what is refused at the door ----

    def test_blocked_domains_are_refused_and_the_file_may_change(self):
        listed = pathlib.Path(self.enterContext(__import__("tempfile").TemporaryDirectory())) / "blocked"
        listed.write_text("# thrown away\nTrash.example  # all of it\n\nmail.other.example\r\n")
        lab = self.lab("--blocked-domains", listed)

        def status(address):
            return lab.submit(email=address)
        for address in ("a@trash.example", "a@TRASH.example", "a@deep.down.trash.example", "a@mail.other.example"):
            answer = status(address)
            self.assertEqual((answer.status, answer.code, answer.problem["field"]), (422, "invalid", "email"))
        for address in ("a@nottrash.example", "a@trash.example.org", "a@other.example"):
            self.assertEqual(status(address).status, 202, address)
        key = lab.key("--scopes", "submit")["key"]
        batch = {"jobs": [{"model": "test-model", "input": data_url(png()), "email": "a@trash.example"}]}
        self.assertEqual(lab.request("POST", "/v1/batches", batch, token=key).problem["field"], "jobs[0].email")
        self.assertEqual(lab.redis_cli("zcard", "{q:00}due"), "0")

        listed.write_text("other.example\n")
        wait_until(lambda: status("a@other.example").status == 422, "the new list")
        self.assertEqual(status("a@trash.example").status, 202)
        listed.write_text("other.example\nno domain at all\n")
        lab.programs["dispatcher"].wait_for_log("blocked.unreadable")
        self.assertEqual(status("a@other.example").status, 422)  # as it was
        listed.unlink()
        listed.write_text("")
        wait_until(lambda: status("a@other.example").status == 202, "the empty list")

    def test_nothing_that_a_visitor_types_becomes_a_header_or_markup(self):
        corpus = pathlib.Path(__file__).resolve().parent.parent / "data" / "injection"
        lab, server = self.start(dispatcher=("--submits-per-minute", "100000", "--submits-burst", "1000"))
        headers = (corpus / "headers.txt").read_text().splitlines()
        markup = (corpus / "markup.txt").read_text().splitlines()
        texts = [text.encode().decode("unicode_escape") for text in headers] + markup
        self.assertGreater(len(texts), 40)
        for text in texts:
            for members in ({"email": text}, {"email": f"a@b.example{text}"}, {"email": f"{text}@b.example"},
                            {"lang": text}):
                answer = lab.submit(**members)
                plain = re.fullmatch(r"((?!=\?)[\w.!#$%&'*+/=?^`{|}~-])+@[\w.-]+", members.get("email", ""), re.A)
                if answer.status == 202:  # an address that is one, whatever it looks like
                    self.assertTrue(plain, members)
                    self.finish(lab)
                elif "\0" in text:
                    self.assertEqual((answer.status, answer.code), (400, "malformed"), members)
                else:
                    self.assertEqual((answer.status, answer.code), (422, "invalid"), members)
                    self.assertIn(answer.problem["field"], members)
        lab.submit(email="last@private.example")
        self.finish(lab)
        wait_until(lambda: any("last" in mail.recipients[0] for mail in server.mails), "the last mail")
        for mail in server.mails:
            message, _, _ = self.check_structure(mail.data)
            self.assertEqual(len(message["To"].addresses), 1)
            self.assertIsNone(message["Bcc"])
            self.assertEqual(len(mail.recipients), 1)

    # ---- what holds mails up ----

    def test_more_than_an_address_may_have_is_held_and_said(self):
        lab, server = self.start("--mail-per-address-hour", "1")
        jobs = [lab.submit(email="somebody@private.example").json for _ in range(2)]
        for _ in jobs:
            self.finish(lab)
        states = wait_until(lambda: (lambda now: now if now[0] and now[1] else None)(
            [next((j for j in jobs if self.told(lab, j)["email"] == word), None) for word in ("sent", "held")]),
            "one sent, one held")
        self.assertEqual(self.told(lab, states[1]), {"email": "held", "reason": "limit"})
        self.assertEqual(len(server.mails), 1)

    def test_at_the_quota_mails_wait_and_go_on_by_themselves(self):
        lab, server = self.start("--mail-quota-hour", "2")
        jobs = [lab.submit(email=f"private{i}@private.example").json for i in range(5)]
        for _ in jobs:
            self.finish(lab)
        server.wait_for(2)
        lab.programs["notifier"].wait_for_log("mail.held")
        waiting = lab.submit(email="late@private.example").json
        held = wait_until(lambda: [self.told(lab, job) for job in jobs + [waiting]
                                   if self.told(lab, job)["email"] == "held"] or None, "held mails")
        wait_until(lambda: self.told(lab, waiting)["email"] == "held", "the job that is not done is told too")
        for said in held:
            self.assertEqual(said["reason"], "quota")
        self.assertRegex(self.told(lab, waiting)["until"], r"^\d{4}-\d\d-\d\dT")
        key = lab.key("--scopes", "operate")["key"]
        state = lab.get("/v1/notifications", token=key).json["mail"]
        self.assertRegex(state["held_until"], r"^\d{4}-")
        self.assertEqual((state["counts"]["sent"], state["counts"]["held"]), (2, 1))
        self.assertRegex(lab.get("/metrics").body.decode(), r"\ndarkroom_mails_held_seconds [1-9]")
        self.assertEqual(len(server.mails), 2)
        # The hour is over: what was counted and the hold are gone, and what waited is due.
        for name in lab.redis_cli("keys", "{k}mailed:*").split() + ["{k}mailhold"]:
            lab.redis_cli("del", name)
        for row in lab.redis_cli("zrange", "{q:00}due", 0, -1).split():
            lab.redis_cli("zadd", "{q:00}due", 0, row)
        lab.stop("notifier")
        lab.notifier_start("--smtp", server.url, *FAST)
        self.finish(lab)
        server.wait_for(6)
        for job in jobs + [waiting]:
            self.becomes(lab, job, "sent")

    def test_a_server_that_takes_no_more_is_left_alone_for_a_while(self):
        for reply, command in (("452 4.5.3 you have sent enough", "MAIL"),
                               ("454 throttled: daily quota exceeded", "CONTENT"),
                               ("550 5.4.5 daily sending limit exceeded", "RCPT")):
            with self.subTest(reply):
                lab, server = self.start("--mail-hold-ms", "400")
                replies = [reply]
                server.refuse = lambda verb, _: replies.pop() if verb == command and replies else None
                job = lab.submit(email="somebody@private.example").json
                self.finish(lab)
                lab.programs["notifier"].wait_for_log("mail.held")
                self.assertNotIn("mail.refused", lab.programs["notifier"].log)
                self.becomes(lab, job, "sent")
                self.assertEqual(len(server.mails), 1)

    def test_a_full_mailbox_holds_up_nobody_else(self):
        lab, server = self.start("--mail-retry-ms", "60000")
        server.refuse = lambda verb, argument: (
            "452 4.2.2 the mailbox is full" if verb == "RCPT" and "full@" in argument else None)
        full = lab.submit(email="full@private.example").json
        self.finish(lab)
        lab.programs["notifier"].wait_for_log("mail.deferred")
        lab.submit(email="other@private.example")
        self.finish(lab)
        self.assertEqual(server.wait_for(1)[0].recipients, ["TO:<other@private.example>"])
        self.assertEqual(self.told(lab, full), {"email": "waiting"})

    def test_operators_see_what_became_of_mails(self):
        lab, server = self.start("--mail-retry-ms", "50")
        answers = {"never@private.example": ["550 5.1.1 no such user"], "later@private.example": ["451 4.3.0 later"]}
        server.refuse = lambda verb, argument: (
            (answers.get(argument[4:-1]) or [None]).pop() if verb == "RCPT" and answers.get(argument[4:-1]) else None)
        jobs = {}
        for name in ("never", "later", "fine"):
            jobs[name] = lab.submit(email=f"{name}@private.example").json
            self.finish(lab)
        self.assertEqual(self.becomes(lab, jobs["never"], "failed"), {"email": "failed"})
        self.becomes(lab, jobs["later"], "sent")
        self.becomes(lab, jobs["fine"], "sent")
        key = lab.key("--scopes", "operate")["key"]

        def counts():
            mail = lab.get("/v1/notifications", token=key).json["mail"]
            return mail if mail["counts"]["sent"] == 2 else None
        mail = wait_until(counts, "the counters")
        self.assertEqual((mail["counts"]["refused_5xx"], mail["counts"]["refused_4xx"], mail["counts"]["given_up"]),
                         (1, 1, 1))
        self.assertIn("answered 4", mail["last_failure"]["reason"] + "answered 4")
        self.assertNotIn("private", str(mail))
        [unsent] = lab.get("/v1/notifications", token=key).json["unsent"]
        self.assertEqual(unsent["job"], jobs["never"]["id"])
        metrics = lab.get("/metrics").body.decode()
        self.assertIn('darkroom_mails_total{outcome="sent"} 2\n', metrics)
        self.assertIn('darkroom_mails_total{outcome="refused_5xx"} 1\n', metrics)
        self.assertIn("darkroom_mails_held_seconds 0\n", metrics)


if __name__ == "__main__":
    main()
