"""Runs a program under callgrind and reads what it writes: instructions by function and by source line."""

import collections
import pathlib
import re
import subprocess
import tempfile

from lib import Failure

_NAMED = re.compile(r"(fn|fl|fi|fe)=\((\d+)\)(?: (.*))?$")
_COST = re.compile(r"([+-]?\d+|\*) (\d+)$")


class Counts:
    """Instructions of each function and of each (file, line), or (function, 0), without those of what they call."""

    def __init__(self):
        self.functions = collections.Counter()
        self.lines = collections.Counter()


class _Reader:
    """The format is in valgrind's manual, "Callgrind Format Specification"; names and positions are compressed."""

    def __init__(self):
        self.counts = Counts()
        self.names = {"fn": {}, "file": {}}
        self.function = self.file = None
        self.line = 0
        self.of_a_call = False  # the next cost is what a call cost in all

    def name(self, kind, number, text):
        names = self.names["fn" if kind in ("fn", "cfn") else "file"]
        if text:
            names[number] = text.strip()
        return names[number]

    def read(self, text):
        if named := _NAMED.match(text):
            name = self.name(*named.groups())
            if named[1] == "fn":
                self.function = name
            else:
                self.file = name
        elif named := re.match(r"(cfn|cfi|cfl)=\((\d+)\)(?: (.*))?$", text):
            self.name(*named.groups())
        elif text.startswith("calls="):
            self.of_a_call = True
        elif cost := _COST.match(text):
            self.cost(cost[1], int(cost[2]))

    def cost(self, position, instructions):
        if position != "*":
            self.line = int(position) + (self.line if position[0] in "+-" else 0)
        if not self.of_a_call:
            self.counts.functions[self.function] += instructions
            unknown = self.file == "???"  # compiled without line numbers
            self.counts.lines[(self.function, 0) if unknown else (self.file, self.line)] += instructions
        self.of_a_call = False


def count(command):
    """Counts of what the command marks as counted (see counted_sim.hpp), between its zeroing and its dump."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "out")
        # Without vgdb, by which anybody's callgrind_control sets the counters of all there are to zero.
        done = subprocess.run(["valgrind", "-q", "--tool=callgrind", "--vgdb=no", "--collect-atstart=no",
                               f"--callgrind-out-file={out}", *map(str, command)],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        dump = pathlib.Path(f"{out}.1")
        if done.returncode != 0 or not dump.exists():
            raise Failure(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout.strip()[-500:]}")
        reader = _Reader()
        with open(dump, encoding="utf-8", errors="replace") as lines:
            for text in lines:
                reader.read(text.rstrip("\n"))
    return reader.counts


def short(name):
    """A function's name without what makes C++ names long: arguments, template arguments, our namespace."""
    name = re.sub(r"'\d+$| \[clone .*\]$|(\.(constprop|isra|part|cold)\.\d+)+$", "", name)
    kept, depth = [], 0
    for at, c in enumerate(name.replace("(anonymous namespace)::", "").replace("operator()", "operator_call")):
        depth -= c in ">)"
        if depth == 0 and c not in ">)<(":
            kept.append(c)
        depth += c in "<("
    return "".join(kept).replace("lastcall::", "").replace(" const", "").replace("operator_call", "()").strip() or name
