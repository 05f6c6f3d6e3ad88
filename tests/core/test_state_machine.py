"""The way of a job as data: the table, the traps, and that no POST is ever repeated without a yes."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from csm_refine_addon.commands import outcome
from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import backoff, retry_policy, state_machine
from csm_refine_addon.core.jobs.state_machine import IllegalTransition, Step
from csm_refine_addon.core.models import TERMINAL, Job, JobError, JobState as S, RefineRequest
from csm_refine_addon.core.providers.csm_schema import STATUS_WORDS
from tests.core.factories import ACK, DOWN, MESH, OTHER_MESH, job, sent, session, unclear
from tests.core.harness import NOON, REPORT
from tests.support.api_server import CODE

# --- the table


def test_table_is_complete_and_closed():
    """Each state has its row, and each row names states."""
    assert set(state_machine.TRANSITIONS) == set(S)
    assert set(itertools.chain(*state_machine.TRANSITIONS.values())) <= set(S)


def test_every_state_can_be_reached_and_left():
    """From PREPARED every state can be reached, and from every state one that has ended."""
    reached = {S.PREPARED}
    for _ in S:
        reached |= set(itertools.chain(*(state_machine.TRANSITIONS[state] for state in reached)))
    assert reached == set(S)
    assert all(state_machine.TRANSITIONS[state] & {*TERMINAL, S.READY} for state in S)


@pytest.mark.parametrize("state", list(S))
@pytest.mark.parametrize("after", list(S))
def test_moves_follow_the_table(state, after):
    """What the table does not have raises; what it has, and staying, does not."""
    if after is state or after in state_machine.TRANSITIONS[state]:
        assert state_machine.move(job(state), after).state is after
    else:
        with pytest.raises(IllegalTransition):
            state_machine.move(job(state), after)


@pytest.mark.parametrize("state", [state for state in S if state is not S.PREPARED])
def test_a_post_leaves_from_prepared_alone(state):
    """Not even a job that is being sent can be sent: another process may be at it."""
    with pytest.raises(IllegalTransition):
        state_machine.submitting(job(state), NOON)
    assert all(
        S.SUBMITTING not in rows for source, rows in state_machine.TRANSITIONS.items() if source is not S.PREPARED
    )


def test_each_state_has_its_step():
    """Create and baseline come before the POST; what is ready, ended or being sent by someone rests."""
    ready = state_machine.baseline_read(job(), session("preview_done"), NOON)
    steps = {state: state_machine.next_step(job(state)) for state in S}
    assert state_machine.next_step(ready) is Step.SUBMIT
    assert state_machine.next_step(dataclasses.replace(job(), request=RefineRequest(""))) is Step.CREATE
    assert steps.pop(S.PREPARED) is Step.BASELINE
    assert steps.pop(S.RUNNING) is Step.POLL
    assert steps.pop(S.DOWNLOADING) is Step.DOWNLOAD
    assert steps.pop(S.PREPARING) is Step.PREPARE
    assert set(steps.values()) == {Step.REST}
    assert state_machine.next_step(unclear()) is Step.LOOK_UP


@pytest.mark.parametrize("state", list(S))
def test_active_is_what_has_a_next_step(state):
    """The engine's step and the answer to *is it active* agree, but for a POST that is on its way."""
    active = state_machine.is_active(job(state))
    assert active is (state_machine.next_step(job(state)) is not Step.REST or state is S.SUBMITTING)


# --- before the POST


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("uploaded", "no preview mesh yet"),
        ("training_preview", "no preview mesh yet"),
        ("preview_failed", "failed before its preview"),
    ],
)
def test_what_cannot_be_refined(word, sentence):
    """A session without a preview mesh ends the job before anything is sent; the job keeps the session's word."""
    found = state_machine.baseline_read(job(), session(word), NOON)
    assert (found.state, found.error.code, found.sent_at) == (S.FAILED, "session_not_refinable", None)
    assert sentence in found.error.message
    assert found.remote.word == word


