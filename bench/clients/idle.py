"""Idle connections held by another process, and what they cost the server and the kernel."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

import lib

HOLDER = pathlib.Path(__file__).resolve().parent / "holder.py"
ACCEPT_S = 5     # at most, until the server has accepted all
STILL_S = 2      # at most after that, until its memory no longer changes
STEP_S = 0.1
SAME = 3         # readings in a row that are equal: it stands still
# Files that others open and close meanwhile, and memory maps.
NOT_CONNECTIONS = {"proc_inode_cache", "ext4_inode_cache", "btrfs_inode", "inode_cache", "shmem_inode_cache", "buffer_head",
                   "radix_tree_node", "anon_vma", "anon_vma_chain", "vm_area_struct", "maple_node"}


class Holder:
    """The process on the load's CPU that holds connections to `port`; a context manager, ended by its standard input's end."""

    def __init__(self, port):
        self.command = lib.pinned(lib.LOAD_CPU, [sys.executable, HOLDER, port])

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def ask(self, line):
        """How many connections are open after a command of holder.py."""
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the missing answer says so
        answer = self.process.stdout.readline()
        if not answer:
            raise lib.Failure(f"the holder of idle connections ended during {line!r}")
        seen = json.loads(answer)
        if "error" in seen:
            raise lib.Failure(f"idle connections, {line!r}: {seen['error']}")
        return seen["held"]


def descriptors(server):
    """Open in the whole group. Since Linux 6.2 the size of the folder; to list it makes an inode of each in the kernel."""
    folders = [f"/proc/{pid}/fd" for pid in server.pids()]
    return sum(os.stat(folder).st_size or len(os.listdir(folder)) for folder in folders)


def settle(server, at_least):
    """Waits until the server has so many descriptors, and its memory and the kernel's sockets stand still; Pss and descriptors then.

    The kernel frees sockets some time after they were closed.
    """
    seen, accepted, end = [], False, time.monotonic() + ACCEPT_S
    while True:
        seen.append((server.rss_bytes(), descriptors(server), (slab() or {}).get("TCP")))
        if not accepted and seen[-1][1] >= at_least:
            accepted, end = True, time.monotonic() + STILL_S
        still = accepted and len(seen) >= SAME and len(set(seen[-SAME:])) == 1
        if still or time.monotonic() >= end:
            return seen[-1][:2]  # one that goes on moving is taken as it is; who misses descriptors is told by the caller
        time.sleep(STEP_S)


def slab():
    """Every slab cache of the kernel: {name: (live objects, bytes of one)}; None where only root may read them."""
    try:
        text = pathlib.Path("/proc/slabinfo").read_text(encoding="ascii")
    except PermissionError:
        return None
    rows = re.findall(r"^(\S+)\s+(\d+)\s+\d+\s+(\d+)\s", text, re.M)
    return {name: (int(live), int(size)) for name, live, size in rows}


def slab_growth(before, after, count):
    """{cache: bytes a connection} of those that grew by at least half an object for each; the rest is the machine's own life.

    The kernel puts caches of one size together under the name of the first: eventpoll_epi holds the client's ports, too.
    """
    grown = {}
    for name, (live, size) in after.items():
        objects = (live - before.get(name, (0, size))[0]) / count
        if objects >= 0.5 and name not in NOT_CONNECTIONS:
            grown[name] = objects * size
    return grown


def client_end(count):
    """{cache: bytes} of the holder's end of a connection: what one in a listener's queue takes, less what is in the queue.

    That has no descriptor yet, and so is a bare object of the cache TCP and its request_sock_TCP.
    """
    with Holder(1) as holder:
        before = slab()
        holder.ask(f"open {count} queued")
        after = slab()
    if before is None or after is None:
        return None
    return {name: value - (after["TCP"][1] if name == "TCP" else 0)
            for name, value in slab_growth(before, after, count).items() if name != "request_sock_TCP"}


def kernel_bytes(before, after, count, client):
    """The server's end of a connection in the kernel, in bytes, and all that grew by cache: both ends."""
    if before is None or after is None or client is None:
        return None, None
    grown = slab_growth(before, after, count)
    return sum(grown.values()) - sum(client.values()), grown
