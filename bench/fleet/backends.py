"""What stands behind the balancer, and how each kind is restarted, replaced or killed."""

import os
import pathlib
import re
import signal
import subprocess
import urllib.error
import urllib.request

import lib

from . import processes

READY = re.compile(r"event=ready pid=(\d+)")
FAILED = re.compile(r"event=upgrade_(failed|refused)")
IDLE_GRACE = "300ms"


class Backend:
    """One server on a port that it keeps through restarts. `check_port` answers /readyz."""

    def __init__(self, name, folder, announce):
        self.name, self.folder, self.announce = name, pathlib.Path(folder), announce
        self.port = self.check_port = lib.free_port()
        self.log = self.folder / f"{name}.log"
        self.pid = None

    def start(self):
        self.pid = processes.start(self.command(), self.log, self.folder)
        processes.wait_until(self.answers, f"{self.name} is not ready; {self.log}: {self.tail()}", 10)

    def answers(self):
        if processes.ended(self.pid):
            raise lib.Failure(f"{self.name} ended at once: {self.tail()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.check_port}/readyz", timeout=1) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def tail(self):
        return self.log.read_text(encoding="utf-8", errors="replace").strip()[-400:] if self.log.exists() else ""

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        processes.wait_end(self.pid, self.name)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        processes.wait_end(self.pid, self.name)

    def replace(self):
        raise lib.Failure(f"{self.name} cannot replace itself")


class Lastcall(Backend):
    def __init__(self, name, folder, announce, io):
        super().__init__(name, folder, announce)
        self.io = io
        self.check_port = lib.free_port()

    def command(self):
        return [lib.RELEASE / "lastcall", "demo", "--listen", f"127.0.0.1:{self.port}", "--admin",
                f"127.0.0.1:{self.check_port}", "--io", self.io, "--reactors", "2", "--announce", self.announce,
                "--idle-grace", IDLE_GRACE, "--report", self.folder / f"{self.name}.report"]

    def replace(self):
        """USR2: the new process says that it is ready, the old one ends by itself."""
        old, size = self.pid, self.log.stat().st_size

        def successor():
            with open(self.log, encoding="utf-8", errors="replace") as log:
                log.seek(size)
                text = log.read()
            found = READY.search(text)
            if FAILED.search(text) or (processes.ended(old) and not found):
                raise lib.Failure(f"{self.name} ended instead of replacing itself: {self.tail()}")
            return int(found[1]) if found else None
        os.kill(old, signal.SIGUSR2)
        self.pid = processes.wait_until(successor, f"no successor of {self.name}: {self.tail()}", 10)
        processes.wait_end(old, self.name)


class Go(Backend):
    """net/http; stops as its documentation has it, after a sleep when `announce` is not 0s."""

    def command(self):
        source, made = lib.BENCH / "peers" / "fleet.go", lib.ROOT / "build" / "bench" / "fleet-go"
        if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
            made.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run([lib.program("go"), "build", "-o", made, source], check=True,
                           env={**os.environ, "GO111MODULE": "off", "GOCACHE": str(made.parent / "go-cache")})
        return [made, f"127.0.0.1:{self.port}", self.announce]


class Nginx(Backend):
    """A daemon, whose pid its file tells. QUIT is its graceful stop; USR2, WINCH, QUIT replace the binary."""

    def __init__(self, name, folder, announce):
        super().__init__(name, folder, announce)
        self.own = self.folder / name
        self.own.mkdir()
        text = (lib.BENCH / "peers" / "fleet_nginx.conf").read_text(encoding="utf-8")
        self.config = self.own / "nginx.conf"
        self.config.write_text(text.replace("@PORT@", str(self.port)).replace("@FOLDER@", str(self.own)), encoding="utf-8")

    def start(self):
        starter = processes.start([lib.NGINX, "-p", self.own, "-c", self.config], self.log, self.own)
        processes.wait_end(starter, f"{self.name}, which becomes a daemon")
        self.pid = processes.wait_until(self.written_pid, f"{self.name} wrote no pid: {self.tail()}", 10)
        processes.wait_until(self.answers, f"{self.name} is not ready: {self.tail()}", 10)

    def written_pid(self):
        try:
            text = (self.own / "nginx.pid").read_text(encoding="utf-8")
        except FileNotFoundError:  # also for a moment while one nginx replaces another
            return None
        return int(text) if text.strip() else None

    def stop(self):
        os.kill(self.pid, signal.SIGQUIT)
        processes.wait_end(self.pid, self.name)

    def kill(self):
        workers = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in [self.pid, *map(int, workers)]:
            os.kill(pid, signal.SIGKILL)
        for pid in [self.pid, *map(int, workers)]:
            processes.wait_end(pid, self.name)

    def replace(self):
        old = self.pid
        os.kill(old, signal.SIGUSR2)
        self.pid = processes.wait_until(lambda: (pid := self.written_pid()) != old and pid, f"no successor of {self.name}")
        processes.wait_until(self.answers, f"the successor of {self.name} is not ready")
        os.kill(old, signal.SIGWINCH)
        os.kill(old, signal.SIGQUIT)
        processes.wait_end(old, self.name)


KINDS = {
    "lastcall_epoll": lambda name, folder, announce: Lastcall(name, folder, announce, "epoll"),
    "lastcall_io_uring": lambda name, folder, announce: Lastcall(name, folder, announce, "io_uring"),
    "go": lambda name, folder, _: Go(name, folder, "0s"),
    "go_sleep": Go,
    "nginx": Nginx,
}
REPLACEABLE = {"lastcall_epoll", "lastcall_io_uring", "nginx"}
