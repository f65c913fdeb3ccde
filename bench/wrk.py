"""wrk as the load: its command, its report, and one measurement with the server's CPU time around it."""

import math
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

from server_process import LOAD_CPU, Failure, pinned

BENCH = pathlib.Path(__file__).resolve().parent
_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def wrk_command(port, path, connections, seconds, pipeline=1, headers=(), script=None, script_arguments=()):
    """wrk takes whole seconds only: see run_wrk for the rest."""
    if pipeline > 1:
        script, script_arguments = BENCH / "pipeline.lua", [pipeline]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "--latency"]
    for header in headers:
        command += ["-H", header]
    if script:
        command += ["-s", script]
    command.append(f"http://127.0.0.1:{port}{path}")
    if script_arguments:
        command += ["--", *script_arguments]
    return pinned(LOAD_CPU, command)


def parse_wrk(text, pipeline=1):
    """Requests, their rate, p50 and p99 in ms, and everything that went wrong, out of wrk's report.

    No percentiles for pipelined requests: wrk's clock starts again with each answer there, and shows zeros.
    """
    done = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    if not done or not rate:
        raise Failure(f"wrk's report is not as expected: {text[-500:]}")
    errors = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", text)))
    errors += sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    percentile = {}
    for percent in (50, 99):
        found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)$", text, re.M)
        percentile[percent] = float(found[1]) * _UNITS_MS[found[2]] if found and pipeline == 1 else None
    return {"requests": int(done[1]), "per_second": float(rate[1]), "p50_ms": percentile[50], "p99_ms": percentile[99],
            "errors": errors}


def run_wrk(command, pipeline=1, seconds=None):
    """The report of one wrk, with its own CPU seconds. After `seconds` that are no whole number it is interrupted."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    interrupt = None
    if seconds is not None and seconds != int(seconds):
        interrupt = threading.Timer(seconds, os.kill, [process.pid, signal.SIGINT])
        interrupt.start()
    try:
        text = process.stdout.read()
    except BaseException:
        process.kill()
        raise
    finally:
        if interrupt:
            interrupt.cancel()
            interrupt.join()  # while the pid is still wrk's
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failure(f"wrk ended with {process.returncode}: {text.strip()[-500:]}")
    return {**parse_wrk(text, pipeline), "load_cpu_s": usage.ru_utime + usage.ru_stime}


def measure(server, path, connections, seconds, pipeline=1, warm_up=1, **more):
    """A warm-up, then the load with the server's CPU taken around it. `more`: as wrk_command's."""
    if warm_up:
        run_wrk(wrk_command(server.port, path, connections, warm_up, pipeline, **more), pipeline, warm_up)
    command = wrk_command(server.port, path, connections, seconds, pipeline, **more)
    before, started = server.cpu(), time.monotonic()
    sample = run_wrk(command, pipeline, seconds)
    elapsed = time.monotonic() - started
    total, user, ticked = (after - earlier for after, earlier in zip(server.cpu(), before))
    us_per_request = total * 1e6 / max(sample["requests"], 1)
    user_share = user / ticked if ticked > 0 else 0.0
    return {**sample, "server": server.name, "server_command": server.command, "load_command": command,
            "elapsed_s": elapsed, "cpu_us": us_per_request, "user_us": us_per_request * user_share,
            "system_us": us_per_request * (1 - user_share), "server_busy": total / elapsed, "load_busy": sample["load_cpu_s"] / elapsed,
            "rss_bytes": server.rss_bytes()}
