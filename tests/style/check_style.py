#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_style.py ROOT: the rules of this house that a script can check, as TAP.

Each rule is a function that yields one line for each place that breaks it."""
import os
import pathlib
import re
import shutil
import subprocess
import sys

LAYERS = {"common": ("common",), "gpu": ("common", "gpu"), "worker": ("common", "gpu", "worker"),
          "dispatcher": ("common", "dispatcher")}

# Header, and the only files that may include it.
HOMES = [
    (r"hiredis/", r"common/redis\w*\.[ch]"),
    (r"curl/", r"common/(http_client|smtp)\w*\.c"),
    (r"jansson\.h", r"common/json\.h"),
    (r"png\.h|zlib\.h", r"common/picture_png\.c"),
    (r"jpeglib\.h|jerror\.h|turbojpeg\.h", r"common/picture_jpeg\.c"),
    (r"webp/", r"common/picture_webp\.c"),
    (r"libheif/", r"common/picture_heif\.c"),
    (r"hdf5\.h", r"gpu/weights/keras\.c"),
    (r"openssl/", r"common/crypto\w*\.c"),
    (r"microhttpd\.h", r"dispatcher/http/\w+\.[ch]"),
    (r"(oneapi/dnnl/)?dnnl\w*\.h", r"gpu/cpu/\w+\.[ch]"),
    (r"cuda\w*\.h|mma\.h", r"gpu/cuda/\w+\.(h|cu|cuh)"),
]

BANNED = r"\b(sprintf|vsprintf|strtok|atoi|atol|atoll|atof|gets|strcpy|strcat|tmpnam|alloca)\s*\("
CODE = (".c", ".h", ".cu", ".cuh")
MARKED = CODE + (".py", ".sh", ".lua", ".js", ".mjs", ".css")
TEXT = MARKED + (".md", ".html", ".json", ".build", ".txt", ".yml", ".yaml", ".conf", ".toml")
MAX_LINES = 600
# Longer files that are a table or a flat list, each with its reason.
LONG = {}


def listed_files():
    """What git tracks or would track; without git, everything but builds and packages."""
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], text=True,
                             capture_output=True, check=False)
    if listing.returncode == 0:
        return sorted(f for f in set(listing.stdout.splitlines()) if os.path.isfile(f))
    found = []
    for folder, folders, files in os.walk("."):
        folders[:] = [f for f in folders if not f.startswith(("build", ".", "node_modules"))]
        found += [os.path.relpath(os.path.join(folder, f)) for f in files]
    return sorted(found)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def strip_comments(text):
    """Blanks out comments and the insides of literals; keeps the lines."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def matches(path, text, pattern):
    for number, line in enumerate(text.split("\n"), 1):
        found = re.search(pattern, line)
        if found:
            yield "%s:%d: %s" % (path, number, found.group().strip())


def code(files, *folders):
    return [f for f in files if f.endswith(CODE) and (not folders or f.split("/")[0] in folders)]


def no_banned_functions(files):
    for path in code(files):
        yield from matches(path, strip_comments(read(path)), BANNED)


def layers_only_look_down(files):
    for path in code(files, *LAYERS):
        allowed = LAYERS[path.split("/")[0]]
        for number, line in enumerate(read(path).split("\n"), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if found and found.group(1).split("/")[0] not in allowed:
                yield "%s:%d: includes %s" % (path, number, found.group(1))


def each_library_has_one_home(files):
    for path in code(files, *LAYERS):
        for number, line in enumerate(read(path).split("\n"), 1):
            found = re.match(r'\s*#\s*include\s+[<"]([^>"]+)[>"]', line)
            for header, home in HOMES if found else ():
                if re.fullmatch("(%s).*" % header, found.group(1)) and not re.fullmatch(home, path):
                    yield "%s:%d: %s belongs to %s" % (path, number, found.group(1), home)


def a_licence_stands_first(files):
    for path in files:
        if path.endswith(MARKED):
            head = read(path).split("\n")[:2]
            line = head[1] if head[0].startswith("#!") and len(head) > 1 else head[0]
            if "SPDX-License-Identifier: MIT" not in line:
                yield "%s: no SPDX line" % path


def no_path_of_one_machine(files):
    # Put together here, so that this file passes too.
    pattern = r"(?<![\w.$}])/(%s)/\w+" % "|".join(["home", "root", "work", "Users"])
    for path in files:
        if path.endswith(TEXT):
            yield from matches(path, read(path), pattern)


def no_open_ends(files):
    pattern = r"\b(%s)\b" % "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"])
    for path in files:
        if path.endswith(MARKED):
            yield from matches(path, read(path), pattern)


