#!/usr/bin/env python3
"""How long a stop takes, and what a connection weighs, by the number of connections of one reactor; lines through both."""

import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import lib
import ours

NAMES = list(ours.BACKENDS)
CASES = {"idle, grace 0": ("0s", "-"), "idle, grace 50 ms": ("50ms", "-"), "active": ("0s", "/sleep?ms=1500")}
ACTIVE_MS = 1500
PATIENCE_S = 60
WARM = 64  # connections before the memory is first looked at: what is there once is not what one weighs
# Slab caches whose objects belong to connections, and how many of both ends' are the server's.
SLABS = {"TCP": 0.5, "sock_inode_cache": 0.5, "filp": 0.5, "dentry": 0.5, "lsm_inode_cache": 0.5, "lsm_file_cache": 0.5,
         "eventpoll_epi": 1.0, "eventpoll_pwq": 1.0, "io_kiocb": 1.0}
# What io_uring waits with has no cache of its own: a poll request (struct async_poll) of at most 96 bytes.
SLABS_OF = {"lastcall_io_uring": {"kmalloc-96": 1.0}}
# The kernel merges caches of one size. Each of these of the client's, two for its port, may be among the server's.
CLIENTS_ALONE = ["tcp_bind_bucket", "tcp_bind2_bucket"]


class Holder:
    """The clients, in a process of their own on the load's CPU. A context."""

    def __init__(self, port, count, path):
        self.command = lib.pinned(lib.LOAD_CPU, [sys.executable, "-c", "import holder; holder.main()", port, count, path])
        self.count = count

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        cwd=lib.BENCH)
        self.expect("ready")
        return self

    def expect(self, word):
        line = self.process.stdout.readline().split()
        if not line or line[0] != word:
            raise lib.Failure(f"the clients said {line} instead of {word}")
        return line[1:]

    def send(self):
        """When it began and was done."""
        self.process.stdin.write("send\n")
        self.process.stdin.flush()
        began, done = map(float, self.expect("sent"))
        self.expect("watching")
        return began, done

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def slabs():
    """(objects in use, bytes of each) by cache; none where only root may look. SUnreclaim: all that cannot be reclaimed."""
    found = {}
    try:
        for row in pathlib.Path("/proc/slabinfo").read_text().splitlines()[2:]:
            name, active, _, size = row.split()[:4]
            found[name] = (int(active), int(size))
    except PermissionError:
        pass
    meminfo = pathlib.Path("/proc/meminfo").read_text()
    found["SUnreclaim"] = (int(re.search(r"^SUnreclaim:\s+(\d+)", meminfo, re.M)[1]), 1024)
    return found


def merged_with(name):
    """What the kernel calls the cache that `name` is, or is merged into; None where it does not tell."""
    try:
        return os.path.basename(os.path.realpath(f"/sys/kernel/slab/{name}", strict=True))
    except OSError:
        return None


# Who looks at /proc/PID/fd makes a name and an inode there for each descriptor, which stay: whoever watches the machine.
NOT_OF = {"dentry": "proc_inode_cache", "lsm_inode_cache": "proc_inode_cache"}


def growth(name, before, after):
    """Objects and the bytes of each, of the cache that `name` is: /proc/slabinfo lists merged ones under one of their names."""
    if name not in after:
        cache = merged_with(name)
        name = next((other for other in after if cache and merged_with(other) == cache), name)
    none = (0, 0)
    return after.get(name, none)[0] - before.get(name, none)[0], after.get(name, none)[1]


def kernel_bytes(server, before, after, count):
    """By cache, what one connection has at the server's end."""
    found = {}
    for name, share in {**SLABS, **SLABS_OF.get(server, {})}.items():
        objects, size = growth(name, before, after)
        if name in NOT_OF:
            objects -= growth(NOT_OF[name], before, after)[0]
        each = objects * size * share / count
        if share == 1.0 and (cache := merged_with(name)):
            each -= sum(128 for other in CLIENTS_ALONE if merged_with(other) == cache)
        found[name] = each
    return found


def settled_slabs():
    """When the sockets of whoever was here before have been freed."""
    before, now = None, slabs()
    for _ in range(20):
        time.sleep(0.2)
        before, now = now, slabs()
        if all(before.get(name) == now.get(name) for name in ("TCP", "sock_inode_cache")):
            break
    return now


