#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a result says of itself, and what it never says: nothing of the camera, the place and the person behind the photograph
survives the whole road. Judged by exiv2 and PIL, which know nothing of our code."""
import json
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from darkroom import BUILD, ROOT, Lab, main  # noqa: E402
from workbench import DEVICE, PICTURES, WORKER, Workbench, rgb_png  # noqa: E402

try:
    from PIL import Image, PngImagePlugin
except ImportError:
    Image = None

CLI = BUILD / "dispatcher" / "darkroom"
SECRET = "Qz7Secret"  # in every field that a camera or a photo program may fill
PLACE = "52.370216"
OURS = {"Xmp.xmp.CreatorTool", "Xmp.xmp.CreateDate", "Xmp.iptcExt.DigitalSourceType", "Xmp.iptcExt.AISystemUsed",
        "Xmp.iptcExt.AISystemVersionUsed", "Xmp.darkroom.Version", "Xmp.darkroom.Backend", "Xmp.darkroom.Model",
        "Xmp.darkroom.Weights", "Xmp.darkroom.Seed", "Xmp.darkroom.Parameters"}
TEXTS = {"Software", "Creation Time", "Darkroom Model", "Darkroom Weights", "Darkroom Seed", "Darkroom Parameters",
         "XML:com.adobe.xmp"}
TRAINED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
CAMERA = (f"Exif.Image.Make Acme {SECRET}", f"Exif.Image.Model {SECRET}", f"Exif.Image.Artist {SECRET}",
          "Exif.Image.Orientation 6", f"Exif.Photo.BodySerialNumber {SECRET}", "Exif.Photo.MakerNote " + " ".join(map(str, SECRET.encode())),
          f"Exif.Photo.UserComment {SECRET}", "Exif.GPSInfo.GPSLatitudeRef N", "Exif.GPSInfo.GPSLatitude 52/1 22/1 128/10",
          "Exif.GPSInfo.GPSLongitudeRef E", "Exif.GPSInfo.GPSLongitude 4/1 53/1 42/1",
          f"Xmp.exif.GPSLatitude {PLACE}N", f"Xmp.dc.creator {SECRET}", f"Xmp.xmp.CreatorTool {SECRET}",
          f"Xmp.xmpMM.OriginalDocumentID {SECRET}",
          "Xmp.iptcExt.DigitalSourceType http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture")
IPTC = (f"Iptc.Application2.Byline {SECRET}", f"Iptc.Application2.City {SECRET}")


def exiv2(*arguments):
    result = subprocess.run(["exiv2", *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)
    # 253: no Exif data in the file, which is as good an answer.
    assert result.returncode in (0, 253), result.stderr
    return result.stdout


def properties(path):
    """{name: value} of everything that exiv2 finds, of whichever kind."""
    lines = exiv2("-PEIXkv", path).splitlines()
    return {name: value.strip() for name, _, value in (line.partition(" ") for line in lines) if name}


def photograph(folder, kind):
    """A picture with everything in it that phones, cameras and photo programs leave in their files."""
    path = pathlib.Path(folder) / f"photo.{kind}"
    image = Image.effect_noise((96, 80), 90).convert("RGB")
    more = {"icc_profile": struct.pack(">I", 128 + len(SECRET)) + bytes(124) + SECRET.encode()}
    if kind == "jpg":
        more["comment"] = SECRET.encode()
    if kind == "png":
        more["pnginfo"] = PngImagePlugin.PngInfo()
        more["pnginfo"].add_text("Author", SECRET)
        more["pnginfo"].add_text("Comment", SECRET, zip=True)
        more["pnginfo"].add_itxt("Location", PLACE)
    image.save(path, **more)
    fields = CAMERA if kind == "webp" else CAMERA + IPTC  # WebP has no place for these
    exiv2(*[word for field in fields for word in ("-M", "set " + field)], path)
    # As exiv2 wants to have it called.
    Image.new("RGB", (32, 24), (1, 2, 3)).save(path.with_name("photo-thumb.jpg"), comment=b"thumbnail")
    exiv2("-it", path)
    return path


def params_schema():
    return {"type": "object", "additionalProperties": False, "properties": {
        "seed": {"type": "integer", "minimum": 0, "maximum": 4294967295, "default": 5},
        "words": {"type": "string", "maxLength": 40, "default": ""}}}


@unittest.skipUnless(Image and shutil.which("exiv2"), "needs python3-pil and exiv2")
class Provenance(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="darkroom-provenance-")
        cls.path = pathlib.Path(cls.folder.name)
        cls.bench = Workbench(cls.folder.name)
        cls.bench.manifest("open", 64, weights={"file": "quick.safetensors"}, params=params_schema(), cost_ms=5,
                           retention={"crop": True, "result_s": 3600})
        cls.bench.manifest("discreet", 64, weights={"file": "quick.safetensors"}, params=params_schema(), cost_ms=5,
                           provenance={"params": False, "source": "compositeWithTrainedAlgorithmicMedia"})
        cls.lab = Lab(models=cls.bench.models)
        cls.lab.worker_start("--model", "open", "--model", "discreet", "--device", DEVICE)

    @classmethod
    def tearDownClass(cls):
        cls.lab.close()
        cls.folder.cleanup()

    def job(self, picture, model, **members):
        answer = self.lab.submit(picture, model, email="someone@example.org", **members)
        self.assertEqual(answer.status, 202, answer)
        job = answer.json
        now = self.lab.wait_for_state(job, "succeeded", "failed")
        self.assertEqual(now["state"], "succeeded", now)
        return job

    def fetch(self, job, what="result"):
        answer = self.lab.get(f"/v1/jobs/{job['id']}/{what}", token=job["tokens"]["view"])
        if answer.status == 200:
            return answer.body
        self.assertEqual(answer.status, 302, answer)
        return self.lab.get(answer.headers["Location"]).body

    def keep(self, data, name):
        path = self.path / name
        path.write_bytes(data)
        return path

    def assert_says_nothing_of_the_photograph(self, data, path):
        for word in (SECRET.encode(), SECRET.encode("utf-16-le"), b"52.37", b"Acme", b"thumbnail", b"eXIf", b"iCCP", b"zTXt",
                     b"someone", b"GPS"):
            self.assertNotIn(word, data)
        self.assertLessEqual(set(properties(path)), OURS)
        with Image.open(path) as image:
            image.load()
            self.assertFalse(dict(image.getexif()))
            self.assertNotIn("icc_profile", image.info)
            self.assertLessEqual(set(getattr(image, "text", ())), TEXTS)

    def test_the_photograph_of_this_test_is_full_of_it(self):
        for kind in ("jpg", "png", "webp"):
            path = photograph(self.path, kind)
            found = properties(path)
            self.assertIn("Exif.GPSInfo.GPSLatitude", found)
            self.assertIn("Exif.Thumbnail.JPEGInterchangeFormat", found)
            self.assertIn("Exif.Photo.BodySerialNumber", found)
            self.assertIn("Xmp.exif.GPSLatitude", found)
            self.assertGreater(path.read_bytes().count(SECRET.encode()), 3)

    def test_nothing_of_the_camera_and_the_place_survives_the_road(self):
        for kind in ("jpg", "png", "webp"):
            with self.subTest(kind):
                job = self.job(photograph(self.path, kind), "open")
                for what in ("result", "crop", "result?format=png", "result?format=jpeg", "result?format=webp"):
                    data = self.fetch(job, what)
                    path = self.keep(data, f"fetched-{kind}")
                    self.assert_says_nothing_of_the_photograph(data, path)
                    wanted = set() if what == "crop" else OURS
                    self.assertEqual(set(properties(path)), wanted)
                for token in job["tokens"].values():
                    self.assertNotIn(token.encode(), self.fetch(job))
                self.assertNotIn(job["id"].encode(), self.fetch(job))

    def test_nothing_survives_run_either(self):
        for kind in ("jpg", "png", "webp"):
            out = self.path / f"run-{kind}.png"
            status, said = self.bench.run("open", "--input", photograph(self.path, kind), "--output", out)
            self.assertEqual((status, said), (0, ""))
            self.assert_says_nothing_of_the_photograph(out.read_bytes(), out)
            self.assertEqual(properties(out)["Xmp.darkroom.Model"], "open")
            self.assertNotIn("Xmp.xmp.CreateDate", properties(out))  # there was no job

    def test_a_result_says_which_model_made_it_and_of_what(self):
        job = self.job(PICTURES / "rgb8.png", "open", params={"seed": 7, "words": "a<b> & \u753b"})
        path = self.keep(self.fetch(job), "said.png")
        found = properties(path)
        self.assertEqual(set(found), OURS)
        self.assertEqual(found["Xmp.darkroom.Model"], "open")
        self.assertEqual(found["Xmp.iptcExt.DigitalSourceType"], TRAINED)
        self.assertEqual(found["Xmp.darkroom.Backend"], f"{DEVICE}-f32")
        self.assertEqual(found["Xmp.darkroom.Seed"], "7")
        self.assertEqual(json.loads(found["Xmp.darkroom.Parameters"]), {"seed": 7, "words": "a<b> & \u753b"})
        self.assertEqual(found["Xmp.xmp.CreatorTool"], "Darkroom " + found["Xmp.darkroom.Version"])
        self.assertEqual(found["Xmp.xmp.CreateDate"], self.lab.job(job)["created_at"])
        self.assertTrue(re.fullmatch("[0-9a-f]{64}", found["Xmp.darkroom.Weights"]))
        with Image.open(path) as image:
            image.load()
            self.assertEqual(set(image.text), TEXTS)
            self.assertEqual(image.text["Darkroom Seed"], "7")

    def test_digits_with_a_seed_are_the_same_file_from_any_job_and_from_run(self):
        asked = [{"number": "2026", "seed": 7}, {"number": "2026", "seed": 8}, {"number": "0123456789", "seed": 4294967295},
                 {"number": "5", "seed": 0}]
        with Lab(models=ROOT / "models") as lab:
            def draw(params):
                job = lab.request("POST", "/v1/jobs", {"model": "digits", "params": params}).json
                self.assertEqual(lab.wait_for_state(job, "succeeded", "failed")["state"], "succeeded")
                link = lab.get(f"/v1/jobs/{job['id']}/result", token=job["tokens"]["view"]).headers["Location"]
                return lab.get(link).body
            lab.worker_start("--model", "digits", "--device", DEVICE)
            files = [draw(params) for params in asked]
            self.assertEqual(len(set(files)), 4)
            self.assertEqual(lab.stop("worker"), 0)
            lab.worker_start("--model", "digits", "--device", DEVICE, "--batch", "8", "--depth", "8")
            self.assertEqual([draw(params) for params in reversed(asked)], files[::-1])
        for params, data in zip(asked, files):
            out = self.path / "digits.png"
            self.run_digits("--params", json.dumps(params), "--output", out)
            self.assertEqual(out.read_bytes(), data)
            with Image.open(out) as image:
                self.assertEqual(image.size, (220 * len(params["number"]), 220))
            found = properties(out)
            self.assertEqual(json.loads(found["Xmp.darkroom.Parameters"]), params)
            self.assertEqual(found["Xmp.iptcExt.DigitalSourceType"], TRAINED)
            self.assertNotIn("Xmp.xmp.CreateDate", found)

    def run_digits(self, *options, status=0):
        result = subprocess.run([WORKER, "run", "digits", "--models", ROOT / "models", "--device", DEVICE, *options],
                                capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(result.returncode, status, result.stderr)
        return result.stderr

    def ask(self, lab, data, status=200):
        answer = lab.request("POST", "/v1/provenance", body=data, headers={"Content-Type": "application/octet-stream"})
        self.assertEqual(answer.status, status, answer)
        return answer.json

    def test_a_file_tells_a_program_what_it_is_and_whether_it_can_be_made_again(self):
        out, forged = self.path / "seven.png", self.path / "forged.png"
        self.run_digits("--params", '{"number": "7", "seed": 3}', "--output", out)
        whole = out.read_bytes()
        with Lab(models=ROOT / "models") as lab:
            said = self.ask(lab, whole)
            self.assertEqual(said["again"], {"possible": True, "model": "digits", "params": {"number": "7", "seed": 3}})
            self.assertEqual((said["provenance"]["seed"], said["provenance"]["model"]), (3, "digits"))
            # The same pixels in another format say the same, if the words go with them.
            with Image.open(out) as image:
                image.load()
                image.save(self.path / "seven.webp", xmp=image.text["XML:com.adobe.xmp"].encode())
                image.save(self.path / "seven.jpg")
            self.assertEqual(self.ask(lab, (self.path / "seven.webp").read_bytes()), said)
            self.assertIn("does not say", self.ask(lab, (self.path / "seven.jpg").read_bytes(), 422)["detail"])
            for field, value, reason in (("Weights", "0" * 64, "other weights"), ("Model", "sunsets", "is not here"),
                                         ("Model", "portrait-drawing", "another one"),
                                         ("Parameters", '{"number": "77x", "seed": 3}', "must match"),
                                         ("Parameters", '{"size": 3}', "no parameter")):
                shutil.copy(out, forged)
                exiv2("-M", "reg darkroom http://ns.darkroom.example/provenance/1.0/", "-M", f"set Xmp.darkroom.{field} {value}",
                      forged)
                again = self.ask(lab, forged.read_bytes())["again"]
                self.assertFalse(again["possible"])
                self.assertIn(reason, again["reason"])
            for data in (b"", b"no picture", PICTURES.joinpath("rgb8.png").read_bytes(), whole[:100]):
                self.assertEqual(self.ask(lab, data, 422)["field"], "input")
            self.assertEqual(lab.stored(), [])
            # The page for it takes forms from its own pages only.
            form = b'--x\r\nContent-Disposition: form-data; name="input"; filename="x"\r\n\r\n' + whole + b"\r\n--x--\r\n"
            headers = {"Content-Type": "multipart/form-data; boundary=x", "Origin": "https://elsewhere.example"}
            self.assertEqual(lab.request("POST", "/again", body=form, headers=headers).status, 403)

    def cli(self, lab, *arguments, status=0):
        result = subprocess.run([CLI, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False,
                                env={"DARKROOM_SERVER": lab.url if lab else "http://127.0.0.1:1", "XDG_STATE_HOME": str(self.path)})
        self.assertEqual(result.returncode, status, result)
        return result

    def test_the_command_line_reads_a_file_and_makes_it_again(self):
        first, second, foreign = (self.path / name for name in ("first.png", "second.png", "foreign.png"))
        foreign.write_bytes((PICTURES / "rgb8.png").read_bytes())
        with Lab(models=ROOT / "models") as lab:
            lab.worker_start("--model", "digits", "--device", DEVICE)
            self.cli(lab, "submit", "--model", "digits", "--param", 'number="314"', "--param", "seed=15", "-o", first)
            said = self.cli(None, "info", first).stdout
            for line in (r"model +digits", r"seed +15", r'parameters +\{"number": "314", "seed": 15\}', r"weights +[0-9a-f]{64}"):
                self.assertRegex(said, line)
            self.assertEqual(json.loads(self.cli(None, "info", "--json", first).stdout)["params"]["number"], "314")
            again = self.cli(lab, "submit", "--from", first, "-o", second)
            self.assertIn("the same bytes as", again.stderr)
            self.assertEqual(first.read_bytes(), second.read_bytes())

            refused = self.cli(lab, "submit", "--from", foreign, "-o", second, status=65)
            self.assertIn("does not say that Darkroom made it", refused.stderr)
            exiv2("-M", "reg darkroom http://ns.darkroom.example/provenance/1.0/", "-M", "set Xmp.darkroom.Weights " + "0" * 64, second)
            self.assertIn("other weights", self.cli(lab, "submit", "--from", second, status=65).stderr)
            self.cli(lab, "submit", "--from", first, "--model", "digits", status=64)
            self.assertIn("No such file", self.cli(lab, "submit", "--from", self.path / "absent", status=66).stderr)
        self.cli(None, "info", foreign, status=65)
        self.cli(None, "info", status=64)

    def test_run_refuses_digits_that_are_none(self):
        out = self.path / "none.png"
        for params, word in (({"number": "12a"}, "params.number"), ({"number": ""}, "params.number"),
                             ({"number": "12345678901"}, "params.number"), ({"seed": 4294967296}, "4294967295"),
                             ({"seed": -1}, "params.seed"), ({"size": 3}, "size")):
            said = self.run_digits("--params", json.dumps(params), "--output", out, status=64)
            self.assertIn(word, said)
        self.assertIn("takes no picture", self.run_digits("--input", PICTURES / "rgb8.png", "--output", out, status=64))
        self.assertFalse(out.exists())

    def test_a_manifest_may_withhold_the_parameters_and_name_the_kind(self):
        job = self.job(rgb_png(8, 8, bytes(192)), "discreet", params={"seed": 9, "words": SECRET})
        data = self.fetch(job)
        self.assertNotIn(SECRET.encode(), data)
        found = properties(self.keep(data, "discreet.png"))
        self.assertNotIn("Xmp.darkroom.Parameters", found)
        self.assertEqual(found["Xmp.darkroom.Seed"], "9")
        self.assertTrue(found["Xmp.iptcExt.DigitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia"))


if __name__ == "__main__":
    main()
