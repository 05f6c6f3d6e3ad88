"""A job goes on only with the key that it was made with: whatever drives it, and whatever the user does meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.errors import OtherService
from csm_refine_addon.core.jobs import state_machine, worker
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.jobs.lookups import Lookup, LookupKind
from csm_refine_addon.core.models import LOCAL, Job, JobState as S, RefineRequest, Secret
from csm_refine_addon.core.providers import account_binding
from csm_refine_addon.core.providers.credentials import KeyCommand
from tests.core.harness import copying_blender
from tests.core.terminal import Terminal
from tests.support.api_server import CODE, KEY, TRIANGLE_OBJ, Api, refusal, session_2024, wait_until

OURS, THEIRS = Secret(KEY), Secret(KEY[::-1])
ELSEWHERE = "https://api.csm.example"
SENTENCE = "This job belongs to another API key."
GO_ON = [session_2024("training_refine")]


@pytest.fixture
def api():
    with Api() as served:
        yield served


@pytest.fixture
def home(tmp_path):
    return DataDir(tmp_path / "home").ensure()


@pytest.fixture
def journal(home):
    with JobStore(home.journal) as opened:
        yield opened


def account(home: DataDir, service: str, key: Secret | None = OURS) -> str:
    return account_binding.fingerprint(home.folder, service, key)


class Worker:
    """A worker process of a home, and what Blender tells it."""

    def __init__(self, home: DataDir) -> None:
        with home.worker_log.open("ab") as log:
            blender = str(copying_blender(home.folder))
            self.process = worker.start(home, sys.executable, blender, stdout=log, stderr=log)

    def tell(self, service: str, key: Secret | None, command: str = "", asked: int = 0, chosen: str = "") -> None:
        told = KeyCommand(command, (service,), asked) if command else KeyCommand()
        self.process.stdin.write(
            worker.control_line(True, {service: key} if key else {}, 20.0, told, (chosen or service,))
        )
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self.process.stdin.close()


@pytest.fixture
def started(home):
    running = []

    def start(service: str, key: Secret | None = None, command: str = "") -> Worker:
        running.append(Worker(home))
        running[-1].tell(service, key, command)
        return running[-1]

    yield start
    for each in running:
        each.end()


def add(journal: JobStore, service: str, state: S = S.PREPARED, **changes) -> Job:
    """Write a job down as it stands in a state."""
    made = new_job(RefineRequest(CODE, (2.0, 1.0, 0.5)), service, now=time.time(), poll_s=(0.05, 0.1))
    sent = (
        {}
        if state is S.PREPARED
        else {"sent_at": time.time(), "baseline": state_machine.Baseline("preview_done", "", "")}
    )
    taken = {"accepted_at": time.time()} if state in (S.RUNNING, S.DOWNLOADING, S.PREPARING, S.FAILED) else {}
    later = {"look_until": time.time() + 60.0} if state is S.UNCERTAIN else {}
    return journal.add(dataclasses.replace(made, state=state, **{**sent, **taken, **later, **changes}), again=True)


def held_back(journal: JobStore, job: Job) -> Job:
    """Wait until the job says whose it is."""
    return wait_until(lambda: (found := journal.get(job.id)).trouble.startswith(SENTENCE) and found)


def keys_used(api: Api) -> set[str]:
    return {seen.headers.get("x-api-key", "") for seen in api.seen}


# --- the fingerprint


def test_a_fingerprint_tells_nothing_of_the_key(home, tmp_path):
    """It differs by key, by service and by home folder, is no plain hash, and its secret is the owner's alone."""
    marks = {account(home, ELSEWHERE), account(home, ELSEWHERE, THEIRS), account(home, "https://b.example")}
    marks.add(account(DataDir(tmp_path / "other"), ELSEWHERE))
    assert len(marks) == 4
    assert account(home, ELSEWHERE) == account(home, ELSEWHERE)
    assert all(len(mark) == 2 * account_binding.DIGEST_BYTES and int(mark, 16) for mark in marks)
    secret = home.folder / account_binding.OWN_FILE
    assert os.name != "posix" or secret.stat().st_mode & 0o777 == 0o600
    secret.unlink()
    assert account(home, ELSEWHERE) not in marks


