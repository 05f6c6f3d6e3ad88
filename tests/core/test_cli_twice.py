"""The command line, and a session that has a job already: it is followed, and only --again sends another refine."""

from __future__ import annotations

import json
import time

import pytest

from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import JobState as S
from tests.core.terminal import PREVIEW_SESSION, ended
from tests.support.api_server import CODE, Answer, refine_ack, refusal, session_2024, wait_until

STANDS = session_2024("preview_done")
"""Right after the POST, and for a while, the session may show nothing of the refine."""
OTHER_KEY = "0th3r0th3r0th3r0th3r0th3r0th3r01"


@pytest.fixture
def standing(api):
    """A service whose session never shows the refine that it took."""
    api.after = [STANDS]
    return api


def assert_follows(done, job, code=0):
    """The command ended well with this job, and said on stderr and in its JSON that it follows it."""
    assert (done.code, done.document["job"], done.document["session"]) == (code, job.id, CODE)
    (warning,) = done.document["warnings"]
    assert job.id in warning
    assert "--again" in warning
    assert warning in done.err


def test_one_after_the_other(terminal, standing):
    """Two POSTs were two payments: the second command sends nothing, and its JSON has the first one's job."""
    first = terminal.run("submit", CODE, "--bbox", "2", "1", "0.5", "--json")
    assert (first.code, first.document["warnings"]) == (0, [])
    second = terminal.run("submit", f"https://x.example/{CODE}_0/mesh.glb", "--json")
    assert_follows(second, terminal.job())
    assert (second.document["state"], second.document["scaled_bbox"]) == ("RUNNING", [2.0, 1.0, 0.5])
    assert (len(standing.refines), len(terminal.all())) == (1, 1)


@pytest.mark.parametrize("spelled", ["{}/", "HTTP://{}", "{}//"])
def test_the_same_service_in_another_spelling(terminal, standing, spelled):
    """The same service is one service, however its address is typed."""
    assert terminal.run("submit", CODE).code == 0
    url = standing.url.removeprefix("http://") if spelled.startswith("HTTP") else standing.url
    assert_follows(terminal.run("submit", CODE, "--service", spelled.format(url), "--json"), terminal.job())
    assert len(standing.refines) == 1


def test_three_at_once(terminal, standing):
    """Three processes at the same moment: one job, one POST, and all three name it."""
    processes = [terminal.start("submit", CODE, "--json") for _ in range(3)]
    found = [ended(process) for process in processes]
    job = terminal.job()
    assert [(done.code, done.document["job"]) for done in found] == [(0, job.id)] * 3
    assert sorted(len(done.document["warnings"]) for done in found) == [0, 1, 1]
    assert (len(standing.refines), len(terminal.all())) == (1, 1)


def test_while_the_first_one_is_still_sending(terminal, api):
    """The POST has left and is not answered: the second command waits for what comes of it."""
    api.posts = [Answer(hangs=True)]
    first = terminal.start("submit", CODE)
    wait_until(lambda: api.refines)
    second = terminal.start("submit", CODE, "--json")
    wait_until(lambda: "--again" in second.stderr.readline())
    first.kill()
    first.wait()
    done = ended(second)
    assert (done.code, done.document["state"], len(api.refines)) == (0, "RUNNING", 1)


def test_after_an_unclear_outcome(terminal, api):
    """After exit code 9 a plain submit looks again, and sends nothing; what did arrive is found."""
    api.posts = [Answer(resets=True, takes=False)]
    assert terminal.run("submit", CODE, "--timeout", "1").code == 9
    job = terminal.job()
    again = terminal.run("submit", CODE, "--timeout", "1", "--json")
    assert_follows(again, job, code=9)
    assert (again.document["state"], again.document["error"]["code"]) == ("UNCERTAIN", "uncertain")
    api.taken = 1
    assert_follows(terminal.run("submit", CODE, "--json"), job)
    assert (len(api.refines), terminal.job(job.id).state) == (1, S.RUNNING)


def test_stopped_after_the_post(terminal, standing):
    """A job that was sent and stopped is taken up again: nothing is sent, and it can be waited for."""
    assert terminal.run("submit", CODE).code == 0
    job = terminal.job()
    assert terminal.run("stop", job.id).code == 0
    assert_follows(terminal.run("submit", CODE, "--json"), job)
    assert (terminal.job(job.id).state, len(terminal.all())) == (S.RUNNING, 1)
    standing.after = [session_2024("refine_done", "mesh.obj")]
    assert terminal.run("wait", job.id).code == 0
    assert len(standing.refines) == 1


def test_stopped_while_it_was_sent(terminal, api):
    """A POST that may have arrived before the job was stopped is looked up, not repeated."""
    job = terminal.add()
    terminal.change(
        job, lambda job, now: state_machine.submitting(state_machine.baseline_read(job, PREVIEW_SESSION, now), now)
    )
    terminal.change(job, state_machine.stopped)
    assert_follows(terminal.run("submit", CODE, "--timeout", "1", "--json"), job, code=9)
    assert api.refines == []


