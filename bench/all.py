#!/usr/bin/env python3
"""Every bench one after another, and the report of what they measured; --quick for a look that takes minutes."""

import argparse
import pathlib
import signal
import subprocess
import sys
import time

import drain
import lib
import throughput

FOLDER = lib.ROOT / "build" / "bench"
LIMIT_S = 2 * 3600  # of one bench
PATIENCE_S = 30     # for it to end its servers, when it is told to stop
ONE_ROUND = ["--rounds", "1", "--seconds", "1"]

# Name, module, and what --quick adds.
BENCHES = {
    "plaintext": ("plaintext.py", ONE_ROUND),
    "pipeline": ("pipeline.py", ONE_ROUND),
    "churn": ("churn.py", ONE_ROUND),
    "json": ("json_routes.py", ONE_ROUND),
    "bodies": ("bodies.py", ONE_ROUND),
    "idle": ("idle.py", [*ONE_ROUND, "--idle", "1000"]),
    "latency": ("latency.py", ONE_ROUND),
    "drain": ("drain.py", ["--stops", "3"]),
}


def arguments():
    parser = argparse.ArgumentParser(prog="tools/bench all", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of a second each; shows that all works, not how fast it is")
    parser.add_argument("--only", default=",".join(BENCHES), help="names, separated by commas (default: %(default)s)")
    parser.add_argument("--servers", type=throughput.names_of,
                        help="instead of each bench's own choice, separated by commas; all, peers, floors, ours")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(BENCHES):
        parser.error(f"no bench {', '.join(sorted(unknown))}; there are: {', '.join(BENCHES)}")
    return options


def command_of(name, options):
    file, quick = BENCHES[name]
    command = [sys.executable, str(lib.BENCH / file), *(quick if options.quick else [])]
    if options.servers:
        known = drain.PEERS if name == "drain" else options.servers
        command += ["--only", ",".join(server for server in options.servers if server in known)]
    return command


def ended(process):
    """Its exit code; None when it had to be told to stop. A bench that is interrupted ends its servers."""
    try:
        return process.wait(LIMIT_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return None


def records():
    return set(FOLDER.glob("*-*.json"))


def run_one(name, options):
    """(what went wrong or None, the records that were written)."""
    command = command_of(name, options)
    if not pathlib.Path(command[1]).exists():
        return f"there is no {command[1]}", []
    print(f"\n== {name}: {' '.join(command[1:])}", flush=True)
    before = records()
    with subprocess.Popen(command) as process:
        code = ended(process)
    made = sorted(records() - before)
    if code is None:
        return f"had to be stopped after {LIMIT_S} s", made
    if code != 0:
        return f"exit code {code}", made
    return (None if made else "left no record"), made


def run_all(options):
    """Rows (name, seconds, what went wrong or None), and all the records."""
    rows, made = [], []
    for name in options.only:
        started = time.monotonic()
        try:
            why, files = run_one(name, options)
        except OSError as error:
            why, files = str(error), []
        rows.append((name, time.monotonic() - started, why))
        made += files
    return rows, made


def main():
    options = arguments()
    rows, made = run_all(options)
    print("\n== report", flush=True)
    report = "there is no record to report of"
    if made:
        done = subprocess.run([sys.executable, lib.BENCH / "report.py", *made], check=False)
        report = None if done.returncode == 0 else f"exit code {done.returncode}"
    print()
    for name, seconds, why in rows:
        print(f"{name:12}{seconds:7.0f} s  {'ok' if why is None else 'FAILED: ' + why}")
    print(f"{'report':12}{'':9}  {'ok' if report is None else 'FAILED: ' + report}")
    return 1 if report or any(why for _, _, why in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
