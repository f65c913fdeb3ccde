#!/usr/bin/env python3
"""GET /plaintext over kept-alive connections: the floors, lastcall on both backends, nginx; one CPU each."""

import argparse
import statistics
import sys
import tempfile

import lib

NAMES = ["floor_epoll", "floor_uring", "lastcall_epoll", "lastcall_io_uring", "nginx"]
BASE = "floor_epoll"
SATURATED = 0.95  # of its CPU


def server_for(name, folder):
    if name.startswith("floor_"):
        return lib.floor(name, folder)
    if name.startswith("lastcall_"):
        return lib.lastcall(name, folder, name.removeprefix("lastcall_"))
    return lib.nginx(name, folder)


def arguments():
    parser = argparse.ArgumentParser(prog="tools/bench plaintext", description=__doc__)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement, after a warm-up of one")
    parser.add_argument("--rounds", type=int, default=3, help="every second one in reverse order")
    parser.add_argument("--pipeline", type=int, default=1, help="requests written at once on a connection")
    parser.add_argument("--only", default=",".join(NAMES), help="names, separated by commas (default: %(default)s)")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(NAMES):
        parser.error(f"no server {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    return options


def run(options, folder):
    """Samples by name, one a round, and what failed by name."""
    samples = {name: [] for name in options.only}
    failed = {}
    for round_number in range(options.rounds):
        order = options.only if round_number % 2 == 0 else options.only[::-1]
        for name in (name for name in order if name not in failed):
            print(f"round {round_number + 1} of {options.rounds}: {name}", file=sys.stderr)
            try:
                with server_for(name, folder) as server:
                    lib.check_answer(server, "/plaintext", b"Hello, World!")
                    sample = lib.measure(server, "/plaintext", options.connections, options.seconds, options.pipeline)
                samples[name].append({**sample, "round": round_number})
            except (lib.Failure, OSError) as error:
                failed[name] = str(error)
    return {name: rows for name, rows in samples.items() if rows}, failed


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def ratio(rows, base_rows, key):
    """Median over the rounds of ours to the floor's in the same round."""
    base = {row["round"]: row[key] for row in base_rows}
    return median(row[key] / base[row["round"]] for row in rows if base.get(row["round"]))


def summarise(samples):
    summary = {}
    keys = ["per_second", "user_us", "system_us", "cpu_us", "p99_ms", "rss_bytes", "server_busy", "load_busy"]
    for name, rows in samples.items():
        line = {key: median(row[key] for row in rows) for key in keys}
        rates = [row["per_second"] for row in rows]
        line["spread"] = (max(rates) - min(rates)) / line["per_second"]
        line["errors"] = sum(row["errors"] for row in rows)
        line["rate_ratio"] = ratio(rows, samples.get(BASE, []), "per_second")
        line["cpu_ratio"] = ratio(rows, samples.get(BASE, []), "cpu_us")
        summary[name] = line
    return summary


def saturated(line):
    names = [name for name in ("server", "load") if line[f"{name}_busy"] >= SATURATED]
    return "+".join(names) or "neither"


def show(summary):
    print(f"{'':18}{'req/s':>9}{'±%':>5}{'user µs':>9}{'sys µs':>8}{'cpu µs':>8}{'p99 ms':>8}{'RSS MB':>8}"
          f"{'errors':>7}{'rate/floor':>11}{'cpu/floor':>10}{'server':>8}{'load':>6}  saturated")
    for name, line in summary.items():
        p99, rate, cpu = ("-" if value is None else f"{value:.2f}"
                          for value in (line["p99_ms"], line["rate_ratio"], line["cpu_ratio"]))
        print(f"{name:18}{line['per_second']:9.0f}{100 * line['spread'] / 2:5.0f}{line['user_us']:9.2f}"
              f"{line['system_us']:8.2f}{line['cpu_us']:8.2f}{p99:>8}{line['rss_bytes'] / 1e6:8.1f}"
              f"{line['errors']:7d}{rate:>11}{cpu:>10}{line['server_busy']:8.0%}{line['load_busy']:6.0%}  {saturated(line)}")


def main():
    options = arguments()
    environment = lib.environment()
    with tempfile.TemporaryDirectory(prefix="lastcall-bench-") as folder:
        samples, failed = run(options, folder)
    summary = summarise(samples)
    print(f"{options.connections} connections, {options.pipeline} deep, {options.rounds} rounds of {options.seconds} s; "
          f"server on CPU {lib.SERVER_CPU}, load on CPU {lib.LOAD_CPU}; medians")
    show(summary)
    for name, why in failed.items():
        print(f"{name} FAILED: {why}")
    path = lib.save("plaintext", {"options": vars(options), "environment": environment, "summary": summary,
                                  "samples": samples, "failed": failed})
    print(f"raw: {path}")
    return 1 if failed or not samples else 0


if __name__ == "__main__":
    sys.exit(main())