def test_local_jobs_belong_to_everybody(home):
    """The local service's key is whoever's can read the folder: its jobs have no account, and wait for none."""
    assert account(home, LOCAL) == account(home, ELSEWHERE, None) == ""
    assert not account_binding.asks_service(new_job(RefineRequest(CODE), LOCAL, now=0.0))


# --- the worker


def pytest_generate_tests(metafunc):
    """Every state that a worker drives; in the short run one of each kind."""
    if "driven" in metafunc.fixturenames:
        states = [S.PREPARED, S.UNCERTAIN, S.DOWNLOADING, S.SUBMITTING, S.RUNNING]
        is_short = metafunc.config.getoption("--length") == "short"
        metafunc.parametrize("driven", states[:3] if is_short else states)


def test_a_worker_with_another_key_does_not_drive(home, journal, api, started, driven):
    """The job stands still, not failed, with a sentence, and no request is made; with its own key it goes on."""
    api.taken = 1
    job = add(journal, api.url, driven, account=account(home, api.url))
    process = started(api.url, THEIRS)
    waiting = held_back(journal, job)
    assert waiting.state in (driven, S.UNCERTAIN if driven is S.SUBMITTING else driven)
    assert (waiting.error is None or driven is S.SUBMITTING, api.seen) == (True, [])
    process.tell(api.url, OURS)
    done = wait_until(lambda: (found := journal.get(job.id)).state is S.READY and found)
    assert (done.trouble, keys_used(api) - {""}) == ("", {KEY})


def test_a_key_that_changes_midway(home, journal, api, started):
    """The next request is not made with the new key: the job waits for the one that it began with."""
    api.after = GO_ON
    process = started(api.url, OURS)
    job = add(journal, api.url)
    wait_until(lambda: journal.get(job.id).polls > 1)
    process.tell(api.url, THEIRS)
    held_back(journal, job)
    seen = len(api.seen)
    other = add(journal, api.url, request=RefineRequest("SESSION_1_2"))
    wait_until(lambda: len(api.seen) > seen)
    assert {look.headers["x-api-key"] for look in api.looks} == {KEY}
    assert journal.get(other.id).account == account(home, api.url, THEIRS)
    process.tell(api.url, OURS)
    wait_until(lambda: not journal.get(job.id).trouble)


def test_a_job_of_an_older_version_is_adopted(home, journal, api, started):
    """A row without an account belongs to the first key that drives it, and to no other from then on."""
    api.after = GO_ON
    job = add(journal, api.url)
    document = {key: value for key, value in job.to_json().items() if key != "account"}
    assert Job.from_json(document).account == ""
    process = started(api.url, OURS)
    wait_until(lambda: journal.get(job.id).polls > 1)
    assert journal.get(job.id).account == account(home, api.url)
    process.tell(api.url, THEIRS)
    held_back(journal, job)


def test_what_needs_no_key_goes_on(home, journal, api, started):
    """A mesh that has come is prepared with any key, and without one: nothing of it is asked of the service."""
    mesh = home.job_folder("cafe") / "mesh.obj"
    mesh.write_bytes(TRIANGLE_OBJ)
    job = add(journal, api.url, S.PREPARING, account=account(home, api.url), mesh_path=str(mesh))
    started(api.url, THEIRS)
    assert wait_until(lambda: journal.get(job.id).state is S.READY)
    assert api.seen == []


def test_two_workers_of_two_accounts(home, journal, api, started):
    """Each job is driven by the worker that has its key, beside one that has not, and says nothing wrong."""
    job = add(journal, api.url, account=account(home, api.url))
    started(api.url, THEIRS)
    held_back(journal, job)
    started(api.url, OURS)
    done = wait_until(lambda: (found := journal.get(job.id)).state is S.READY and found)
    assert (done.trouble, len(api.refines), keys_used(api) - {""}) == ("", 1, {KEY})


def test_taken_over(home, journal, api, started):
    """After the user's yes the job goes on with the other key, and is that one's."""
    job = add(journal, api.url, account=account(home, api.url))
    started(api.url, THEIRS)
    held_back(journal, job)
    journal.change(job.id, lambda job: account_binding.taken_over(job, home.folder))
    done = wait_until(lambda: (found := journal.get(job.id)).state is S.READY and found)
    assert (done.account, keys_used(api) - {""}) == (account(home, api.url, THEIRS), {THEIRS.reveal()})


# --- a service that nobody chose