@pytest.mark.parametrize("word", ["training_refine", "in_progress"])
def test_trap_4_what_runs_already_is_followed(word):
    """A refine that runs before any POST is followed; nothing is sent."""
    found = state_machine.baseline_read(job(), session(word), NOON)
    assert (found.state, found.sent_at, found.accepted_at) == (S.RUNNING, None, NOON)
    assert state_machine.polled(found, session("refine_done", MESH), NOON).state is S.DOWNLOADING


def test_trap_4_an_unknown_word_is_looked_at_again():
    """A word that nobody knows may be a slip: it counts as a running refine's when it stays."""
    found = job()
    for _ in range(retry_policy.UNKNOWN_STATUS_LIMIT - 1):
        found = state_machine.baseline_read(found, session("a_new_word"), found.due_at)
        assert (found.state, state_machine.next_step(found)) == (S.PREPARED, Step.BASELINE)
    assert state_machine.next_step(state_machine.baseline_read(found, session("preview_done"), NOON)) is Step.SUBMIT
    assert state_machine.baseline_read(found, session("a_new_word"), NOON).state is S.RUNNING


@pytest.mark.parametrize("fetch_only", [False, True])
def test_a_refine_that_was_not_ours_and_is_gone(fetch_only):
    """Where a session showed a refine, nothing was sent, and none is there any more, Retry may send."""
    found = state_machine.move(job(fetch_only=fetch_only), S.RUNNING, accepted_at=NOON, seen_running=True)
    for _ in range(retry_policy.MISSING_REFINE_LIMIT - 1):
        found = state_machine.polled(found, session("preview_done"), NOON)
        assert found.state is S.RUNNING
    assert state_machine.polled(found, session("training_refine"), NOON).empty_ends == 0
    found = state_machine.polled(found, session("preview_done"), NOON)
    assert (found.state, found.error.code, state_machine.retry_state(found)) == (S.FAILED, "refine_failed", S.PREPARED)
    assert ("was sent" in found.error.action) is not fetch_only


def test_created_session_is_sent():
    """The session that the local service made is the one that is refined."""
    made = state_machine.created(dataclasses.replace(job(), request=RefineRequest("")), session("preview_done"), NOON)
    assert made.request.session_code == CODE
    assert state_machine.next_step(made) is Step.BASELINE


# --- following: the traps


def test_trap_1_preview_done_after_the_post_is_no_end():
    """Right after the POST the session may still say preview_done: it goes on being followed."""
    found = state_machine.polled(sent(), session("preview_done"), NOON)
    assert (found.state, found.error) == (S.RUNNING, None)
    assert state_machine.polled(found, session("refine_done", MESH), NOON).state is S.DOWNLOADING


@pytest.mark.parametrize("word", ["refine_done", "complete"])
def test_trap_2_the_old_end_does_not_count(word):
    """A session refined before shows its old end and mesh until the new refine runs or something differs."""
    running = sent(word, MESH, updated_at="1")
    stale = state_machine.polled(running, session(word, MESH.replace("sig=1", "sig=2"), updated_at="1"), NOON)
    assert stale.state is S.RUNNING
    assert state_machine.polled(stale, session(word, OTHER_MESH, updated_at="1"), NOON).state is S.DOWNLOADING
    assert state_machine.polled(stale, session(word, MESH, updated_at="2"), NOON).state is S.DOWNLOADING
    seen = state_machine.polled(stale, session("training_refine", MESH, updated_at="1"), NOON)
    assert state_machine.polled(seen, session(word, MESH, updated_at="1"), NOON).state is S.DOWNLOADING


def test_trap_2_the_old_failure_does_not_count():
    """A session whose last refine failed still says so after the POST."""
    running = state_machine.polled(sent("refine_failed"), session("refine_failed"), NOON)
    assert running.state is S.RUNNING
    seen = state_machine.polled(running, session("training_refine"), NOON)
    assert state_machine.polled(seen, session("refine_failed"), NOON).state is S.FAILED


