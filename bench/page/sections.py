"""A section for each bench: what was asked, its plots, the figures in a table, and what to think of when reading them."""

from page import bars, curves, tables
from page.records import figures, kind, label, saturated, spread
from page.svg import milliseconds, number, tag, text_of

KINDS = {"floor": "the kernel's floor", "ours": "lastcall", "peer": "peers"}
WORKS = {"download": "Answers of 1 MB", "upload": "Uploads of 10 MB", "plaintext": "Plaintext", "json": "JSON",
         "users": "A route with a parameter", "headers": "The headers of a browser"}
LOST = ("lost_new", "lost_reuse", "truncated", "malformed", "stuck")


def figure(title, note, plot, rows_or_curves, **options):
    """A plot in both widths, of which the style shows one."""
    wide = plot(rows_or_curves, title, width=bars.WIDE, **options)
    narrow = plot(rows_or_curves, title, width=bars.NARROW, **options)
    return tag("figure", tag("figcaption", tag("b", text_of(title)) + " " + tag("span", text_of(note))) + wide + narrow)


def sorted_rows(work, key, best_low=True, **more):
    """Rows of a plot, the best first; servers without a figure last."""
    def row(name, line):
        low, high = spread(work, name, key)
        values = {where: figures(line, of) for where, of in more.items()}
        return bars.Row(label(name), kind(name), figures(line, key), low, high, **values)
    rows = [row(name, line) for name, line in work.summary.items()]
    return sorted(rows, key=lambda one: (one.value is None, (one.value or 0) * (1 if best_low else -1)))


def has(part, key):
    return any(figures(line, key) is not None for line in part.summary.values())


def load_limited(part):
    return [label(name) for name, line in part.summary.items() if saturated(line) == "load"]


def rates(part):
    """Requests a second; a mark where the load was the limit."""
    rows = []
    for name, line in part.summary.items():
        low, high = spread(part, name, "per_second")
        note = "\u202f*" if saturated(line) == "load" else ""
        rows.append(bars.Row(label(name), kind(name), figures(line, "per_second"), low, high, note=note))
    return sorted(rows, key=lambda one: (one.value is None, -(one.value or 0)))


def throughput_part(part):
    parts = []
    if has(part, "cpu_us"):
        parts.append(figure("CPU time per request, \u00b5s", "less is better; the strip at the foot of a bar is user space",
                            bars.bars, sorted_rows(part, "cpu_us", part="user_us")))
    if has(part, "gigabytes_per_cpu_second"):
        parts.append(figure("GB per CPU second of the server", "more is better", bars.bars,
                            sorted_rows(part, "gigabytes_per_cpu_second", best_low=False)))
    if has(part, "per_second"):
        limited = load_limited(part)
        note = "more is better" + ("; * the load generator was the limit, not the server" if limited else "")
        parts.append(figure("Requests per second", note, bars.bars, rates(part)))
    return "".join(parts)


def throughput(record):
    sections = []
    for part in record.parts:
        title = WORKS.get(part.name, part.name)
        head = tag("h3", text_of(title)) if len(record.parts) > 1 else ""
        sections.append(head + throughput_part(part) + tables.figure_table(part, f"{record.bench}: {title}, medians of the rounds"))
    return "".join(sections)


def idle(record):
    part = record.parts[0]
    count = number(record.options.get("idle"))
    beside = f"{count:,.0f} idle connections" if count else "idle connections"
    plots = [
        figure("Resident bytes per idle connection", "less is better; logarithmic; the square: connections that never sent a byte; "
               "dashed: lastcall's budget of 250 bytes", bars.dots, sorted_rows(part, "bytes", other="silent_bytes"),
               reference=(250, "budget")),
        figure("CPU per active request beside them, as a multiple of that without", f"1 is best: {beside} cost nothing; "
               "the scale does not begin at 0", bars.dots, sorted_rows(part, "cpu_ratio"), reference=(1, "no difference"),
               logarithmic=False, form=tables.fine_ratio),
    ]
    if has(part, "kernel_bytes"):
        plots.insert(1, figure("The kernel's bytes per idle connection", "less is better; the server's end alone: socket, file, "
                               "what epoll or io_uring keep of it", bars.bars, sorted_rows(part, "kernel_bytes")))
    return "".join(plots) + tables.figure_table(part, f"{beside}, medians of the rounds")


def latency(record):
    part = record.parts[0]
    drawn = [curves.Curve(label(name), kind(name), line.get("curve") if isinstance(line.get("curve"), list) else [])
             for name, line in part.summary.items()]
    rate = number(record.raw.get("rate"))
    what = f"open loop at {rate:,.0f} requests a second" if rate else "open loop"
    plots = figure("Latency by percentile", f"{what}, the same for all; lower is better; the band holds all rounds",
                   curves.curves_plot, drawn) + curves.legend(drawn)
    if has(part, "p99.9_ms"):
        plots += figure("p99.9, ms", "less is better; logarithmic", bars.dots, sorted_rows(part, "p99.9_ms"), form=milliseconds)
    return plots + tables.figure_table(part, f"{what}, medians of the rounds")


