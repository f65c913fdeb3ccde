"""How each peer is started: its configuration or its program of bench/peers/, one worker on one CPU."""

import getpass
import pathlib
import tempfile

from packages import PEERS, ROOT, built, npm, program
from server_process import Server, free_port

# What peers that are configured rather than programmed serve, by the name of the file.
FIXED_BODIES = {"plaintext": "Hello, World!", "json": '{"message":"Hello, World!"}', "bytes": "x" * 1_000_000}
COMPILE = ["c++", "-std=c++20", "-O2", "-DNDEBUG"]


def peer_config(file, folder):
    """A port, a folder of the peer's own inside `folder`, and its configuration there beside the bodies that it serves."""
    own = pathlib.Path(tempfile.mkdtemp(prefix="peer-", dir=folder))
    for reachable in (own, pathlib.Path(folder)):  # nginx gives up root
        reachable.chmod(0o755)
    port = free_port()
    config = (PEERS / file).read_text(encoding="utf-8")
    for key, value in {"@PORT@": str(port), "@FOLDER@": str(own), "@USER@": getpass.getuser()}.items():
        config = config.replace(key, value)
    (own / file).write_text(config, encoding="utf-8")
    for body, text in FIXED_BODIES.items():
        (own / body).write_text(text, encoding="utf-8")
    return port, own, own / file


def nginx(name, folder):
    port, prefix, config = peer_config("nginx.conf", folder)
    return Server(name, [program("nginx"), "-p", prefix, "-c", config, "-e", "stderr"], port, folder)


def haproxy(name, folder):
    port, _, config = peer_config("haproxy.cfg", folder)
    return Server(name, [program("haproxy"), "-db", "-f", config], port, folder)


def h2o(name, folder):
    port, _, config = peer_config("h2o.conf", folder)
    return Server(name, [program("h2o"), "-c", config], port, folder)


def lighttpd(name, folder):
    port, _, config = peer_config("lighttpd.conf", folder)
    return Server(name, [program("lighttpd"), "-D", "-f", config], port, folder)


def caddy(name, folder):
    port, _, config = peer_config("Caddyfile", folder)
    return Server(name, [program("caddy"), "run", "--config", config, "--adapter", "caddyfile"], port, folder)


def _programmed(name, folder, *command):
    """A program of ours around a peer's library, which takes the port as its last argument."""
    port = free_port()
    return Server(name, [*command, port], port, folder)


def go(name, folder):
    made = built("net_http", ["net_http.go"], [program("go"), "build", "-o", "OUTPUT", "net_http.go"],
                 GO111MODULE="off", GOCACHE=str(ROOT / "build" / "bench" / "go-cache"))
    return _programmed(name, folder, made)


def node(name, folder):
    return _programmed(name, folder, program("node"), PEERS / "node_http.js")


def bun(name, folder):
    return _programmed(name, folder, npm("bun"), PEERS / "bun_serve.js")


def compiled(name, folder, *flags):
    source = f"{name}.cpp"
    return _programmed(name, folder, built(name, [source, "json_body.hpp"], [*COMPILE, source, "-o", "OUTPUT", *flags]))


def libmicrohttpd(name, folder):
    return compiled(name, folder, "-lmicrohttpd")


def beast(name, folder):
    return compiled(name, folder, "-pthread")


def pistache(name, folder):
    return compiled(name, folder, "-lpistache", "-pthread")


def httplib(name, folder):
    return compiled(name, folder, "-lcpp-httplib", "-pthread")
