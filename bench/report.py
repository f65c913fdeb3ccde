#!/usr/bin/env python3
"""One HTML page, build/bench/report.html, of the newest record of each bench, or of the files that are given."""

import argparse
import pathlib
import sys

import lib
from page import document, records

FOLDER = lib.ROOT / "build" / "bench"


def arguments():
    parser = argparse.ArgumentParser(prog="tools/bench report", description=__doc__)
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="records (default: the newest of each bench in build/bench)")
    parser.add_argument("--output", type=pathlib.Path, default=FOLDER / "report.html", help="(default: build/bench/report.html)")
    return parser.parse_args()


def read_all(files):
    """{bench: Record}, of several of one bench the last; and what could not be read."""
    found, unreadable = {}, []
    for file in files:
        try:
            record = records.read(file)
            found[record.bench] = record
        except records.BadRecord as error:
            unreadable.append(str(error))
    return found, unreadable


def main():
    options = arguments()
    files = options.files or records.newest(FOLDER)
    if not files:
        print(f"report: there is no record in {FOLDER}: run tools/bench plaintext first", file=sys.stderr)
        return 1
    found, unreadable = read_all(files)
    for one in unreadable:
        print(f"report: {one}", file=sys.stderr)
    if not found:
        return 1
    # A record that the folder happens to hold and no page can show is no reason to fail; one that was asked for is.
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(document.page(found, unreadable), encoding="utf-8")
    print(f"{options.output}: {', '.join(found)}")
    return 1 if unreadable and options.files else 0


if __name__ == "__main__":
    sys.exit(main())
