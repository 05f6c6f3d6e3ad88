"""A session is paid for once: panel, scripts and the command line share one job; the server counts the POSTs."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import bpy
import numpy as np
import pytest

from csm_refine_addon import cli
from csm_refine_addon.blender.jobs import job_monitor, submit
from csm_refine_addon.core import errors
from csm_refine_addon.core.jobs import state_machine
from csm_refine_addon.core.models import CSM_BASE_URL, JobState as S
from tests.core.terminal import Terminal, ended
from tests.support import panel, sample_meshes, scenes
from tests.support.api_server import CODE, KEY, Answer, Api, session_2024, wait_until

ops = bpy.ops
STANDS = session_2024("preview_done")
SENT = {"sent_at": 1.0}
TAKEN = {**SENT, "accepted_at": 1.0}
TIMED_OUT = {**TAKEN, "error": state_machine.job_error(errors.FollowTimeout("It took too long.", "Retry."))}


@pytest.fixture
def api():
    with Api() as served:
        served.after = [STANDS]
        yield served


@pytest.fixture
def terminal(tmp_path, api):
    opened = Terminal(tmp_path, api)
    yield opened
    opened.close()


@pytest.fixture
def home(terminal, monkeypatch, api) -> Path:
    """The folder of the jobs, which this Blender's panel and the command line share."""
    folder = terminal.home.folder
    with panel.enabled(folder, monkeypatch):
        monkeypatch.setenv("CSM_API_KEY", KEY)
        panel.preferences().service = "URL"
        panel.preferences().service_url = f"{api.url}/"
        scenes.select(scenes.mesh_object())
        yield folder
        job_monitor.current().close()


def jobs(home):
    with panel.journal(home) as journal:
        return journal.all()


def write_down(home, *made):
    with panel.journal(home) as journal:
        return [journal.add(job, again=True) for job in made]


def turn_until(condition):
    """Take the timer's turns, which keep the worker up, until something holds."""
    return wait_until(lambda: (job_monitor.tick(), condition())[1], 30)


def test_panel_and_command_line_at_once(home, terminal, api):
    """The panel's worker and two commands at the same moment: one job, one POST, and the commands follow it."""
    commands = [terminal.start("submit", CODE, "--json") for _ in range(2)]
    with contextlib.suppress(RuntimeError):  # where a command was first
        ops.csm_refine.refine(session_code=CODE)
    turn_until(lambda: all(process.poll() is not None for process in commands))
    found = [ended(process) for process in commands]
    (job,) = jobs(home)
    assert [(done.code, done.document["job"]) for done in found] == [(0, job.id)] * 2
    assert (len(api.refines), job.state) == (1, S.RUNNING)


def test_the_panel_first(home, terminal, api):
    """What the panel's worker has sent, a command follows; the session shows nothing of it yet."""
    ops.csm_refine.refine(session_code=CODE)
    turn_until(lambda: api.refines)
    done = terminal.run("submit", CODE, "--json")
    (job,) = jobs(home)
    assert (done.code, done.document["job"], job.id in done.document["warnings"][0]) == (0, job.id, True)
    assert len(api.refines) == 1


def test_the_command_line_first(home, terminal, api):
    """What a command has sent, the panel refuses to send again; the button says so, too."""
    assert terminal.run("submit", CODE).code == 0
    with pytest.raises(RuntimeError, match="being refined already"):
        ops.csm_refine.refine(session_code=CODE)
    panel.settings().session_code = CODE
    with panel.on_button():
        assert not ops.csm_refine.refine.poll()
    assert (len(api.refines), len(jobs(home))) == (1, 1)


def test_after_an_unclear_outcome(home, terminal, api):
    """After exit code 9 the panel sends nothing either; removing the job says that another one is wanted."""
    api.posts = [Answer(resets=True, takes=False)]
    assert terminal.run("submit", CODE, "--timeout", "1").code == 9
    with pytest.raises(RuntimeError, match="may have been sent already"):
        ops.csm_refine.refine(session_code=CODE)
    assert len(api.refines) == 1
    ops.csm_refine.remove(job=jobs(home)[0].id)
    ops.csm_refine.refine(session_code=CODE)
    assert [job.state for job in jobs(home)] == [S.PREPARED]


