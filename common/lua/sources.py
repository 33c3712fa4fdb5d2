# SPDX-License-Identifier: MIT
"""Reads the queue's Lua scripts.

The second line of a script, `-- @use base record lane`, names the parts (NAME.lua beside it) that it is made of.
What is written once as `local NAME = 12` or 'text' stands where the name does in what Redis gets; comments and
indentation stay out of it.
"""
import re
import sys

FUNCTION = r"(?ms)^(local function \w+\(.*?^end$)"
NAMED = r"(?m)^local function (\w+)"
CONSTANT = r"(?:-?\d+|'[^'\n]*')"
CONSTANTS = rf"(?m)^local ([A-Z][A-Z0-9_]+(?:, [A-Z][A-Z0-9_]+)*) = ({CONSTANT}(?:, {CONSTANT})*)$"


def strip(text):
    """Drops comment lines, trailing comments and indentation; no Lua string here holds `--`."""
    lines = (line.split("--", 1)[0].strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def bare(text):
    """Without comments, but with the indentation that tells what stands outermost."""
    return "\n".join(line.split("--", 1)[0].rstrip() for line in text.splitlines())


def constants(text):
    values = {}
    for names, numbers in re.findall(CONSTANTS, text):
        for name, value in zip(names.split(", "), re.findall(CONSTANT, numbers)):
            if values.setdefault(name, f"({value})") != f"({value})":
                sys.exit(f"{name} is a constant of two parts of one script")
    return values


def inline(text, values):
    """Puts constants where their names stand: each would be one more variable for functions to capture."""
    text = re.sub(CONSTANTS, "", text)
    return re.sub(r"'[^'\n]*'|(?<![\w.])[A-Z][A-Z0-9_]+\b", lambda word: values.get(word[0], word[0]), text)


def used(path):
    """Names of a script's parts, base first."""
    words = path.read_text().split("\n")[1].split()
    if words[:3] != ["--", "@use", "base"]:
        sys.exit(f"{path}: the second line must be `-- @use base PART...`")
    return words[2:]


def read_part(path, name):
    return (path.parent / f"{name}.lua").read_text()


def reachable(path):
    """The script with those functions of its parts that it can call: what a checker should read."""
    base, *parts = (read_part(path, name) for name in used(path))
    script = path.read_text()
    blocks = re.split(FUNCTION, "\n".join(parts))
    named = {re.match(NAMED, block).group(1): block for block in blocks[1::2]}
    kept, text = set(), "".join(blocks[::2]) + script
    while found := {name for name in named if name not in kept and re.search(rf"\b{name}\b", strip(text))}:
        kept |= found
        text += "".join(named[name] for name in found)
    return "\n".join([base, *(b for b in blocks if b not in named.values() or b in map(named.get, kept)), script])
