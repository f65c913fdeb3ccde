#!/usr/bin/env python3
"""Do reactors share memory while they serve? Every store of every thread, by cache line, under valgrind."""

import pathlib
import re
import socket
import sys
import tempfile
import time

import lib
import memory_trace
import ours

NAMES = list(ours.BACKENDS)
PLANTED = "shared_counter"
EACH = 3            # connections of each reactor, at least
SERVING = ["requests", "connections"]  # the phases that are judged
QUIET_BYTES = 150_000  # of trace per reactor in 0.2 s: only the beats by which a loop tells how late it is
PATIENCE_S = 60
LISTENING = re.compile(r"event=listening address=127\.0\.0\.1:(\d+)")
REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: bench\r\n\r\n"


class Traced(ours.Ours):
    """A server under lackey. Not pinned: valgrind runs one thread at a time anyway."""

    def __init__(self, name, folder, options, program):
        self.trace = pathlib.Path(folder, f"{name}.trace")
        self.quiet_bytes = QUIET_BYTES * options.reactors
        wrapper = [*memory_trace.OPTIONS, f"--log-file={self.trace}"]
        if ours.BACKENDS[name] == "io_uring":
            wrapper = ["env", f"LD_PRELOAD={options.build / 'libvalgrind_uring.so'}", *wrapper]
        super().__init__(name, folder, ["--reactors", str(options.reactors)], None, wrapper, program)

    def _wait_ready(self):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise lib.Failure(f"{self.name} ended with {self.process.returncode}: {self.log.read_text()[-500:]}")
            text = self.log.read_text(errors="replace")
            if "event=ready" in text and (found := LISTENING.search(text)):
                self.port = int(found[1])
                return
            time.sleep(0.05)
        raise lib.Failure(f"{self.name} was not ready within {PATIENCE_S} s: {self.log.read_text()[-500:]}")

    def mark(self):
        """The trace's length when nobody is at work. The trace is not buffered."""
        deadline = time.monotonic() + PATIENCE_S
        size = self.trace.stat().st_size
        while time.monotonic() < deadline:
            time.sleep(0.2)
            before, size = size, self.trace.stat().st_size
            if size - before < self.quiet_bytes:
                return size
        raise lib.Failure("the server does not come to rest")


def answer_of(client):
    answer = b""
    while not answer.endswith(b"Hello, World!"):
        more = client.recv(4096)
        if not more:
            raise lib.Failure(f"a connection ended after {answer!r}")
        answer += more


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def connections_to_all(server, reactors):
    """Until each reactor has EACH of them."""
    clients = []
    for _ in range(60 * reactors):
        clients.append(connect(server))
        clients[-1].sendall(REQUEST)
        answer_of(clients[-1])
        if min(reactor["accepted"] for reactor in server.status()["reactors"]) >= EACH:
            return clients
    raise lib.Failure("the steering does not reach every reactor")


def requests(clients, count):
    """On all connections at once, `count` times."""
    for _ in range(count):
        for client in clients:
            client.sendall(REQUEST)
        for client in clients:
            answer_of(client)


def new_connections(server, count):
    for _ in range(count):
        with connect(server) as client:
            client.sendall(REQUEST)
            answer_of(client)


def scrapes(server, count):
    for _ in range(count):
        server.status()


def trace_phases(server, options):
    """{phase: (begin, end) in the trace}, everything warm."""
    clients = connections_to_all(server, options.reactors)
    phases = {SERVING[0]: lambda: requests(clients, options.requests),
              SERVING[1]: lambda: new_connections(server, 8 * options.reactors),
              "status asked": lambda: scrapes(server, 3)}
    marks = {}
    for _ in range(2):  # the second time everything has been there before: pages, pools, timers
        for name, act in phases.items():
            begin = server.mark()
            act()
            marks[name] = (begin, server.mark())
    for client in clients:
        client.close()
    return marks, len(clients)


