"""What the panel asks for: its settings and the selection, checked and put together before anything is written down.

The button's tooltip, the confirmation and the job all come from here, so they cannot disagree.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass

import bpy

from ...core import addresses, placement, validation
from ...core.axes import Vector3
from ...core.errors import BlenderOffline, CsmError, InputError
from ...core.jobs import state_machine, submissions
from ...core.models import LOCAL, Job, JobState, RefineRequest
from ...core.placement import BoundsOptions, BoundsSource, Measured, RefineParameters
from .. import local_options, preferences
from ..geometry import selection_bounds
from ..properties import choices_of, settings_of
from ..scene import object_metadata


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a script gives instead of the panel's settings; API axes. None: the panel's."""

    session_code: str | None = None
    scaled_bbox: Vector3 | None = None
    pivot_point: Vector3 | None = None


FROM_PANEL = Overrides()


@dataclass(frozen=True, slots=True)
class Source:
    """The objects that the local service makes a session of, written into a .blend in the folder of the job to come."""

    job_id: str = ""
    blend: str = ""
    objects: tuple[str, ...] = ()


NO_SOURCE = Source()


@dataclass(frozen=True, slots=True)
class Order:
    """A checked refine: nothing is written down or sent yet."""

    request: RefineRequest
    asked: RefineParameters
    service: str
    made_from: str = ""
    """The object that the session was made from, where it is another one than the source."""

    @property
    def may_charge(self) -> bool:
        """Whether the service may charge for it, so that the user has to say yes."""
        return preferences.may_charge(self.service)

    def job(self, window: str, source: Source = NO_SOURCE) -> Job:
        """Return the job to write down, with the preferences as they stand now."""
        from ...core.jobs import job_factory

        values = preferences.preferences()
        return job_factory.new_job(
            self.request,
            self.service,
            now=time.time(),
            timeout_s=values.follow_hours * 3600.0,
            poll_s=(values.poll_first_s, max(values.poll_first_s, values.poll_longest_s)),
            placement=self.asked.placement,
            fit_to_box=values.fit_to_box,
            place_automatically=values.place_automatically,
            blend_file=bpy.data.filepath,
            window=window,
            source_blend=source.blend,
            source_objects=source.objects,
            job_id=source.job_id,
        )


def refine_order(context: bpy.types.Context, jobs: Iterable[Job], given: Overrides = FROM_PANEL) -> Order:
    """Return the refine that the panel's settings, or ``given``, and the selection make. Raises CsmError."""
    settings = settings_of(context)
    code = validation.session_code(settings.session_code if given.session_code is None else given.session_code)
    service = ready_service()
    known = list(jobs)
    submissions.require_none(code, service, known)
    asked = _asked(context, choices_of(settings, given.scaled_bbox, given.pivot_point))
    local = local_options.settings_for(service, settings.local)
    makers = [job for job in known if job.source_objects and (job.request.session_code, job.service) == (code, service)]
    made_from = _other_source(makers, asked.placement.object_name)
    return Order(RefineRequest(code, asked.scaled_bbox, asked.pivot_point, local), asked, service, made_from)


def _other_source(makers: Iterable[Job], name: str | None) -> str:
    """Return the object that these jobs made their session from; an empty text where it is the one of this name."""
    made_from = ""
    for job in makers:
        source = object_metadata.find_source(job)
        made_from = source.name if source is not None else job.source_objects[0]
        if made_from == name or (source is None and name in job.source_objects):
            return ""
    return made_from if name else ""


def session_order(context: bpy.types.Context) -> Order:
    """Return the refine of a session that the local service is to make out of the selection. Raises CsmError."""
    from ..geometry import bounds
    from ..geometry.object_losses import losses_of

    active, chosen = bounds.selection(context.view_layer)
    bounds.measure(context.evaluated_depsgraph_get(), active, chosen, allow_flat=True)
    settings = settings_of(context)
    choices = choices_of(settings)
    measured = _measured(context, choices) or bounds.frame(active)
    asked = placement.resolve(dataclasses.replace(measured, warnings=losses_of(chosen)), choices)
    local = local_options.settings_for(LOCAL, settings.local)
    return Order(RefineRequest("", asked.scaled_bbox, asked.pivot_point, local), asked, LOCAL)


def obstacle(context: bpy.types.Context, jobs: Iterable[Job]) -> CsmError | None:
    """Return why the panel's settings cannot be sent as they stand, from what is known without measuring; cheap."""
    settings = settings_of(context)
    try:
        code = validation.session_code(settings.session_code)
        submissions.require_none(code, ready_service(), jobs)
        choices = choices_of(settings)
    except CsmError as error:
        return error
    return selection_bounds.current().problem if choices.needs_geometry else None


def session_obstacle(context: bpy.types.Context) -> CsmError | None:
    """Return why no session can be made out of the selection; cheap."""
    try:
        choices_of(settings_of(context))
    except CsmError as error:
        return error
    if not context.view_layer.objects.selected:
        return InputError("Nothing is selected.", "Select the object to refine.")
    return selection_bounds.current().problem


def ready_service() -> str:
    """Return the address of the service in use where a request could leave now.

    Raises InputError, KeyMissing or BlenderOffline.
    """
    service = preferences.service_address()
    require_key(service)
    require_online(service)
    return service


def require_online(service: str) -> None:
    """Raise BlenderOffline where a request to the service would need online access that Blender does not allow."""
    if not addresses.is_loopback(service) and not preferences.is_online():
        raise BlenderOffline(
            "Blender's online access is off.", "Allow it in the preferences under System, or use the local service."
        )


def needs_yes(job: Job) -> bool:
    """Tell whether *Retry* of a job sends it anew to a service that may charge."""
    return (
        state_machine.retry_state(job) is JobState.PREPARED
        and not job.fetch_only
        and preferences.may_charge(job.service)
    )


def require_key(service: str) -> None:
    """Raise KeyMissing where the service needs a key and there is none."""
    if service != LOCAL:
        preferences.require_key()


def asked_now(measured: Measured | None, choices: BoundsOptions) -> RefineParameters | None:
    """Return what would be sent for a reading, or None where something for it is missing; for ``draw``."""
    try:
        return placement.resolve(measured, choices)
    except InputError:
        return None


def _asked(context: bpy.types.Context, choices: BoundsOptions) -> RefineParameters:
    return placement.resolve(_measured(context, choices), choices)


def _measured(context: bpy.types.Context, choices: BoundsOptions) -> Measured | None:
    """Measure the selection; nothing selected is fine where no choice needs an object."""
    from ..geometry import bounds  # brings numpy

    try:
        active, chosen = bounds.selection(context.view_layer)
    except InputError:
        if choices.needs_geometry:
            raise
        return None
    thickness = settings_of(context).thickness if choices.bounds is BoundsSource.OBJECT else None
    return bounds.measure_for(choices, context.evaluated_depsgraph_get(), active, chosen, thickness=thickness)
