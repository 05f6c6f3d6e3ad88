"""Results that have arrived: whether they belong here, whether now is the moment, and putting them into the scene."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ...core.errors import InputError, StorageError
from ...core.jobs import state_machine
from ...core.models import Job, JobState, Placement
from .. import preferences
from . import object_metadata

if TYPE_CHECKING:  # numpy and sqlite3 come in when they are needed: enabling the extension stays cheap
    from ...core.jobs.job_store import JobStore
    from . import placing

LEASE_S = 60.0
IN_OTHER_SCENE = "It is placed when you are back in the scene of its source object."
_REFINED = re.compile(r" refined(\.\d+)?$")


def belongs_here(job: Job) -> bool:
    """Tell whether a result places itself here: it is ready, and this file's and no other's."""
    return job.state is JobState.READY and job.place_automatically and object_metadata.is_awaited(job)


def hindrances(context: bpy.types.Context, jobs: Collection[Job]) -> dict[str, str]:
    """Return why results do not place themselves right now, by job; one that may is not in it."""
    reason = hindrance(context) if jobs else ""
    if reason or len(bpy.data.scenes) == 1:
        return {job.id: reason for job in jobs if reason}
    return {job.id: IN_OTHER_SCENE for job in jobs if _is_in_other_scene(context, object_metadata.source_name(job))}


def _is_in_other_scene(context: bpy.types.Context, name: str) -> bool:
    """Tell whether there is an object of this name, and in other scenes only: a look-up, because every turn asks."""
    obj = bpy.data.objects.get(name)
    scenes = [scene for scene in bpy.data.scenes if obj is not None and scene.objects.get(name) == obj]
    return bool(scenes) and context.scene not in scenes


def hindrance(context: bpy.types.Context) -> str:
    """Return why nothing may be put into the scene right now, or an empty text."""
    if bpy.app.is_job_running("RENDER"):
        return "It is placed when the render is done."
    if context.mode != "OBJECT":
        return "It is placed when you are back in Object Mode."
    if any(_holds(tool) for window in context.window_manager.windows for tool in window.modal_operators):
        return "It is placed when the tool in use is finished."
    return ""


def _holds(tool: Any) -> bool:
    """Tell whether a running tool changes the scene; add-ons that only listen, such as a key display, never end."""
    return bool(tool.bl_options & {"UNDO", "UNDO_GROUPED", "GRAB_CURSOR", "BLOCKING"})


def place(context: bpy.types.Context, job: Job, brought: bpy.types.Object | None = None) -> placing.Placed:
    """Put a prepared result, which may be ``brought`` into the file already, into the scene.

    Raises CsmError; nothing half-placed is left behind then.
    """
    from . import placing

    with object_metadata.known():
        placement, name = _here(job)
        blend, hide = Path(job.blend_path), hides_source()
        placed = placing.place(context, blend, placement, name=name, hide_source=hide, brought=brought)
        return _marked(job, placed)


def import_here(context: bpy.types.Context, job: Job) -> placing.Placed:
    """Bring a downloaded mesh in with Blender's own importer: the window stands still. Raises CsmError."""
    from . import placing

    with object_metadata.known():
        placement, name = _here(job)
        mesh, wanted = Path(job.mesh_path), {"fit": job.fit_to_box, "quads": job.wants_quads}
        placed = placing.import_here(context, mesh, placement, name=name, **wanted, hide_source=hides_source())
        return _marked(job, placed)


def _here(job: Job) -> tuple[Placement, str]:
    """Return where a result belongs, its source as it is called now (None: it is gone), and the result's name."""
    placement, source = job.placement or Placement(), object_metadata.find_source(job)
    merged = tuple(obj.name for obj in object_metadata.find_merged(job))
    name = source.name if source is not None else None
    placement = dataclasses.replace(placement, object_name=name, merged_names=merged)
    return placement, result_name(job, placement.object_name)


def _marked(job: Job, placed: placing.Placed) -> placing.Placed:
    """Let result and source know of the job; undone with the placing, because its undo step comes after this."""
    object_metadata.mark_result(bpy.data.objects[placed.object_name], job)
    object_metadata.mark_source(job)
    return placed


def hides_source() -> bool:
    """Return what the preferences want done with the source object."""
    return bool(preferences.preferences().source_after == "HIDE")


def result_name(job: Job, present_name: str | None = None) -> str:
    """Return what the result is called: after its source object, as it is called now, else after its session."""
    source = present_name or (job.placement.object_name if job.placement else None)
    return f"{_REFINED.sub('', source)} refined" if source else job.request.session_code


def claimed(journal: JobStore, job: Job, owner: str) -> bool:
    """Take the job, so that no other Blender places it too. False: another one has it, or had it a moment ago."""
    if not journal.claim(job.id, owner, time.time(), LEASE_S):
        return False
    try:
        if journal.get(job.id).state is job.state:
            return True
    except StorageError:
        raise
    except InputError:
        pass  # removed
    journal.release(job.id, owner)
    return False


def written_down(journal: JobStore, job_id: str, placed: placing.Placed) -> Job:
    """Note in the journal what stands in the scene."""
    return journal.change(job_id, lambda job: as_placed(job, placed))


def as_placed(job: Job, placed: placing.Placed) -> Job:
    """Return a job whose result stands in the scene."""
    found = placed.counts, placed.dimensions
    job = dataclasses.replace(job, placed_note=placed.remark)
    return state_machine.placed(job, placed.object_name, placed.fit_error, time.time(), *found)


def placed_object(job: Job) -> Any:
    """Return the object that was placed. Raises InputError where it is gone."""
    found = object_metadata.find_result(job)
    if found is None:
        raise InputError(
            f"The placed object “{job.placed_object}” is not in this file any more.", "Place the result again."
        )
    return found
