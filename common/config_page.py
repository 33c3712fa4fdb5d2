#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes docs/configuration.md from the option tables of the programs themselves.

    common/config_page.py BUILD > docs/configuration.md

tests/integration/test_configuration.py fails where the two differ.
"""
import collections
import pathlib
import re
import subprocess
import sys

DAEMONS = (("dispatcher", "dispatcher/darkroom-dispatcher"), ("notifier", "dispatcher/darkroom-notifier"),
           ("worker", "worker/darkroom-worker"))
SUBCOMMANDS = ("run", "bench", "self-test", "weights")

INTRODUCTION = """\
# Options
Made by `common/config_page.py BUILD` from the programs' own tables; do not edit.

Every program takes its options from a file (`--config FILE`, or `DARKROOM_CONFIG`; lines `name = value`, `#` for comments), from the
environment (`DARKROOM_NAME`) and from the command line (`--name VALUE`); a later one of these counts. An unknown option of
file or command line and a value out of range end the start with one line that says where it stood
([statuses](operations.md#exit-statuses)). `--check-config` reads all sources and ends, `--dump-config` prints what is in force as a
file, `--help` lists the options.

- **reload**: SIGHUP takes a new value over ([how](operations.md#reload)); the others want a restart.
- **secret**: the option names a file; the secret itself may instead come in the variable without `_FILE` (`DARKROOM_SECRET` for
  `--secret-file`), which is taken out of the environment at once, or as systemd's credential of that name (`secret`). A file that every
  user may read is refused, and so is the secret itself on the command line or in a configuration file.
"""


def read_table(*command):
    """What one program has, by --dump-reference."""
    text = subprocess.run([*map(str, command), "--dump-reference"], capture_output=True, text=True, check=True).stdout
    names = "name short type least most unit default reloads secret installed shared help".split()
    return [dict(zip(names, line.split("\t"), strict=True)) for line in text.splitlines()]


def merge(tables):
    """Rows that several programs have alike become one: (option, programs), by name."""
    rows = collections.defaultdict(list)
    for program, options in tables:
        for option in options:
            rows[tuple(option.items())].append(program)
    return sorted(((dict(option), programs) for option, programs in rows.items()), key=lambda row: row[0]["name"])


def describe_type(option):
    unit = f" {option['unit']}" if option["unit"] else ""
    if option["type"] == "int":
        return f"{option['least']} to {option['most']}{unit}"
    if option["type"] == "bool":
        return "true, false"
    return f"text, up to {option['most']} times" if option["type"] == "list" else "text"


def describe_default(option):
    if option["shared"]:
        return f"`{option['shared']}`" + (f", else `{option['default']}`" if option["default"] else "")
    if option["default"]:
        return f"`{option['default']}`"
    return "installed" if option["installed"] else ""


def cell(text):
    return text.replace("|", "\\|")


def write_table(tables, who):
    merged = merge(tables)
    everybody = len({program for program, _ in tables})
    reloads = any(option["reloads"] for option, _ in merged)
    lines = [f"| option | variable | value | default |{' ' + who + ' |' if who else ''}{' |' if reloads else ''} |",
             "|---" * (5 + bool(who) + reloads) + "|"]
    for option, programs in merged:
        short = f", `-{option['short']}`" if option["short"] else ""
        variable = "DARKROOM_" + option["name"].upper().replace("-", "_")
        marks = ", ".join(mark for mark in (option["reloads"].rstrip("s"), option["secret"]) if mark)
        columns = [f"`--{option['name']}`{short}", f"`{variable}`", describe_type(option), describe_default(option)]
        if who:
            columns.append("all" if len(programs) == everybody else ", ".join(programs))
        if reloads:
            columns.append(marks)
        elif marks:
            option["help"] += f" ({marks})"
        lines.append("| " + " | ".join(map(cell, [*columns, option["help"]])) + " |")
    return "\n".join(lines) + "\n"


def commands_of(cli):
    text = subprocess.run([cli, "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  (\S+(?: \S+)?) {2,}", text, re.M)


def make_page(build):
    worker, cli = build / "worker" / "darkroom-worker", build / "dispatcher" / "darkroom"
    daemons = [(name, read_table(build / program)) for name, program in DAEMONS]
    looks = [(name, read_table(worker, name)) for name in SUBCOMMANDS]
    commands = [(name, read_table(cli, *name.split())) for name in commands_of(cli)]
    return "\n".join((INTRODUCTION,
                      "## Dispatcher, notifier, worker\n" + write_table(daemons, "programs"),
                      "## `darkroom-worker run`, `bench` and `weights`\n" + write_table(looks, "commands"),
                      "## `darkroom`\nSee [cli.md](cli.md).\n\n" + write_table(commands, "commands")))


if __name__ == "__main__":
    sys.stdout.write(make_page(pathlib.Path(sys.argv[1])))
