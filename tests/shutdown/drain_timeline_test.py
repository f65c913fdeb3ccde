#!/usr/bin/env python3
"""Tests tools/drain-timeline; ctest runs it. The pictures are parsed, not looked at."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from xml.etree import ElementTree

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "drain-timeline")
SVG = "{http://www.w3.org/2000/svg}"


def report(**changes):
    made = {
        "reason": "SIGTERM", "io": "epoll", "exit_code": 2, "duration_ms": 2000,
        "phases": [{"name": "announcing", "start_ms": 0, "end_ms": 500},
                   {"name": "draining", "start_ms": 500, "end_ms": 1500},
                   {"name": "forcing", "start_ms": 1500, "end_ms": 1990},
                   {"name": "stopped", "start_ms": 1990, "end_ms": 2000}],
        "reactors": [], "aborted": [{"target": "/a"}, {"target": "/b"}], "late_requests": 1,
        "background": {"completed": 0, "failed": 0, "abandoned": 0}, "deadline_ms": 2000,
        "timeline": [{"at_ms": 0, "idle": 30, "active": 10, "aborted": 7, "completed": 100},
                     {"at_ms": 500, "idle": 20, "active": 10, "aborted": 7, "completed": 110},
                     {"at_ms": 1500, "idle": 0, "active": 2, "aborted": 7, "completed": 120},
                     {"at_ms": 2000, "idle": 0, "active": 0, "aborted": 9, "completed": 120}]}
    made.update(changes)
    return made


class DrainTimeline(unittest.TestCase):
    def run_tool(self, *arguments, given=None):
        return subprocess.run([sys.executable, TOOL, *arguments], input=given, capture_output=True, timeout=60)

    def run_with(self, text):
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
            file.flush()
            return self.run_tool(file.name)

    def draw(self, what):
        done = self.run_with(json.dumps(what))
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        root = ElementTree.fromstring(done.stdout)
        self.assertEqual(root.tag, SVG + "svg")
        return root

    def refused(self, text, *parts):
        done = self.run_with(text)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        message = done.stderr.decode()
        self.assertEqual(message.count("\n"), 1, message)
        for part in ("drain-timeline: ", *parts):
            self.assertIn(part, message)

    @staticmethod
    def of_class(root, name):
        return [element for element in root.iter() if element.get("class") == name]

    @staticmethod
    def points(element):
        return [tuple(map(float, point.split(","))) for point in element.get("points").split()]

    def texts(self, root, name):
        return [element.text for element in self.of_class(root, name)]

    def test_areas_line_bands_and_marks(self):
        root = self.draw(report())
        for name in ("active", "idle"):
            (area,) = self.of_class(root, name)
            self.assertEqual(len(self.points(area)), 8)  # four samples, there and back
        (line,) = self.of_class(root, "aborted")
        self.assertEqual(len(self.points(line)), 4)
        self.assertEqual(len(self.of_class(root, "phase")), 4)
        self.assertEqual(self.texts(root, "phase-name"), ["announcing", "draining", "forcing", "stopped"])
        self.assertEqual(self.texts(root, "mark-name"), ["exit 2 s", "deadline 2 s"])
        self.assertEqual(self.texts(root, "title"), ["Stop by SIGTERM on epoll: exit code 2 after 2 s"])
        self.assertEqual(self.texts(root, "facts"), ["2 exchanges cut off, 1 late request, 2 s of 2 s allowed"])
        everything = [element.text for element in root.iter(SVG + "text")]
        for text in ("connections", "time since the request to stop (s)", "active", "idle"):
            self.assertIn(text, everything)

    def test_idle_stands_on_active(self):
        root = self.draw(report())
        active = self.points(self.of_class(root, "active")[0])
        idle = self.points(self.of_class(root, "idle")[0])
        self.assertEqual(idle[4:], list(reversed(active[:4])))
        self.assertLess(idle[0][1], active[0][1])
        bottom = active[-1][1]
        self.assertAlmostEqual((bottom - idle[0][1]) / (bottom - active[0][1]), 4, delta=0.01)

    def test_aborted_counts_from_the_stop(self):
        line = self.points(self.of_class(self.draw(report()), "aborted")[0])
        active = self.points(self.of_class(self.draw(report()), "active")[0])
        self.assertEqual(line[0][1], active[-1][1])  # the axis
        self.assertEqual(line[3][1], active[2][1])   # two of them, as two are active at 1500 ms

    def test_nothing_aborted_is_no_line(self):
        samples = [dict(sample, aborted=7) for sample in report()["timeline"]]
        self.assertEqual(self.of_class(self.draw(report(timeline=samples)), "aborted"), [])

    def test_labels_do_not_overlap_and_stay_inside(self):
        for crowd in (report(), report(duration_ms=0, deadline_ms=0, phases=[
                {"name": name, "start_ms": 0, "end_ms": 0} for name in ("announcing", "draining", "stopped")])):
            root = self.draw(crowd)
            placed = []
            for element in self.of_class(root, "phase-name") + self.of_class(root, "mark-name"):
                half = len(element.text) * 3.6
                x, y = float(element.get("x")), float(element.get("y"))
                self.assertGreaterEqual(x - half, 0)
                self.assertLessEqual(x + half, 900)
                self.assertGreater(y, 62)  # below the legend
                for other_left, other_right, other_y in placed:
                    self.assertFalse(y == other_y and x - half < other_right and other_left < x + half)
                placed.append((x - half, x + half, y))

    def test_has_a_background_of_its_own(self):
        (background,) = self.of_class(self.draw(report()), "background")
        self.assertEqual((background.get("width"), background.get("height")), ("900", "460"))

    def test_a_far_deadline_is_told_but_not_drawn(self):
        root = self.draw(report(deadline_ms=25000))
        self.assertEqual(self.texts(root, "mark-name"), ["exit 2 s"])
        self.assertIn("of 25 s allowed", self.texts(root, "facts")[0])

    def test_a_report_without_deadline_or_phases_will_do(self):
        what = report(phases=[])
        del what["deadline_ms"], what["late_requests"], what["aborted"]
        self.assertEqual(self.texts(self.draw(what), "facts"), ["0 exchanges cut off, 0 late requests, 2 s"])

    def test_short_stops_have_milliseconds(self):
        samples = [dict(sample, at_ms=sample["at_ms"] // 100) for sample in report()["timeline"]]
        root = self.draw(report(timeline=samples, duration_ms=20, phases=[], deadline_ms=25000))
        self.assertIn("time since the request to stop (ms)", [text.text for text in root.iter(SVG + "text")])

    def test_one_sample_of_an_empty_server(self):
        self.draw(report(timeline=[{"at_ms": 0, "idle": 0, "active": 0, "aborted": 0, "completed": 0}],
                         duration_ms=0, phases=[], deadline_ms=0))

    def test_large_counts_have_few_whole_steps(self):
        for count in (1, 2, 9, 10, 1234, 10**9):
            samples = [{"at_ms": at, "idle": count, "active": 0, "aborted": 0} for at in (0, 10)]
            root = self.draw(report(timeline=samples))
            labels = [text.text for text in root.iter(SVG + "text") if text.get("text-anchor") == "end"]
            self.assertTrue(2 <= len(labels) <= 12, labels)
            self.assertEqual(len(labels), len(set(labels)))

    def test_text_is_escaped(self):
        root = self.draw(report(reason="<b>&\"'\u0000\u001b\ud800\U0001f600", io="</svg>"))
        self.assertIn("<b>&\"'\ufffd\ufffd\ufffd\U0001f600 on </svg>", self.texts(root, "title")[0])

    def test_standard_input(self):
        done = self.run_tool("-", given=json.dumps(report()).encode())
        self.assertEqual(done.returncode, 0)
        ElementTree.fromstring(done.stdout)

    def test_bad_input_is_told(self):
        done = self.run_tool("/nonexistent/report.json")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertEqual(done.stderr, b"drain-timeline: /nonexistent/report.json: No such file or directory\n")
        self.refused("", "not JSON")
        self.refused("{", "not JSON")
        self.refused("[" * 100_000, "not JSON")
        self.refused(b"\xff\xfe", "not UTF-8")
        self.refused("[]", "not an object")
        self.refused("{}", 'no "timeline"')
        self.refused(json.dumps(report(timeline=[])), "the timeline is empty")
        self.refused(json.dumps(report(timeline=None)), "not a list")
        self.refused(json.dumps(report(timeline=[1])), "not a list of objects")
        self.refused(json.dumps(report(timeline=[{"at_ms": 0}])), '"idle" of timeline entry 0')
        self.refused(json.dumps(report(timeline=list(reversed(report()["timeline"])))), "not in order")
        self.refused(json.dumps(report(phases=[{"name": "draining"}])), '"start_ms" of a phase')
        for odd in ("-1", "NaN", "Infinity", "1e300", "true", '"1"', "null"):
            self.refused(json.dumps(report(duration_ms="?")).replace('"?"', odd), "duration_ms")

    def test_usage(self):
        self.assertEqual(self.run_tool().returncode, 1)
        self.assertEqual(self.run_tool("a", "b").returncode, 1)
        asked = self.run_tool("--help")
        self.assertEqual((asked.returncode, asked.stderr), (0, b""))
        self.assertIn(b"drain-timeline REPORT.json", asked.stdout)


if __name__ == "__main__":
    unittest.main()
