#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Adds up meson's JSON logs: shows what failed or was skipped, ends with the closing line.

A program that speaks TAP counts by its lines, another one (cppcheck) as one. One that ends badly
without a failed line of its own (a crash, a leak, a time-out) counts as one failure more. A skip counts as a broken promise unless its suite is named
with --may-skip: run.sh has installed every server that it promises, so anything else that is
missing is a fault of ours.
"""
import argparse
import json
import re
import sys

RESULT = re.compile(r"^(not )?ok\b(?:\s+\d+)?(?:\s+-)?\s*(.*)$")
ALL_SKIPPED = re.compile(r"^1\.\.0\s*# SKIP\s*(.*)$", re.IGNORECASE)


def outcomes(test):
    """Yields (outcome, what) of one test program."""
    failed = False
    lines = test.get("stdout", "").splitlines()
    if test["result"] == "OK" and not lines:
        yield "passed", test["name"]
    for line in lines:
        skipped = ALL_SKIPPED.match(line)
        result = RESULT.match(line)
        if skipped:
            yield "skipped", skipped[1]
        elif result and re.search(r"# SKIP", result[2], re.IGNORECASE):
            yield "skipped", result[2]
        elif result:
            failed = failed or bool(result[1])
            yield "failed" if result[1] else "passed", result[2]
    if test["result"] not in ("OK", "SKIP") and not failed:
        yield "failed", f"the program ended with {test['result']}, status {test['returncode']}"


def show_output(test, lines=60):
    for stream in ("stdout", "stderr"):
        for line in test.get(stream, "").splitlines()[-lines:]:
            if not RESULT.match(line) or line.startswith("not"):
                print(f"    {line}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--may-skip", action="append", default=[], metavar="SUITE")
    parser.add_argument("--failed", type=int, default=0, help="what failed outside meson")
    parser.add_argument("logs", nargs="+")
    args = parser.parse_args()

    count = {"passed": 0, "failed": args.failed, "skipped": 0}
    broken_promises = 0
    for path in args.logs:
        with open(path, encoding="utf-8") as file:
            tests = [json.loads(line) for line in file]
        for test in tests:
            bad = False
            for outcome, what in outcomes(test):
                count[outcome] += 1
                if outcome != "passed":
                    print(f"{outcome}: {test['name']}: {what}")
                bad = bad or outcome == "failed"
                suites = test["name"].split(" / ")[0].split(":")[-1].split("+")
                if outcome == "skipped" and not any(suite in args.may_skip for suite in suites):
                    broken_promises += 1
            if bad:
                show_output(test)
    if broken_promises:
        print(f"{broken_promises} skipped where this run promises that nothing is missing")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**count))
    return 1 if count["failed"] or broken_promises or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
