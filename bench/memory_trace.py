"""Which thread stored to and loaded from which cache line, out of what `valgrind --tool=lackey` wrote."""

import pathlib
import re
import subprocess

LINE_BYTES = 64
OPTIONS = ["valgrind", "--tool=lackey", "--trace-mem=yes", "--basic-counts=no", "--trace-sched=yes",
           "--fair-sched=yes"]
# Valgrind runs one thread at a time and says who is next; what follows is that thread's.
_TURN = re.compile(rb"SCHED\[(\d+)\]: +acquired lock")


class Accesses:
    """By cache line and thread, the code that touched it first: `stores[line][thread]` and `loads[line][thread]`."""

    def __init__(self):
        self.stores = {}
        self.loads = {}
        self.stores_by_thread = {}

    def add(self, kind, address, size, thread, code):
        where = ([self.stores] if kind != b"L" else []) + ([self.loads] if kind != b"S" else [])
        if kind != b"L":
            self.stores_by_thread[thread] = self.stores_by_thread.get(thread, 0) + 1
        for line in range(address // LINE_BYTES, (address + size - 1) // LINE_BYTES + 1):
            for table in where:
                table.setdefault(line, {}).setdefault(thread, code)

    def written_by_several(self):
        """[(line, {thread: code})]: what costs, whether the threads mean the same bytes or only neighbours."""
        return sorted((line, writers) for line, writers in self.stores.items() if len(writers) > 1)

    def read_by_others(self):
        """[(line, writers, readers)]: written by one thread and read by another."""
        found = []
        for line, writers in self.stores.items():
            readers = {thread: code for thread, code in self.loads.get(line, {}).items() if thread not in writers}
            if len(writers) == 1 and readers:
                found.append((line, writers, readers))
        return sorted(found, key=lambda row: row[0])


def read(file, begin, end):
    """The accesses between two offsets of the trace. Those before the first turn that begins there have no thread."""
    accesses = Accesses()
    thread = code = None
    with open(file, "rb") as trace:
        trace.seek(begin)
        for row in trace.read(end - begin).split(b"\n")[1:-1]:
            kind = row[:2]
            if kind == b"I ":
                code = row[3:].partition(b",")[0]
            elif kind in (b" L", b" S", b" M"):
                address, _, size = row[3:].partition(b",")
                if thread is not None and size.isdigit():
                    accesses.add(kind[1:], int(address, 16), int(size), thread, code)
            elif turn := _TURN.search(row):
                thread = int(turn[1])
    return accesses


class Symbols:
    """Names of code addresses in a living process: the program's functions through addr2line, else the library."""

    def __init__(self, pid):
        self.mappings = []
        for row in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            fields = row.split(maxsplit=5)
            if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/"):
                low, high = (int(edge, 16) for edge in fields[0].split("-"))
                self.mappings.append((low, high, int(fields[2], 16), fields[5]))

    def name(self, code):
        address = int(code, 16)
        for low, high, offset, file in self.mappings:
            if low <= address < high:
                done = subprocess.run(["addr2line", "-f", "-C", "-e", file, hex(address - low + offset)],
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
                function = done.stdout.split("\n")[0]
                return f"{function if function and function != '??' else hex(address)} ({pathlib.Path(file).name})"
        return hex(address)
