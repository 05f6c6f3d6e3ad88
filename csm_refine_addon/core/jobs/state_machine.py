"""State machine of a job: allowed transitions, the next step, and one function for each event.

Nothing here does I/O, reads a clock or sleeps. Each event function takes a job and the event, and returns the job to
store. The four traps below are those of the CSM API reference:

Trap 1: right after the POST the status of the session may still be ``preview_done``.
Trap 2: a session that was refined before still shows its old final status, with the old mesh.
Trap 3: a final status without mesh URLs is not final yet.
Trap 4: the service may start a refine by itself: a refine that runs before the POST is tracked, not sent again.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

from .. import errors
from ..errors import CsmError
from ..mesh_counts import completed
from ..models import LOCAL, TERMINAL, Baseline, Job, JobError, JobState, MeshCounts, MeshReport, RemoteKind
from . import backoff, job_errors, retry_policy

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

QUADS = "quads"
"""The value of ``topology``, in requests and sessions, for a mesh of quads."""


class IllegalTransition(Exception):
    """A transition that :data:`TRANSITIONS` does not contain: a bug."""


class Step(enum.Enum):
    """The next action of the job runner."""

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
    """Return the next step of the job; it is due at ``job.due_at``."""
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
    """Return the job in another state. Raises IllegalTransition if :data:`TRANSITIONS` does not allow it."""
    if state is not job.state and state not in TRANSITIONS[job.state]:
        raise IllegalTransition(f"{job.state} -> {state}")
    return dataclasses.replace(job, state=state, **changes)


def recovered(job: Job, now: float) -> Job:
    """Return a job that an ended process left: a job in SUBMITTING becomes UNCERTAIN."""
    return _uncertain(job, now) if job.state is S.SUBMITTING else job


# --- before and around the POST ---------------------------------------------------------------------------------


def created(job: Job, session: Session, now: float) -> Job:
    """The local service has created the session from the source object."""
    request = dataclasses.replace(job.request, session_code=session.code)
    return dataclasses.replace(_answered(job, session, now), request=request, due_at=now)


def baseline_read(job: Job, session: Session, now: float) -> Job:
    """Store the baseline before the POST; track a refine that runs already (trap 4); fail if it cannot be refined."""
    job = dataclasses.replace(_answered(job, session, now), failures=job.failures)
    kind = session.status.kind
    if kind in (RemoteKind.BEFORE, RemoteKind.BROKEN):
        return failed(job, job_errors.not_refinable(session), now)
    if not session.has_known_word and job.polls + 1 < retry_policy.UNKNOWN_STATUS_LIMIT:
        return dataclasses.replace(job, polls=job.polls + 1, due_at=now + backoff.poll_interval(job))
    job = dataclasses.replace(job, baseline=baseline_of(session), polls=0)
    if kind is RemoteKind.RUNNING:
        return move(job, S.RUNNING, accepted_at=now, seen_running=True, due_at=now + backoff.poll_interval(job))
    return job


def submitting(job: Job, now: float) -> Job:
    """The POST is about to be sent; store this state first.

    Raises IllegalTransition if the POST was sent already, or if the job only fetches.
    """
    if job.state is not S.PREPARED or job.fetch_only:
        raise IllegalTransition(f"{job.state} -> {S.SUBMITTING}")
    return move(job, S.SUBMITTING, sent_at=now)


def accepted(job: Job, ack: RefineAck, now: float) -> Job:
    """The service accepted the refine."""
    if job.is_cancelled:
        return job
    taken = {"accepted_at": now, "trial_key": ack.trial_key, "answered_at": now, "failures": 0, "trouble": ""}
    if job.state not in (S.SUBMITTING, S.UNCERTAIN, S.PREPARED):  # stopped, or advanced by another process
        return dataclasses.replace(job, **taken)  # type: ignore[arg-type]  # the keys are fields of Job
    return move(job, S.RUNNING, remote=ack.status, due_at=now + backoff.poll_interval(job), **taken)


def refused(job: Job, error: CsmError, now: float) -> Job:
    """The service refused the refine: nothing runs and nothing is charged."""
    return failed(dataclasses.replace(job, sent_at=None), error, now)


def not_accepted(job: Job, error: CsmError, now: float) -> Job:
    """The request did not arrive, or the service reports that it did not accept it: send it again later.

    The session is read again before that, so that a refine that runs nevertheless is tracked and not sent twice.
    """
    job = move(job, S.PREPARED, sent_at=None, baseline=None)
    return _try_again(job, error, now, limit=retry_policy.RETRY_LIMIT)


def unanswered(job: Job, now: float) -> Job:
    """The POST was sent and no response arrived."""
    return _uncertain(job, now)


def looked_up(job: Job, session: Session, now: float) -> Job:
    """Track the refine if the session shows one that was not there before the POST; else look up again later."""
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


# --- tracking ---------------------------------------------------------------------------------------------------


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
        return _refine_missing(job, now)
    return dataclasses.replace(job, due_at=now + backoff.poll_interval(job))


def _finished(job: Job, session: Session, now: float) -> Job:
    if session.mesh_urls:
        return move(job, S.DOWNLOADING, empty_ends=0, bytes_done=0, bytes_total=None, due_at=now)
    if job.empty_ends + 1 >= retry_policy.EMPTY_RESULT_LIMIT:
        return failed(job, job_errors.no_mesh(), now)
    return dataclasses.replace(job, empty_ends=job.empty_ends + 1, due_at=now + backoff.poll_interval(job))


def _refine_missing(job: Job, now: float) -> Job:
    """A refine that this job did not send is missing: fail after retry_policy.MISSING_REFINE_LIMIT reads."""
    if job.empty_ends + 1 < retry_policy.MISSING_REFINE_LIMIT:
        return dataclasses.replace(job, empty_ends=job.empty_ends + 1, due_at=now + backoff.poll_interval(job))
    nothing = dataclasses.replace(job, accepted_at=None, seen_running=False, empty_ends=0)
    return failed(nothing, job_errors.refine_missing(job), now)


def baseline_of(session: Session) -> Baseline:
    """Return the values of a session that distinguish an old result from a new one."""
    return Baseline(session.status.word, session.updated_at, session.mesh_fingerprint)


def _is_new(job: Job, session: Session) -> bool:
    return job.seen_running or baseline_of(session) != job.baseline


# --- fetching, preparing, placing ---------------------------------------------------------------------------------


def received(job: Job, done: int, total: int | None, *, resumed: bool) -> Job:
    """Store the progress of the download, in bytes.

    Only a download that resumed after an interruption and made progress resets the failure count: one that restarts
    each time may never end.
    """
    failures = 0 if resumed else job.failures
    return dataclasses.replace(job, bytes_done=done, bytes_total=total, failures=failures, trouble="")


def has_result(job: Job, session: Session) -> bool:
    """Return whether the session, read again for the mesh URL, still shows the result to download."""
    return session.status.kind is RemoteKind.DONE and _is_new(job, session)


def result_gone(job: Job, session: Session, now: float) -> Job:
    """The session left its final status: poll it again instead of downloading another mesh."""
    return move(_answered(job, session, now), S.RUNNING, due_at=now + backoff.poll_interval(job))


def downloaded(job: Job, mesh_path: str, now: float, session: Session | None = None, picture_path: str = "") -> Job:
    """The mesh file is complete and checked; ``session`` is the session that listed it."""
    found: dict[str, Any] = {"mesh_path": mesh_path, "picture_path": picture_path}
    if session is not None:
        found |= {"notes": session.notes, "reported_counts": session.result, "wants_quads": wants_quads(job, session)}
    return move(job, S.PREPARING, **found, answered_at=now, failures=0, trouble="", due_at=now)


def wants_quads(job: Job, session: Session) -> bool:
    """Return whether quads were requested, by this job or when the session was created."""
    return QUADS in (session.topology, job.request.local.topology if job.request.local else "")


def mesh_lost(job: Job, now: float, *, no_blend: bool = False) -> Job:
    """The downloaded file is missing, or a .blend that cannot be read here (``no_blend``): download again."""
    no_blend |= job.no_blend
    return move(job, S.DOWNLOADING, mesh_path="", bytes_done=0, bytes_total=None, no_blend=no_blend, due_at=now)


def prepared(job: Job, blend_path: str, report: MeshReport, now: float) -> Job:
    """The mesh was converted to a checked .blend: it can be placed."""
    return move(job, S.READY, blend_path=blend_path, report=report, error=None, due_at=now)


def placed(
    job: Job,
    object_name: str,
    fit_error: float | None,
    now: float,
    counts: MeshCounts | None = None,
    size: Vector3 | None = None,
) -> Job:
    """The result is in the scene; ``fit_error`` is relative to the box's diagonal, None without a box.

    ``counts`` are those of the object; None keeps the earlier ones.
    """
    if counts is not None:
        counts = completed(counts, job.report.counts if job.report else None)
        job = dataclasses.replace(job, placed_counts=counts)
    job = dataclasses.replace(job, placed_size=size or job.placed_size)
    return move(job, S.PLACED, placed_object=object_name, fit_error=fit_error, error=None, finished_at=now)


# --- failures, deadlines and user requests --------------------------------------------------------------------------


def request_failed(job: Job, error: CsmError, now: float) -> Job:
    """A read request failed: retry if that may help, else fail."""
    if isinstance(error, errors.BlenderOffline):
        due_at = now + retry_policy.OFFLINE_RETRY_S
        look_until = max(job.look_until, min(due_at + backoff.LOOK_UP_S, job.deadline_at))
        return dataclasses.replace(job, trouble=str(error), due_at=due_at, look_until=look_until)
    return _try_again(job, error, now, limit=retry_policy.attempt_limit(job, error))


def failed(job: Job, error: CsmError, now: float) -> Job:
    """Return the job in FAILED with this error."""
    return move(job, S.FAILED, error=job_error(error), finished_at=now, trouble="")


def overdue(job: Job, now: float) -> Job:
    """Fail the job if its deadline has passed, else return it unchanged.

    A download without failures is finished. If the machine slept through the deadline, a submitted job gets
    SLEEP_GRACE_S: the service may have finished, and the network needs time to reconnect.
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
    """Cancel the job if that is possible; else stop it only here, and the refine on the service continues.

    A cancelled job is like a job that was never sent: *Retry* starts it again, and it blocks no other job.
    """
    nothing_sent = {**_NOTHING_SENT, "is_cancelled": True, "error": None} if can_cancel(job) else {}
    return move(job, S.STOPPED, finished_at=now, trouble="", **nothing_sent)


