"""When: the pauses between requests, and the ends of a job's time, by a clock that may be set or stand still meanwhile.

Times of day are compared, since they stand in the journal and outlive processes. So every time ahead is bounded by
how far ahead it can have been meant, in case the clock was set back; and an end that was slept through is no end yet.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from .. import errors
from ..models import LOCAL, Job

MAX_BACKOFF_S = 30.0
"""The longest pause after failures in a row, as in the vendor's own client."""
RETRY_AFTER_S = (1.0, 3600.0)
"""The least and the longest pause that a service's ``Retry-After`` can ask for."""
LOOK_UP_S = 60.0
"""How long an unclear submission is looked up by itself."""
SLEEP_THRESHOLD_S = 300.0
"""Nobody who is awake is so late: an answer takes a minute or two."""
CLOCK_SET_BACK_S = 60.0
"""A clock that goes back by more has been set; by less, it has been set right."""
SLEEP_GRACE_S = 60.0
"""How long a job is followed after its end was slept through."""
SLEEP_FAILURE_LIMIT = 6
"""After so many failures in a row it is not the sleep that makes the service fail."""


def exponential(failures: int) -> float:
    """Return the pause after failures in a row: 2, 4, 8, ... at most 30 seconds."""
    return float(min(MAX_BACKOFF_S, 2.0 ** min(failures, 10)))


def after_failure(failures: int, error: errors.CsmError) -> float:
    """Return the pause after a failure: what the service asks for, within reason, or else a growing one."""
    requested_s = error.retry_after_s if isinstance(error, errors.ServiceBusy) else None
    least, longest = RETRY_AFTER_S
    return exponential(failures) if requested_s is None else min(longest, max(least, requested_s))


def poll_interval(job: Job) -> float:
    """Return the pause before the next look at a running refine; asking the local service costs nothing."""
    first, longest = (0.3, 2.0) if job.service == LOCAL else (job.poll_first_s, job.poll_longest_s)
    return float(min(longest, first * 1.2 ** min(job.polls, 30)))


def until_due(job: Job, now: float, share: float = 1.0) -> float:
    """Return how long to wait for the job's next step, at least 0; ``share`` of it where it is not the job's end."""
    longest = RETRY_AFTER_S[1] if job.failures else max(MAX_BACKOFF_S, job.poll_longest_s)
    return max(0.0, min((job.due_at - now) * share, longest, job.deadline_at - now))


def deadline(job: Job, now: float) -> float:
    """Return until when the job is followed, as seen now."""
    slept = now - job.deadline_at > SLEEP_THRESHOLD_S and job.failures < SLEEP_FAILURE_LIMIT
    if slept and (job.sent_at or job.accepted_at) is not None:
        return now + SLEEP_GRACE_S
    return min(job.deadline_at, now + job.timeout_s)


def lookup_deadline(job: Job, now: float) -> float:
    """Return until when an unclear submission is looked up, as seen now."""
    return min(job.look_until, now + LOOK_UP_S)


def next_lookup(job: Job, now: float, due_at: float) -> float:
    """Return when to look again: the last look falls on the end of the time for it."""
    last = job.look_until - 1.0
    return min(due_at, last) if now + 2.0 < last else due_at


def shift_times(job: Job, jump_s: float) -> Job:
    """The clock was set, or the machine slept, by so many seconds: they do not count as time to follow."""
    if not jump_s or (jump_s > 0 and job.failures >= SLEEP_FAILURE_LIMIT):
        return job
    return dataclasses.replace(
        job,
        deadline_at=job.deadline_at + jump_s,
        look_until=job.look_until + max(0.0, jump_s),
        due_at=job.due_at + min(0.0, jump_s),
    )


class ClockJumpDetector:
    """Sees when the clock has been set, or the machine slept: time passed that nobody waited for."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expected = clock()

    def expect(self, seconds: float) -> None:
        """Say that so many seconds are about to be waited."""
        self._expected += seconds

    def jump_s(self) -> float:
        """Return by how much the clock is ahead of, or behind, what was expected; 0 where that is nothing odd."""
        now = self._clock()
        jump_s, self._expected = now - self._expected, now
        return jump_s if jump_s > SLEEP_THRESHOLD_S or jump_s < -CLOCK_SET_BACK_S else 0.0
