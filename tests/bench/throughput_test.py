#!/usr/bin/env python3
"""What the throughput benches compute: wrk's report, ratios of the same round, medians; and that names and works agree."""

import argparse
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import lib  # noqa: E402
import servers  # noqa: E402
import throughput  # noqa: E402
import works  # noqa: E402

REPORT = """Running 4s test @ http://127.0.0.1:8080/plaintext
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   412.18us  199.81us   5.93ms   94.04%
    Req/Sec   157.86k     6.54k  165.75k    87.80%
  Latency Distribution
     50%  390.00us
     75%  447.00us
     90%  532.00us
     99%    1.25ms
  643722 requests in 4.10s, 77.35MB read
Requests/sec: 157003.17
Transfer/sec:     18.87MB
"""
ERRORS = """  Socket errors: connect 3, read 20, write 100, timeout 4000
  Non-2xx or 3xx responses: 50000
"""


class Report(unittest.TestCase):
    def test_figures(self):
        self.assertEqual(lib.parse_wrk(REPORT), {"requests": 643722, "per_second": 157003.17, "p50_ms": 0.39, "p99_ms": 1.25,
                                                 "errors": 0})

    def test_every_kind_of_error_counts(self):
        self.assertEqual(lib.parse_wrk(REPORT.replace("Requests/sec", ERRORS + "Requests/sec"))["errors"], 54123)

    def test_seconds_and_minutes(self):
        slow = lib.parse_wrk(REPORT.replace("390.00us", "2.50s").replace("1.25ms", "1.10m"))
        self.assertEqual((slow["p50_ms"], slow["p99_ms"]), (2500.0, 66000.0))

    def test_no_percentiles_of_pipelined_requests(self):
        deep = lib.parse_wrk(REPORT, pipeline=16)
        self.assertEqual((deep["p50_ms"], deep["p99_ms"], deep["requests"]), (None, None, 643722))

    def test_what_is_no_report(self):
        with self.assertRaisesRegex(lib.Failure, "unable to connect"):
            lib.parse_wrk("unable to connect to 127.0.0.1:1 Connection refused")


class Command(unittest.TestCase):
    def test_depth_of_pipelining_reaches_the_script(self):
        command = lib.wrk_command(8080, "/plaintext", 64, 4, 16)
        self.assertEqual(command[-4:-2], [str(lib.BENCH / "pipeline.lua"), "http://127.0.0.1:8080/plaintext"])
        self.assertEqual(command[-2:], ["--", "16"])

    def test_parts_of_seconds_are_rounded_up(self):
        self.assertIn("-d1s", lib.wrk_command(8080, "/", 1, 0.2))

    def test_headers(self):
        command = lib.wrk_command(8080, "/", 1, 1, headers=["Connection: close"])
        self.assertEqual(command[command.index("-H") + 1], "Connection: close")


def row(round_number, cpu_us, per_second=1000.0, errors=0, **more):
    return {"round": round_number, "cpu_us": cpu_us, "per_second": per_second, "errors": errors, "user_us": 0.5, "system_us": 1.0,
            "p50_ms": None, "p99_ms": None, "rss_bytes": 1, "server_busy": 0.99, "load_busy": 0.5, **more}


