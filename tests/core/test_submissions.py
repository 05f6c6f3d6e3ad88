"""Which jobs bar another submission of their session: every state, with everything that is known of the submission."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from csm_refine_addon.core import addresses, errors
from csm_refine_addon.core.errors import AlreadySubmitted
from csm_refine_addon.core.jobs import state_machine, submissions
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import JobState as S, RefineRequest
from tests.core.factories import DOWN, job
from tests.core.harness import NOON
from tests.support.api_server import CODE

NOTHING = {}
SENT = {"sent_at": NOON}
TAKEN = {**SENT, "accepted_at": NOON}
RAN_ALREADY = {"accepted_at": NOON}
FETCHED = {**TAKEN, "mesh_path": "/x/mesh.glb"}
BUILT = {**FETCHED, "blend_path": "/x/result.blend"}
FLAGS = (NOTHING, SENT, TAKEN, RAN_ALREADY, FETCHED, BUILT)
NAMES = ("nothing sent", "sent", "taken", "ran already", "fetched", "prepared")
UNDER_WAY = {S.PREPARED, S.SUBMITTING, S.UNCERTAIN, S.RUNNING, S.DOWNLOADING, S.PREPARING}
ERRORS = [
    errors.RefineFailed("No."),
    errors.FollowTimeout("No."),
    errors.KeyRefused("No."),
    errors.SessionUnknown("No."),
    errors.SessionNotRefinable("No."),
    errors.OutOfCredits("No."),
    errors.MeshUnusable("No."),
    errors.PrepareFailed("No."),
    errors.StorageError("No."),
    errors.InputError("No."),
    errors.CsmError("No."),
    DOWN,
]


@pytest.mark.parametrize("flags", FLAGS, ids=NAMES)
@pytest.mark.parametrize("state", [state for state in S if state is not S.FAILED])
def test_each_state(state, flags):
    """Under way: always; with a result: never; stopped: once the submission may have arrived."""
    blocks = state in UNDER_WAY or (state is S.STOPPED and flags is not NOTHING)
    assert submissions.blocks_new_submission(job(state, **flags)) is blocks


@pytest.mark.parametrize("flags", FLAGS, ids=NAMES)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_each_failure(error, flags):
    """Free are what was never sent or not taken, and a taken refine of which the session showed that it failed."""
    failed = state_machine.failed(job(S.RUNNING, **flags), error, NOON)
    is_free = flags is NOTHING or (error.code == "refine_failed" and "accepted_at" in flags)
    assert submissions.blocks_new_submission(failed) is not is_free


@pytest.mark.parametrize("flags", FLAGS, ids=NAMES)
@pytest.mark.parametrize("state", list(S))
def test_what_never_sends_blocks_nothing(state, flags):
    """A job that only fetches, and one whose session is not made yet, are no submission of a session."""
    assert not submissions.blocks_new_submission(job(state, fetch_only=True, **flags))
    assert not submissions.blocks_new_submission(job(state, request=RefineRequest(""), **flags))


def test_what_an_answer_leaves_behind():
    """A refusal and what was not taken are free; no answer, a time-out and an answer that came late are not."""
    submitting = state_machine.submitting(job(), NOON)
    free = [
        state_machine.refused(submitting, errors.OutOfCredits("No."), NOON),
        state_machine.failed(state_machine.not_accepted(submitting, DOWN, NOON), DOWN, NOON),
        state_machine.stopped(state_machine.not_accepted(submitting, DOWN, NOON), NOON),
        state_machine.overdue(job(), NOON + 1e6),
    ]
    barred = [
        state_machine.unanswered(submitting, NOON),
        state_machine.recovered(submitting, NOON),
        state_machine.stopped(submitting, NOON),
        state_machine.failed(state_machine.unanswered(submitting, NOON), errors.KeyRefused("No."), NOON),
        state_machine.overdue(dataclasses.replace(job(S.RUNNING, **TAKEN), failures=99), NOON + 1e6),
    ]
    assert not any(map(submissions.blocks_new_submission, free))
    assert all(map(submissions.blocks_new_submission, barred))


SPELLINGS = [
    ("https://api.example", "https://api.example/", True),
    ("https://api.example", "https://API.Example", True),
    ("https://api.example", "HTTPS://api.example:443", True),
    ("http://api.example:80/", "http://api.example", True),
    ("https://api.example/v2", "https://api.example/v2/", True),
    ("https://api.example", "https://api.example.", True),
    ("http://[::1]:80", "http://[0:0:0:0:0:0:0:1]", True),
    ("local", "local", True),
    ("https://api.example", "http://api.example", False),
    ("https://api.example", "https://api.example:8443", False),
    ("https://api.example", "https://api.example/v2", False),
    ("https://api.example/v2", "https://api.example/V2", False),
    ("https://api.example", "https://api.example.org", False),
    ("local", "http://127.0.0.1:8787", False),
    ("http://[::1", "http://[::1", True),
    ("http://[::1", "https://api.example", False),
]


@pytest.mark.parametrize(("first", "second", "is_same"), SPELLINGS)
def test_one_service_in_two_spellings(first, second, is_same):
    """Final slash, case of the host, default port: the same service. Scheme, port and path: another one."""
    assert addresses.is_same_service(first, second) is is_same
    assert addresses.is_same_service(second, first) is is_same


def test_what_is_followed():
    """The job under way, else the newest; never one of another session or service."""
    stopped, running = job(S.STOPPED, id="a", created_at=9.0, **TAKEN), job(S.RUNNING, id="b", created_at=1.0, **TAKEN)
    older = job(S.STOPPED, id="c", created_at=3.0, **TAKEN)
    others = [job(S.RUNNING, id="d", request=RefineRequest("SESSION_9_9")), job(S.RUNNING, id="e", service="local")]
    for jobs in itertools.permutations([stopped, running, older, *others]):
        assert submissions.blocking(CODE, "https://API.example/", jobs) is running
    assert submissions.blocking(CODE, "https://api.example", [older, stopped, *others]) is stopped
    assert submissions.blocking(CODE, "https://api.example", others) is None


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        (job(S.RUNNING, **TAKEN), "being refined already"),
        (job(S.PREPARED), "being refined already"),
        (job(S.UNCERTAIN, look_until=NOON + 60, **SENT), "may have been sent already"),
        (job(S.STOPPED, **SENT), "may have been sent already"),
        (job(S.STOPPED, **TAKEN), "was sent already"),
        (state_machine.failed(job(S.RUNNING, **TAKEN), errors.FollowTimeout("No."), NOON), "was sent already"),
    ],
)
def test_the_sentence(known, sentence):
    """It says what is known, what to do, and which job it is."""
    with pytest.raises(AlreadySubmitted, match=sentence) as caught:
        submissions.require_none(CODE, known.service, [known])
    assert caught.value.job is known
    assert caught.value.action
    assert caught.value.exit_code == 2


# --- in the transaction of the job store


@pytest.fixture
def journal(tmp_path):
    with JobStore(tmp_path / "journal.sqlite") as opened:
        yield opened


def new(service="https://api.example", code=CODE, **options):
    return new_job(RefineRequest(code), service, now=NOON, **options)


def test_a_second_job_is_not_added(journal):
    """Nothing is written, and the error names the job; other sessions, services and jobs that never send are added."""
    first = journal.add(new())
    with pytest.raises(AlreadySubmitted) as caught:
        journal.add(new("https://API.example:443/"))
    assert (caught.value.job, journal.all()) == (first, [first])
    added = [
        journal.add(new(code="SESSION_2_2")),
        journal.add(new(code=CODE[:-1])),
        journal.add(new("http://127.0.0.1:1")),
        journal.add(new(fetch_only=True)),
        journal.add(new(code="", source_blend="/x/source.blend", source_objects=("Cube",))),
        journal.add(new(), again=True),
    ]
    assert {written.id for written in journal.all()} == {first.id, *(written.id for written in added)}


def test_retry_does_not_send_beside_another_job(journal):
    """Retry of a job that was never sent is refused while another job of the session is under way; again sends it."""
    first = journal.add(new())
    journal.change(first.id, lambda job: state_machine.stopped(job, NOON))
    second = journal.add(new())
    for step in (state_machine.retried, state_machine.sent_again):
        with pytest.raises(AlreadySubmitted) as caught:
            journal.change(first.id, lambda job, step=step: step(job, NOON))
        assert caught.value.job == second
        assert journal.change_each([first.id], lambda job, step=step: step(job, NOON)) == []
    assert journal.get(first.id).state is S.STOPPED
    assert journal.change(first.id, lambda job: state_machine.sent_again(job, NOON), again=True).state is S.PREPARED


def test_retry_that_sends_nothing_is_free(journal):
    """Retry of a job whose submission arrived follows it, whatever other jobs there are."""
    first = journal.add(new())
    journal.change(first.id, lambda job: state_machine.submitting(job, NOON))
    journal.change(first.id, lambda job: state_machine.stopped(job, NOON))
    journal.add(new(), again=True)
    assert journal.change(first.id, lambda job: state_machine.retried(job, NOON)).state is S.UNCERTAIN


def test_what_was_not_taken_is_sent_again_beside_another_job(journal):
    """A job that is being sent keeps its place: another one that was made on purpose does not end it."""
    first = journal.add(new())
    journal.change(first.id, lambda job: state_machine.submitting(job, NOON))
    journal.add(new(), again=True)
    assert journal.change(first.id, lambda job: state_machine.not_accepted(job, DOWN, NOON)).state is S.PREPARED


def test_a_job_of_another_version_bars(journal):
    """Where a job of the session cannot be read it may have been sent: a sentence, and nothing is added."""
    first = journal.add(new())
    journal._connection.execute("UPDATE jobs SET document = replace(document, 'PREPARED', 'QUEUED')")
    with pytest.raises(errors.StorageError, match="another version"):
        journal.add(new())
    assert journal.add(new(code="SESSION_2_2")).id != first.id
