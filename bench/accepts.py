#!/usr/bin/env python3
"""How evenly connections spread over reactors: our hash, CPU steering, the kernel's own hash, random."""

import contextlib
import ctypes
import ipaddress
import os
import socket
import statistics
import struct
import sys
import tempfile
import time

import lib
import ours
import steering_model

METHODS = ["hash", "cpu", "kernel", "random"]
SO_ATTACH_REUSEPORT_CBPF = 51
# From linux/filter.h: load a word of the ancillary data, remainder by a constant, return the accumulator.
LOAD_ANCILLARY, REMAINDER, RETURN_A = 0x20, 0x94, 0x16
ANCILLARY, RANDOM = 0xFFFFF000, 56
MOST = 19_000  # connections; the usual hard limit of descriptors is not far away
PATIENCE_S = 30


class ReactorsOfOurs:
    """Counted by the server itself."""

    def __init__(self, method, reactors, folder):
        pinned = ["--pin"] if method == "cpu" else []
        options = ["--reactors", str(reactors), "--max-connections", str(MOST), *pinned]
        self.server = ours.Ours("lastcall_epoll", folder, options, None)

    def __enter__(self):
        self.server.__enter__()
        self.port, self.command = self.server.port, self.server.command
        deadline = time.monotonic() + PATIENCE_S
        while sum(self.counts()) == 0 and time.monotonic() < deadline:  # the connection by which it was seen to listen
            time.sleep(0.01)
        return self

    def __exit__(self, *ended):
        self.server.__exit__(*ended)

    def counts(self):
        return [reactor["accepted"] for reactor in self.server.status()["reactors"]]


class Listeners:
    """A group of SO_REUSEPORT without a server, for what lastcall does not offer: who accepts does not matter there."""

    command = None

    def __init__(self, method, reactors, _folder):
        self.method, self.reactors = method, reactors

    def __enter__(self):
        self.listeners, self.seen, self.port = [], [0] * self.reactors, 0
        for _ in range(self.reactors):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(("127.0.0.1", self.port))
            listener.listen(4096)
            listener.setblocking(False)
            self.port = listener.getsockname()[1]
            self.listeners.append(listener)
        if self.method == "random":
            self._steer([(LOAD_ANCILLARY, ANCILLARY + RANDOM), (REMAINDER, self.reactors), (RETURN_A, 0)])
        return self

    def _steer(self, program):
        code = b"".join(struct.pack("=HBBI", operation, 0, 0, value) for operation, value in program)
        buffer = ctypes.create_string_buffer(code, len(code))
        given = struct.pack("@HP", len(program), ctypes.addressof(buffer))
        self.listeners[0].setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, given)

    def __exit__(self, *_):
        for listener in self.listeners:
            listener.close()

    def counts(self):
        for i, listener in enumerate(self.listeners):
            with contextlib.suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()
                    self.seen[i] += 1
        return list(self.seen)


def connect_all(port, count, sources, cpus, counts):
    """[(address, port)] of `count` clients; each next one from the next source address and the next of `cpus`."""
    clients = []
    try:
        for i in range(count):
            if len(cpus) > 1 or i == 0:
                os.sched_setaffinity(0, {cpus[i % len(cpus)]})
            clients.append(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S,
                                                    source_address=(f"127.0.1.{1 + i % sources}", 0)))
            if i % 1000 == 999:
                counts()  # empties the queues of a group without a server
        return clients, [client.getsockname() for client in clients]
    finally:
        os.sched_setaffinity(0, ours.CPUS)


def measure(method, reactors, connections, options, folder):
    kind = ReactorsOfOurs if method in ("hash", "cpu") else Listeners
    with kind(method, reactors, folder) as group:
        before = group.counts()
        cpus = ours.CPUS if method == "cpu" else [lib.LOAD_CPU]
        clients, names = connect_all(group.port, connections, options.sources, cpus, group.counts)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while sum(counts := group.counts()) - sum(before) < connections:
                if time.monotonic() > deadline:
                    raise lib.Failure(f"{sum(counts) - sum(before)} of {connections} connections were accepted")
                time.sleep(0.01)
        finally:
            for client in clients:
                client.close()
        counts = [after - earlier for after, earlier in zip(counts, before)]
        sample = {"counts": counts, **steering_model.skew(counts), "server_command": group.command}
    if method == "hash":
        expected = steering_model.dealt((steering_model.by_hash(int(ipaddress.ip_address(address)), port, reactors)
                                         for address, port in names), reactors)
        sample["as_computed"] = expected == counts
    return sample