@pytest.mark.parametrize(
    ("state", "changes", "sentence"),
    [
        (S.STOPPED, TAKEN, "was sent already"),
        (S.STOPPED, SENT, "may have been sent already"),
        (S.FAILED, TIMED_OUT, "was sent already"),
        (S.PREPARED, {}, "being refined already"),
    ],
)
def test_the_operator_says_why(home, api, state, changes, sentence):
    """A script's call raises with the sentence and the cure, and no job comes to be."""
    nothing = {"sent_at": None, "accepted_at": None, "error": None}
    write_down(home, panel.job(state, service=api.url, **{**nothing, **changes}))
    with pytest.raises(RuntimeError, match=sentence):
        ops.csm_refine.refine(session_code=CODE)
    assert len(jobs(home)) == 1


@pytest.mark.parametrize("state", [S.READY, S.PLACED, S.FAILED])
def test_what_is_over_does_not_bar(home, api, state):
    """A session with a result, or with a refine that failed, may be refined again."""
    write_down(home, panel.job(state, service=api.url))
    assert ops.csm_refine.refine(session_code=CODE) == {"FINISHED"}
    assert len(jobs(home)) == 2


def test_a_click_on_what_another_process_has_just_sent(home, api):
    """What the panel has not read yet is refused in the transaction that would add its job."""
    keeper = job_monitor.current()
    order = submit.refine_order(bpy.context, keeper.jobs.values(), submit.Overrides(CODE))
    (other,) = write_down(home, panel.job(S.RUNNING, service=api.url))
    with pytest.raises(errors.AlreadySubmitted) as caught:
        keeper.add(order.job(keeper.window))
    assert (caught.value.job, [job.id for job in jobs(home)]) == (other, [other.id])


def test_retry_beside_another_job(home):
    """Retry of a job that was never sent is refused while another job of the session is under way."""
    stopped, _running = write_down(
        home, panel.job(S.STOPPED, sent_at=None, accepted_at=None), panel.job(S.RUNNING, service=f"{CSM_BASE_URL}/")
    )
    with pytest.raises(RuntimeError, match="being refined already"):
        ops.csm_refine.retry(job=stopped.id)
    assert [job.state for job in jobs(home) if job.id == stopped.id] == [S.STOPPED]


def test_send_again_is_on_purpose(home):
    """Send Again asks first, and then sends whatever other jobs there are."""
    unclear, _running = write_down(home, panel.job(S.UNCERTAIN), panel.job(S.RUNNING))
    ops.csm_refine.send_again(job=unclear.id)
    assert [job.state for job in jobs(home) if job.id == unclear.id] == [S.PREPARED]


def test_refine_follows_and_places(home, terminal, api, tmp_path, monkeypatch, capfd):
    """A refine of a session that has a job sends nothing, and still places the result and writes its own output."""
    scene, output = tmp_path / "scene.blend", tmp_path / "out.blend"
    scenes.empty_scene()
    scenes.select(scenes.mesh_object("Source"))
    bpy.ops.wm.save_as_mainfile(filepath=str(scene))
    monkeypatch.setenv("CSM_SERVICE", api.url)
    options = ["--blend", str(scene), "--object", "Source", "--json"]
    assert cli.main(["submit", CODE, *options]) == 0
    api.storage.put("mesh.glb", sample_meshes.glb())
    api.after = [session_2024("refine_done", "mesh.glb", keys=("mesh_url_glb",))]
    capfd.readouterr()
    code = cli.main(["refine", CODE, *options, "--output", str(output)])
    said = capfd.readouterr()
    document = json.loads(said.out.splitlines()[-1])
    (job,) = jobs(home)
    assert (code, document["job"], document["state"], len(api.refines)) == (0, job.id, "PLACED", 1), said.err
    assert job.id in document["warnings"][0]
    bpy.ops.wm.open_mainfile(filepath=str(output))
    placed = scenes.world_vertices(bpy.data.objects[document["object"]])
    source = scenes.world_vertices(bpy.data.objects["Source"])
    assert np.abs(placed.max(axis=0) - source.max(axis=0)).max() < 1e-5
    assert np.abs(placed.min(axis=0) - source.min(axis=0)).max() < 1e-5


def test_refine_again(home, terminal, api, monkeypatch, capfd):
    """refine CODE --again sends exactly one more."""
    monkeypatch.setenv("CSM_SERVICE", api.url)
    scenes.empty_scene()
    assert cli.main(["submit", CODE]) == 0
    cli.main(["refine", CODE, "--again", "--timeout", "1", "--json"])
    document = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert (len(api.refines), len(jobs(home)), document["warnings"]) == (2, 2, [])
