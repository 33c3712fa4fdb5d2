#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Pages as a browser asks for them: languages, headers, problems in plain words, compression."""
import gzip
import json
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import ROOT, WEB, Lab, Shared, main  # noqa: E402

UNKNOWN_ID = "0" * 34
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Pages(Shared):
    options = ("--web", str(WEB))

    def page(self, path="/", status=200, **headers):
        answer = self.lab.get(path, headers={**HTML, **{k.replace("_", "-"): v for k, v in headers.items()}})
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["Content-Type"], "text/html; charset=utf-8")
        answer.text = answer.body.decode()
        return answer

    def job(self):
        job = self.lab.submit().json
        return f"/j/{job['id']}?token={job['tokens']['view']}"

    def test_the_browsers_language_is_spoken(self):
        for wanted, spoken in (("nl-BE,nl;q=0.9", "nl"), ("ru", "ru"), ("zh-CN", "zh"), ("fr", "en")):
            answer = self.page(Accept_Language=wanted)
            self.assertIn(f'<html lang="{spoken}"', answer.text)
            self.assertEqual(answer.headers["Content-Language"], spoken)
            self.assertIn("Accept-Language", answer.headers["Vary"])
            self.assertIsNone(answer.headers["Set-Cookie"])

    def test_a_chosen_language_stays(self):
        answer = self.page("/about?lang=ru", Accept_Language="nl")
        self.assertIn('<html lang="ru"', answer.text)
        cookie = answer.headers["Set-Cookie"]
        self.assertEqual(cookie, "lang=ru; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax")
        answer = self.page("/terms", Cookie="a=b; lang=ru", Accept_Language="nl")
        self.assertIn('<html lang="ru"', answer.text)
        self.assertIsNone(answer.headers["Set-Cookie"])

    def test_a_language_that_is_none_leaves_no_cookie(self):
        for value in ("xx", "", "ru%0d%0aX-Evil:1", "%22%3e%3cscript%3e", "a" * 300):
            answer = self.lab.get(f"/?lang={value}", headers={**HTML, "Accept-Language": "nl"})
            self.assertIsNone(answer.headers["Set-Cookie"])
            self.assertIsNone(answer.headers["X-Evil"])
            self.assertIn(b'<html lang="nl"', answer.body)
            self.assertNotIn(b'"><script>', answer.body)

    def test_the_switch_keeps_the_rest_of_the_link(self):
        answer = self.page("/about?token=abc&lang=nl&x=%3C%22")
        self.assertIn('href="?lang=zh&amp;token=abc&amp;x=%3C%22"', answer.text)
        self.assertIn('href="?theme=dark&amp;token=abc&amp;lang=nl&amp;x=%3C%22"', answer.text)

    def test_a_query_never_becomes_markup(self):
        answer = self.page("/?x=\"><script>alert(1)</script>'&y=%E9")
        self.assertNotIn("<script>alert", answer.text)
        self.assertNotRegex(answer.text, r'href="\?lang=nl&amp;x="')

    def test_the_theme_is_chosen_without_a_script(self):
        self.assertNotIn("data-theme", self.page().text)
        answer = self.page("/?theme=dark")
        self.assertIn('data-theme="dark"', answer.text)
        self.assertIn("theme=dark; Path=/", answer.headers["Set-Cookie"])
        self.assertIn('data-theme="light"', self.page(Cookie="theme=light").text)
        self.assertNotIn("data-theme", self.page(Cookie="theme=pink").text)

    def test_every_page_has_all_security_headers(self):
        for path, status in (("/", 200), ("/about", 200), ("/terms", 200), ("/privacy", 200),
                             ("/m/test-model", 200), (self.job(), 200), ("/nothing", 404)):
            headers = self.page(path, status).headers
            policy = headers["Content-Security-Policy"]
            self.assertIn("default-src 'none'", policy)
            self.assertIn("script-src 'self';", policy)
            self.assertIn("style-src 'self';", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(headers["X-Frame-Options"], "DENY")
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(headers["Referrer-Policy"], "same-origin")
            self.assertEqual(headers["Cross-Origin-Opener-Policy"], "same-origin")
            self.assertIn("geolocation=()", headers["Permissions-Policy"])
            self.assertIsNone(headers["Strict-Transport-Security"])

    def test_no_page_has_a_script_or_a_style_inside(self):
        for path in ("/", "/about", "/terms", "/privacy", "/m/test-model", self.job()):
            text = self.page(path).text
            self.assertNotRegex(text, r"<style|\sstyle=|\son\w+=|javascript:")
            for script in re.findall(r"<script[^>]*>", text):
                self.assertIn('src="/assets/', script)
            self.assertNotRegex(text, r'(src|href)="(https?:)?//(?!127\.0\.0\.1)')

    def test_every_link_and_file_that_a_page_names_is_there(self):
        seen, waiting = set(), ["/"]
        while waiting:
            path = waiting.pop()
            if path in seen:
                continue
            seen.add(path)
            answer = self.lab.get(path, headers=HTML)
            self.assertEqual(answer.status, 200, path)
            if "text/html" in answer.headers["Content-Type"]:
                waiting += [link.partition("#")[0] for link in
                            re.findall(r'(?:href|src)="(/[^"?]*)', answer.body.decode())]
        self.assertIn("/privacy", seen)
        self.assertIn("/assets/style.css", seen)

    def test_a_problem_is_a_page_for_people_and_a_document_for_programs(self):
        answer = self.page("/nothing/here", 404, Accept_Language="nl")
        self.assertIn("Hier is niets", answer.text)
        self.assertEqual(self.lab.get("/nothing/here").code, "not-found")
        self.assertEqual(self.lab.get(f"/v1/jobs/{UNKNOWN_ID}", headers=HTML).code, "unauthorized")
        answer = self.lab.request("POST", "/about", headers=HTML)
        self.assertEqual((answer.status, answer.headers["Allow"]), (405, "GET, HEAD"))
        self.assertIn(b"<h1>", answer.body)

    def test_the_problems_words_are_escaped(self):
        answer = self.page("/m/%3Cimg%20src=x%20onerror=alert(1)%3E", 404)
        self.assertNotIn("<img src=x", answer.text)
        answer = self.page("//evil.example/", 404)
        self.assertNotIn('href="//evil', answer.text)

    def test_assets_come_compressed_where_that_is_wanted(self):
        plain = self.lab.get("/assets/style.css")
        self.assertIsNone(plain.headers["Content-Encoding"])
        self.assertEqual(plain.headers["Vary"], "Accept-Encoding")
        packed = self.lab.get("/assets/style.css", headers={"Accept-Encoding": "gzip;q=0.5, br;q=0"})
        self.assertEqual(packed.headers["Content-Encoding"], "gzip")
        self.assertEqual(gzip.decompress(packed.body), plain.body)
        self.assertNotEqual(packed.headers["ETag"], plain.headers["ETag"])
        again = self.lab.get("/assets/style.css", headers={"Accept-Encoding": "gzip",
                                                           "If-None-Match": packed.headers["ETag"]})
        self.assertEqual((again.status, again.body), (304, b""))
        refused = self.lab.get("/assets/style.css", headers={"Accept-Encoding": "gzip;q=0, *;q=0"})
        self.assertEqual(refused.body, plain.body)

    def test_scripts_get_the_texts_of_each_language_and_no_more(self):
        for language in ("en", "nl", "ru", "zh"):
            texts = self.lab.get(f"/assets/text/{language}.json").json
            self.assertIn("brand", texts["common"])
            self.assertNotIn("mail", texts)
            self.assertNotIn("legal", texts)

    def test_robots_stay_out_of_what_is_private(self):
        answer = self.lab.get("/robots.txt")
        self.assertEqual(answer.headers["Content-Type"], "text/plain; charset=utf-8")
        self.assertIn(b"Disallow: /history", answer.body)

    def test_the_manifest_names_icons_that_exist(self):
        manifest = json.loads(self.lab.get("/assets/site.webmanifest").body)
        for icon in manifest["icons"]:
            self.assertEqual(self.lab.get(icon["src"]).status, 200, icon)

    def test_templates_are_not_files_to_fetch(self):
        for path in ("/home.html", "/_head.html", "/assets/_head.html", "/assets/text/", "/assets/style.css.gz"):
            self.assertEqual(self.lab.get(path).status, 404, path)


class Secure(Shared):
    options = ("--web", str(WEB), "--public-url", "https://photos.example")

    def test_over_https_browsers_are_told_to_stay_there(self):
        answer = self.lab.get("/?lang=nl")
        self.assertEqual(answer.headers["Strict-Transport-Security"], "max-age=31536000")
        self.assertIn("; Secure;", answer.headers["Set-Cookie"])


class WithoutBundles(unittest.TestCase):
    def test_pages_and_scripts_are_there_without_npm(self):
        with Lab(dispatcher=False) as lab:
            web = lab.path / "web"
            subprocess.run([sys.executable, ROOT / "dispatcher" / "web" / "build.py",
                            "--source", ROOT / "dispatcher" / "web", "--texts", ROOT / "common" / "text",
                            "--out", web, "--stamp", lab.path / "stamp", "--depfile", lab.path / "depfile"], check=True)
            lab.dispatcher_start("--web", str(web))
            page = lab.get("/m/test-model").body.decode()
            scripts = re.findall(r'src="(/assets/[^"]+\.js)"', page)
            self.assertTrue(scripts)
            for script in scripts:
                source = lab.get(script)
                self.assertEqual(source.status, 200, script)
                for name in re.findall(r'from "\./([^"]+)"', source.body.decode()):
                    self.assertEqual(lab.get(f"/assets/{name}").status, 200, name)
            self.assertIn("brand", lab.get("/assets/text/nl.json").json["common"])
            self.assertIn(str(ROOT / "dispatcher" / "web" / "home.html"), (lab.path / "depfile").read_text())


class Broken(unittest.TestCase):
    def test_a_template_with_a_fault_stops_the_start_and_is_named(self):
        with Lab(dispatcher=False) as lab:
            folder = lab.path / "web"
            (folder / "assets" / "text").mkdir(parents=True)
            (folder / "bad.html").write_text("<p>\n{{t.home.no_such_text}}</p>")
            program = None
            try:
                program = lab.dispatcher_start("--web", str(folder))
            except AssertionError as failure:
                self.assertIn("bad.html:2: there is no text t.home.no_such_text", str(failure))
            self.assertIsNone(program)
            lab.programs.pop("dispatcher")


if __name__ == "__main__":
    main()