def cases(options):
    for method in options.only:
        for reactors in options.reactors:
            # A reactor that is pinned needs a CPU of its own.
            if method != "cpu" or reactors <= len(ours.CPUS):
                for connections in options.connections:
                    yield method, reactors, connections


def run(options):
    samples, failed = {}, {}
    for method, reactors, connections in cases(options):
        name = f"{method}, {reactors} reactors, {connections} connections"
        print(name, file=sys.stderr)
        try:
            for number in range(options.rounds):
                with tempfile.TemporaryDirectory(prefix="lastcall-bench-") as folder:
                    sample = measure(method, reactors, connections, options, folder)
                samples.setdefault(name, []).append({**sample, "round": number, "method": method, "reactors": reactors,
                                                     "connections": connections})
        except (lib.Failure, OSError) as error:
            failed[name] = str(error)
    return samples, failed


def summarise(samples):
    summary = {}
    for name, rows in samples.items():
        first = rows[0]
        summary[name] = {key: first[key] for key in ("method", "reactors", "connections")}
        summary[name] |= {key: statistics.median(row[key] for row in rows) for key in ("max_to_mean", "cv")}
        if first["method"] == "hash":
            summary[name]["as_computed"] = all(row["as_computed"] for row in rows)
        summary[name]["chance"] = steering_model.chance(first["connections"], first["reactors"])
    return summary


def show(summary):
    print("| steering | reactors | connections | max / mean | by chance | variation | by chance |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for line in summary.values():
        note = " (not as computed)" if line.get("as_computed") is False else ""
        print(f"| {line['method']}{note} | {line['reactors']} | {line['connections']} | {line['max_to_mean']:.2f} | "
              f"{line['chance']['max_to_mean']:.2f} | {line['cv']:.3f} | {line['chance']['cv']:.3f} |")


def show_computed(options):
    reactors = max(options.reactors)
    found = {}
    print(f"\nComputed for {reactors} reactors:\n")
    print("| steering | connections | max / mean | by chance | variation | by chance |")
    print("|---|---:|---:|---:|---:|---:|")
    for connections in options.connections:
        chance = steering_model.chance(connections, reactors)
        for name, line in steering_model.computed(connections, reactors).items():
            found[f"{name}, {connections} connections"] = line
            print(f"| {name} | {connections} | {line['max_to_mean']:.2f} | {chance['max_to_mean']:.2f} | {line['cv']:.3f} | "
                  f"{chance['cv']:.3f} |")
    return found


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    parser = ours.parser_for("accepts", __doc__)
    ours.add_only(parser, METHODS)
    parser.add_argument("--reactors", type=numbers, default=[2, 8, 16, 64])
    parser.add_argument("--connections", type=numbers, default=[64, 1000, 10000])
    parser.add_argument("--sources", type=int, default=250, help="addresses of clients, of 127.0.1.1 and on")
    parser.add_argument("--rounds", type=int, default=3)
    options = ours.parse(parser, METHODS)
    ours.raise_descriptor_limit(max(options.connections) + 2000)
    samples, failed = run(options)
    summary = summarise(samples)
    print(f"{options.sources} source addresses, medians of {options.rounds} rounds; variation: standard deviation / mean; "
          f"by chance: the mean of throwing dice\n")
    show(summary)
    computed = show_computed(options)
    print()
    wrong = [name for name, line in summary.items() if line.get("as_computed") is False]
    for name in wrong:
        print(f"{name}: not where net/steering.cpp, as steering_model.py has it, would send them")
    code = ours.finish("accepts", options, samples, {**summary, "computed": computed}, failed, lib.environment())
    return 1 if wrong else code


if __name__ == "__main__":
    sys.exit(main())
