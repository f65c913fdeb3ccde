"""Steady load through lastcall-load: GET and POST, kept and fresh connections, requests that fall due by the clock."""

import json
import math
import pathlib
import signal
import subprocess
import time

import lib

BODY_BYTES = 2048
WINDOW_S = 0.1
KINDS = {"GET": ["--path", "/plaintext", "--path", "/sleep?ms=20"],
         "POST": ["--method", "POST", "--path", "/echo", "--body", str(BODY_BYTES)]}
GOOD = {"ok"}


def percentile(values, percent):
    """In the order of nearest rank; None of nothing."""
    ordered = sorted(values)
    return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1] if ordered else None


class Load:
    """Begins at once; end() ends it and tells what became of each request."""

    def __init__(self, port, clients, rate, folder):
        self.folder = pathlib.Path(folder)
        self.parts = {}
        for kind, what in KINDS.items():
            # Half of the requests are GET, and a third of the clients opens a connection for each.
            command = [lib.RELEASE / "lastcall-load", f"127.0.0.1:{port}", *what, "--keep-alive", clients - clients // 3,
                       "--fresh", clients // 3, "--rate", rate / len(KINDS), "--duration", "86400s", "--timeout", "10s",
                       "--allow-5xx", "--json", "--samples", self.folder / f"{kind}.samples"]
            began = time.monotonic()
            process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.parts[kind] = began, command, process

    def end(self):
        """{"GET": {"report", "samples": [(due in s of CLOCK_MONOTONIC, latency in ms)], "command"}, "POST": ...}"""
        for _, _, process in self.parts.values():
            process.send_signal(signal.SIGTERM)
        seen = {}
        for kind, (began, command, process) in self.parts.items():
            out, errors = process.communicate(timeout=60)
            try:
                report = json.loads(out)
            except json.JSONDecodeError:
                raise lib.Failure(f"the load ended with {process.returncode}: {errors.strip()[-500:]}") from None
            with open(self.folder / f"{kind}.samples", encoding="utf-8") as lines:
                samples = [(began + int(due) / 1e6, int(latency) / 1e3) for due, latency, _ in map(str.split, lines)]
            seen[kind] = {"report": report, "samples": samples, "command": command}
        return seen

    def abandon(self):
        for _, _, process in self.parts.values():
            if process.poll() is None:
                process.kill()
                process.communicate()


def failures(seen):
    """Per kind and outcome, everything that was not answered below 500; the 10 ms between two refusals are one each."""
    return {kind: {outcome: count for outcome, count in part["report"]["outcomes"].items() if count and outcome not in GOOD}
            for kind, part in seen.items()}


def latencies(seen, first, last):
    """Milliseconds of the POSTs, which do not sleep, that fell due in that time (CLOCK_MONOTONIC)."""
    return [latency for due, latency in seen["POST"]["samples"] if first <= due < last]


def worst_window(seen, first, last):
    """The largest p99 of the same in any WINDOW_S between the two times: what a stall of the server would show in."""
    windows = {}
    for due, latency in seen["POST"]["samples"]:
        if first <= due < last:
            windows.setdefault(int((due - first) / WINDOW_S), []).append(latency)
    return max((percentile(one, 99) for one in windows.values()), default=None)
