#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What traces cost a dispatcher: instructions for one submission without a picture, by callgrind.

    tests/bench/trace_cost.py [BUILD]

The difference of 600 and 100 submissions, one after the other on one connection; the loop's thread and, where there is
one, the thread that sends spans. Counts do not depend on what else the machine does. Wants valgrind.
"""
import glob
import http.client
import json
import os
import pathlib
import re
import sys

os.environ.setdefault("DARKROOM_TEST_DEADLINE", "240")
if len(sys.argv) > 1:
    os.environ["DARKROOM_BUILD"] = sys.argv[1]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))
from collector import Collector  # noqa: E402
from darkroom import BUILD, Lab, manifest_of  # noqa: E402

TEXT = {"type": "string", "maxLength": 500, "default": ""}
DICE = manifest_of("dice", input={"kind": "none"}, params={
    "type": "object", "additionalProperties": False, "properties": {"prompt": TEXT}})
BODY = json.dumps({"model": "dice", "params": {"prompt": "x" * 230}})
FEW, MANY = 100, 600


def instructions(count, options, with_trace):
    """{thread: instructions} of a dispatcher that took so many submissions."""
    with Lab(models={"dice": DICE}, dispatcher=False) as lab:
        out, port_file = lab.path / "callgrind.out", lab.path / "port"
        program = lab.start("dispatcher", [
            "valgrind", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}",
            BUILD / "dispatcher" / "darkroom-dispatcher", "--listen", "127.0.0.1:0", "--port-file", port_file,
            "--redis", lab.redis_url, "--models", lab.models, "--secret-file", lab.secret_file,
            "--worker-token-file", lab.worker_token_file, *lab.store_options, "--submits-per-minute", "0", *options])
        program.wait_for_log("dispatcher.ready")
        connection = http.client.HTTPConnection("127.0.0.1", int(port_file.read_text()))
        for i in range(count):
            trace = {"traceparent": f"00-{i + 1:032x}-{i + 1:016x}-01"} if with_trace else {}
            connection.request("POST", "/v1/jobs", BODY, {"Content-Type": "application/json", **trace})
            answer = connection.getresponse()
            assert answer.status == 202, answer.read()
            answer.read()
        lab.stop("dispatcher")
        totals = {}
        for path in glob.glob(f"{out}*"):
            text = pathlib.Path(path).read_text()
            thread, total = re.search(r"^thread: (\d+)", text, re.M), re.search(r"^totals: (\d+)", text, re.M)
            if thread and total:
                totals[int(thread[1])] = int(total[1])
        return totals


def main():
    collector = Collector()
    told = ["--otlp-endpoint", collector.url]
    print(f"{'':34} {'loop':>9} {'sender':>9}")
    for name, options, with_trace in (("no traces", [], False), ("a traceparent, no collector", [], True),
                                      ("--trace-ratio 0", [*told, "--trace-ratio", "0"], False),
                                      ("--trace-ratio 1", told, False), ("a sampled traceparent", told, True)):
        few, many = (instructions(count, options, with_trace) for count in (FEW, MANY))
        each = [round((many.get(thread, 0) - few.get(thread, 0)) / (MANY - FEW)) for thread in (1, 2)]
        print(f"{name:34} {each[0]:9,} {each[1]:9,}", flush=True)
    collector.close()


if __name__ == "__main__":
    main()
