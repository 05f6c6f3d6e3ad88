"""The rows of the job list, newest first: ids only, because everything else stands in the pump's snapshot."""

from __future__ import annotations

from collections.abc import Mapping

import bpy

from ..core.models import Job

_selected = ""
"""The selected job's id: the rows are taken away while a file is saved."""


def show(jobs: Mapping[str, Job], select: str = "") -> bool:
    """Make the list show these jobs, keep the selected one selected, or select one; tell whether a row changed."""
    global _selected  # noqa: PLW0603  # there is one list
    kept = bpy.context.window_manager.csm_refine
    wanted = [job.id for job in sorted(jobs.values(), key=lambda job: job.created_at, reverse=True)]
    shown = [row.name for row in kept.jobs]
    _selected = select or selected_id() or _selected
    if wanted == shown and not select:
        return False
    if wanted != shown:
        kept.jobs.clear()
        for job_id in wanted:
            kept.jobs.add().name = job_id
    kept.active = wanted.index(_selected) if _selected in wanted else 0
    return True


def clear() -> None:
    """Take all rows away; :func:`show` brings them back with the same one selected."""
    global _selected  # noqa: PLW0603
    _selected = selected_id()
    bpy.context.window_manager.csm_refine.jobs.clear()


def selected_id() -> str:
    """Return the id of the selected row's job, or an empty text."""
    kept = bpy.context.window_manager.csm_refine
    return str(kept.jobs[kept.active].name) if kept.active < len(kept.jobs) else ""