def test_trap_3_an_end_without_a_mesh_is_looked_at_again():
    """It may be finishing: some looks later it is an end with a sentence, and Retry looks on without sending."""
    found = sent()
    for _ in range(retry_policy.EMPTY_RESULT_LIMIT - 1):
        found = state_machine.polled(found, session("refine_done"), NOON)
        assert found.state is S.RUNNING
    assert state_machine.polled(found, session("refine_done", MESH), NOON).state is S.DOWNLOADING
    found = state_machine.polled(found, session("refine_done"), NOON)
    assert (found.state, found.error.code) == (S.FAILED, "mesh_unusable")
    assert state_machine.retry_state(found) is S.RUNNING


def test_a_failed_refine():
    """The sentence holds what the service says; its word stays with the job."""
    found = state_machine.polled(sent(), session("refine_failed", message="No surface."), NOON)
    assert (found.state, found.error.code) == (S.FAILED, "refine_failed")
    assert found.remote.word == "refine_failed"
    assert "No surface." in found.error.message


def test_the_service_is_shown_as_it_is():
    """Word, percent and time of the last answer are kept with the job."""
    found = state_machine.polled(sent(), session("texture_bake", percent=40.0), NOON + 7)
    assert (found.remote.word, found.remote.percent, found.answered_at) == ("texture_bake", 40.0, NOON + 7)


# --- the unclear outcome


def test_unanswered_is_uncertain():
    """A POST without an answer is looked up for a minute, and then left to the user."""
    found, now, looks = unclear(), NOON, 0
    assert (found.state, found.error.code, state_machine.is_active(found)) == (S.UNCERTAIN, "uncertain", True)
    while state_machine.next_step(found) is Step.LOOK_UP:
        now = found.due_at
        found, looks = state_machine.looked_up(found, session("preview_done"), now), looks + 1
    assert 3 <= looks <= 8
    assert now - NOON <= backoff.LOOK_UP_S
    assert (found.state, found.error.code, state_machine.is_active(found)) == (S.UNCERTAIN, "uncertain", False)


@pytest.mark.parametrize(
    ("before", "now_seen", "state"),
    [
        (("preview_done",), ("training_refine",), S.RUNNING),
        (("preview_done",), ("refine_done", MESH), S.RUNNING),
        (("preview_done",), ("refine_failed",), S.RUNNING),
        (("refine_done", MESH), ("refine_done", OTHER_MESH), S.RUNNING),
        (("complete", MESH, "1"), ("complete", MESH, "2"), S.RUNNING),
        (("preview_done",), ("preview_done",), S.UNCERTAIN),
        (("preview_done", "", "1"), ("preview_done", "", "2"), S.UNCERTAIN),
        (("refine_done", MESH), ("refine_done", MESH), S.UNCERTAIN),
        (("refine_done", MESH), ("preview_done",), S.UNCERTAIN),
    ],
)
def test_look_up_settles(before, now_seen, state):
    """A running refine or a newer end settles it; a session that only stands there does not."""
    ready = state_machine.baseline_read(job(), session(*before), NOON)
    found = state_machine.unanswered(state_machine.submitting(ready, NOON), NOON)
    found = state_machine.looked_up(found, session(*now_seen), NOON + 2)
    assert found.state is state
    assert (found.accepted_at is not None) is (state is S.RUNNING)


@pytest.mark.parametrize("left_s", [-100.0, 0.0, 0.5, 20.0, 1000.0])
def test_look_up_keeps_the_time_limit(left_s):
    """However little time is left, one look is taken; and no more than the time allows."""
    ready = state_machine.baseline_read(job(), session("preview_done"), NOON)
    ready = dataclasses.replace(ready, deadline_at=NOON + left_s)
    found, looks = state_machine.unanswered(state_machine.submitting(ready, NOON), NOON), 0
    while state_machine.next_step(found) is Step.LOOK_UP:
        assert found.due_at <= NOON + max(1.0, min(left_s, backoff.LOOK_UP_S))
        found, looks = state_machine.looked_up(found, session("preview_done"), found.due_at), looks + 1
    assert looks >= 1


