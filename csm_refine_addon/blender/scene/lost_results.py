"""Detection of results that *Adjust Last Operation* removed from the file, so that they can be placed again.

*Adjust Last Operation* undoes to the state before the operation and repeats it, which removes later results together
with their undo steps. A redo step exists only after an undo by the user; then the result is not placed again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import bpy

from ...core.models import Job, JobState
from . import auto_place, object_metadata

QUIET_S = 0.5
"""A slider that is dragged in the panel repeats the operator many times in a second."""


class LostResults:
    """The jobs whose results are to be placed again."""

    def __init__(self) -> None:
        self._before: set[str] = set()
        """The jobs of the results that stood in the file before an undo that was not looked at yet."""
        self._is_undone = False
        self._undone_at = -math.inf
        self._lost: set[str] = set()

    def before_undo(self) -> None:
        """Note which results stand in the file."""
        self._before |= object_metadata.result_jobs()

    def undone(self, now: float) -> bool:
        """Note an undo; return whether a result may have gone with it, so that a turn has to look."""
        self._is_undone, self._undone_at = True, now
        return self.is_waiting()

    def is_waiting(self) -> bool:
        """Return whether something is to be looked at, or to be placed."""
        return bool(self._lost or (self._is_undone and self._before))

    def next_job(self, context: bpy.types.Context, jobs: Mapping[str, Job], now: float) -> Job | None:
        """Return a job whose result is to be placed again now, or None; once only, whatever becomes of it."""
        if self._is_undone:
            gone = self._before - object_metadata.result_jobs()
            redo: Any = bpy.ops.ed.redo
            self._lost |= set() if redo.poll() else gone
            self._before, self._is_undone = set(), False
        if not self._lost or now - self._undone_at < QUIET_S:
            return None
        self._lost -= object_metadata.result_jobs()
        lost = [job for job in jobs.values() if job.id in self._lost and job.state is JobState.PLACED]
        waiting = auto_place.hindrances(context, lost)
        job = next((job for job in lost if job.id not in waiting and job.blend_path), None)
        self._lost = {other.id for other in lost if other is not job}
        return job
