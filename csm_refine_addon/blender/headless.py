"""What the command line and blocking scripts do in Blender: open, measure, wait, place, save."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ..core import validation
from ..core.data_dir import DataDir
from ..core.errors import InputError, PrepareFailed
from ..core.jobs.foreground import ForegroundRunner
from ..core.jobs.job_factory import new_job
from ..core.models import Job, JobState, RefineRequest, Secret
from ..core.placement import BoundsOptions, Measured
from ..core.processes.blender_tasks import BackgroundTasks
from ..core.providers import credentials
from . import data_location, preferences
from .background import session_source
from .geometry import bounds, object_losses
from .scene import auto_place, export, open_file

if TYPE_CHECKING:
    from ..commands.saved_settings import Settings
    from .scene.placing import Placed


def settings() -> Settings:
    """Return what the preferences and this Blender say, for the command line."""
    from ..commands.saved_settings import Settings

    values = preferences.preferences()
    return Settings(
        home=data_location.home(),
        service=values.service_url if values.service == "URL" else values.service.lower(),
        key=_preferred_key,
        key_command=values.key_command.strip(),
        allow_plain_http=values.allow_plain_http,
        fit_to_box=values.fit_to_box,
        poll_s=(values.poll_first_s, values.poll_longest_s),
        timeout_s=preferences.network_timeout_s(),
        binary_path=bpy.app.binary_path,
        is_online=is_online,
        open_file=lambda: str(bpy.data.filepath),
        window=open_file.window,
    )


def is_online() -> bool:
    """Tell whether requests may leave: a Blender program says so itself, a plain Python with ``bpy`` always may."""
    return bool(bpy.app.online_access) if bpy.app.binary_path else True


def open_blend(path: Path) -> None:
    """Open a .blend without its scripts. Raises InputError where it cannot be opened; the open file stays then."""
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Check the path.")
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path.absolute()), use_scripts=False, load_ui=False)
    except RuntimeError as error:
        said = " ".join(str(error).removeprefix("Error: ").split())
        raise InputError(
            f"The file {path} cannot be opened: {said}", "Is it a .blend of this Blender or older?"
        ) from None


def find_source(name: str | None) -> bpy.types.Object | None:
    """Return the object of this name, or the active one (None: there is none). Raises InputError."""
    if name is not None:
        return bounds.find_object(bpy.context.view_layer, name)
    return bpy.context.view_layer.objects.active


def measured(source: bpy.types.Object, choices: BoundsOptions) -> Measured:
    """Return as much of the object's box and frame as the choices need. Raises InputError."""
    return bounds.measure_for(choices, bpy.context.evaluated_depsgraph_get(), source)


def checked_output(output: str | None) -> Path | None:
    """Return the output file, absolute. Raises InputError where it cannot be written, before anything is sent."""
    return None if output is None else export.check_output(Path(output))


def place(job: Job) -> Placed:
    """Place a prepared job in the open file. Raises CsmError."""
    return auto_place.place(bpy.context, job)


def save_output(object_name: str, path: Path) -> tuple[str, ...]:
    """Save the scene as a .blend, or the placed object alone in another format.

    Return sentences on what that format cannot hold. Raises CsmError.
    """
    obj = bpy.data.objects[object_name]
    export.export(obj, path)
    return export.format_warnings(obj, path)


@contextlib.contextmanager
def exported(name: str, home: DataDir, service: str) -> Iterator[Path]:
    """Give a mesh file of an object and its children as a new session of a service wants it, until the block ends.

    Nothing of it stays, however the block ends. Raises CsmError.
    """
    job = new_job(RefineRequest(""), service, now=time.time())
    try:
        home.ensure().job_folder(job.id)
        blend = home.source(job.id)
        names = session_source.write(bounds.find_object(bpy.context.view_layer, name), (), blend)
        job = dataclasses.replace(job, source_blend=str(blend), source_objects=names)
        yield _export_source(BackgroundTasks(home, bpy.app.binary_path, threading.Event().wait), job)
    finally:
        home.delete_job_folder(job.id)


def _export_source(workshop: BackgroundTasks, job: Job) -> Path:
    try:
        return workshop.export_source(job)
    except PrepareFailed as error:  # its action names a log, which goes with the folder
        action = "Try again, or export the object to a GLB and give that to create."
        raise PrepareFailed(error.message, action) from error


def losses_of(name: str) -> tuple[str, ...]:
    """Return what a session made out of an object and its children will not have. Raises InputError."""
    return object_losses.losses_of([bounds.find_object(bpy.context.view_layer, name)])


def wait_for(job: Job, timeout_s: float) -> Job:
    """Drive a job, blocking, until it is ready, has ended or the time is up; return how it stands. Raises CsmError."""
    with _follower() as follower:
        return follower.follow(job.id, until=lambda job: job.state is JobState.READY, for_s=timeout_s)


def cancel(*job_ids: str) -> None:
    """Have the local service end the refines of cancelled and removed jobs, blocking. Raises CsmError."""
    with _follower() as follower:
        follower.cancel(*job_ids)


def _follower() -> ForegroundRunner:
    values, pause = preferences.preferences(), threading.Event().wait
    return ForegroundRunner(
        data_location.home(),
        key_of=credentials.this_process(values.key_command.strip(), _preferred_key, pause),
        is_online=is_online,
        is_chosen=_is_chosen,
        blender=bpy.app.binary_path,
        timeout_s=preferences.network_timeout_s(),
    )


def _is_chosen(service: str) -> bool:
    try:
        return preferences.service_address() == service
    except InputError:
        return False


def _preferred_key() -> Secret | None:
    text = preferences.preferences().api_key
    return validation.api_key(text) if text else None
