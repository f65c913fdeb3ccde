#!/usr/bin/env python3
"""Instructions of a warm request, without the kernel's, next to their budget: the same figures in every run."""

import argparse
import collections
import concurrent.futures
import json
import linecache
import os
import pathlib
import shutil
import subprocess
import sys

import callgrind
import lib

MANNERS = ("epoll", "io_uring")
REAL = ("real-epoll", "real-io_uring")  # have no budget: what the kernel does at once is its own affair
SIMULATED_ONLY = ("churn", "clock")
BUDGET = lib.BENCH / "instructions.json"
SKIPPED = 77  # as ctest's SKIP_RETURN_CODE has it
LOOSE_PERCENT = 5  # so far below its budget a figure says that the budget should be lowered


def list_works(program):
    """Requests of one round, by work."""
    done = subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True, check=True)
    return {name: int(count) for name, count in (line.split() for line in done.stdout.splitlines())}


def measure(program, work, manner, rounds, requests):
    """Instructions per request: of all, by function and by line; what marks the counted part is taken off."""
    counts = callgrind.count([program, work, manner, rounds])
    functions = collections.Counter()
    for name, instructions in counts.functions.items():
        if "bench::Counting::" not in name:
            functions[callgrind.short(name)] += instructions / requests
    lines = {at: instructions / requests for at, instructions in counts.lines.items() if "counted_sim" not in at[0]}
    return {"work": work, "manner": manner, "instructions": sum(functions.values()), "functions": functions,
            "lines": lines}


