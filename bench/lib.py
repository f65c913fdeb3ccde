"""What the benchmarks share: pinned servers with exact CPU accounting, wrk, and the raw record of a run."""

import getpass
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
RELEASE = ROOT / "build" / "release"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
PORT_LINE = re.compile(r"127\.0\.0\.1:([1-9][0-9]*)")

_cpus = sorted(os.sched_getaffinity(0))
SERVER_CPU = _cpus[0]
LOAD_CPU = _cpus[1] if len(_cpus) > 1 else _cpus[0]


def pinned(cpu, command):
    return ["taskset", "-c", str(cpu), *map(str, command)]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Failure(Exception):
    """A server or the load did not do its part; the message says what."""


def _process_clock(pid, which):
    """CPU time of another process in seconds: clock_getcpuclockid(3) by hand (linux/posix-timers.h).

    which: 0 user + system and 1 user as the timer tick saw them, 2 the scheduler's own exact sum.
    """
    return time.clock_gettime_ns((~pid << 3) | which) / 1e9


class Server:
    """A server in its own process group on SERVER_CPU, a context manager; it is ended by pid.

    port: where it will listen; None when it picks one and prints 127.0.0.1:PORT.
    """

    def __init__(self, name, command, port, folder):
        self.name = name
        self.port = port
        self.command = pinned(SERVER_CPU, command)
        self.log = pathlib.Path(folder) / f"{name}.log"

    def __enter__(self):
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.log.parent, start_new_session=True)
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def _wait_ready(self):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            text = self.log.read_text(encoding="utf-8", errors="replace")
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended with {self.process.returncode}: {text.strip()[-500:]}")
            if self.port is None and (found := PORT_LINE.search(text)):
                self.port = int(found[1])
            if self.port is not None:
                try:
                    with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                        return
                except ConnectionRefusedError:
                    pass
            time.sleep(0.02)
        raise Failure(f"{self.name} did not listen within 10 s: {self.log.read_text(errors='replace').strip()[-500:]}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            print(f"{self.name} had to be killed: SIGTERM did not end it within 10 s", file=sys.stderr)

    def pids(self):
        """Every process of the server's group."""
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                try:
                    fields = pathlib.Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if int(fields[2]) == self.process.pid:
                    yield int(entry.name)

    def cpu(self):
        """(exact CPU seconds, user seconds by tick, user + system seconds by tick) of the whole group so far."""
        clocks = [[_process_clock(pid, which) for which in (2, 1, 0)] for pid in self.pids()]
        return [sum(column) for column in zip(*clocks)]

    def rss_bytes(self):
        """Resident, with pages that processes share counted once (Pss)."""
        total = 0
        for pid in self.pids():
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.M)[1]) * 1024
        return total


def check_answer(server, path, body):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
        if answer.status != 200 or answer.read() != body:
            raise Failure(f"{server.name} does not answer {path} as it should")


def wrk_command(port, path, connections, seconds, pipeline):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if pipeline > 1:
        command += ["-s", BENCH / "pipeline.lua"]
    command.append(f"http://127.0.0.1:{port}{path}")
    if pipeline > 1:
        command += ["--", str(pipeline)]
    return pinned(LOAD_CPU, command)


_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def parse_wrk(text, pipeline):
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


def run_wrk(command, pipeline):
    """The report of one wrk, with its own CPU seconds."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failure(f"wrk ended with {process.returncode}: {text.strip()[-500:]}")
    return {**parse_wrk(text, pipeline), "load_cpu_s": usage.ru_utime + usage.ru_stime}


def measure(server, path, connections, seconds, pipeline):
    """A warm-up, then the load with the server's CPU taken around it."""
    run_wrk(wrk_command(server.port, path, connections, 1, pipeline), pipeline)
    command = wrk_command(server.port, path, connections, seconds, pipeline)
    before, started = server.cpu(), time.monotonic()
    sample = run_wrk(command, pipeline)
    elapsed = time.monotonic() - started
    total, user, ticked = (after - earlier for after, earlier in zip(server.cpu(), before))
    us_per_request = total * 1e6 / max(sample["requests"], 1)
    user_share = user / ticked if ticked > 0 else 0.0
    return {**sample, "server": server.name, "server_command": server.command, "load_command": command,
            "elapsed_s": elapsed, "cpu_us": us_per_request, "user_us": us_per_request * user_share,
            "system_us": us_per_request * (1 - user_share), "server_busy": total / elapsed, "load_busy": sample["load_cpu_s"] / elapsed,
            "rss_bytes": server.rss_bytes()}


