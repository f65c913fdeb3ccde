#!/usr/bin/env python3
"""System calls per request at 64 connections: lastcall on both backends, the floors, nginx, HAProxy."""

import os
import pathlib
import signal
import socket
import statistics
import sys
import tempfile
import time

import lib
import ours
from call_counter import GROUPS, Counting, counter_that_works

NAMES = ["floor_epoll", "floor_uring", *ours.BACKENDS, "nginx", "haproxy"]
# Per request at 64 connections of a server that has little time left. recv and send are what epoll cannot do without; a wait is
# shared by all who are ready. `registered`: epoll_ctl beyond one for each connection.
LIMITS = {
    "lastcall_epoll": {"registered": 0.001, "futex": 0.001, "recv": 1.02, "send": 1.01, "wait": 0.125},
    "lastcall_io_uring": {"enter": 1 / 8, "futex": 0.001, "all": 0.13},
}
JUDGED_FROM = {"lastcall_epoll": 0.95, "lastcall_io_uring": 0.65}  # of its CPU: io_uring waits for several sooner


def server_for(name, folder):
    if name.startswith("floor_"):
        return lib.floor(name, folder)
    if name in ours.BACKENDS:
        return lib.lastcall(name, folder, ours.BACKENDS[name])
    return {"nginx": lib.nginx, "haproxy": lib.haproxy}[name](name, folder)


class Batches:
    """Requests on all connections while the server is stopped (SIGSTOP), so that it finds all of them at once.

    The same in every run, however busy the machine: for tests. The number of a server's own making is that under wrk.
    """

    REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: bench\r\n\r\n"

    def __init__(self, server, connections):
        self.server = server
        self.sockets = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(connections)]
        self.run(2)

    def run(self, count):
        for _ in range(count):
            self.server.process.send_signal(signal.SIGSTOP)
            self._wait_stopped()
            for one in self.sockets:
                one.sendall(self.REQUEST)
            self.server.process.send_signal(signal.SIGCONT)
            for one in self.sockets:
                self._read_answer(one)
        return count * len(self.sockets)

    def _wait_stopped(self):
        stat = pathlib.Path(f"/proc/{self.server.process.pid}/stat")
        deadline = time.monotonic() + 10
        while stat.read_text().rpartition(")")[2].split()[0] not in "Tt":
            if time.monotonic() > deadline:
                raise lib.Failure("the server does not stop for SIGSTOP")
            time.sleep(0.001)

    @staticmethod
    def _read_answer(one):
        answer = b""
        while not answer.endswith(b"Hello, World!"):
            more = one.recv(4096)
            if not more:
                raise lib.Failure(f"a connection ended after {answer!r}")
            answer += more

    def close(self):
        for one in self.sockets:
            one.close()


def serving_threads(server):
    """Those that serve: SIGSTOP wakes the others, too, which then call futex again to go on waiting."""
    found = []
    for pid in server.pids():
        names = {int(task.name): (task / "comm").read_text().strip() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()}
        found += [task for task, name in names.items() if name.startswith("reactor")] or names
    return found


def measure_batches(server, counter, options, folder):
    batches = Batches(server, options.connections)
    try:
        with Counting(counter([], folder, serving_threads(server))) as counting:
            done = batches.run(options.batches)
    finally:
        batches.close()
    return {"requests": done, "per_second": None, "errors": 0, "calls": counting.counts, "counter": counter.name,
            "rates": rates(counting.counts, done), "server_command": server.command, "load_command": None,
            "server_busy": None, "load_busy": None}


def rates(counts, requests):
    if requests == 0:
        raise lib.Failure("the load got no answers")
    found = {group: sum(counts.get(name, 0) for name in names) / requests for group, names in GROUPS.items()}
    found["registered"] = found["epoll_ctl"] - found["accept"]
    return {**found, "all": counts.get("all", 0) / requests}


