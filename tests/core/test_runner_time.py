"""Whole jobs while time, journal and service behave oddly: they come to their end, and send nothing twice."""

from __future__ import annotations

import dataclasses
import itertools
import sqlite3

import pytest

from csm_refine_addon.commands import outcome
from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.models import JobState as S
from tests.core.harness import NOON, assert_ready
from tests.support.api_server import CODE, SESSIONS, TRIANGLE_OBJ, Answer, html, refusal, session_2024

LARGE = TRIANGLE_OBJ + b"# padding\n" * 200_000


def test_time_is_up(house, api):
    """After its time the job fails with a sentence, and was looked at for the last time not before."""
    api.after = [session_2024("training_refine")]
    job = house.drive(house.add(timeout_s=100.0))
    assert (job.state, job.error.code, outcome.exit_code(job)) == (S.FAILED, "timeout", 6)
    assert house.clock.now == NOON + 100
    assert "may go on" in job.error.message


def test_nothing_is_sent_when_the_time_is_up(house, api):
    """A busy service whose pause reaches beyond the time is not sent to at its end."""
    api.posts = [refusal(429, headers={"Retry-After": "500"})]
    job = house.drive(house.add(timeout_s=100.0))
    assert (job.error.code, len(api.refines), house.clock.now) == ("timeout", 1, NOON + 100)
    assert "was not sent" in job.error.message


JUMPS = {"an hour asleep": 3600.0, "a night": 50_000.0, "set forward": 86_400.0, "set back": -86_400.0}


@pytest.mark.parametrize("jump_s", JUMPS.values(), ids=JUMPS)
@pytest.mark.parametrize("state", ["PREPARED", "SUBMITTING", "RUNNING", "DOWNLOADING", "PREPARING"])
def test_the_clock_jumps_between_two_steps(house, api, state, jump_s):
    """A clock that is set, and a machine that sleeps, in whatever state: one POST, and the job comes to its end."""
    api.after = [session_2024("training_refine")] * 20 + [session_2024("refine_done", "mesh.obj")]
    jumps = [jump_s]

    def jump(job):
        if job.state == state and jumps:
            house.clock.now += jumps.pop()

    engine = dataclasses.replace(house.engine(), on_change=jump)
    assert_ready(house, engine.drive(house.add(timeout_s=1000.0).id))
    assert jumps == []
    assert max(house.clock.pauses) <= 30


@pytest.mark.parametrize("jump_s", JUMPS.values(), ids=JUMPS)
@pytest.mark.parametrize("pause", [1, 2, 5])
def test_the_clock_jumps_in_a_pause(house, api, pause, jump_s):
    """So where it happens while nothing is done."""
    api.after = [session_2024("training_refine")] * 20 + [session_2024("refine_done", "mesh.obj")]

    def jump():
        if len(house.clock.pauses) == pause:
            house.clock.now += jump_s

    house.clock.each = jump
    assert_ready(house, house.drive(house.add(timeout_s=1000.0)))


def test_the_network_comes_back_after_the_machine(house, api):
    """After a night of sleep the first looks fail: what the service finished meanwhile is fetched all the same."""
    api.after = [session_2024("training_refine"), *[html(502)] * 4, session_2024("refine_done", "mesh.obj")]
    job = house.drive(until=lambda job: job.polls == 1)
    house.clock.now += 50_000
    assert_ready(house, house.drive(job))


def test_taken_up_after_a_night(house, api):
    """A worker that is started the next morning looks once more before it calls the time up."""
    api.after = [session_2024("training_refine"), session_2024("refine_done", "mesh.obj")]
    job = house.drive(until=lambda job: job.polls == 1)
    house.clock.now += 50_000
    assert_ready(house, house.drive(job))


def test_taken_up_the_day_before(house, api):
    """A worker that is started after the clock was set back does not wait for a day."""
    api.after = [session_2024("training_refine"), session_2024("refine_done", "mesh.obj")]
    job = house.drive(until=lambda job: job.polls == 1)
    house.clock.now -= 86_400
    house.clock.pauses.clear()
    assert_ready(house, house.drive(job))
    assert max(house.clock.pauses) <= 30


def test_a_lease_of_another_day(house):
    """A lease from before the clock was set back, or the machine slept, does not keep others off."""
    job = house.add()
    for now in (NOON, NOON - 86_400, NOON + 50_000):
        owner = f"at {now}"
        assert house.journal.claim(job.id, owner, now, 15.0)
        assert not house.journal.claim(job.id, "another", now + 1, 15.0)


