"""The worker as a real process: it drives what stands in the journal, keeps the key to itself, and ends at once."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.jobs import state_machine, worker
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import JobState as S, RefineRequest, Secret
from csm_refine_addon.core.processes.background import module_environment, python_command
from tests.core.harness import copying_blender
from tests.support.api_server import ACCOUNT, CODE, KEY, Answer, envelope, refine_ack, refusal, session_2024, wait_until

RUNNING = [session_2024("training_refine")]


class Workers:
    """Worker processes of one home, and the journal that they share."""

    def __init__(self, home: DataDir, api) -> None:
        self.home = home
        self.api = api
        self.journal = JobStore(home.journal)
        self.blender = copying_blender(home.folder)
        self.processes: list[subprocess.Popen] = []

    def start(self, *, online=True, key=KEY, blender=None) -> subprocess.Popen:
        with self.home.worker_log.open("ab") as log:
            process = worker.start(self.home, sys.executable, str(blender or self.blender), stdout=log, stderr=log)
        self.processes.append(process)
        self.tell(process, online=online, key=key)
        return process

    def tell(self, process, *, online=True, key=KEY, service="") -> None:
        keys, chosen = {service: Secret(key)} if key else {}, (service or self.api.url, "http://api.csm.example")
        process.stdin.write(worker.control_line(online, keys, 20.0, chosen=chosen))
        process.stdin.flush()

    def add(self, service="", poll_s=(0.05, 0.1), **options):
        request = RefineRequest(CODE, (2.0, 1.0, 0.5))
        made = new_job(request, service or self.api.url, now=time.time(), poll_s=poll_s, **options)
        return self.journal.add(made, again=True)

    def wait_for(self, job, *states, of=lambda job: job.state):
        return wait_until(lambda: (found := self.journal.get(job.id)) and of(found) in states and found)

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdin.close()
        self.journal.close()


@pytest.fixture
def workers(tmp_path, api, monkeypatch):
    monkeypatch.setenv("CSM_API_KEY", KEY)  # as in a Blender that was started with it
    opened = Workers(DataDir(tmp_path / "home").ensure(), api)
    yield opened
    opened.close()


def ended_within(process, seconds) -> bool:
    """Tell whether a process ends so soon after its stdin."""
    process.stdin.close()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_a_job_is_driven_to_ready(workers, api):
    """What is added to the journal is submitted once, followed, fetched and prepared; nothing else is told."""
    process = workers.start()
    job = workers.wait_for(workers.add(), S.READY, S.FAILED)
    assert (job.state, len(api.refines)) == (S.READY, 1)
    assert Path(job.blend_path).read_bytes() == api.storage.files["mesh.obj"]
    assert (job.report.triangles, job.report.box.size) == (1, (1, 1, 1))
    assert process.poll() is None


def test_a_job_that_was_there_before(workers, api):
    """A worker that starts takes up what an earlier one has left: here in the middle of a running refine."""
    api.taken = 1
    left = workers.add()
    workers.journal.change(
        left.id, lambda job: state_machine.baseline_read(job, read("training_refine"), job.created_at)
    )
    workers.start()
    assert workers.wait_for(left, S.READY, S.FAILED).state is S.READY
    assert api.refines == []


def read(word):
    from csm_refine_addon.core.providers import csm_schema

    return csm_schema.read_session(csm_schema.Reply(200, "", {"session_code": CODE, "status": word}))


def test_a_failure_is_a_sentence(workers, api):
    """A job that fails ends in the journal with its sentence; the worker lives on."""
    api.posts = [refusal(402)]
    process = workers.start()
    job = workers.wait_for(workers.add(), S.READY, S.FAILED)
    assert (job.state, job.error.code) == (S.FAILED, "out_of_credits")
    assert process.poll() is None


def test_without_a_blender(workers, tmp_path):
    """A background Blender that cannot be started is said with the job, whose mesh is kept for Retry."""
    workers.start(blender=tmp_path / "no blender here")
    job = workers.wait_for(workers.add(), S.READY, S.FAILED)
    assert (job.error.code, Path(job.mesh_path).is_file()) == ("prepare_failed", True)


def test_a_mistake_of_ours_is_a_sentence(workers, api):
    """A job that cannot be driven at all fails with a sentence, and is not driven again and again."""
    job = workers.add()
    workers.journal.change(job.id, lambda job: job.from_json({**job.to_json(), "poll_first_s": None}))
    workers.start()
    job = workers.wait_for(job, S.FAILED)
    assert (job.error.code, len(api.refines)) == ("error", 1)
    assert "made a mistake" in job.error.message
    assert state_machine.retry_state(job) is S.UNCERTAIN
    assert "TypeError" in workers.home.worker_log.read_text()


# --- the key


def test_key_is_in_no_process_list(workers, api):
    """The key comes over stdin alone: it is in no argument and no variable, of the worker or its children."""
    process = workers.start()
    workers.wait_for(workers.add(), S.READY)
    assert api.refines[0].headers["x-api-key"] == KEY
    assert KEY not in " ".join(process.args)
    assert KEY not in "".join(module_environment().values())
    for name in ("cmdline", "environ"):
        shown = Path(f"/proc/{process.pid}/{name}")
        assert not shown.exists() or KEY.encode() not in shown.read_bytes()


def test_key_is_in_no_file(workers, api):
    """Neither log nor journal nor report hold the key or a mesh URL, after failures too."""
    said = f"{KEY} {api.storage.signed('x')}"
    api.before = [refusal(429, said, headers={"Retry-After": "1"}), session_2024("preview_done")]
    workers.start()
    workers.wait_for(workers.add(), S.READY)
    files = [path for path in workers.home.folder.rglob("*") if path.is_file()]
    for path in files:
        content = path.read_bytes()
        assert not [secret for secret in (KEY, ACCOUNT, "sig=") if secret.encode() in content], path


def test_a_job_waits_for_its_key(workers, api):
    """Without a key for its service a job is left to whoever has one; it goes on when the key comes."""
    process = workers.start(key="")
    waiting = workers.add()
    other = workers.journal.add(new_job(RefineRequest(CODE), "https://api.csm.example", now=time.time()))
    workers.tell(process, service=api.url)
    assert workers.wait_for(waiting, S.READY)
    assert (workers.journal.get(other.id).state, workers.journal.get(other.id).account) == (S.PREPARED, "")
    assert api.seen[0].headers["x-api-key"] == KEY


# --- its end


def test_it_ends_when_stdin_closes(workers):
    """With nothing to do it is gone within a second."""
    process = workers.start()
    wait_until(workers.home.journal.exists)
    started = time.monotonic()
    assert ended_within(process, 1.0), time.monotonic() - started
    assert process.returncode == 0


def test_it_ends_while_requests_hang(workers, api):
    """Several jobs whose requests get no answer do not hold its end; their leases are given back."""
    api.before = [Answer(hangs=True)]
    jobs = [workers.add() for _ in range(5)]
    process = workers.start()
    wait_until(lambda: len(api.looks) == 5)
    started = time.monotonic()
    assert ended_within(process, 1.0), time.monotonic() - started
    assert all(workers.journal.claim(job.id, "next", time.time(), 15.0) for job in jobs)


def test_it_ends_while_a_blender_works(workers, tmp_path):
    """A background Blender does not outlive it."""
    slow = tmp_path / "slow blender"
    pid_file = tmp_path / "pid"
    slow.write_text(f"#!/bin/sh\necho $$ > '{pid_file}'\nexec sleep 600\n")
    slow.chmod(0o755)
    process = workers.start(blender=slow)
    job = workers.add()
    pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text().strip()))
    assert ended_within(process, 1.0)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), 2.0)
    assert workers.journal.get(job.id).state is S.PREPARING


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"keys": 3}\n', b"\xff\n", b"{}\n"])
def test_it_ends_at_a_line_that_is_none(workers, line):
    """A parent that says nonsense is no parent; nothing of what was said before is shown."""
    process = workers.start()
    wait_until(workers.home.journal.exists)
    process.stdin.write(line)
    process.stdin.flush()
    process.wait(5.0)
    assert KEY not in workers.home.worker_log.read_text()


def test_it_ends_without_a_first_line(workers):
    """A parent that dies at once leaves no worker behind."""
    command = python_command(sys.executable, worker.MODULE)
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, env=module_environment(), timeout=20, check=False, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_home_that_cannot_be(workers, tmp_path):
    """Without a journal it ends with the sentence and the exit code for it."""
    (tmp_path / "journal.sqlite").mkdir()
    process = worker.start(DataDir(tmp_path), sys.executable, "", stderr=subprocess.PIPE)
    workers.tell(process)
    assert process.wait(20.0) == 2
    with process.stderr, process.stdin:
        assert b"cannot be used" in process.stderr.read()


# --- two of them, and the user


def test_two_workers_drive_a_job_once(workers, api):
    """Of two workers one holds the lease: one baseline, one POST."""
    for _ in range(2):
        workers.start()
    job = workers.wait_for(workers.add(), S.READY, S.FAILED)
    assert (job.state, len(api.refines)) == (S.READY, 1)
    assert [seen.method for seen in api.seen][:2] == ["GET", "POST"]
    states = [state for _, state in workers.journal.history(job.id)]
    assert states == ["PREPARED", "SUBMITTING", "RUNNING", "DOWNLOADING", "PREPARING", "READY"]


def test_a_killed_worker_is_followed_by_the_next(workers, api):
    """Killed while its POST was on the way: the next one looks, follows, and does not send."""
    api.posts = [Answer(hangs=True)]
    first = workers.start()
    job = workers.add()
    wait_until(lambda: api.refines)
    first.kill()
    with contextlib.closing(sqlite3.connect(workers.home.journal)) as connection, connection:
        connection.execute("UPDATE leases SET until = 0")  # as after a quarter of a minute
    workers.start()
    assert workers.wait_for(job, S.READY, S.FAILED).state is S.READY
    assert len(api.refines) == 1


@pytest.mark.parametrize("pause_s", [0.05, 600.0])
def test_stopped_in_the_journal(workers, api, pause_s):
    """Stop following ends the driving at once, in a long pause too: no look comes any more, and the lease is free."""
    api.after = RUNNING
    workers.start()
    job = workers.add(poll_s=(pause_s, pause_s))
    wait_until(lambda: workers.journal.get(job.id).polls > 2 or (pause_s > 1 and api.refines))
    workers.journal.change(job.id, lambda job: state_machine.stopped(job, time.time()))
    wait_until(lambda: workers.journal.claim(job.id, "next", time.time(), 15.0))
    left = workers.journal.get(job.id)
    other = workers.add()
    wait_until(lambda: workers.journal.get(other.id).polls > 2)
    assert workers.journal.get(job.id) == left


def test_removed_jobs_leave_no_files(workers):
    """The folder of a removed job is deleted."""
    workers.start()
    job = workers.wait_for(workers.add(), S.READY)
    folder = Path(job.blend_path).parent
    assert folder.is_dir()
    workers.journal.remove(job.id)
    wait_until(lambda: not folder.exists())


def test_offline_pauses(workers, api, monkeypatch):
    """Told to be offline it sends nothing to another machine, and says why the job waits; online it goes on."""
    monkeypatch.setenv("http_proxy", api.url)  # so that another machine's name leads here
    process = workers.start(online=False)
    job = workers.add(service="http://api.csm.example")
    assert "offline" in workers.wait_for(job, True, of=lambda job: bool(job.trouble)).trouble
    assert api.seen == []
    workers.tell(process, online=True)
    assert workers.wait_for(job, S.READY, S.FAILED).state is S.READY


# --- checking a service


def started_check(workers, service, *, key=KEY):
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    process = worker.start(workers.home, sys.executable, "", check=service, **pipes)
    workers.processes.append(process)
    workers.tell(process, key=key)
    return process


def checked(workers, *, key=KEY):
    process = started_check(workers, workers.api.url, key=key)
    assert process.wait(30) == 0
    with process.stdout, process.stderr:
        said = process.stdout.read() + process.stderr.read()
    assert KEY.encode() not in said
    return json.loads(said)


def test_check_of_a_service(workers, api):
    """One line of JSON says whether address and key are good, or why not."""
    api.others["/user/userdata"] = [Answer(200, envelope({"tier": "free"})), refusal(401, f"No key {KEY}")]
    assert checked(workers)["ok"] is True
    refused = checked(workers)
    assert (refused["ok"], "refuses the API key" in refused["message"]) == (False, True)
    assert "no API key" in checked(workers, key="")["message"]
    assert len(api.seen) == 2


def test_check_ends_in_the_middle_of_a_request(workers, api):
    """A Blender that is killed while the service does not answer leaves no check behind."""
    api.others["/user/userdata"] = [Answer(hangs=True)]
    process = started_check(workers, api.url)
    wait_until(lambda: api.seen)
    assert ended_within(process, 1.0)
    with process.stdout, process.stderr:
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


def test_check_ends_while_the_local_service_starts(workers, monkeypatch):
    """The same while the check waits for a local service that is just coming up."""
    monkeypatch.setattr(
        worker, "module_environment", lambda: {**module_environment(), "CSM_REFINE_BLENDER": "/no/blender"}
    )
    process = started_check(workers, "local")
    log = workers.home.service / "service.log"
    wait_until(log.exists)
    assert ended_within(process, 1.0)
    with process.stdout, process.stderr:
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


def test_ack_is_whole():
    """The scripted queue record is the documented one (the tests above rely on it)."""
    assert refine_ack().body["data"]["complete_job_data"]["call"] == "dreamfusion"
