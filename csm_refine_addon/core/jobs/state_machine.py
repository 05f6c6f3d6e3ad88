"""The way of a job as data: which state may follow which, what to do next, and what an answer makes of the job.

Nothing here does I/O, reads a clock or sleeps: every function takes a job and what happened, and returns the job as
it is to be written down. ``docs``: the four traps named below are those of the CSM API reference.

Trap 1: right after the POST the session may still say ``preview_done``.
Trap 2: a session that was refined before still shows its old end, with the old mesh.
Trap 3: an end without mesh URLs is not yet the end.
Trap 4: a session may refine by itself: a refine that runs before our POST is followed, not posted again.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

from .. import errors
from ..errors import CsmError
from ..mesh_counts import completed
from ..models import LOCAL, TERMINAL, Baseline, Job, JobError, JobState, MeshCounts, MeshReport, RemoteKind
from . import backoff, job_errors

if TYPE_CHECKING:
    from ..axes import Vector3
    from ..providers.csm_schema import RefineAck, Session

S = JobState

TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    S.PREPARED: frozenset({S.SUBMITTING, S.RUNNING, S.FAILED, S.STOPPED}),
    S.SUBMITTING: frozenset({S.RUNNING, S.PREPARED, S.UNCERTAIN, S.FAILED, S.STOPPED}),
    S.UNCERTAIN: frozenset({S.RUNNING, S.PREPARED, S.FAILED, S.STOPPED}),
    S.RUNNING: frozenset({S.DOWNLOADING, S.FAILED, S.STOPPED}),
    S.DOWNLOADING: frozenset({S.PREPARING, S.RUNNING, S.FAILED, S.STOPPED}),
    S.PREPARING: frozenset({S.READY, S.DOWNLOADING, S.FAILED, S.STOPPED}),
    S.READY: frozenset({S.PLACED, S.PREPARING, S.FAILED, S.STOPPED}),
    S.PLACED: frozenset({S.READY, S.PREPARING}),
    S.FAILED: frozenset({S.PREPARED, S.UNCERTAIN, S.RUNNING, S.DOWNLOADING, S.PREPARING, S.PLACED}),
    S.STOPPED: frozenset({S.PREPARED, S.UNCERTAIN, S.RUNNING, S.DOWNLOADING, S.PREPARING, S.READY}),
}
"""From a state to the states that may follow it."""

_RESTING = TERMINAL | {S.READY, S.UNCERTAIN}

RETRY_LIMIT = 6
"""How often a request that the service did not take, or a download, is tried again."""
BASELINE_RETRY_LIMIT = 3
"""How often the session is read in vain before anything was sent: a user waits for this answer."""
REFUSAL_LIMIT = 4
"""How often in a row the service refuses to be read, once a refine was sent: gateways, too, say 401, 403 and 404."""
INVALID_MESH_LIMIT = 3
"""How often in a row what the storage sends is no mesh: a page, or a file that is cut short."""
EMPTY_RESULT_LIMIT = 10
MISSING_REFINE_LIMIT = 5
"""How often in a row a session shows nothing of a refine that it showed before, and that was not sent from here."""
UNKNOWN_STATUS_LIMIT = 3
"""How often an unknown word is looked at before anything is sent, until it counts as that of a running refine."""
OFFLINE_RETRY_S = 2.0
QUADS = "quads"
"""The word of the services, and of a request, for a mesh of quads."""


class IllegalTransition(Exception):
    """A state was to follow another that it may not follow: a mistake in the program."""


class Step(enum.Enum):
    """What the engine does next with a job."""

    CREATE = "make a session out of the source object"
    BASELINE = "read the session before the submission"
    FETCH = "read the session for the result that it has"
    SUBMIT = "send the refine"
    LOOK_UP = "look whether the submission arrived"
    POLL = "read the session"
    DOWNLOAD = "fetch the mesh"
    PREPARE = "turn the mesh into a .blend"
    REST = "nothing: ready, ended, or for the user to decide"


def next_step(job: Job) -> Step:
    """Return what is to be done with the job next; when, is ``job.due_at``."""
    if job.state is S.PREPARED:
        if not job.request.session_code:
            return Step.CREATE
        if job.fetch_only:
            return Step.FETCH
        return Step.SUBMIT if job.baseline else Step.BASELINE
    if job.state is S.UNCERTAIN:
        return Step.LOOK_UP if _looks_up(job) else Step.REST
    return _STEPS.get(job.state, Step.REST)


_STEPS = {S.RUNNING: Step.POLL, S.DOWNLOADING: Step.DOWNLOAD, S.PREPARING: Step.PREPARE}


def move(job: Job, state: JobState, **changes: Any) -> Job:
    """Return the job in another state. Raises IllegalTransition where the table does not have it."""
    if state is not job.state and state not in TRANSITIONS[job.state]:
        raise IllegalTransition(f"{job.state} -> {state}")
    return dataclasses.replace(job, state=state, **changes)


def recovered(job: Job, now: float) -> Job:
    """Return a job that its former driver left in the middle: whether a submission arrived is not known then."""
    return _uncertain(job, now) if job.state is S.SUBMITTING else job


# --- before and around the POST ---------------------------------------------------------------------------------


def created(job: Job, session: Session, now: float) -> Job:
    """The local service has made the session out of the source object."""
    request = dataclasses.replace(job.request, session_code=session.code)
    return dataclasses.replace(_answered(job, session, now), request=request, due_at=now)


def baseline_read(job: Job, session: Session, now: float) -> Job:
    """Note how the session stands before the POST; follow what runs already (trap 4); refuse what cannot be refined."""
    job = dataclasses.replace(_answered(job, session, now), failures=job.failures)
    kind = session.status.kind
    if kind in (RemoteKind.BEFORE, RemoteKind.BROKEN):
        return failed(job, job_errors.not_refinable(session), now)
    if not session.has_known_word and job.polls + 1 < UNKNOWN_STATUS_LIMIT:
        return dataclasses.replace(job, polls=job.polls + 1, due_at=now + backoff.poll_interval(job))
    job = dataclasses.replace(job, baseline=baseline_of(session), polls=0)
    if kind is RemoteKind.RUNNING:
        return move(job, S.RUNNING, accepted_at=now, seen_running=True, due_at=now + backoff.poll_interval(job))
    return job


def submitting(job: Job, now: float) -> Job:
    """The POST is about to leave: written down before it does.

    Raises IllegalTransition where one left already, or none may leave.
    """
    if job.state is not S.PREPARED or job.fetch_only:
        raise IllegalTransition(f"{job.state} -> {S.SUBMITTING}")
    return move(job, S.SUBMITTING, sent_at=now)


def accepted(job: Job, ack: RefineAck, now: float) -> Job:
    """The service took the refine."""
    if job.is_cancelled:
        return job
    taken = {"accepted_at": now, "trial_key": ack.trial_key, "answered_at": now, "failures": 0, "trouble": ""}
    if job.state not in (S.SUBMITTING, S.UNCERTAIN, S.PREPARED):  # stopped meanwhile, or driven on by another process
        return dataclasses.replace(job, **taken)  # type: ignore[arg-type]  # the keys are fields of Job
    return move(job, S.RUNNING, remote=ack.status, due_at=now + backoff.poll_interval(job), **taken)


def refused(job: Job, error: CsmError, now: float) -> Job:
    """The service answered that it will not refine: nothing runs, nothing is owed."""
    return failed(dataclasses.replace(job, sent_at=None), error, now)


def not_accepted(job: Job, error: CsmError, now: float) -> Job:
    """The request surely did not arrive, or the service says that it did not take it: it may go out again, later.

    The session is read anew before it does, so that a refine that runs after all is followed and not sent twice.
    """
    job = move(job, S.PREPARED, sent_at=None, baseline=None)
    return _try_again(job, error, now, limit=RETRY_LIMIT)


def unanswered(job: Job, now: float) -> Job:
    """The POST left and no answer came."""
    return _uncertain(job, now)


def looked_up(job: Job, session: Session, now: float) -> Job:
    """See whether the session shows a refine that was not there before the POST."""
    job = _answered(job, session, now)
    kind = session.status.kind
    running = kind is RemoteKind.RUNNING
    if running or (kind in (RemoteKind.DONE, RemoteKind.FAILED) and _is_new(job, session)):
        return move(job, S.RUNNING, accepted_at=now, seen_running=running, error=None, due_at=now)
    job = dataclasses.replace(job, polls=job.polls + 1, look_until=backoff.lookup_deadline(job, now))
    return dataclasses.replace(job, due_at=backoff.next_lookup(job, now, now + backoff.exponential(job.polls)))


def _uncertain(job: Job, now: float) -> Job:
    until = max(now + 1.0, min(now + backoff.LOOK_UP_S, backoff.deadline(job, now)))
    due_at = min(now + backoff.exponential(1), until - 1.0)
    return move(
        job, S.UNCERTAIN, error=job_error(job_errors.outcome_uncertain()), look_until=until, polls=0, due_at=due_at
    )


# --- following --------------------------------------------------------------------------------------------------


def polled(job: Job, session: Session, now: float) -> Job:
    """Take in what the session says of a running refine."""
    job = _answered(job, session, now)
    job = dataclasses.replace(job, polls=job.polls + 1)
    kind = session.status.kind
    if kind in (RemoteKind.RUNNING, RemoteKind.BEFORE):
        job = dataclasses.replace(job, seen_running=True, empty_ends=0)
    elif kind is RemoteKind.BROKEN or (kind is RemoteKind.FAILED and _is_new(job, session)):
        return failed(job, job_errors.refine_failed(session), now)
    elif kind is RemoteKind.DONE and _is_new(job, session):
        return _finished(job, session, now)
    elif kind is RemoteKind.REFINABLE and job.sent_at is None:
        return _refine_missing(job, session, now)
    return dataclasses.replace(job, due_at=now + backoff.poll_interval(job))


def _finished(job: Job, session: Session, now: float) -> Job:
    if session.mesh_urls:
        return move(job, S.DOWNLOADING, empty_ends=0, bytes_done=0, bytes_total=None, due_at=now)
    if job.empty_ends + 1 >= EMPTY_RESULT_LIMIT:
        return failed(job, job_errors.no_mesh(session), now)
    return dataclasses.replace(job, empty_ends=job.empty_ends + 1, due_at=now + backoff.poll_interval(job))


def _refine_missing(job: Job, session: Session, now: float) -> Job:
    """The refine that the session showed before anything was sent is gone: after a while there is none to follow."""
    if job.empty_ends + 1 < MISSING_REFINE_LIMIT:
        return dataclasses.replace(job, empty_ends=job.empty_ends + 1, due_at=now + backoff.poll_interval(job))
    nothing = dataclasses.replace(job, accepted_at=None, seen_running=False, empty_ends=0)
    return failed(nothing, job_errors.refine_missing(job, session), now)


def baseline_of(session: Session) -> Baseline:
    """Return what of a session tells an old result from a new one."""
    return Baseline(session.status.word, session.updated_at, session.mesh_fingerprint)


def _is_new(job: Job, session: Session) -> bool:
    return job.seen_running or baseline_of(session) != job.baseline


# --- fetching, preparing, placing ---------------------------------------------------------------------------------


def received(job: Job, done: int, total: int | None, *, resumed: bool) -> Job:
    """Note how much of the mesh has arrived, in bytes.

    Only a download that went on where the last one was cut, and got further, makes its failures forgotten: one that
    begins anew each time may never end.
    """
    failures = 0 if resumed else job.failures
    return dataclasses.replace(job, bytes_done=done, bytes_total=total, failures=failures, trouble="")


def has_result(job: Job, session: Session) -> bool:
    """Tell whether the session, read anew for the mesh's address, still shows the end that is to be fetched."""
    return session.status.kind is RemoteKind.DONE and _is_new(job, session)


