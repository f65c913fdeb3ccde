#!/usr/bin/env python3
"""What a stop costs the clients: nginx, HAProxy, h2o, Go, Caddy and lastcall on both backends, stopped under load."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import lib

PATIENCE_S = 60  # beyond it a server that was told to stop is killed


class Peer:
    """How to have it, start it and stop it. `version` prints what it is."""

    def __init__(self, start, signal, program=None, package=None, version=()):
        self.start, self.signal, self.program, self.package, self.version = start, signal, program, package, version

    def available(self):
        return self.program is None or lib.program(self.program) or (lib.install(self.package)
                                                                     and lib.program(self.program))


def ours(io):
    return Peer(lambda name, folder: lib.lastcall(name, folder, io), "TERM")


PEERS = {
    "nginx": Peer(lib.nginx, "QUIT", "nginx", "nginx-light", ["-v"]),
    "haproxy": Peer(lib.haproxy, "USR1", "haproxy", "haproxy", ["-v"]),
    "h2o": Peer(lib.h2o, "TERM", "h2o", "h2o", ["-v"]),
    "go": Peer(lib.go, "TERM", "go", "golang-go", ["version"]),
    "caddy": Peer(lib.caddy, "TERM", "caddy", "caddy", ["version"]),
    "lastcall_epoll": ours("epoll"),
    "lastcall_io_uring": ours("io_uring"),
}
LOST = ["lost_new", "lost_reuse", "truncated", "malformed", "stuck"]


def arguments():
    parser = argparse.ArgumentParser(prog="tools/bench drain", description=__doc__)
    parser.add_argument("--stops", type=int, default=50, help="of each server")
    parser.add_argument("--only", default=",".join(PEERS), help="names, separated by commas (default: %(default)s)")
    parser.add_argument("--keep-alive", type=int, default=64, help="clients that keep their connection")
    parser.add_argument("--fresh", type=int, default=32, help="clients that open one for each request")
    parser.add_argument("--think", default="2ms", help="a keep-alive client pauses up to this after an answer")
    parser.add_argument("--warm-ms", type=int, default=400, help="of load before the signal")
    parser.add_argument("--seed", type=int, default=1, help="of the first stop's think times; each next has the next")
    parser.add_argument("--build", type=pathlib.Path, default=lib.RELEASE,
                        help="folder of the lastcall and lastcall-load to run (default: %(default)s)")
    options = parser.parse_args()
    lib.RELEASE = options.build = options.build.resolve()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(PEERS):
        parser.error(f"no server {', '.join(sorted(unknown))}; there are: {', '.join(PEERS)}")
    return options


def load_command(server, peer, options, number):
    return lib.pinned(lib.LOAD_CPU, [
        lib.RELEASE / "lastcall-load", f"127.0.0.1:{server.port}", "--path", "/plaintext", "--keep-alive", options.keep_alive, "--fresh",
        options.fresh, "--think", options.think, "--seed", options.seed + number, "--timeout", "10s", "--duration",
        f"{PATIENCE_S}s", "--stop-when-refused", "--json",
        "--signal", f"{server.process.pid}:{peer.signal}@{options.warm_ms}ms"])


def watch_exit(server):
    """A thread that notes when the server's process has ended, and the list it notes it in."""
    ended = []

    def wait():
        server.process.wait()
        ended.append(time.monotonic())
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread, ended


def one_stop(name, options, number, folder):
    peer = PEERS[name]
    with peer.start(name, folder) as server:
        lib.check_answer(server, "/plaintext", b"Hello, World!")
        watch, ended = watch_exit(server)
        command = load_command(server, peer, options, number)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        try:
            seen = json.loads(done.stdout)
        except json.JSONDecodeError:
            raise lib.Failure(f"the load ended with {done.returncode}: {done.stderr.strip()[-500:]}") from None
        signalled = seen["signals"][0]
        if not signalled["sent"]:
            raise lib.Failure(f"the signal was not sent: {signalled['error']}")
        watch.join(max(0.0, signalled["monotonic_s"] + PATIENCE_S - time.monotonic()))
        exit_ms = (ended[0] - signalled["monotonic_s"]) * 1e3 if ended else None
        if exit_ms is None:
            server.process.kill()
            watch.join()
        return {"stop": number, "exit_ms": exit_ms, "exit_code": server.process.returncode, "load": seen,
                "load_command": command, "server_command": server.command}


