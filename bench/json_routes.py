#!/usr/bin/env python3
"""JSON, a route with a parameter, a browser's headers: each against nginx, and lastcall's lead beside that at plaintext."""

import sys

import throughput
import works

WORKS = [works.PLAINTEXT, works.JSON, works.USERS, works.HEADERS]


def against_plaintext(summary, plaintext):
    """Each server's work per CPU second to nginx's, as a part of what that is at plaintext. 1 or more: the lead holds."""
    for name, line in summary.items():
        lead, base = line["work_per_cpu_to_nginx"], plaintext.get(name, {}).get("work_per_cpu_to_nginx")
        line["lead_to_plaintext"] = lead / base if lead and base else None


def main():
    options = throughput.parse(throughput.arguments_parser("json", __doc__, "floors,ours,nginx"))
    results = throughput.run(WORKS, options)
    summaries = [throughput.summarise(one.samples) for one in results]
    columns = [*throughput.COLUMNS, *throughput.TO_NGINX,
               ("lead/plaintext", 15, lambda line: throughput.number(line["lead_to_plaintext"])), *throughput.BUSY]
    print(throughput.heading(options))
    for one, summary in zip(results, summaries):
        against_plaintext(summary, summaries[0])
        print(f"\nGET {one.work.path}" + (f" with {len(one.work.headers) + 1} header fields" if one.work.headers else ""))
        throughput.show(summary, columns)
    fixed = [name for name in throughput.servers.FIXED_JSON if name in options.only]
    if fixed:
        print(f"\n/json is a fixed body in the configuration of {', '.join(fixed)}; the others serialise it for each request")
    return throughput.finish("json", options, results, summaries)


if __name__ == "__main__":
    sys.exit(main())
