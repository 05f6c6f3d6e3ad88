"""Whole jobs against a real server, with a clock that moves only when one waits: exactly one POST, whatever happens."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json

import pytest

from csm_refine_addon.commands import outcome
from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import retry_policy, state_machine
from csm_refine_addon.core.jobs.backoff import ClockJumpDetector
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.jobs.runner import JobRunner
from csm_refine_addon.core.models import LOCAL, JobState as S, RefineRequest, Secret
from csm_refine_addon.core.processes.background import Cancelled
from csm_refine_addon.core.providers.client import Client
from tests.core.harness import NOON, Clock, assert_ready
from tests.support.api_server import (
    ACCOUNT,
    CODE,
    KEY,
    SESSIONS,
    TRIAL_KEY,
    TRIANGLE_OBJ,
    Answer,
    envelope,
    html,
    refine_ack,
    refusal,
    session_2024,
    session_2025,
    session_mixed,
    session_v3,
)

LARGE = TRIANGLE_OBJ + b"# padding\n" * 200_000
WHOLE_WAY = ["PREPARED", "SUBMITTING", "RUNNING", "DOWNLOADING", "PREPARING", "READY"]


def elsewhere(house, step):
    """Change the job as another process does, with a connection of its own."""
    with JobStore(house.home.journal) as journal:
        (job,) = journal.all()
        journal.change(job.id, lambda job: step(job, house.clock()))


# --- the whole way


FORMS = {
    "2024": (
        [session_2024("preview_done")],
        [session_2024("training_refine"), session_2024("refine_done", "mesh.obj")],
    ),
    "2024, as mesh_url_zip": (
        [session_2024("preview_done")],
        [session_2024("refine_done", "mesh.obj", keys=("mesh_url", "mesh_url_zip"))],
    ),
    "2025": (
        [session_2025("complete", "old.obj")],
        [session_2025("queued"), session_2025("in_progress", percent=40), session_2025("complete", "mesh.obj", 100)],
    ),
    "mixed": (
        [session_mixed("preview_done", "complete")],
        [session_mixed("training_refine", "in_progress"), session_mixed("refine_done", "complete", "mesh.obj")],
    ),
    "mixed, with words of two times": (
        [session_mixed("preview_done", "complete")],
        [session_mixed("new_word", "in_progress"), session_mixed("done?", "complete", "mesh.obj")],
    ),
    "v3": ([session_v3("complete")], [session_v3("incomplete"), session_v3("complete", "mesh.obj")]),
    "v3, one mesh": ([session_2024("preview_done")], [session_v3("complete", "mesh.obj", in_list=False)]),
    "an unknown word": (
        [session_2024("preview_done")],
        [session_2024("texture_bake"), session_2024("refine_done", "mesh.obj")],
    ),
}


@pytest.mark.parametrize(("before", "after"), FORMS.values(), ids=FORMS)
def test_whole_job_in_each_form(house, api, before, after):
    """Baseline, one POST, polls, download, preparing: READY, with each state written down on the way."""
    api.before, api.after = list(before), list(after)
    job = house.drive()
    assert_ready(house, job)
    assert house.states == WHOLE_WAY
    assert [state for _, state in house.journal.history(job.id)] == WHOLE_WAY
    assert (job.trial_key, job.report is not None) == (TRIAL_KEY, True)
    assert job.bytes_done == job.bytes_total == len(TRIANGLE_OBJ)


def test_nothing_secret_is_written(house, api):
    """After a whole job with failures on the way no file of the home holds the key, a mesh URL, or a signature."""
    signed = api.storage.signed("mesh.obj")
    api.before = [html(502), refusal(500, f"see {signed} and {KEY}"), session_2024("preview_done")]
    api.posts = [refusal(429, f"{KEY} {signed}"), refine_ack()]
    api.after.insert(0, session_2024(f"at {signed}", error=f"{KEY} {signed}"))
    api.storage.script = [Answer(cut_after=10), Answer(403, b"<?xml?>"), Answer(resets=True), Answer()]
    job = house.drive()
    assert (job.state, api.taken) == (S.READY, 1)
    files = [path for path in house.home.folder.rglob("*") if path.is_file()]
    assert house.home.journal in files
    for path in files:
        content = path.read_bytes()
        for secret in (KEY, "s1gnature", "sig=", ACCOUNT, api.storage.url):
            assert secret.encode() not in content, path


def test_pauses_between_looks(house, api):
    """The pauses grow from 5 to 30 seconds, spread by a tenth."""
    api.after = [session_2024("training_refine")] * 16 + [session_2024("refine_done", "mesh.obj")]
    assert_ready(house, house.drive())
    pauses = [pause for pause in house.clock.pauses if pause > 4]
    assert pauses[0] == 5
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30
    waiting, early, late = house.add(), Clock(), Clock()
    for clock, share in ((early, 0.0), (late, 0.999)):
        due = dataclasses.replace(waiting, due_at=NOON + 20)
        engine = dataclasses.replace(house.engine(), clock=clock, wait=clock.pause, jitter=lambda share=share: share)
        engine._wait_until_due(due, ClockJumpDetector(clock))
    assert (early.pauses, late.pauses) == ([18.0], [pytest.approx(22.0, abs=0.1)])


def test_until_hands_it_back(house, api):
    """A caller that wants only the submission gets the job as soon as it was taken."""
    job = house.drive(until=lambda job: job.accepted_at is not None)
    assert (job.state, len(api.refines)) == (S.RUNNING, 1)
    assert_ready(house, house.drive(job))


def test_unknown_job(house):
    """A job that is not in the journal is a sentence."""
    with pytest.raises(errors.InputError, match="no job"):
        house.engine().drive("cafe")


# --- the four traps


def test_trap_1(house, api):
    """preview_done after the POST is neither an end nor a reason to post again."""
    api.after = [session_2024("preview_done")] * 5 + [session_2024("refine_done", "mesh.obj")]
    assert_ready(house, house.drive())


@pytest.mark.parametrize("seen_running", [False, True])
def test_trap_2(house, api, seen_running):
    """The old end with the old mesh is passed over until the new one is there."""
    api.storage.put("old.obj", b"v 9 9 9\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    old = session_2024("refine_done", "old.obj")
    running = [session_2024("training_refine", "old.obj")] * seen_running
    api.before = [old]
    api.after = [*[old] * 4, *running, session_2024("refine_done", "mesh.obj")]
    assert_ready(house, house.drive())
    assert len(api.storage.seen) == 1


def test_trap_3(house, api):
    """An end without a mesh is looked at again; the preview's mesh is never fetched."""
    api.after = [session_2024("refine_done")] * 5 + [session_2024("refine_done", "mesh.obj")]
    assert_ready(house, house.drive())
    assert not [seen for seen in api.storage.seen if "preview" in seen.path]


