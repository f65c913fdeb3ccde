#!/usr/bin/env python3
"""Tests bench/report.py and bench/page on invented records; ctest runs it. Pictures are parsed, not looked at."""
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
from html.parser import HTMLParser
from xml.etree import ElementTree

HERE = pathlib.Path(__file__).resolve().parent
BENCH = HERE.parent.parent / "bench"
sys.path[:0] = [str(BENCH), str(HERE)]

import synthetic  # noqa: E402
from page import bars, curves, document, records, sections, svg, tables  # noqa: E402

HOSTILE = "<script>alert(1)</script>\"'&\x00\ud800"
VOID = {"meta", "br", "img", "hr", "link", "input"}
SVG = "{http://www.w3.org/2000/svg}"


class Reader(HTMLParser):
    """Text, elements and attributes of a page; fails on elements that are not closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


def loaded(raw, file="x-20260102-030405.json"):
    return records.record_of(json.loads(json.dumps(raw)), file)


def page_of(raw_by_bench):
    return document.page({bench: loaded(raw, f"{bench}-20260102-030405.json") for bench, raw in raw_by_bench.items()})


def coordinates(picture):
    """Every number in an attribute that places something, of a picture that must be XML."""
    root = ElementTree.fromstring(picture)
    found = []
    for element in root.iter():
        for key in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"):
            if key in element.attrib:
                found.append(float(element.attrib[key]))
        found += map(float, re.findall(r"-?[0-9.]+(?:e[-+]?\d+)?|nan|inf", element.get("d", "")))
    return found


def section_of(page, bench):
    """The markup of one bench's section."""
    return page.split(f'id="bench-{bench}"')[1].split("<section>")[0]


class Page(unittest.TestCase):
    def test_every_server_of_every_record_is_in_its_section(self):
        raw = synthetic.everything()
        page = page_of(raw)
        Reader(page)
        for bench, record in raw.items():
            section = Reader("<section><h2>" + section_of(page, bench).partition(">")[2]).text
            for part in record.get("works", {bench: record}).values():
                for name in part["summary"]:
                    self.assertIn(records.label(name), section, f"{name} of {bench}")

    def test_a_bar_or_a_point_for_each_server_in_both_widths(self):
        for bench, raw in synthetic.everything().items():
            section = section_of(page_of({bench: raw}), bench)
            for part in raw.get("works", {bench: raw}).values():
                for name in part["summary"]:
                    shown = svg.text_of(records.label(name))
                    self.assertGreaterEqual(len(re.findall(f"<text[^>]*>{re.escape(shown)}</text>", section)), 2, f"{name} of {bench}")

    def test_it_needs_nothing_else(self):
        page = page_of(synthetic.everything())
        reader = Reader(page)
        self.assertFalse({"script", "link", "img", "iframe", "object"} & set(reader.elements))
        for key, value in reader.attributes:
            if key in ("href", "src", "xlink:href"):
                self.assertTrue(value.startswith("#"), value)
        outside = [one for one in re.findall(r"https?://[^\"'\s<]+", page) if one != "http://www.w3.org/2000/svg"]
        self.assertEqual(outside, [])
        self.assertNotIn("@import", page)
        self.assertEqual(re.findall(r"url\((?!#)", page), [])

    def test_links_lead_somewhere(self):
        page = page_of(synthetic.everything())
        for target in re.findall('href="#([^"]+)"', page):
            self.assertEqual(page.count(f'id="{target}"'), 1, target)

    def test_light_dark_and_narrow(self):
        page = page_of(synthetic.everything())
        self.assertIn("prefers-color-scheme: dark", page)
        self.assertIn('name="viewport"', page)
        self.assertEqual(page.count('class="wide"'), page.count('class="narrow"'))
        defined = set(re.findall(r"(--[a-z0-9-]+):", page))
        self.assertEqual(set(re.findall(r"var\((--[a-z0-9-]+)\)", page)) - defined, set())

    def test_missing_benches_are_said(self):
        page = page_of({"plaintext": synthetic.everything()["plaintext"]})
        words = Reader(page).text
        for bench in set(sections.BENCHES) - {"plaintext"}:
            self.assertIn(f"tools/bench {bench}", words)
        self.assertNotIn("tools/bench plaintext", words)
        self.assertNotIn("Not measured", Reader(page_of(synthetic.everything())).text)

    def test_missing_servers_are_said_and_why(self):
        page = Reader(page_of({"drain": synthetic.everything()["drain"]})).text
        self.assertIn("Caddy", page)
        self.assertIn("not installed", page)

    def test_errors_and_saturation_are_said(self):
        raw = synthetic.throughput("plaintext", ["floor_epoll", "lastcall_epoll", "nginx"])
        raw["summary"]["nginx"]["errors"] = 4711
        raw["works"]["plaintext"]["summary"]["nginx"]["errors"] = 4711
        page = page_of({"plaintext": raw})
        self.assertIn("nginx: 4,711 errors", Reader(page).text)
        self.assertIn('class="bad"', page)
        self.assertIn("the load generator was the limit for floor, epoll", Reader(page).text)

    def test_records_of_different_revisions_are_warned_of(self):
        raw = synthetic.everything()
        self.assertNotIn("different revisions", page_of(raw))
        raw["idle"]["environment"] = {**synthetic.ENVIRONMENT, "revision": "another", "uncommitted_changes": True}
        page = page_of(raw)
        self.assertIn("2 different revisions", page)
        self.assertIn("not committed: idle", page)

    def test_commands_versions_and_machine(self):
        words = Reader(page_of(synthetic.everything())).text
        for part in ("taskset -c 1 wrk", "An Invented CPU", "6.1.0-invented", "0123456789abcdef", "haproxy 1.2", "c++ 12.2.0"):
            self.assertIn(part, words)

    def test_unknown_benches_have_their_table(self):
        page = Reader(page_of({"start": {"bench": "start", "summary": {"lastcall_epoll": {"first_answer_ms": 12.5}}}})).text
        self.assertIn("first answer ms", page)
        self.assertIn("12.5", page)

    def test_hostile_strings_are_escaped(self):
        raw = synthetic.throughput("plaintext", [HOSTILE, "nginx"])
        raw["options"][HOSTILE] = HOSTILE
        raw["environment"] = {key: HOSTILE for key in synthetic.ENVIRONMENT}
        raw["versions"] = raw["skipped"] = raw["failed"] = {HOSTILE: HOSTILE}
        for row in raw["samples"][HOSTILE]:
            row["server_command"] = [HOSTILE]
        page = page_of({"plaintext": raw, HOSTILE: {"bench": HOSTILE, "summary": {HOSTILE: {HOSTILE: 1}}}})
        reader = Reader(page)
        self.assertNotIn("script", reader.elements)
        self.assertNotIn("<script", page)
        page.encode("utf-8")

    def test_figures_that_make_no_sense_break_nothing(self):
        strange = [None, "x", True, [], {}, math.nan, math.inf, -math.inf, -1, 0, 1e300, 1e-300, -1e300]
        keys = ["per_second", "cpu_us", "user_us", "bytes", "silent_bytes", "kernel_bytes", "cpu_ratio", "p99.9_ms", "p99_ms", "stops",
                "lost_new", "lost_reuse", "worst", "exit_median_ms", "server_busy", "load_busy", "curve", "errors", "spread", "rss_bytes"]
        for bench in sections.BENCHES:
            for value in strange:
                line = {key: value for key in keys}
                raw = {"bench": bench, "summary": {"lastcall_epoll": line, "nginx": {"cpu_us": 5}}, "samples": {"lastcall_epoll": [line]},
                       "rate": value, "options": {"idle": value}}
                page = page_of({bench: raw})
                Reader(page)
                self.assertIsNone(re.search(r'="[^"]*\b(nan|inf)\b', page), f"{bench} with {value}")

    def test_an_empty_record(self):
        for bench in sections.BENCHES:
            self.assertIn("no figures", Reader(page_of({bench: {"bench": bench, "summary": {}}})).text)


