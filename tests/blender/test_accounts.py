"""In the panel: whose a job is, what can be done with another account's, and a key that a command prints."""

from __future__ import annotations

import dataclasses
import json
import shlex
import sys
from pathlib import Path

import bpy
import pytest

from csm_refine_addon.blender import preferences
from csm_refine_addon.blender.jobs import job_list, job_monitor
from csm_refine_addon.core.errors import OtherAccount, OtherService
from csm_refine_addon.core.models import CSM_BASE_URL, LOCAL, JobState, Secret
from csm_refine_addon.core.providers import account_binding
from tests.support import panel
from tests.support.api_server import CODE, KEY, Api, wait_until
from tests.support.strict_layout import draw, operators, texts

ops = bpy.ops
HELD_BACK = str(OtherAccount())


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    with panel.enabled(tmp_path / "home", monkeypatch):
        panel.allow_online(allowed=True)
        panel.settings().session_code = CODE
        yield tmp_path / "home"
        job_monitor.current().close()


def only_job(home):
    with panel.journal(home) as journal:
        (job,) = journal.all()
        return job


def show(home, job):
    with panel.journal(home) as journal:
        journal.add(job)
    job_monitor.current().refresh()
    job_list.show(job_monitor.current().jobs)
    return job


def theirs(home, state=JobState.RUNNING, **changes):
    """A job of another key, as a worker with ours leaves it."""
    mark = account_binding.fingerprint(home, CSM_BASE_URL, Secret(KEY[::-1]))
    return show(home, panel.job(state, account=mark, trouble=HELD_BACK, **changes))


def said() -> str:
    return " ".join(texts(draw(bpy.types.CSM_PT_jobs)))


def buttons() -> set[str]:
    return set(operators(draw(bpy.types.CSM_PT_jobs)))


def counting(folder: Path, key: str = KEY) -> str:
    """Return a command that prints a key, and notes each of its runs."""
    code = f"open({str(folder / 'runs')!r}, 'a').write('x'); print({key!r})"
    return shlex.join([sys.executable, "-I", "-c", code])


# --- whose a job is


def test_a_job_is_its_keys_from_the_click_on(home):
    """The row that the click writes has the account of the key at hand, and not the key."""
    panel.preferences().api_key = KEY
    assert ops.csm_refine.refine() == {"FINISHED"}
    assert only_job(home).account == account_binding.fingerprint(home, CSM_BASE_URL, Secret(KEY))
    assert KEY.encode() not in (home / "journal.sqlite").read_bytes()


def test_a_local_job_is_nobodys(home):
    """What the local service refines belongs to no key, whichever there is."""
    panel.preferences().api_key = KEY
    panel.settings().service = "LOCAL"
    assert ops.csm_refine.refine() == {"FINISHED"}
    assert (only_job(home).service, only_job(home).account) == (LOCAL, "")


def test_another_accounts_job_is_shown_with_a_way_out(home):
    """The panel says that it waits for another key; it has not failed, and one button takes it over."""
    panel.preferences().api_key = KEY
    theirs(home)
    assert "This job belongs to another API key." in said()
    assert "take the job over" in said()
    assert "csm_refine.take_over" in buttons()


def test_take_over(home):
    """After the yes the job is the next key's that drives it; a job that waits for no key cannot be taken over."""
    panel.preferences().api_key = KEY
    job = theirs(home)
    assert ops.csm_refine.take_over("EXEC_DEFAULT", job=job.id) == {"FINISHED"}
    assert (only_job(home).trouble, only_job(home).state) == ("", JobState.RUNNING)
    assert only_job(home).account not in ("", job.account)
    assert "csm_refine.take_over" not in buttons()
    with pytest.raises(RuntimeError, match="cannot be done"):
        ops.csm_refine.take_over("EXEC_DEFAULT", job=job.id)