def floor(name, folder):
    return Server(name, [RELEASE / name, "--port", "0"], None, folder)


def lastcall(name, folder, io):
    command = [RELEASE / "lastcall", "demo", "--listen", "127.0.0.1:0", "--reactors", "1", "--io", io]
    return Server(name, command, None, folder)


def peer_config(file, folder):
    """A port, a folder of the peer's own inside `folder`, and its configuration there."""
    own = pathlib.Path(tempfile.mkdtemp(prefix="peer-", dir=folder))
    port = free_port()
    config = (BENCH / "peers" / file).read_text(encoding="utf-8")
    for key, value in {"@PORT@": str(port), "@FOLDER@": str(own), "@USER@": getpass.getuser()}.items():
        config = config.replace(key, value)
    (own / file).write_text(config, encoding="utf-8")
    return port, own, own / file


def nginx(name, folder):
    port, prefix, config = peer_config("nginx.conf", folder)
    return Server(name, [NGINX, "-p", prefix, "-c", config, "-e", "stderr"], port, folder)


def haproxy(name, folder):
    port, _, config = peer_config("haproxy.cfg", folder)
    return Server(name, [program("haproxy"), "-db", "-f", config], port, folder)


def h2o(name, folder):
    port, own, config = peer_config("h2o.conf", folder)
    (own / "plaintext").write_text("Hello, World!", encoding="utf-8")
    return Server(name, [program("h2o"), "-c", config], port, folder)


def caddy(name, folder):
    port, _, config = peer_config("Caddyfile", folder)
    return Server(name, [program("caddy"), "run", "--config", config, "--adapter", "caddyfile"], port, folder)


def go(name, folder):
    """net/http; built when the source is newer than the program."""
    source, made = BENCH / "peers" / "shutdown.go", ROOT / "build" / "bench" / "shutdown-go"
    if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
        made.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([program("go"), "build", "-o", made, source], check=True,
                       env={**os.environ, "GO111MODULE": "off", "GOCACHE": str(made.parent / "go-cache")})
    port = free_port()
    return Server(name, [made, f"127.0.0.1:{port}"], port, folder)


def program(name):
    """Its path; Debian keeps daemons where not every PATH looks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def install(package):
    """Installs a Debian package as root or through sudo, without its service being started; False when it cannot."""
    root = [] if os.getuid() == 0 else ["sudo", "-n"]
    log = ROOT / "build" / "logs" / f"install-{package}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    policy = pathlib.Path("/usr/sbin/policy-rc.d")  # consulted before a service is started
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120"]
    ours = not policy.exists()
    print(f"installing {package}; the log is {log}", file=sys.stderr)
    with open(log, "w", encoding="utf-8") as out:
        def run(*command, **more):
            return subprocess.run([*root, *command], stdout=out, stderr=out, check=False, **more).returncode == 0
        try:
            if ours:
                run("tee", policy, input=b"#!/bin/sh\nexit 101\n")
                run("chmod", "755", policy)
            done = (run(*apt, "install", "-y", "--no-install-recommends", package)
                    or run(*apt, "update") and run(*apt, "install", "-y", "--no-install-recommends", package))
            if done and pathlib.Path("/etc/init.d", package).exists():
                run("update-rc.d", package, "disable")
            return done
        except FileNotFoundError:  # no sudo, or not a Debian system
            return False
        finally:
            if ours:
                run("rm", "-f", policy)


def first_line(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
                              check=False)
        return done.stdout.strip().split("\n")[0]
    except FileNotFoundError:
        return None


def environment():
    """What the figures were made with and on."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "kernel": " ".join(os.uname()[2:5]),
            "cpu": model[1] if model else None, "cpus": len(_cpus), "load_average": os.getloadavg(),
            "compiler": first_line("c++", "--version"), "wrk": first_line("wrk", "--version"),
            "nginx": first_line(NGINX, "-v"),
            "lastcall": first_line(str(RELEASE / "lastcall"), "--version"),
            "revision": first_line("git", "rev-parse", "HEAD"),
            "uncommitted_changes": bool(first_line("git", "status", "--porcelain"))}


def save(name, record):
    folder = ROOT / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
    return path
