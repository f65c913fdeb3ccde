#!/usr/bin/env python3
"""Rolling restarts and replacements of three backends behind HAProxy or nginx, under load: what clients notice."""

import argparse
import os
import pathlib
import shutil
import signal
import statistics
import sys
import tempfile
import time

import lib
from fleet import backends, balancers, load, processes

DOWN_S = 0.5         # how long a killed backend stays away
REPLACEMENT_S = 0.2  # between two replacements: nobody in front has to notice anything
GAP_MS = 20          # with --direct, the p99 of no 100 ms may be above
PACKAGES = {"haproxy": "haproxy", "nginx": "nginx-light", "go": "golang-go"}
METHODS = ["restart", "usr2", "kill9"]


def a_list(known):
    def parse(text):
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"no {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
        return names
    return parse


def arguments():
    parser = argparse.ArgumentParser(prog="tools/bench rolling", description=__doc__)
    parser.add_argument("--restarts", type=int, default=100, help="rounds of each method; a tenth of kill9")
    parser.add_argument("--balancer", type=a_list(balancers.KINDS), default=["haproxy", "nginx"],
                        help="haproxy, nginx, none; separated by commas (default: haproxy,nginx)")
    parser.add_argument("--backend", type=a_list(backends.KINDS), default=list(backends.KINDS),
                        help=f"{', '.join(backends.KINDS)} (default: all)")
    parser.add_argument("--io", choices=["epoll", "io_uring"], help="short for --backend lastcall_IO")
    parser.add_argument("--method", type=a_list(METHODS), default=METHODS,
                        help="restart (stop, start), usr2 (replace the binary), kill9 (default: all)")
    parser.add_argument("--direct", action="store_true",
                        help="replacements of one lastcall with no balancer: --balancer none --method usr2; the p99 "
                        f"of no 100 ms may be above {GAP_MS} ms")
    parser.add_argument("--clients", type=int, default=48, help="of GET and of POST, a third of them fresh (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1000, help="requests a second, open loop (default: %(default)s)")
    parser.add_argument("--seconds-between", type=float, default=None,
                        help="two rounds, at least (default: 0 with HAProxy, whose checks take their time, 0.5 with nginx; 0.2 for usr2)")
    parser.add_argument("--quiet-seconds", type=float, default=3, help="of load before and after (default: %(default)s)")
    parser.add_argument("--small", action="store_true", help="few rounds of lastcall behind HAProxy: the test of the suite")
    parser.add_argument("--json", action="store_true", help="print the record instead of the table")
    parser.add_argument("--keep", type=pathlib.Path, help="keep configurations and logs in this folder")
    parser.add_argument("--build", type=pathlib.Path, default=lib.RELEASE,
                        help="folder of the lastcall and lastcall-load to run (default: %(default)s)")
    options = parser.parse_args()
    lib.RELEASE = options.build = options.build.resolve()
    if options.direct:
        options.balancer, options.method = ["none"], ["usr2"]
        options.backend = [name for name in options.backend if name.startswith("lastcall_")]
    if options.small:
        options.restarts, options.quiet_seconds = 3, 0.5
        options.balancer, options.method = ["haproxy"], ["restart", "usr2"]
        options.backend = ["lastcall_epoll", "lastcall_io_uring"]
    if options.io:
        options.backend = [f"lastcall_{options.io}"]
    return options


def drills(options):
    """(balancer, backend, method, rounds) of everything that makes sense."""
    for balancer in options.balancer:
        for backend in options.backend:
            for method in options.method:
                if method == "usr2" and backend not in backends.REPLACEABLE:
                    continue
                yield balancer, backend, method, max(options.restarts // 10, 1) if method == "kill9" else options.restarts


def one_round(method, backend, balancer):
    """One backend goes and comes back; the seconds until the balancer has it again."""
    began = time.monotonic()
    if method == "usr2":
        backend.replace()
    else:
        if method == "kill9":
            backend.kill()
            time.sleep(DOWN_S)
        else:
            backend.stop()
        backend.start()
    balancer.wait_up(backend)
    return time.monotonic() - began


def rounds_under_load(fleet, balancer, method, rounds, options, folder):
    between = REPLACEMENT_S if method == "usr2" else balancer.seconds_between
    between = between if options.seconds_between is None else options.seconds_between
    traffic = load.Load(balancer.port, options.clients, options.rate, folder)
    try:
        time.sleep(1 + options.quiet_seconds)  # a second to warm up, of which no p99 speaks
        first, taken = time.monotonic(), []
        for number in range(rounds):
            taken.append(one_round(method, fleet[number % len(fleet)], balancer))
            time.sleep(between)
        last = time.monotonic()
        time.sleep(options.quiet_seconds)
        seen = traffic.end()
    except BaseException:
        traffic.abandon()
        raise
    return seen, first, last, taken


def drill(balancer_name, backend_name, method, rounds, options, folder):
    kind = balancers.KINDS[balancer_name]
    count = 1 if balancer_name == "none" else len(balancers.ADDRESSES)
    fleet = [backends.KINDS[backend_name](f"{backend_name}_{letter}", folder, kind.announce) for letter in "abc"[:count]]
    try:
        for backend in fleet:
            backend.start()
        with kind(folder, fleet) as balancer:
            seen, first, last, taken = rounds_under_load(fleet, balancer, method, rounds, options, folder)
    finally:
        processes.kill_children()
    return result(seen, first, last, taken, options.quiet_seconds) | {"balancer": balancer_name, "backend": backend_name, "method": method}


def result(seen, first, last, taken, quiet):
    reports = {kind: part["report"] for kind, part in seen.items()}
    failed = load.failures(seen)
    during = load.latencies(seen, first, last)
    return {"rounds": len(taken), "sent": sum(report["sent"] for report in reports.values()),
            "failed": {kind: sum(counts.values()) for kind, counts in failed.items()}, "outcomes": failed,
            "never_begun": sum(report["never_begun"] for report in reports.values()),
            "p99_before_ms": load.percentile(load.latencies(seen, first - quiet, first), 99),
            "p99_during_ms": load.percentile(during, 99),
            "p99_after_ms": load.percentile(load.latencies(seen, last, last + quiet), 99),
            "worst_window_p99_ms": load.worst_window(seen, first, last), "max_ms": max(during, default=None),
            "round_median_ms": statistics.median(taken) * 1e3, "round_max_ms": max(taken) * 1e3,
            "first_s": first, "last_s": last, "load_commands": [part["command"] for part in seen.values()],
            "reports": reports}


def missing(balancer, backend):
    """What a drill needs and cannot be had, or None."""
    for need in (balancer, backend.split("_")[0]):
        if need in PACKAGES and not lib.program(need) and not (lib.install(PACKAGES[need]) and lib.program(need)):
            return f"{need} is not installed, and could not be"
    return None


def run(options, folder):
    rows, skipped = [], []
    for balancer, backend, method, rounds in drills(options):
        name = f"{balancer} {backend} {method}"
        if why := missing(balancer, backend):
            skipped.append(f"{name}: {why}")
            continue
        own = pathlib.Path(folder) / name.replace(" ", "-")
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        os.chmod(own, 0o755)  # nginx gives up root
        try:
            rows.append(drill(balancer, backend, method, rounds, options, own))
            print(f"{name}: {rounds} rounds, failed {rows[-1]['failed']} {rows[-1]['outcomes']}", file=sys.stderr)
        except (lib.Failure, OSError) as error:
            skipped.append(f"{name}: {error}")
            print(f"SKIPPED {skipped[-1]}", file=sys.stderr)
    return rows, skipped


def show(rows):
    heads = ["rounds", "sent", "failed GET", "failed POST", "how", "p99 before ms", "during", "after", "worst 100 ms",
             "max", "a round ms"]
    print("| balancer | backend | method | " + " | ".join(heads) + " |")
    print("|---|---|---|" + "---:|" * len(heads))
    for row in rows:
        how = {}
        for counts in row["outcomes"].values():
            for outcome, count in counts.items():
                how[outcome] = how.get(outcome, 0) + count
        times = [row[key] for key in ("p99_before_ms", "p99_during_ms", "p99_after_ms", "worst_window_p99_ms", "max_ms")]
        cells = [row["balancer"], row["backend"], row["method"], row["rounds"], row["sent"], row["failed"]["GET"],
                 row["failed"]["POST"], ", ".join(f"{count} {outcome}" for outcome, count in how.items()) or "-",
                 *("-" if value is None else f"{value:.1f}" for value in times), f"{row['round_median_ms']:.0f}"]
        print("| " + " | ".join(map(str, cells)) + " |")


def verdict(options, rows, skipped):
    """0: no client of lastcall noticed a restart or a replacement. To be killed is not held against it."""
    ours = [row for row in rows if row["backend"].startswith("lastcall_") and row["method"] != "kill9"]
    wanted = [one for one in drills(options) if one[1].startswith("lastcall_") and one[2] != "kill9"]
    if any(sum(row["failed"].values()) for row in ours):
        return 1
    if options.direct and any(row["worst_window_p99_ms"] > GAP_MS for row in ours):
        return 1
    return 0 if len(ours) == len(wanted) and (rows or not skipped) else 1


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    options = arguments()
    if options.small and not lib.program("haproxy"):
        print("rolling: SKIPPED, there is no haproxy (apt-get install haproxy)")
        return 77
    processes.become_subreaper()
    with tempfile.TemporaryDirectory(prefix="lastcall-rolling-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        rows, skipped = run(options, options.keep.resolve() if options.keep else folder)
    if options.small:  # of which nothing is kept
        show(rows)
        print("\n".join(skipped))
        return verdict(options, rows, skipped)
    record = {"options": vars(options), "environment": lib.environment(), "rows": rows, "skipped": skipped}
    path = lib.save("rolling", record)
    if options.json:
        print(path.read_text(encoding="utf-8"), end="")
    else:
        print(f"{options.rate:.0f} requests a second, half of them POST of {load.BODY_BYTES} bytes; {options.clients} clients of "
              "each, a third of which opens a connection for each request. Latencies in ms are those of the POSTs; the GETs sleep "
              "20 ms every other time\n")
        show(rows)
        for one in skipped:
            print(f"SKIPPED {one}")
        print(f"\nraw: {path}")
    return verdict(options, rows, skipped)


if __name__ == "__main__":
    sys.exit(main())
