"""The works that servers are measured at: the request, how the load makes it, and what the answer must be."""

import http.client
import json
import socket

import lib
import servers

BODY_BYTES = 10_000_000
ANSWER_BYTES = 1_000_000
# 20 fields as Chrome sends them when a link is followed, two of them hints that the site asked for: Host, which wrk
# writes itself, and these.
BROWSER_HEADERS = (
    "Connection: keep-alive",
    'sec-ch-ua: "Chromium";v="126", "Google Chrome";v="126", "Not-A.Brand";v="8"',
    "sec-ch-ua-mobile: ?0",
    'sec-ch-ua-platform: "Linux"',
    "Upgrade-Insecure-Requests: 1",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-User: ?1",
    "Sec-Fetch-Dest: document",
    "Referer: https://www.example.com/catalogue/shoes?page=2&sort=price",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
    "Cookie: session=6f1d0b7a9c2e4f58; theme=dark; consent=all; _ga=GA1.2.1234567890.1720000000",
    "Cache-Control: max-age=0",
    "DNT: 1",
    'sec-ch-ua-arch: "x86"',
    "sec-ch-prefers-color-scheme: light",
)


class Work:
    """name: one of servers.WORKS. check(status, body) says whether the answer is the right one."""

    def __init__(self, name, check, pipeline=1, headers=(), body_bytes=0, answer_bytes=0):
        self.name, self.check, self.pipeline, self.headers = name, check, pipeline, headers
        self.body_bytes, self.answer_bytes = body_bytes, answer_bytes
        self.path = servers.PATHS[name]
        self.closes = "Connection: close" in self.headers

    def verify(self, server):
        """Raises lib.Failure unless requests are answered as they should be, and the connection kept or closed."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        try:
            self._ask(server, connection)
            if self.closes:
                verify_closed(server, self.path)
            elif connection.sock is None:
                raise lib.Failure(f"{server.name} does not keep a connection after {self.path}")
            else:
                self._ask(server, connection)
        except (OSError, http.client.HTTPException) as error:
            raise lib.Failure(f"{server.name} did not answer {self.path}: {error!r}") from None
        finally:
            connection.close()
        if self.pipeline > 1:
            verify_pipelined(server, self.path, self.pipeline)

    def _headers(self, name):
        own = [] if any(header.startswith("Connection:") for header in self.headers) else servers.headers(name)
        return [*self.headers, *own]

    def _ask(self, server, connection):
        headers = dict(header.split(": ", 1) for header in self._headers(server.name))
        body = b"x" * self.body_bytes if self.body_bytes else None
        connection.request("POST" if body else "GET", self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if not self.check(answer.status, content):
            raise lib.Failure(f"{server.name} answers {self.path} with {answer.status} {content[:80]!r}")

    def load(self, name):
        """What lib.measure and lib.wrk_command want to know to ask the server of that name."""
        load = {"headers": self._headers(name), "pipeline": self.pipeline}
        if self.body_bytes:
            load |= {"script": lib.BENCH / "upload.lua", "script_arguments": [self.body_bytes]}
        return load


def json_is(value):
    def check(status, body):
        try:
            return status == 200 and json.loads(body) == value
        except ValueError:
            return False
    return check


def is_hello(status, body):
    return status == 200 and body == b"Hello, World!"


def has_read(status, body):
    """A server that tells how much it has read must have read everything."""
    return status == 200 and (b"bytes" not in body or json_is({"bytes": BODY_BYTES})(status, body))


def verify_closed(server, path):
    """Raises lib.Failure unless the connection ends with the answer to a request that asks for that."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection:
        try:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            while connection.recv(65536):
                pass
        except OSError as error:
            raise lib.Failure(f"{server.name} does not close the connection when it is asked to: {error}") from None


def verify_pipelined(server, path, depth):
    """Raises lib.Failure unless `depth` requests in one write get as many answers on the same connection."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    heads = bodies = 0
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection:
        try:
            connection.sendall(request * depth)
            while bodies < depth and (piece := connection.recv(65536)):
                received += piece
                heads, bodies = received.count(b"HTTP/1.1 200"), received.count(b"Hello, World!")
        except OSError as error:
            raise lib.Failure(f"{server.name} answers {bodies} of {depth} pipelined requests: {error}") from None
    if (heads, bodies) != (depth, depth):
        raise lib.Failure(f"{server.name} answers {bodies} of {depth} pipelined requests")


PLAINTEXT = Work("plaintext", is_hello)
PIPELINE = Work("pipeline", is_hello, pipeline=16)
CHURN = Work("churn", is_hello, headers=["Connection: close"])
JSON = Work("json", json_is({"message": "Hello, World!"}))
USERS = Work("users", json_is({"id": "42"}))
HEADERS = Work("headers", is_hello, headers=BROWSER_HEADERS)
DOWNLOAD = Work("download", lambda status, body: status == 200 and len(body) == ANSWER_BYTES, answer_bytes=ANSWER_BYTES)
UPLOAD = Work("upload", has_read, body_bytes=BODY_BYTES)
ALL = (PLAINTEXT, PIPELINE, CHURN, JSON, USERS, HEADERS, DOWNLOAD, UPLOAD)
