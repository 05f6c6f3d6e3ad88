"""The command line as a child process of a Python without bpy: results, JSON, progress, exit codes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from csm_refine_addon.commands.interrupts import SIGNALS
from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import JobState as S
from tests.core.harness import copying_blender
from tests.core.terminal import PREVIEW_SESSION, RUNNING_SESSION, ended
from tests.support.api_server import (
    CODE,
    KEY,
    TRIANGLE_OBJ,
    Answer,
    html,
    refine_ack,
    refusal,
    session_2024,
    session_2025,
    wait_until,
)
from tests.support.repository import ROOT

KEYS = {
    "job", "session", "service", "state", "remote_status", "percent", "scaled_bbox", "pivot_point", "mesh", "blend",
    "object", "dimensions", "fit_error", "seconds", "error", "placed", "warnings", "notes",
}  # fmt: skip


# --- submit


def test_submit(terminal, api):
    """One POST with the box and the pivot as typed; the job is known, and progress is on stderr alone."""
    done = terminal.run("submit", f"https://x.example/{CODE}_0/mesh.glb", "--bbox", "2", "1", "0.5",
                        "--pivot", "0", "-0.5", "-1e-05")  # fmt: skip
    job = terminal.job()
    assert (done.code, job.state) == (0, S.RUNNING)
    assert done.out == f"{job.id} {CODE}: refining (unprocessed)\n"
    assert f"{CODE}: sending the refine" in done.err.splitlines()
    (post,) = api.refines
    assert json.loads(post.body) == {"scaled_bbox": [2.0, 1.0, 0.5], "pivot_point": [0.0, -0.5, -1e-05]}
    assert post.headers["x-api-key"] == KEY


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ([], {}),
        (["--bbox", "auto", "--pivot", "auto"], {}),
        (["--pivot", "bottom"], {"pivot_point": [0, -0.5, 0]}),
        (["--bbox", "1", "1", "1", "--pivot", "center"], {"scaled_bbox": [1, 1, 1], "pivot_point": [0, 0, 0]}),
    ],
)
def test_what_is_left_to_the_service(terminal, api, options, body):
    """Without an object everything is left to the service, unless it is typed or named."""
    assert terminal.run("submit", CODE, *options).code == 0
    assert json.loads(api.refines[0].body) == body


def test_submit_json(terminal, api):
    """The JSON object has every key of the interface, with its types."""
    api.before, api.after = [session_2025("complete")], [session_2025("in_progress", percent=7)]
    document = terminal.run("submit", CODE, "--bbox", "2", "1", "0.5", "--json").document
    assert set(document) == KEYS
    job = terminal.job()
    assert (document["job"], document["session"], document["service"]) == (job.id, CODE, api.url)
    assert (document["state"], document["remote_status"], document["error"]) == ("RUNNING", "unprocessed", None)
    assert (document["scaled_bbox"], document["pivot_point"], document["mesh"]) == ([2.0, 1.0, 0.5], None, None)
    assert document["seconds"] > 0


def test_an_unclear_outcome(terminal, api):
    """Exit code 9, the job stays UNCERTAIN; wait settles it or leaves it, and only submit --again sends."""
    api.posts = [Answer(resets=True, takes=False), refine_ack()]
    done = terminal.run("submit", CODE, "--timeout", "1", "--json")
    assert (done.code, done.document["state"], done.document["error"]["code"]) == (9, "UNCERTAIN", "uncertain")
    job = terminal.job()
    assert terminal.run("wait", job.id, "--timeout", "1").code == 9
    assert len(api.refines) == 1
    assert terminal.run("submit", "--again", job.id).code == 0
    assert (len(api.refines), terminal.job(job.id).state) == (2, S.RUNNING)


def test_an_unclear_outcome_is_settled_later(terminal, api):
    """wait finds the refine that arrived after all, and sends nothing."""
    api.posts = [Answer(resets=True, takes=False)]
    assert terminal.run("submit", CODE, "--timeout", "1").code == 9
    api.taken = 1
    job = terminal.change(terminal.job(), lambda job, now: dataclasses.replace(job, poll_first_s=0.05))
    assert terminal.run("wait", job.id).code == 0
    assert (len(api.refines), terminal.job(job.id).state) == (1, S.PREPARING)


def test_again_is_for_what_has_ended(terminal, api):
    """A job that runs is not sent again: exit code 2, with a sentence, and nothing is sent."""
    job = terminal.add()
    terminal.change(job, lambda job, now: state_machine.baseline_read(job, RUNNING_SESSION, now))
    done = terminal.run("submit", "--again", job.id)
    assert (done.code, "neither failed nor stopped" in done.err) == (2, True)
    assert api.seen == []


# --- following


def test_wait_without_a_blender(terminal, api):
    """Followed until the mesh is there and checked; preparing is left to a Blender."""
    job = terminal.add()
    done = terminal.run("wait", job.id, "--json")
    assert (done.code, done.document["state"], done.document["blend"]) == (0, "PREPARING", None)
    assert Path(done.document["mesh"]).read_bytes() == TRIANGLE_OBJ
    assert len(api.refines) == 1


def test_wait_with_a_blender(terminal):
    """Where a Blender is named, the mesh is prepared, too."""
    program = copying_blender(terminal.folder)
    job = terminal.add()
    done = terminal.run("wait", job.id, "--json", CSM_REFINE_BLENDER=str(program))
    assert (done.code, done.document["state"]) == (0, "READY")
    assert Path(done.document["blend"]).read_bytes() == TRIANGLE_OBJ


def test_wait_for_all(terminal, api):
    """Without a job: all unfinished ones, as a list; the exit code is the first that is not 0."""
    bad, good, over = (terminal.add() for _ in range(3))
    terminal.change(over, state_machine.stopped)
    failure, end = session_2024("refine_failed", error="No surface."), session_2024("refine_done", "mesh.obj")
    api.after = [failure, session_2024("preview_done"), end]
    done = terminal.run("wait", "--json")
    assert done.code == 5
    assert [document["job"] for document in done.document["jobs"]] == [bad.id, good.id]
    assert [document["error"] and document["error"]["code"] for document in done.document["jobs"]] == [
        "refine_failed",
        None,
    ]
    assert "No surface." in done.err


def test_what_the_service_says_of_its_result(terminal, api):
    """Its notes are on stderr and in the JSON object, of one job and of many."""
    api.after = [session_2024("refine_done", "mesh.obj", notes=["Made by hand.", 3, ""])]
    job = terminal.add()
    done = terminal.run("wait", "--json")
    assert (done.code, done.document["jobs"][0]["notes"]) == (0, ["Made by hand."])
    assert f"\n{job.id}: Made by hand.\n" in done.err
    done = terminal.run("fetch", job.id, "--json")
    assert (done.document["notes"], "Made by hand.\n" in done.err) == (["Made by hand."], True)
    seen = terminal.run("status", CODE, "--json")
    assert (seen.document["notes"], "Made by hand." in seen.err) == (["Made by hand."], True)


def test_wait_for_nothing(terminal):
    """Without unfinished jobs there is nothing to wait for, and no error."""
    terminal.change(terminal.add(), state_machine.stopped)
    done = terminal.run("wait", "--json")
    assert (done.code, done.document["jobs"]) == (0, [])


def test_wait_for_what_nobody_followed(terminal, api):
    """A job that ran on beyond its time while nobody followed it is followed on when one asks for it."""
    job = terminal.add(timeout_s=1.0)
    terminal.change(job, lambda job, now: state_machine.baseline_read(job, RUNNING_SESSION, now - 10_000))
    terminal.change(job, lambda job, now: state_machine.extend_deadline(job, -9_000, now))
    api.before = [session_2024("refine_done", "mesh.obj")]
    assert terminal.run("wait").code == 0
    assert api.refines == []


def test_fetch(terminal):
    """fetch prints where the mesh is."""
    done = terminal.run("fetch", terminal.add().id)
    assert done.code == 0
    assert Path(done.out.strip()).read_bytes() == TRIANGLE_OBJ


def test_two_commands_follow_one_job(terminal, api):
    """One drives it, the other one watches: one POST, and both come to the same end."""
    job = terminal.add()
    both = [terminal.start("wait", job.id, "--json") for _ in range(2)]
    found = [ended(process) for process in both]
    assert [done.code for done in found] == [0, 0]
    assert {done.document["state"] for done in found} == {"PREPARING"}
    assert len(api.refines) == 1


def test_a_job_that_another_process_is_sending(terminal, api):
    """A watcher does not take a job for done while another process sends it."""
    job = terminal.add()
    terminal.change(
        job, lambda job, now: state_machine.submitting(state_machine.baseline_read(job, PREVIEW_SESSION, now), now)
    )
    with JobStore(terminal.home.journal) as journal:
        assert journal.claim(job.id, "another", time.time(), 15.0)
        process = terminal.start("wait", job.id)
        assert "sending the refine" in process.stderr.readline()
        journal.change(job.id, lambda job: state_machine.failed(job, errors.RefineFailed("No.", "Retry."), time.time()))
        assert ended(process).code == 5
    assert api.seen == []


# --- status, stop, jobs


def test_status(terminal, api):
    """One look, one line: of a job, of a code, or of the newest job."""
    job = terminal.add()
    api.before = [session_2025("in_progress", percent=40)]
    for target in ([job.id], [CODE], []):
        assert terminal.run("status", *target).out == f"{CODE}: in_progress 40 %\n"
    document = terminal.run("status", job.id, "--json").document
    assert (document["job"], document["remote_status"], document["percent"]) == (job.id, "in_progress", 40.0)
    assert terminal.run("status", CODE, "--json").document["job"] is None
    assert {seen.method for seen in api.seen} == {"GET"}
    assert terminal.job(job.id) == job


def test_words_that_the_terminal_cannot_show(terminal, api):
    """A service's word in another script does not end the command on a terminal that knows ASCII alone."""
    api.before = [session_2025("精炼中")]
    done = terminal.run("status", CODE, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.code, done.out) == (0, f"{CODE}: \\u7cbe\\u70bc\\u4e2d 0 %\n")