class Plots(unittest.TestCase):
    def check(self, picture, width):
        root = ElementTree.fromstring(picture)
        _, _, w, h = map(float, root.get("viewBox").split())
        self.assertEqual(w, width)
        for value in coordinates(picture):
            self.assertTrue(math.isfinite(value))
            self.assertTrue(-30 <= value <= max(w, h) + 1, value)
        return root

    def test_extremes_stay_within_the_picture(self):
        for values in ([0], [0, 0], [1e-12, 1e12], [-5, 3], [None], [None, 0], [5e17, 5e17], [1e-9], []):
            rows = [bars.Row("name", "ours", value, 0, 1e13, part=value, other=value) for value in values]
            for width in (bars.WIDE, bars.NARROW):
                for plot in (bars.bars, bars.dots):
                    self.check(plot(rows, "label", width=width, reference=(7, "seven")), width)
                self.check(bars.dots(rows, "label", width=width, logarithmic=False), width)

    def test_bars_are_as_long_as_their_values(self):
        rows = [bars.Row(str(value), "peer", value) for value in (100, 50, 25)]
        root = self.check(bars.bars(rows, "label"), bars.WIDE)
        lengths = [float(one.get("width")) for one in root.iter(SVG + "rect")]
        self.assertAlmostEqual(lengths[0] / lengths[1], 2, 1)
        self.assertAlmostEqual(lengths[0] / lengths[2], 4, 1)

    def test_kinds_differ_without_colour(self):
        rows = [bars.Row("a", kind, 1) for kind in sections.KINDS]
        root = self.check(bars.dots(rows, "label"), bars.WIDE)
        self.assertEqual({one.get("class"): one.tag for one in root.iter() if (one.get("class") or "").startswith("dot")},
                         {"dot floor": SVG + "path", "dot ours": SVG + "circle", "dot peer": SVG + "circle"})
        style = document.STYLE.read_text(encoding="utf-8")
        self.assertIn(".bar.floor { fill: url(#hatch)", style)
        self.assertIn(".dot.peer { fill: var(--ground)", style)

    def test_a_percentile_s_distance_is_its_nines(self):
        self.assertAlmostEqual(curves.depth(99) - curves.depth(90), curves.depth(99.9) - curves.depth(99))
        self.assertEqual(curves.depth(0), 0)

    def test_curves_at_extremes(self):
        for points in ([[50, 1, 1, 1]], [[0, 1e-9, 1e-9, 1e9], [99.999, 5, 1, 9]], [[0, 1, 1, 1], [100, 2, 2, 2]]):
            for width in (curves.WIDE, curves.NARROW):
                self.check(curves.curves_plot([curves.Curve("one", "ours", points)], "label", width=width), width)
        for points in ([], [[50, 0, 0, 0]], [["x"]], [None], [[50, math.nan, 1, 1]]):
            self.assertEqual(curves.curves_plot([curves.Curve("one", "ours", points)], "label"), "")

    def test_curves_differ_without_colour(self):
        looks = curves.looks([curves.Curve(str(at), "peer", []) for at in range(16)])
        self.assertEqual(len({(look.dash, look.marker) for look in looks.values()}), 16)

    def test_names_at_the_right_do_not_lie_on_each_other(self):
        places = curves.spread([100.0] * 16, 14, 338)
        self.assertGreaterEqual(min(b - a for a, b in zip(sorted(places), sorted(places)[1:])), 13)
        self.assertTrue(all(0 <= place <= 340 for place in places))


