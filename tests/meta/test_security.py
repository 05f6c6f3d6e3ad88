"""Each row of docs/security.md names tests that exist."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.repository import ROOT

ROWS = [
    line
    for line in (ROOT / "docs" / "security.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| who |")
]
NAMED = re.compile(r"`([a-z]+/[a-z_]+\.py)::(\w+)`")


@pytest.mark.parametrize("row", ROWS)
def test_the_tests_of_a_row_exist(row):
    """A row without a test, or with the name of one that is not there, holds nothing."""
    named = NAMED.findall(row.split(" | ")[-1])
    assert named
    for path, name in named:
        module = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
        assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}, path


def test_every_party_has_a_row():
    """The table is read whole."""
    parties = [row.split(" | ")[0].strip("| ") for row in ROWS]
    for words in ("artist's files", "foreign meshes", "the service", "other users", "the network"):
        assert any(words in party for party in parties)
