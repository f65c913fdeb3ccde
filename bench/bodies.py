#!/usr/bin/env python3
"""Answers of 1 MB and uploads of 10 MB: CPU time of each and bytes per CPU second, lastcall beside nginx and others."""

import sys

import throughput
import works

WORKS = [works.DOWNLOAD, works.UPLOAD]


def add_bytes(work, summary):
    for line in summary.values():
        size = work.answer_bytes or work.body_bytes
        line["gigabytes_per_second"] = line["per_second"] * size / 1e9
        line["gigabytes_per_cpu_second"] = size / 1e3 / line["cpu_us"] if line["cpu_us"] else None


def main():
    options = throughput.parse(throughput.arguments_parser("bodies", __doc__, "ours,nginx", connections=8))
    results = throughput.run(WORKS, options)
    summaries = [throughput.summarise(one.samples) for one in results]
    columns = [*throughput.COLUMNS,
               ("GB/s", 7, lambda line: throughput.number(line["gigabytes_per_second"])),
               ("GB/CPU s", 10, lambda line: throughput.number(line["gigabytes_per_cpu_second"])),
               throughput.TO_NGINX[1], *throughput.BUSY]
    print(throughput.heading(options))
    for one, summary in zip(results, summaries):
        add_bytes(one.work, summary)
        size = one.work.answer_bytes or one.work.body_bytes
        print(f"\n{'GET' if one.work.answer_bytes else 'POST'} {one.work.path}: {size / 1e6:g} MB each")
        throughput.show(summary, columns)
    return throughput.finish("bodies", options, results, summaries)


if __name__ == "__main__":
    sys.exit(main())
