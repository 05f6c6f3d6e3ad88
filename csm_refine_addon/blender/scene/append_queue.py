"""Large results on their way into the file: one part in a turn of the timer, so that the window never stands still."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ...core.models import Job

if TYPE_CHECKING:  # numpy comes in when it is needed
    from ..background.chunked_append import ChunkedAppend


class Deliveries:
    """What has been brought in so far, by job."""

    def __init__(self) -> None:
        self._under_way: dict[str, ChunkedAppend] = {}

    def append_next(self, job: Job) -> bool:
        """Bring in the next part of a job's result; False: there is none left, so it can be placed."""
        from ..background.chunked_append import ChunkedAppend

        if job.id not in self._under_way:
            self._under_way[job.id] = ChunkedAppend(Path(job.blend_path))
        delivery = self._under_way[job.id]
        if delivery.is_complete:
            return False
        delivery.append_next()
        return True

    def take(self, job: Job) -> bpy.types.Object | None:
        """Return the object that was brought; None: it is to be appended whole."""
        delivery = self._under_way.pop(job.id, None)
        return delivery.take() if delivery else None

    def keep_only(self, job_ids: Collection[str]) -> None:
        """Remove what was brought for other jobs: those are stopped, removed, or placed by somebody else."""
        for job_id in self._under_way.keys() - set(job_ids):
            self._under_way.pop(job_id).drop()

    def file_loaded(self) -> None:
        """Another file is open: what was brought is gone with the last one."""
        self._under_way.clear()
