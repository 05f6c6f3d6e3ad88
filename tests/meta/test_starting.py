"""Every script starts where Python leaves the script's folder out of sys.path."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.repository import ROOT

SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
WAYS = {"-I": (["-I"], {}), "PYTHONSAFEPATH": ([], {"PYTHONSAFEPATH": "1"}), "in scripts": ([], {})}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_help(script, way, tmp_path):
    """--help prints what the script does and ends with 0, from another folder with python -I, and from its own."""
    options, variables = WAYS[way]
    command = [sys.executable, *options, str(script), "--help"]
    environ = {**os.environ, **variables, "CSM_REFINE_HOME": str(tmp_path)}
    done = subprocess.run(
        command,
        cwd=SCRIPTS[0].parent if way == "in scripts" else tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 3
