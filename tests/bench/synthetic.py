"""Records as the benches write them, with invented figures; also a program that writes one of each into a folder."""

import json
import pathlib
import random
import sys

FLOORS = ["floor_epoll", "floor_uring"]
OURS = ["lastcall_epoll", "lastcall_io_uring"]
PEERS = ["nginx", "haproxy", "h2o", "lighttpd", "caddy", "go", "node", "bun", "libmicrohttpd", "beast", "pistache", "httplib"]
ENVIRONMENT = {"time": "2026-01-02T03:04:05Z", "kernel": "6.1.0-invented x86_64", "cpu": "An Invented CPU", "cpus": 2,
               "load_average": [0.1, 0.2, 0.3], "compiler": "c++ 12.2.0", "wrk": "wrk 4.1.0", "nginx": "nginx/1.22.1",
               "lastcall": "lastcall 0.1.0", "revision": "0123456789abcdef", "uncommitted_changes": False}
PERCENTS = [0, 50, 90, 99, 99.9, 99.99]


def around(value, chance):
    return value * chance.uniform(0.96, 1.04)


def throughput_work(servers, chance):
    summary, samples = {}, {}
    for at, name in enumerate(servers):
        cpu = 4.6 + at * 0.35 + (at > 8) * 6
        rows = [{"per_second": around(9e5 / cpu, chance), "cpu_us": around(cpu, chance), "user_us": around(cpu * 0.2, chance),
                 "p99_ms": around(1.0, chance), "errors": 0, "server_busy": 1.0, "load_busy": 0.7, "round": number,
                 "server_command": ["taskset", "-c", "0", name], "load_command": ["taskset", "-c", "1", "wrk"]} for number in range(4)]
        samples[name] = rows
        summary[name] = {**rows[0], "system_us": cpu * 0.8, "rss_bytes": 4e6 * (at + 1), "spread": 0.08,
                         "work_per_cpu_to_nginx": 5.4 / cpu, "load_busy": 0.99 if at < 2 else 0.7, "server_busy": 0.8 if at < 2 else 1.0}
        for key in ("round", "server_command", "load_command"):
            del summary[name][key]
    return {"summary": summary, "samples": samples, "failed": {}, "skipped": {}}


def throughput(bench, servers, works=(), chance=random.Random(1)):
    parts = {work: throughput_work(servers, chance) for work in works or [bench]}
    record = {"bench": bench, "options": {"connections": 64, "seconds": 4, "rounds": 4}, "environment": ENVIRONMENT,
              "versions": {name: f"{name} 1.2" for name in servers}, "works": parts}
    return record if works else record | parts[bench]


def idle(servers, chance=random.Random(2)):
    each = dict(zip(servers, [220, 240, 515, 1389, 1061, 700, 12000, 15754, 3000, 1272, 2500, 900, 9000]))
    samples = {name: [{"bytes": around(value, chance), "silent_bytes": value * 0.9, "kernel_bytes": around(4000, chance),
                       "cpu_ratio": chance.uniform(0.99, 1.05), "round": number} for number in range(3)]
               for name, value in each.items()}
    summary = {name: {**rows[0], "rss_before_bytes": 4e6, "rss_bytes": 9e6, "errors": 0, "held": 8000, "server_busy": 1.0,
                      "load_busy": 0.6} for name, rows in samples.items()}
    return {"bench": "idle", "options": {"idle": 8000, "rounds": 3}, "environment": ENVIRONMENT, "summary": summary,
            "samples": samples, "failed": {"httplib": "keeps a thread for each connection, and has 256"}}


def latency(servers, chance=random.Random(3)):
    summary = {}
    for at, name in enumerate(servers):
        base = 0.04 + at * 0.01
        middle = [base * (1 + 3 * depth + depth ** 3) for depth in range(len(PERCENTS))]
        summary[name] = {"p50_ms": middle[1], "p90_ms": middle[2], "p99_ms": middle[3], "p99.9_ms": middle[4], "max_ms": middle[5],
                         "per_second": 25000.0, "errors": 0, "server_busy": 0.5, "load_busy": 0.6,
                         "curve": [[percent, value, value * chance.uniform(0.7, 1), value * chance.uniform(1, 1.6)]
                                   for percent, value in zip(PERCENTS, middle)]}
    samples = {name: [{key: value for key, value in line.items() if key != "curve"}] for name, line in summary.items()}
    return {"bench": "latency", "options": {"connections": 64}, "environment": ENVIRONMENT, "rate": 25000.0, "summary": summary,
            "samples": samples, "failed": {}}


def drain(servers, chance=random.Random(4)):
    summary, stops = {}, {}
    for at, name in enumerate(servers):
        lost = [0] * 20 if name in OURS else [chance.randint(0, 10 * at) for _ in range(20)]
        stops[name] = [{"stop": number, "exit_ms": 3.0 + at, "load": {"lost": count}} for number, count in enumerate(lost)]
        summary[name] = {"lost_new": sum(lost) // 3, "lost_reuse": sum(lost) - sum(lost) // 3, "truncated": 0, "malformed": 0,
                         "stuck": 0, "ok": 50000, "http_5xx": 0, "refused": 10, "dropped": 0, "stops": 20, "worst": max(lost),
                         "lossy_stops": sum(map(bool, lost)), "killed": 0, "exit_median_ms": 3.0 + at, "exit_max_ms": 9.0 + at}
    return {"options": {"stops": 20}, "environment": ENVIRONMENT, "summary": summary, "stops": stops,
            "skipped": {"caddy": "not installed"}}


def everything():
    """{bench: record}."""
    all_servers = [*FLOORS, *OURS, *PEERS]
    return {"plaintext": throughput("plaintext", all_servers), "pipeline": throughput("pipeline", all_servers[:9]),
            "churn": throughput("churn", all_servers[2:]),
            "json": throughput("json", all_servers[2:], ["plaintext", "json", "users", "headers"]),
            "bodies": throughput("bodies", all_servers[2:8], ["download", "upload"]),
            "idle": idle(all_servers[2:-1]), "latency": latency(all_servers[:10]), "drain": drain([*PEERS[:3], *OURS])}


def write(folder, records):
    """The files, as lib.save names them."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for bench, record in records.items():
        files.append(folder / f"{bench}-20260102-030405.json")
        files[-1].write_text(json.dumps(record), encoding="utf-8")
    return files


if __name__ == "__main__":
    write(sys.argv[1], everything())
