"""A result that stands in the file, while this machine has no files of it: offered, and fetched without a refine."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import bpy

from ...core import validation
from ...core.errors import CsmError, InputError
from ...core.jobs import state_machine
from ...core.models import Job, Placement, RefineRequest
from .. import preferences
from ..jobs import submit
from . import object_metadata

OTHER_SERVICE = "This result is from {service}, which is not the service in use."


def is_offered(obj: Any, jobs: Iterable[Job]) -> bool:
    """Tell whether an object is a result whose files this machine neither has nor is about to have; for ``draw``."""
    if not object_metadata.is_result(obj):
        return False
    code = object_metadata.of(obj).session_code
    return not any(job.request.session_code == code and (job.report or state_machine.is_active(job)) for job in jobs)


def obstacle(obj: Any) -> CsmError | None:
    """Return why the object's result cannot be fetched now, or None; cheap."""
    try:
        _service(obj)
    except CsmError as error:
        return error
    return None


def order(context: bpy.types.Context, obj: Any, jobs: Iterable[Job], window: str) -> Job:
    """Return the job that fetches the result of the object's session, to be written down; nothing is ever sent.

    It is placed where the object stands now, in the box that was asked for, scaled as the object is.
    Raises CsmError.
    """
    from ...core.jobs import job_factory

    service = _service(obj)
    code = validation.session_code(object_metadata.of(obj).session_code)
    if any(
        job.request.session_code == code and job.service == service and state_machine.is_active(job) for job in jobs
    ):
        raise InputError("This session is being refined already.", "Wait until its job has ended.")
    values = preferences.preferences()
    return job_factory.new_job(
        RefineRequest(code),
        service,
        now=time.time(),
        timeout_s=values.follow_hours * 3600.0,
        poll_s=(values.poll_first_s, max(values.poll_first_s, values.poll_longest_s)),
        placement=_placement(obj),
        fit_to_box=values.fit_to_box,
        place_automatically=values.place_automatically,
        blend_file=bpy.data.filepath,
        window=window,
        fetch_only=True,
    )


def _service(obj: Any) -> str:
    """Return the service in use where it is the object's: a file from somebody else does not choose who gets a key."""
    if not object_metadata.is_result(obj):
        raise InputError("This object is no result of a refine.", "Select one that is.")
    service = preferences.service_address()
    named = object_metadata.of(obj).service
    if named != service:
        raise InputError(
            OTHER_SERVICE.format(service=preferences.service_name(named)), "Choose it first, if you trust it."
        )
    return submit.ready_service()


def _placement(obj: Any) -> Placement:
    from ..geometry import bounds  # brings numpy
    from .source_transform import SAME_SCALE, UNSCALED, scaled

    frame, box = bounds.frame(obj), object_metadata.box_of(obj)
    if box is not None:
        x, y, z = (1.0 if abs(part - 1.0) < SAME_SCALE else part for part in frame.scale or UNSCALED)
        box = scaled(box, (x, y, z))
    mirrored = bool(object_metadata.of(obj).mirrored) is not frame.mirrored
    return Placement(frame.origin, frame.rotation, box, obj.name, frame.origin, frame.scale, mirrored)
