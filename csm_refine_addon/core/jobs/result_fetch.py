"""Transitions of jobs that only download the result of an already refined session.

No I/O, as in ``state_machine``: reading the session moves such a job from PREPARED to RUNNING; the rest is the same.
"""

from __future__ import annotations

import dataclasses

from .. import errors
from ..models import Job, JobState, RemoteKind
from ..providers.csm_schema import Session
from . import backoff, state_machine


def result_read(job: Job, session: Session, now: float) -> Job:
    """Track the session's result or its running refine as the job's own; fail the job if there is neither."""
    job = dataclasses.replace(job, remote=session.status, answered_at=now, failures=0, trouble="")
    kind = session.status.kind
    if kind in (RemoteKind.DONE, RemoteKind.RUNNING):
        pause = 0.0 if kind is RemoteKind.DONE else backoff.poll_interval(job)
        return state_machine.move(job, JobState.RUNNING, accepted_at=now, seen_running=True, due_at=now + pause)
    return state_machine.failed(job, _without_result(session), now)


def _without_result(session: Session) -> errors.CsmError:
    return errors.SessionNotRefinable(
        f"The session {session.code} has no refined mesh to fetch.",
        "Refine it, or take another session.",
    )
