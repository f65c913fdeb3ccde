"""Processes that replace themselves: followed by pid, waited for even as grandchildren."""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import time

import lib

PR_SET_CHILD_SUBREAPER = 36
PATIENCE_S = 30


def become_subreaper():
    """Orphans below us become our children, so that a replacement can be waited for (prctl(2))."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise lib.Failure(f"prctl: {os.strerror(ctypes.get_errno())}")


def wait_until(condition, what, patience_s=PATIENCE_S):
    """The first true value of condition(), looked at each 5 ms."""
    deadline = time.monotonic() + patience_s
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise lib.Failure(f"waited {patience_s} s in vain: {what}")
        time.sleep(0.005)


def start(command, log, folder):
    """A process in the background, its output behind what the log has already. Its pid."""
    with open(log, "a", encoding="utf-8") as out:
        process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder)
    process.returncode = 0  # we wait by pid
    return process.pid


def ended(pid):
    """True when the process has ended; reaps it when it is our child."""
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    return not pathlib.Path(f"/proc/{pid}").exists()


def wait_end(pid, what):
    wait_until(lambda: ended(pid), f"{what} (pid {pid}) does not end")


def children():
    """Pids whose parent we are, adopted ones included."""
    me = os.getpid()
    tasks = pathlib.Path(f"/proc/{me}/task")
    return {int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split()}


def kill_children():
    """Nothing is left behind: children, and then theirs, which become ours."""
    while left := children():
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