def result_gone(job: Job, session: Session, now: float) -> Job:
    """The session's status went back after its end: follow it on, rather than fetch another mesh."""
    return move(_answered(job, session, now), S.RUNNING, due_at=now + backoff.poll_interval(job))


def downloaded(job: Job, mesh_path: str, now: float, session: Session | None = None, picture_path: str = "") -> Job:
    """The mesh file is complete and checked; ``session`` showed it."""
    found: dict[str, Any] = {"mesh_path": mesh_path, "picture_path": picture_path}
    if session is not None:
        found |= {"notes": session.notes, "reported_counts": session.result, "wants_quads": wants_quads(job, session)}
    return move(job, S.PREPARING, **found, answered_at=now, failures=0, trouble="", due_at=now)


def wants_quads(job: Job, session: Session) -> bool:
    """Tell whether quads were asked for, by this job or when the session was made."""
    return QUADS in (session.topology, job.request.local.topology if job.request.local else "")


def mesh_lost(job: Job, now: float, *, no_blend: bool = False) -> Job:
    """The downloaded file is gone, or a .blend that cannot be read here (``no_blend``): fetch it again."""
    no_blend |= job.no_blend
    return move(job, S.DOWNLOADING, mesh_path="", bytes_done=0, bytes_total=None, no_blend=no_blend, due_at=now)


