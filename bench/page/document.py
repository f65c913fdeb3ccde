"""The whole page: what is to be seen first, the sections, the machine, and how far all this can be trusted."""

import pathlib

from page import sections, tables
from page.records import figures, kind, label
from page.svg import milliseconds, tag, text_of

STYLE = pathlib.Path(__file__).resolve().parent / "style.css"
# Bench, part or None for the only one, key, what it is, form. Of all, less is better.
GLANCE = [
    ("plaintext", None, "cpu_us", "plaintext: CPU \u00b5s per request", tables.plain),
    ("pipeline", None, "cpu_us", "16 deep: CPU \u00b5s per request", tables.plain),
    ("churn", None, "cpu_us", "a connection each: CPU \u00b5s", tables.plain),
    ("json", "json", "cpu_us", "JSON: CPU \u00b5s per request", tables.plain),
    ("json", "headers", "cpu_us", "a browser\u2019s headers: CPU \u00b5s", tables.plain),
    ("bodies", "download", "cpu_us", "1 MB answer: CPU \u00b5s", tables.plain),
    ("bodies", "upload", "cpu_us", "10 MB upload: CPU \u00b5s", tables.plain),
    ("idle", None, "bytes", "bytes per idle connection", tables.whole),
    ("latency", None, "p99_ms", "open loop, p99", milliseconds),
    ("latency", None, "p99.9_ms", "open loop, p99.9", milliseconds),
    ("drain", None, "lost", "requests lost per stop", tables.plain),
]
HEADS = ["", "lastcall, io_uring", "lastcall, epoll", "nginx", "best other peer", "best floor"]
ENVIRONMENT = {"time": "measured", "kernel": "kernel", "cpu": "CPU", "cpus": "CPUs", "compiler": "compiler", "wrk": "wrk",
               "lastcall": "lastcall", "revision": "revision", "load_average": "load average at the start"}
CAVEATS = [
    "Server and load share one machine and talk over loopback, a CPU for each: no network card, no interrupts, no distance. Take the "
    "figures for a comparison of one run, not for what a network would give.",
    "CPU time per request is the figure to trust: the scheduler\u2019s exact sum over all of the server\u2019s processes. Its split into "
    "user space and kernel is sampled at the timer tick. Requests per second say something about a server only where the server "
    "itself was saturated; the tables say who was.",
    "Percentiles of the throughput benches come from a closed loop, which stops asking while a server stalls. Those under Latency do "
    "not have that flaw.",
    "Every server has one worker or thread on one CPU, with access logs off. Whiskers reach from the least to the most of the rounds; "
    "rounds run the servers in turn, every second one in reverse order. Differences within the whiskers are none.",
    "A floor parses nothing and answers with canned bytes: a yardstick of what the kernel charges, not a server.",
    "Resident bytes are the growth of Pss over all of a server\u2019s processes from the first idle connection to the last. Who "
    "reserves the memory of its connections at the start, as nginx does, shows less growth and a larger \u201cresident before\u201d.",
]


def value_of(part, name, key):
    line = part.summary.get(name, {})
    return sections.lost(line)[0] if key == "lost" else figures(line, key)


def best(part, key, names):
    """(value, name) of the least, or None."""
    found = [(value, name) for name in names if (value := value_of(part, name, key)) is not None]
    return min(found) if found else None


def glance_row(part, key, what, form):
    def named(found):
        return tag("td", tables.DASH if found is None else text_of(form(found[0])) + " " + tag("small", text_of(label(found[1]))))
    names = list(part.summary)
    cells = [tag("th", text_of(what), scope="row")]
    for name in ("lastcall_io_uring", "lastcall_epoll", "nginx"):
        cells.append(tables.cell(value_of(part, name, key), form, "ours" if kind(name) == "ours" else None))
    others = [name for name in names if kind(name) == "peer" and name != "nginx"]
    floors = [name for name in names if kind(name) == "floor"]
    return tag("tr", "".join([*cells, named(best(part, key, others)), named(best(part, key, floors))]))


def glance(records):
    """The one table for those who read no further."""
    rows = []
    for bench, work, key, what, form in GLANCE:
        for part in records[bench].parts if bench in records else []:
            if work in (None, part.name) and any(value_of(part, name, key) is not None for name in part.summary):
                rows.append(glance_row(part, key, what, form))
    if not rows:
        return ""
    return tag("section", tag("h2", "At a glance") + tag("p", "Less is better in every line.")
               + tables.table(HEADS, rows, "the headline of each bench, medians"))


