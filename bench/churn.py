#!/usr/bin/env python3
"""A connection for each request (Connection: close): the epoll floor, lastcall, nginx and others, per CPU second of the server."""

import sys

import throughput
import works


def main():
    options = throughput.parse(throughput.arguments_parser("churn", __doc__, "floor_epoll,ours,nginx"))
    results = throughput.run([works.CHURN], options)
    summary = throughput.summarise(results[0].samples)
    print(f"{throughput.heading(options)}; a connection per request")
    throughput.show(summary, [*throughput.COLUMNS, throughput.TO_FLOOR[1], *throughput.TO_NGINX, *throughput.BUSY])
    return throughput.finish("churn", options, results, [summary])


if __name__ == "__main__":
    sys.exit(main())