def test_trap_3_without_end(house, api):
    """An end that stays empty is a sentence; Retry looks again and does not send."""
    api.after = [session_2024("refine_done")]
    job = house.drive()
    assert (job.state, job.error.code, len(api.refines)) == (S.FAILED, "mesh_unusable", 1)
    api.after = [session_2024("refine_done", "mesh.obj")]
    job = house.journal.change(job.id, lambda job: state_machine.retried(job, house.clock()))
    assert_ready(house, house.drive(job))


def test_trap_4(house, api):
    """A session that refines by itself is followed; nothing is posted."""
    api.before = [
        session_2024("training_refine"),
        session_2024("training_refine"),
        session_2024("refine_done", "mesh.obj"),
    ]
    assert_ready(house, house.drive(), posts=0)


# --- an outcome that is not clear


LOST = {"reset": Answer(resets=True), "cut": Answer(200, refine_ack().body, cut_after=9), "page": html(502)}


@pytest.mark.parametrize("answer", LOST.values(), ids=LOST)
def test_lost_answer_is_settled(house, api, answer):
    """The POST arrived and its answer was lost: looking shows the refine, and it is followed."""
    api.posts = [dataclasses.replace(answer, takes=True)]
    assert_ready(house, house.drive())
    assert house.states == ["PREPARED", "SUBMITTING", "UNCERTAIN", *WHOLE_WAY[2:]]


