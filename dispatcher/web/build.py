#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""build.py --source DIR --texts DIR --out DIR --stamp FILE --depfile FILE [--packages DIR]

Makes the folder for `--web`: templates and assets of dispatcher/web, the texts for scripts, and
beside each file that gets smaller its gzip and brotli copies. With --packages, a folder in which
`npm ci` has run, scripts and style sheets are bundled by its esbuild; without it they are copied as
they are, and a script that needs a package does not run.
"""
import argparse
import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

# What scripts may say; the rest is only ever rendered into pages and mails.
SCRIPT_SECTIONS = ("common", "submit", "status", "result", "delete", "history", "fleet", "docs", "error")
COMPRESSED = (".css", ".js", ".json", ".svg", ".txt", ".webmanifest", ".wasm")
# Brotli is in node, not in Python.
BROTLI = """
const fs = require("fs"), zlib = require("zlib");
for (const file of process.argv.slice(1)) {
  const data = fs.readFileSync(file), small = zlib.brotliCompressSync(data);
  if (small.length < data.length) fs.writeFileSync(file + ".br", small);
}
"""


def write_texts(source, out):
    out.mkdir(parents=True)
    for path in sorted(source.glob("*.json")):
        texts = json.loads(path.read_text(encoding="utf-8"))
        kept = {name: texts[name] for name in SCRIPT_SECTIONS if name in texts}
        (out / path.name).write_text(json.dumps(kept, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")


def bundle(source, templates, out, packages):
    """The scripts and style sheets that templates name, under their names; what they share in chunks."""
    named = {name for path in templates for name in re.findall(r'"/assets/([\w-]+\.(?:js|css))"', path.read_text())}
    entries = [source / name for name in sorted(named)]
    subprocess.run([packages / "node_modules" / ".bin" / "esbuild", *entries, "--bundle", "--splitting",
                    "--format=esm", "--target=es2022", "--minify", "--charset=utf8", "--legal-comments=none",
                    "--log-level=warning", f"--outdir={out}", "--chunk-names=chunk-[hash]",
                    "--loader:.svg=file", "--asset-names=[name]-[hash]", "--external:/assets/*"],
                   env={**os.environ, "NODE_PATH": str(packages / "node_modules")}, check=True)


def write_licences(out, packages):
    """What the bundles are made of is others' work: their notices go along, as their licences ask."""
    lock = json.loads((packages / "package-lock.json").read_text())
    notices = []
    for place, package in sorted(lock["packages"].items()):
        if place and not package.get("dev"):
            texts = [p.read_text(encoding="utf-8") for p in sorted((packages / place).glob("LICEN[CS]E*"))]
            notices.append(f"{place.rpartition('node_modules/')[2]} {package['version']} "
                           f"({package.get('license', 'no licence named')})\n\n" + "\n".join(texts))
    if notices:
        (out / "licences.txt").write_text(("\n" + "-" * 80 + "\n\n").join(notices), encoding="utf-8")


def compress(out):
    files = [p for p in sorted(out.rglob("*")) if p.suffix in COMPRESSED and p.stat().st_size > 200]
    for path in files:
        data = path.read_bytes()
        small = gzip.compress(data, 9, mtime=0)
        if len(small) < len(data):
            path.with_name(path.name + ".gz").write_bytes(small)
    node = shutil.which("node")
    if node and files:
        subprocess.run([node, "-e", BROTLI, *map(str, files)], check=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("source", "texts", "out", "stamp", "depfile"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--packages", type=pathlib.Path)
    options = parser.parse_args()
    source, out = options.source.resolve(), options.out
    # The folder is empty where npm could not fetch them.
    bundled = options.packages and (options.packages / "node_modules" / ".bin" / "esbuild").exists()
    new = out.with_name(out.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    (new / "assets").mkdir(parents=True)
    files = [p for p in sorted(source.iterdir()) if p.suffix in (".html", ".txt")]
    for path in files:
        shutil.copyfile(path, new / path.name)
    for path in sorted((source / "assets").iterdir()):
        if not bundled or path.suffix not in (".js", ".css"):
            shutil.copyfile(path, new / "assets" / path.name)
    if bundled:
        bundle(source / "assets", files, new / "assets", options.packages.resolve())
        write_licences(new / "assets", options.packages.resolve())
    write_texts(options.texts, new / "assets" / "text")
    compress(new)
    shutil.rmtree(out, ignore_errors=True)
    new.rename(out)
    used = [source, source / "assets", *files, *(source / "assets").iterdir(), *options.texts.glob("*.json")]
    options.depfile.write_text(f"{options.stamp}: " + " ".join(str(p).replace(" ", "\\ ") for p in used) + "\n")
    options.stamp.touch()


if __name__ == "__main__":
    sys.exit(main())
