"""Error messages for jobs that fail or time out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import errors
from ..errors import CsmError
from ..models import Job, RemoteKind

if TYPE_CHECKING:
    from ..providers.csm_schema import Session


def not_refinable(session: Session) -> CsmError:
    """Return the error of a session without a preview mesh."""
    if session.status.kind is RemoteKind.BROKEN:
        return errors.SessionNotRefinable(
            f"The session {session.code} failed before its preview mesh.",
            "Take another session.",
        )
    return errors.SessionNotRefinable(
        f"The session {session.code} has no preview mesh yet.",
        "Wait until its preview is done, then refine.",
    )


def refine_failed(session: Session) -> CsmError:
    """Return the error of a refine that the service failed, with its message."""
    message = f": {session.message.rstrip('.')}" if session.message else ""
    return errors.RefineFailed(
        f"The service failed the refine{message}.",
        "Retry sends it again; if it fails again, try another box or another session.",
    )


def no_mesh() -> CsmError:
    """Return the error of a finished session that never lists a mesh."""
    return errors.MeshUnusable(
        "The service says that the refine is done, but gives no mesh.", "Retry later; it may still be finishing."
    )


def refine_missing(job: Job) -> CsmError:
    """Return the error of a refine that this job did not send and that the session no longer shows."""
    return errors.RefineFailed(
        "The refine that the session showed has ended without a result.",
        "Refine it, or take another session." if job.fetch_only else "Nothing was sent; Retry sends the refine.",
    )


def outcome_uncertain() -> CsmError:
    """Return the error of a POST without a response."""
    return errors.OutcomeUncertain(
        "The refine was sent, but no answer came: it may or may not have arrived.",
        "Look again; send it again only if the session shows no refine after a while.",
    )


def retry_message(error: CsmError) -> str:
    """Return the text of a failure that is retried automatically."""
    return str(CsmError(error.message, "It is tried again.") if error.action == errors.LATER else error)


def timed_out(job: Job) -> CsmError:
    """Return the error of a passed deadline, with the job's last failure; *Retry* depends on what was sent."""
    minutes = max(1, round(job.timeout_s / 60))
    if job.fetch_only and job.accepted_at is None:
        message, action = f"The session was not read within {minutes} min.", "Retry reads it again."
    elif job.sent_at is None and job.accepted_at is None:
        message, action = f"The refine was not sent within {minutes} min.", "Retry sends it."
    else:
        message = f"The refine was followed for {minutes} min and has not ended; it may go on at the service."
        action = "Retry follows it on, without sending it again."
    trouble, end, _ = job.trouble.partition(". ")  # only the first sentence: the cause, not the action
    return errors.FollowTimeout(" ".join([message, trouble + end.strip()]).strip(), action)