def test_a_crash_in_the_middle_of_the_post():
    """A job that was being sent when its process died is unclear, and is looked up whenever it is taken up."""
    ready = state_machine.baseline_read(job(), session("preview_done"), NOON)
    late = NOON + 10 * 86400
    found = state_machine.recovered(state_machine.submitting(ready, NOON), late)
    assert (found.state, state_machine.next_step(found)) == (S.UNCERTAIN, Step.LOOK_UP)
    assert all(state_machine.recovered(job(state), late).state is state for state in S if state is not S.SUBMITTING)


def test_an_answer_that_comes_after_all():
    """The ack counts in whatever state the job is by then, and never takes a job back that has gone on."""
    stopped = state_machine.stopped(
        state_machine.submitting(state_machine.baseline_read(job(), session("preview_done"), NOON), NOON), NOON
    )
    assert state_machine.accepted(stopped, ACK, NOON).state is S.STOPPED
    assert state_machine.retry_state(state_machine.accepted(stopped, ACK, NOON)) is S.RUNNING
    assert state_machine.retry_state(stopped) is S.UNCERTAIN
    for state in (S.DOWNLOADING, S.PREPARING, S.READY, S.PLACED, S.FAILED):
        assert state_machine.accepted(job(state), ACK, NOON).state is state


# --- refusals, and what may go out again


def test_refused_owes_nothing():
    """After the service said no, Retry sends anew."""
    ready = state_machine.baseline_read(job(), session("preview_done"), NOON)
    found = state_machine.refused(
        state_machine.submitting(ready, NOON), errors.OutOfCredits("No credits.", "Buy some."), NOON
    )
    assert (found.state, found.sent_at, state_machine.retry_state(found)) == (S.FAILED, None, S.PREPARED)


def test_not_taken_goes_out_again_a_few_times():
    """What surely did not arrive is sent again with growing pauses, each time after a new look at the session."""
    found, pauses = job(), []
    while found.state is not S.FAILED:
        found = state_machine.baseline_read(found, session("preview_done"), found.due_at)
        found = state_machine.submitting(found, found.due_at)
        now = found.due_at
        found = state_machine.not_accepted(found, DOWN, now)
        pauses.append(found.due_at - now)
        assert state_machine.next_step(found) in (Step.BASELINE, Step.REST)
    assert pauses[:-1] == [2, 4, 8, 16, 30]
    assert found.error.code == "service_unreachable"


def test_what_was_not_taken_but_runs_is_followed():
    """A refine that a gateway denied, but the session shows running, is not sent again."""
    ready = state_machine.baseline_read(job(), session("preview_done"), NOON)
    found = state_machine.not_accepted(
        state_machine.submitting(ready, NOON), errors.ServiceBusy("Busy.", retry_after_s=1), NOON
    )
    assert state_machine.baseline_read(found, session("training_refine"), NOON).state is S.RUNNING


def test_an_absent_service_is_not_asked_for_long():
    """A user waits for the first answer: after a few attempts the job fails with the sentence."""
    found, attempts = job(), 0
    while found.state is S.PREPARED:
        found, attempts = state_machine.request_failed(found, DOWN, found.due_at), attempts + 1
    assert (attempts, found.error.message) == (retry_policy.BASELINE_RETRY_LIMIT, DOWN.message)