def waits(journal: JobStore, job: Job) -> Job:
    """Wait until the job says that its service is not the chosen one."""
    return wait_until(lambda: (found := journal.get(job.id)).trouble == str(OtherService()) and found)


@pytest.mark.parametrize("state", [S.PREPARED, S.UNCERTAIN, S.RUNNING, S.DOWNLOADING])
def test_a_row_does_not_choose_who_gets_the_key(home, journal, api, started, state):
    """A job without an account is adopted for the chosen service only: else it waits, and says what to do."""
    api.taken = 1
    job = add(journal, api.url, state)
    process = started(ELSEWHERE)
    process.tell("", OURS, chosen=ELSEWHERE)
    assert waits(journal, job).state is state
    assert api.seen == []
    process.tell("", OURS, chosen=api.url)
    done = wait_until(lambda: (found := journal.get(job.id)).state is S.READY and found)
    assert (done.trouble, done.account) == ("", account(home, api.url))


def test_a_row_of_another_service_taken_over(home, journal, api, started):
    """After the user's yes it goes on, though another service is chosen."""
    job = add(journal, api.url)
    started(ELSEWHERE).tell("", OURS, chosen=ELSEWHERE)
    waits(journal, job)
    journal.change(job.id, lambda job: account_binding.taken_over(job, home.folder))
    done = wait_until(lambda: (found := journal.get(job.id)).state is S.READY and found)
    assert (done.trouble, done.account) == ("", account(home, api.url))


def test_a_yes_cannot_be_written_into_a_row(home, tmp_path, journal, api, started):
    """What *Take Over* writes down is good for one job, in one home folder: a row from elsewhere has no such mark."""
    other = account_binding.taken_over(new_job(RefineRequest(CODE), api.url, now=0.0, job_id="cafe"), home.folder)
    elsewhere = DataDir(tmp_path / "other").ensure()
    jobs = [
        add(journal, api.url, account=other.account),
        add(journal, api.url, id="beef", account=account_binding.taken_over(other, elsewhere.folder).account),
        add(journal, api.url, account="0" * 16),
    ]
    started(ELSEWHERE).tell("", OURS, chosen=api.url)
    for job in jobs:
        held_back(journal, job)
    assert api.seen == []


def test_a_question_does_not_choose_who_gets_the_key(journal, api, started):
    """A look-up that stands in the journal is answered for the chosen service only."""
    journal.add_lookup(Lookup(LookupKind.SESSION, api.url, CODE, time.time()))
    process = started(ELSEWHERE)
    process.tell("", OURS, chosen=ELSEWHERE)
    job = add(journal, api.url)
    waits(journal, job)  # by then it has looked at the questions, too
    assert api.seen == []
    process.tell("", OURS, chosen=api.url)
    wait_until(lambda: api.looks)


# --- a key command


def printing(path: Path, key: str = KEY) -> str:
    """Return a command that prints what stands in a file, once it is there."""
    path.write_text(key)
    return shlex.join([sys.executable, "-I", "-c", f"print(open({str(path)!r}).read())"])


