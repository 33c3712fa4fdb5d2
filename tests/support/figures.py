# SPDX-License-Identifier: MIT
"""What the programs tell Prometheus, and its own tool to check it with.

    text = figures.of_program(program, "worker.metrics")
    figures.value(text, "darkroom_worker_jobs_total", model="quick", outcome="done")
    figures.promtool("check", "metrics", input=text)
"""
import json
import pathlib
import re
import shutil
import subprocess
import unittest
import urllib.request

DASHBOARD = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "darkroom.json"
SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


def of_program(program, event):
    """Fetches from where the program said in its log that it listens."""
    line = next(line for line in program.log.splitlines() if f" {event} " in line)
    port = int(re.search(r"\bport=(\d+)", line)[1])
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"), answer.headers
        return answer.read().decode()


def samples(text):
    """[(name, {label: value}, number)]"""
    out = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, labels, number = SAMPLE.match(line).groups()
            out.append((name, dict(LABEL.findall(labels or "")), float(number)))
    return out


def families(text):
    """{name: type}"""
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


def names(text):
    """What may stand in a query: the samples' names, those of families without samples as well."""
    out = {name for name, _, _ in samples(text)}
    for name, kind in families(text).items():
        out |= {name + part for part in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return out


def value(text, name, **labels):
    """The sum over the samples with these labels; None where there is none."""
    found = [number for other, have, number in samples(text)
             if other == name and labels.items() <= have.items()]
    return sum(found) if found else None


def dashboard_queries():
    """Of its panels and its variables, as Grafana writes them."""
    board = json.loads(DASHBOARD.read_text())
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())] + [
        variable["query"]["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]


def dashboard_promql():
    """Of its panels, as Prometheus gets them where all models are chosen."""
    asked = [query for query in dashboard_queries() if not query.startswith("label_values(")]
    return [query.replace("$__rate_interval", "1m").replace("$model", ".*") for query in asked]


def have_promtool():
    return shutil.which("promtool") is not None


def promtool(*arguments, **more):
    """Its output; skips the test without it."""
    if not have_promtool():
        raise unittest.SkipTest("promtool is not installed (Debian's package prometheus)")
    result = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, **more)
    assert result.returncode == 0, f"promtool {arguments}:\n{result.stdout}{result.stderr}"
    return result.stdout + result.stderr
