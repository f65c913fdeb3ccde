"""Tables of figures: those that are known with a name and a form, others as they are."""

from page.records import figures, kind, label, saturated
from page.svg import grouped, milliseconds, short, significant, tag, text_of

DASH = "\u2013"


def whole(value):
    return grouped(value)


def plain(value):
    return significant(value) if abs(value) < 1e6 else short(value)


def ratio(value):
    return f"{value:.2f}\u00d7"


def fine_ratio(value):
    return f"{value:.3f}\u00d7"


def share(value):
    return f"{value:.0%}"


def half(value):
    return f"\u00b1{50 * value:.0f}\u202f%"


def megabytes(value):
    return f"{value / 1e6:.1f}\u202fMB"


# Key of a summary: what stands above it, and how it is written; in the order of the columns.
COLUMNS = {
    "per_second": ("requests/s", whole), "errors": ("errors", whole), "spread": ("spread", half), "cpu_us": ("CPU \u00b5s", plain),
    "cpu_us_without": ("without idle", plain), "user_us": ("user \u00b5s", plain), "system_us": ("system \u00b5s", plain),
    "gigabytes_per_second": ("GB/s", plain), "gigabytes_per_cpu_second": ("GB/CPU s", plain),
    "p50_ms": ("p50", milliseconds), "p90_ms": ("p90", milliseconds), "p99_ms": ("p99", milliseconds),
    "p99.9_ms": ("p99.9", milliseconds), "max_ms": ("max", milliseconds),
    "bytes": ("bytes, kept", whole), "silent_bytes": ("bytes, silent", whole), "kernel_bytes": ("kernel, kept", whole),
    "silent_kernel_bytes": ("kernel, silent", whole), "rss_before_bytes": ("resident before", megabytes),
    "rss_bytes": ("resident", megabytes), "held": ("held to the end", whole), "cpu_ratio": ("CPU ratio", fine_ratio),
    "rate_ratio": ("rate/floor", ratio), "rate_to_nginx": ("rate/nginx", ratio),
    "work_per_cpu_to_nginx": ("per CPU s/nginx", ratio), "lead_to_plaintext": ("lead/plaintext", ratio),
    "stops": ("stops", whole), "ok": ("answered", whole), "lost_new": ("lost, new", whole), "lost_reuse": ("lost, kept", whole),
    "truncated": ("truncated", whole), "malformed": ("malformed", whole), "stuck": ("stuck", whole),
    "worst": ("worst stop", whole), "lossy_stops": ("stops with loss", whole), "http_5xx": ("5xx", whole),
    "dropped": ("dropped", whole), "refused": ("refused", whole), "exit_median_ms": ("exit, median", milliseconds),
    "exit_max_ms": ("exit, max", milliseconds), "killed": ("killed", whole), "rate": ("asked/s", whole),
    "never_begun": ("never begun", whole), "server_busy": ("server busy", share),
    "load_busy": ("load busy", share),
}
BAD = {"errors", "lost_new", "lost_reuse", "truncated", "malformed", "stuck"}  # not to be overlooked


def keys_of(part):
    """Every key with a number: the known ones in their order, then the rest as they come."""
    found = dict.fromkeys(key for line in part.summary.values() for key in line if figures(line, key) is not None)
    return [key for key in COLUMNS if key in found] + [key for key in found if key not in COLUMNS]


def cell(value, form, class_=None):
    return tag("td", DASH if value is None else text_of(form(value)), class_=class_)


def figure_table(part, caption):
    """A line a server with all its figures, and who was saturated where that was measured."""
    keys = keys_of(part)
    told = any(saturated(line) for line in part.summary.values())
    heads = ["server", *(["saturated"] if told else []), *(COLUMNS.get(key, (key.replace("_", " "), None))[0] for key in keys)]
    rows = []
    for name, line in part.summary.items():
        cells = [tag("th", text_of(label(name)), scope="row")]
        if told:
            cells.append(tag("td", text_of(saturated(line) or DASH)))
        for key in keys:
            value = figures(line, key)
            cells.append(cell(value, COLUMNS.get(key, ("", plain))[1], "bad" if key in BAD and value else None))
        rows.append(tag("tr", "".join(cells), class_=kind(name)))
    return table(heads, rows, caption)


def table(heads, rows, caption):
    """rows are markup already. It scrolls by itself where the screen is narrow."""
    head = tag("thead", tag("tr", "".join(tag("th", text_of(one), scope="col") for one in heads)))
    return tag("div", tag("table", tag("caption", text_of(caption)) + head + tag("tbody", "".join(rows))), class_="scroll",
               tabindex=0, role="region", aria_label=caption)


def missing_list(missing):
    """Who could not be measured, and why."""
    if not missing:
        return ""
    items = "".join(tag("li", tag("b", text_of(label(name))) + " " + text_of(why)) for name, why in missing.items())
    return tag("ul", items, class_="missing")