class Summary(unittest.TestCase):
    def setUp(self):
        # The machine is half as fast in round 1: figures of one round belong together.
        self.samples = {
            "floor_epoll": [row(0, 4.0), row(1, 8.0), row(2, 4.0)],
            "floor_uring": [row(0, 5.0), row(1, 7.0), row(2, 5.0)],
            "lastcall_epoll": [row(0, 5.0, 900.0), row(1, 10.0, 600.0, errors=2), row(2, 5.0, 1100.0)],
            "nginx": [row(0, 10.0, 500.0), row(1, 20.0, 300.0)],
        }

    def test_ratio_is_of_the_same_round(self):
        line = throughput.summarise(self.samples)["lastcall_epoll"]
        self.assertEqual(line["cpu_ratio"], 1.25)
        self.assertEqual(line["cpu_us"], 5.0)

    def test_the_cheaper_floor_of_the_round(self):
        line = throughput.summarise(self.samples, ("floor_epoll", "floor_uring"))["lastcall_epoll"]
        self.assertEqual(line["cpu_ratio"], 1.25)  # 1.25, 10 / 7, 1.25
        self.assertEqual(throughput.least(self.samples, ("floor_epoll", "floor_uring"), "cpu_us"), {0: 4.0, 1: 7.0, 2: 4.0})

    def test_a_round_without_the_base_is_left_out(self):
        line = throughput.summarise(self.samples)["lastcall_epoll"]
        self.assertEqual(line["work_per_cpu_to_nginx"], 2.0)
        self.assertEqual(line["rate_to_nginx"], 1.9)  # of 900/500 and 600/300

    def test_no_base_no_ratio(self):
        line = throughput.summarise({"lastcall_epoll": self.samples["lastcall_epoll"]})["lastcall_epoll"]
        self.assertEqual([line[key] for key in ("cpu_ratio", "rate_ratio", "rate_to_nginx", "work_per_cpu_to_nginx")], [None] * 4)

    def test_errors_and_spread(self):
        line = throughput.summarise(self.samples)["lastcall_epoll"]
        self.assertEqual((line["errors"], line["spread"], line["p99_ms"]), (2, 500 / 900, None))

    def test_saturated(self):
        line = throughput.summarise(self.samples)["nginx"]
        self.assertEqual(throughput.saturated(line), "server")
        self.assertEqual(throughput.saturated({**line, "load_busy": 0.96}), "server+load")
        self.assertEqual(throughput.saturated({**line, "server_busy": 0.5}), "neither")


class Names(unittest.TestCase):
    def test_groups_keep_the_order_and_no_name_comes_twice(self):
        self.assertEqual(throughput.names_of("ours,nginx,lastcall_epoll"), ["lastcall_epoll", "lastcall_io_uring", "nginx"])
        self.assertEqual(throughput.names_of("all"), list(servers.NAMES))

    def test_unknown(self):
        with self.assertRaisesRegex(argparse.ArgumentTypeError, "no server apache"):
            throughput.names_of("nginx,apache")

    def test_every_peer_can_be_started_and_every_work_has_a_path(self):
        for name in servers.NAMES:
            for work in servers.WORKS:
                self.assertIsInstance(servers.supports(name, work), bool)
                self.assertTrue(servers.path(name, work).startswith("/"))
        self.assertFalse(servers.supports("floor_epoll", "json"))
        self.assertTrue(servers.supports("floor_epoll", "churn"))
        self.assertFalse(servers.supports("floor_uring", "churn"))
        self.assertTrue(servers.supports("lastcall_epoll", "upload"))

    def test_browser_sends_twenty_fields(self):
        fields = {header.split(": ")[0] for header in works.BROWSER_HEADERS} | {"Host"}
        self.assertEqual((len(fields), len(works.BROWSER_HEADERS)), (20, 19))


class Answers(unittest.TestCase):
    def test_a_wrong_answer_is_not_taken(self):
        self.assertTrue(works.is_hello(200, b"Hello, World!"))
        self.assertFalse(works.is_hello(200, b"Hello"))
        self.assertTrue(works.USERS.check(200, b'{ "id": "42" }'))
        self.assertFalse(works.USERS.check(200, b'{"id":"4"}'))
        self.assertFalse(works.JSON.check(500, b'{"message":"Hello, World!"}'))
        self.assertFalse(works.JSON.check(200, b"no JSON"))
        self.assertFalse(works.UPLOAD.check(200, b'{"bytes":9999999}'))
        self.assertTrue(works.UPLOAD.check(200, b'{"bytes":10000000}'))


class EntryPoint(unittest.TestCase):
    def test_lists_benches_and_no_libraries(self):
        listed = subprocess.run([ROOT / "tools" / "bench"], stderr=subprocess.PIPE, text=True, check=False).stderr
        names = {line.split()[0] for line in listed.splitlines()[1:]}
        self.assertLessEqual({"plaintext", "pipeline", "churn", "json", "bodies", "drain"}, names)
        self.assertFalse({"lib", "servers", "throughput", "works", "json_routes", "wrk"} & names)


if __name__ == "__main__":
    unittest.main()
