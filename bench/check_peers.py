#!/usr/bin/env python3
"""Installs and builds every peer, and asks each server once for each work: who can do what, and why not."""

import argparse
import pathlib
import sys
import tempfile

import lib
import servers
import throughput
import works


def outcome(name, work, folder):
    """None when the server does the work as it should, else why not."""
    if why := servers.lack(name, work.name):
        return f"left out: {why}"
    try:
        with servers.start(name, folder, work.name) as server:
            work.verify(server)
    except (lib.Failure, OSError) as error:
        return f"FAILED: {error}"
    return None


def main():
    parser = argparse.ArgumentParser(prog="tools/bench check_peers", description=__doc__)
    parser.add_argument("--only", type=throughput.names_of, default="all", help="as tools/bench plaintext has it")
    parser.add_argument("--build", type=pathlib.Path, default=lib.RELEASE, help="of lastcall and the floors")
    options = parser.parse_args()
    lib.RELEASE = options.build.resolve()
    failed = False
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="lastcall-bench-", ignore_cleanup_errors=True) as folder:
            outcomes = {work.name: outcome(name, work, folder) for work in works.ALL}
        done = [work for work, why in outcomes.items() if why is None]
        print(f"{name} ({servers.version(name)}): {' '.join(done) or 'nothing'}")
        for work, why in outcomes.items():
            if why:
                print(f"  {work} {why}")
                failed |= why.startswith("FAILED")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
