#!/usr/bin/env python3
"""Latency in the open loop, every server at the same rate: half of the peak of the slowest; percentiles and their curves."""

import argparse
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
import servers
import throughput
import works

# Of the curves: the further out, the finer.
PERCENTS = [0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92, 94, 95, 96, 97, 98, 99, 99.2, 99.5, 99.7, 99.8, 99.9, 99.93,
            99.95, 99.97, 99.98, 99.99, 99.995, 99.999]
TAIL = 10        # a percentile is shown where so many answers lie beyond it
WARM_UP_S = 1    # of which no latency counts
SATURATED = 0.9  # of its CPU: a generator that busy measures itself
LOST = ["lost_new", "lost_reuse", "truncated", "malformed", "stuck", "refused", "dropped", "turned_away", "http_5xx", "unable"]


def arguments():
    parser = argparse.ArgumentParser(prog="tools/bench latency", description=__doc__)
    parser.add_argument("--rate", type=float, help="requests a second (default: half of the peak of the slowest, measured first)")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=int, default=8, help="of each measurement, after a warm-up of one")
    parser.add_argument("--rounds", type=int, default=4, help="every second one in reverse order")
    parser.add_argument("--only", type=throughput.names_of, default="ours,nginx",
                        help="servers, separated by commas; all, peers, floors, ours (default: %(default)s)")
    parser.add_argument("--selfcheck", action="store_true",
                        help="stop a server for half a second, and see that p99 tells; the test of the suite")
    parser.add_argument("--record", type=pathlib.Path, help="write the record there (default: build/bench/latency-DATE.json)")
    parser.add_argument("--build", type=pathlib.Path, default=lib.RELEASE,
                        help="folder of the lastcall and lastcall-load to run (default: %(default)s)")
    options = parser.parse_args()
    lib.RELEASE = options.build = options.build.resolve()
    if options.rounds < 1 or options.seconds < 1 or (options.rate or 1) <= 0:
        parser.error("--rounds, --seconds and --rate want to be positive")
    return options


def load_command(server, samples, connections, seconds, rate=None, think=None):
    command = [lib.RELEASE / "lastcall-load", f"127.0.0.1:{server.port}", "--path", "/plaintext", "--keep-alive", connections,
               "--duration", f"{seconds}s", "--samples", samples, "--json"]
    for header in servers.headers(server.name):
        command += ["--header", header]
    if rate:
        command += ["--rate", rate]
    if think:
        command += ["--think", think]
    return lib.pinned(lib.LOAD_CPU, command)


def percentile(ordered, percent):
    """The smallest latency that at least `percent` of all do not exceed; None of none."""
    if not ordered:
        return None
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank) - 1, 0)]


def read_samples(file, warm_up_s):
    """Latencies in ms, in order of size, of what was due after the warm-up."""
    with open(file, encoding="ascii") as lines:
        rows = (line.split() for line in lines)
        return sorted(float(latency) / 1e3 for due, latency, _ in rows if float(due) >= warm_up_s * 1e6)


def digest(ordered):
    """Percentiles, and the points of the curve as far as there are answers enough beyond them."""
    shown = [percent for percent in PERCENTS if len(ordered) * (100 - percent) / 100 >= TAIL]
    return {**{f"p{percent}_ms": percentile(ordered, percent) for percent in (50, 90, 99, 99.9)},
            "max_ms": ordered[-1] if ordered else None, "answers": len(ordered),
            "curve": [[percent, percentile(ordered, percent)] for percent in shown]}