def weigh(server, count):
    """User and kernel bytes a connection, idle, each with one request answered; and who holds them."""
    with Holder(server.port, WARM, "-"):
        pass
    wait_until_open(server, 0)
    user, kernel = server.rss_bytes(), settled_slabs()
    holder = Holder(server.port, count, "-").__enter__()
    wait_until_open(server, count)
    by_cache = kernel_bytes(server.name, kernel, after := slabs(), count)
    return holder, {"user_bytes": server.rss_bytes() - user, "kernel_by_cache": by_cache,
                    "kernel_bytes": sum(by_cache.values()) * count,
                    "both_ends_unreclaimable_bytes": (after["SUnreclaim"][0] - kernel["SUnreclaim"][0]) * 1024}


def wait_until_open(server, count):
    """Its own count; idle ones alone."""
    deadline = time.monotonic() + PATIENCE_S
    while (open_ones := server.sum_of("idle")) != count:
        if time.monotonic() > deadline:
            raise lib.Failure(f"the server counts {open_ones} idle connections, not {count}")
        time.sleep(0.02)


def stop(server, holder, grace_path):
    """Milliseconds from the signal to the end of each phase and to the exit."""
    began, sent = holder.send()
    if grace_path != "-":
        wait_active(server, holder.count)
    due = sent + ACTIVE_MS / 1e3  # of the last answer, at the latest a moment later
    signalled = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    ended, reset, last = holder.expect("ended")
    server.process.wait(PATIENCE_S)
    exited = time.monotonic()
    report = json.loads(server.report.read_text())
    # Active ones end when their answers are due: what a stop costs is what it takes beyond that.
    origin = max(signalled, due) if grace_path != "-" else signalled
    return {"exit_ms": (exited - origin) * 1e3, "last_end_ms": (float(last) - origin) * 1e3, "send_ms": (sent - began) * 1e3,
            "phases": {phase["name"]: phase["end_ms"] for phase in report["phases"]}, "duration_ms": report["duration_ms"],
            "ended": int(ended), "reset": int(reset), "aborted": sum(one["aborted"] for one in report["reactors"]),
            "exit_code": server.process.returncode, "errors": int(reset) + holder.count - int(ended) - int(reset)}


def wait_active(server, count):
    deadline = time.monotonic() + ACTIVE_MS / 1e3 / 2
    while server.sum_of("active") < count:
        if time.monotonic() > deadline:
            raise lib.Failure(f"{count} requests are too many to be under way at once within {ACTIVE_MS} ms here")
        time.sleep(0.01)


def measure(name, case, count, folder):
    grace, path = CASES[case]
    report = pathlib.Path(folder, "report.json")
    limit = ["--max-connections", str(count + 500)]
    with ours.Ours(name, folder, ["--reactors", "1", "--idle-grace", grace, "--report", report, *limit]) as server:
        server.report = report
        holder, weight = weigh(server, count)
        with_path = holder
        if path != "-":  # the same connections, each with a request under way
            holder.__exit__()
            wait_until_open(server, 0)
            with_path = Holder(server.port, count, path)
            with_path.__enter__()
        try:
            ended = stop(server, with_path, path)
        finally:
            with_path.__exit__()
    return {**weight, **ended, "connections": count, "case": case, "server_command": server.command,
            "load_command": holder.command}


def run(options):
    samples, failed = {}, {}
    for number in range(options.rounds):
        for name in options.only:
            for case in options.cases:
                for count in options.connections:
                    label = f"{name}, {case}, {count}"
                    print(f"round {number + 1} of {options.rounds}: {label}", file=sys.stderr)
                    with tempfile.TemporaryDirectory(prefix="lastcall-bench-") as folder:
                        try:
                            sample = measure(name, case, count, folder)
                            samples.setdefault(name, []).append({**sample, "round": number})
                        except (lib.Failure, OSError, subprocess.TimeoutExpired) as error:
                            failed[label] = str(error)
    return samples, failed


KEYS = ["exit_ms", "last_end_ms", "user_bytes", "kernel_bytes", "both_ends_unreclaimable_bytes", "errors", "aborted"]


