#!/usr/bin/env python3
"""Sixteen requests written at once: the floors, lastcall, and every peer that answers them in order on one connection."""

import sys

import throughput
import works


def main():
    options = throughput.parse(throughput.arguments_parser("pipeline", __doc__, "all"))
    results = throughput.run([works.PIPELINE], options)
    summary = throughput.summarise(results[0].samples, ("floor_epoll", "floor_uring"))
    print(f"{throughput.heading(options)}; {works.PIPELINE.pipeline} deep; ratios to the cheaper floor of the round")
    throughput.show(summary, [*throughput.COLUMNS, *throughput.TO_FLOOR, *throughput.TO_NGINX[1:], *throughput.BUSY])
    return throughput.finish("pipeline", options, results, [summary])


if __name__ == "__main__":
    sys.exit(main())