def test_a_running_refine_is_asked_for_until_the_time_is_up():
    """A service that fails for an hour does not end the job; the trouble is shown, and one answer clears it."""
    found = sent()
    for _ in range(120):
        found = state_machine.request_failed(found, DOWN, found.due_at)
    assert (found.state, found.trouble, found.failures) == (S.RUNNING, str(DOWN), 120)
    found = state_machine.polled(found, session("training_refine"), found.due_at)
    assert (found.trouble, found.failures) == ("", 0)


def test_a_download_comes_to_an_end():
    """Expired addresses and cut downloads are tried a few times in a row, and then end with a sentence."""
    found, attempts = state_machine.polled(sent(), session("refine_done", MESH), NOON), 0
    while found.state is S.DOWNLOADING:
        found = state_machine.received(found, 10, 100, resumed=False)
        found, attempts = state_machine.request_failed(found, DOWN, found.due_at), attempts + 1
    assert (found.state, attempts, state_machine.retry_state(found)) == (
        S.FAILED,
        retry_policy.RETRY_LIMIT,
        S.RUNNING,
    )


def test_a_download_that_gets_further_goes_on():
    """A download that is resumed and gets further may be cut as often as it likes."""
    found = state_machine.polled(sent(), session("refine_done", MESH), NOON)
    for cut in range(50):
        found = state_machine.received(found, cut, 100, resumed=True)
        found = state_machine.request_failed(found, DOWN, found.due_at)
    assert (found.state, found.bytes_done) == (S.DOWNLOADING, 49)


@pytest.mark.parametrize("state", [S.PREPARED, S.RUNNING, S.DOWNLOADING, S.UNCERTAIN])
def test_offline_pauses(state):
    """Without online access a job waits and says so; it neither fails nor counts failures."""
    found = job(state, look_until=NOON + 5)
    for _ in range(200):
        found = state_machine.request_failed(found, errors.BlenderOffline("Blender is offline."), found.due_at)
    assert (found.state, found.failures, state_machine.is_active(found)) == (state, 0, True)
    assert "offline" in found.trouble


@pytest.mark.parametrize(
    "error", [errors.KeyMissing("No."), errors.StorageError("Full."), errors.MeshTooLarge("Large.")]
)
@pytest.mark.parametrize("state", [S.RUNNING, S.DOWNLOADING])
def test_other_failures_end_the_job(state, error):
    """What asking again cannot mend ends the job with its sentence."""
    found = state_machine.request_failed(job(state, **TAKEN), error, NOON)
    assert (found.state, found.error.code) == (S.FAILED, error.code)


REFUSALS = [
    errors.KeyRefused("No."),
    errors.SessionUnknown("No."),
    errors.SessionNotRefinable("No."),
    errors.OutOfCredits("No."),
]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: error.code)
def test_a_refusal_while_a_refine_runs(error):
    """Once the refine was sent, a gateway's slip does not end the job; what stays does, and Retry sends nothing."""
    assert state_machine.request_failed(job(), error, NOON).state is S.FAILED
    found, refusals = sent(), 0
    while found.state is S.RUNNING:
        found, refusals = state_machine.request_failed(found, error, found.due_at), refusals + 1
    assert (refusals, found.error.code, state_machine.retry_state(found)) == (
        retry_policy.REFUSAL_LIMIT,
        error.code,
        S.RUNNING,
    )
    found = state_machine.request_failed(unclear(), error, NOON)
    assert (found.state, state_machine.retry_state(found)) == (S.UNCERTAIN, S.UNCERTAIN)


def test_an_odd_mesh_is_fetched_again():
    """A page instead of the mesh, or a part of it, may be a slip, too; a mesh that Blender refuses is none."""
    found, tries = job(S.DOWNLOADING, **TAKEN), 0
    while found.state is S.DOWNLOADING:
        found, tries = state_machine.request_failed(found, errors.MeshUnusable("A page."), found.due_at), tries + 1
    assert (tries, found.error.code) == (retry_policy.INVALID_MESH_LIMIT, "mesh_unusable")
    assert (
        state_machine.request_failed(job(S.PREPARING, **FETCHED), errors.MeshUnusable("Bad."), NOON).state is S.FAILED
    )


