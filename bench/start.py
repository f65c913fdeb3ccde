#!/usr/bin/env python3
"""From fork to the first byte of the first answer, and the size of the stripped binary."""

import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import lib
import ours

NAMES = [*ours.BACKENDS, "nginx", "haproxy"]
MOST_MS = 30       # of the median
MOST_BYTES = 4_000_000
PATIENCE_S = 10
TRY_S = 0.002  # to connect; over loopback it takes some 0.02 ms
REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: bench\r\n\r\n"


def command_for(name, folder):
    """The command of one start and its port, which is known before it, so that nothing has to be read from the server."""
    if name in ours.BACKENDS:
        port = lib.free_port()
        return lib.pinned(lib.SERVER_CPU, [lib.RELEASE / "lastcall", "demo", "--listen", f"127.0.0.1:{port}", "--reactors", "1",
                                           "--io", ours.BACKENDS[name]]), port
    server = {"nginx": lib.nginx, "haproxy": lib.haproxy}[name](name, folder)
    return server.command, server.port


def first_answer(port, deadline):
    """When its first byte was there, and how many tries nobody answered in time.

    A try that is not answered at once is given up for a new one: TCP itself would ask again only after a second, and
    that would be measured instead. Who does not do so waits that second: such tries are told.
    """
    unanswered = 0
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=TRY_S) as client:
                client.settimeout(1)
                client.sendall(REQUEST)
                if client.recv(1):
                    return time.monotonic(), unanswered
        except TimeoutError:
            unanswered += 1
        except (ConnectionRefusedError, ConnectionResetError):
            pass
    raise lib.Failure(f"no answer within {PATIENCE_S} s")


def one_start(name, folder):
    """Milliseconds. taskset is a part of it: about one, for everybody."""
    command, port = command_for(name, folder)
    with open(os.path.join(folder, f"{name}.log"), "w", encoding="utf-8") as log:
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            answered, unanswered = first_answer(port, began + PATIENCE_S)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return {"ms": (answered - began) * 1e3, "unanswered_tries": unanswered, "server_command": command}


def run(options):
    """One start of each server a round, after one that brings its files into memory."""
    samples = {name: [] for name in options.only}
    failed = {}
    for number in range(-1, options.starts):
        for name in (name for name in options.only if name not in failed):
            with tempfile.TemporaryDirectory(prefix="lastcall-bench-") as folder:
                os.chmod(folder, 0o755)
                try:
                    sample = one_start(name, folder)
                except (lib.Failure, OSError) as error:
                    failed[name] = str(error)
                    continue
            if number >= 0:
                samples[name].append({**sample, "round": number})
    return {name: rows for name, rows in samples.items() if rows}, failed


def stripped_bytes(program):
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "stripped")
        shutil.copyfile(program, copy)
        subprocess.run(["strip", copy], check=True)
        return os.path.getsize(copy)


def check_size(build):
    """What the test looks at. 0 or 1."""
    size = stripped_bytes(build / "lastcall")
    print(f"stripped binary: {size:,} bytes, of {MOST_BYTES:,} at most")
    return 0 if size <= MOST_BYTES else 1


def show(summary):
    print("| server | starts | median ms | best | worst | starts with a try unanswered |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, line in summary.items():
        print(f"| {name} | {line['starts']} | {line['median_ms']:.1f} | {line['best_ms']:.1f} | {line['worst_ms']:.1f} | "
              f"{line['starts_with_unanswered']} |")


def main():
    parser = ours.parser_for("start", __doc__)
    ours.add_only(parser, NAMES)
    parser.add_argument("--starts", type=int, default=20, help="of each server")
    parser.add_argument("--size", action="store_true", help="only the size of the binary; exit code 1 where it is too large")
    options = ours.parse(parser, NAMES)
    if options.size:
        return check_size(options.build)
    environment = lib.environment()
    os.sched_setaffinity(0, {lib.LOAD_CPU})
    samples, failed = run(options)
    summary = {}
    for name, rows in samples.items():
        times = [row["ms"] for row in rows]
        summary[name] = {"starts": len(times), "median_ms": statistics.median(times), "best_ms": min(times),
                         "worst_ms": max(times), "errors": 0,
                         "starts_with_unanswered": sum(row["unanswered_tries"] > 0 for row in rows)}
    print(f"fork to first byte, {options.starts} starts of each after one that is not counted; "
          f"server on CPU {lib.SERVER_CPU}\n")
    show(summary)
    print()
    too_large = check_size(options.build)
    slow = [name for name in ours.BACKENDS if name in summary and summary[name]["median_ms"] > MOST_MS]
    for name in slow:
        print(f"{name}: {summary[name]['median_ms']:.1f} ms, at most {MOST_MS} are wanted")
    environment["stripped_bytes"] = stripped_bytes(options.build / "lastcall")
    code = ours.finish("start", options, samples, summary, failed, environment)
    return 1 if slow or too_large else code


if __name__ == "__main__":
    sys.exit(main())
