"""What a session, or the time, says of a job that ends by it: the sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import errors
from ..errors import CsmError
from ..models import Job, RemoteKind

if TYPE_CHECKING:
    from ..providers.csm_schema import Session


def not_refinable(session: Session) -> CsmError:
    """A session without a preview mesh."""
    word = session.status.word
    if session.status.kind is RemoteKind.BROKEN:
        return errors.SessionNotRefinable(
            f"The session {session.code} failed before its preview mesh (its status is {word}).",
            "Take another session.",
        )
    return errors.SessionNotRefinable(
        f"The session {session.code} has no preview mesh yet (its status is {word}).",
        "Wait until its preview is done, then refine.",
    )


def refine_failed(session: Session) -> CsmError:
    """The service's own failure, in its words."""
    message = f": {session.message.rstrip('.')}" if session.message else ""
    return errors.RefineFailed(
        f"The service failed the refine (its status is {session.status.word}){message}.",
        "Retry sends it again; if it fails again, try another box or another session.",
    )


def no_mesh(session: Session) -> CsmError:
    """An end that stays without a mesh."""
    return errors.MeshUnusable(
        f"The service says {session.status.word}, but gives no mesh.", "Retry later; it may still be finishing."
    )


def refine_missing(job: Job, session: Session) -> CsmError:
    """A refine that was not sent from here, and of which the session shows nothing any more."""
    return errors.RefineFailed(
        f"The refine that the session showed has ended without a result (its status is {session.status.word}).",
        "Refine it, or take another session." if job.fetch_only else "Nothing was sent; Retry sends the refine.",
    )


def outcome_uncertain() -> CsmError:
    """A POST whose answer never came."""
    return errors.OutcomeUncertain(
        "The refine was sent, but no answer came: it may or may not have arrived.",
        "Look again; send it again only if the session shows no refine after a while.",
    )


def retry_message(error: CsmError) -> str:
    """What is said of a failure while the job goes on by itself."""
    return str(CsmError(error.message, "It is tried again.") if error.action == errors.LATER else error)


def timed_out(job: Job) -> CsmError:
    """The end of the time to follow, with the trouble that it ended in; what Retry does depends on what was sent."""
    minutes = max(1, round(job.timeout_s / 60))
    if job.fetch_only and job.accepted_at is None:
        message, action = f"The session was not read within {minutes} min.", "Retry reads it again."
    elif job.sent_at is None and job.accepted_at is None:
        message, action = f"The refine was not sent within {minutes} min.", "Retry sends it."
    else:
        message = f"The refine was followed for {minutes} min and has not ended; it may go on at the service."
        action = "Retry follows it on, without sending it again."
    trouble, end, _ = job.trouble.partition(". ")  # its first sentence: what stood in the way, not what to do
    return errors.FollowTimeout(" ".join([message, trouble + end.strip()]).strip(), action)