def test_a_job_of_another_service(home):
    """One without an account whose service is not the chosen one says so, and can be taken over as well."""
    panel.preferences().api_key = KEY
    show(home, panel.job(JobState.RUNNING, service="https://other.example", trouble=str(OtherService())))
    assert "its service is not the chosen one." in said()
    assert "csm_refine.take_over" in buttons()


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.READY, JobState.DOWNLOADING])
def test_stop_and_remove_need_no_key(home, state):
    """With another key, too, a job can be let go and forgotten."""
    panel.preferences().api_key = KEY
    job = theirs(home, state)
    assert ops.csm_refine.stop(job=job.id) == {"FINISHED"}
    assert only_job(home).state is JobState.STOPPED
    assert ops.csm_refine.remove("EXEC_DEFAULT", job=job.id) == {"FINISHED"}


def test_wait_does_not_drive_it(home):
    """A script that waits for another account's job gets the sentence; the job stays as it is."""
    panel.preferences().api_key = KEY
    job = theirs(home, poll_first_s=0.01)
    with pytest.raises(RuntimeError, match="belongs to another API key"):
        ops.csm_refine.wait(job=job.id)
    assert dataclasses.replace(only_job(home), revision=0) == dataclasses.replace(job, revision=0)


# --- a command


def test_blender_itself_runs_no_command(home, tmp_path):
    """Neither drawing nor pressing runs it: the worker is told, with the addresses that its key may go to."""
    panel.preferences().key_command = counting(tmp_path)
    for kind in (bpy.types.CSM_PT_refine, bpy.types.CSM_PT_jobs):
        draw(kind)
    assert ops.csm_refine.refine() == {"FINISHED"}
    keeper = job_monitor.current()
    keeper.refresh()
    told = json.loads(keeper._control_line())
    assert (told["keys"], told["key_command"]["services"]) == ({}, [CSM_BASE_URL])
    assert told["key_command"]["text"] == panel.preferences().key_command
    assert only_job(home).account == ""
    assert not (tmp_path / "runs").exists()


def test_the_worker_runs_it(home, tmp_path):
    """The job is driven with the key that the command prints, and is that key's from then on."""
    with Api() as api:
        panel.settings().service_url = api.url
        panel.preferences().key_command = counting(tmp_path)
        ops.csm_refine.refine()
        wait_until(lambda: job_monitor.tick() and api.refines)
        assert {seen.headers["x-api-key"] for seen in api.seen if seen.path != "/"} == {KEY}
        assert (tmp_path / "runs").read_text() == "x"
        assert only_job(home).account == account_binding.fingerprint(home, api.url, Secret(KEY))
        assert KEY not in repr(vars(job_monitor.current()))


def test_a_press_lets_a_failed_command_run_again(home, tmp_path):
    """What the worker is told changes with each press, as long as there is a command, and not without one."""
    lines = []
    for command in ("", counting(tmp_path)):
        panel.preferences().key_command = command
        panel.preferences().api_key = KEY
        for _ in range(2):
            job_monitor.current().press()
            lines.append(job_monitor.current()._control_line())
    assert lines[0] == lines[1]
    assert len(set(lines)) == 3


def test_the_order_of_the_sources(home, tmp_path, monkeypatch):
    """The environment wins over the command, and the command over the key that was typed in; the panel says which."""
    panel.preferences().api_key = KEY
    panel.preferences().key_command = counting(tmp_path)
    assert preferences.key_source() is preferences.KeySource.COMMAND
    assert "Command" in texts(draw(bpy.types.CSM_PT_refine))
    assert preferences.api_key() is None
    monkeypatch.setenv("CSM_API_KEY", KEY)
    assert preferences.key_source() is preferences.KeySource.ENVIRONMENT
    assert preferences.key_command() == ""


def test_a_command_that_cannot_be_one_is_said(home):
    """A quotation mark that is not closed is found before anything runs, in the panel and at the button."""
    panel.preferences().key_command = "pass 'csm"
    assert "quotation mark" in " ".join(texts(draw(bpy.types.CSM_PT_refine)))
    with pytest.raises(RuntimeError, match="quotation mark"):
        ops.csm_refine.refine()


def test_a_command_is_in_no_file(home, tmp_path):
    """A .blend that is passed on neither tells the command nor brings one along."""
    panel.preferences().key_command = counting(tmp_path)
    path = tmp_path / "scene.blend"
    ops.wm.save_as_mainfile(filepath=str(path), compress=False)
    assert str(tmp_path / "runs").encode() not in path.read_bytes()
