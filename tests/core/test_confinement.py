"""Where a background Blender works: it ends with its parent, and reaches neither the network nor another program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.api_server import wait_until

ROOT = Path(__file__).resolve().parents[2]
PARENT = """
import sys, threading
from pathlib import Path
sys.path[:0] = [{root!r}]
from csm_refine_addon.core import background
background.PACKAGE_PARENT, folder = Path(sys.argv[1]), Path(sys.argv[1])
blender = background.BackgroundBlender(sys.executable, is_blender=False)
blender.run("child", [sys.argv[2]], log=folder / "log", pause=threading.Event().wait, limit_s=60)
"""
CHILD = """
import os, re, threading
def main(arguments):
    print(os.getpid(), flush=True)
    if arguments == ["waits"]:
        threading.Event().wait(60)
    re.match("(a+)+b", "a" * 40)  # keeps the interpreter to itself, as an importer does, for hours
"""


@pytest.fixture
def house(tmp_path):
    """A folder with a package that holds the confinement and a module ``child``."""
    package = tmp_path / "csm_refine_addon"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "core").symlink_to(ROOT / "csm_refine_addon" / "core")
    (package / "child.py").write_text(CHILD)
    return tmp_path


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("how", ["waits", "keeps the interpreter"])
def test_it_ends_when_its_parent_was_killed(house, how):
    """Nobody else would end it: a killed parent leaves no background Blender behind, not even one in native code."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT.format(root=str(ROOT)), str(house), how])
    log = house / "log"
    wait_until(lambda: log.exists() and log.read_text().strip())
    pid = int(log.read_text())
    try:
        assert is_running(pid)
        parent.kill()
        parent.wait()
        wait_until(lambda: not is_running(pid), within_s=4)
    finally:
        if is_running(pid):
            os.kill(pid, 9)