def prepared(job: Job, blend_path: str, report: MeshReport, now: float) -> Job:
    """The mesh is a checked .blend: it can be placed."""
    return move(job, S.READY, blend_path=blend_path, report=report, error=None, due_at=now)


def placed(
    job: Job,
    object_name: str,
    fit_error: float | None,
    now: float,
    counts: MeshCounts | None = None,
    size: Vector3 | None = None,
) -> Job:
    """The result stands in the scene; ``fit_error`` is relative to the box's diagonal, None without a box.

    ``counts`` are those of the object; None where it was counted before.
    """
    if counts is not None:
        counts = completed(counts, job.report.counts if job.report else None)
        job = dataclasses.replace(job, placed_counts=counts)
    job = dataclasses.replace(job, placed_size=size or job.placed_size)
    return move(job, S.PLACED, placed_object=object_name, fit_error=fit_error, error=None, finished_at=now)


# --- trouble, ends, and what the user asks for ----------------------------------------------------------------------


def request_failed(job: Job, error: CsmError, now: float) -> Job:
    """A reading request failed: try again where that may help, else fail."""
    if isinstance(error, errors.BlenderOffline):
        due_at = now + OFFLINE_RETRY_S
        look_until = max(job.look_until, min(due_at + backoff.LOOK_UP_S, job.deadline_at))
        return dataclasses.replace(job, trouble=str(error), due_at=due_at, look_until=look_until)
    return _try_again(job, error, now, limit=_retry_limit(job, error))


