"""When: pauses, deadlines, and clocks that are set or stand still."""

from __future__ import annotations

import dataclasses

import pytest

from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import backoff, state_machine
from csm_refine_addon.core.jobs.state_machine import Step
from csm_refine_addon.core.models import LOCAL, TERMINAL, JobState as S
from tests.core.factories import DOWN, job, sent, session, unclear
from tests.core.harness import NOON


def test_backoff_doubles_up_to_half_a_minute():
    """2, 4, 8, 16, 30, 30 seconds."""
    assert [backoff.exponential(failures) for failures in range(1, 8)] == [2, 4, 8, 16, 30, 30, 30]
    assert backoff.exponential(10**6) == 30


@pytest.mark.parametrize(
    ("asked", "pause"), [(None, 2), (7, 7), (0, 1), (-5, 1), (99999, 3600), (float("inf"), 3600), (120.5, 120.5)]
)
def test_retry_after_is_honoured_within_reason(asked, pause):
    """What the service asks for is waited, but neither nothing nor for ever."""
    found = state_machine.request_failed(sent(), errors.ServiceBusy("Busy.", retry_after_s=asked), NOON)
    assert found.due_at - NOON == pause


def test_pauses_between_looks_grow():
    """From the first pause to the longest; the local service is asked more often."""
    remote, local = sent(), dataclasses.replace(sent(), service=LOCAL)
    found = [backoff.poll_interval(dataclasses.replace(remote, polls=polls)) for polls in range(40)]
    assert found[0] == 5
    assert found == sorted(found)
    assert found[-1] == 30
    assert max(backoff.poll_interval(dataclasses.replace(local, polls=polls)) for polls in (0, 10**9)) == 2


@pytest.mark.parametrize("state", list(S))
def test_deadline(state):
    """When the time is up, what still waits for the service fails; what is here, arrives or is unclear stays."""
    late = NOON + 10800
    stays = {S.UNCERTAIN, S.PREPARING, S.READY, S.DOWNLOADING, *TERMINAL}
    assert state_machine.overdue(job(state), late).state is (state if state in stays else S.FAILED)
    assert state_machine.overdue(job(state), late - 1) == job(state)
    assert state_machine.overdue(job(S.DOWNLOADING, trouble="Cut off."), late).state is S.FAILED


def test_deadline_says_whether_it_was_sent():
    """The sentence tells what Retry does: send, or follow on."""
    late = NOON + 10800.0
    assert "was not sent within 180 min" in state_machine.overdue(job(), late).error.message
    assert state_machine.retry_state(state_machine.overdue(job(), late)) is S.PREPARED
    assert "may go on" in state_machine.overdue(sent(), late).error.message
    assert state_machine.retry_state(state_machine.overdue(sent(), late)) is S.RUNNING


def test_another_deadline():
    """A new time limit holds for looking up, too, and may be longer than the old one."""
    found = state_machine.extend_deadline(unclear(), 5.0, NOON)
    assert (found.deadline_at, found.look_until, found.timeout_s) == (NOON + 5, NOON + 5, 10800)
    found = state_machine.extend_deadline(sent(), 20000.0, NOON)
    assert state_machine.overdue(found, NOON).deadline_at == NOON + 20000


# --- a clock that is set, a machine that sleeps


def test_a_clock_set_back_does_not_stall():
    """However far ahead the next step seems to be, the wait is no longer than the longest pause that is ever meant."""
    day = 86400.0
    assert backoff.until_due(sent(), NOON - day) == backoff.MAX_BACKOFF_S
    slow = dataclasses.replace(sent(), poll_longest_s=120.0)
    assert backoff.until_due(slow, NOON - day) == 120
    busy = state_machine.request_failed(sent(), errors.ServiceBusy("Busy.", retry_after_s=1800), NOON)
    assert (backoff.until_due(busy, NOON), backoff.until_due(busy, NOON - day)) == (1800, 3600)


def test_a_clock_set_back_does_not_prolong_for_ever():
    """A day earlier the job is followed for its time from then on, and an unclear one looked up for its minute."""
    before = NOON - 86400
    found = state_machine.overdue(sent(), before)
    assert found.deadline_at == before + found.timeout_s
    assert state_machine.overdue(found, before + 100) == found
    found, now = unclear(), before
    while state_machine.next_step(found) is Step.LOOK_UP:
        now += backoff.until_due(found, now)
        found = state_machine.looked_up(found, session("preview_done"), now)
        assert now - before < 200
    assert found.state is S.UNCERTAIN


def test_an_end_that_was_slept_through():
    """What was sent gets a moment more, counted from waking up; then its time is up."""
    late = NOON + 10800 + 3600
    found = state_machine.overdue(sent(), late)
    assert (found.state, found.deadline_at) == (S.RUNNING, late + backoff.SLEEP_GRACE_S)
    found = state_machine.request_failed(found, DOWN, late + 1)
    assert state_machine.overdue(found, late + 50).state is S.RUNNING
    assert state_machine.overdue(found, late + 61).error.code == "timeout"


def test_what_was_not_sent_is_not_sent_after_a_sleep():
    """A refine that waited for its turn overnight is not paid for in the morning without a new yes."""
    assert state_machine.overdue(job(), NOON + 50_000).error.code == "timeout"


def test_a_service_that_hangs_is_no_sleep():
    """A service whose failures take minutes each does not prolong a job for ever."""
    found, now = sent(), NOON + 10800.0
    for _ in range(20):
        found = state_machine.request_failed(found, DOWN, now)
        now += 1500
        found = state_machine.overdue(found, now)
        if found.state is S.FAILED:
            break
    assert found.error.code == "timeout"


def test_a_post_that_was_slept_through_is_looked_up():
    """Where the machine slept while the POST was on its way, and beyond the end, the look-up has its minute."""
    late = NOON + 50_000
    found = state_machine.unanswered(
        state_machine.submitting(state_machine.baseline_read(job(), session("preview_done"), NOON), NOON), late
    )
    assert found.look_until == late + backoff.LOOK_UP_S


# --- what is said meanwhile, and in the end


def test_a_job_that_waits_says_so_and_one_that_failed_says_what_to_do():
    """While it is tried again that is the sentence; in the end the cure is the user's."""
    busy = errors.ServiceBusy("The service is busy (429).", errors.LATER)
    found = state_machine.request_failed(job(S.DOWNLOADING), busy, NOON)
    assert found.trouble == "The service is busy (429). It is tried again."
    while found.state is S.DOWNLOADING:
        found = state_machine.request_failed(found, busy, found.due_at)
    assert (found.error.message, found.error.action) == ("The service is busy (429).", "Try again later.")


def test_the_time_ends_with_its_last_trouble():
    """Hours of one and the same trouble are in the sentence; without trouble there is none."""
    late = NOON + 10800
    found = state_machine.request_failed(sent(), DOWN, late - 5)
    assert state_machine.overdue(found, late).error.message.endswith("at the service. The service cannot be reached.")
    assert state_machine.overdue(sent(), late).error.message.endswith("at the service.")
