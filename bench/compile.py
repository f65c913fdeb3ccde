#!/usr/bin/env python3
"""What a hello-world unit costs the compiler: best CPU seconds, -O0 and -O2, and its lines after the preprocessor."""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "build" / "release" / "include"
FLAGS = ["-std=c++23", "-I", str(INCLUDE)]
# What a user of the library includes anyway, by naming its types: no lighter header can cost less.
FLOOR = "".join(f"#include <{header}>\n" for header in (
    "chrono", "coroutine", "expected", "functional", "memory", "optional", "span", "stop_token", "string", "string_view",
    "variant", "vector"))


def cpu_seconds(command):
    """User and system time of the command with its children."""
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"compile: {' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def preprocessed_lines(compiler, source):
    """Lines that the compiler has to read: without blank ones and line markers."""
    text = subprocess.run([compiler, *FLAGS, "-E", source], stdout=subprocess.PIPE, text=True, check=True).stdout
    return sum(1 for line in text.splitlines() if not re.match(r"#|\s*$", line))


def main():
    parser = argparse.ArgumentParser(prog="tools/bench compile", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of which the best counts (5)")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("sources", nargs="*", default=[str(ROOT / "tools/examples/hello.cpp")])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        floor = pathlib.Path(folder) / "floor.cpp"
        floor.write_text(FLOOR, encoding="utf-8")
        everything = pathlib.Path(folder) / "lastcall.cpp"
        everything.write_text("#include <lastcall/lastcall.hpp>\n", encoding="utf-8")
        print(f"{'unit':<28}{'lines':>8}{'-O0 s':>8}{'-O2 s':>8}   best of {options.rounds}, {options.compiler}")
        named = [("the standard's headers", floor), ("<lastcall/lastcall.hpp>", everything)]
        for name, source in named + [(pathlib.Path(source).name, source) for source in options.sources]:
            command = [options.compiler, *FLAGS, "-o", os.devnull, "-c", str(source)]
            best = {level: min(cpu_seconds([*command, level]) for _ in range(options.rounds)) for level in ("-O0", "-O2")}
            lines = preprocessed_lines(options.compiler, source)
            print(f"{name:<28}{lines:>8}{best['-O0']:>8.2f}{best['-O2']:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
