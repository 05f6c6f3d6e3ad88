"""The commands: each checks its arguments first, then works on the job store, and returns an outcome."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..core import validation
from ..core.errors import CsmError, InputError
from ..core.jobs import cleanup
from ..core.models import CSM_BASE_URL, LOCAL, TERMINAL, Job, JobState, RefineRequest
from ..core.placement import BoundsOptions, BoundsSource, PivotSource, RefineParameters, resolve
from ..core.processes import local_settings
from .context import SERVICE_VARIABLE, CommandContext, seconds
from .outcome import EMPTY, Outcome, document, failure, interrupted, of_job, together
from .progress_bar import describe
from .saved_settings import blender, has_blender

LAST_LOOK_S = 1.0
"""What a job is followed for at least, so that it is looked at though the jobs before it took all the time."""
BOX_NAMES = (str(BoundsSource.OBJECT), str(BoundsSource.AUTO))
PIVOT_NAMES = tuple(str(source) for source in PivotSource if source is not PivotSource.TYPED)
_REQUEST_OPTIONS = (
    *("bbox", "pivot", "object", "blend", "service"),
    *("topology", "faces", "texture_size", "symmetry", "keep_aspect", "keep_parts"),
)


def refine(options: Namespace) -> Outcome:
    """Submit, wait, download, prepare, place, and save or export."""
    scene = blender("refine places the mesh in Blender")
    code = validation.session_code(options.code)
    output = scene.checked_output(options.output)
    local = local_settings.of_options(options)
    with CommandContext(options) as desk:
        local_settings.require_local(desk.service, local)
        asked = _asked(options, scene)
        desk.check_service()
        job = desk.submit(RefineRequest(code, local=local), asked)
        return desk.place(job, scene, output)


def submit(options: Namespace) -> Outcome:
    """Submit and return; the job stays in the job store."""
    code, again_job = _code_or_job(options)
    with CommandContext(options) as desk:
        if again_job:
            _require_unchanged(options)
            job = desk.sent_again(desk.job(again_job), options.timeout, take_over=options.take_over)
            job = desk.follow(job, until=_is_accepted)
        else:
            request = RefineRequest(validation.session_code(code), local=local_settings.of_options(options))
            local_settings.require_local(desk.service, request.local)
            asked = _asked(options, blender() if has_blender() else None)
            desk.check_service()
            job = desk.submit(request, asked, until=_is_accepted)
        return of_job(job, f"{job.id} {describe(job)}")


def _code_or_job(options: Namespace) -> tuple[str, str]:
    """Return the session code, or the job that is to be sent again; the other one is empty. Raises InputError."""
    named = options.again if isinstance(options.again, str) else ""
    if "SESSION_" in named and not options.code:  # submit --again CODE: as submit CODE --again
        return named, ""
    if bool(options.code) == bool(named):
        raise InputError("Give either a session code or --again JOB.", "See submit --help.")
    return options.code or "", named


def _is_accepted(job: Job) -> bool:
    return job.accepted_at is not None


def _require_unchanged(options: Namespace) -> None:
    """Raise InputError if ``--again JOB`` has other options: the job is sent unchanged."""
    given = [name for name in _REQUEST_OPTIONS if getattr(options, name) not in (None, False)]
    if given:
        raise InputError(
            f"--again JOB sends a job as it is; it cannot have another --{given[0].replace('_', '-')}.",
            "Leave that out, or submit the session's code anew.",
        )


def status(options: Namespace) -> Outcome:
    """Request a job's state from the service once."""
    with CommandContext(options) as desk:
        job = desk.find(options.target)
        code = job.request.session_code if job else validation.session_code(options.target or "")
        service = job.service if job else desk.service
        other = _refusal(desk, job) if job else None
        if other:
            return other
        desk.check_service(service)
        session = desk.client(service).read_session(code)
    remote = session.status
    percent = "" if remote.percent is None else f" {remote.percent:.0f} %"
    seen = {"session": code, "service": service, "remote_status": remote.word, "percent": remote.percent}
    known = document(job) if job else EMPTY
    told = {"warnings": (*known["warnings"], *session.warnings), "notes": session.notes}
    remarks = (*session.warnings, *session.notes)
    return Outcome(f"{code}: {remote.word}{percent}", {**known, **seen, **told}, remarks=remarks)