def _retry_limit(job: Job, error: CsmError) -> int | None:
    """Return how often in a row this may happen until the job fails; None: until its time is up."""
    is_sent = (job.sent_at or job.accepted_at) is not None
    if isinstance(error, errors.ServiceUnreachable) or (isinstance(error, errors.ServiceMoved) and is_sent):
        return {S.PREPARED: BASELINE_RETRY_LIMIT, S.DOWNLOADING: RETRY_LIMIT}.get(job.state)
    if isinstance(error, _REFUSALS) and is_sent:
        return REFUSAL_LIMIT
    is_invalid_mesh = isinstance(error, errors.MeshUnusable) and not isinstance(error, errors.MeshTooLarge)
    return INVALID_MESH_LIMIT if is_invalid_mesh and job.state is S.DOWNLOADING else 1


_REFUSALS = (errors.KeyRefused, errors.SessionUnknown, errors.SessionNotRefinable, errors.OutOfCredits)


def failed(job: Job, error: CsmError, now: float) -> Job:
    """The job has ended with a sentence and a cure."""
    return move(job, S.FAILED, error=job_error(error), finished_at=now, trouble="")


def overdue(job: Job, now: float) -> Job:
    """Fail the job where its time is up, else return it as it is.

    A mesh that is being fetched without trouble is fetched. Where the end of the time was slept through, what was
    sent gets a moment more: the service may have finished meanwhile, and the network needs that long to come back.
    """
    if job.state in TERMINAL or job.state in (S.READY, S.UNCERTAIN, S.PREPARING):
        return job
    job = dataclasses.replace(job, deadline_at=backoff.deadline(job, now))
    arrives = job.state is S.DOWNLOADING and not job.trouble
    return job if now < job.deadline_at or arrives else failed(job, job_errors.timed_out(job), now)


def can_cancel(job: Job) -> bool:
    """Return whether stopping the job ends its refine: only the local service can end one, until the result is here."""
    return job.service == LOCAL and not job.fetch_only and job.state not in TERMINAL | {S.READY}


def may_run(job: Job) -> bool:
    """Return whether a refine that can be cancelled may be running for the job."""
    return can_cancel(job) and job.state in (S.SUBMITTING, S.UNCERTAIN, S.RUNNING)


