"""How long these tests go on, and where they note what they saw: `docs/reliability.md` is made of it."""

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
    """Keep rows of a table of docs/reliability.md: `note("faults", [{"fault": ..., ...}])`, a call for each table."""

    def keep(table: str, rows: list[dict[str, Any]]) -> None:
        SEEN.mkdir(parents=True, exist_ok=True)
        seen = {"length": length.name, "rows": rows}
        (SEEN / f"{table}.json").write_text(json.dumps(seen, indent=1), encoding="utf-8")

    return keep
