"""System calls of a running server by name: through perf where it may, else through strace."""

import pathlib
import re
import signal
import subprocess
import tempfile
import time

import lib

GROUPS = {
    "recv": ["recvfrom", "recvmsg", "read", "readv"],
    "send": ["sendto", "sendmsg", "write", "writev"],
    "wait": ["epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"],
    "epoll_ctl": ["epoll_ctl"],
    "enter": ["io_uring_enter"],
    "futex": ["futex"],
    "accept": ["accept", "accept4"],
}


class Perf:
    """Counts in the kernel, at the tracepoint of each system call: costs a call some 0.1 us. Needs perf and its rights."""

    name = "perf stat"

    def __init__(self, pids, folder, threads=()):
        self.file = pathlib.Path(folder, "perf.csv")
        events = ["raw_syscalls:sys_enter", *(f"syscalls:sys_enter_{name}" for names in GROUPS.values() for name in names)]
        self.command = ["perf", "stat", "-x", ",", "-o", self.file, "-e", ",".join(events),
                        "-t" if threads else "-p", ",".join(map(str, threads or pids))]

    def counts(self):
        found = {}
        for line in self.file.read_text(encoding="utf-8").splitlines():
            fields = line.split(",")
            if len(fields) > 2 and fields[0].isdigit():
                found[fields[2].rpartition("sys_enter")[2].removeprefix("_") or "all"] = int(fields[0])
        return found


class Strace:
    """Stops the server at each call: slow, so that more requests wait at each wake-up than would otherwise."""

    name = "strace -c"

    def __init__(self, pids, folder, threads=()):
        self.file = pathlib.Path(folder, "strace.txt")
        self.command = ["strace", *([] if threads else ["-f"]), "-c", "-U", "calls,name", "-o", self.file]
        for pid in threads or pids:
            self.command += ["-p", pid]

    def counts(self):
        rows = re.findall(r"^\s*(\d+)\s+(\w+)\s*$", self.file.read_text(encoding="utf-8"), re.M)
        return {"all" if name == "total" else name: int(count) for count, name in rows}


def counter_that_works(wanted):
    """Perf or Strace: the one that is asked for, or else the first that can count this very process's calls."""
    for counter in (Perf, Strace):
        if wanted in ("auto", counter.name.split()[0]) and can_count(counter):
            return counter
    raise lib.Failure(f"neither counts here: {wanted if wanted != 'auto' else 'perf, strace'} "
                      "(perf needs root or perf_event_paranoid < 2 and tracefs; strace needs ptrace)")


def can_count(counter):
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(["cat"], stdin=subprocess.PIPE,
                                                                    stdout=subprocess.DEVNULL) as cat:
        try:
            with Counting(counter([cat.pid], folder)) as counting:
                cat.stdin.write(b"x\n")
                cat.stdin.flush()
                time.sleep(0.1)
            return counting.counts.get("read", 0) > 0
        except (lib.Failure, OSError):
            return False
        finally:
            cat.stdin.close()


class Counting:
    """A context: `counts` holds the calls made inside it, by name."""

    def __init__(self, counter):
        self.counter = counter

    def __enter__(self):
        self.process = subprocess.Popen(list(map(str, self.counter.command)), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(0.5)  # neither says when it has begun
        if self.process.poll() is not None:
            raise lib.Failure(f"{self.counter.name} ended at once: {self.process.stderr.read().strip()[-300:]}")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        try:
            _, errors = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise lib.Failure(f"{self.counter.name} did not end") from None
        try:
            self.counts = self.counter.counts()
        except OSError:
            raise lib.Failure(f"{self.counter.name} wrote nothing: {errors.strip()[-300:]}") from None
