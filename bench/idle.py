#!/usr/bin/env python3
"""What idle connections cost: resident bytes each, the kernel's too, and CPU a request of the active ones beside them."""

import argparse
import os
import pathlib
import resource
import statistics
import sys
import tempfile

import lib
import servers
import throughput
import works
from clients import idle

QUEUED = 2000  # connections, to see what the kernel takes for the end that the holder has
SPARE = 1000  # descriptors beside the idle connections


def arguments():
    parser = argparse.ArgumentParser(prog="tools/bench idle", description=__doc__)
    parser.add_argument("--idle", type=int, default=8000, help="connections that wait (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="active ones beside them (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement of CPU (default: %(default)s)")
    parser.add_argument("--warm-up", type=float, default=1, help="seconds before it (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="each: without, with, with, without the idle ones")
    parser.add_argument("--only", type=throughput.names_of, default="ours,nginx",
                        help="servers, separated by commas; all, peers, floors, ours (default: %(default)s)")
    parser.add_argument("--build", type=pathlib.Path, default=lib.RELEASE, help="folder of the lastcall to run (default: %(default)s)")
    parser.add_argument("--record", type=pathlib.Path, help="write the record there (default: build/bench/idle-DATE.json)")
    options = parser.parse_args()
    lib.RELEASE = options.build = options.build.resolve()
    if min(options.idle, options.connections, options.rounds) < 1 or options.seconds <= 0 or options.warm_up < 0:
        parser.error("--idle, --connections and --rounds are at least 1, --seconds is above 0, --warm-up is not below")
    return options


def raise_limit(needed):
    """So many descriptors for this process and those it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, needed))
        except (ValueError, PermissionError):
            raise lib.Failure(f"{needed} descriptors are needed, and the limit is {hard}: ulimit -Hn") from None
    elif soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def open_idle(server, holder, kind, options, client):
    """Opens the idle connections; what they cost in memory."""
    before, descriptors = idle.settle(server, 0)
    slab = idle.slab()
    holder.ask(f"open {options.idle} {kind}")
    after, now = idle.settle(server, descriptors + options.idle)
    kernel, caches = idle.kernel_bytes(slab, idle.slab(), options.idle, client)
    held = holder.ask("check")
    if held < options.idle or now - descriptors < options.idle:
        raise lib.Failure(f"of {options.idle} {kind} connections {held} stayed open, and the server has "
                          f"{now - descriptors} descriptors more")
    return {"rss_before_bytes": before, "rss_bytes": after, "bytes": (after - before) / options.idle,
            "kernel_bytes": kernel, "kernel_caches": caches}


def active(server, options):
    return lib.measure(server, "/plaintext", options.connections, options.seconds, warm_up=options.warm_up)


def with_and_without(name, options, client, folder):
    """One server, afresh: memory of kept connections, and CPU a request without, with, with, without them."""
    with servers.start(name, folder) as server:
        works.PLAINTEXT.verify(server)
        without = [active(server, options)]
        with idle.Holder(server.port) as holder:
            memory = open_idle(server, holder, "kept", options, client)
            beside = [active(server, options) for _ in range(2)]
            held = holder.ask("check")
            holder.ask("close")
            idle.settle(server, 0)
            without.append(active(server, options))
        cpu = {key: statistics.mean(one["cpu_us"] for one in rows) for key, rows in (("without", without), ("with", beside))}
        every = without + beside
        return {**memory, "held": held, "cpu_us": cpu["with"], "cpu_us_without": cpu["without"],
                "cpu_ratio": cpu["with"] / cpu["without"], "errors": sum(one["errors"] for one in every),
                "server_busy": min(one["server_busy"] for one in every), "load_busy": max(one["load_busy"] for one in every),
                "without": without, "with": beside, "server_command": server.command,
                "load_command": every[0]["load_command"], "holder_command": holder.command}


def silent(name, options, client, folder):
    """One server, afresh: memory of connections that never sent a byte."""
    with servers.start(name, folder) as server:
        active(server, options)  # what is not per connection is resident then
        with idle.Holder(server.port) as holder:
            memory = open_idle(server, holder, "silent", options, client)
    return {f"silent_{key}": value for key, value in memory.items()}


def run(options, client, folder):
    failed = {name: why for name in options.only if (why := servers.lack(name, "idle"))}
    samples = {name: [] for name in options.only}
    for number in range(options.rounds):
        order = options.only if number % 2 == 0 else options.only[::-1]
        for name in (name for name in order if name not in failed):
            print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
            try:
                samples[name].append({**with_and_without(name, options, client, folder), **silent(name, options, client, folder),
                                      "round": number})
            except (lib.Failure, OSError) as error:
                failed[name] = str(error)
    return {name: rows for name, rows in samples.items() if rows}, failed


def median(rows, key):
    values = [row[key] for row in rows if row[key] is not None]
    return statistics.median(values) if values else None


def summarise(samples):
    keys = ["bytes", "silent_bytes", "kernel_bytes", "silent_kernel_bytes", "rss_before_bytes", "rss_bytes", "cpu_us_without",
            "cpu_us", "cpu_ratio", "server_busy", "load_busy"]
    return {name: {**{key: median(rows, key) for key in keys}, "errors": sum(row["errors"] for row in rows),
                   "held": min(row["held"] for row in rows)} for name, rows in samples.items()}


def show(summary):
    print(f"{'':18}{'B each':>8}{'silent':>8}{'kernel B':>10}{'silent':>8}{'MB before':>11}{'after':>8}{'cpu us':>8}{'beside':>8}"
          f"{'ratio':>7}{'held':>8}{'errors':>8}{'server':>8}{'load':>6}")
    for name, line in summary.items():
        kernel = ["-" if line[key] is None else f"{line[key]:.0f}" for key in ("kernel_bytes", "silent_kernel_bytes")]
        print(f"{name:18}{line['bytes']:8.0f}{line['silent_bytes']:8.0f}{kernel[0]:>10}{kernel[1]:>8}"
              f"{line['rss_before_bytes'] / 1e6:11.1f}{line['rss_bytes'] / 1e6:8.1f}{line['cpu_us_without']:8.2f}"
              f"{line['cpu_us']:8.2f}{line['cpu_ratio']:7.3f}{line['held']:8}{line['errors']:8}{line['server_busy']:8.0%}"
              f"{line['load_busy']:6.0%}")


def main():
    options = arguments()
    if not lib.program("wrk"):
        print("idle: SKIPPED, there is no wrk (apt-get install wrk)")
        return 77
    environment = lib.environment()
    try:
        raise_limit(options.idle + SPARE)
        client = idle.client_end(min(QUEUED, options.idle))
    except lib.Failure as error:
        print(f"idle: {error}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="lastcall-bench-") as folder:
        os.chmod(folder, 0o755)  # some peers give up root
        samples, failed = run(options, client, folder)
    summary = summarise(samples)
    print(f"{options.idle} idle connections; beside them {options.connections} active ones, {options.rounds} rounds of without, "
          f"with, with, without, {options.seconds} s each; server on CPU {lib.SERVER_CPU}, load on CPU {lib.LOAD_CPU}; medians")
    show(summary)
    for name, why in failed.items():
        print(f"{name} {'SKIPPED' if name in servers.PEERS else 'FAILED'}: {why}")
    record = {"bench": "idle", "options": vars(options), "environment": environment, "client_end": client,
              "versions": {name: servers.version(name) for name in samples}, "summary": summary, "samples": samples, "failed": failed}
    print(f"raw: {lib.save('idle', record, options.record)}")
    return 1 if not samples or any(name not in servers.PEERS for name in failed) else 0  # a peer may be missing


if __name__ == "__main__":
    sys.exit(main())