def lost(line):
    """Requests lost a stop, of them on kept connections; and the worst stop."""
    stops = figures(line, "stops")
    values = {key: figures(line, key) or 0 for key in LOST}
    if not stops:
        return None, None, None
    return sum(values.values()) / stops, values["lost_reuse"] / stops, figures(line, "worst")


def drain(record):
    part = record.parts[0]
    rows = []
    for name, line in part.summary.items():
        mean, kept, worst = lost(line)
        least, _ = spread(part, name, "load.lost")
        rows.append(bars.Row(label(name), kind(name), mean, least, worst, part=kept))
    rows.sort(key=lambda one: (one.value is None, one.value or 0))
    return (figure("Requests lost per stop", "less is better; mean, whiskers to the best and the worst stop; the strip: on kept "
                   "connections", bars.bars, rows)
            + figure("From the signal to the exit, ms", "median, whiskers to the fastest and the slowest; who does not wait is sooner "
                     "gone", bars.bars, exits(part), form=milliseconds)
            + tables.figure_table(part, "all stops together"))


def exits(part):
    rows = []
    for name, line in part.summary.items():
        low, high = spread(part, name, "exit_ms")
        rows.append(bars.Row(label(name), kind(name), figures(line, "exit_median_ms"), low, high))
    return sorted(rows, key=lambda one: (one.value is None, one.value or 0))


def anything(record):
    """A bench that has no plots of its own."""
    return "".join(tables.figure_table(part, part.name) for part in record.parts)


PEER_KEYS = ("nginx", "haproxy", "h2o", "go", "caddy")  # of an environment that names the versions of peers

# In the order of the page: title, what it says about it, how it is drawn.
BENCHES = {
    "plaintext": ("Plaintext", "GET /plaintext over kept connections, one request at a time on each.", throughput),
    "pipeline": ("Pipelining", "Requests written sixteen at once on each connection.", throughput),
    "churn": ("A connection per request", "Connect, ask, be answered, close.", throughput),
    "json": ("JSON, parameters, headers", "An answer serialised for each request, a route with a parameter, the header of a "
             "browser; each beside plaintext.", throughput),
    "bodies": ("Large bodies", "Answers of 1 MB, uploads of 10 MB.", throughput),
    "idle": ("Idle connections", "Kept connections that have had one answer and now wait, held by another process.", idle),
    "latency": ("Latency", "Requests fall due by the clock, whatever the answers do, and a latency begins when its request was "
                "due: a stall shows in all that it delayed.", latency),
    "drain": ("A stop under load", "What clients lose when the server is told to stop gracefully.", drain),
}


def legend(record):
    kinds = [one for one in KINDS if any(kind(name) == one for part in record.parts for name in part.summary)]
    items = "".join(tag("span", tag("svg", tag("rect", x=1, y=2, width=26, height=12, class_=f"bar {one}"), viewBox="0 0 28 16", width=28,
                                    height=16, aria_hidden="true") + text_of(KINDS[one]), class_="key") for one in kinds)
    return tag("div", items, class_="legend")


def options_line(record):
    shown = {key: value for key, value in record.options.items() if isinstance(value, (int, float, str)) and key not in ("build", "dry")
             and value is not True and value is not False}
    return ", ".join(f"{key.replace('_', '-')} {value:g}" if number(value) is not None else f"{key} {value}"
                     for key, value in shown.items())


def commands(record):
    """Exactly what ran, once for each server."""
    items = []
    for part in record.parts:
        for name, rows in part.samples.items():
            for key in ("server_command", "load_command", "holder_command"):
                words = next((row[key] for row in rows if isinstance(row.get(key), list)), None)
                if words:
                    items.append(f"{part.name} {name} {key.removesuffix('_command')}: {' '.join(map(str, words))}")
    if not items:
        return ""
    return tag("details", tag("summary", "Commands") + tag("pre", text_of("\n".join(items))))


def section(bench, record):
    """The whole section of a bench."""
    title, about, draw = BENCHES.get(bench, (bench, "", anything))
    head = tag("h2", text_of(title), id=f"bench-{bench}") + (tag("p", text_of(about)) if about else "")
    found = any(part.summary for part in record.parts)
    body = legend(record) + draw(record) if found else tag("p", "The record has no figures.", class_="missing")
    missing = {f"{name} ({part.name})" if len(record.parts) > 1 else name: why
               for part in record.parts for name, why in part.missing.items()}
    return tag("section", head + tag("p", text_of(options_line(record)), class_="options") + body + tables.missing_list(missing)
               + commands(record))


def not_measured(benches):
    """Those of which there is no record, and how there would be one."""
    if not benches:
        return ""
    items = "".join(tag("li", f"{text_of(BENCHES[bench][0])}: <code>tools/bench {text_of(bench)}</code>") for bench in benches)
    return tag("section", tag("h2", "Not measured") + tag("p", "There is no record of:") + tag("ul", items))
