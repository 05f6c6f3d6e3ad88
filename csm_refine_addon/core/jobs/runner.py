"""Drives a job: takes the next step from ``flow``, does it, and writes the outcome into the journal.

Runs wherever it is called: on a thread of the worker process, or headless in the calling thread. Clock, waiting and
everything that leaves the process are parameters.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .. import errors, private_files
from ..addresses import is_loopback
from ..data_dir import DataDir
from ..errors import CsmError
from ..mesh_files import check
from ..models import LOCAL, Job, JobState, MeshReport, Secret
from ..processes.background import Cancelled, Wait
from ..providers.client import Client, Unanswered
from ..providers.csm_schema import Session
from ..providers.transport import NotConnected
from . import backoff, result_fetch, result_files, state_machine
from .backoff import ClockJumpDetector
from .job_store import JobStore
from .state_machine import Step

LEASE_S = 15.0
PROGRESS_EVERY_S = 0.5
PICTURE, PNG = "picture.png", b"\x89PNG\r\n\x1a\n"


class _StateConflict(Exception):
    """Another process has moved the job on: what a step found out counts no more."""


@dataclass(slots=True)
class _Progress:
    """How far a download is, from where it began."""

    start: int = -1
    done: int = 0
    total: int | None = None
    saved_at: float = 0.0

    def update(self, done: int, total: int | None) -> None:
        self.start = done if self.start < 0 else self.start
        self.done, self.total = done, total

    @property
    def has_resumed(self) -> bool:
        return 0 < self.start < self.done

    def apply(self, job: Job) -> Job:
        return state_machine.received(job, self.done, self.total, resumed=self.has_resumed)


class BlenderTasks(Protocol):
    """What needs a background Blender."""

    def prepare(self, job: Job, mesh: Path) -> tuple[Path, MeshReport]:
        """Turn a checked mesh file into a .blend; raises MeshUnusable, BlendTooNew, or PrepareFailed."""

    def export_source(self, job: Job) -> Path:
        """Turn the job's source .blend into a mesh file for a new session."""


