"""Sums what the test runners reported about themselves.

Reads the logs of the stages and prints each runner's closing line as it stands, then one line
`N passed, N failed`. A log with no closing line contributes nothing: numbers are read, never made up.
"""

import re
import sys
from pathlib import Path

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")

# A runner's closing line, and the counts in it.
NEXTEST = re.compile(r"^\s*Summary \[.*\] .*tests? run:")
CARGO = re.compile(r"^test result: \w+\. ")
PYTEST = re.compile(r"^(=+ )?(no tests ran|.*\d+ (passed|failed|skipped|error|errors|deselected|xfailed)\b.*) in \d[\d.]*s\b")
PLAYWRIGHT = re.compile(r"^\s+\d+ (passed|failed|flaky|skipped|did not run)\b")
COUNTS = {
    "passed": re.compile(r"\b(\d+) passed\b"),
    "failed": re.compile(r"\b(\d+) (?:failed|errors?|timed out)\b"),
}


def closing_lines(text: str) -> list[str]:
    found = []
    for line in ESCAPES.sub("", text).splitlines():
        if NEXTEST.search(line):
            # nextest shows what a failed test printed, libtest's own closing line included: counted by nextest.
            found = [earlier for earlier in found if not CARGO.search(earlier)]
        if any(pattern.search(line) for pattern in (NEXTEST, CARGO, PYTEST, PLAYWRIGHT)):
            # Doc tests and empty binaries close with zeros: they say nothing.
            if "0 passed; 0 failed" not in line:
                found.append(line.strip())
    return found


def count(lines: list[str]) -> tuple[int, int]:
    totals = {
        name: sum(int(number) for line in lines for number in pattern.findall(line))
        for name, pattern in COUNTS.items()
    }
    return totals["passed"], totals["failed"]


def main(directory: str) -> int:
    lines = []
    for log in sorted(Path(directory).glob("*.log"), key=lambda path: path.stat().st_mtime):
        for line in closing_lines(log.read_text(encoding="utf-8", errors="replace")):
            print(f"{log.stem}: {line}")
            lines.append(line)
    passed, failed = count(lines)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
