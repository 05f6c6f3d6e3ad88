"""Rules for jobs that block another submission of their session, so that a refine is paid once.

The job store applies this inside the transaction that adds a job, or that takes one back to PREPARED. So it holds for
the panel, scripts, the command line and *Retry* alike, and for several processes at the same moment.
"""

from __future__ import annotations

from collections.abc import Iterable

from .. import errors
from ..addresses import is_same_service
from ..models import Job, JobState as S
from . import job_errors, state_machine

_RETRY = "Retry its job, which sends nothing; to send another refine, remove that job first."


def blocks_new_submission(job: Job) -> bool:
    """Return whether no other refine of the job's session may be sent because of this job.

    A job under way blocks, and so does an unclear one. READY and PLACED have their result: another refine is another
    purchase. A failed or stopped job blocks unless *Retry* would send it anew, that is, unless one of these is known:
    nothing was sent, the service did not take it, or the session showed that the refine failed. A time-out, a read
    that is refused or a mesh that cannot be used does not say that the service has ended, or has charged nothing.

    A job that only fetches sends nothing, and one without a session code has no session yet: neither blocks.
    """
    if job.fetch_only or not job.request.session_code or job.state in (S.READY, S.PLACED):
        return False
    if job.state in (S.FAILED, S.STOPPED):
        return state_machine.retry_state(job) is not S.PREPARED
    return True


def blocking(session_code: str, service: str, jobs: Iterable[Job]) -> Job | None:
    """Return the job that blocks a submission of this session: an active one first, then the newest."""
    found = (
        job
        for job in jobs
        if job.request.session_code == session_code
        and is_same_service(job.service, service)
        and blocks_new_submission(job)
    )
    return max(found, key=lambda job: (state_machine.is_active(job), job.created_at), default=None)


def sends(job: Job) -> bool:
    """Return whether the job, as it stands, is about to send a refine of a session that exists already."""
    return job.state is S.PREPARED and not job.fetch_only and bool(job.request.session_code)


def require_none(session_code: str, service: str, jobs: Iterable[Job]) -> None:
    """Raise AlreadySubmitted if one of the jobs blocks a submission of this session."""
    job = blocking(session_code, service, jobs)
    if job is None:
        return
    if job.state is S.UNCERTAIN:
        message, action = "A refine of this session may have been sent already.", job_errors.outcome_uncertain().action
    elif state_machine.is_active(job):
        message, action = "This session is being refined already.", "Wait until its job has ended."
    elif job.accepted_at is None:
        message, action = "A refine of this session may have been sent already.", _RETRY
    else:
        message, action = "A refine of this session was sent already.", _RETRY
    raise errors.AlreadySubmitted(message, action, job)