def test_stopped_before_anything_was_sent(terminal, api):
    """Where nothing was sent a new submission is the first one."""
    job = terminal.add()
    terminal.change(job, state_machine.stopped)
    done = terminal.run("submit", CODE, "--json")
    assert (done.code, done.document["warnings"], len(api.refines)) == (0, [], 1)
    assert (done.document["job"] == job.id, terminal.job(job.id).state) == (False, S.STOPPED)


def test_after_a_time_out(terminal, standing):
    """A job that was followed for its time and failed may still be refined by the service: it is followed on."""
    job = terminal.add()
    terminal.change(
        job, lambda job, now: state_machine.submitting(state_machine.baseline_read(job, PREVIEW_SESSION, now), now)
    )
    terminal.change(job, state_machine.unanswered)
    terminal.change(job, lambda job, now: state_machine.failed(job, errors.FollowTimeout("No.", "Retry."), now))
    assert_follows(terminal.run("submit", CODE, "--timeout", "1", "--json"), job, code=9)
    assert standing.refines == []


def test_after_the_service_failed_it(terminal, api):
    """A refine of which the session showed that it failed is over: the next one is a purchase of its own."""
    api.after = [session_2024("training_refine"), session_2024("refine_failed")]
    assert terminal.run("submit", CODE).code == 0
    terminal.change(terminal.job(), lambda job, now: state_machine.extend_deadline(job, 600, now))
    assert terminal.run("wait", terminal.job().id).code == 5
    api.before, api.after, api.taken = [session_2024("refine_failed")], [session_2024("training_refine")], 0
    done = terminal.run("submit", CODE, "--json")
    assert (done.code, done.document["warnings"], len(api.refines)) == (0, [], 2)


def test_after_a_refusal(terminal, api):
    """What the service refused was not taken: the next submission is sent."""
    api.posts = [refusal(402, "Buy some"), refine_ack()]
    assert terminal.run("submit", CODE).code == 5
    assert terminal.run("submit", CODE, "--json").document["warnings"] == []
    assert (len(api.refines), api.taken) == (2, 1)


@pytest.mark.parametrize(
    "arguments",
    [["submit", CODE, "--again"], ["submit", "--again", CODE], ["submit", "--again", "--json", CODE]],
    ids=" ".join,
)
def test_again_sends_one_more(terminal, standing, arguments):
    """--again is a purchase on purpose: exactly one more POST, by a job of its own."""
    assert terminal.run("submit", CODE).code == 0
    done = terminal.run(*arguments, *([] if "--json" in arguments else ["--json"]))
    assert (done.code, done.document["warnings"], done.document["state"]) == (0, [], "RUNNING")
    assert (len(standing.refines), len(terminal.all())) == (2, 2)
    assert done.document["job"] == terminal.job().id
    assert_follows(terminal.run("submit", CODE, "--json"), terminal.job())
    assert len(standing.refines) == 2


def test_again_of_a_job(terminal, api):
    """--again JOB sends that job once more, though another job of its session bars it."""
    api.posts = [Answer(resets=True, takes=False), refine_ack()]
    assert terminal.run("submit", CODE, "--timeout", "1").code == 9
    job = terminal.job()
    assert terminal.run("submit", CODE, "--again").code == 0
    api.taken = 0
    assert terminal.run("submit", "--again", job.id).code == 0
    assert (len(api.refines), len(terminal.all())) == (3, 2)


def test_another_key(terminal, standing):
    """Another account would pay, and cannot follow: exit code 3, nothing sent; --take-over follows with this key."""
    assert terminal.run("submit", CODE).code == 0
    job = terminal.job()
    done = terminal.run("submit", CODE, "--json", CSM_API_KEY=OTHER_KEY)
    assert (done.code, done.document["job"], done.document["error"]["code"]) == (3, job.id, "other_account")
    assert_follows(terminal.run("submit", CODE, "--take-over", "--json", CSM_API_KEY=OTHER_KEY), job)
    assert len(standing.refines) == 1


def test_a_job_that_nobody_has_sent_yet(terminal, api):
    """A job that was written down and left is sent by the command that follows it: one POST, as it was asked for."""
    job = terminal.add()
    assert_follows(terminal.run("submit", CODE, "--bbox", "9", "9", "9", "--json"), job)
    (post,) = api.refines
    assert json.loads(post.body) == {"scaled_bbox": [2.0, 1.0, 0.5]}


def test_the_commands_own_time(terminal, api):
    """--timeout is the command's: a job that another process drives is left to it, with exit code 6."""
    job = terminal.add()
    with JobStore(terminal.home.journal) as journal:
        journal.claim(job.id, "another process", time.time(), 25.0)
    done = terminal.run("submit", CODE, "--timeout", "1", "--json")
    assert (done.code, done.document["job"], done.document["error"]["code"]) == (6, job.id, "timeout")
    assert job.id in done.document["warnings"][0]
    assert api.seen == []
