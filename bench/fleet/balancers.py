"""HAProxy and nginx with the samples of tools/deploy, on ports of their own; and none."""

import os
import pathlib
import signal
import socket

import lib

from . import processes

SAMPLES = lib.ROOT / "tools" / "deploy"
ADDRESSES = ["10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.13:8080"]


def from_sample(file, changes):
    """The sample with each key replaced; a key that the sample no longer has is an error, not silence."""
    text = (SAMPLES / file).read_text(encoding="utf-8")
    for old, new in changes.items():
        if old not in text:
            raise lib.Failure(f"tools/deploy/{file} has no '{old}' any more")
        text = text.replace(old, new)
    return text


class Balancer:
    """A context manager; `port` is where clients go. What it says of its own is in `log`."""

    announce = "0s"
    seconds_between = 0.0

    def __init__(self, folder, backends):
        self.folder, self.backends = pathlib.Path(folder), backends
        self.port = lib.free_port()
        self.log = self.folder / "balancer.log"
        self.pid = None

    def __enter__(self):
        self.pid = processes.start(self.command(), self.log, self.folder)
        try:
            processes.wait_until(self.listens, "the balancer does not listen", 10)
            for backend in self.backends:
                self.wait_up(backend)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if processes.ended(self.pid):
            return
        os.kill(self.pid, signal.SIGTERM)
        processes.wait_end(self.pid, "the balancer")

    def listens(self):
        if processes.ended(self.pid):
            raise lib.Failure(f"the balancer ended: {self.log.read_text(errors='replace')[-500:]}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except ConnectionRefusedError:
            return False

    def wait_up(self, backend):
        """Until the balancer sends requests to it again."""


class Haproxy(Balancer):
    """Looks at /readyz of each backend. Ten times as often as in the sample, so that a hundred restarts end today."""

    announce = "300ms"  # six checks

    def command(self):
        self.stats = self.folder / "haproxy.sock"
        changes = {"stats socket /run/haproxy/admin.sock mode 660": f"stats socket {self.stats} mode 600",
                   "maxconn 20000": "maxconn 4000",  # two descriptors each
                   "bind :80": f"bind 127.0.0.1:{self.port} backlog 4096",
                   "check port 9090 inter 500ms": "check inter 50ms"}
        for address, backend in zip(ADDRESSES, self.backends, strict=True):
            changes[address] = f"127.0.0.1:{backend.port} port {backend.check_port}"
        config = self.folder / "haproxy.cfg"
        config.write_text(from_sample("haproxy.cfg", changes), encoding="utf-8")
        return [lib.program("haproxy"), "-db", "-f", config]

    def wait_up(self, backend):
        letter = "abc"[self.backends.index(backend)]
        processes.wait_until(lambda: self.status(letter) == "UP", f"HAProxy does not see {backend.name} up", 10)

    def status(self, letter):
        with socket.socket(socket.AF_UNIX) as stats:
            if stats.connect_ex(str(self.stats)) != 0:  # it comes a moment after the first listener
                return None
            stats.sendall(b"show stat\n")
            text = stats.makefile().read()
        for line in text.splitlines():
            fields = line.split(",")
            if fields[:2] == ["lastcall", letter]:
                return fields[17]
        return None


class Nginx(Balancer):
    """Sees that a backend is gone by a refused connection, and asks the next."""

    seconds_between = 0.5  # beyond proxy_connect_timeout: a request that waited for one must not find the next one gone

    def command(self):
        own = self.folder / "balancer"
        own.mkdir()
        changes = {"pid /run/nginx.pid": f"pid {own}/nginx.pid; daemon off", "/var/log/nginx/error.log": f"{own}/error.log",
                   "worker_processes auto": "worker_processes 2", "listen 80": f"listen 127.0.0.1:{self.port}",
                   "keepalive_timeout 500ms": "keepalive_timeout 150ms",  # half the idle grace, as in the sample
                   "access_log off;": "access_log off; client_body_temp_path body; proxy_temp_path proxy;"
                                      " fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;"}
        for address, backend in zip(ADDRESSES, self.backends, strict=True):
            changes[address] = f"127.0.0.1:{backend.port}"
        config = own / "nginx.conf"
        config.write_text(from_sample("nginx.conf", changes), encoding="utf-8")
        self.log = own / "error.log"
        return [lib.NGINX, "-p", own, "-c", config]


class Nobody(Balancer):
    """Clients go to the one backend themselves."""

    seconds_between = 0.2

    def __enter__(self):
        self.port = self.backends[0].port
        return self

    def __exit__(self, *_):
        pass


KINDS = {"haproxy": Haproxy, "nginx": Nginx, "none": Nobody}
