"""What other processes do in these tests; imported by them, so it imports little."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import Job, RefineRequest


def count_up(path: str, job_id: str, times: int) -> None:
    """Add to a job's counter and add jobs of our own, as fast as it goes."""
    with JobStore(Path(path), busy_timeout_s=30.0) as journal:
        for _ in range(times):
            journal.change(job_id, one_more)
            journal.add(new_job(RefineRequest("SESSION_1_2"), "local", now=1.0), again=True)


def one_more(job: Job) -> Job:
    return dataclasses.replace(job, polls=job.polls + 1)


def claim(path: str, job_id: str, owner: str, now: float) -> bool:
    with JobStore(Path(path), busy_timeout_s=30.0) as journal:
        return journal.claim(job_id, owner, now, 15.0)


def die_in_a_change(path: str, job_id: str) -> None:
    """End like a killed process, in the middle of a transaction."""
    import os

    with JobStore(Path(path)) as journal:
        journal.change(job_id, lambda job: os._exit(7))
