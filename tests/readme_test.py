#!/usr/bin/env python3
"""What the documents show is what there is: the README's hello world compiles, is the example of that name, and no
example is longer than a page. What the API's page shows is a part of an example.

readme_test.py ROOT COMPILER [FLAG...]"""

import pathlib
import re
import subprocess
import sys

MOST_LINES = 60


def unindented(text):
    return "\n".join(line.strip() for line in text.splitlines())


def strangers(page, examples):
    """The programs and parts of programs on a page that no example has, whatever their indentation."""
    known = [unindented(example.read_text()) for example in examples]
    blocks = re.findall(r"^```cpp\n(.*?)^```$", page.read_text(), re.S | re.M)
    if not blocks:
        yield f"{page}: shows nothing"
    for block in blocks:
        if not any(unindented(block) in text for text in known):
            yield f"{page}: in no example of tools/examples:\n{block}"


def main():
    root, compiler, *flags = pathlib.Path(sys.argv[1]), *sys.argv[2:]
    problems = []
    blocks = re.findall(r"^```cpp\n(.*?)^```$", (root / "README.md").read_text(), re.S | re.M)
    hello = next((block for block in blocks if "int main" in block), None)
    if hello is None:
        problems.append("README.md has no program")
    else:
        compiled = subprocess.run([compiler, *flags, "-std=c++23", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
                                   "-x", "c++", "-"], input=hello, text=True, capture_output=True)
        if compiled.returncode != 0:
            problems.append("README.md: its program does not compile\n" + compiled.stderr)
        if hello != (root / "tools/examples/hello.cpp").read_text():
            problems.append("README.md: its program is not tools/examples/hello.cpp")
    examples = sorted((root / "tools/examples").glob("*.cpp"))
    for example in examples:
        lines = len(example.read_text().splitlines())
        if lines >= MOST_LINES:
            problems.append(f"{example}: {lines} lines; an example has fewer than {MOST_LINES}")
    problems += strangers(root / "tools/api.md", examples)
    print(f"readme: {len(examples)} examples and a program looked at, {len(problems)} problems")
    sys.exit("\n".join(problems) or None)


main()
