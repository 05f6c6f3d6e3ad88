"""What became of jobs meanwhile, said once: a timer has no operator to report with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...core.models import Job, JobState
from ..scene import auto_place
from ..ui import status_messages
from . import job_text


def say(steps: Iterable[tuple[Job | None, Job]], jobs: Mapping[str, Job]) -> None:
    """Say what became of the jobs that took these steps: each as it was, None where it was not known, and as it came.

    ``jobs`` are all as they stand now: one that has moved on since has nothing to be said of.
    """
    for before, job in steps:
        now = jobs.get(job.id)
        if before is not None and now is not None and before.state is not job.state is now.state:
            _say(job)


def _say(job: Job) -> None:
    if job.state in (JobState.FAILED, JobState.UNCERTAIN) and job.error is not None:
        status_messages.say("WARNING", f"CSM Refine: {job.error.message}")
    elif job.state is JobState.READY and not auto_place.belongs_here(job):
        status_messages.say("INFO", f"CSM Refine: {job_text.title(job)} is ready to be placed.")