def files_stay_readable(files):
    for path in files:
        if path.endswith(MARKED) and path not in LONG:
            lines = read(path).count("\n")
            if lines > MAX_LINES:
                yield "%s: %d lines; past %d, ask whether two ideas share a roof" % (
                    path, lines, MAX_LINES)


def macros_do_not_hide_jumps(files):
    for path in code(files):
        text = strip_comments(read(path)).replace("\\\n", " ")
        yield from matches(path, text, r"#\s*define\b.*\b(return|goto)\b")


def structs_have_no_typedef(files):
    for path in code(files, *LAYERS):
        yield from matches(path, strip_comments(read(path)), r"\btypedef\s+(struct|union|enum)\b")


def clang_format_agrees(files):
    tool = shutil.which("clang-format-14") or shutil.which("clang-format")
    version = tool and subprocess.run([tool, "--version"], text=True, capture_output=True,
                                      check=False).stdout
    if not version or "version 14." not in version:
        return  # other versions break lines elsewhere
    sources = [f for f in code(files) if f.endswith((".c", ".h"))]
    run = subprocess.run([tool, "--dry-run", "-Werror", *sources], text=True, capture_output=True,
                         check=False)
    faults = re.findall(r"^([^:\n]+):(\d+):.*clang-format-violations", run.stderr, flags=re.M)
    for path in sorted({path for path, _ in faults}):
        yield "%s:%s: clang-format -i" % (path, min((int(n) for p, n in faults if p == path)))


# What Redis gives a script, and Lua 5.1's own.
LUA_GLOBALS = {"redis", "struct", "KEYS", "ARGV", "string", "table", "math", "pcall", "error", "tonumber",
               "tostring", "unpack", "ipairs", "pairs", "next", "setmetatable", "type", "cmsgpack"}


def lua_scripts_call_only_what_they_have(files):
    """A part that a script forgot to @use would fail only when Redis gets there."""
    luac = shutil.which("luac5.1")
    if not luac:
        yield "luac5.1 is not installed"
        return
    sys.path.insert(0, "common/lua")
    sys.dont_write_bytecode = True
    from sources import reachable  # noqa: E402
    for path in files:
        if not re.fullmatch(r"common/lua/\w+\.lua", path) or "\n-- @use base" not in read(path)[:200]:
            continue
        run = subprocess.run([luac, "-l", "-p", "-"], input=reachable(pathlib.Path(path)), text=True,
                             capture_output=True, check=False)
        if run.returncode:
            yield "%s: %s" % (path, run.stderr.strip())
        for name in sorted(set(re.findall(r"[GS]ETGLOBAL.*; (\w+)", run.stdout)) - LUA_GLOBALS):
            yield "%s: %s is nowhere among its parts" % (path, name)


RULES = [no_banned_functions, layers_only_look_down, each_library_has_one_home,
         a_licence_stands_first, no_path_of_one_machine, no_open_ends, files_stay_readable,
         macros_do_not_hide_jumps, structs_have_no_typedef, clang_format_agrees,
         lua_scripts_call_only_what_they_have]


def main():
    os.chdir(sys.argv[1])
    files = listed_files()
    failed = 0
    for number, rule in enumerate(RULES, 1):
        faults = list(rule(files))
        for fault in faults:
            print("# " + fault)
        print("%s %d - %s" % ("not ok" if faults else "ok", number, rule.__name__))
        failed += bool(faults)
    print("1..%d" % len(RULES))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
