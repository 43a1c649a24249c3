#!/usr/bin/env python3
"""Checks of the source that a compiler does not make.

Layers (tools/layers.txt), banned functions, unfinished work, file length, and
that no room exists without a place in the layers. Prints FILE:LINE: what;
exit status 1 when anything was found.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LENGTH_MAX = 1000  # twice what a file should have
# Each has a bounded or checked counterpart.
BANNED = {
    "strcpy": "sl_slice, sl_arena_dup or memcpy with a checked size",
    "strcat": "sl_buf_append",
    "strncpy": "snprintf",
    "strncat": "sl_buf_append",
    "sprintf": "snprintf or sl_buf_printf",
    "vsprintf": "vsnprintf",
    "strtok": "sl_slice_cut",
    "gets": "fgets",
    "scanf": "sl_slice_i64",
    "sscanf": "sl_slice_i64",
    "atoi": "sl_slice_i64",
    "atol": "sl_slice_i64",
    "alloca": "sl_arena_alloc",
    "system": "nothing: no process is started",
    "popen": "nothing: no process is started",
    "rand": "sl_rand",
}
CALL = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(BANNED))
INCLUDE = re.compile(r'^\s*#\s*include\s+"(\w+)/')
UNFINISHED = re.compile(r"\b(TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b")  # must not find itself
CODE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)

problems = []


def problem(path, line, text):
    problems.append("%s:%d: %s" % (path.relative_to(ROOT), line, text))


def read_layers():
    layers = {}
    for line in (ROOT / "tools/layers.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            room, _, below = line.partition(":")
            layers[room.strip()] = set(below.split())
    return layers


def without_comments_and_strings(text):
    return CODE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def check_layers(path, text, layers):
    room = path.relative_to(ROOT / "src").parts[0]
    if room not in layers:
        problem(path, 1, "the room %s has no line in tools/layers.txt" % room)
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match.group(1)
        if target != room and target not in layers[room] and "*" not in layers[room]:
            problem(path, number, "%s must not know %s (tools/layers.txt)" % (room, target))


def check_source(path, layers):
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > LENGTH_MAX:
        problem(path, lines, "longer than %d lines: two files in one" % LENGTH_MAX)
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            problem(path, number, "unfinished work is marked here")
        if line.endswith((" ", "\t")):
            problem(path, number, "space at the end of the line")
    if path.suffix in (".c", ".h", ".def") and (ROOT / "src") in path.parents:
        for number, line in enumerate(without_comments_and_strings(text).splitlines(), 1):
            for match in CALL.finditer(line):
                name = match.group(1)
                problem(path, number, "%s is banned, use %s" % (name, BANNED[name]))
        check_layers(path, text, layers)


def main():
    layers = read_layers()
    for folder in ("src", "tests", "bench", "tools"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path == pathlib.Path(__file__).resolve() or "node_modules" in path.parts:
                continue
            if path.is_file() and path.suffix in (".c", ".h", ".def", ".py", ".js", ".mjs"):
                check_source(path, layers)
    for line in problems:
        print(line)
    print("lint: %d problem%s" % (len(problems), "" if len(problems) == 1 else "s"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
