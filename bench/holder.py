"""Holds idle connections in a process of its own: holder.main() with PORT COUNT PATH, then commands on standard input.

Each connection has one request answered. Says `ready` and, after `send`, `sent`; ends when every connection has been closed
by the server, or with its standard input. What it prints last: how many ended in order, how many were reset.
"""

import os
import select
import socket
import sys
import time

PER_ADDRESS = 20_000  # connections from each 127.0.2.x: the ports of one are not enough for many
STEP = 128            # connects at once


def request(path):
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()


def connect(port, count, path):
    clients = []
    for begin in range(0, count, STEP):
        group = []
        for i in range(begin, min(begin + STEP, count)):
            client = socket.create_connection(("127.0.0.1", port), timeout=20,
                                              source_address=(f"127.0.2.{1 + i // PER_ADDRESS}", 0))
            client.sendall(request(path))
            group.append(client)
        for client in group:
            answer = client.recv(4096)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"holder: no 200 but {answer[:60]!r}")
        clients += group
    return clients


def wait_for_ends(clients):
    """Closes each as soon as the server has. Answers that come before are thrown away."""
    poller = select.epoll(len(clients))
    open_ones = {}
    for client in clients:
        client.setblocking(False)
        open_ones[client.fileno()] = client
        poller.register(client.fileno(), select.EPOLLIN)
    ended = reset = 0
    print("watching", flush=True)
    poller.register(sys.stdin.fileno(), select.EPOLLIN)
    while open_ones:
        for fd, _ in poller.poll(maxevents=1024):
            if fd == sys.stdin.fileno():
                return ended, reset
            try:
                if open_ones[fd].recv(65536):
                    continue
                ended += 1
            except ConnectionResetError:
                reset += 1
            open_ones.pop(fd).close()
    return ended, reset


def main():
    port, count, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    clients = connect(port, count, "/plaintext")
    print("ready", flush=True)
    if sys.stdin.readline() != "send\n":  # or the end: no more is wanted
        return
    began = time.monotonic()
    if path != "-":
        for client in clients:
            client.sendall(request(path))
    print(f"sent {began} {time.monotonic()}", flush=True)
    ended, reset = wait_for_ends(clients)
    print(f"ended {ended} {reset} {time.monotonic()}", flush=True)
    os._exit(0)  # without taking thousands of objects apart