def wait(options: Namespace) -> Outcome:
    """Follow jobs until they are ready, placed or ended; a stopped or overdue one that is named is taken up again."""
    ends_at = math.inf if options.timeout is None else time.monotonic() + seconds(options.timeout)
    with CommandContext(options) as desk:
        named = [desk.job(job_id) for job_id in options.jobs]
        waiting = named or [job for job in desk.journal.all() if job.state not in {*TERMINAL, JobState.READY}]
        refused = {job.id: _refusal(desk, job, options) for job in waiting if _is_unfinished(job)}
        outcomes: list[Outcome] = []
        try:
            for job in waiting:
                found = refused.get(job.id) or _waited(desk, job, _left_s(options.timeout, ends_at))
                outcomes.append(found)  # one by one: those that came before an interrupt are kept
        except KeyboardInterrupt:
            left = waiting[len(outcomes) :]
            outcomes += [refused.get(job.id) or failure(interrupted(), desk.last_seen(job)) for job in left]
    return together(outcomes) if is_about_several(options) else outcomes[0]


def is_about_several(options: Namespace) -> bool:
    """Return whether a command's result is a list of jobs, also if it fails."""
    return options.command is jobs or (options.command is wait and len(options.jobs) != 1)


def _refusal(desk: CommandContext, job: Job, options: Namespace | None = None) -> Outcome | None:
    """Check service and key before a job is touched; return what is to be said where they are not good."""
    try:
        desk.check_account(job, take_over=bool(options and options.take_over))
    except CsmError as error:
        return failure(error, job)
    return None


def _left_s(timeout_s: float | None, ends_at: float) -> float | None:
    return None if timeout_s is None else max(ends_at - time.monotonic(), min(timeout_s, LAST_LOOK_S))


def _waited(desk: CommandContext, job: Job, timeout_s: float | None) -> Outcome:
    """Follow a job to its end; its own trouble ends no other one's following."""
    try:
        job = desk.follow(desk.taken_up(job, timeout_s), for_s=timeout_s)
    except CsmError as error:
        return failure(error, desk.last_seen(job))
    return of_job(job, f"{job.id} {describe(job)}")


def fetch(options: Namespace) -> Outcome:
    """Download and prepare without placing; without a Blender at hand, download and check only."""
    with CommandContext(options) as desk:
        job = desk.job(options.job)
        other = _refusal(desk, job, options) if _is_unfinished(job) else None
        if other:
            return other
        job = desk.follow(desk.taken_up(job, None))
        return of_job(job, job.blend_path or job.mesh_path or f"{job.id} {describe(job)}")


def place(options: Namespace) -> Outcome:
    """Place a ready job in the open file."""
    scene = blender("place needs Blender")
    output = scene.checked_output(options.output)
    with CommandContext(options) as desk:
        job = desk.job(options.job)
        if job.state not in (JobState.READY, JobState.PLACED, JobState.PREPARING):
            raise InputError(f"The job {job.id} is not ready: {describe(job)}.", f"Follow it with wait {job.id}.")
        if options.blend:
            scene.open_blend(Path(options.blend))
        return desk.place(desk.follow(job), scene, output)


def stop(options: Namespace) -> Outcome:
    """Cancel a job of the local service; track another one no longer: what runs at its service runs on."""
    with CommandContext(options) as desk:
        job = desk.stopped(desk.job(options.job))
    return Outcome(f"{job.id} {describe(job)}", document(job))


def jobs(options: Namespace) -> Outcome:
    """List the jobs of the job store."""
    with CommandContext(options) as desk:
        found = desk.journal.all()
        outcomes = [desk.seen(job) for job in found]
    return Outcome("\n".join(each.text for each in outcomes), {"jobs": [each.document for each in outcomes]})


