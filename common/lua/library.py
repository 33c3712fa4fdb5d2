# SPDX-License-Identifier: MIT
"""Makes one library of Redis functions (FUNCTION LOAD, from 7.0 on) of all scripts.

Redis compiles it once, while a script makes all its functions anew in every call. So what a script has outermost
becomes, in this order:

    local KEYS, ARGV, now, counts     variables of the parts: one set for all scripts, as one call runs at a time
    function part.count(model) …      functions of the parts, in a table, as Lua has room for 200 local variables
    function part.begin_record() …    all else of a part: runs at the beginning of each call
    do                                a script: its own variables and functions,
      local n
      local function give(id) …
      redis.register_function{…}      and all else of it, behind what its parts begin with
    end

A function's name ends in the hash of the library, as the library's does: those of several versions stand side by side.
"""
import hashlib
import re
import sys

from sources import FUNCTION, NAMED, bare, constants, inline, reachable, read_part, strip, used

VARIABLES = r"(?m)^local (?!function\b)(\w+(?:, \w+)*)(?= =|$)"
TABLES = r"(?m)^local [A-Z][A-Z0-9_]+ = \{.*\}$"
HASH = "@" * 12  # stands for it while it isn't known
# Whatever a script calls besides these makes it one that writes.
READS = {"EXISTS", "GET", "GETRANGE", "HEXISTS", "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET", "HVALS", "LINDEX", "LLEN",
         "LRANGE", "MGET", "SCARD", "SISMEMBER", "SMEMBERS", "SMISMEMBER", "STRLEN", "TIME", "TYPE", "XINFO", "XLEN",
         "XRANGE", "XREAD", "XREVRANGE", "ZCARD", "ZCOUNT", "ZINTER", "ZRANDMEMBER", "ZRANGE", "ZRANGEBYSCORE", "ZRANK",
         "ZREVRANGE", "ZSCORE", "ZMSCORE", "HSCAN", "SSCAN", "ZSCAN", "HRANDFIELD", "SRANDMEMBER", "PTTL"}


def flags(path):
    """What Redis asks before it calls. `no-writes` also runs where nothing may be written; without `allow-oom` a full
    Redis refuses the call, where a script is refused by its first command that allocates: so it is for those that
    use the part `write`, and for those that only try to keep what they have found out."""
    text = strip(reachable(path))
    commands = re.findall(r"\b(?<!\.)(?:call|try)\((?:\w+ and )?('[A-Z]+'(?: or '[A-Z]+')?|[^')])", text)
    names = {name for command in commands for name in re.findall(r"[A-Z]+", command) or [None]}
    if names <= READS and "redis.pcall(" not in text:
        return "'no-writes'"
    return "'allow-oom'" if names <= READS or "write" in used(path) else ""


def split(text, function):
    """Functions that match `function`, variables, and what is to be run, of what stands outermost."""
    functions, rest = re.findall(function, text), re.sub(function, "", text)
    variables = [name for names in re.findall(VARIABLES, rest) for name in names.split(", ")]
    rest = re.sub(VARIABLES + "$", r"\1 = nil", rest)  # one without a value begins without one each time
    return functions, variables, re.sub(r"(?m)^local (?!function\b)", "", rest)


def qualify(path, text, names):
    """Takes functions of the parts from the table that holds them. A name that the text itself declares is a variable
    of its own; whether a call of it means that or the function only Lua could tell."""
    declared = re.findall(r"\blocal (?!function\b)([\w, ]+)|\bfor ([\w, ]+) (?:in|=)|\bfunction *[\w.]*\(([\w, ]*)\)", text)
    own = {name for lists in declared for list in lists for name in list.split(", ")}
    own |= set(re.findall(r"\blocal function (\w+)", text))
    for name in own & names:
        if re.search(rf"(?<![\w.:']){name}\(", text):
            sys.exit(f"{path}: {name} is a function of a part: give it another name here")
    if not names - own:
        return text
    # Neither what is quoted nor a field: `{name = …}`.
    word = re.compile(r"'[^'\n]*'|(?<![\w.:])(" + "|".join(sorted(names - own)) + r")\b(?! = )")
    return word.sub(lambda found: f"part.{found[1]}" if found[1] else found[0], text)


def part_lines(first, names):
    """What stands before the scripts, the names of all parts' functions by part, and the parts that begin something."""
    texts = {name: bare(read_part(first, name)) for name in names}
    values = constants("\n".join(texts.values()))
    functions = {name: set(re.findall(NAMED, text)) for name, text in texts.items()}
    every = set().union(*functions.values())
    if len(every) != sum(map(len, functions.values())):
        sys.exit("two parts have a function of one name")
    variables, tables, code, begins = [], [], [], []
    for name, text in texts.items():
        text = re.sub(r"(?m)^local function ", "function part.", inline(text, values))
        text = qualify(f"{name}.lua", text, every)
        tables += re.findall(TABLES, text)
        made, own, rest = split(re.sub(TABLES, "", text), FUNCTION.replace("local function ", r"function part\."))
        variables += own
        code += made
        if rest.strip():
            begins.append(name)
            code.append(f"function part.begin_{name}()\n{rest}\nend")
    if len(set(variables)) != len(variables):
        sys.exit("two parts have a variable of one name")
    return [f"local KEYS, ARGV, {', '.join(variables)}", *tables, "local part = {}", *code], functions, begins, values


def script_lines(path, functions, begins, values):
    text = bare(path.read_text())
    text = inline(text, {**values, **constants(text)})
    text = qualify(path, text, set().union(*(functions[name] for name in used(path))))
    made, variables, rest = split(text, FUNCTION)
    own = variables + [re.match(NAMED, function)[1] for function in made]
    return ["do", f"local {', '.join(own)}" if own else "",
            *(re.sub(r"^local function", "function", function) for function in made),
            f"redis.register_function{{function_name = '{function_name(path)}', flags = {{{flags(path)}}}, "
            "callback = guard(function()",
            *(f"part.begin_{name}()" for name in used(path) if name in begins), rest, "end)}", "end"]


def function_name(path, digest=HASH):
    return f"{path.stem}_{digest}"


def library(paths):
    """Its hash and its text."""
    names = list(dict.fromkeys(name for path in paths for name in used(path)))
    lines, functions, begins, values = part_lines(paths[0], names)
    lines += ["local function explain(reply)", bare(read_part(paths[0], "explain")), "end",
              "local function guard(body)", "return function(keys, args)", "KEYS, ARGV = keys, args",
              "local ok, reply = pcall(body)", "if ok then", "return reply", "end", "return explain(reply)", "end", "end"]
    for path in paths:
        lines += script_lines(path, functions, begins, values)
    text = f"#!lua name=darkroom_{HASH}\n" + strip("\n".join(lines)) + "\n"
    digest = hashlib.sha1(text.encode()).hexdigest()[:len(HASH)]
    return digest, text.replace(HASH, digest)
