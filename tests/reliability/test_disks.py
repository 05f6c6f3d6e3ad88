"""A full or read-only disk is named as such in the panel, whichever process meets it first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.errors import StorageError
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import RefineRequest
from csm_refine_addon.core.processes.blender_tasks import BackgroundTasks
from tests.reliability.faults_machine import SmallDisk, on_a_thread
from tests.support.api_server import CODE, Api, session_2024
from tests.support.raw_meshes import two_million_triangles

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="a small disk is mounted, which Linux lets root do"
)


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_the_panel_names_the_disk_within_ten_seconds(tmp_path, fault):
    """While a job runs, the worker writes first; the panel says what is wrong, and nothing more once it is mended."""
    pytest.importorskip("bpy")
    (tmp_path / "home").mkdir()
    with Api() as api:
        api.after = [session_2024("training_refine")]
        line = [sys.executable, "-m", "tests.reliability.disk_window", str(tmp_path / "home"), api.url, fault]
        ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result["found"], result
    assert result["well"] is not False, result


@pytest.mark.parametrize("leave_bytes", [0, 3 << 20])
def test_a_background_blender_on_a_full_disk(tmp_path, leave_bytes):
    """The mesh could not be prepared because of the disk, and not because of the mesh or of Blender."""
    pytest.importorskip("bpy")
    mesh = two_million_triangles(tmp_path)

    def prepare() -> None:
        home = DataDir(tmp_path / "home").ensure()
        disk = SmallDisk(home.folder)
        disk.fill(leave_bytes)
        job = new_job(RefineRequest(CODE), "http://127.0.0.1:1", now=0.0)
        with pytest.raises((StorageError, OSError)) as raised:
            BackgroundTasks(home, sys.executable, lambda _s: False).prepare(job, mesh)
        assert "full" in str(raised.value) or "No space left" in str(raised.value)

    on_a_thread(prepare)
