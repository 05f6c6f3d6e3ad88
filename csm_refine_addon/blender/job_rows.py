"""The rows of the job list, newest first: ids only, because everything else stands in the pump's snapshot."""

from __future__ import annotations

from collections.abc import Mapping

import bpy

from ..core.models import Job


def show(jobs: Mapping[str, Job], select: str = "") -> bool:
    """Make the list show these jobs, keep the selected one selected, or select one; tell whether a row changed."""
    kept = bpy.context.window_manager.csm_refine
    wanted = [job.id for job in sorted(jobs.values(), key=lambda job: job.created_at, reverse=True)]
    shown = [row.name for row in kept.jobs]
    if wanted == shown and not select:
        return False
    selected = select or (shown[kept.active] if kept.active < len(shown) else "")
    if wanted != shown:
        kept.jobs.clear()
        for job_id in wanted:
            kept.jobs.add().name = job_id
    kept.active = wanted.index(selected) if selected in wanted else 0
    return True


def selected_id() -> str:
    """Return the id of the selected row's job, or an empty text."""
    kept = bpy.context.window_manager.csm_refine
    return str(kept.jobs[kept.active].name) if kept.active < len(kept.jobs) else ""