def test_stop(terminal, api):
    """The job is followed no longer; an ended one stays as it is; nothing is sent."""
    job = terminal.add()
    done = terminal.run("stop", job.id, "--json")
    assert (done.code, done.document["state"], terminal.job(job.id).state) == (0, "STOPPED", S.STOPPED)
    assert terminal.run("stop", job.id).out == f"{job.id} {CODE}: stopped\n"
    assert api.seen == []


def test_jobs(terminal):
    """The journal as a list, oldest first; without jobs it is empty, and no error."""
    assert terminal.run("jobs", "--json").document["jobs"] == []
    first, second = terminal.add(), terminal.add()
    done = terminal.run("jobs")
    assert [line.split()[:2] for line in done.out.splitlines()] == [[first.id, "PREPARED"], [second.id, "PREPARED"]]
    documents = terminal.run("jobs", "--json").document["jobs"]
    assert [document["job"] for document in documents] == [first.id, second.id]
    assert set(documents[0]) == KEYS


# --- exit codes


BAD_INPUT = {
    "no command": [],
    "unknown command": ["polish", CODE],
    "unknown option": ["submit", CODE, "--fast"],
    "a shortened option": ["submit", CODE, "--jso"],
    "no code": ["submit"],
    "no code in the text": ["submit", "a bench"],
    "a code of an odd form": ["submit", "session-17"],
    "code and job": ["submit", CODE, "--again", "cafe"],
    "a flat box": ["submit", CODE, "--bbox", "1", "0", "1"],
    "a negative side": ["submit", CODE, "--bbox", "1", "-1e-3", "1"],
    "a side that is no number": ["submit", CODE, "--bbox", "1", "nan", "1"],
    "two sides": ["submit", CODE, "--bbox", "1", "1"],
    "a pivot outside": ["submit", CODE, "--pivot", "0", "0.6", "0"],
    "an unknown pivot": ["submit", CODE, "--pivot", "top"],
    "an endless pivot": ["submit", CODE, "--pivot", "0", "-inf", "0"],
    "the box of no object": ["submit", CODE, "--bbox", "object"],
    "an object without Blender": ["submit", CODE, "--object", "Cube"],
    "no time": ["submit", CODE, "--timeout", "0"],
    "time that is no number": ["submit", CODE, "--timeout", "soon"],
    "an address without scheme": ["submit", CODE, "--service", "api.example.com"],
    "an address with a password": ["submit", CODE, "--service", "https://me:pass@api.example.com"],
    "plain http to another machine": ["submit", CODE, "--service", "http://api.example.com"],
    "an unknown job": ["stop", "cafe"],
    "refine needs Blender": ["refine", CODE],
    "place needs Blender": ["place", "cafe"],
}


