"""Clean Up: what is held and unneeded is said before anything is deleted."""

from __future__ import annotations

import time

import bpy
import pytest

from csm_refine_addon.blender.jobs import job_monitor
from csm_refine_addon.core.jobs import cleanup
from csm_refine_addon.core.models import JobState
from tests.support import panel

SIZE = 2_000_000


@pytest.fixture
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        yield tmp_path / "home"


def test_clean_up_measures_and_then_deletes(home, capfd):
    """Measuring deletes nothing; deleting takes the old job's files and leaves the young one's."""
    at = time.time()
    with panel.journal(home) as store:
        old, young = (
            store.add(
                panel.job(JobState.FAILED, created_at=at - age, finished_at=at - age, answered_at=None), again=True
            )
            for age in (31 * cleanup.DAY_S, 0.0)
        )
    for job in (old, young):
        folder = home / "jobs" / job.id
        folder.mkdir(parents=True)
        (folder / "mesh.glb").write_bytes(b"x" * SIZE)
    assert bpy.ops.csm_refine.clean_up() == {"FINISHED"}
    assert (home / "jobs" / old.id).exists()
    assert bpy.ops.csm_refine.delete_unneeded() == {"FINISHED"}
    assert [(home / "jobs" / job.id).exists() for job in (old, young)] == [False, True]
    assert bpy.ops.csm_refine.clean_up() == {"FINISHED"}
    said = capfd.readouterr().out
    assert "Jobs hold 4.0 MB, local sessions 0 kB. 2.0 MB can be deleted." in said
    assert "2.0 MB are deleted." in said
    assert "All of it is needed." in said
    job_monitor.current().refresh()