def differing(records):
    """What makes the benches of this page no single run."""
    told = []
    for key, what in (("revision", "revisions of the source"), ("kernel", "kernels"), ("cpu", "CPUs"), ("compiler", "compilers")):
        found = {record.environment.get(key) for record in records.values()}
        if len(found) > 1:
            told.append(f"The records are of {len(found)} different {what}: compare only within a section.")
    single = [bench for bench, record in records.items() if record.options.get("rounds") == 1]
    if single:
        told.append(f"A single round, of which no spread is known: {', '.join(single)}.")
    dirty = [bench for bench, record in records.items() if record.environment.get("uncommitted_changes")]
    if dirty:
        told.append(f"Measured with changes that were not committed: {', '.join(dirty)}.")
    return told


def errors(records):
    """Every server that answered something wrong anywhere, and every bench that had nobody to measure."""
    told = []
    for bench, record in records.items():
        for part in record.parts:
            for name, line in part.summary.items():
                if figures(line, "errors"):
                    told.append(f"{bench} {part.name if part.name != bench else ''} {label(name)}: "
                                f"{figures(line, 'errors'):,.0f} errors.".replace("  ", " "))
            limited = sections.load_limited(part)
            if limited:
                told.append(f"{bench}{'' if part.name == bench else ' ' + part.name}: the load generator was the limit for "
                            f"{', '.join(limited)}; their requests per second are its own.")
    return told


def notes(title, lines):
    return tag("section", tag("h2", title) + tag("ul", "".join(tag("li", text_of(line)) for line in lines))) if lines else ""


def written(value):
    if isinstance(value, list):
        return ", ".join(f"{one:.2f}" if isinstance(one, float) else str(one) for one in value)
    return str(value)


def machine(records):
    """Environment of each record: once where they agree, by bench where they do not."""
    pairs = []
    for key, what in ENVIRONMENT.items():
        by_value = {}
        for bench, record in records.items():
            if record.environment.get(key) is not None:
                by_value.setdefault(written(record.environment[key]), []).append(bench)
        for value, benches in by_value.items():
            pairs.append((what if len(by_value) == 1 else f"{what} ({', '.join(benches)})", value))
    versions = {}
    for record in records.values():
        versions |= {name: version for name, version in record.versions.items() if version and kind(name) == "peer"}
        versions |= {name: version for name, version in record.environment.items() if name in sections.PEER_KEYS and version}
    pairs += [(label(name), version) for name, version in versions.items()]
    pairs += [(f"record of {bench}", pathlib.Path(record.file).name) for bench, record in records.items()]
    body = "".join(tag("dt", text_of(key)) + tag("dd", text_of(value)) for key, value in pairs)
    return tag("section", tag("h2", "Machine, versions, records") + tag("dl", body))


def contents(benches):
    return tag("nav", "".join(tag("a", text_of(sections.BENCHES.get(bench, (bench,))[0]), href=f"#bench-{bench}") for bench in benches))


# Hatches for the floors; one definition for all pictures of the page.
PATTERNS = ('<svg width="0" height="0" aria-hidden="true" class="patterns"><defs><pattern id="hatch" width="6" height="6" '
            'patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="hatch-ground" width="6" height="6"/>'
            '<line class="hatch-line" x1="0" y1="0" x2="0" y2="6"/></pattern></defs></svg>')


def page(records, unreadable=()):
    """One HTML document that needs nothing else. records: {bench: Record}; unreadable: files that are no record, and why."""
    benches = [*sections.BENCHES, *(bench for bench in records if bench not in sections.BENCHES)]
    records = {bench: records[bench] for bench in benches if bench in records}
    times = sorted(str(record.environment.get("time")) for record in records.values() if record.environment.get("time"))
    when = f"Measured {times[0]}" + (f" to {times[-1]}" if len(times) > 1 and times[-1] != times[0] else "") if times else ""
    cpu = next((record.environment["cpu"] for record in records.values() if record.environment.get("cpu")), "")
    kernel = next((record.environment["kernel"] for record in records.values() if record.environment.get("kernel")), "")
    head = tag("header", tag("h1", "lastcall: the benches") + tag("p", text_of(" \u00b7 ".join(filter(None, [
        when, cpu, f"Linux {kernel.split(' ')[0]}" if isinstance(kernel, str) and kernel else ""])))))
    warnings = [*differing(records), *unreadable]
    alert = tag("div", "".join(tag("p", text_of(one)) for one in warnings), class_="warning") if warnings else ""
    body = (PATTERNS + head + alert + contents(records) + glance(records)
            + "".join(sections.section(bench, record) for bench, record in records.items())
            + sections.not_measured([bench for bench in sections.BENCHES if bench not in records])
            + notes("Seen while measuring", errors(records)) + notes("How to read this", CAVEATS) + machine(records))
    return ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
            f"<title>lastcall: the benches</title><style>{STYLE.read_text(encoding='utf-8')}</style></head><body><main>{body}</main></body></html>\n")
