"""The length of the reliability tests, and the fixture that records rows for `build/reliability.md`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import pytest

from tests.support.repository import ROOT

_T = TypeVar("_T")
LONG_S = 2 * 60 * 60
SEEN = ROOT / "build" / "reliability"


class Length(NamedTuple):
    """The name that `--length` gave; as numbers, what a test picks for it."""

    name: str

    def choose(self, *, short: _T, long: _T) -> _T:
        """Return what fits this length."""
        return {"short": short, "long": long}[self.name]


def pytest_collection_modifyitems(config, items):
    """At full length one test may go on for half an hour."""
    if config.getoption("--length") == "long":
        for item in items:
            item.add_marker(pytest.mark.timeout(LONG_S))


@pytest.fixture(scope="session")
def length(request) -> Length:
    return Length(request.config.getoption("--length"))


@pytest.fixture(scope="session")
def note(length) -> Callable[[str, list[dict[str, Any]]], None]:
    """Return a function that records one table of build/reliability.md: `note("faults", [{"fault": ..., ...}])`."""

    def keep(table: str, rows: list[dict[str, Any]]) -> None:
        SEEN.mkdir(parents=True, exist_ok=True)
        seen = {"length": length.name, "rows": rows}
        (SEEN / f"{table}.json").write_text(json.dumps(seen, indent=1), encoding="utf-8")

    return keep
