"""A test run that used bpy ends, and tells the truth by its exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.repository import ROOT

# With a timer or a thread left, a normal end of the process crashes 4.2 and hangs 4.5 for ever.
SUITE = """
import threading, time
import bpy
def test_leaves_a_timer_and_a_thread():
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    bpy.app.timers.register(lambda: 600.0)
def test_result():
    assert {result}
"""


@pytest.mark.parametrize(("result", "code"), [(True, 0), (False, 1)])
def test_ends_with_pytest_s_code(tmp_path, result, code):
    """With a timer and a thread left over, the process still ends, with 0 or 1 as pytest means it."""
    (tmp_path / "test_planted.py").write_text(SUITE.format(result=result), encoding="utf-8")
    settings = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-m", "pytest", *settings, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
