#!/usr/bin/env python3
"""Holds connections of which nothing is asked any more; a process of its own, driven by lines on its standard input.

  open COUNT kept     opens COUNT connections, each of which has one request answered
  open COUNT silent   opens COUNT connections that never send a byte
  open COUNT queued   opens COUNT to a listener of its own, in whose queue they stay
  check               how many are still open
  close               closes them all

Each line is answered by one JSON object; "error" says what did not work.
"""

import json
import os
import resource
import select
import socket
import struct
import sys

FROM_ONE_ADDRESS = 10000  # of the 28,000 ports that the kernel gives by default
ANSWER_S = 5
REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def connect(port, number):
    one = socket.socket()
    # Closed by a reset: ports in TIME_WAIT would count as the kernel's memory in whatever is measured next.
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Addresses of this process alone: their ports are free, whatever other loads have left in TIME_WAIT.
    own = os.getpid()
    one.bind((f"127.{1 + own // 250 % 250}.{own % 250}.{1 + number // FROM_ONE_ADDRESS}", 0))
    one.settimeout(ANSWER_S)
    one.connect(("127.0.0.1", port))
    return one


def ask(one):
    """One request and its whole answer."""
    one.sendall(REQUEST)
    answer = b""
    while True:
        more = one.recv(4096)
        if not more:
            raise OSError(f"the server closed the connection after {len(answer)} bytes of its first answer")
        answer += more
        head, blank, body = answer.partition(b"\r\n\r\n")
        if not blank:
            continue
        if not head.startswith(b"HTTP/1.1 200"):
            raise OSError(f"answered {head.splitlines()[0]!r}")
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
        if fields.get(b"connection", b"").strip() == b"close":
            raise OSError("the server keeps no connection: it answers with Connection: close")
        if b"content-length" in fields:
            whole = len(body) >= int(fields[b"content-length"])
        else:
            whole = body.endswith(b"0\r\n\r\n")  # chunked
        if whole:
            return


def open_connections(port, count, kind, held):
    listener = socket.create_server(("127.0.0.1", 0), backlog=count) if kind == "queued" else None
    for number in range(count):
        one = connect(listener.getsockname()[1] if listener else port, number)
        held.append(one)
        if kind == "kept":
            ask(one)
    if listener:
        held.append(listener)  # closing it would end them


def still_open(held):
    """Those on which nothing arrived: a server that closes an idle connection makes it readable."""
    poll = select.poll()
    for one in held:
        poll.register(one, select.POLLIN | select.POLLRDHUP)
    return len(held) - len(poll.poll(0))


def obey(line, port, held):
    command, *words = line.split()
    if command == "open":
        open_connections(port, int(words[0]), words[1], held)
    elif command == "close":
        while held:
            held.pop().close()
    return {"held": still_open(held)}


def main():
    port = int(sys.argv[1])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held = []
    for line in sys.stdin:
        try:
            answer = obey(line, port, held)
        except (OSError, ValueError, KeyError) as error:
            answer = {"held": len(held), "error": f"connection {len(held)}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