@pytest.mark.parametrize("arguments", BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input(terminal, api, arguments):
    """Exit code 2 and a sentence, before anything is sent or written down; one JSON object where it is asked for."""
    done = terminal.run(*arguments, "--json")
    assert done.code == 2
    error = done.document["error"]
    assert error["code"] == "bad_input"
    assert error["message"][-1] in ".?"
    assert error["action"]
    assert error["message"] in done.err
    assert set(done.document) == KEYS
    assert api.seen == []
    assert terminal.all() == []


def test_home_that_cannot_be_written(terminal, api):
    """Exit code 2, with the variable in the cure."""
    (terminal.folder / "file").write_text("")
    done = terminal.run("submit", CODE, "--json", CSM_REFINE_HOME=str(terminal.folder / "file" / "home"))
    assert (done.code, done.document["error"]["code"]) == (2, "storage")
    assert "CSM_REFINE_HOME" in done.document["error"]["action"]
    assert api.seen == []


@pytest.mark.parametrize("key", [None, "", "  ", "two\nlines", "two words"])
def test_bad_keys(terminal, api, key):
    """No key, an empty one, one with line breaks: exit code 3, nothing sent, nothing written down."""
    terminal.environment.pop("CSM_API_KEY")
    done = terminal.run("submit", CODE, "--json", **({} if key is None else {"CSM_API_KEY": key}))
    assert (done.code, done.document["error"]["code"], api.seen) == (3, "key_missing", [])
    assert terminal.all() == []


SERVICE_SAYS = {
    "a refused key": ([refusal(401)], [], 3, "key_refused"),
    "an unknown session": ([refusal(404)], [], 4, "session_unknown"),
    "no preview yet": ([session_2024("training_preview")], [], 4, "session_not_refinable"),
    "no credits": ([session_2024("preview_done")], [refusal(402, "Buy some")], 5, "out_of_credits"),
    "a refusal": ([session_2024("preview_done")], [refusal(422, "Too thin")], 5, "refine_failed"),
}


@pytest.mark.parametrize(("before", "posts", "code", "error"), SERVICE_SAYS.values(), ids=SERVICE_SAYS)
def test_what_the_service_refuses(terminal, api, before, posts, code, error):
    """Exit codes 3, 4 and 5, with the service's own words."""
    api.before, api.posts = before, posts or api.posts
    done = terminal.run("submit", CODE, "--json")
    assert (done.code, done.document["error"]["code"], done.document["state"]) == (code, error, "FAILED")
    assert done.document["job"]


ENDS = {
    "the refine failed": ([session_2024("refine_failed")], TRIANGLE_OBJ, 5, "refine_failed"),
    "an error page as mesh": ([session_2024("refine_done", "mesh.obj")], b"<html>Sign in</html>", 8, "mesh_unusable"),
}


@pytest.mark.parametrize(("after", "content", "code", "error"), ENDS.values(), ids=ENDS)
def test_how_a_job_ends(terminal, api, after, content, code, error):
    """Exit codes 5 and 8."""
    api.after = after
    api.storage.put("mesh.obj", content)
    done = terminal.run("wait", terminal.add().id, "--json")
    assert (done.code, done.document["error"]["code"], done.document["mesh"]) == (code, error, None)


@pytest.mark.parametrize("timeout_s", [1000.0, 0.5])
def test_time_is_up(terminal, api, timeout_s):
    """Exit code 6; the job stays as it is, also where it had less time, and wait follows it on without sending."""
    api.before = [session_2024("training_refine")]
    job = terminal.add(timeout_s=timeout_s)
    job = terminal.change(job, lambda job, now: state_machine.baseline_read(job, RUNNING_SESSION, now))
    deadline_at = job.deadline_at if timeout_s > 500 else pytest.approx(time.time() + 61.0, abs=50.0)
    done = terminal.run("wait", job.id, "--timeout", "1", "--json")
    assert (done.code, done.document["error"]["code"]) == (6, "timeout")
    left = terminal.job(job.id)
    assert (left.state, left.error, left.deadline_at) == (S.RUNNING, None, deadline_at)
    api.before = [session_2024("refine_done", "mesh.obj")]
    assert terminal.run("wait", job.id).code == 0
    assert api.refines == []


@pytest.mark.parametrize("answer", [html(502), Answer(resets=True), html(200)])
def test_out_of_reach(terminal, api, answer):
    """Exit code 7 for a service that does not answer well."""
    api.before = [answer]
    done = terminal.run("status", CODE, "--json")
    assert (done.code, done.document["error"]["code"]) == (7, "service_unreachable")


def test_nobody_there(terminal):
    """Exit code 7 for a service that does not listen, without its address in the way of the sentence."""
    done = terminal.run("status", CODE, CSM_SERVICE="http://127.0.0.1:9")
    assert (done.code, done.out) == (7, "")
    assert done.err == "The service cannot be reached. Check the network and the service's address.\n"


WHERE = {
    "in a pause": (S.RUNNING, session_2024("training_refine")),
    "in a request": (S.RUNNING, Answer(hangs=True)),
    "in a download": (S.DOWNLOADING, session_2024("refine_done", "mesh.obj")),
}


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("where", list(WHERE))
def test_interrupted(terminal, api, where, number):
    """Ctrl-C and what a farm sends end at once with 130 and one JSON object; the job stays and is followed on."""
    state, answer = WHERE[where]
    api.after = [answer]
    api.storage.script = [Answer(body=TRIANGLE_OBJ, cut_after=20, hangs=True)] if state is S.DOWNLOADING else []
    job = terminal.add()
    process = terminal.start("wait", job.id, "--json")
    wait_until(lambda: api.storage.seen if state is S.DOWNLOADING else len(api.looks) > 1)
    process.send_signal(number)
    done = ended(process)
    assert (done.code, done.document["error"]["code"]) == (130, "interrupted")
    assert done.err.count("Interrupted.") == 1
    assert terminal.job(job.id).state is state
    api.after = [session_2024("training_refine"), session_2024("refine_done", "mesh.obj")]
    assert terminal.run("wait", job.id).code == 0
    assert len(api.refines) == 1


def test_interrupted_while_it_sends(terminal, api):
    """Ctrl-C while the POST is on its way: the next wait looks whether it arrived, and does not send."""
    api.posts = [Answer(hangs=True)]
    job = terminal.add()
    process = terminal.start("wait", job.id)
    wait_until(lambda: api.refines)
    process.send_signal(signal.SIGINT)
    assert ended(process).code == 130
    assert terminal.job(job.id).state is S.SUBMITTING
    assert terminal.run("wait", job.id).code == 0
    assert len(api.refines) == 1


def test_a_reader_that_has_seen_enough(terminal):
    """A pipe that is closed early, as by head, is no failure."""
    terminal.add()
    process = terminal.start("jobs")
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (0, "")


def test_help(terminal):
    """--help is no error, and names every command."""
    done = terminal.run("--help")
    assert (done.code, done.err) == (0, "")
    for command in ("refine", "submit", "status", "wait", "fetch", "place", "stop", "jobs", "create", "serve"):
        assert command in done.out


def test_a_checkout_of_another_name(terminal):
    """Nothing of the command line depends on the folder it is started from."""
    copy = terminal.folder / "elsewhere"
    shutil.copytree(ROOT / "csm_refine_addon", copy / "csm_refine_addon", ignore=shutil.ignore_patterns("__pycache__"))
    path = os.pathsep.join([str(terminal.folder / "python"), str(copy)])
    assert terminal.run("jobs", "--json", PYTHONPATH=path).code == 0
