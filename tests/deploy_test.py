#!/usr/bin/env python3
"""What tools/deploy shows is accepted by the programs that it is for, and agrees with lastcall's own flags. Programs that are
not here are named, and their samples pass unread.

deploy_test.py FOLDER LASTCALL"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PATH = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin:/bin"


class Samples:
    def __init__(self, folder, lastcall):
        self.folder, self.lastcall = folder, lastcall
        self.problems, self.missing, self.done = [], [], []

    def text(self, name):
        return (self.folder / name).read_text(encoding="utf-8")

    def expect(self, condition, problem):
        if not condition:
            self.problems.append(problem)

    def accepted(self, name, program, *arguments, quiet=False):
        """The program ends with 0, and when `quiet` says nothing either."""
        path = shutil.which(program, path=PATH)
        if path is None:
            self.missing.append(f"{name}: no {program}")
            return
        done = subprocess.run([path, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.expect(done.returncode == 0 and not (quiet and done.stdout.strip()),
                    f"{name}: {program} ended with {done.returncode}: {done.stdout.strip()}")
        self.done.append(name)

    def flags(self, name, text):
        """Every --flag of lastcall that a sample speaks of is one."""
        known = subprocess.run([self.lastcall, "--help"], capture_output=True, text=True, check=True).stdout
        for flag in sorted(set(re.findall(r"--[a-z][a-z-]+", text))):
            self.expect(flag in known, f"{name}: lastcall has no {flag}")


def seconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(ms|s|)", text).groups()
    return float(number) * (1e-3 if unit == "ms" else 1)


def balancers(samples, folder):
    samples.accepted("haproxy.cfg", "haproxy", "-c", "-q", "-f", samples.folder / "haproxy.cfg")
    config = samples.text("haproxy.cfg")
    interval, fall = seconds(re.search(r"inter (\d\w*)", config)[1]), int(re.search(r"fall (\d+) rise", config)[1])
    announce = seconds(re.search(r"--announce (\w+)", config)[1])
    samples.expect(announce >= 2 * interval * fall, "haproxy.cfg: --announce is too short for its checks")
    # Its pid and log belong to root in the sample.
    nginx = samples.text("nginx.conf").replace("/run/nginx.pid", f"{folder}/pid").replace("/var/log/nginx/error.log", "stderr")
    (folder / "nginx.conf").write_text(nginx, encoding="utf-8")
    samples.accepted("nginx.conf", "nginx", "-t", "-q", "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf")


def systemd(samples, folder):
    unit = samples.text("lastcall.service")
    deadline = seconds(re.search(r"--deadline (\w+)", unit)[1])
    samples.expect(seconds(re.search(r"TimeoutStopSec=(\w+)", unit)[1]) > deadline, "lastcall.service: killed before the deadline")
    name = re.search(r"--listen fd:(\w+)", unit)[1]
    samples.expect(f"FileDescriptorName={name}\n" in samples.text("lastcall.socket"), "lastcall.socket: another name than fd:")
    # systemd looks whether the program exists.
    (folder / "lastcall.service").write_text(unit.replace("/usr/local/bin/lastcall", samples.lastcall), encoding="utf-8")
    (folder / "lastcall.socket").write_text(samples.text("lastcall.socket"), encoding="utf-8")
    samples.accepted("lastcall.service", "systemd-analyze", "verify", "--man=no", folder / "lastcall.service", quiet=True)


def containers(samples):
    text = samples.text("kubernetes.yaml")
    flags = dict(re.findall(r"- --(announce|deadline)=(\w+)", text))
    grace = int(re.search(r"terminationGracePeriodSeconds: (\d+)", text)[1])
    samples.expect(grace > seconds(flags.get("deadline", "0s")) > seconds(flags.get("announce", "0s")) > 0,
                   "kubernetes.yaml: announce, deadline and terminationGracePeriodSeconds do not follow on each other")
    docker = samples.text("Dockerfile")
    samples.expect(re.search(r"^STOPSIGNAL SIGTERM$", docker, re.M), "Dockerfile: no STOPSIGNAL")
    samples.expect(re.search(r"^USER \d+", docker, re.M), "Dockerfile: runs as root")
    samples.expect(re.search(r'^ENTRYPOINT \["', docker, re.M), "Dockerfile: a shell stands between the signal and lastcall")
    try:
        import yaml  # Debian's python3-yaml
    except ImportError:
        samples.missing.append("kubernetes.yaml, envoy.yaml: no python3-yaml")
        return
    for name in ("kubernetes.yaml", "envoy.yaml"):
        try:
            samples.expect(list(yaml.safe_load_all(samples.text(name))), f"{name}: empty")
            samples.done.append(name)
        except yaml.YAMLError as error:
            samples.problems.append(f"{name}: {error}")


def main():
    samples = Samples(pathlib.Path(sys.argv[1]).resolve(), str(pathlib.Path(sys.argv[2]).resolve()))
    with tempfile.TemporaryDirectory(prefix="lastcall-deploy-") as folder:
        balancers(samples, pathlib.Path(folder))
        systemd(samples, pathlib.Path(folder))
    containers(samples)
    samples.flags("lastcall.service", re.search(r"^ExecStart=(.*)", samples.text("lastcall.service"), re.M)[1])
    samples.flags("kubernetes.yaml", " ".join(re.findall(r"^ +- (--.*)", samples.text("kubernetes.yaml"), re.M)))
    print(f"deploy: accepted: {', '.join(samples.done) or 'none'}; not read: {', '.join(samples.missing) or 'none'}")
    if samples.problems:
        sys.exit("\n".join(samples.problems))


main()
