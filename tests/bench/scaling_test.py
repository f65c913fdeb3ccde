"""What the scaling benches compute: lines, traces of memory, the hashes of steering, counts of system calls."""

import ipaddress
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

import call_counter
import lib
import memory_trace
import ours
import steering_model


def accesses_of(text):
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        return memory_trace.read(file.name, 0, len(text))


def turn(thread):
    return b"--1--   SCHED[%d]:  acquired lock (VG_(client_syscall)[async])\n" % thread


class Line(unittest.TestCase):
    def test_goes_through_points_of_a_line(self):
        self.assertEqual(ours.least_squares([(1, 5), (2, 7), (4, 11)]), (3.0, 2.0, 0.0))

    def test_tells_how_far_the_points_are(self):
        self.assertAlmostEqual(ours.least_squares([(0, 0), (1, 3), (2, 0)])[2], 2.0)

    def test_needs_two_sizes(self):
        with self.assertRaises(lib.Failure):
            ours.least_squares([(5, 1), (5, 2)])


class Trace(unittest.TestCase):
    def test_a_line_that_two_threads_store_to_is_found_by_its_neighbours(self):
        found = accesses_of(b"\n" + turn(2) + b"I  4000,3\n S 1000,8\n" + turn(3) + b"I  5000,3\n M 1038,8\nend")
        self.assertEqual(found.written_by_several(), [(0x1000 // 64, {2: b"4000", 3: b"5000"})])

    def test_a_store_over_the_edge_of_a_line_is_in_both(self):
        found = accesses_of(b"\n" + turn(2) + b"I  4000,3\n S 103c,8\n" + turn(3) + b" S 1040,4\nend")
        self.assertEqual([line for line, _ in found.written_by_several()], [0x1040 // 64])

    def test_loads_are_no_stores(self):
        found = accesses_of(b"\n" + turn(2) + b" S 1000,8\n" + turn(3) + b"I  5000,3\n L 1008,8\nend")
        self.assertEqual(found.written_by_several(), [])
        self.assertEqual([row[0] for row in found.read_by_others()], [0x1000 // 64])

    def test_what_comes_before_the_first_turn_is_nobodys(self):
        self.assertEqual(accesses_of(b"\n S 1000,8\n" + turn(3) + b" S 1000,8\nend").written_by_several(), [])


class Steering(unittest.TestCase):
    def test_a_cards_hash_is_that_of_its_specification(self):
        # The verification suite of receive side scaling, IPv4 with TCP.
        for source, port, server, server_port, expected in [
                ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x51CCC178),
                ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xC626B0EA)]:
            self.assertEqual(steering_model.toeplitz(int(ipaddress.ip_address(source)), port,
                                                     int(ipaddress.ip_address(server)), server_port), expected)

    def test_skew_of_even_and_of_all_on_one(self):
        self.assertEqual(steering_model.skew([5, 5, 5]), {"max_to_mean": 1.0, "cv": 0.0})
        self.assertEqual(steering_model.skew([8, 0])["max_to_mean"], 2.0)

    def test_chance_is_near_the_binomial(self):
        self.assertAlmostEqual(steering_model.chance(10_000, 64)["cv"], (63 / 10_000) ** 0.5, delta=0.005)


class Calls(unittest.TestCase):
    def counts(self, kind, text):
        with tempfile.TemporaryDirectory() as folder:
            counter = kind([1], folder)
            counter.file.write_text(text)
            return counter.counts()

    def test_of_perf(self):
        text = ("# started on Sun\n\n120,,raw_syscalls:sys_enter,100,100.00,,\n7,,syscalls:sys_enter_futex,100,100.00,,\n"
                "<not supported>,,syscalls:sys_enter_read,0,100.00,,\n")
        self.assertEqual(self.counts(call_counter.Perf, text), {"all": 120, "futex": 7})

    def test_of_strace(self):
        text = "    calls syscall\n--------- ------\n     1920 recvfrom\n       60 epoll_wait\n--------- ------\n     1980 total\n"
        self.assertEqual(self.counts(call_counter.Strace, text), {"recvfrom": 1920, "epoll_wait": 60, "all": 1980})


if __name__ == "__main__":
    unittest.main()