def test_a_key_command_in_the_worker(home, journal, api, started, tmp_path):
    """The worker runs the command, drives the job with its key, and keeps that key to itself."""
    job = add(journal, api.url)
    started(api.url, command=printing(tmp_path / "key"))
    done = wait_until(lambda: (found := journal.get(job.id)).state is S.READY and found)
    assert (done.account, keys_used(api) - {""}) == (account(home, api.url), {KEY})
    written = [path for path in home.folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert written == []


def test_a_key_command_that_fails(home, journal, api, started, tmp_path):
    """The job says why it waits; when the user asks for something anew, the command is run again."""
    command = printing(tmp_path / "key")
    (tmp_path / "key").unlink()
    job = add(journal, api.url)
    process = started(api.url, command=command)
    wait_until(lambda: "The key command failed" in journal.get(job.id).trouble)
    assert journal.get(job.id).state is S.PREPARED
    (tmp_path / "key").write_text(KEY)
    process.tell(api.url, None, command, asked=1)
    wait_until(lambda: journal.get(job.id).state is S.READY)


def test_a_refused_key_may_have_been_exchanged(home, journal, api, started, tmp_path):
    """After a refusal, Retry asks the command again: helpers hand out keys that lapse."""
    api.before = [refusal(401), session_2024("preview_done")]
    command = printing(tmp_path / "key", THEIRS.reveal())
    job = add(journal, api.url)
    process = started(api.url, command=command)
    wait_until(lambda: journal.get(job.id).state is S.FAILED)
    (tmp_path / "key").write_text(KEY)
    journal.change(job.id, lambda job: state_machine.retried(account_binding.taken_over(job, home.folder), time.time()))
    wait_until(lambda: journal.get(job.id).state is S.READY)
    assert process.process.poll() is None
    assert api.refines[0].headers["x-api-key"] == KEY


def test_the_worker_ends_while_the_command_runs(journal, api, started, tmp_path):
    """A helper that waits for the user's finger holds neither the worker nor its end, and does not outlive it."""
    pid = tmp_path / "pid"
    add(journal, api.url)
    process = started(api.url, command=waiting(pid)).process
    helper = started_by(pid)
    process.stdin.close()
    process.wait(2.0)
    wait_until(lambda: not helper.exists(), 5.0)


def test_a_check_uses_the_command(home, api, tmp_path):
    """*Check Service* waits for the command in its own process, and says why there is no key."""
    line = worker.control_line(True, {}, 5.0, KeyCommand(printing(tmp_path / "key"), (api.url,)))

    def checked() -> dict:
        with worker.start(home, sys.executable, "", check=api.url, stdout=subprocess.PIPE) as process:
            process.stdin.write(line)
            process.stdin.flush()
            return json.loads(process.stdout.readline())

    api.others["/user/userdata"] = [session_2024("preview_done")]
    assert checked()["ok"] is True
    (tmp_path / "key").unlink()
    assert "key command failed" in checked()["message"]
    assert keys_used(api) == {KEY}


def test_a_check_ends_while_the_command_runs(home, api, tmp_path):
    """A Blender that quits while the helper waits for the user's finger leaves neither the check nor the helper."""
    pid = tmp_path / "pid"
    line = worker.control_line(True, {}, 5.0, KeyCommand(waiting(pid), (api.url,)))
    with worker.start(home, sys.executable, "", check=api.url, stdout=subprocess.PIPE) as process:
        process.stdin.write(line)
        process.stdin.flush()
        helper = started_by(pid)
        process.stdin.close()
        process.wait(5.0)
    wait_until(lambda: not helper.exists(), 5.0)


def waiting(pid: Path) -> str:
    """Return a command that says who it is, and waits."""
    code = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid()) + '.'); time.sleep(600)"
    return shlex.join([sys.executable, "-I", "-c", code])


def started_by(pid: Path) -> Path:
    """Return the place of such a command's process, once it runs."""
    wait_until(lambda: pid.exists() and pid.read_text().endswith("."))
    return Path(f"/proc/{pid.read_text()[:-1]}")


# --- the command line


@pytest.fixture
def terminal(tmp_path, api):
    opened = Terminal(tmp_path, api)
    opened.environment["CSM_API_KEY"] = THEIRS.reveal()
    yield opened
    opened.close()


def foreign(terminal: Terminal, state: S = S.RUNNING) -> Job:
    """Write down a job of another key."""
    with JobStore(terminal.home.journal) as journal:
        return add(journal, terminal.api.url, state, account=account(terminal.home, terminal.api.url))


@pytest.mark.parametrize(
    "command",
    [("status", "{}"), ("wait", "{}"), ("fetch", "{}"), ("submit", "--again", "{}")],
    ids=lambda each: each[0],
)
@pytest.mark.parametrize("state", [S.RUNNING, S.FAILED])
def test_the_command_line_does_not_touch_it(terminal, api, command, state):
    """Exit code 3, the job as it stands, the sentence and the cure; nothing is asked, and the row is as it was."""
    job = foreign(terminal, state)
    done = terminal.run(*(part.format(job.id) for part in command), "--json")
    said = done.document if "job" in done.document else done.document["jobs"][0]
    assert (done.code, said["error"]["code"], said["error"]["message"]) == (3, "other_account", SENTENCE)
    assert "--take-over" in said["error"]["action"]
    assert command[0] == "submit" or (said["job"], said["state"]) == (job.id, state)
    assert (api.seen, terminal.job(job.id)) == ([], job)
    assert SENTENCE in done.err