@pytest.mark.parametrize("answer", LOST.values(), ids=LOST)
def test_lost_post_is_left_to_the_user(house, api, answer):
    """Where the session shows nothing for a minute the job stays unclear, with exit code 9, and was sent once."""
    api.posts = [dataclasses.replace(answer, takes=False)]
    job = house.drive()
    assert (job.state, outcome.exit_code(job), len(api.refines)) == (S.UNCERTAIN, 9, 1)
    assert 50 <= house.clock.now - NOON <= 70
    assert not state_machine.is_active(job)
    assert house.drive(job) == job
    again = house.journal.change(job.id, lambda job: state_machine.sent_again(job, house.clock()))
    api.posts = [refine_ack()]
    job = house.drive(again)
    assert (job.state, len(api.refines), api.taken) == (S.READY, 2, 1)


@pytest.mark.parametrize("arrived", [True, False])
def test_crash_in_the_middle_of_the_post(house, api, arrived):
    """A process that dies while it sends leaves a job that is looked up, and never sent by itself again."""
    job = house.add()
    before = house.client.read_session(CODE)
    house.journal.change(job.id, lambda job: state_machine.baseline_read(job, before, NOON))
    house.journal.change(job.id, lambda job: state_machine.submitting(job, NOON))
    api.taken = int(arrived)
    house.clock.now += 7200.0
    job = house.drive(job)
    assert job.state is (S.READY if arrived else S.UNCERTAIN)
    assert api.refines == []


def test_look_up_survives_a_failing_service(house, api):
    """While it is looked up the service may fail: the next answer settles it."""
    api.posts = [Answer(resets=True)]
    api.after = [html(502), html(502), *api.after]
    assert_ready(house, house.drive())


def test_retry_after_does_not_hold_the_outcome(house, api):
    """A service that asks for an hour's patience does not keep an unclear job open for an hour."""
    api.posts = [Answer(resets=True, takes=False)]
    api.before = [session_2024("preview_done"), refusal(503, headers={"Retry-After": "3600"})]
    job = house.drive()
    assert job.state is S.UNCERTAIN
    assert house.clock.now - NOON <= 70


# --- refused, busy, failed


@pytest.mark.parametrize(
    ("answer", "code"),
    [(refusal(401), "key_refused"), (refusal(402), "out_of_credits"), (refusal(400, "No."), "refine_failed")],
)
def test_refused_post(house, api, answer, code):
    """A refusal ends the job with the service's words, after one POST."""
    api.posts = [answer]
    job = house.drive()
    assert (job.state, job.error.code, len(api.refines), job.sent_at) == (S.FAILED, code, 1, None)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refusal(404), "session_unknown"),
        (refusal(403), "key_refused"),
        (session_2024("training_preview"), "session_not_refinable"),
        (session_2024("preview_failed"), "session_not_refinable"),
        (html(200), "service_unreachable"),
    ],
)
def test_refused_before_the_post(house, api, answer, code):
    """What the baseline shows to be impossible is never sent."""
    api.before = [answer]
    job = house.drive()
    assert (job.state, job.error.code, api.refines) == (S.FAILED, code, [])


def test_busy_service_takes_it_later(house, api):
    """What the service says it did not take goes out again when it says so, after a new look at the session."""
    api.posts = [refusal(429, headers={"Retry-After": "40"}), refusal(400), refine_ack()]
    job = house.drive()
    assert (job.state, len(api.refines), api.taken) == (S.READY, 3, 1)
    assert 40 in house.clock.pauses
    order = [seen.method for seen in api.seen][:6]
    assert order == ["GET", "POST", "GET", "POST", "GET", "POST"]


def test_a_busy_answer_that_was_not_true(house, api):
    """A gateway says busy though the service has taken it: the session shows it, and nothing is sent again."""
    api.posts = [dataclasses.replace(refusal(503, headers={"Retry-After": "5"}), takes=True)]
    job = house.drive()
    assert (job.state, len(api.refines)) == (S.READY, 1)


