"""The journal as this Blender knows it: a snapshot that panels draw from, and the changes that operators make."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import bpy

from ...core.data_dir import DataDir
from ...core.errors import CsmError, InputError, JobStoreBusy, StorageError
from ...core.jobs import state_machine
from ...core.models import Job, JobState
from .. import data_location
from ..scene import object_metadata
from ..ui import sidebar_visibility
from . import job_list

if TYPE_CHECKING:  # sqlite3 comes in when it is needed: enabling the extension stays cheap
    from ...core.jobs.job_store import JobStore

BUSY_S = 0.05
"""How long the window may wait for another process's transaction; a script without a window waits longer."""
PATIENT_S = 5.0
MOST_AT_ONCE = 4
"""Jobs that a turn of the timer reads, at 50 to 100 microseconds each."""


class JobCache:
    """Every job of the journal as last read, and the way to write a change down."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        """Every job of the journal, as last read; this is what panels draw from."""
        self.active: dict[str, Job] = {}
        self.ready: dict[str, Job] = {}
        """Those under way and those to be placed: all that a turn of the timer goes through."""
        self.has_read = False
        """Whether the journal has been read: before, a job that is not in ``jobs`` may still be there."""
        self._journal: JobStore | None = None
        self._revision = 0
        self._version = -1
        self._is_behind = False
        """Whether more has changed than what was read in the last turn."""
        self._steps: list[tuple[Job | None, Job]] = []
        """What was read and has not been told yet: each job as it was known before, and as it came."""
        self._needs_worker = False
        """Whether a worker is still to be started for jobs that were cancelled or removed."""

    @functools.cached_property
    def home(self) -> DataDir:
        """The folder of the journal; looking it up takes longer than the rest of some turns."""
        return data_location.home()

    def journal(self) -> JobStore:
        """Return the journal, opened when first asked for. Raises StorageError."""
        if self._journal is None:
            from ...core.jobs.job_store import JobStore

            self._journal = JobStore(self.home.journal, busy_timeout_s=PATIENT_S if bpy.app.background else BUSY_S)
            self._revision, self._version, self.has_read = 0, -1, False
            self._needs_worker |= bool(self._journal.cancellations())
            self.know({})
        return self._journal

    def refresh(self, most: int = -1) -> None:
        """Read what changed, of at most ``most`` jobs. Raises StorageError."""
        changes = self.journal().changes_since(self._revision, most)
        self._revision, self._is_behind = changes.revision, not changes.complete
        self.has_read |= changes.complete
        steps = [(self.jobs.get(job.id), job) for job in changes.jobs]
        self._steps += steps
        if changes.removed or any(before is None or before.state is not job.state for before, job in steps):
            object_metadata.mark_stale()
        for job in changes.jobs:
            self._learn(job)
        for job_id in changes.removed:
            self._forget(job_id)

    def know(self, jobs: Mapping[str, Job]) -> None:
        """Take these for all the jobs that there are."""
        self.jobs, self.active, self.ready = {}, {}, {}
        for job in jobs.values():
            self._learn(job)

    def add(self, job: Job, *, in_front: bool = True) -> Job:
        """Write a new job down, and select it where it is to stand ``in_front``.

        Raises StorageError, and AlreadySubmitted where another job of its session bars it.
        """
        self.press()
        written = self.journal().add(job)
        self._take_in(written)
        job_list.show(self.jobs, select=written.id if in_front else "")
        object_metadata.mark_source(written)
        return written

    def change(self, job_id: str, step: Callable[[Job], Job], *, again: bool = False) -> Job:
        """Change a job; ``again``: send it although another job of its session bars it.

        Raises StorageError, InputError where it is gone, AlreadySubmitted, IllegalTransition.
        """
        self.press()
        written = self.journal().change(job_id, step, again=again)
        self._take_in(written)
        self._end_cancelled(written)
        return written

    def change_each(self, job_ids: Iterable[str], step: Callable[[Job], Job]) -> list[Job]:
        """Change many jobs at once; what is gone or has moved on meanwhile is let be. Raises StorageError."""
        self.press()
        changed = self.journal().change_each(job_ids, step)
        for written in changed:
            self._take_in(written)
        self._end_cancelled(*changed)
        return changed

    def remove(self, *job_ids: str) -> None:
        """Forget jobs, and have the worker end their local refines and delete their files. Raises StorageError."""
        self.press()
        self.journal().remove(*job_ids)
        for job_id in job_ids:
            self._forget(job_id)
        self._needs_worker = True
        job_list.show(self.jobs)
        sidebar_visibility.redraw()
        if bpy.app.background:  # no turn comes that starts a worker
            for job_id in job_ids:
                self.home.delete_job_folder(job_id)
            self._cancel_here()

    def _end_cancelled(self, *jobs: Job) -> None:
        """Have the worker end the local refines of jobs that were just cancelled; without a window, wait for it."""
        cancelled = [job.id for job in jobs if job.is_cancelled]
        self._needs_worker |= bool(cancelled)
        if bpy.app.background and cancelled:
            self._cancel_here(*cancelled)

    def _cancel_here(self, *job_ids: str) -> None:
        from .. import headless

        if job_ids or self.journal().cancellations():
            headless.cancel(*job_ids)

    def close(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def press(self) -> None:
        """Note that the user asked for something."""

    def _take_in(self, job: Job) -> None:
        self._learn(job)
        object_metadata.mark_stale()
        sidebar_visibility.redraw()

    def _learn(self, job: Job) -> None:
        self.jobs[job.id] = job
        for jobs, belongs in ((self.active, state_machine.is_active(job)), (self.ready, job.state is JobState.READY)):
            if belongs:
                jobs[job.id] = job
            else:
                jobs.pop(job.id, None)

    def _forget(self, job_id: str) -> None:
        for jobs in (self.jobs, self.active, self.ready):
            jobs.pop(job_id, None)


@contextmanager
def unless_gone() -> Iterator[None]:
    """Let pass that the user has removed or stopped a job meanwhile; a journal in trouble is still raised."""
    try:
        yield
    except StorageError:
        raise
    except (InputError, state_machine.IllegalTransition):
        pass


def is_locked(error: CsmError) -> bool:
    """Tell whether the journal is only in use by another process for this moment."""
    return isinstance(error, JobStoreBusy)