# --- a journal that cannot be written


def read_only(journal) -> None:
    journal._connection.execute("PRAGMA query_only = ON")


def full(journal) -> None:
    """Let the file grow no more, and fill what room is left for the history."""
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        journal._connection.executemany("INSERT INTO history VALUES ('', 0, 0, '')", itertools.repeat((), 10_000))


@pytest.mark.parametrize("spoil", [read_only, full])
@pytest.mark.parametrize("moment", [0, 1])
def test_nothing_is_sent_that_is_not_written_down(house, api, spoil, moment):
    """Where the journal cannot be written, before or after the baseline, there is a sentence and no POST."""
    job = house.add()
    if moment == 1:
        house.drive(job, until=lambda job: job.baseline is not None)
    spoil(house.journal)
    with pytest.raises(errors.StorageError, match="journal"):
        house.drive(job)
    assert api.refines == []


def test_the_answer_to_a_post_cannot_be_written(house, api):
    """A journal that fills up while the POST is on its way: what came of it is looked up later, and not sent again."""
    answered = api._server.answer

    def answer(seen):
        found = answered(seen)
        if seen.method == "POST":
            house.journal.change = unwritable
        return found

    def unwritable(job_id, step):
        raise errors.StorageError("The journal cannot be used.")

    api._server.answer = answer
    job = house.add()
    with pytest.raises(errors.StorageError):
        house.drive(job)
    del house.journal.change
    api._server.answer = answered
    assert_ready(house, house.drive(job))


# --- refusals and odd answers on the way

ODD = {
    "401": refusal(401),
    "402": refusal(402),
    "403": html(403),
    "404": html(404),
    "405": refusal(405),
    "407": html(407),
    "409": refusal(409),
    "418": refusal(418, "I am a teapot"),
    "redirect": Answer(302, b"", {"Location": "http://login.example/"}),
    "null": Answer(200, b"null"),
    "empty": Answer(200, b""),
    "page": html(200),
    "failing statusCode": Answer(200, {"statusCode": 500, "message": "Internal"}),
    "wrong types": Answer(200, {"data": {"status": ["refine_done"], "session_status": 7, "mesh_url_obj": {}}}),
    "long": Answer(200, b"[" * 9_000_000),
    "deep": Answer(200, b"[" * 100_000),
    "numbers": Answer(200, {"statusCode": 1e400, "data": {"status": "training_refine", "percent_done": "much"}}),
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_odd_answer_to_a_poll(house, api, answer):
    """Whatever comes a few times while a refine runs, the job goes on by itself and sends nothing again."""
    api.after = [session_2024("training_refine"), *[answer] * 3, session_2024("refine_done", "mesh.obj")]
    assert_ready(house, house.drive())


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_an_odd_answer_to_every_poll(house, api, answer):
    """What stays ends with a sentence and a cure, at the latest with the time; Retry follows on and sends nothing."""
    api.after = [session_2024("training_refine"), answer]
    job = house.drive(house.add(timeout_s=600.0))
    assert (job.state, bool(job.error.message and job.error.action)) == (S.FAILED, True)
    assert (state_machine.retry_state(job), len(api.refines)) == (S.RUNNING, 1)
    assert house.clock.now <= NOON + 660
    api.after = [session_2024("refine_done", "mesh.obj")]
    job = house.journal.change(job.id, lambda job: state_machine.retried(job, house.clock()))
    assert_ready(house, house.drive(job))


def test_a_proxy_that_wants_a_password(house, api):
    """Before the POST the sentence names the proxy; an answer of the proxy to the POST leaves it unclear."""
    api.before = [html(407)]
    job = house.drive()
    assert (job.error.code, outcome.exit_code(job), api.refines) == ("service_unreachable", 7, [])
    assert "proxy" in job.error.message
    api.before, api.posts = [session_2024("preview_done")], [html(407)]
    job = house.drive(house.add())
    assert (job.state, outcome.exit_code(job), len(api.refines)) == (S.UNCERTAIN, 9, 1)


def test_an_unknown_word_before_the_post(house, api):
    """A word that nobody knows, and that passes, does not keep the refine from being sent."""
    api.before = [session_2024("indexing"), session_2024("indexing"), session_2024("preview_done")]
    assert_ready(house, house.drive())
    assert SESSIONS in api.seen[0].path
    assert CODE in api.seen[0].path
