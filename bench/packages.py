"""What a benchmark needs of others: programs from Debian and npm, and peers compiled from bench/peers/."""

import os
import pathlib
import shutil
import subprocess
import sys

from server_process import Failure

ROOT = pathlib.Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
BUILT_BY = ROOT / "bench" / "peer_programs.py"  # holds the flags
NPM_FOLDER = ROOT / "build" / "bench" / "npm"
NPM_PROGRAMS = NPM_FOLDER / "node_modules" / ".bin"


def program(name):
    """Its path; Debian keeps daemons where not every PATH looks."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def installed(package):
    """The version of a Debian package that is there, or None."""
    try:
        done = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, check=False)
    except FileNotFoundError:  # not a Debian system
        return None
    status, _, version = done.stdout.partition(" ")
    return version if status == "installed" else None


def install(package):
    """Installs a Debian package as root or through sudo, without its service being started; False when it cannot."""
    root = [] if os.getuid() == 0 else ["sudo", "-n"]
    log = ROOT / "build" / "logs" / f"install-{package}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    policy = pathlib.Path("/usr/sbin/policy-rc.d")  # consulted before a service is started
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120"]
    ours = not policy.exists()
    print(f"installing {package}; the log is {log}", file=sys.stderr)
    with open(log, "w", encoding="utf-8") as out:
        def run(*command, **more):
            return subprocess.run([*root, *command], stdout=out, stderr=out, check=False, **more).returncode == 0
        try:
            if ours:
                run("tee", policy, input=b"#!/bin/sh\nexit 101\n")
                run("chmod", "755", policy)
            done = (run(*apt, "install", "-y", "--no-install-recommends", package)
                    or run(*apt, "update") and run(*apt, "install", "-y", "--no-install-recommends", package))
            if done and pathlib.Path("/etc/init.d", package).exists():
                run("update-rc.d", package, "disable")
            return done
        except FileNotFoundError:  # no sudo, or not a Debian system
            return False
        finally:
            if ours:
                run("rm", "-f", policy)


def first_line(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
                              check=False)
        return done.stdout.strip().split("\n")[0]
    except FileNotFoundError:
        return None


def built(name, sources, command, **environment):
    """build/bench/NAME, made by `command` with OUTPUT filled in unless it is newer than its sources in bench/peers/."""
    made = ROOT / "build" / "bench" / name
    newest = max(source.stat().st_mtime for source in [BUILT_BY, *(PEERS / source for source in sources)])
    if made.exists() and made.stat().st_mtime >= newest:
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    print(f"building {made}", file=sys.stderr)
    done = subprocess.run([f"{made}.new" if part == "OUTPUT" else str(part) for part in command], check=False, cwd=PEERS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment})
    if done.returncode != 0:
        raise Failure(f"{name} could not be built: {done.stdout.strip()[-2000:]}")
    os.replace(f"{made}.new", made)
    return made


def npm(package):
    """The program that an npm package is named after, installed below build/bench/."""
    made = NPM_PROGRAMS / package
    if not made.exists():
        NPM_FOLDER.mkdir(parents=True, exist_ok=True)
        print(f"installing {package} from npm", file=sys.stderr)
        done = subprocess.run([program("npm"), "install", "--no-audit", "--no-fund", "--prefix", NPM_FOLDER, package], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0 or not made.exists():
            raise Failure(f"npm could not install {package}: {done.stdout.strip()[-1000:]}")
    return made