@pytest.mark.parametrize(
    ("before", "now_seen", "counts"),
    [
        (("preview_done",), ("refine_done", MESH), True),
        (("preview_done",), ("training_refine", MESH), False),
        (("preview_done",), ("preview_done", MESH), False),
        (("refine_done", MESH), ("refine_done", MESH), False),
        (("refine_done", MESH), ("refine_done", OTHER_MESH), True),
    ],
)
def test_the_mesh_is_that_of_a_new_end(before, now_seen, counts):
    """When its address is read, the session must still show the end; else it is followed on."""
    found = state_machine.move(sent(*before), S.DOWNLOADING)
    assert state_machine.has_result(found, session(*now_seen)) is counts
    assert state_machine.result_gone(found, session(*now_seen), NOON).state is S.RUNNING


# --- retry


def failed(state, error, **changes) -> Job:
    return state_machine.failed(job(state, **changes), error, NOON)


SENT = {"sent_at": NOON, "baseline": state_machine.baseline_of(session("preview_done"))}
TAKEN = {**SENT, "accepted_at": NOON}
FETCHED = {**TAKEN, "mesh_path": "/x/mesh.glb"}
BUILT = {**FETCHED, "blend_path": "/x/result.blend"}
WAYS_TO_END = {
    "never sent": (failed(S.PREPARED, DOWN), S.PREPARED),
    "refused": (failed(S.SUBMITTING, errors.KeyRefused("No.")), S.PREPARED),
    "unclear": (job(S.UNCERTAIN, **SENT), S.UNCERTAIN),
    "unclear, key refused at the look-up": (failed(S.UNCERTAIN, errors.KeyRefused("No."), **SENT), S.UNCERTAIN),
    "stopped while it was sent": (state_machine.stopped(job(S.SUBMITTING, **SENT), NOON), S.UNCERTAIN),
    "stopped before it was sent": (state_machine.stopped(job(), NOON), S.PREPARED),
    "stopped while it ran": (state_machine.stopped(job(S.RUNNING, **TAKEN), NOON), S.RUNNING),
    "timed out": (state_machine.overdue(job(S.RUNNING, **TAKEN), NOON + 1e6), S.RUNNING),
    "key refused on the way": (failed(S.RUNNING, errors.KeyRefused("No."), **TAKEN), S.RUNNING),
    "refine failed": (failed(S.RUNNING, errors.RefineFailed("No."), **TAKEN), S.PREPARED),
    "download cut": (failed(S.DOWNLOADING, DOWN, **TAKEN), S.RUNNING),
    "disk full": (failed(S.DOWNLOADING, errors.StorageError("Full."), **TAKEN), S.RUNNING),
    "an error page as mesh": (failed(S.DOWNLOADING, errors.MeshUnusable("No."), **TAKEN), S.RUNNING),
    "a mesh that cannot be used": (failed(S.PREPARING, errors.MeshUnusable("No."), **FETCHED), S.RUNNING),
    "no Blender to prepare": (failed(S.PREPARING, errors.PrepareFailed("No."), **FETCHED), S.PREPARING),
    "stopped while preparing": (state_machine.stopped(job(S.PREPARING, **FETCHED), NOON), S.PREPARING),
    "stopped when ready": (state_machine.stopped(job(S.READY, **BUILT), NOON), S.READY),
    "placing failed": (failed(S.READY, errors.InputError("No."), **BUILT), S.PREPARING),
}