def describe(accesses, symbols):
    def who(table):
        return {f"thread {thread}": symbols.name(code) for thread, code in sorted(table.items())}
    return {"stores_by_thread": accesses.stores_by_thread, "lines_written": len(accesses.stores),
            "written_by_several": [{"line": hex(line * memory_trace.LINE_BYTES), "writers": who(writers)}
                                   for line, writers in accesses.written_by_several()],
            "read_by_others": [{"line": hex(line * memory_trace.LINE_BYTES), "writer": who(writers), "readers": who(readers)}
                               for line, writers, readers in accesses.read_by_others()]}


def measure(name, options, folder, program):
    with Traced(name, folder, options, program) as server:
        marks, clients = trace_phases(server, options)
        symbols = memory_trace.Symbols(server.process.pid)
        phases = {phase: describe(memory_trace.read(server.trace, *marks[phase]), symbols) for phase in marks}
        serving = sorted(phases[SERVING[0]]["stores_by_thread"].values())[-options.reactors:]
        if len(serving) < options.reactors or serving[0] < 50 * options.requests:
            raise lib.Failure(f"not every reactor served: stores by thread {phases[SERVING[0]]['stores_by_thread']}")
        return {"phases": phases, "connections": clients, "server_command": server.command}


def show(summary):
    print("| server | phase | stores | lines written | by several threads | by one, read by another |")
    print("|---|---|---:|---:|---:|---:|")
    for name, phases in summary.items():
        for phase, line in phases.items():
            print(f"| {name} | {phase} | {line['stores']} | {line['lines_written']} | {line['written_by_several']} | "
                  f"{line['read_by_others']} |")


def tell(samples):
    for name, rows in samples.items():
        for phase, found in rows[0]["phases"].items():
            for row in found["written_by_several"]:
                print(f"{name}, {phase}: {row['line']} is written by {row['writers']}")
            for row in found["read_by_others"]:
                print(f"{name}, {phase}: {row['line']} is written by {row['writer']} and read by {row['readers']}")


def summarise(samples):
    return {name: {phase: {"stores": sum(found["stores_by_thread"].values()), "lines_written": found["lines_written"],
                           "written_by_several": len(found["written_by_several"]),
                           "read_by_others": len(found["read_by_others"])}
                   for phase, found in rows[0]["phases"].items()} for name, rows in samples.items()}


def run(options):
    samples, failed = {}, {}
    program = options.build / PLANTED if options.planted else None
    for name in options.only:
        print(f"{name} under valgrind", file=sys.stderr)
        with tempfile.TemporaryDirectory(prefix="lastcall-bench-") as folder:
            try:
                samples[name] = [{**measure(name, options, folder, program), "round": 0}]
            except (lib.Failure, OSError) as error:
                failed[name] = str(error)
    return samples, failed


def main():
    parser = ours.parser_for("sharing", __doc__)
    ours.add_only(parser, NAMES)
    parser.add_argument("--reactors", type=int, default=2)
    parser.add_argument("--requests", type=int, default=20, help="on each connection")
    parser.add_argument("--planted", action="store_true",
                        help="a server that counts its requests in one place for all reactors: it has to be found")
    options = ours.parse(parser, NAMES)
    if not lib.program("valgrind") and not lib.install("valgrind"):
        print("sharing SKIPPED: no valgrind, and it could not be installed")
        return 77
    samples, failed = run(options)
    summary = summarise(samples)
    show(summary)
    print()
    tell(samples)
    code = ours.finish("sharing", options, samples, summary, failed, lib.environment())
    shared = {name: [phases[phase]["written_by_several"] for phase in SERVING] for name, phases in summary.items()}
    if options.planted:
        missed = [name for name, counts in shared.items() if counts != [1, 1]]
        for name in missed:
            print(f"{name}: {shared[name]} shared lines found where one was planted")
        return 1 if missed else code
    return 1 if any(map(any, shared.values())) else code


if __name__ == "__main__":
    sys.exit(main())
