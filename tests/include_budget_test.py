#!/usr/bin/env python3
"""What <lastcall/lastcall.hpp> brings into a unit stays under a budget, so that a heavy include is noticed before every
user's build pays for it. Counted are lines, which do not depend on the machine; `tools/bench compile` has the seconds.

include_budget_test.py BUDGET_FILE COMPILER [FLAG...]: exits 77 where the compiler's headers are not those of the budget."""

import pathlib
import re
import subprocess
import sys

COMPILER_OF_THE_BUDGET = "12"  # g++
SKIPPED = 77


def lines(compiler, flags, source):
    """After the preprocessor, without blank ones and line markers."""
    done = subprocess.run([compiler, *flags, "-std=c++23", "-E", "-x", "c++", "-"], input=source, text=True,
                          stdout=subprocess.PIPE, check=True)
    return sum(1 for line in done.stdout.splitlines() if not re.match(r"#|\s*$", line))


def main():
    budget_file, compiler, *flags = sys.argv[1:]
    macros = subprocess.run([compiler, "-dM", "-E", "-x", "c++", "/dev/null"], text=True, stdout=subprocess.PIPE,
                            check=True).stdout
    version = re.search(r"^#define __GNUC__ (\d+)$", macros, re.M)
    if "__clang__" in macros or version is None or version[1] != COMPILER_OF_THE_BUDGET:
        print(f"skipped: the budget is that of g++ {COMPILER_OF_THE_BUDGET}, and {compiler} is another compiler")
        sys.exit(SKIPPED)
    budget = int(pathlib.Path(budget_file).read_text())
    library = "#include <lastcall/lastcall.hpp>\n"
    used = lines(compiler, flags, library)
    print(f"<lastcall/lastcall.hpp> is {used} lines of {budget}")
    if used > budget:
        sys.exit(f"{used - budget} lines over the budget: which header is new, and could its user be in a .cpp file? "
                 "(g++ -H shows the tree)")
    # A budget that a heavy header does not break is none.
    for heavy in ("deque", "regex", "filesystem", "future"):
        if lines(compiler, flags, f"{library}#include <{heavy}>\n") <= budget:
            sys.exit(f"<{heavy}> fits in as well: lower the budget in {budget_file} to about {used + 300}")


main()
