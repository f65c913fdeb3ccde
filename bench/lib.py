"""What the benchmarks share: the servers' processes, wrk, packages, and the raw record of a run, under one name."""

import json
import os
import pathlib
import re
import sys
import tempfile
import time

from packages import built, first_line, install, installed, program
from peer_programs import caddy, go, h2o, haproxy, nginx
from server_process import CPUS, LOAD_CPU, SERVER_CPU, Failure, Server, check_answer, free_port, pinned
from wrk import measure, parse_wrk, run_wrk, wrk_command

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
RELEASE = ROOT / "build" / "release"


def floor(name, folder, *options):
    return Server(name, [RELEASE / name, "--port", "0", *options], None, folder)


def lastcall(name, folder, io):
    command = [RELEASE / "lastcall", "demo", "--listen", "127.0.0.1:0", "--reactors", "1", "--io", io]
    return Server(name, command, None, folder)


def environment():
    """What the figures were made with and on."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "kernel": " ".join(os.uname()[2:5]),
            "cpu": model[1] if model else None, "cpus": len(CPUS), "load_average": os.getloadavg(),
            "compiler": first_line("c++", "--version"), "wrk": first_line("wrk", "--version"),
            "nginx": first_line(program("nginx") or "nginx", "-v"),
            "lastcall": first_line(str(RELEASE / "lastcall"), "--version"),
            "revision": first_line("git", "rev-parse", "HEAD"),
            "uncommitted_changes": bool(first_line("git", "status", "--porcelain"))}


def save(name, record, path=None):
    """Where the record was written: `path`, or build/bench/NAME-DATE.json; where that cannot be, a temporary file."""
    path = path or ROOT / "build" / "bench" / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    text = json.dumps(record, indent=1, default=str) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:  # what was measured is not thrown away for that
        print(f"the record cannot be in its place: {error}", file=sys.stderr)
        path = pathlib.Path(tempfile.mkdtemp(prefix="lastcall-bench-"), path.name)
        path.write_text(text, encoding="utf-8")
    return path
