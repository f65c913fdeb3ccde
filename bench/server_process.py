"""Servers in processes of their own: pinned, awaited, ended by pid, their CPU time and memory read exactly."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

PORT_LINE = re.compile(r"127\.0\.0\.1:([1-9][0-9]*)")

CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU = CPUS[0]
LOAD_CPU = CPUS[1] if len(CPUS) > 1 else CPUS[0]


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


_WITH_PARENT = ["setpriv", "--pdeathsig", "TERM"]  # runs what follows in its place


def end_on_term():
    """TERM leaves through whatever ends servers and load, as Ctrl-C does."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Server:
    """A server in its own process group on SERVER_CPU, a context manager; it is ended by pid, and with the thread that
    started it, should that be killed.

    port: where it will listen; None when it picks one and prints 127.0.0.1:PORT.
    """

    def __init__(self, name, command, port, folder):
        self.name = name
        self.port = port
        self.command = pinned(SERVER_CPU, command)
        self.log = pathlib.Path(folder) / f"{name}.log"

    def __enter__(self):
        end_on_term()
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([*_WITH_PARENT, *self.command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
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
                raise Failure(f"{self.name} ended with {self.process.returncode}: {self._said()}")
            if self.port is None and (found := PORT_LINE.search(text)):
                self.port = int(found[1])
            if self.port is not None:
                try:
                    with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                        return
                except ConnectionRefusedError:
                    pass
            time.sleep(0.02)
        raise Failure(f"{self.name} did not listen within 10 s: {self._said()}")

    def _said(self):
        return self.log.read_text(encoding="utf-8", errors="replace").strip()[-500:]

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
        if self.process.poll() is not None:
            raise Failure(f"{self.name} ended with {self.process.returncode}: {self._said()}")
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
