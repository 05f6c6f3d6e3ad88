"""A test run that used bpy ends, and tells the truth by its exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.repository import ROOT

# At a normal end 4.2 crashes after a glTF export, and a thread that goes on is waited for in every version.
SUITE = """
import threading, time
import bpy
def test_exports_and_leaves_a_thread(tmp_path):
    bpy.ops.export_scene.gltf(filepath=str(tmp_path / "scene.glb"))
    threading.Thread(target=time.sleep, args=(600,)).start()
def test_result():
    assert {result}
"""


@pytest.mark.parametrize(("result", "code"), [(True, 0), (False, 1)])
def test_ends_with_pytest_s_code(tmp_path, result, code):
    """After an export, and with a thread left over, the process still ends, with 0 or 1 as pytest means it."""
    (tmp_path / "test_planted.py").write_text(SUITE.format(result=result), encoding="utf-8")
    settings = ["-p", "tests.conftest", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    command = [sys.executable, "-m", "pytest", *settings, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
