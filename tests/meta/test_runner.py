"""The test command counts what happened, and lets nothing pass in silence."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scripts.testing.report import Counts, Row, print_summary, read_junit
from tests.support.repository import ROOT

SUITE = """
import warnings, pytest
def test_passes(): pass
def test_fails(): assert False
def test_skips(): pytest.skip("this machine has no moon")
def test_skips_in_silence(): pytest.skip()
def test_warns(): warnings.warn("old")
@pytest.mark.xfail(reason="a promise for later")
def test_passes_unexpectedly(): pass
@pytest.fixture
def broken(): raise OSError
def test_cannot_begin(broken): pass
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_planted.py").write_text(SUITE, encoding="utf-8")
    settings = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-m", "pytest", *settings, f"--junitxml={folder / 'junit.xml'}", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    return done, read_junit(folder / "junit.xml")


def test_counts(outcome):
    """One passes and one is skipped; failure, error, warning, silent skip and unexpected pass all count as failed."""
    done, counts = outcome
    assert counts == Counts(passed=1, failed=5, skipped=1), done.stdout
    assert done.returncode == 1


def test_a_skip_needs_a_reason(outcome):
    """A skip without a reason fails, and says so."""
    assert "test_skips_in_silence was skipped without a reason" in outcome[0].stdout


def test_no_report_is_no_success(tmp_path):
    """A run that died before it could report is told from one that found nothing."""
    assert read_junit(tmp_path / "none.xml") is None


def test_the_last_line_is_the_sum(capsys):
    """The closing line adds up all runs, a version that could not run stands in the table, and a failure gives 1."""
    rows = [
        Row("Blender 4.2", "NOT RUN: no Python 3.11", 0),
        Row("Blender 4.5", "passed", 60, Counts(10, 0, 1)),
        Row("Blender 5.2", "FAILED (exit code 1)", 50, Counts(9, 1, 1)),
    ]
    assert print_summary(rows) == 1
    printed = capsys.readouterr().out
    assert "NOT RUN: no Python 3.11" in printed
    assert printed.splitlines()[-1] == "19 passed, 1 failed, 2 skipped"
    assert print_summary(rows[:2]) == 0
