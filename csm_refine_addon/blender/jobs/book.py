"""The journal as this Blender knows it: a snapshot that panels draw from, and the changes that operators make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import bpy

from ...core.errors import CsmError, JournalBusy
from ...core.models import Job
from .. import locations
from ..scene import marks
from ..viewport import sidebar
from . import job_rows

if TYPE_CHECKING:  # sqlite3 comes in when it is needed: enabling the extension stays cheap
    from ...core.journal import Journal

BUSY_S = 0.05
"""How long the window may wait for another process's transaction; a script without a window waits longer."""
PATIENT_S = 5.0


class JobBook:
    """Every job of the journal as last read, and the way to write a change down."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        """Every job of the journal, as last read; this is what panels draw from."""
        self._journal: Journal | None = None
        self._revision = 0
        self._version = -1

    @property
    def has_read(self) -> bool:
        """Whether the journal has been read: before, a job that is not in ``jobs`` may still be there."""
        return bool(self.jobs) or self._version != -1

    def journal(self) -> Journal:
        """Return the journal, opened when first asked for. Raises StorageError."""
        if self._journal is None:
            from ...core.journal import Journal

            self._journal = Journal(
                locations.home().journal, busy_timeout_s=PATIENT_S if bpy.app.background else BUSY_S
            )
            self._revision, self._version, self.jobs = 0, -1, {}
        return self._journal

    def refresh(self) -> list[Job]:
        """Read what changed and return the changed jobs as they were before, for who compares. Raises StorageError."""
        changes = self.journal().changes_since(self._revision)
        self._revision = changes.revision
        before = [self.jobs[job.id] for job in changes.jobs if job.id in self.jobs]
        self.jobs.update({job.id: job for job in changes.jobs})
        for job_id in changes.removed:
            self.jobs.pop(job_id, None)
        return before

    def add(self, job: Job, *, in_front: bool = True) -> Job:
        """Write a new job down, and select it where it is to stand ``in_front``. Raises StorageError."""
        self.press()
        written = self.journal().add(job)
        self._take_in(written)
        job_rows.show(self.jobs, select=written.id if in_front else "")
        marks.mark_source(written)
        return written

    def change(self, job_id: str, step: Callable[[Job], Job]) -> Job:
        """Change a job. Raises StorageError, InputError where it is gone, IllegalTransition."""
        self.press()
        written = self.journal().change(job_id, step)
        self._take_in(written)
        return written

    def remove(self, job_id: str) -> None:
        """Forget a job. Raises StorageError."""
        self.press()
        self.journal().remove(job_id)
        self.jobs.pop(job_id, None)
        job_rows.show(self.jobs)
        sidebar.redraw()

    def close(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def press(self) -> None:
        """Note that the user asked for something."""

    def _take_in(self, job: Job) -> None:
        self.jobs[job.id] = job
        marks.mark_stale()
        sidebar.redraw()


def is_locked(error: CsmError) -> bool:
    """Tell whether the journal is only in use by another process for this moment."""
    return isinstance(error, JournalBusy)
