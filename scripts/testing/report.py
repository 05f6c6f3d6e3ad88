"""The result of each run, the closing table, and the line of totals."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

PASSED = "passed"
FAILED = "FAILED"
NOT_RUN = "NOT RUN"


class Counts(NamedTuple):
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


class Row(NamedTuple):
    """One run: a result that begins with PASSED, FAILED or NOT_RUN, and what pytest counted where it was pytest."""

    what: str
    result: str
    seconds: float
    counts: Counts = Counts()


def read_junit(path: Path) -> Counts | None:
    """What pytest wrote, errors counted as failed; None when it ended before it could write."""
    try:
        suites = list(ET.parse(path).getroot().iter("testsuite"))  # noqa: S314 -- our own pytest wrote it
    except (OSError, ET.ParseError):
        return None
    total, failures, errors, skipped = (
        sum(int(suite.get(name, "0")) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    return Counts(total - failed - skipped, failed, skipped)


def print_summary(rows: list[Row]) -> int:
    """Prints the table and the totals; 1 when anything failed, 0 otherwise."""
    width = max(len(row.what) for row in rows)
    print(f"\n{'what':{width}}  seconds  result")
    total = Counts()
    for row in rows:
        print(f"{row.what:{width}}  {row.seconds:7.0f}  {row.result}")
        total = total.plus(row.counts)
    print(f"\n{total}", flush=True)
    return int(any(row.result.startswith(FAILED) for row in rows))