def summarise(samples, options):
    """{server: {"points": {case: {connections: medians}}, "lines": {case: {key: [a, b, largest residual]}}}}"""
    summary = {}
    for name, rows in samples.items():
        points, lines = {}, {}
        for case in options.cases:
            for count in options.connections:
                here = [row for row in rows if row["case"] == case and row["connections"] == count]
                if here:
                    line = {key: statistics.median(row[key] for row in here) for key in KEYS}
                    line["draining_ms"] = statistics.median(row["phases"].get("draining", 0) for row in here)
                    points.setdefault(case, {})[count] = line
            if len(points.get(case, {})) > 1:
                lines[case] = {key: ours.least_squares([(count, line[key]) for count, line in points[case].items()])
                               for key in ("exit_ms", "user_bytes", "kernel_bytes")}
        summary[name] = {"points": points, "lines": lines, "errors": sum(row["errors"] for row in rows)}
    return summary


def show(summary):
    print("| server | case | connections | draining ended ms | last connection ended ms | exit ms | not ended in order | "
          "user bytes each | kernel bytes each | unreclaimable slab, both ends, each |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, found in summary.items():
        for case, points in found["points"].items():
            for count, line in points.items():
                each = [f"{line[key] / count:.0f}" for key in ("user_bytes", "kernel_bytes", "both_ends_unreclaimable_bytes")]
                print(f"| {name} | {case} | {count} | {line['draining_ms']:.0f} | {line['last_end_ms']:.0f} | "
                      f"{line['exit_ms']:.0f} | {line['errors']:.0f} | {' | '.join(each)} |")
    print("\n| server | case | exit: ms + µs a connection (largest distance, ms) | user: kB + bytes a connection | "
          "kernel: kB + bytes a connection |")
    print("|---|---|---:|---:|---:|")
    for name, found in summary.items():
        for case, lines in found["lines"].items():
            exit_line, user, kernel = (lines[key] for key in ("exit_ms", "user_bytes", "kernel_bytes"))
            print(f"| {name} | {case} | {exit_line[0]:.0f} + {exit_line[1] * 1e3:.1f} ({exit_line[2]:.0f}) | "
                  f"{user[0] / 1e3:.0f} + {user[1]:.0f} | {kernel[0] / 1e3:.0f} + {kernel[1]:.0f} |")


def show_caches(samples, options):
    most = max(options.connections)
    for name, rows in samples.items():
        here = [row["kernel_by_cache"] for row in rows if row["connections"] == most and row["case"].startswith("idle")]
        if here:
            caches = {cache: statistics.median(row.get(cache, 0) for row in here) for cache in here[0]}
            print(f"{name}, kernel bytes of one of {most}: " +
                  ", ".join(f"{cache} {size:.0f}" for cache, size in caches.items() if abs(size) >= 1))


def main():
    parser = ours.parser_for("drain_scale", __doc__)
    ours.add_only(parser, NAMES)
    parser.add_argument("--connections", type=lambda text: [int(word) for word in text.split(",")], default=[1000, 5000, 15000])
    parser.add_argument("--cases", type=lambda text: text.split(";"), default=list(CASES), help="separated by ; (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    options = ours.parse(parser, NAMES)
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no case {', '.join(sorted(unknown))}; there are: {', '.join(CASES)}")
    ours.raise_descriptor_limit(max(options.connections) + 1000)
    samples, failed = run(options)
    summary = summarise(samples, options)
    print(f"one reactor on CPU {lib.SERVER_CPU}, the clients on CPU {lib.LOAD_CPU}; medians of {options.rounds} rounds; "
          "of active ones the time beyond the last answer's due time\n")
    if "TCP" not in slabs():
        print("kernel bytes are not known: /proc/slabinfo is for root\n")
    show(summary)
    print()
    show_caches(samples, options)
    code = ours.finish("drain_scale", options, samples, summary, failed, lib.environment())
    lossy = [name for name, found in summary.items() if found["errors"]]
    for name in lossy:
        print(f"{name}: {summary[name]['errors']} connections did not end in order")
    return 1 if lossy else code


if __name__ == "__main__":
    sys.exit(main())