def test_busy_for_ever(house, api):
    """After some attempts the job fails with the sentence."""
    api.posts = [refusal(429)]
    job = house.drive()
    assert (job.state, job.error.code, len(api.refines)) == (S.FAILED, "service_busy", retry_policy.RETRY_LIMIT)
    assert state_machine.retry_state(job) is S.PREPARED


def test_failed_refine(house, api):
    """The service's failure ends the job; only a yes sends it again."""
    api.after = [session_2024("training_refine"), session_2024("refine_failed", error="No surface.")]
    job = house.drive()
    assert (job.state, job.error.code, len(api.refines)) == (S.FAILED, "refine_failed", 1)
    assert "No surface." in job.error.message
    assert house.drive(job).state is S.FAILED
    api.after = [
        session_2024("refine_failed"),
        session_2024("training_refine"),
        session_2024("refine_done", "mesh.obj"),
    ]
    again = house.journal.change(job.id, lambda job: state_machine.sent_again(job, house.clock()))
    assert_ready(house, house.drive(again), posts=2)


def test_a_service_that_fails_for_long(house, api):
    """Polls go on with pauses of half a minute, and the job ends well."""
    api.after = [html(502)] * 25 + [session_2024("refine_done", "mesh.obj")]
    assert_ready(house, house.drive())
    assert max(house.clock.pauses) == 30


# --- offline


def test_offline_pauses_and_goes_on(house, api, monkeypatch):
    """Without online access nothing leaves, at no step; the job says why it waits, and goes on by itself."""
    monkeypatch.setenv("http_proxy", api.url)
    house.client = Client("http://api.csm.example", Secret(KEY), is_online=lambda: house.online, timeout_s=20.0)
    troubles, seen_at = set(), {}

    def toggle() -> None:
        (job,) = house.journal.all()
        if house.online:
            house.online = job.state in seen_at
            seen_at.setdefault(job.state, (len(api.seen), house.clock.now))
        elif house.clock.now - seen_at[job.state][1] > 20:
            assert len(api.seen) == seen_at[job.state][0]
            troubles.add(job.trouble)
            house.online = True

    house.clock.each = toggle
    assert_ready(house, house.drive())
    assert {S.PREPARED, S.RUNNING, S.DOWNLOADING} <= set(seen_at)
    assert [trouble for trouble in troubles if "offline" in trouble]
    house.client.close()


def test_nothing_is_sent_when_the_time_is_up_offline(house, api, monkeypatch):
    """A job that waited offline for its whole time does not send in the last moment."""
    monkeypatch.setenv("http_proxy", api.url)
    house.client = Client("http://api.csm.example", Secret(KEY), is_online=lambda: house.online, timeout_s=20.0)
    house.clock.each = lambda: setattr(house, "online", not api.looks or house.clock.now >= NOON + 9)
    job = house.drive(house.add(timeout_s=9.0))
    assert (job.error.code, len(api.looks), api.refines) == ("timeout", 1, [])
    house.client.close()


# --- stopped and removed in the middle


def moments(api):
    """Make each answer of the server call ``hook`` first, with the number of the request."""
    api_answer, storage_answer = api._server.answer, api.storage._server.answer
    counter = itertools.count()

    def with_hook(answer):
        def hooked(seen):
            found = answer(seen)
            api.hook(next(counter))
            return found

        return hooked

    api._server.answer = with_hook(api_answer)
    api.storage._server.answer = with_hook(storage_answer)


@pytest.mark.parametrize("moment", range(7))
def test_stopped_during_each_request(house, api, moment):
    """Stop following holds at any moment; what the service has taken is known, and Retry goes on without sending."""
    api.hook = lambda number: elsewhere(house, state_machine.stopped) if number == moment else None
    moments(api)
    job = house.drive()
    assert len(api.refines) == (moment > 0)
    if moment == 6:  # there is no seventh request
        assert job.state is S.READY
        return
    assert job.state is S.STOPPED
    api.hook = lambda number: None
    if moment > 0:
        assert state_machine.retry_state(job) is not S.PREPARED
        job = house.journal.change(job.id, lambda job: state_machine.retried(job, house.clock()))
        assert_ready(house, house.drive(job))