def measure(server, counter, options, folder):
    """Calls of all the server's processes while the load runs, the arrival of its connections included."""
    if options.batches:
        return measure_batches(server, counter, options, folder)
    lib.run_wrk(lib.wrk_command(server.port, "/plaintext", options.connections, 1, 1), 1)
    command = lib.wrk_command(server.port, "/plaintext", options.connections, options.seconds, 1)
    with Counting(counter(list(server.pids()), folder)) as counting:
        before, started = server.cpu(), time.monotonic()
        load = lib.run_wrk(command, 1)
        elapsed, busy = time.monotonic() - started, server.cpu()[0] - before[0]
    return {**load, "calls": counting.counts, "rates": rates(counting.counts, load["requests"]), "counter": counter.name,
            "server_command": server.command, "load_command": command,
            "server_busy": busy / elapsed, "load_busy": load["load_cpu_s"] / elapsed}


def run(options, counter):
    samples = {name: [] for name in options.only}
    failed = {}
    for round_number in range(options.rounds):
        for name in (name for name in options.only if name not in failed):
            print(f"round {round_number + 1} of {options.rounds}: {name}", file=sys.stderr)
            with tempfile.TemporaryDirectory(prefix="lastcall-bench-") as folder:
                os.chmod(folder, 0o755)
                try:
                    with server_for(name, folder) as server:
                        lib.check_answer(server, "/plaintext", b"Hello, World!")
                        sample = measure(server, counter, options, folder)
                    samples[name].append({**sample, "round": round_number})
                except (lib.Failure, OSError) as error:
                    failed[name] = str(error)
    return {name: rows for name, rows in samples.items() if rows}, failed


def summarise(samples):
    summary = {}
    for name, rows in samples.items():
        line = {group: statistics.median(row["rates"][group] for row in rows) for group in rows[0]["rates"]}
        line["errors"] = sum(row["errors"] for row in rows)
        line["requests"] = sum(row["requests"] for row in rows)
        for key in ("per_second", "server_busy", "load_busy"):
            line[key] = None if rows[0][key] is None else statistics.median(row[key] for row in rows)
        summary[name] = line
    return summary


def show(summary):
    groups = [*GROUPS, "all"]
    print("| calls per request | " + " | ".join(groups) + " | requests per enter or wait | requests | errors | server | load |")
    print("|---|" + "---:|" * (len(groups) + 5))
    for name, line in summary.items():
        cells = [f"{line[group]:.4f}" if line[group] else "0" for group in groups]
        shared = line["enter"] + line["wait"]
        cells.append(f"{1 / shared:.1f}" if shared else "-")
        cells += [str(line["requests"]), str(line["errors"])]
        cells += ["-" if line[key] is None else f"{line[key]:.0%}" for key in ("server_busy", "load_busy")]
        print(f"| {name} | " + " | ".join(cells) + " |")


def beyond_limits(summary):
    """What a line of the summary may not be, in words. One with time to spare wakes for few requests: not judged."""
    for name, limits in LIMITS.items():
        if name not in summary:
            continue
        busy = summary[name]["server_busy"]
        if busy is not None and busy < JUDGED_FROM[name]:
            print(f"{name} is not judged: it used {busy:.0%} of its CPU, and so woke for small batches")
            continue
        for group, limit in limits.items():
            if summary[name][group] > limit:
                yield f"{name}: {summary[name][group]:.4f} {group} per request, at most {limit:.4f} is wanted"


def main():
    parser = ours.parser_for("syscalls", __doc__)
    ours.add_only(parser, NAMES)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=0, help="instead of wrk: so many times a request on every "
                        "connection while the server is stopped; ours only, for tests")
    parser.add_argument("--with", dest="tool", choices=["auto", "perf", "strace"], default="auto")
    options = ours.parse(parser, NAMES)
    environment = lib.environment()
    try:
        counter = counter_that_works(options.tool)
    except lib.Failure as error:
        print(f"syscalls SKIPPED: {error}")
        return 77
    samples, failed = run(options, counter)
    summary = summarise(samples)
    load = f"batches of {options.connections} requests at once" if options.batches else f"rounds of {options.seconds} s"
    print(f"{options.connections} connections, {options.rounds} {load}, counted by {counter.name}; "
          f"server on CPU {lib.SERVER_CPU}, load on CPU {lib.LOAD_CPU}; medians\n")
    show(summary)
    print()
    problems = list(beyond_limits(summary)) if options.connections == 64 else []
    for problem in problems:
        print(problem)
    code = ours.finish("syscalls", options, samples, summary, failed, environment)
    return 1 if problems else code


if __name__ == "__main__":
    sys.exit(main())
