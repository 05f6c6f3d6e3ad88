"""Backoff and deadlines that survive clock changes and sleep.

Times are wall-clock times, because they are stored and outlive processes. Each future time is limited to its maximum
distance, in case the clock was set back; a deadline that passed during sleep is extended.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from .. import errors
from ..models import LOCAL, Job

MAX_BACKOFF_S = 30.0
"""The longest pause after consecutive failures, as in the vendor's own client."""
RETRY_AFTER_S = (1.0, 3600.0)
"""Minimum and maximum of the accepted ``Retry-After``."""
LOOK_UP_S = 60.0
"""Duration of the automatic lookups of an unclear submission."""
SLEEP_THRESHOLD_S = 300.0
"""A longer delay means that the machine was asleep: a response takes a minute or two."""
CLOCK_SET_BACK_S = 60.0
"""A larger jump back means that the clock was set; a smaller one is a clock correction."""
SLEEP_GRACE_S = 60.0
"""Extension of a deadline that passed during sleep."""
SLEEP_FAILURE_LIMIT = 6
"""After this many consecutive failures, sleep is no longer assumed to be the cause."""


def exponential(failures: int) -> float:
    """Return the pause after consecutive failures: 2, 4, 8, ... at most 30 seconds."""
    return float(min(MAX_BACKOFF_S, 2.0 ** min(failures, 10)))


def after_failure(failures: int, error: errors.CsmError) -> float:
    """Return the pause after a failure: the clamped ``Retry-After`` of the service, or exponential backoff."""
    requested_s = error.retry_after_s if isinstance(error, errors.ServiceBusy) else None
    least, longest = RETRY_AFTER_S
    return exponential(failures) if requested_s is None else min(longest, max(least, requested_s))


def poll_interval(job: Job) -> float:
    """Return the pause before the next poll of a running refine; the local service is polled more often."""
    first, longest = (0.3, 2.0) if job.service == LOCAL else (job.poll_first_s, job.poll_longest_s)
    return float(min(longest, first * 1.2 ** min(job.polls, 30)))


def until_due(job: Job, now: float, share: float = 1.0) -> float:
    """Return the seconds until the job's next step, at least 0. ``share`` scales the pause, not the deadline."""
    longest = RETRY_AFTER_S[1] if job.failures else max(MAX_BACKOFF_S, job.poll_longest_s)
    return max(0.0, min((job.due_at - now) * share, longest, job.deadline_at - now))


def deadline(job: Job, now: float) -> float:
    """Return the effective deadline of the job at ``now``."""
    slept = now - job.deadline_at > SLEEP_THRESHOLD_S and job.failures < SLEEP_FAILURE_LIMIT
    if slept and (job.sent_at or job.accepted_at) is not None:
        return now + SLEEP_GRACE_S
    return min(job.deadline_at, now + job.timeout_s)


def lookup_deadline(job: Job, now: float) -> float:
    """Return the effective end of the lookups of an unclear submission at ``now``."""
    return min(job.look_until, now + LOOK_UP_S)


def next_lookup(job: Job, now: float, due_at: float) -> float:
    """Return the time of the next lookup; the last one is 1 s before ``look_until``."""
    last = job.look_until - 1.0
    return min(due_at, last) if now + 2.0 < last else due_at


def shift_times(job: Job, jump_s: float) -> Job:
    """Shift the times of the job by a clock jump: its seconds do not count towards the deadline."""
    if not jump_s or (jump_s > 0 and job.failures >= SLEEP_FAILURE_LIMIT):
        return job
    return dataclasses.replace(
        job,
        deadline_at=job.deadline_at + jump_s,
        look_until=job.look_until + max(0.0, jump_s),
        due_at=job.due_at + min(0.0, jump_s),
    )


class ClockJumpDetector:
    """Detects clock changes and sleep: the elapsed time differs from the announced waits."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._expected = clock()

    def expect(self, seconds: float) -> None:
        """Announce a wait of this many seconds."""
        self._expected += seconds

    def jump_s(self) -> float:
        """Return the difference of the clock from the expected time in seconds; 0 below the thresholds."""
        now = self._clock()
        jump_s, self._expected = now - self._expected, now
        return jump_s if jump_s > SLEEP_THRESHOLD_S or jump_s < -CLOCK_SET_BACK_S else 0.0
