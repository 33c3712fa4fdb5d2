#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Adds up meson's JUnit logs: names what failed or was skipped, ends with the closing line.

A skip counts as a failure unless its suite is named with --may-skip: run.sh has installed every
server and device that it promises, so anything else that is missing is a fault of ours.
"""
import argparse
import sys
import xml.etree.ElementTree as ElementTree


def cases(path):
    """Yields (suite, name, outcome) for each test case of one log."""
    for suite in ElementTree.parse(path).iter("testsuite"):
        for case in suite.iter("testcase"):
            outcome = "passed"
            for child in case:
                if child.tag in ("failure", "error"):
                    outcome = "failed"
                elif child.tag == "skipped":
                    outcome = "skipped"
            yield suite.get("name", ""), case.get("name", ""), outcome


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--may-skip", action="append", default=[], metavar="SUITE")
    parser.add_argument("logs", nargs="+")
    args = parser.parse_args()

    count = {"passed": 0, "failed": 0, "skipped": 0}
    broken_promises = 0
    for path in args.logs:
        for suite, name, outcome in cases(path):
            count[outcome] += 1
            if outcome == "passed":
                continue
            print(f"{outcome}: {suite} / {name}")
            allowed = any(word in args.may_skip for word in suite.replace(".", " ").split())
            if outcome == "skipped" and not allowed:
                broken_promises += 1
    if broken_promises:
        print(f"{broken_promises} skipped where this run promises that nothing is missing")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**count))
    return 1 if count["failed"] or broken_promises or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