def begin(command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    """The load's report, with its own CPU seconds."""
    text, complaint = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    process.stderr.close()
    try:
        report = json.loads(text)
    except json.JSONDecodeError:
        raise lib.Failure(f"the load ended with {process.returncode}: {complaint.strip()[-500:]}") from None
    return report, usage.ru_utime + usage.ru_stime


def peak(name, options, folder):
    """Requests a second in the closed loop."""
    with servers.start(name, folder) as server:
        works.PLAINTEXT.verify(server)
        return lib.measure(server, "/plaintext", options.connections, 2, **works.PLAINTEXT.load(name))


def two_digits(rate):
    """Rounded down, so that the rate can be written on the command line of whoever repeats it."""
    return float(re.sub(r"(?<=\d\d)\d", "0", str(int(rate))))


def measured(name, rate, options, folder):
    """One sample of one server at the rate."""
    samples = pathlib.Path(folder) / f"{name}.samples"
    with servers.start(name, folder) as server:
        works.PLAINTEXT.verify(server)
        command = load_command(server, samples, options.connections, options.seconds + WARM_UP_S, rate)
        before, started = server.cpu()[0], time.monotonic()
        report, load_cpu = finish(begin(command))
        elapsed, cpu = time.monotonic() - started, server.cpu()[0] - before
        rss = server.rss_bytes()
    outcomes = {outcome: report["outcomes"].get(outcome, 0) for outcome in LOST}
    return {"rate": rate, **digest(read_samples(samples, WARM_UP_S)), "per_second": report["answers_per_second"],
            "errors": sum(outcomes.values()), "outcomes": outcomes, "never_begun": report["never_begun"],
            "cpu_us": cpu * 1e6 / max(report["sent"], 1), "server_busy": cpu / elapsed, "load_busy": load_cpu / elapsed,
            "rss_bytes": rss, "server_command": server.command, "load_command": command}


def choose_rate(options, folder, failed):
    """The rate, and the peaks that it comes from."""
    peaks = {}
    if options.rate:
        return options.rate, peaks
    for name in options.only:
        print(f"peak of {name}", file=sys.stderr)
        try:
            peaks[name] = peak(name, options, folder)
        except (lib.Failure, OSError) as error:
            failed[name] = str(error)
    if not peaks:
        return None, peaks
    return two_digits(min(one["per_second"] for one in peaks.values()) / 2), peaks


def run(options, rate, folder, failed):
    samples = {name: [] for name in options.only}
    for number in range(options.rounds):
        order = options.only if number % 2 == 0 else options.only[::-1]
        for name in (name for name in order if name not in failed):
            print(f"round {number + 1} of {options.rounds}: {name}", file=sys.stderr)
            try:
                samples[name].append({**measured(name, rate, options, folder), "round": number})
            except (lib.Failure, OSError) as error:
                failed[name] = str(error)
    return {name: rows for name, rows in samples.items() if rows}


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def curve(rows):
    """[percent, median, least, most over the rounds] of the points that every round has."""
    rounds = [dict(row["curve"]) for row in rows]
    common = [percent for percent in rounds[0] if all(percent in one for one in rounds)]
    return [[percent, median(one[percent] for one in rounds), min(one[percent] for one in rounds),
             max(one[percent] for one in rounds)] for percent in common]


def summarise(samples):
    keys = ["p50_ms", "p90_ms", "p99_ms", "p99.9_ms", "max_ms", "per_second", "cpu_us", "server_busy", "load_busy", "rss_bytes"]
    return {name: {**{key: median(row[key] for row in rows) for key in keys}, "rate": rows[0]["rate"],
                   "errors": sum(row["errors"] for row in rows), "never_begun": sum(row["never_begun"] for row in rows),
                   "curve": curve(rows)} for name, rows in samples.items()}


def show(summary):
    print(f"{'':18}{'p50 ms':>9}{'p90':>9}{'p99':>9}{'p99.9':>9}{'max':>9}{'req/s':>9}{'never begun':>13}{'errors':>8}{'cpu us':>8}"
          f"{'server':>8}{'load':>6}")
    for name, line in summary.items():
        times = ["-" if line[key] is None else f"{line[key]:.3f}" for key in ("p50_ms", "p90_ms", "p99_ms", "p99.9_ms", "max_ms")]
        note = "  the generator was saturated: these are its own latencies" if line["load_busy"] >= SATURATED else ""
        print(f"{name:18}" + "".join(f"{time:>9}" for time in times) + f"{line['per_second']:9.0f}{line['never_begun']:13}"
              f"{line['errors']:8}{line['cpu_us']:8.2f}{line['server_busy']:8.0%}{line['load_busy']:6.0%}{note}")


def stalled(folder, loop):
    """Latencies in ms, in order of size, of 2 s in which the server is stopped for half a second, and of as long without."""
    samples = pathlib.Path(folder) / "stalled.samples"
    found = {}
    for stop in (False, True):
        with servers.start("lastcall_epoll", folder) as server:
            process = begin(load_command(server, samples, 8, 2, **loop))
            if stop:
                time.sleep(0.7)
                server.process.send_signal(signal.SIGSTOP)
                time.sleep(0.5)
                server.process.send_signal(signal.SIGCONT)
            report, _ = finish(process)
        if report["lost"]:
            raise lib.Failure(f"the load lost {report['lost']} requests: {report['outcomes']}")
        found["stopped" if stop else "running"] = read_samples(samples, 0)
    return found


def selfcheck():
    """A stall of 0.5 s in 2 s delays a quarter of all that falls due: the open loop must say so, the closed one does not."""
    with tempfile.TemporaryDirectory(prefix="lastcall-latency-") as folder:
        seen = {"open": stalled(folder, {"rate": 2000}), "closed": stalled(folder, {"think": "4ms"})}
    for loop, found in seen.items():
        for state, ordered in found.items():
            print(f"{loop:6} loop, server {state}: {len(ordered)} answers, p90 {percentile(ordered, 90):.1f} ms, "
                  f"p99 {percentile(ordered, 99):.1f} ms, max {ordered[-1]:.1f} ms")
    told = percentile(seen["open"]["stopped"], 99) >= 300
    hidden = percentile(seen["closed"]["stopped"], 99) < 300 <= seen["closed"]["stopped"][-1]
    print(f"the open loop's p99 {'shows' if told else 'DOES NOT SHOW'} the stall; "
          f"the closed loop's {'hides it, as was expected' if hidden else 'is NOT AS EXPECTED'}")
    return 0 if told and hidden else 1


def main():
    options = arguments()
    if options.selfcheck:
        return selfcheck()
    environment, failed = lib.environment(), {}
    with tempfile.TemporaryDirectory(prefix="lastcall-bench-") as folder:
        os.chmod(folder, 0o755)  # some peers give up root
        rate, peaks = choose_rate(options, folder, failed)
        samples = run(options, rate, folder, failed) if rate else {}
    summary = summarise(samples)
    print(f"open loop, {rate or 0:.0f} requests a second on {options.connections} connections, {options.rounds} rounds of "
          f"{options.seconds} s; server on CPU {lib.SERVER_CPU}, load on CPU {lib.LOAD_CPU}; medians")
    show(summary)
    for name, why in failed.items():
        print(f"{name} {'SKIPPED' if name in servers.PEERS else 'FAILED'}: {why}")
    record = {"bench": "latency", "options": vars(options), "environment": environment, "rate": rate, "peaks": peaks,
              "versions": {name: servers.version(name) for name in samples}, "summary": summary, "samples": samples,
              "failed": failed}
    print(f"raw: {lib.save('latency', record, options.record)}")
    return 1 if not samples or any(name not in servers.PEERS for name in failed) else 0  # a peer may be missing


if __name__ == "__main__":
    sys.exit(main())