@pytest.mark.parametrize("moment", range(6))
def test_removed_during_each_request(house, api, moment):
    """A job that is removed under way ends quietly, at the latest with the request that was to follow at once."""

    def remove(number):
        if number == moment:
            with JobStore(house.home.journal) as journal:
                journal.remove(job.id)

    api.hook = remove
    moments(api)
    job = house.add()
    with pytest.raises(errors.InputError, match="no job"):
        house.drive(job)
    assert len(api.seen) + len(api.storage.seen) <= moment + (2 if moment == 4 else 1)
    assert house.journal.all() == []


def test_the_end_of_the_process(house, api):
    """A pause that says stop leaves the job where it is, to be gone on with."""
    api.after = [session_2024("training_refine")]
    house.clock.each = lambda: setattr(house.clock, "stopped", len(api.looks) == 5)
    job = house.drive()
    assert (job.state, job.error, len(api.looks)) == (S.RUNNING, None, 5)


def test_the_end_of_the_process_while_downloading(house, api):
    """A download is given up within a chunk, and gone on with later."""
    api.storage.put("mesh.obj", LARGE)
    original = house.clock.pause
    house.clock.pause = lambda seconds: original(seconds) or house.states[-1] == "DOWNLOADING"
    job = house.drive()
    assert job.state is S.DOWNLOADING
    house.clock.pause = original
    assert_ready(house, house.drive(job))


def test_stopped_while_preparing(house, api):
    """A workshop that is told to stop leaves the job in PREPARING."""
    house.workshop.errors = [Cancelled()]
    job = house.drive()
    assert job.state is S.PREPARING
    assert_ready(house, house.drive(job))
    assert len(api.storage.seen) == 1


# --- two drivers


def second_driver(house):
    """Another process that believes that it may drive the job."""
    with JobStore(house.home.journal) as journal:
        (job,) = journal.all()
        engine = dataclasses.replace(house.engine(), store=journal, on_change=lambda job: None)
        client = Client(house.api.url, Secret(KEY), is_online=lambda: True, timeout_s=20.0)
        clock = Clock(house.clock.now)
        engine = dataclasses.replace(engine, client_for=lambda service: client, clock=clock, wait=clock.pause)
        engine.drive(job.id)
        client.close()


@pytest.mark.parametrize("moment", range(6))
def test_second_driver_during_each_request(house, api, moment):
    """A driver that was overtaken in the middle of a request believes the journal: one POST, one result."""

    def overtake(number):
        if number == moment:
            second_driver(house)

    api.hook = overtake
    moments(api)
    job = house.drive()
    assert (job.state, len(api.refines), api.taken) == (S.READY, 1, 1)


@pytest.mark.parametrize("moment", range(6))
def test_second_driver_during_each_pause(house, api, moment):
    """A driver that stood still between two steps, as in a laptop's sleep, sends nothing that was sent meanwhile."""

    def overtake():
        if len(house.clock.pauses) == moment + 1:
            second_driver(house)

    house.clock.each = overtake
    job = house.drive()
    assert (job.state, len(api.refines), api.taken) == (S.READY, 1, 1)


def test_a_lost_lease_ends_the_driving(house, api):
    """Who no longer holds the job leaves it to the one who does."""
    api.after = [session_2024("training_refine")]
    engine = house.engine(renew_lease=lambda job_id: len(api.looks) < 4)
    job = engine.drive(house.add().id)
    assert (job.state, len(api.looks)) == (S.RUNNING, 4)


# --- preparing