def clean(options: Namespace) -> Outcome:
    """Delete the files that no job needs; with ``--dry-run``, only measure them."""
    with CommandContext(options) as desk:
        space = cleanup.run(desk.home, desk.journal, lambda: desk.client(LOCAL), delete=not options.dry_run)
    held = f"jobs {space.jobs / 1e6:.1f} MB, local sessions {space.sessions / 1e6:.1f} MB"
    freed = f"not needed {space.unneeded / 1e6:.1f} MB, deleted {space.deleted / 1e6:.1f} MB"
    return Outcome(f"{held}; {freed}", {**EMPTY, "space": dataclasses.asdict(space)})


def create(options: Namespace) -> Outcome:
    """Make a session on the local service out of a mesh file or an object."""
    if bool(options.mesh) == bool(options.object):
        raise InputError("Give either a mesh file or --object NAME.", "See create --help.")
    if not options.service and not os.environ.get(SERVICE_VARIABLE, "").startswith("http"):
        options.service = LOCAL
    if options.mesh and not Path(options.mesh).is_file():
        raise InputError(f"There is no file {options.mesh}.", "Check the path.")
    with CommandContext(options) as desk:
        if desk.service == CSM_BASE_URL:
            raise InputError("CSM's service makes no sessions out of meshes.", "Use --service local.")
        desk.check_service()
        desk.client(desk.service)  # the local service runs then, and its Blender is known
        with _mesh_of(options, desk) as (mesh, losses):
            session = desk.client(desk.service).create_session(mesh)
    warnings = (*losses, *session.warnings)
    seen = {"session": session.code, "service": desk.service, "remote_status": session.status.word}
    found = {**EMPTY, **seen, "percent": session.status.percent, "warnings": warnings}
    return Outcome(session.code, found, remarks=warnings)


@contextlib.contextmanager
def _mesh_of(options: Namespace, desk: CommandContext) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Give the mesh file for a session, which is deleted where it was made for that, and what a refine will lose."""
    if options.mesh:
        yield Path(options.mesh), ()
        return
    scene = blender("create --object needs Blender")
    if options.blend:
        scene.open_blend(Path(options.blend))
    losses = scene.losses_of(options.object)
    with scene.exported(options.object, desk.home, desk.service) as mesh:
        yield mesh, losses


def serve(arguments: Sequence[str]) -> int:
    """Run the local refine service until it is told to stop."""
    from ..service.__main__ import main

    return main(arguments)


def _asked(options: Namespace, scene: Any) -> RefineParameters:
    """Read box and pivot from the options and the object. Raises InputError."""
    if scene is None:
        if options.object or options.blend:
            raise InputError("--object and --blend need Blender.", "Give --bbox and --pivot in numbers.")
        return resolve(None, choices_of(options.bbox, options.pivot, has_object=False))
    if options.blend:
        scene.open_blend(Path(options.blend))
    source = scene.find_source(options.object)
    choices = choices_of(options.bbox, options.pivot, has_object=source is not None)
    return resolve(scene.measured(source, choices) if source else None, choices)


def choices_of(bbox: list[str] | None, pivot: list[str] | None, *, has_object: bool) -> BoundsOptions:
    """Return what ``--bbox`` and ``--pivot`` choose. Raises InputError."""
    default = "object" if has_object else "auto"
    bbox, pivot = bbox or [default], pivot or [default]
    bounds, typed_bbox = BoundsSource.TYPED, None
    if len(bbox) == 1 and bbox[0] in BOX_NAMES:
        bounds = BoundsSource(bbox[0])
    else:
        typed_bbox = validation.scaled_bbox(bbox)
    named = [source for source in PivotSource if source is not PivotSource.TYPED and pivot == [source]]
    typed_pivot = None if named else validation.pivot_point(pivot)
    return BoundsOptions(bounds, named[0] if named else PivotSource.TYPED, typed_bbox, typed_pivot)


def _is_unfinished(job: Job) -> bool:
    return job.state not in (JobState.READY, JobState.PLACED)