def run(options, folder):
    """Stops by name, and what could not be measured by name. Every round stops each server once."""
    stops = {name: [] for name in options.only}
    skipped = {name: f"not installed: apt-get has no {PEERS[name].package}, or may not install it"
               for name in options.only if not PEERS[name].available()}
    for number in range(options.stops):
        for name in (name for name in options.only if name not in skipped):
            try:
                stops[name].append(one_stop(name, options, number, folder))
                row = stops[name][-1]
                print(f"stop {number + 1} of {options.stops}: {name}: lost {row['load']['lost']}, "
                      f"exit after {row['exit_ms'] or float('inf'):.0f} ms", file=sys.stderr)
            except (lib.Failure, OSError, subprocess.CalledProcessError) as error:
                skipped[name] = str(error)
    return {name: rows for name, rows in stops.items() if rows}, skipped


def summarise(stops):
    summary = {}
    for name, rows in stops.items():
        outcomes = [row["load"]["outcomes"] for row in rows]
        line = {key: sum(one[key] for one in outcomes) for key in [*LOST, "ok", "http_5xx", "refused", "dropped"]}
        line["stops"] = len(rows)
        line["lossy_stops"] = sum(row["load"]["lost"] > 0 for row in rows)
        line["worst"] = max(row["load"]["lost"] for row in rows)
        exits = [row["exit_ms"] for row in rows if row["exit_ms"] is not None]
        line["killed"] = len(rows) - len(exits)
        line["exit_median_ms"] = statistics.median(exits) if exits else None
        line["exit_max_ms"] = max(exits, default=None)
        summary[name] = line
    return summary


def show(summary):
    heads = ["stops", "sent", "lost_new", "lost_reuse", "truncated", "stuck", "worst stop", "stops with loss", "5xx",
             "dropped", "refused", "exit median ms", "max ms"]
    print("| server | " + " | ".join(heads) + " |")
    print("|---|" + "---:|" * len(heads))
    for name, line in summary.items():
        sent = line["ok"] + line["http_5xx"] + sum(line[key] for key in LOST)
        times = ["-" if value is None else f"{value:.0f}" for value in (line["exit_median_ms"], line["exit_max_ms"])]
        if line["killed"]:
            times[1] = f"{line['killed']} killed"
        cells = [line["stops"], sent, line["lost_new"], line["lost_reuse"], line["truncated"] + line["malformed"],
                 line["stuck"], line["worst"], line["lossy_stops"], line["http_5xx"], line["dropped"], line["refused"], *times]
        print(f"| {name} | " + " | ".join(map(str, cells)) + " |")


def versions(names):
    found = {}
    for name in names:
        if PEERS[name].program and (path := lib.program(PEERS[name].program)):
            found[name] = lib.first_line(path, *PEERS[name].version)
    return found


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="lastcall-bench-") as folder:
        os.chmod(folder, 0o755)  # h2o and nginx give up root
        stops, skipped = run(options, folder)
    summary = summarise(stops)
    print(f"{options.keep_alive} keep-alive clients with a think time to {options.think}, {options.fresh} that open a "
          f"connection per request; server on CPU {lib.SERVER_CPU}, load on CPU {lib.LOAD_CPU}; seed {options.seed}\n")
    show(summary)
    for name, why in skipped.items():
        print(f"{name} SKIPPED: {why}")
    record = {"options": vars(options), "environment": {**lib.environment(), **versions(options.only)},
              "summary": summary, "stops": stops, "skipped": skipped}
    print(f"\nraw: {lib.save('drain', record)}")
    ours_lost = sum(line[key] for name, line in summary.items() if name.startswith("lastcall_") for key in LOST)
    return 1 if ours_lost or not stops else 0


if __name__ == "__main__":
    sys.exit(main())
