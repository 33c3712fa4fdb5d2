#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns the queue's Lua scripts into C.

    embed.py OUT.c OUT.h submit.lua claim.lua ...
    embed.py --as VERSION OLDEST OUT.c submit.lua claim.lua ...

The second line of a script, `-- @use base record lane`, names the parts (NAME.lua beside it) that go
in front of it. Lua makes every function anew in every call of a script, so one that is called for each
job has a third line, `-- @usual count finish`, with those functions of its parts that usual jobs need.
All others are made together when the first of them is called: they become fields of a table, `rest`.
What is written once as `local NAME = 12` or 'text' stands where the name does in what Redis gets.
A script runs guarded: where it fails, explain.lua says what is wrong. Comments and indentation stay out
of what Redis gets. Each script becomes a struct redis_script `queue_script_NAME` with its SHA-1, so that
a call needs no SCRIPT LOAD. With --as they are those of a program of another version of the protocol, for
tests: a table `queue_scripts_VERSION`, ended by NULL.
"""
import hashlib
import pathlib
import re
import sys


def strip(text):
    """Drops comment lines, trailing comments and indentation; no Lua string here holds `--`."""
    lines = (line.split("--", 1)[0].strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


FUNCTION = r"(?ms)^(local function \w+\(.*?^end$)"


CONSTANT = r"(?:-?\d+|'[^'\n]*')"
CONSTANTS = rf"(?m)^local ([A-Z][A-Z0-9_]+(?:, [A-Z][A-Z0-9_]+)*) = ({CONSTANT}(?:, {CONSTANT})*)$"


def inline(text):
    """Puts the numbers and strings of `local NAME = …` where the names stand: each would be one more variable for
    functions to capture."""
    values = {}
    for names, constants in re.findall(CONSTANTS, text):
        for name, value in zip(names.split(", "), re.findall(CONSTANT, constants)):
            if values.setdefault(name, f"({value})") != f"({value})":
                sys.exit(f"{name} is a constant of two parts of one script")
    text = re.sub(CONSTANTS, "", text)
    return re.sub(r"'[^'\n]*'|(?<![\w.])[A-Z][A-Z0-9_]+\b", lambda word: values.get(word[0], word[0]), text)


def nest(base, parts, script, explain):
    """Makes base, parts and script three functions, one in the other. Lua finds a local variable that a new
    function captures by walking a list of all that were captured before, while what lies one function further
    out is merely copied: in one flat script that walk costs more than all the rest of a short call."""
    base, parts, script = inline("\0".join((base, parts, script))).split("\0")
    return (f"{base}\nlocal ok, reply = pcall(function()\n{parts}\nreturn (function()\n{script}\nend)()\nend)\n"
            f"if ok then\nreturn reply\nend\n{explain}\n")


def fold(path, parts, script, usual):
    """Moves the functions of the parts that are not usual into the table `rest`, which fills itself. What fills it stands
    in the script, one function further in than what it captures."""
    blocks = re.split(FUNCTION, parts)
    named = {re.match(r"local function (\w+)", block).group(1): block for block in blocks[1::2]}
    for wrong in usual - set(named):
        sys.exit(f"{path}: @usual {wrong}, but no part has such a function")
    folded = {name: block for name, block in named.items() if name not in usual}
    calls = re.compile(r"(?<![\w.'])(" + "|".join(folded) + r")(?=\()")

    def rename(text):
        return calls.sub(r"rest.\1", text).replace("local function rest.", "function rest.")

    stays = rename("".join(block for block in blocks if block not in folded.values()))
    made, script = rename("\n".join(folded.values())), rename(script)
    for name in folded:
        if re.search(rf"(?<![\w.'])({name})(?![\w'(])", strip(stays + made + script)) or f"function rest.{name}" in script:
            sys.exit(f"{path}: {name} is a function of a part; here it may only be called")
    return ("local rest = {}\n" + stays, "setmetatable(rest, {__index = function(_, name)\n" +
            "setmetatable(rest, nil)\n" + made + "\nreturn rest[name]\nend})\n" + script)


def speak_as(base, version, oldest):
    """Base of a program of another version of the protocol."""
    base, found = re.subn(r"(?m)^local PROTOCOL, OLDEST = \d+, \d+$", f"local PROTOCOL, OLDEST = {version}, {oldest}", base)
    return base if found == 1 else sys.exit("base.lua: one line `local PROTOCOL, OLDEST = …` was expected")


def gather(path):
    """Base, the other parts in one, and the script itself."""
    script = path.read_text()
    if not script.split("\n")[1].startswith("-- @use base"):
        sys.exit(f"{path}: the second line must be `-- @use base PART...`")
    base, *parts = ((path.parent / f"{name}.lua").read_text() for name in script.split("\n")[1].split()[2:])
    return base, "\n".join(parts), script


def reachable(path):
    """The script with those functions of its parts that it can call: what a checker should read."""
    base, parts, script = gather(path)
    blocks = re.split(FUNCTION, parts)
    named = {re.match(r"local function (\w+)", block).group(1): block for block in blocks[1::2]}
    kept, text = set(), "".join(blocks[::2]) + script
    while found := {name for name in named if name not in kept and re.search(rf"\b{name}\b", strip(text))}:
        kept |= found
        text += "".join(named[name] for name in found)
    return "\n".join([base, *(b for b in blocks if b not in named.values() or b in map(named.get, kept)), script])


def assemble(path, version=None):
    base, parts, script = gather(path)
    if version:
        base = speak_as(base, *version)
    lines = script.split("\n")
    if lines[2].startswith("-- @usual "):
        parts, script = fold(path, parts, script, set(lines[2].split()[2:]))
    explain = (path.parent / "explain.lua").read_text()
    return nest(strip(base), strip(parts), strip(script), strip(explain))


def c_bytes(data):
    values = [str(byte) for byte in data] + ["0"]
    return "\n".join("    " + ", ".join(values[i : i + 24]) + "," for i in range(0, len(values), 24))


def write_others(out_c, version, paths):
    """The scripts of another version, for tests."""
    code = ['/* Generated by embed.py. */', '#include "tests/support/other_scripts.h"', "", "#include <stddef.h>", ""]
    for path in paths:
        body = assemble(path, version).encode()
        code += [f"static const char {path.stem}_body[] = {{", c_bytes(body), "};",
                 f"static const struct redis_script {path.stem} = {{",
                 f'    "{path.stem}", "{hashlib.sha1(body).hexdigest()}", {path.stem}_body, {len(body)}}};', ""]
    code += [f"const struct redis_script *const queue_scripts_{version[0]}[] = {{",
             *(f"    &{path.stem}," for path in paths), "    NULL};", ""]
    pathlib.Path(out_c).write_text("\n".join(code))


def main():
    if sys.argv[1] == "--as":
        write_others(sys.argv[4], sys.argv[2:4], [pathlib.Path(name) for name in sys.argv[5:]])
        return
    out_c, out_h = sys.argv[1], sys.argv[2]
    paths = [pathlib.Path(name) for name in sys.argv[3:]]
    code = ['/* Generated by embed.py. */', '#include "common/queue_scripts.h"', ""]
    header = ["/* Generated by embed.py. */", "#ifndef DARKROOM_QUEUE_SCRIPTS_H",
              "#define DARKROOM_QUEUE_SCRIPTS_H", '#include "common/redis.h"', ""]
    for path in paths:
        body = assemble(path).encode()
        name = path.stem
        header.append(f"extern const struct redis_script queue_script_{name};")
        code += [f"static const char {name}_body[] = {{", c_bytes(body), "};",
                 f"const struct redis_script queue_script_{name} = {{",
                 f'    "{name}", "{hashlib.sha1(body).hexdigest()}", {name}_body, {len(body)}}};', ""]
    header += ["", "#endif", ""]
    pathlib.Path(out_c).write_text("\n".join(code))
    pathlib.Path(out_h).write_text("\n".join(header))


if __name__ == "__main__":
    main()
