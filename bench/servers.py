"""Every server that the benchmarks know: how it is had, started, named, and which works it can do."""

import functools
import os

import lib
import packages
import peer_programs

FLOORS = ("floor_epoll", "floor_uring")
OURS = ("lastcall_epoll", "lastcall_io_uring")
PEERS = ("nginx", "haproxy", "h2o", "lighttpd", "caddy", "go", "node", "bun", "libmicrohttpd", "beast", "pistache", "httplib")
NAMES = (*FLOORS, *OURS, *PEERS)

# All servers have the same paths. What a file serves takes no notice of a query.
PATHS = {"plaintext": "/plaintext", "pipeline": "/plaintext", "churn": "/plaintext", "headers": "/plaintext", "idle": "/plaintext",
         "json": "/json", "users": "/users/42", "download": "/bytes?n=1000000", "upload": "/upload"}
WORKS = tuple(PATHS)


class Peer:
    """packages: (program or header that shows that it is there, Debian's package that brings it).

    version: a command, or the package whose version is the peer's. lacks: works that it cannot do, and why. headers: what
    it must be told to keep a connection, as HTTP/1.1 does by itself.
    """

    def __init__(self, start, packages, version, lacks=None, headers=()):
        self.start, self.packages, self.version, self.lacks, self.headers = start, packages, version, lacks or {}, headers


_READS_NO_BODY = "answers a POST before it has read the body, and does not read it"
_ASKED = "keeps a connection only for whoever asks for that with each request"
_FIXED = "serves files and fixed answers"
_PEERS = {
    "nginx": Peer(peer_programs.nginx, [("nginx", "nginx-light")], ["nginx", "-v"]),
    "haproxy": Peer(peer_programs.haproxy, [("haproxy", "haproxy")], ["haproxy", "-v"],
                    {"download": "a fixed answer fits into one of its buffers of 16 KiB", "upload": _READS_NO_BODY}),
    "h2o": Peer(peer_programs.h2o, [("h2o", "h2o")], ["h2o", "-v"]),
    "lighttpd": Peer(peer_programs.lighttpd, [("lighttpd", "lighttpd")], ["lighttpd", "-v"],
                     {"users": _FIXED, "upload": _READS_NO_BODY}),
    "caddy": Peer(peer_programs.caddy, [("caddy", "caddy")], ["caddy", "version"], {"upload": _READS_NO_BODY}),
    "go": Peer(peer_programs.go, [("go", "golang-go")], ["go", "version"]),
    "node": Peer(peer_programs.node, [("node", "nodejs")], ["node", "--version"]),
    "bun": Peer(peer_programs.bun, [("npm", "npm")], [packages.NPM_PROGRAMS / "bun", "--version"]),
    "libmicrohttpd": Peer(peer_programs.libmicrohttpd, [("/usr/include/microhttpd.h", "libmicrohttpd-dev")], "libmicrohttpd-dev"),
    "beast": Peer(peer_programs.beast, [("/usr/include/boost/beast.hpp", "libboost1.81-dev")], "libboost1.81-dev"),
    "pistache": Peer(peer_programs.pistache, [("/usr/include/pistache/http.h", "libpistache-dev")], "libpistache-dev",
                     {"pipeline": "answers one of several pipelined requests", "idle": _ASKED,
                      "churn": "says Connection: close, and leaves that to the client"}, ["Connection: keep-alive"]),
    "httplib": Peer(peer_programs.httplib, [("/usr/include/httplib.h", "libcpp-httplib-dev")], "libcpp-httplib-dev",
                    {"pipeline": "answers one of several pipelined requests",
                     "headers": "compresses even 13 bytes for whoever takes brotli",
                     "idle": "blocks a thread for each connection, and has 256"}),
}
_FLOOR_LACKS = {work: "a floor knows no routes" for work in ("json", "users", "download", "upload")}
_FLOOR_URING_LACKS = {**_FLOOR_LACKS, "churn": "this floor keeps every connection"}
# Whose /json is a body that stands in its configuration, and is not serialised.
FIXED_JSON = ("nginx", "haproxy", "h2o", "lighttpd", "caddy")


def _there(wanted):
    return os.path.exists(wanted) if wanted.startswith("/") else lib.program(wanted)


def start(name, folder, work=None):
    """The server, to be entered; one worker on lib.SERVER_CPU. A peer that is missing is installed and built first.

    Who knows no Connection: close, a floor, has to be told the work.
    """
    if name in FLOORS:
        return lib.floor(name, folder, *(["--close"] if work == "churn" else []))
    if name in OURS:
        return lib.lastcall(name, folder, name.removeprefix("lastcall_"))
    for wanted, package in _PEERS[name].packages:
        if not _there(wanted) and not (lib.install(package) and _there(wanted)):
            raise lib.Failure(f"not installed: apt-get has no {package}, or may not install it")
    return _PEERS[name].start(name, folder)


def lack(name, work):
    """Why a server cannot do a work; None when it can."""
    if name in FLOORS:
        return (_FLOOR_LACKS if name == "floor_epoll" else _FLOOR_URING_LACKS).get(work)
    return _PEERS[name].lacks.get(work) if name in _PEERS else None


def supports(name, work):
    return lack(name, work) is None


def headers(name):
    """What the load adds for this server."""
    return list(_PEERS[name].headers) if name in _PEERS else []


def path(_name, work):
    return PATHS[work]


@functools.cache
def version(name):
    """What it says of itself, or its package's version; None when it is not there."""
    if name not in _PEERS:
        return lib.first_line(str(lib.RELEASE / "lastcall"), "--version")
    asked = _PEERS[name].version
    if isinstance(asked, str):
        return packages.installed(asked)
    found = lib.program(str(asked[0]))
    return lib.first_line(found, *asked[1:]) if found else None
