"""The command line in trouble: what asks no service needs none, a job is named, and its trouble is its own."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sqlite3
import time

import pytest

from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import JobState as S, RefineRequest, Secret
from csm_refine_addon.core.providers import account_binding
from tests.core.terminal import RUNNING_SESSION, ended
from tests.support.api_server import CODE, KEY, Answer, refusal, session_2024, wait_until

RUNS = session_2024("training_refine")


# --- what asks no service


@pytest.mark.parametrize(
    "settings",
    [{"CSM_SERVICE": "http://farm:8787"}, {"CSM_API_KEY": ""}, {"CSM_API_KEY": "two words"}],
    ids=["an address", "an empty key", "a key that is none"],
)
def test_what_asks_no_service(terminal, api, settings):
    """jobs and stop need neither a good address nor a key."""
    job = terminal.add(account="of another key")
    done = terminal.run("jobs", "--json", **settings)
    assert (done.code, [document["job"] for document in done.document["jobs"]]) == (0, [job.id])
    assert terminal.run("stop", job.id, **settings).code == 0
    assert (api.seen, terminal.job(job.id).state) == ([], S.STOPPED)


def test_another_address_than_the_jobs(terminal):
    """A job that belongs to the key at hand is followed at its own service, whatever CSM_SERVICE says now."""
    ours = account_binding.fingerprint(terminal.home.folder, terminal.api.url, Secret(KEY))
    assert terminal.run("wait", terminal.add(account=ours).id, CSM_SERVICE="http://farm:8787").code == 0


# --- the job is named


def test_interrupted_while_it_sends(terminal, api):
    """Ctrl-C after the job was written down: the JSON object says which job it is, and how it stands."""
    api.posts = [Answer(hangs=True)]
    process = terminal.start("submit", CODE, "--bbox", "2", "1", "1", "--json")
    wait_until(lambda: api.refines)
    process.send_signal(signal.SIGINT)
    done = ended(process)
    job = terminal.job()
    assert (done.code, done.document["error"]["code"]) == (130, "interrupted")
    assert (done.document["job"], done.document["session"], done.document["state"]) == (job.id, CODE, "SUBMITTING")
    assert done.document["scaled_bbox"] == [2.0, 1.0, 1.0]


def test_a_job_without_a_key(terminal, api):
    """What the key's trouble ends is named, too."""
    job = terminal.add()
    for command in (["fetch", job.id], ["wait", job.id], ["status", job.id]):
        done = terminal.run(*command, "--json", CSM_API_KEY="")
        assert (done.code, done.document["job"], done.document["error"]["code"]) == (3, job.id, "key_missing")
    assert api.seen == []


def test_a_look_at_a_job_that_fails(terminal, api):
    """status names the job, its session and its state, though the service does not answer."""
    job = terminal.add()
    api.before = [Answer(resets=True)]
    done = terminal.run("status", job.id, "--json")
    assert (done.code, done.document["error"]["code"]) == (7, "service_unreachable")
    assert [done.document[name] for name in ("job", "session", "state")] == [job.id, CODE, "PREPARED"]


# --- many at once


def test_one_jobs_trouble(terminal):
    """Of two jobs one has no key: the other one comes to its end, and both are in the list."""
    bad = terminal.add()
    with JobStore(terminal.home.journal) as journal:
        good = journal.add(new_job(RefineRequest(CODE), "local", now=bad.created_at))
    mesh = terminal.folder / "mesh.obj"
    mesh.write_text("")
    fetched = {"mesh_path": str(mesh), "accepted_at": bad.created_at}
    for state in (S.RUNNING, S.DOWNLOADING, S.PREPARING):
        terminal.change(good, lambda job, now, state=state: dataclasses.replace(job, state=state, **fetched))
    done = terminal.run("wait", "--json", CSM_API_KEY="")
    assert done.code == 3
    said = [(document["job"], (document["error"] or {}).get("code")) for document in done.document["jobs"]]
    assert said == [(bad.id, "key_missing"), (good.id, None)]
    assert terminal.job(bad.id) == bad