@pytest.mark.parametrize(("ended", "state"), WAYS_TO_END.values(), ids=WAYS_TO_END)
def test_retry_takes_up_as_late_as_possible(ended, state):
    """However a job ended, Retry goes on where nothing is done or paid twice, with the full time again."""
    assert state_machine.retry_state(ended) is state
    again = state_machine.retried(ended, NOON + 50)
    assert (again.state, again.finished_at) == (state, None)
    assert (again.error and again.error.code) == ("uncertain" if state is S.UNCERTAIN else None)
    assert (again.deadline_at, again.due_at, again.failures) == (NOON + 50 + 10800, NOON + 50, 0)
    if state is S.UNCERTAIN:
        assert state_machine.next_step(again) is Step.LOOK_UP


@pytest.mark.parametrize("state", list(S))
def test_sent_again_is_for_what_has_ended(state):
    """What neither failed nor stopped cannot be sent again: a sentence, not a second charge."""
    if state in (S.PREPARED, S.UNCERTAIN, S.FAILED, S.STOPPED):
        again = state_machine.sent_again(job(state, **BUILT, trial_key="t", seen_running=True), NOON)
        assert state_machine.next_step(again) is Step.BASELINE
        assert (again.sent_at, again.accepted_at, again.seen_running, again.mesh_path, again.trial_key) == (
            None, None, False, "", "",
        )  # fmt: skip
    else:
        with pytest.raises(errors.InputError):
            state_machine.sent_again(job(state), NOON)


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (job(S.UNCERTAIN), 9),
        (job(S.STOPPED), 130),
        (job(S.READY), 0),
        (job(S.RUNNING), 0),
        (failed(S.RUNNING, errors.RefineFailed("No.")), 5),
        (failed(S.RUNNING, errors.FollowTimeout("No.")), 6),
        (failed(S.PREPARED, errors.SessionUnknown("No.")), 4),
        (failed(S.PREPARING, errors.PrepareFailed("No.")), 8),
        (dataclasses.replace(failed(S.RUNNING, DOWN), error=JobError("from_the_future", "?")), 1),
    ],
)
def test_exit_codes(ended, code):
    """How a job stands has the exit code of the command line."""
    assert outcome.exit_code(ended) == code


def test_a_job_survives_being_written(tmp_path):
    """Everything that the flow puts into a job comes back out of its JSON."""
    full = state_machine.prepared(job(S.PREPARING, **FETCHED, remote=ACK.status), "/x/result.blend", REPORT, NOON)
    for one in [full, unclear(), *(ended for ended, _ in WAYS_TO_END.values())]:
        assert Job.from_json(one.to_json()) == one


# --- any sequence of events against a service that may lose answers


