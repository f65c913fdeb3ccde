#!/usr/bin/env python3
"""GET /plaintext over kept-alive connections: the floors, lastcall on both backends, nginx; one CPU each."""

import sys

import throughput
import works


def main():
    parser = throughput.arguments_parser("plaintext", __doc__, "floors,ours,nginx")
    parser.add_argument("--pipeline", type=int, default=1, help="requests written at once on a connection")
    options = throughput.parse(parser)
    work = works.Work("plaintext", works.is_hello, pipeline=options.pipeline)
    results = throughput.run([work], options)
    summary = throughput.summarise(results[0].samples)
    print(f"{throughput.heading(options)}; {options.pipeline} deep")
    throughput.show(summary, [*throughput.COLUMNS, *throughput.TO_FLOOR, *throughput.TO_NGINX[1:], *throughput.BUSY])
    return throughput.finish("plaintext", options, results, [summary])


if __name__ == "__main__":
    sys.exit(main())