def test_wait_follows_its_own_jobs_beside_others(terminal, api):
    """Of all unfinished jobs those of this key are followed; the others are said, with the exit code for it."""
    other = foreign(terminal)
    ours = terminal.add()
    shutil.copyfile(copying_blender(terminal.folder), terminal.folder / "b")
    done = terminal.run("wait", "--json", CSM_REFINE_BLENDER=str(terminal.folder / "blender"))
    rows = {row["job"]: row for row in done.document["jobs"]}
    assert (done.code, rows[ours.id]["state"], rows[ours.id]["error"]) == (3, "READY", None)
    assert (rows[other.id]["state"], rows[other.id]["error"]["code"]) == ("RUNNING", "other_account")
    assert keys_used(api) - {""} == {THEIRS.reveal()}


def test_the_list_says_whose_they_are(terminal):
    """`jobs` shows a job of another key with the sentence, in words and in JSON; it has not failed by that."""
    job = foreign(terminal)
    assert SENTENCE in terminal.run("jobs").out
    done = terminal.run("jobs", "--json")
    (row,) = done.document["jobs"]
    assert (done.code, row["job"], row["state"], row["error"]["code"]) == (0, job.id, "RUNNING", "other_account")


def test_stop_works_with_any_key(terminal, api):
    """To follow a job no longer, nobody's key is needed."""
    job = foreign(terminal)
    done = terminal.run("stop", job.id, "--json")
    assert (done.code, done.document["state"], api.seen) == (0, "STOPPED", [])


@pytest.mark.parametrize(
    "command", [("wait", "{}"), ("fetch", "{}"), ("submit", "--again", "{}")], ids=lambda each: each[0]
)
def test_taken_over_on_the_command_line(terminal, api, command):
    """With --take-over the job goes on with the key at hand, and is that one's from then on."""
    api.taken = command[0] != "submit"
    copying_blender(terminal.folder)
    job = foreign(terminal, S.FAILED)
    arguments = [part.format(job.id) for part in command]
    done = terminal.run(*arguments, "--take-over", "--json", CSM_REFINE_BLENDER=str(terminal.folder / "blender"))
    assert (done.code, done.document["error"]) == (0, None)
    assert terminal.job(job.id).account == account(terminal.home, api.url, THEIRS)
    assert keys_used(api) - {""} == {THEIRS.reveal()}
    assert len(api.refines) == (command[0] == "submit")


def unbound(terminal: Terminal, state: S = S.RUNNING) -> Job:
    """Write down a job of the served API without an account, and choose another service."""
    terminal.environment["CSM_SERVICE"] = ELSEWHERE
    with JobStore(terminal.home.journal) as journal:
        return add(journal, terminal.api.url, state)


@pytest.mark.parametrize(
    "command",
    [("status", "{}"), ("wait", "{}"), ("wait",), ("fetch", "{}"), ("submit", "--again", "{}")],
    ids=" ".join,
)
def test_a_row_of_another_service_on_the_command_line(terminal, api, command):
    """Exit code 3, a sentence and the cure; nothing is sent there, and the row is as it was."""
    job = unbound(terminal, S.FAILED if command[0] == "submit" else S.RUNNING)
    done = terminal.run(*(part.format(job.id) for part in command), "--json")
    said = done.document if "job" in done.document else done.document["jobs"][0]
    assert (done.code, said["error"]["code"], said["error"]["message"]) == (3, "other_account", OtherService().message)
    assert f"--service {api.url} " in said["error"]["action"]
    assert "--take-over" in said["error"]["action"]
    assert (api.seen, terminal.job(job.id)) == ([], job)
    assert OtherService().message in terminal.run("jobs").out or command[0] == "submit"


@pytest.mark.parametrize("option", [("--take-over",), ("--service", "{}")])
def test_a_service_that_is_chosen_after_all(terminal, api, option):
    """Named, or with --take-over, the job goes on with the key at hand, and is that one's from then on."""
    api.taken = 1
    copying_blender(terminal.folder)
    job = unbound(terminal)
    options = [part.format(api.url) for part in option]
    done = terminal.run("wait", job.id, *options, "--json", CSM_REFINE_BLENDER=str(terminal.folder / "blender"))
    assert (done.code, done.document["error"]) == (0, None)
    assert terminal.job(job.id).account == account(terminal.home, api.url, THEIRS)


def test_a_new_job_is_its_keys(terminal, api):
    """What is submitted on the command line belongs to the key that submitted it."""
    assert terminal.run("submit", CODE).code == 0
    assert terminal.job().account == account(terminal.home, api.url, THEIRS)
