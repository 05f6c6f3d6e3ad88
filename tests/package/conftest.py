"""The built zip, and a Blender of its own for each question about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT

CHILD = ROOT / "tests" / "support" / "installed_extension.py"


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, str(ROOT / "scripts" / "build.py"), "--output", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture
def in_new_blender(tmp_path):
    """Runs tests/support/installed_extension.py in a Blender with an empty user folder, `tmp_path / "user"`."""
    environ = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path / "user")}
    environ.pop("CSM_REFINE_HOME", None)  # the extension's own folder is what is tried

    def run(*arguments):
        command = [sys.executable, str(CHILD), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False, timeout=240
        )
        print(done.stderr)  # shown with a failure
        assert done.returncode == 0, done.stdout
        return json.loads(done.stdout.strip().splitlines()[-1])

    return run
