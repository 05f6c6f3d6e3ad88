"""Job runner: executes the steps of the state machine and stores each outcome in the job store.

It runs on a thread of the worker process, or in the calling thread of a script. Clock, waiting, network and background
Blender are parameters.
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
    """Another process has changed the state of the job: the outcome of the step is discarded."""


@dataclass(slots=True)
class _Progress:
    """Progress of a download in bytes, with the offset at which it started."""

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
    """Tasks that need a background Blender."""

    def prepare(self, job: Job, mesh: Path) -> tuple[Path, MeshReport]:
        """Convert a checked mesh file to a .blend. Raises MeshUnusable, BlendTooNew or PrepareFailed."""

    def export_source(self, job: Job) -> Path:
        """Export the job's source .blend as a mesh file for a new session."""


@dataclass(frozen=True, slots=True)
class JobRunner:
    """Runs jobs to completion. ``client_for`` returns the client of a service address, or raises KeyMissing."""

    store: JobStore
    data_dir: DataDir
    client_for: Callable[[str], Client]
    blender_tasks: BlenderTasks
    wait: Wait
    clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random
    """Uniform in [0, 1): randomizes the poll times of many clients."""
    on_change: Callable[[Job], None] = lambda job: None
    """Called with the job after each change."""
    renew_lease: Callable[[str], bool] = lambda job_id: True
    """Renews the job's lease; False: it expired and another process has it."""
    read_session: Callable[[Job], Session] | None = None
    """Reads the session of a running refine; a process with many jobs shares one request."""

    def drive(self, job_id: str, *, until: Callable[[Job], bool] = lambda job: False) -> Job:
        """Run a job until it has no next step, or until ``until`` returns True. Return the stored job.

        The caller holds the job's lease. Raises InputError if the job is not in the job store.
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
        """Wait until the next step is due, and execute it."""
        try:
            job = self._check_deadline(job, clock_jumps)
            self._wait_until_due(job, clock_jumps)
            self._require_lease(job)
            if job.state is JobState.PREPARED:  # after the deadline only a sent refine is read once more
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
        """Execute one step; a failure that the step does not handle becomes ``state_machine.request_failed``."""
        try:
            return self._handler(step)(job)
        except errors.JobStoreBusy:  # no fault of the job: the next process repeats the step
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
        """Create the session; :meth:`.DataDir.source` describes the lifetime of its files."""
        self.client_for(job.service)  # starts the service, so that its Blender is known
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
        """Store SUBMITTING, send the POST once, and store the outcome."""
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
        """Download the mesh to a part file, check it, and rename it."""
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
            if progress.has_resumed:  # also if it was interrupted before the next save
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
        """Download the picture of source and result and return its path; empty if that fails."""
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
        """Store the progress every PROGRESS_EVERY_S, renew the lease, and raise Cancelled if stopped."""
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
        """Store the outcome of a step, unless the job was stopped, removed or changed by another process."""
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
    """Return the URL to download: the .blend of the local service if this Blender can read it, else a mesh file.

    Local results keep their quads unless triangles were requested; other results only if quads were requested. The
    .blend of another service is never read.
    """
    if job.service != LOCAL:
        return session.best_mesh(quads=state_machine.wants_quads(job, session))
    if session.blend and not job.no_blend:
        return session.blend
    return session.best_mesh(quads=job.request.local is None or job.request.local.topology != "tris")