def is_active(job: Job) -> bool:
    """Return whether the job has, or may get, a next step without the user."""
    return job.state not in _RESTING or _looks_up(job)


def _looks_up(job: Job) -> bool:
    return job.state is S.UNCERTAIN and job.due_at < job.look_until


def retry_state(job: Job) -> JobState:
    """Return the state in which *Retry* resumes a job: the latest one, so that nothing is done or paid twice.

    PREPARED means that the refine is sent again; the user has to confirm it if the service may charge.
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
    """Resume a failed, stopped or unclear job with its full time limit."""
    state = retry_state(job)
    if state is S.PREPARED:
        return sent_again(job, now)
    look_until = now + min(backoff.LOOK_UP_S, job.timeout_s)
    fresh = {**_reset_fields(now), "error": job_error(job_errors.outcome_uncertain()) if state is S.UNCERTAIN else None}
    return move(job, state, **fresh, deadline_at=now + job.timeout_s, look_until=look_until)


def extend_deadline(job: Job, seconds: float, now: float) -> Job:
    """Set the deadline of the job to ``seconds`` from now."""
    end = now + seconds
    look_until = min(job.look_until, end)
    return dataclasses.replace(job, deadline_at=end, timeout_s=max(job.timeout_s, seconds), look_until=look_until)


def sent_again(job: Job, now: float) -> Job:
    """Reset the job to send the refine again, after the user confirmed it. Raises InputError if the job is active."""
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
    """Return an error as it is stored with the job."""
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
        if isinstance(error, retry_policy.REFUSALS) and due_at >= job.look_until:  # this was the last lookup
            return failed(job, error, now)
    return dataclasses.replace(job, failures=failures, trouble=job_errors.retry_message(error), due_at=due_at)