class Numbers(unittest.TestCase):
    def test_short(self):
        for value, text in ((0, "0"), (4.927, "4.93"), (148123, "148 k"), (999.9, "1.00 k"), (1.34e6, "1.34 M"), (0.0471, "0.0471"),
                            (None, "\u2013")):
            self.assertEqual(svg.short(value).replace("\u202f", " "), text)

    def test_milliseconds(self):
        for value, text in ((0.0412, "41.2 \u00b5s"), (1.5, "1.50 ms"), (2500, "2.50 s"), (0, "0 \u00b5s")):
            self.assertEqual(svg.milliseconds(value).replace("\u202f", " "), text)

    def test_steps_and_decades(self):
        self.assertEqual(svg.steps(10, 5), [0, 2, 4, 6, 8, 10])
        self.assertEqual(svg.steps(0, 5), [0])
        begin, end, ticks = svg.decades(210, 15754)
        self.assertAlmostEqual(begin, 200)
        self.assertAlmostEqual(end, 20000)
        self.assertTrue(all(begin <= tick * 1.001 and tick <= end * 1.001 for tick in ticks))

    def test_drain_s_losses(self):
        self.assertEqual(sections.lost({"stops": 4, "lost_new": 6, "lost_reuse": 2, "worst": 5}), (2, 0.5, 5))
        self.assertEqual(sections.lost({}), (None, None, None))

    def test_who_was_saturated(self):
        for server, load, who in ((1, 0.5, "server"), (0.5, 1, "load"), (0.99, 0.99, "server + load"), (0.1, 0.2, "neither")):
            self.assertEqual(records.saturated({"server_busy": server, "load_busy": load}), who)
        self.assertEqual(records.saturated({}), "")

    def test_a_table_has_every_key(self):
        part = records.Part("x", {"nginx": {"cpu_us": 5, "an_unknown_key": 7, "text": "no"}})
        self.assertEqual(tables.keys_of(part), ["cpu_us", "an_unknown_key"])


class Program(unittest.TestCase):
    def run_it(self, *arguments):
        return subprocess.run([sys.executable, BENCH / "report.py", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                              check=False)

    def test_it_writes_the_page(self):
        with tempfile.TemporaryDirectory() as folder:
            files = synthetic.write(folder, synthetic.everything())
            output = pathlib.Path(folder) / "deep" / "report.html"
            done = self.run_it(*files, "--output", output)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            Reader(output.read_text(encoding="utf-8"))

    def test_a_file_that_is_no_record_is_named_and_the_rest_shown(self):
        with tempfile.TemporaryDirectory() as folder:
            files = synthetic.write(folder, {"drain": synthetic.everything()["drain"]})
            broken = pathlib.Path(folder) / "broken-20260102-030405.json"
            output = pathlib.Path(folder) / "report.html"
            for text in ("{", "[]", "{}", '{"bench": 1}', "[" * 100000, '{"bench": "x", "summary": []}'):
                broken.write_text(text, encoding="utf-8")
                done = self.run_it(*files, broken, "--output", output)
                self.assertEqual(done.returncode, 1, text[:20])
                self.assertIn("broken-", done.stderr)
                self.assertIn("broken-", output.read_text(encoding="utf-8"))

    def test_the_newest_of_each_bench(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("idle-20260101-000000", "idle-20260201-000000", "drain_scale-20260101-000000", "drain-20250101-000000"):
                (pathlib.Path(folder) / f"{name}.json").write_text("{}", encoding="utf-8")
            (pathlib.Path(folder) / "other.json").write_text("{}", encoding="utf-8")
            self.assertEqual(sorted(path.stem for path in records.newest(folder)),
                             ["drain-20250101-000000", "drain_scale-20260101-000000", "idle-20260201-000000"])


if __name__ == "__main__":
    unittest.main()