def test_mesh_that_cannot_be_prepared(house, api):
    """No Blender to prepare with: Retry prepares the file that is there, and fetches nothing."""
    house.workshop.errors = [errors.PrepareFailed("No Blender was found.", "Set one.")]
    job = house.drive()
    assert (job.state, job.error.code) == (S.FAILED, "prepare_failed")
    job = house.journal.change(job.id, lambda job: state_machine.retried(job, house.clock()))
    assert_ready(house, house.drive(job))
    assert len(api.storage.seen) == 1


def test_mesh_file_is_gone(house, api):
    """A downloaded mesh that was deleted meanwhile is fetched again."""
    house.workshop.errors = [Cancelled()]
    job = house.drive()
    house.home.job_folder(job.id).joinpath("mesh.obj").unlink()
    assert_ready(house, house.drive(job))
    assert len(api.storage.seen) == 2


def test_new_session_out_of_a_mesh(house, api, tmp_path):
    """A job with a source makes its session first, and refines that."""
    source = tmp_path / "source.blend"
    source.write_bytes(b"pretend")
    api.others["/local/sessions"] = [Answer(201, envelope({"session_code": CODE, "status": "preview_done"}))]
    asked = new_job(RefineRequest("", (2.0, 1.0, 0.5)), api.url, now=NOON, source_blend=str(source))
    job = house.drive(house.journal.add(asked))
    assert_ready(house, job)
    assert job.request.session_code == CODE
    assert (api.seen[0].path, api.seen[0].body) == ("/local/sessions", b"pretend")
    assert json.loads(api.refines[0].body) == {"scaled_bbox": [2.0, 1.0, 0.5]}
    assert [seen.path for seen in api.seen].count("/local/sessions") == 1


def test_the_copy_of_a_source(house, api):
    """It is kept while the session can be made again, with no file made of it, and goes once the session exists."""
    good = Answer(201, envelope({"session_code": CODE, "status": "preview_done"}))
    api.others["/local/sessions"] = [Answer(400, envelope({}, status=400, message="It has no faces.")), good]
    asked = new_job(RefineRequest("", (2.0, 1.0, 0.5)), api.url, now=NOON)
    folder, source = house.home.job_folder(asked.id), house.home.source(asked.id)
    source.write_bytes(b"pretend")
    job = house.drive(house.journal.add(dataclasses.replace(asked, source_blend=str(source))))
    assert (job.state, job.error.code) == (S.FAILED, "bad_input")
    assert list(folder.iterdir()) == [source]
    house.journal.change(job.id, lambda job: state_machine.retried(job, house.clock()))
    job = house.drive(job)
    assert_ready(house, job)
    assert [path.name for path in folder.iterdir() if path.name.startswith("source")] == []


def test_engine_has_no_default_but_the_clock():
    """Whoever drives says where jobs, files and requests go; only time and chance have defaults."""
    needed = [field.name for field in dataclasses.fields(JobRunner) if field.default is dataclasses.MISSING]
    assert needed == ["store", "data_dir", "client_for", "blender_tasks", "wait"]


def test_session_paths(house, api):
    """Every request of a job is about its session: nothing else is asked."""
    house.drive()
    assert {seen.path for seen in api.seen} == {f"{SESSIONS}/{CODE}", f"{SESSIONS}/get-3d/refine/{CODE}"}


@pytest.mark.parametrize("is_removed", [False, True])
def test_cancelled_while_the_refine_is_being_sent(house, api, is_removed):
    """A refine that arrives after its job was cancelled or removed is cancelled, too, as soon as it has arrived."""
    job = house.add(LOCAL)

    def change(now):
        if now.state is S.SUBMITTING:
            if is_removed:
                house.journal.remove(job.id)
            else:
                house.journal.change(job.id, lambda job: state_machine.stopped(job, house.clock()))
            for cancellation in house.journal.cancellations():
                house.journal.cancelled(cancellation)  # the service had nothing to cancel yet

    engine = dataclasses.replace(house.engine(), on_change=change)
    with contextlib.suppress(errors.InputError):
        assert state_machine.retry_state(engine.drive(job.id)) is S.PREPARED
    assert [each.session for each in house.journal.cancellations()] == [CODE]
    assert len(api.refines) == 1
