#!/usr/bin/env python3
"""One throughput bench for a moment: it must still run, and its record hold everybody. smoke_test.py BENCH BUILD-FOLDER"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import servers  # noqa: E402

NAMES = [*servers.FLOORS, *servers.OURS]


def mistakes(record):
    """What is wrong with it, a line each. Nothing is judged by its time."""
    for work, part in record["works"].items():
        yield from (f"{work}: {name} failed: {why}" for name, why in part["failed"].items())
        for name in NAMES:
            rows = part["samples"].get(name, [])
            if not servers.supports(name, work):
                if rows or name not in part["skipped"]:
                    yield f"{work}: {name} should have been left out, with a reason"
            elif len(rows) != 1 or name not in part["summary"]:
                yield f"{work}: {name} has {len(rows)} samples"
            elif rows[0]["requests"] < 1 or rows[0]["cpu_us"] <= 0 or rows[0]["errors"] != 0:
                yield f"{work}: {name}: {rows[0]['requests']} requests at {rows[0]['cpu_us']} us, {rows[0]['errors']} errors"


def main():
    bench, build = sys.argv[1:]
    if not shutil.which("wrk"):
        print("SKIPPED: there is no wrk (apt-get install wrk)")
        return 77
    with tempfile.TemporaryDirectory(prefix="lastcall-smoke-") as folder:
        path = pathlib.Path(folder, "record.json")
        done = subprocess.run([sys.executable, ROOT / "bench" / f"{bench}.py", "--only", ",".join(NAMES), "--rounds", "1",
                               "--seconds", "0.2", "--warm-up", "0", "--connections", "8", "--build", build, "--record", path],
                              check=False, timeout=60)
        if done.returncode != 0:
            print(f"{bench} ended with {done.returncode}")
            return 1
        found = list(mistakes(json.loads(path.read_text(encoding="utf-8"))))
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
