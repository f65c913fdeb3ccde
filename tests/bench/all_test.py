#!/usr/bin/env python3
"""Tests bench/all.py with little benches of its own, and the arithmetic of latency.py and idle.py; ctest runs it."""
import contextlib
import importlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

BENCH = pathlib.Path(__file__).resolve().parent.parent.parent / "bench"
sys.path.insert(0, str(BENCH))

import latency  # noqa: E402
import lib  # noqa: E402
from clients import holder, idle  # noqa: E402

every = importlib.import_module("all")

WRITES = """import pathlib, sys
pathlib.Path({folder!r}, "good-20260102-030405.json").write_text({record!r})
print("arguments", sys.argv[1:])
"""
RECORD = json.dumps({"bench": "good", "summary": {"lastcall_epoll": {"cpu_us": 5.0}}})


class All(unittest.TestCase):
    def run_all(self, benches, *arguments):
        """Exit code of main() and the last lines of each bench; the records lie in self.folder."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            for name, text in benches.items():
                pathlib.Path(folder, f"{name}.py").write_text(text.format(folder=folder, record=RECORD), encoding="utf-8")
            pathlib.Path(folder, "report.py").write_text("import sys\nsys.exit(0 if sys.argv[1:] else 9)\n", encoding="utf-8")
            table = {name: (f"{name}.py", ["--fast"]) for name in benches}
            for target, attribute, value in ((every, "BENCHES", table), (every, "FOLDER", pathlib.Path(folder)), (every, "LIMIT_S", 1),
                                             (lib, "BENCH", pathlib.Path(folder)), (sys, "argv", ["all", *arguments])):
                stack.enter_context(mock.patch.object(target, attribute, value))
            said = stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            return every.main(), said.getvalue()

    def test_a_bench_that_fails_stops_nobody(self):
        code, said = self.run_all({"bad": "import sys\nsys.exit(3)\n", "good": WRITES})
        self.assertEqual(code, 1)
        self.assertRegex(said, r"bad .*FAILED: exit code 3")
        self.assertRegex(said, r"good .* ok")
        self.assertRegex(said, r"report .* ok")

    def test_all_well(self):
        self.assertEqual(self.run_all({"good": WRITES})[0], 0)

    def test_a_bench_that_leaves_no_record_has_failed(self):
        code, said = self.run_all({"silent": "print('nothing')\n"})
        self.assertEqual(code, 1)
        self.assertIn("left no record", said)

    def test_a_bench_that_never_ends_is_stopped(self):
        code, said = self.run_all({"endless": "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: pass\n", "good": WRITES})
        self.assertEqual(code, 1)
        self.assertIn("had to be stopped", said)
        self.assertRegex(said, r"good .* ok")

    def test_quick_and_servers_are_handed_on(self):
        with mock.patch.object(sys, "argv", ["all", "--quick", "--servers", "ours,go"]):
            options = every.arguments()
        for name in every.BENCHES:
            command = every.command_of(name, options)
            self.assertTrue(pathlib.Path(command[1]).exists(), command[1])
            self.assertEqual(command[-2:], ["--only", "lastcall_epoll,lastcall_io_uring,go"])
        self.assertIn("--rounds", every.command_of("idle", options))
        with mock.patch.object(sys, "argv", ["all", "--servers", "all"]):
            self.assertNotIn("bun", every.command_of("drain", every.arguments())[-1].split(","))


class Latency(unittest.TestCase):
    def test_percentiles_are_of_the_answers_that_came(self):
        ordered = list(range(1, 101))
        for percent, value in ((0, 1), (50, 50), (90, 90), (99, 99), (99.9, 100), (100, 100)):
            self.assertEqual(latency.percentile(ordered, percent), value)
        self.assertIsNone(latency.percentile([], 50))

    def test_the_curve_ends_where_answers_are_few(self):
        found = latency.digest([float(value) for value in range(1, 1001)])
        self.assertEqual(found["curve"][-1], [99, 990.0])
        self.assertEqual((found["p50_ms"], found["max_ms"], found["answers"]), (500.0, 1000.0, 1000))
        self.assertEqual(latency.digest([])["curve"], [])

    def test_the_warm_up_does_not_count(self):
        with tempfile.NamedTemporaryFile("w", suffix=".samples") as file:
            file.write("100 9000.0 200\n999999 8000.0 200\n1000000 300.5 200\n1500000 100.0 200\n")
            file.flush()
            self.assertEqual(latency.read_samples(file.name, 1), [0.1, 0.3005])

    def test_a_curve_of_several_rounds(self):
        rows = [{"curve": [[50, 1.0], [90, 5.0]]}, {"curve": [[50, 3.0]]}, {"curve": [[50, 2.0], [90, 6.0]]}]
        self.assertEqual(latency.curve(rows), [[50, 2.0, 1.0, 3.0]])

    def test_the_rate_can_be_written_down(self):
        for rate, short in ((31987.3, 31000), (990.5, 990), (7.9, 7), (123456, 120000)):
            self.assertEqual(latency.two_digits(rate), short)


class Idle(unittest.TestCase):
    def test_growth_counts_objects_of_each_connection_alone(self):
        before = {"TCP": (100, 2000), "filp": (500, 200), "dentry": (900, 192), "proc_inode_cache": (10, 700)}
        after = {"TCP": (2100, 2000), "filp": (1500, 200), "dentry": (1100, 192), "proc_inode_cache": (5000, 700), "io_kiocb": (1000, 256)}
        self.assertEqual(idle.slab_growth(before, after, 1000), {"TCP": 4000, "filp": 200, "io_kiocb": 256})
        own, both = idle.kernel_bytes(before, after, 1000, {"TCP": 2000, "filp": 100})
        self.assertEqual((own, sum(both.values())), (4456 - 2100, 4456))

    def test_nobody_but_root_reads_the_kernel_s_memory(self):
        self.assertEqual(idle.kernel_bytes(None, None, 10, None), (None, None))

    def test_the_holder_wants_an_answer_and_a_kept_connection(self):
        class Peer:
            def __init__(self, *answers):
                self.answers = list(answers)

            def sendall(self, _):
                pass

            def recv(self, _):
                return self.answers.pop(0) if self.answers else b""
        holder.ask(Peer(b"HTTP/1.1 200 OK\r\nContent-Le", b"ngth: 5\r\n\r\nhel", b"lo"))
        holder.ask(Peer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"0\r\n\r\n"))
        for answers in ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"], [b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"],
                        [b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"], []):
            with self.assertRaises(OSError):
                holder.ask(Peer(*answers))


if __name__ == "__main__":
    unittest.main()
