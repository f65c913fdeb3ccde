"""The raw records of benches, brought into one form; whatever a record lacks is simply not there."""

import json
import pathlib
import re
from dataclasses import dataclass, field

from page.svg import number

FILE = re.compile(r"(.+)-(\d{8}-\d{6})\.json")
LABELS = {"floor_epoll": "floor, epoll", "floor_uring": "floor, io_uring", "lastcall_epoll": "lastcall, epoll",
          "lastcall_io_uring": "lastcall, io_uring", "haproxy": "HAProxy", "go": "Go net/http", "caddy": "Caddy", "node": "Node",
          "bun": "Bun", "beast": "Boost.Beast", "pistache": "Pistache", "httplib": "cpp-httplib"}
SATURATED = 0.95


class BadRecord(Exception):
    """A file that is no record; the message says why."""


@dataclass
class Part:
    """One work of a bench. summary: {server: {key: value}}; samples: {server: [{key: value}]}; missing: {server: why}."""
    name: str
    summary: dict = field(default_factory=dict)
    samples: dict = field(default_factory=dict)
    missing: dict = field(default_factory=dict)


@dataclass
class Record:
    """What one run of a bench left behind, in one part or several."""
    bench: str
    file: str
    parts: list
    options: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    raw: dict = field(default_factory=dict)


def an_object(value):
    return value if isinstance(value, dict) else {}


def part_of(name, raw):
    """A stop of the drain bench is a sample. A server that failed or was skipped is missing, and it is known why."""
    summary = {str(server): line for server, line in an_object(raw.get("summary")).items() if isinstance(line, dict)}
    samples = {server: [row for row in rows if isinstance(row, dict)]
               for server, rows in an_object(raw.get("samples") or raw.get("stops")).items() if isinstance(rows, list)}
    return Part(str(name), summary, samples, {**an_object(raw.get("skipped")), **an_object(raw.get("failed"))})


def record_of(raw, file):
    """Raw JSON to a Record."""
    if not isinstance(raw, dict):
        raise BadRecord(f"{file}: the JSON is no object")
    found = FILE.fullmatch(pathlib.Path(file).name)
    bench = raw.get("bench") or (found[1] if found else None)
    works = an_object(raw.get("works"))
    if not isinstance(bench, str) or not (works or isinstance(raw.get("summary"), dict)):
        raise BadRecord(f"{file}: no record of a bench: it has no name or no summary")
    parts = [part_of(name, an_object(work)) for name, work in works.items()] or [part_of(bench, raw)]
    return Record(bench, str(file), parts, an_object(raw.get("options")), an_object(raw.get("environment")),
                  an_object(raw.get("versions")), raw)


def read(file):
    try:
        return record_of(json.loads(pathlib.Path(file).read_text(encoding="utf-8")), file)
    except (OSError, ValueError, RecursionError) as error:
        raise BadRecord(f"{file}: {error}") from None


def newest(folder):
    """The newest file of each bench in a folder, by the time in its name."""
    found = {}
    for path in pathlib.Path(folder).glob("*.json"):
        if match := FILE.fullmatch(path.name):
            found[match[1]] = max(found.get(match[1], ("", None)), (match[2], path))
    return [path for _, path in found.values()]


def kind(name):
    """floor, ours or peer."""
    if name.startswith("floor_"):
        return "floor"
    return "ours" if name.startswith("lastcall") else "peer"


def label(name):
    return LABELS.get(name, name)


def figures(line, key):
    """A number of a summary's line or a sample; 'load.lost' looks into an object."""
    if key in an_object(line):
        return number(line[key])
    for step in key.split("."):
        line = an_object(line).get(step)
    return number(line)


def spread(part, name, key):
    """The least and the most of the rounds; None, None of none."""
    values = [value for row in part.samples.get(name, []) if (value := figures(row, key)) is not None]
    return (min(values), max(values)) if values else (None, None)


def saturated(line):
    """Who was: the server, the load, both, neither; '' where it was not measured."""
    busy = {who: figures(line, f"{who}_busy") for who in ("server", "load")}
    if None in busy.values():
        return ""
    return " + ".join(who for who, share in busy.items() if share >= SATURATED) or "neither"