class OnePostPerYes(RuleBasedStateMachine):
    """Drives one job as the engine does, with answers lost anywhere; counts what a service has taken."""

    @initialize(word=st.sampled_from(["preview_done", "refine_done", "refine_failed", "training_refine"]))
    def start(self, word):
        self.word, self.mesh, self.now = word, MESH if word == "refine_done" else "", NOON
        self.job = job()
        self.yeses, self.taken, self.in_flight = 1, 0, False

    def at_step(self, step):
        return not self.in_flight and state_machine.next_step(self.job) is step

    def look(self):
        return session(self.word, self.mesh)

    @precondition(lambda self: self.at_step(Step.BASELINE))
    @rule()
    def baseline(self):
        self.job = state_machine.baseline_read(self.job, self.look(), self.now)

    @precondition(lambda self: self.at_step(Step.SUBMIT))
    @rule(arrives=st.booleans())
    def post_leaves(self, arrives):
        self.job = state_machine.submitting(self.job, self.now)
        self.in_flight = True
        if arrives:
            self.taken += 1
            self.word = "training_refine"
        self.arrived = arrives

    @precondition(lambda self: self.in_flight)
    @rule(is_clear=st.booleans(), refuses=st.booleans())
    def answer_comes(self, is_clear, refuses):
        """A clear answer is true; anything else is no answer."""
        self.in_flight = False
        if is_clear and self.arrived:
            self.job = state_machine.accepted(self.job, ACK, self.now)
        elif self.job.state is not S.SUBMITTING:
            pass  # stopped meanwhile: what came of it is not noted
        elif is_clear and refuses:
            self.job = state_machine.refused(self.job, errors.OutOfCredits("No."), self.now)
        elif is_clear:
            self.job = state_machine.not_accepted(self.job, DOWN, self.now)
        else:
            self.job = state_machine.unanswered(self.job, self.now)

    @precondition(lambda self: self.in_flight)
    @rule()
    def crash(self):
        self.in_flight = False
        self.job = state_machine.recovered(self.job, self.now)

    @precondition(lambda self: self.at_step(Step.LOOK_UP))
    @rule()
    def look_up(self):
        self.job = state_machine.looked_up(self.job, self.look(), self.now)

    @precondition(lambda self: self.at_step(Step.POLL))
    @rule()
    def poll(self):
        self.job = state_machine.polled(self.job, self.look(), self.now)

    @precondition(lambda self: not self.in_flight and state_machine.is_active(self.job))
    @rule(error=st.sampled_from([DOWN, errors.BlenderOffline("Off."), errors.KeyRefused("No.")]))
    def request_fails(self, error):
        self.job = state_machine.request_failed(self.job, error, self.now)

    @precondition(lambda self: self.at_step(Step.DOWNLOAD))
    @rule(resumed=st.booleans())
    def download(self, resumed):
        self.job = state_machine.received(self.job, 5, 10, resumed=resumed)
        self.job = state_machine.downloaded(self.job, "/x/mesh.glb", self.now)

    @precondition(lambda self: self.at_step(Step.PREPARE))
    @rule(is_good=st.booleans())
    def prepare(self, is_good):
        if is_good:
            self.job = state_machine.prepared(self.job, "/x/result.blend", REPORT, self.now)
        else:
            self.job = state_machine.request_failed(self.job, errors.MeshUnusable("Bad."), self.now)

    @rule(word=st.sampled_from(["refine_done", "refine_failed", "preview_done", "new_word"]))
    def service_goes_on(self, word):
        self.word, self.mesh = word, OTHER_MESH if word == "refine_done" else self.mesh

    @precondition(lambda self: self.job.state not in TERMINAL)
    @rule()
    def user_stops(self):
        self.job = state_machine.stopped(self.job, self.now)

    @precondition(lambda self: self.job.state in (S.FAILED, S.STOPPED, S.UNCERTAIN))
    @rule()
    def user_retries(self):
        """Retry asks for a yes where it says that it sends; a yes that was not used up still holds."""
        self.yeses += state_machine.retry_state(self.job) is S.PREPARED and self.taken >= self.yeses
        self.job = state_machine.retried(self.job, self.now)

    @precondition(lambda self: self.job.state in (S.FAILED, S.STOPPED, S.UNCERTAIN))
    @rule()
    def user_sends_again(self):
        self.yeses += 1
        self.job = state_machine.sent_again(self.job, self.now)

    @rule(seconds=st.sampled_from([1.0, 40.0, 4000.0, 20000.0]))
    def time_passes(self, seconds):
        self.now += seconds
        if not self.in_flight:
            self.job = state_machine.overdue(self.job, self.now)

    @invariant()
    def no_post_without_a_yes(self):
        assert self.taken <= self.yeses, self.job

    @invariant()
    def it_can_be_written(self):
        assert Job.from_json(self.job.to_json()) == self.job


OnePostPerYes.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
test_one_post_per_yes = OnePostPerYes.TestCase


@given(word=st.sampled_from(sorted(STATUS_WORDS)), mesh=st.sampled_from(["", MESH]), seen=st.booleans())
def test_no_answer_takes_a_running_job_back(word, mesh, seen):
    """Whatever a session says of a running refine, nothing is sent because of it."""
    running = dataclasses.replace(sent(), seen_running=seen)
    assert state_machine.polled(running, session(word, mesh), NOON).state in (S.RUNNING, S.DOWNLOADING, S.FAILED)
