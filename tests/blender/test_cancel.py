"""Cancel and Remove as buttons, while the local service refines with this Blender."""

from __future__ import annotations

import os
import time
from pathlib import Path

import bpy
import pytest

from csm_refine_addon.blender.jobs import job_monitor, job_text
from csm_refine_addon.blender.ui.panels import job_details
from csm_refine_addon.core.models import LOCAL, JobState
from tests.blender.test_whole_jobs import local_service, window
from tests.support import panel, scenes, whole_shapes

LIMIT_S = 60.0


@pytest.fixture
def home(tmp_path, monkeypatch):
    with local_service(tmp_path / "home"), window(tmp_path / "home", monkeypatch):
        yield tmp_path / "home"


def refine_processes() -> set[int]:
    """The background Blenders of the service that this process has started."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it ended in between
            continue
        if state != "Z":
            parents[int(stat.parent.name)] = int(parent)
    ours = {pid for pid, parent in parents.items() if parent == os.getpid()}
    return {pid for pid, parent in parents.items() if parent in ours and b"remesh" in _command(pid)}


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def until(condition):
    ends_at = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < ends_at, "it did not come about in time"
        job_monitor.tick()
        time.sleep(0.02)
    return found


@pytest.mark.parametrize("press", ["stop", "remove"])
@pytest.mark.timeout(180)
def test_a_refine_that_runs_is_ended(home, press):
    """The refine's Blender ends within a second, the job says Cancelled or is gone, and so are the refine's files."""
    scenes.select(whole_shapes.torus())
    panel.settings().local.topology = "QUADS"
    assert bpy.ops.csm_refine.create_session() == {"FINISHED"}
    (job_id,) = job_monitor.current().jobs
    until(lambda: job_monitor.current().jobs[job_id].state is JobState.RUNNING and refine_processes())
    job = job_monitor.current().jobs[job_id]
    assert job_details.button_text(job, job_text.JobAction.STOP) == "Cancel"
    began = time.monotonic()
    assert getattr(bpy.ops.csm_refine, press)(job=job_id) == {"FINISHED"}
    until(lambda: not refine_processes())
    assert time.monotonic() - began < 1.0
    folder = home / "service" / "sessions" / job.request.session_code
    until(lambda: [path.name for path in folder.iterdir()] == ["original"])
    if press == "remove":
        assert job_id not in job_monitor.current().jobs
        return
    until(lambda: not (home / "jobs" / job_id).exists())
    left = job_monitor.current().jobs[job_id]
    assert (job_text.status(left), job_text.short_status(left)) == ("Cancelled", "Cancelled")
    assert not job_text.can(left, job_text.JobAction.STOP)
    assert job_text.can(left, job_text.JobAction.RETRY)


def test_what_cannot_be_cancelled_is_no_longer_tracked(home):
    """The button of a job at another service says Stop Tracking, and it cannot be removed while it runs."""
    running, local = panel.job(JobState.RUNNING), panel.job(JobState.RUNNING, service=LOCAL)
    texts = [job_details.button_text(job, job_text.JobAction.STOP) for job in (running, local)]
    assert texts == ["Stop Tracking", "Cancel"]
    assert [job_text.can(job, job_text.JobAction.REMOVE) for job in (running, local)] == [False, True]