def test_one_time_for_all(terminal, api):
    """--timeout counts from the command's start; each job that is left gets a last look, and stays as it is."""
    api.before = [RUNS]
    jobs = [terminal.add() for _ in range(3)]
    for job in jobs:
        terminal.change(job, lambda job, now: state_machine.baseline_read(job, RUNNING_SESSION, now))
    done = terminal.run("wait", "--timeout", "3", "--json")
    assert [document["error"]["code"] for document in done.document["jobs"]] == ["timeout"] * 3
    assert done.code == 6
    assert [terminal.job(job.id).state for job in jobs] == [S.RUNNING] * 3
    assert all(terminal.job(job.id).polls for job in jobs)
    assert 3.0 < done.document["seconds"] < 9.0, "each has its own 3 s"


def test_another_processs_job(terminal, api):
    """A job that another process drives is watched for so long, and runs on there as if nobody had waited."""
    api.after = [RUNS]
    job = terminal.add()
    with JobStore(terminal.home.journal) as journal:
        journal.claim(job.id, "another process", time.time(), 25.0)
    before = terminal.job(job.id)
    assert terminal.run("wait", job.id, "--timeout", "1").code == 6
    assert (terminal.job(job.id), api.seen) == (before, [])


def test_interrupted_among_many(terminal, api):
    """Ctrl-C keeps the form: what has ended, what was followed, what was not yet."""
    api.after = [session_2024("refine_failed"), RUNS]
    jobs = [terminal.add() for _ in range(3)]
    process = terminal.start("wait", "--json")
    wait_until(lambda: terminal.job(jobs[1].id).polls > 1)
    process.send_signal(signal.SIGINT)
    found = ended(process).document["jobs"]
    assert [document["job"] for document in found] == [job.id for job in jobs]
    assert [document["error"]["code"] for document in found] == ["refine_failed", "interrupted", "interrupted"]
    assert [document["state"] for document in found] == ["FAILED", "RUNNING", "PREPARED"]


@pytest.mark.parametrize("command", [["wait", "--timeout", "0"], ["wait", "cafe", "beef"], ["jobs"]])
def test_nothing_came_of_many(terminal, command):
    """A failure before any job keeps the form of many, with the error beside it."""
    if command == ["jobs"]:
        (terminal.folder / "file").write_text("")
        terminal.environment["CSM_REFINE_HOME"] = str(terminal.folder / "file")
    done = terminal.run(*command, "--json")
    assert (done.code, done.document["jobs"], bool(done.document["error"]["message"])) == (2, [], True)


def test_all_that_is_wrong_is_said(terminal, api):
    """In words, too, each job's failure stands on stderr, with its job."""
    first, second = (session_2024("refine_failed", error=word) for word in ("No surface.", "Too thin."))
    api.after = [first, session_2024("preview_done"), second]
    _, second = terminal.add(), terminal.add()
    done = terminal.run("wait")
    assert (done.code, done.err.count("No surface.")) == (5, 1)
    assert [line for line in done.err.splitlines() if line.startswith(f"{second.id}: ") and "Too thin." in line]


# --- a mesh that is none


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_mesh_that_the_service_does_not_take(terminal, api, status):
    """create: exit code 2 with the service's words; it is the input that is wrong, and no refine has failed."""
    api.others["/local/sessions"] = [refusal(status, "No triangles")]
    mesh = terminal.folder / "mesh.glb"
    mesh.write_bytes(b"none")
    done = terminal.run("create", str(mesh), "--json")
    assert (done.code, done.document["error"]["code"]) == (2, "bad_input")
    assert "No triangles" in done.document["error"]["message"]


# --- a locked journal


def test_a_journal_that_is_locked_for_long(terminal, api):
    """It says nothing about the job: it is said on stderr, and the job is followed on."""
    api.after = [RUNS]
    job = terminal.add()
    process = terminal.start("wait", job.id)
    wait_until(lambda: terminal.job(job.id).polls > 1)
    with contextlib.closing(sqlite3.connect(terminal.home.journal, isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout = 5000")
        other.execute("BEGIN EXCLUSIVE")
        assert any("locked by another process" in line for line in iter(process.stderr.readline, ""))
    api.after = [session_2024("refine_done", "mesh.obj")]
    assert ended(process).code == 0
    assert (len(api.refines), terminal.job(job.id).state) == (1, S.PREPARING)