def stopped(job: Job, now: float) -> Job:
    """Cancel the job where that is possible; else track it no longer, and what runs at the service runs on.

    A cancelled job is as one of which nothing was sent: *Retry* starts it anew, and it bars no other job.
    """
    nothing_sent = {**_NOTHING_SENT, "is_cancelled": True, "error": None} if can_cancel(job) else {}
    return move(job, S.STOPPED, finished_at=now, trouble="", **nothing_sent)


def is_active(job: Job) -> bool:
    """Tell whether the engine has, or may come to have, something to do with the job by itself."""
    return job.state not in _RESTING or _looks_up(job)


def _looks_up(job: Job) -> bool:
    return job.state is S.UNCERTAIN and job.due_at < job.look_until


def retry_state(job: Job) -> JobState:
    """Return where *Retry* takes a job up again: as late as possible, so that nothing is done or paid twice.

    PREPARED means that the refine is sent anew, for which the user has to say yes where the service may charge.
    """
    if job.accepted_at is None:
        return S.PREPARED if job.sent_at is None else S.UNCERTAIN
    if job.state is S.STOPPED and job.blend_path:
        return S.READY
    code = job.error.code if job.error and job.state is S.FAILED else ""
    if code == errors.RefineFailed.code:
        return S.PREPARED
    if job.mesh_path and code != errors.MeshUnusable.code:
        return S.PREPARING
    return S.RUNNING


def retried(job: Job, now: float) -> Job:
    """Take up a failed, stopped or unclear job again, with the full time to follow it."""
    state = retry_state(job)
    if state is S.PREPARED:
        return sent_again(job, now)
    look_until = now + min(backoff.LOOK_UP_S, job.timeout_s)
    fresh = {**_reset_fields(now), "error": job_error(job_errors.outcome_uncertain()) if state is S.UNCERTAIN else None}
    return move(job, state, **fresh, deadline_at=now + job.timeout_s, look_until=look_until)


def extend_deadline(job: Job, seconds: float, now: float) -> Job:
    """Follow the job for so long from now on."""
    end = now + seconds
    look_until = min(job.look_until, end)
    return dataclasses.replace(job, deadline_at=end, timeout_s=max(job.timeout_s, seconds), look_until=look_until)


def sent_again(job: Job, now: float) -> Job:
    """Send the refine anew: only after the user said yes to it. Raises InputError where it has not ended."""
    if job.state not in (S.PREPARED, S.UNCERTAIN, S.FAILED, S.STOPPED):
        raise errors.InputError(
            f"The job {job.id} has neither failed nor stopped.", "Stop it first, or make a new job."
        )
    return move(
        job,
        S.PREPARED,
        deadline_at=now + job.timeout_s,
        is_cancelled=False,
        **_NOTHING_SENT,
        **_reset_fields(now),
    )


_NOTHING_SENT: dict[str, Any] = {
    "baseline": None, "sent_at": None, "accepted_at": None, "seen_running": False, "remote": None,
    "mesh_path": "", "blend_path": "", "report": None, "trial_key": "", "bytes_done": 0, "bytes_total": None,
}  # fmt: skip


def _reset_fields(now: float) -> dict[str, Any]:
    return {
        "error": None, "failures": 0, "polls": 0, "empty_ends": 0, "due_at": now, "trouble": "", "finished_at": None,
    }  # fmt: skip


def job_error(error: CsmError) -> JobError:
    """Return an error as it is kept with the job."""
    return JobError(error.code, error.message, error.action)


def _answered(job: Job, session: Session, now: float) -> Job:
    return dataclasses.replace(job, remote=session.status, answered_at=now, failures=0, trouble="")


def _try_again(job: Job, error: CsmError, now: float, limit: int | None) -> Job:
    failures = job.failures + 1
    if limit is not None and failures >= limit:
        return failed(job, error, now)
    due_at = now + backoff.after_failure(failures, error)
    if job.state is S.UNCERTAIN:
        job = dataclasses.replace(job, look_until=backoff.lookup_deadline(job, now))
        due_at = backoff.next_lookup(job, now, due_at)
        if isinstance(error, _REFUSALS) and due_at >= job.look_until:  # this was the last look
            return failed(job, error, now)
    return dataclasses.replace(job, failures=failures, trouble=job_errors.retry_message(error), due_at=due_at)
