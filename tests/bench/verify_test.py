#!/usr/bin/env python3
"""What a server is asked before it is measured turns down who does not do the work. verify_test.py BUILD-FOLDER"""

import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import lib  # noqa: E402
import works  # noqa: E402


class Verify(unittest.TestCase):
    """A floor answers everything with the same bytes, and keeps or closes connections as it was started."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="lastcall-bench-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def floor(self, *options):
        server = lib.floor("floor_epoll", self.folder, *options)
        server.__enter__()
        self.addCleanup(server.stop)
        return server

    def test_right_answers(self):
        floor = self.floor()
        for work in (works.PLAINTEXT, works.HEADERS, works.PIPELINE):
            work.verify(floor)
        works.CHURN.verify(self.floor("--close"))

    def test_wrong_body(self):
        floor = self.floor()
        for work in (works.JSON, works.USERS, works.DOWNLOAD):
            with self.assertRaisesRegex(lib.Failure, "answers .* with 200"):
                work.verify(floor)

    def test_keeps_what_it_should_close(self):
        with self.assertRaisesRegex(lib.Failure, "does not close"):
            works.CHURN.verify(self.floor())

    def test_closes_what_it_should_keep(self):
        with self.assertRaisesRegex(lib.Failure, "does not keep"):
            works.PLAINTEXT.verify(self.floor("--close"))

    def test_answers_one_of_many(self):
        with self.assertRaisesRegex(lib.Failure, "of 2000 pipelined"):  # a floor knows 1024 answers at once
            works.verify_pipelined(self.floor("--close"), "/plaintext", 2000)

    def test_has_ended(self):
        floor = self.floor()
        floor.stop()
        with self.assertRaisesRegex(lib.Failure, "ended with"):
            floor.cpu()
        with self.assertRaises(lib.Failure):
            works.PLAINTEXT.verify(floor)

    def test_does_not_outlive_a_bench_that_is_killed(self):
        bench = (f"import os, sys; sys.path.insert(0, {str(ROOT / 'bench')!r}); import lib; "
                 f"lib.RELEASE = lib.pathlib.Path({str(lib.RELEASE)!r}); server = lib.floor('floor_epoll', {self.folder!r}); "
                 "server.__enter__(); print(server.process.pid, flush=True); os.kill(os.getpid(), 9)")
        killed = subprocess.run([sys.executable, "-c", bench], stdout=subprocess.PIPE, text=True, check=False)
        left = pathlib.Path("/proc", killed.stdout.strip(), "cmdline")
        self.assertEqual(killed.returncode, -9)
        deadline = time.monotonic() + 5
        while left.exists() and left.read_bytes() and time.monotonic() < deadline:  # empty: ended, and nobody has waited for it
            time.sleep(0.01)
        self.assertFalse(left.exists() and left.read_bytes())


if __name__ == "__main__":
    lib.RELEASE = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
