"""A job that fetches the result of a session that was refined before: it reads and downloads, and never sends.

Like ``flow``, no I/O: from PREPARED such a job goes to RUNNING by reading the session, and then the way of every job.
"""

from __future__ import annotations

import dataclasses

from .. import errors
from ..models import Job, JobState, RemoteKind
from ..providers.csm_schema import Session
from . import backoff, state_machine


def result_read(job: Job, session: Session, now: float) -> Job:
    """Take in what the session says: its result counts as the job's, and a refine that runs is followed.

    A session without a result fails the job with a sentence.
    """
    job = dataclasses.replace(job, remote=session.status, answered_at=now, failures=0, trouble="")
    kind = session.status.kind
    if kind in (RemoteKind.DONE, RemoteKind.RUNNING):
        pause = 0.0 if kind is RemoteKind.DONE else backoff.poll_interval(job)
        return state_machine.move(job, JobState.RUNNING, accepted_at=now, seen_running=True, due_at=now + pause)
    return state_machine.failed(job, _without_result(session), now)


def _without_result(session: Session) -> errors.CsmError:
    return errors.SessionNotRefinable(
        f"The session {session.code} has no refined mesh to fetch (its status is {session.status.word}).",
        "Refine it, or take another session.",
    )
