"""What counts as not taken: each answer to the POST, how many POSTs the server sees, and how the command would end."""

from __future__ import annotations

import dataclasses

import pytest

from csm_refine_addon.commands import outcome
from csm_refine_addon.core.jobs import state_machine, submissions
from csm_refine_addon.core.models import JobState as S, Secret
from csm_refine_addon.core.providers.client import Client
from tests.core.clients import closed_port
from tests.core.harness import assert_ready
from tests.support.api_server import KEY, Answer, envelope, html, refine_ack, refusal, session_2024

STANDS = session_2024("preview_done")
WORDS = (400, 401, 402, 403, 404, 409, 422, 429, 503)
OTHER_WORDS = (302, 307, 405, 407, 408, 413, 425, 499, 500, 501, 502, 504, 524)
LATER = {"Retry-After": "7"}
UNCLEAR = {
    **{f"{status} HTML, Retry-After": html(status, headers=LATER) for status in (*WORDS, *OTHER_WORDS)},
    **{f"{status} empty": Answer(status) for status in WORDS},
    **{f"{status} JSON of a gateway": Answer(status, {"statusCode": status, "message": "No."}) for status in WORDS},
    **{f"{status} in the envelope": refusal(status, "No.", headers=LATER) for status in OTHER_WORDS},
    "an envelope with another status": Answer(429, envelope({}, "Too many requests", 200)),
}
"""Whoever stands between may have answered so after the service took the POST."""
REFUSED = {
    400: ("refine_failed", 5),
    401: ("key_refused", 3),
    402: ("out_of_credits", 5),
    403: ("key_refused", 3),
    404: ("session_unknown", 4),
    409: ("session_not_refinable", 4),
    422: ("refine_failed", 5),
}


def test_the_rows_are_complete():
    """Each status that can mean not taken is a refusal, or is sent again."""
    assert {*REFUSED, 429, 503} == set(WORDS)


@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR)
def test_an_unclear_answer_to_what_was_taken(house, api, answer):
    """The session shows the refine after a while: one POST, and the job comes to its end."""
    api.posts = [dataclasses.replace(answer, takes=True)]
    api.after = [STANDS, STANDS, *api.after]
    assert_ready(house, house.drive())


@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR)
def test_an_unclear_answer_to_what_was_not_taken(house, api, answer):
    """The session goes on standing as before: one POST, exit code 9, and nothing sends it again by itself."""
    api.posts = [dataclasses.replace(answer, takes=False)]
    job = house.drive()
    assert (job.state, outcome.exit_code(job), len(api.refines)) == (S.UNCERTAIN, 9, 1)
    assert submissions.blocks_new_submission(job)
    job = house.drive(house.journal.change(job.id, lambda job: state_machine.retried(job, house.clock())))
    assert (job.state, len(api.refines)) == (S.UNCERTAIN, 1)


@pytest.mark.parametrize("timeout_s", [10800.0, 30.0, 5.0, 1.0])
@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("is_read_clearly", [True, False], ids=["envelope", "HTML"])
def test_a_read_that_says_the_same(house, api, status, is_read_clearly, timeout_s):
    """An unclear refusal, and a session that refuses to be read: exit code 3 or 4, and not 9, after one POST."""
    api.before = [STANDS, refusal(status) if is_read_clearly else html(status)]
    api.posts = [html(status)]
    job = house.drive(house.add(timeout_s=timeout_s))
    assert (job.state, job.error.code, outcome.exit_code(job)) == (S.FAILED, *REFUSED[status])
    assert len(api.refines) == 1
    assert submissions.blocks_new_submission(job)
    assert state_machine.retry_state(job) is S.UNCERTAIN


def test_a_slip_of_a_gateway_is_no_end(house, api):
    """A read that is refused once or twice says nothing of a refine that was taken."""
    api.posts = [Answer(401)]
    api.after = [html(401), html(404), *api.after]
    assert_ready(house, house.drive())


@pytest.mark.parametrize("status", REFUSED)
def test_the_api_refuses(house, api, status):
    """In the API's own envelope: one POST, the exit code of the refusal, and the session is free for another."""
    api.posts = [refusal(status, "No.")]
    job = house.drive()
    assert (job.state, job.error.code, outcome.exit_code(job)) == (S.FAILED, *REFUSED[status])
    assert (len(api.refines), job.sent_at, submissions.blocks_new_submission(job)) == (1, None, False)


@pytest.mark.parametrize("status", [429, 503, 400], ids=["429", "503", "400 without a text"])
@pytest.mark.parametrize("headers", [{}, LATER], ids=["", "Retry-After"])
def test_the_api_is_busy(house, api, status, headers):
    """In the API's own envelope: it is sent again after a new look at the session, and taken once."""
    api.posts = [refusal(status, headers=headers)] * 2 + [refine_ack()]
    job = house.drive()
    assert (job.state, len(api.refines), api.taken) == (S.READY, 3, 1)
    assert [seen.method for seen in api.seen][:6] == ["GET", "POST"] * 3


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}", "http://no-such-name.invalid"])
def test_what_never_left(house, api, address):
    """A refused connection and an unknown name carry nothing: sent again when the service is there, and taken once."""
    gone = Client(address.format(port=closed_port()), Secret(KEY), is_online=lambda: True, timeout_s=20.0)
    there, attempts = house.client, []

    def client_for(_service: str) -> Client:
        (job,) = house.journal.all()
        is_post = job.state is S.PREPARED and job.baseline is not None
        attempts.extend([job.id] * is_post)
        return gone if is_post and len(attempts) <= 2 else there

    engine = dataclasses.replace(house.engine(), client_for=client_for)
    assert_ready(house, engine.drive(house.add().id))
    assert len(attempts) == 3
    gone.close()
