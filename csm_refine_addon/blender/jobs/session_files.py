"""The source of a session to come: written into the folder of its job, and deleted with it where no job comes of it."""

from __future__ import annotations

from collections.abc import Sequence

import bpy

from .. import data_location
from .submit import Source


def write(active: bpy.types.Object, objects: Sequence[bpy.types.Object] = ()) -> Source:
    """Write objects with their children into a .blend in the folder of a job to come.

    Raises InputError where nothing of them is visible, StorageError; no folder is left then.
    """
    from ...core.jobs import job_factory
    from ..background import session_source  # brings numpy
    from ..geometry.object_hierarchy import with_children

    for each in with_children([active, *objects]):
        if each.mode == "EDIT":
            each.update_from_editmode()
    job_id = job_factory.new_id()
    home = data_location.home()
    home.job_folder(job_id)
    blend = home.source(job_id)
    try:
        return Source(job_id, str(blend), session_source.write(active, objects, blend))
    except BaseException:
        home.delete_job_folder(job_id)
        raise


def drop(source: Source) -> None:
    """Delete what was written, where anything was: no job comes of it."""
    if source.blend:
        data_location.home().delete_job_folder(source.job_id)