@dataclass(frozen=True, slots=True)
class JobRunner:
    """One way to drive jobs. ``client_for`` returns the client of a service address, or raises KeyMissing."""

    store: JobStore
    data_dir: DataDir
    client_for: Callable[[str], Client]
    blender_tasks: BlenderTasks
    wait: Wait
    clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random
    """Uniform in [0, 1): spreads the polls of many clients over time."""
    on_change: Callable[[Job], None] = lambda job: None
    """Told of the job after each change."""
    renew_lease: Callable[[str], bool] = lambda job_id: True
    """Renews the job's lease; False: another process drives it now, as this one stood still for too long."""
    read_session: Callable[[Job], Session] | None = None
    """Reads the session of a running refine; a process with many jobs reads many at once."""

    def drive(self, job_id: str, *, until: Callable[[Job], bool] = lambda job: False) -> Job:
        """Drive a job until it rests: ready, ended, unclear, or as ``until`` says. Return how it stands.

        The caller holds the job's lease. Raises InputError where the job is not in the journal.
        """
        job = self.store.change(job_id, lambda job: state_machine.recovered(job, self.clock()))
        clock_jumps = ClockJumpDetector(self.clock)
        try:
            while not until(job) and state_machine.next_step(job) is not Step.REST:
                job = self._advance(job, clock_jumps)
        except Cancelled:
            pass
        return self.store.get(job_id)

    def _advance(self, job: Job, clock_jumps: ClockJumpDetector) -> Job:
        """Wait until something is to be done with the job, and do it."""
        try:
            job = self._check_deadline(job, clock_jumps)
            self._wait_until_due(job, clock_jumps)
            self._require_lease(job)
            if job.state is JobState.PREPARED:  # nothing is sent any more; what was sent gets a last look
                job = self._check_deadline(job, clock_jumps)
            step = state_machine.next_step(job)
            return job if step is Step.REST else self._run_step(step, job)
        except _StateConflict:
            return self.store.get(job.id)

    def _check_deadline(self, job: Job, clock_jumps: ClockJumpDetector) -> Job:
        jump_s = clock_jumps.jump_s()
        return self._change(job, lambda job: state_machine.overdue(backoff.shift_times(job, jump_s), self.clock()))

    def _require_lease(self, job: Job) -> None:
        if not self.renew_lease(job.id):
            raise Cancelled

    def _wait_until_due(self, job: Job, clock_jumps: ClockJumpDetector) -> None:
        if state_machine.next_step(job) is Step.REST:
            return
        wait_s = backoff.until_due(job, self.clock(), 0.9 + 0.2 * self.jitter())
        clock_jumps.expect(wait_s)
        if self.wait(wait_s):
            raise Cancelled

    def _run_step(self, step: Step, job: Job) -> Job:
        """Take one step; a failure that the step does not know better is the flow's to judge."""
        try:
            return self._handler(step)(job)
        except errors.JobStoreBusy:  # says nothing about the job: whoever drives it next takes the step again
            raise
        except CsmError as error:
            failure = error
        except OSError as error:
            failure = errors.StorageError(
                f"The job's files cannot be written: {error.strerror or error}.", "Free some disk space, then retry."
            )
        return self._change(job, lambda job: state_machine.request_failed(job, failure, self.clock()))

    def _handler(self, step: Step) -> Callable[[Job], Job]:
        return {
            Step.CREATE: self._create,
            Step.BASELINE: self._read_baseline,
            Step.FETCH: self._fetch,
            Step.SUBMIT: self._submit,
            Step.LOOK_UP: self._look_up,
            Step.POLL: self._poll,
            Step.DOWNLOAD: self._download,
            Step.PREPARE: self._prepare,
        }[step]

    def _create(self, job: Job) -> Job:
        """Make the session; how long the files for it are kept: :meth:`.DataDir.source`."""
        self.client_for(job.service)  # the service runs then, and its Blender is known
        mesh = self.blender_tasks.export_source(job)
        try:
            session = self.client_for(job.service).create_session(mesh)
        finally:
            mesh.unlink(missing_ok=True)
        job = self._change(job, lambda job: state_machine.created(job, session, self.clock()))
        self.data_dir.source(job.id).unlink(missing_ok=True)
        return job

    def _read_baseline(self, job: Job) -> Job:
        session = self.client_for(job.service).read_session(job.request.session_code)
        return self._change(job, lambda job: state_machine.baseline_read(job, session, self.clock()))

    def _fetch(self, job: Job) -> Job:
        session = self.client_for(job.service).read_session(job.request.session_code)
        return self._change(job, lambda job: result_fetch.result_read(job, session, self.clock()))

    def _submit(self, job: Job) -> Job:
        """Write down that the POST leaves, send it once, and write down what came of it."""
        client = self.client_for(job.service)
        client.require_online()
        job = self._change(job, lambda job: state_machine.submitting(job, self.clock()))
        try:
            return self._send(job, client)
        finally:
            if state_machine.can_cancel(job):
                self.store.cancel_if_unwanted(job)

    def _send(self, job: Job, client: Client) -> Job:
        try:
            ack = client.submit(job.request)
        except Unanswered:
            return self._change(job, lambda job: state_machine.unanswered(job, self.clock()))
        except (NotConnected, errors.ServiceBusy, errors.BlenderOffline) as error:
            not_taken = error
            return self._change(job, lambda job: state_machine.not_accepted(job, not_taken, self.clock()))
        except CsmError as error:
            refusal = error
            return self._change(job, lambda job: state_machine.refused(job, refusal, self.clock()))
        return self._notify(self.store.change(job.id, lambda job: state_machine.accepted(job, ack, self.clock())))

    def _look_up(self, job: Job) -> Job:
        session = self.client_for(job.service).read_session(job.request.session_code)
        return self._change(job, lambda job: state_machine.looked_up(job, session, self.clock()))

    def _poll(self, job: Job) -> Job:
        read_session = self.read_session or (
            lambda job: self.client_for(job.service).read_session(job.request.session_code)
        )
        session = read_session(job)
        return self._change(job, lambda job: state_machine.polled(job, session, self.clock()))

    def _download(self, job: Job) -> Job:
        """Fetch the mesh into a part file, check it, and give it its final name."""
        client = self.client_for(job.service)
        session = client.read_session(job.request.session_code)
        if not state_machine.has_result(job, session):
            return self._change(job, lambda job: state_machine.result_gone(job, session, self.clock()))
        url = _mesh_url(job, session)
        if url is None:
            raise errors.ServiceUnreachable("The session shows no mesh any more.", errors.LATER)
        folder = self.data_dir.job_folder(job.id)
        part = folder / "mesh.part"
        progress = _Progress()
        try:
            client.download(url, part, lambda done, total: self._report_progress(job, progress, done, total))
        finally:
            if progress.has_resumed:  # also where it was cut again before the next note was due
                self._change(job, progress.apply)
        try:
            kind = check(part, allow_blend=job.service == LOCAL)
        except errors.MeshUnusable:
            part.unlink()
            raise
        mesh = folder / f"mesh.{kind}"
        part.replace(mesh)
        if job.service == LOCAL:
            result_files.add_other_formats(url, self.data_dir, mesh)
        picture = self._picture(job, client, session)
        return self._change(job, lambda job: state_machine.downloaded(job, str(mesh), self.clock(), session, picture))

    def _picture(self, job: Job, client: Client, session: Session) -> str:
        """Fetch the picture of source and result and return its path; empty where it cannot be had."""
        if session.picture is None or not is_loopback(job.service):
            return ""
        path = self.data_dir.job_folder(job.id) / PICTURE
        try:
            content = client.image(session.picture)
        except CsmError:
            return ""
        if not content.startswith(PNG):
            return ""
        part = path.with_suffix(".part")
        private_files.write_bytes(part, content)
        part.replace(path)
        return str(path)

    def _report_progress(self, job: Job, progress: _Progress, done: int, total: int | None) -> None:
        """Write the progress down now and then, and see whether to go on."""
        progress.update(done, total)
        now = self.clock()
        if abs(now - progress.saved_at) < PROGRESS_EVERY_S and done != total:
            return
        progress.saved_at = now
        self._change(job, progress.apply)
        self._require_lease(job)
        if self.wait(0):
            raise Cancelled

    def _prepare(self, job: Job) -> Job:
        mesh = Path(job.mesh_path)
        if not mesh.is_file():
            return self._change(job, lambda job: state_machine.mesh_lost(job, self.clock()))
        try:
            blend, report = self.blender_tasks.prepare(job, mesh)
        except errors.BlendTooNew:
            return self._change(job, lambda job: state_machine.mesh_lost(job, self.clock(), no_blend=True))
        return self._change(job, lambda job: state_machine.prepared(job, str(blend), report, self.clock()))

    def _change(self, job: Job, step: Callable[[Job], Job]) -> Job:
        """Write a step's outcome down, unless someone else has meanwhile stopped, removed or moved the job."""
        expected = job.state

        def guarded(now: Job) -> Job:
            if now.state is not expected:
                raise Cancelled if now.state is JobState.STOPPED else _StateConflict
            return step(now)

        try:
            return self._notify(self.store.change(job.id, guarded))
        except errors.StorageError:
            raise
        except errors.InputError:
            raise Cancelled from None

    def _notify(self, job: Job) -> Job:
        self.on_change(job)
        return job


def _mesh_url(job: Job, session: Session) -> Secret | None:
    """Return the address to download: of a local service the .blend that this Blender can read, else of a mesh file.

    Local results keep their quads, save where only triangles were asked for; other ones where quads were asked for. A
    .blend of another service is never read.
    """
    if job.service != LOCAL:
        return session.best_mesh(quads=state_machine.wants_quads(job, session))
    if session.blend and not job.no_blend:
        return session.blend
    return session.best_mesh(quads=job.request.local is None or job.request.local.topology != "tris")
