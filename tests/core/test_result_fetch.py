"""A result is fetched again without a refine: whatever the session says and whatever is retried, nothing is posted."""

from __future__ import annotations

import dataclasses

import pytest

from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.jobs.state_machine import Step
from csm_refine_addon.core.models import Job, JobState as S
from tests.core.harness import NOON
from tests.support.api_server import Answer, session_2024, session_2025, session_mixed, session_v3

DONE = {
    "2024": session_2024("refine_done", "mesh.obj"),
    "2025": session_2025("complete", "mesh.obj", 100),
    "mixed": session_mixed("refine_done", "complete", "mesh.obj"),
    "v3": session_v3("complete", "mesh.obj"),
}


def posts(api) -> list[str]:
    return [seen.path for seen in api.seen if seen.method != "GET"]


def fetch(house, *answers: Answer) -> Job:
    house.api.before = list(answers)
    return house.drive(house.add(fetch_only=True))


@pytest.mark.parametrize("answer", DONE.values(), ids=DONE)
def test_an_existing_result_counts(house, api, answer):
    """A session that was refined before gives its mesh, in each form of the API, and no POST is made."""
    job = fetch(house, answer)
    assert (job.state, job.error, job.bytes_done) == (S.READY, None, job.bytes_total)
    assert house.states == ["PREPARED", "RUNNING", "DOWNLOADING", "PREPARING", "READY"]
    assert posts(api) == []
    assert job.sent_at is None


def test_a_running_refine_is_followed(house, api):
    """A refine that somebody else has started is followed to its end."""
    answers = (session_2024("training_refine"), session_2024("training_refine"), DONE["2024"])
    assert fetch(house, *answers).state is S.READY
    assert posts(api) == []


@pytest.mark.parametrize("word", ["preview_done", "uploaded", "preview_failed", "refine_failed"])
def test_a_session_without_a_result_is_said(house, api, word):
    """Nothing to fetch is a sentence with a cure; *Retry* reads it again, and does not post."""
    job = fetch(house, session_2024(word))
    assert (job.state, job.error.code) == (S.FAILED, errors.SessionNotRefinable.code)
    assert job.remote.word == word
    assert job.error.action
    for again in (state_machine.retried, state_machine.sent_again):
        taken_up = house.journal.change(job.id, lambda job, again=again: again(job, house.clock()))
        job = house.drive(taken_up)
        assert job.state is S.FAILED
    api.before = [DONE["2024"]]
    assert (
        house.drive(house.journal.change(job.id, lambda job: state_machine.retried(job, house.clock()))).state
        is S.READY
    )
    assert posts(api) == []


def test_a_refine_that_fails_while_it_is_followed_is_not_sent_again(house, api):
    """*Retry* of a fetch never turns into a refine, even where the service failed one."""
    job = fetch(house, session_2024("training_refine"), session_2024("refine_failed"))
    assert (job.state, job.error.code) == (S.FAILED, errors.RefineFailed.code)
    house.drive(house.journal.change(job.id, lambda job: state_machine.retried(job, house.clock())))
    assert posts(api) == []


def test_the_table_lets_no_fetch_be_submitted(house):
    """Whatever a fetch has read, its next step is never to send, and being about to send is a mistake."""
    job = house.add(fetch_only=True)
    read = dataclasses.replace(job, baseline=state_machine.Baseline("preview_done", "", ""))
    assert {state_machine.next_step(each) for each in (job, read)} == {Step.FETCH}
    with pytest.raises(state_machine.IllegalTransition):
        state_machine.submitting(read, NOON)


def test_a_session_that_cannot_be_read_is_not_called_unsent(house):
    """When the time is up before the session was read, the sentence speaks of reading."""
    job = state_machine.overdue(house.add(fetch_only=True), NOON + 1e6)
    assert "not read" in job.error.message
    assert "sent" not in job.error.message


def test_it_survives_the_journal(house):
    """A fetch is still one after another process has read it."""
    job = house.add(fetch_only=True)
    with JobStore(house.home.journal) as journal:
        assert journal.get(job.id).fetch_only