def measure_all(program, works, manners, rounds):
    """{work: {manner: sample}}; as many at once as there are CPUs, for nothing here depends on time."""
    found = {work: {} for work in works}
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        tasks = []
        for work, per_round in works.items():
            own_rounds = max(1, -(-rounds // per_round))
            tasks += [pool.submit(measure, program, work, manner, own_rounds, own_rounds * per_round)
                      for manner in manners if manner not in REAL or work not in SIMULATED_ONLY]
        for task in tasks:
            sample = task.result()
            found[sample["work"]][sample["manner"]] = sample
    return found


def judge(found, budget, complete):
    """What is wrong, and what could be better, each as a line that a person understands."""
    wrong, better = [], []
    tolerance = budget["tolerance_percent"]
    for work, samples in found.items():
        for manner, sample in samples.items():
            if manner in REAL:
                continue
            allowed = budget["per_request"].get(work, {}).get(manner)
            if allowed is None:
                wrong.append(f"{work} as {manner} has no budget")
                continue
            percent = 100 * (sample["instructions"] / allowed - 1)
            text = f"{work} as {manner}: {sample['instructions']:.0f} instructions, {percent:+.1f} % of {allowed}"
            if percent > tolerance:
                wrong.append(f"{text}; {tolerance} % are allowed")
            elif percent < -LOOSE_PERCENT:
                better.append(f"{text}: lower the budget, by --update")
    if complete:
        wrong += [f"{work} has a budget, but is no work" for work in budget["per_request"] if work not in found]
    return wrong, better


def print_table(found, manners, budget):
    print(f"{'instructions a request':<24}" +
          "".join(f"{manner:>14}" + ("" if manner in REAL else f"{'budget':>9}{'':>8}") for manner in manners))
    for work, samples in found.items():
        row = f"{work:<24}"
        for manner in manners:
            instructions = samples[manner]["instructions"] if manner in samples else None
            allowed = budget["per_request"].get(work, {}).get(manner)
            percent = f"{100 * (instructions / allowed - 1):+.1f} %" if allowed else ""
            row += f"{instructions:>14.1f}" if instructions else f"{'-':>14}"
            row += "" if manner in REAL else f"{allowed or '-':>9}{percent:>8}"
        print(row)


def print_parts(title, samples, key, most, text):
    """The dearest functions or lines of a work, with a column for each manner."""
    dearest = collections.Counter()
    for sample in samples.values():
        for part, instructions in sample[key].items():
            dearest[part] = max(dearest[part], instructions)
    print(f"\n{title:<24}" + "".join(f"{manner:>14}" for manner in samples))
    for part, _ in dearest.most_common(most):
        columns = "".join(f"{sample[key].get(part, 0):>14.1f}" for sample in samples.values())
        print(f"{'':<24}{columns}  {text(part)}"[:160])


def place(part):
    """The line with its text; the build folder's links lead to the sources."""
    file, line = part
    if line == 0:
        return callgrind.short(file)
    path = pathlib.Path(file).resolve()
    if not path.is_relative_to(lib.ROOT):
        return f"{path.name}:{line}"
    return f"{path.relative_to(lib.ROOT)}:{line}   {linecache.getline(str(path), line).strip()}"


def update(found, path, budget):
    for work, samples in found.items():
        for manner, sample in samples.items():
            if manner not in REAL:
                budget["per_request"].setdefault(work, {})[manner] = round(sample["instructions"])
    rows = ",\n".join(f'    {json.dumps(work)}: {json.dumps(row)}' for work, row in budget["per_request"].items())
    tolerance = budget["tolerance_percent"]
    path.write_text(f'{{\n  "tolerance_percent": {tolerance},\n  "per_request": {{\n{rows}\n  }}\n}}\n', encoding="utf-8")


def self_test(program, budget):
    """Problems: 100 instructions above its budget a plaintext request must fail, and far below it be noticed."""
    found = measure_all(program, {"plaintext": list_works(program)["plaintext"]}, MANNERS[:1], 512)
    counted = found["plaintext"]["epoll"]["instructions"]
    for added, expected in ((100, (1, 0)), (0, (0, 0)), (-counted / 10, (0, 1))):
        allowed = {**budget, "per_request": {"plaintext": {"epoll": counted - added}}}
        wrong, better = judge(found, allowed, complete=True)
        if (len(wrong), len(better)) != expected:
            yield f"{added:+.0f} instructions: {wrong} {better}"
    if counted < 100:
        yield f"a request of {counted} instructions: nothing was counted"
    if not judge(found, {**budget, "per_request": {}}, complete=True)[0]:
        yield "a work without a budget is not noticed"


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tools/bench instructions", description=__doc__)
    parser.add_argument("--only", help="works, with commas between; else all")
    parser.add_argument("--as", dest="manners", default=",".join(MANNERS),
                        help="epoll,io_uring: how the simulated kernel behaves (sends end at once, or are pending); "
                             "real-epoll,real-io_uring: the real backends with what they execute themselves")
    parser.add_argument("--requests", type=int, default=2048, help="of each work, after a warm-up (2048)")
    parser.add_argument("--functions", type=int, default=10, help="of each work to name (10)")
    parser.add_argument("--lines", type=int, default=0, help="of the sources, of each work, to name (0)")
    parser.add_argument("--budget", type=pathlib.Path, default=BUDGET)
    parser.add_argument("--update", action="store_true", help="make the budget of what is measured now")
    parser.add_argument("--check", action="store_true", help="little output, no raw record; fails above the budget")
    parser.add_argument("--self-test", action="store_true", help="show that the check catches 100 instructions")
    parser.add_argument("--build", type=pathlib.Path, default=lib.RELEASE)
    return parser.parse_args()


def choose(program, options):
    works = list_works(program)
    chosen = options.only.split(",") if options.only else list(works)
    manners = options.manners.split(",")
    for name, known in [(name, works) for name in chosen] + [(name, MANNERS + REAL) for name in manners]:
        if name not in known:
            raise lib.Failure(f"no {name}; there are: {' '.join(known)}")
    return {name: works[name] for name in chosen}, manners


def run(program, options):
    works, manners = choose(program, options)
    budget = {"tolerance_percent": 3, "per_request": {}}
    if options.budget.exists() and not (options.update and not options.only):  # else made anew, in order
        budget = json.loads(options.budget.read_text(encoding="utf-8"))
    if options.self_test:
        problems = list(self_test(program, budget))
        print("\n".join(problems) or "the check catches 100 instructions more")
        return 1 if problems else 0
    found = measure_all(program, works, manners, options.requests)
    about = subprocess.run([program, "--about"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    print(f"compiled by {about}; {lib.first_line('valgrind', '--version')}")
    if options.update:
        update(found, options.budget, budget)
    print_table(found, manners, budget)
    wrong, better = judge(found, budget, complete=not options.only)
    for work, samples in found.items():
        if samples and (not options.check or any(line.startswith(f"{work} ") for line in wrong)):
            if options.functions:
                print_parts(work, samples, "functions", options.functions, str)
            if options.lines:
                print_parts(work, samples, "lines", options.lines, place)
    if not options.check:
        print(f"\nraw record: {save(found, budget, about, options)}")
    print("".join(f"\n{line}" for line in better + wrong))
    return 1 if wrong else 0


def save(found, budget, about, options):
    samples = {work: [{"round": 0, "manner": manner, "instructions": sample["instructions"],
                       "functions": dict(sample["functions"].most_common())} for manner, sample in row.items()]
               for work, row in found.items()}
    summary = {work: {manner: sample["instructions"] for manner, sample in row.items()} for work, row in found.items()}
    return lib.save("instructions", {"bench": "instructions", "options": vars(options), "compiler": about,
                                     "environment": lib.environment(), "budget": budget, "summary": summary,
                                     "samples": samples, "failed": {}})


def main():
    options = parse_arguments()
    program = options.build / "instructions"
    if not shutil.which("valgrind"):
        print("skipped: valgrind is not installed; tools/setup test installs it")
        return SKIPPED
    if not program.exists():
        print(f"skipped: there is no {program}: configuring found no valgrind/callgrind.h, or this is no Release build")
        return SKIPPED
    try:
        return run(program, options)
    except lib.Failure as failure:
        print(f"instructions: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
