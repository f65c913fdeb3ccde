"""lastcall as the scaling benches start it: with options of their own, and with its admin listener asked."""

import argparse
import json
import os
import pathlib
import resource
import urllib.request

import lib

CPUS = sorted(os.sched_getaffinity(0))
BACKENDS = {"lastcall_epoll": "epoll", "lastcall_io_uring": "io_uring"}


class Ours(lib.Server):
    """`lastcall demo` with an admin listener. cpu: where it is pinned; None leaves it every CPU."""

    def __init__(self, name, folder, options=(), cpu=lib.SERVER_CPU, wrapper=(), program=None):
        self.admin_port = lib.free_port()
        command = [*wrapper, program or lib.RELEASE / "lastcall", "demo", "--listen", "127.0.0.1:0",
                   "--admin", f"127.0.0.1:{self.admin_port}", "--io", BACKENDS[name], *options]
        super().__init__(name, command, None, folder)
        if cpu != lib.SERVER_CPU:
            self.command = list(map(str, command)) if cpu is None else lib.pinned(cpu, command)

    def status(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/status", timeout=30) as answer:
            return json.load(answer)

    def sum_of(self, key):
        return sum(reactor[key] for reactor in self.status()["reactors"])


def parser_for(name, description):
    """What the options of these benches have in common."""
    parser = argparse.ArgumentParser(prog=f"tools/bench {name}", description=description)
    parser.add_argument("--build", type=pathlib.Path, default=lib.RELEASE,
                        help="folder of the lastcall to run (default: %(default)s)")
    parser.add_argument("--record", type=pathlib.Path, help="write the record there (default: build/bench/NAME-DATE.json)")
    return parser


def parse(parser, names=()):
    """The options, with `only` as a list of `names`, and what to run chosen."""
    options = parser.parse_args()
    lib.RELEASE = options.build = options.build.resolve()
    if names:
        options.only = options.only.split(",")
        if unknown := set(options.only) - set(names):
            parser.error(f"no server {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    return options


def add_only(parser, names):
    parser.add_argument("--only", default=",".join(names), help="names, separated by commas (default: %(default)s)")


def raise_descriptor_limit(wanted):
    """Of this process and those it starts from here on. Root may go beyond the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (ValueError, OSError) as error:
        raise lib.Failure(f"{wanted} descriptors are needed, {hard} are allowed (ulimit -Hn): {error}") from None


def finish(name, options, samples, summary, failed, environment):
    """Says what failed, keeps the raw record, and returns the exit code."""
    for server, why in failed.items():
        print(f"{server} FAILED: {why}")
    record = {"bench": name, "options": vars(options), "environment": environment, "summary": summary,
              "samples": samples, "failed": failed}
    if options.record:
        options.record.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
    print(f"raw: {options.record or lib.save(name, record)}")
    return 1 if failed or not any(samples.values()) else 0


def least_squares(points):
    """a, b of y = a + b x and the largest |y - (a + b x)|, for [(x, y)]."""
    count = len(points)
    mean_x, mean_y = (sum(point[i] for point in points) / count for i in (0, 1))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if spread == 0:
        raise lib.Failure("a line needs two different sizes")
    b = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    a = mean_y - b * mean_x
    return a, b, max(abs(y - (a + b * x)) for x, y in points)
