"""Rounds of servers at works, medians and ratios of them, their table and record: what the throughput benches share.

A record holds {"bench", "options", "environment", "versions", "works": {work: {"summary", "samples", "failed", "skipped"}}} with
"summary": {server: {key: value}}, "samples": {server: [{…, "round": i}]}, and "failed" and "skipped": {server: why}. A bench
of a single work has these four beside "works" as well.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile

import lib
import servers

SATURATED = 0.95  # of its CPU
MEDIANS = ["per_second", "user_us", "system_us", "cpu_us", "p50_ms", "p99_ms", "rss_bytes", "server_busy", "load_busy"]
PARTS = ["summary", "samples", "failed", "skipped"]


def names_of(text):
    """Names separated by commas; all, peers, floors and ours stand for their groups."""
    groups = {"all": servers.NAMES, "peers": servers.PEERS, "floors": servers.FLOORS, "ours": servers.OURS}
    names = list(dict.fromkeys(name for part in text.split(",") for name in groups.get(part, [part])))
    if unknown := [name for name in names if name not in servers.NAMES]:
        raise argparse.ArgumentTypeError(f"no server {', '.join(unknown)}; there are: {', '.join([*groups, *servers.NAMES])}")
    return names


def arguments_parser(bench, document, only, connections=64):
    parser = argparse.ArgumentParser(prog=f"tools/bench {bench}", description=document)
    parser.add_argument("--only", type=names_of, default=only,
                        help=f"servers, separated by commas; all, peers, floors, ours (default: {only})")
    parser.add_argument("--connections", type=int, default=connections)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement (default: %(default)s)")
    parser.add_argument("--warm-up", type=float, default=1, help="seconds before it (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="every second one in reverse order (default: %(default)s)")
    parser.add_argument("--build", type=pathlib.Path, default=lib.RELEASE,
                        help="folder of the lastcall and the floors to run (default: %(default)s)")
    parser.add_argument("--record", type=pathlib.Path, help="write the record there (default: build/bench/NAME-DATE.json)")
    return parser


def parse(parser):
    options = parser.parse_args()
    lib.RELEASE = options.build = options.build.resolve()
    if options.connections < 1 or options.rounds < 1 or options.seconds <= 0 or options.warm_up < 0:
        parser.error("--connections and --rounds are at least 1, --seconds is above 0, --warm-up is not below")
    return options


class Samples:
    """What the rounds gave for one work."""

    def __init__(self, work):
        self.work, self.samples, self.failed, self.skipped = work, {}, {}, {}

    def wants(self, name):
        if why := servers.lack(name, self.work.name):
            self.skipped[name] = why
        return name not in self.failed and name not in self.skipped

    def measure(self, server, round_number, options):
        self.work.verify(server)
        sample = lib.measure(server, self.work.path, options.connections, options.seconds, warm_up=options.warm_up,
                             **self.work.load(server.name))
        self.samples.setdefault(server.name, []).append({**sample, "work": self.work.name, "round": round_number})


def one_server(name, wanted, round_number, options, folder):
    """One server, started afresh, at its works of a round. A work that fails does not spoil the others."""
    print(f"round {round_number + 1} of {options.rounds}: {name}: {', '.join(one.work.name for one in wanted)}", file=sys.stderr)
    for one in wanted:
        try:
            with servers.start(name, folder, one.work.name) as server:
                one.measure(server, round_number, options)
        except (lib.Failure, OSError) as error:
            one.failed[name] = str(error)


def run_round(results, round_number, options, folder):
    forward = round_number % 2 == 0
    for name in options.only if forward else options.only[::-1]:
        wanted = [one for one in (results if forward else results[::-1]) if one.wants(name)]
        if wanted:
            one_server(name, wanted, round_number, options, folder)


def run(works, options):
    """Samples of each work. Ctrl-C ends the measuring, and what was measured by then is the result."""
    results = [Samples(work) for work in works]
    with tempfile.TemporaryDirectory(prefix="lastcall-bench-", ignore_cleanup_errors=True) as folder:
        try:
            for round_number in range(options.rounds):
                run_round(results, round_number, options, folder)
        except KeyboardInterrupt:
            print("interrupted: the figures are of what was measured until then", file=sys.stderr)
            options.interrupted = True
    for one in results:
        one.samples = {name: one.samples[name] for name in options.only if name in one.samples}
    return results


def median(values):
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None


def least(samples, bases, key):
    """By round, the least that any of the bases had."""
    found = {}
    for base in bases:
        for row in samples.get(base, []):
            found[row["round"]] = min(row[key], found.get(row["round"], row[key]))
    return found


def ratio(rows, base_by_round, key):
    """Median over the rounds of a server to the base in the same round."""
    return median(row[key] / base_by_round[row["round"]] for row in rows if base_by_round.get(row["round"]))


def summarise(samples, bases=("floor_epoll",)):
    """A line a server. Its ratios are to the cheapest of the floors in `bases`, and to nginx."""
    floor_cpu, nginx_cpu = least(samples, bases, "cpu_us"), least(samples, ["nginx"], "cpu_us")
    floor_rate, nginx_rate = least(samples, bases, "per_second"), least(samples, ["nginx"], "per_second")
    summary = {}
    for name, rows in samples.items():
        line = {key: median(row[key] for row in rows) for key in MEDIANS}
        rates = [row["per_second"] for row in rows]
        line["spread"] = (max(rates) - min(rates)) / line["per_second"] if line["per_second"] else 0.0
        line["errors"] = sum(row["errors"] for row in rows)
        line["rate_ratio"], line["cpu_ratio"] = ratio(rows, floor_rate, "per_second"), ratio(rows, floor_cpu, "cpu_us")
        line["rate_to_nginx"] = ratio(rows, nginx_rate, "per_second")
        cost = ratio(rows, nginx_cpu, "cpu_us")
        line["work_per_cpu_to_nginx"] = 1 / cost if cost else None  # requests a CPU second, to nginx's
        summary[name] = line
    return summary


def saturated(line):
    names = [name for name in ("server", "load") if line[f"{name}_busy"] >= SATURATED]
    return "+".join(names) or "neither"


def number(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


# (head, width, text of a line)
COLUMNS = [
    ("req/s", 9, lambda line: f"{line['per_second']:.0f}"),
    ("±%", 5, lambda line: f"{100 * line['spread'] / 2:.0f}"),
    ("errors", 8, lambda line: str(line["errors"])),
    ("user µs", 9, lambda line: number(line["user_us"])),
    ("sys µs", 9, lambda line: number(line["system_us"])),
    ("cpu µs", 9, lambda line: number(line["cpu_us"])),
    ("p99 ms", 8, lambda line: number(line["p99_ms"])),
    ("RSS MB", 8, lambda line: f"{line['rss_bytes'] / 1e6:.1f}"),
]
TO_FLOOR = [
    ("rate/floor", 11, lambda line: number(line["rate_ratio"])),
    ("cpu/floor", 10, lambda line: number(line["cpu_ratio"])),
]
TO_NGINX = [
    ("rate/nginx", 11, lambda line: number(line["rate_to_nginx"])),
    ("per CPU s/nginx", 16, lambda line: number(line["work_per_cpu_to_nginx"])),
]
BUSY = [
    ("server", 8, lambda line: f"{line['server_busy']:.0%}"),
    ("load", 6, lambda line: f"{line['load_busy']:.0%}"),
    ("  saturated", 0, lambda line: f"  {saturated(line)}"),
]


def show(summary, columns):
    print(" " * 18 + "".join(head.rjust(width) for head, width, _ in columns))
    for name, line in summary.items():
        print(f"{name:18}" + "".join(text(line).rjust(width) for _, width, text in columns))


def show_missing(results):
    for one in results:
        where = f" {one.work.name}" if len(results) > 1 else ""
        for name, why in one.failed.items():
            print(f"{name}{where} {'FAILED' if name not in servers.PEERS else 'SKIPPED'}: {why}")
        for name, why in one.skipped.items():
            print(f"{name}{where} left out: {why}")


def heading(options):
    return (f"{options.connections} connections, {options.rounds} rounds of {options.seconds:g} s; server on CPU {lib.SERVER_CPU}, "
            f"load on CPU {lib.LOAD_CPU}; medians")


def verdict(results):
    """1 when a floor or lastcall could not be measured, or nobody could. A peer that is missing is only named."""
    ours = any(name not in servers.PEERS for one in results for name in one.failed)
    return 1 if ours or not all(one.samples for one in results) else 0


def finish(bench, options, results, summaries):
    """Names who is missing and writes the record; the exit code."""
    show_missing(results)
    names = {name for one in results for name in one.samples}
    record = {"bench": bench, "options": vars(options), "environment": lib.environment(),
              "versions": {name: servers.version(name) for name in options.only if name in names},
              "works": {one.work.name: {"summary": summary, "samples": one.samples, "failed": one.failed, "skipped": one.skipped}
                        for one, summary in zip(results, summaries)}}
    if len(results) == 1:
        record |= record["works"][results[0].work.name]
    print(f"raw: {lib.save(bench, record, options.record)}")
    return 130 if getattr(options, "interrupted", False) else verdict(results)
