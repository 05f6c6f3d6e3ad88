"""The rows of the job list, newest first: ids only, because everything else stands in the pump's snapshot.

Which of them are listed, and in what order, is kept here: a window manager is saved with the file.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

import bpy

from ...core.jobs import state_machine
from ...core.models import Job, JobState
from ..scene import object_metadata
from . import job_text

FILES = (
    ("ALL", "All Files", "List the jobs of every file"),
    ("THIS", "This File", "List the jobs that were made from the open file, or whose object is in it"),
)
SORTS = (
    ("NEWEST", "Newest First", "The job that was made last stands first"),
    ("STATE", "By State", "What waits for you first: failed, unclear, ready; then what runs; then what is done"),
    ("OBJECT", "By Object", "By the name of the source object"),
)
_FIRST = (JobState.FAILED, JobState.UNCERTAIN, JobState.READY)
_LAST = (JobState.PLACED, JobState.STOPPED)


class _Kept:
    def __init__(self) -> None:
        self.rows: list[str] = []
        self.selected = ""
        """The selected job's id: the rows are taken away while a file is saved."""
        self.files = 0
        self.sort = 0


_kept = _Kept()


def forget() -> None:
    """Back to how it began."""
    _kept.__init__()  # type: ignore[misc]


def show(jobs: Mapping[str, Job], select: str = "") -> bool:
    """Make the list show these jobs, keep the selected one selected, or select one; tell whether a row changed."""
    kept = bpy.context.window_manager.csm_refine
    _kept.selected = select or selected_id() or _kept.selected
    if len(kept.jobs) != len(_kept.rows):
        _kept.rows = [row.name for row in kept.jobs]
    is_same = jobs.keys() == set(_kept.rows)
    if is_same and not select:
        return False
    if not is_same:
        _kept.rows = _brought(kept.jobs, jobs)
    kept.active = _kept.rows.index(_kept.selected) if _kept.selected in jobs else 0
    return True


def _brought(rows: Any, jobs: Mapping[str, Job]) -> list[str]:
    """Make the rows those of the jobs, and return them; one more job is one more row, on top of a thousand others."""
    wanted = [job.id for job in sorted(jobs.values(), key=lambda job: job.created_at, reverse=True)]
    new = wanted[: max(0, len(wanted) - len(rows))]
    if wanted[len(new) :] != _kept.rows:
        rows.clear()
        for job_id in wanted:
            rows.add().name = job_id
        return wanted
    for job_id in reversed(new):
        rows.add().name = job_id
        rows.move(len(rows) - 1, 0)
    return wanted


def clear() -> None:
    """Take all rows away; :func:`show` brings them back with the same one selected."""
    _kept.selected = selected_id()
    bpy.context.window_manager.csm_refine.jobs.clear()


def selected_id() -> str:
    """Return the id of the selected row's job, or an empty text."""
    kept = bpy.context.window_manager.csm_refine
    return str(kept.jobs[kept.active].name) if kept.active < len(kept.jobs) else ""


def files_index(_window: Any) -> int:
    """Return which of :data:`FILES` is chosen; for a property."""
    return _kept.files


def choose_files(_window: Any, index: int) -> None:
    """Choose one of :data:`FILES`; for a property."""
    _kept.files = index


def sort_index(_window: Any) -> int:
    """Return which of :data:`SORTS` is chosen; for a property."""
    return _kept.sort


def choose_sort(_window: Any, index: int) -> None:
    """Choose one of :data:`SORTS`; for a property."""
    _kept.sort = index


def is_listed(job: Job) -> bool:
    """Tell whether the chosen files are those of the job."""
    return FILES[_kept.files][0] == "ALL" or object_metadata.is_of_this_file(job)


def listed(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs of the chosen files, oldest first."""
    return sorted(filter(is_listed, jobs), key=lambda job: job.created_at)


def matches(job: Job, text: str) -> bool:
    """Tell whether a searched text, in which ``*`` stands for anything, is in the job's names or state."""
    words = (job_text.object_name(job), job.placed_object, job_text.title(job), job_text.state_word(job))
    return fnmatch.fnmatchcase("\n".join(words).casefold(), f"*{text.casefold()}*")


def order(jobs: Iterable[Job | None]) -> list[int]:
    """Return for each row, which are newest first, its place in the chosen order; none for that very order."""
    chosen = SORTS[_kept.sort][0]
    if chosen == "NEWEST":
        return []
    key = _rank if chosen == "STATE" else _name
    rows = list(jobs)
    by_place = sorted(range(len(rows)), key=lambda row: key(rows[row]))
    places = [0] * len(rows)
    for place, row in enumerate(by_place):
        places[row] = place
    return places


def _rank(job: Job | None) -> int:
    if job is None or job.state in _LAST:
        return len(_FIRST) + 1 + (_LAST.index(job.state) if job else len(_LAST))
    return _FIRST.index(job.state) if job.state in _FIRST and not state_machine.is_active(job) else len(_FIRST)


def _name(job: Job | None) -> tuple[bool, str]:
    name = job_text.object_name(job) if job else ""
    return (not name, name.casefold())
