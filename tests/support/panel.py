"""The add-on enabled in the running Blender with a home of its own, and jobs in every state for its panel."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import bpy

from csm_refine_addon.blender.jobs import job_monitor
from csm_refine_addon.blender.jobs.job_cache import BUSY_S
from csm_refine_addon.core import errors
from csm_refine_addon.core.axes import Vector3
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import (
    CSM_BASE_URL,
    Box,
    Job,
    JobState,
    MeshReport,
    Placement,
    RefineRequest,
    RemoteKind,
    RemoteStatus,
)

ADDON = "csm_refine_addon"
CODE = "SESSION_1689256797_6037625"
KEY = "0123456789abcdef0123456789ABCDEF"


@contextlib.contextmanager
def enabled(home: Path, monkeypatch) -> Iterator[None]:
    """Enable the add-on in a fresh file, as Blender does it, and disable it at the end."""
    monkeypatch.setenv("CSM_REFINE_HOME", str(home))
    for name in ("CSM_API_KEY", "CSM_SERVICE"):
        monkeypatch.delenv(name, raising=False)
    bpy.ops.wm.read_factory_settings()
    bpy.ops.preferences.addon_enable(module=ADDON)
    try:
        yield
    finally:
        bpy.ops.preferences.addon_disable(module=ADDON)


def preferences():
    return bpy.context.preferences.addons[ADDON].preferences


def settings():
    return bpy.context.scene.csm_refine


def journal(home: Path) -> JobStore:
    return JobStore(home / "journal.sqlite")


@contextlib.contextmanager
def locked(home: Path, kind: str = "EXCLUSIVE") -> Iterator[None]:
    """Hold the journal as another process's transaction does; nothing of ours waits for it longer than in a window.

    IMMEDIATE: it can be read meanwhile, as before the other's commit.
    """
    job_monitor.current().journal()._connection.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000:.0f}")
    connection = sqlite3.connect(home / "journal.sqlite", isolation_level=None)
    connection.execute(f"BEGIN {kind}")
    try:
        yield
    finally:
        connection.execute("COMMIT")
        connection.close()


@contextlib.contextmanager
def locked_by_the_next_change(home: Path) -> Iterator[None]:
    """Hold the journal from the moment on at which something in the scene changes."""
    with contextlib.ExitStack() as stack:

        def lock(*_arguments) -> None:
            bpy.app.handlers.depsgraph_update_post.remove(lock)
            stack.enter_context(locked(home))

        bpy.app.handlers.depsgraph_update_post.append(lock)
        yield


def on_button():
    """The context in which Blender asks a sidebar's button for its poll."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "UI")
    return bpy.context.temp_override(window=window, area=area, region=region)


def allow_online(*, allowed: bool) -> None:
    bpy.context.preferences.system.use_online_access = allowed


def job(state: JobState = JobState.PREPARED, size: Vector3 = (1.0, 2.0, 3.0), **changes) -> Job:
    """A job of the vendor's service as it stands in a state, with everything that has happened until then."""
    now = time.time()
    placement = Placement(box=Box((0.0, 0.0, 0.0), size), object_name="Chair")
    made = new_job(RefineRequest(CODE, (1.0, 3.0, 2.0), (0.0, -0.5, 0.0)), CSM_BASE_URL, now=now, placement=placement)
    return dataclasses.replace(made, state=state, **{**_HISTORY.get(state, {}), **changes})


REPORT = MeshReport(1234567, 650000, 1, ("albedo",), Box((0, 0, 0), (1, 2, 3)), 1000, ("It has loose edges.",), "")
_SENT = {"sent_at": time.time(), "answered_at": time.time()}
_RUNNING = {**_SENT, "accepted_at": time.time(), "remote": RemoteStatus("training_refine", RemoteKind.RUNNING, 42.0)}
_DONE = {**_RUNNING, "mesh_path": "/nowhere/mesh.glb", "blend_path": "/nowhere/result.blend", "report": REPORT}
_FAILURE = errors.RefineFailed("The service failed the refine.", "Retry sends it again.")
_UNCLEAR = errors.OutcomeUncertain("The refine was sent, but no answer came.", "Look again.")
_HISTORY = {
    JobState.SUBMITTING: _SENT,
    JobState.UNCERTAIN: {**_SENT, "error": state_machine.job_error(_UNCLEAR)},
    JobState.RUNNING: _RUNNING,
    JobState.DOWNLOADING: {**_RUNNING, "bytes_done": 3_000_000, "bytes_total": 12_000_000},
    JobState.PREPARING: {**_RUNNING, "mesh_path": "/nowhere/mesh.glb"},
    JobState.READY: _DONE,
    JobState.PLACED: {**_DONE, "placed_object": "Chair refined", "fit_error": 2e-8, "finished_at": time.time()},
    JobState.FAILED: {**_RUNNING, "error": state_machine.job_error(_FAILURE), "finished_at": time.time()},
    JobState.STOPPED: {**_RUNNING, "finished_at": time.time()},
}
