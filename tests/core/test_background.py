"""Background processes: without the key, ended with whoever asked for them, never waited for without end."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.errors import MeshUnusable, PrepareFailed
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import RefineRequest
from csm_refine_addon.core.processes import background
from csm_refine_addon.core.processes.background import BackgroundBlender, Cancelled, find_background_blender
from csm_refine_addon.core.processes.blender_tasks import BackgroundTasks
from tests.core.harness import NOON, copying_blender
from tests.support.api_server import KEY, TRIANGLE_OBJ, wait_until


def program(folder: Path, body: str) -> BackgroundBlender:
    """A program that is started like Blender."""
    file = folder / "a blender"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return BackgroundBlender(str(file), is_blender=True)


def run(blender, folder, pause=None, limit_s=20.0):
    pause = pause or threading.Event().wait
    return blender.run("some.module", {"mesh": "x"}, log=folder / "log", pause=pause, limit_s=limit_s)


def test_exit_code_and_log(tmp_path):
    """What it says is kept, both streams, and its exit code comes back."""
    assert run(program(tmp_path, "echo out; echo err >&2; exit 3"), tmp_path) == 3
    assert (tmp_path / "log").read_text() == "out\nerr\n"


def test_it_is_a_blender_of_its_own(tmp_path):
    """Factory settings, offline, no window, no scripts; behind the dashes stands the file that holds the request."""
    run(program(tmp_path, 'for part; do echo "$part"; done; for part; do :; done; cat "$part"'), tmp_path)
    said = (tmp_path / "log").read_text().splitlines()
    assert said[:4] == ["--background", "--factory-startup", "--offline-mode", "--disable-autoexec"]
    assert said[-3:] == ["--", str(tmp_path / "scratch" / "request.json"), '{"mesh": "x"}']


def test_it_gets_no_key(tmp_path, monkeypatch):
    """A program that works on foreign meshes does not see the key."""
    monkeypatch.setenv("CSM_API_KEY", KEY)
    run(program(tmp_path, "env"), tmp_path)
    said = (tmp_path / "log").read_text()
    assert "PATH=" in said
    assert KEY not in said


@pytest.mark.parametrize("why", ["stopped", "too slow", "interrupted"])
def test_it_does_not_outlive_the_call(tmp_path, why):
    """Stopped, too slow, or Ctrl-C: it is gone when the call comes back."""
    pid_file = tmp_path / "pid"
    slow = program(tmp_path, f"echo $$ > '{pid_file}'; exec sleep 600")
    started = lambda: pid_file.exists() and pid_file.read_text().strip()  # noqa: E731

    def pause(seconds):
        wait_until(started)
        if why == "interrupted":
            raise KeyboardInterrupt
        return why == "stopped"

    expected = {"stopped": Cancelled, "too slow": PrepareFailed, "interrupted": KeyboardInterrupt}[why]
    with pytest.raises(expected):
        run(slow, tmp_path, pause, limit_s=0.0 if why == "too slow" else 20.0)
    assert not pid_file.exists() or not Path(f"/proc/{pid_file.read_text().strip()}").exists()


def test_a_program_that_cannot_be_started(tmp_path):
    """The sentence names the program, and the variable that helps."""
    with pytest.raises(PrepareFailed, match="cannot be started") as caught:
        run(BackgroundBlender(str(tmp_path / "none"), is_blender=True), tmp_path)
    assert background.BLENDER_VARIABLE in caught.value.action


def test_which_blender(monkeypatch, tmp_path):
    """The Blender that asks comes first, then the variable; a Python is started as one."""
    monkeypatch.setenv(background.BLENDER_VARIABLE, "/x/python3.11")
    assert find_background_blender("/y/blender") == BackgroundBlender("/y/blender", is_blender=True)
    assert find_background_blender() == BackgroundBlender("/x/python3.11", is_blender=False)
    assert find_background_blender().command("m", Path("a"))[:3] == ["/x/python3.11", "-P", "-c"]


# --- the workshop


@pytest.fixture
def workshop(tmp_path):
    home = DataDir(tmp_path / "home").ensure()
    return BackgroundTasks(home, str(copying_blender(tmp_path)), threading.Event().wait)


def prepared(workshop, tmp_path):
    mesh = tmp_path / "mesh.obj"
    mesh.write_bytes(TRIANGLE_OBJ)
    return workshop.prepare(new_job(RefineRequest("SESSION_1_2"), "local", now=NOON, job_id="cafe"), mesh)


def test_a_mesh_is_prepared(workshop, tmp_path):
    """The .blend lies in the job's folder, and the report says what is in it."""
    blend, report = prepared(workshop, tmp_path)
    assert blend == workshop.home.job_folder("cafe") / "result.blend"
    assert blend.read_bytes() == TRIANGLE_OBJ
    assert (report.triangles, report.box.size) == (1, (1, 1, 1))


OUTCOMES = {
    "a crash": ("raise SystemExit(139)", PrepareFailed, "ended without a result"),
    "a file that is too large": (
        "import os, signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); os.kill(os.getpid(), signal.SIGXFSZ)",
        PrepareFailed,
        "to one file",
    ),
    "a broken report": ("open(request['report'], 'w').write('{')", PrepareFailed, "ended without a result"),
    "a report of something else": ("open(request['report'], 'w').write('[1]')", PrepareFailed, "without a result"),
    "a report of wrong types": (
        "open(request['report'], 'w').write('{\"box\": 7}')",
        PrepareFailed,
        "without a result",
    ),
    "an error of wrong types": (
        "open(request['report'], 'w').write('{\"error\": 7}')",
        PrepareFailed,
        "without a result",
    ),
    "a report of odd numbers": (
        (
            "json.dump(dict(triangles='many', vertices=3, materials=0, textures=[], size_bytes=1, "
            "box=dict(centre=[0, 0, 0], size=[1, 1, 1])), open(request['report'], 'w'))"
        ),
        PrepareFailed,
        "without a result",
    ),
    "a bad mesh": ("error(code='mesh_unusable', message='It is empty.')", MeshUnusable, "It is empty"),
    "its own failure": ("error(code='prepare_failed', message='No memory.')", PrepareFailed, "No memory"),
}


@pytest.mark.parametrize(("last_line", "kind", "sentence"), OUTCOMES.values(), ids=OUTCOMES)
def test_how_preparing_fails(workshop, tmp_path, last_line, kind, sentence):
    """A crash is told from a mesh that is at fault, and an old report is not taken for the new one."""
    prepared(workshop, tmp_path)
    (tmp_path / "blender").write_text(
        f"#!{sys.executable}\nimport json, sys\nrequest = json.load(open(sys.argv[-1]))\n"
        "def error(**said): open(request['report'], 'w').write(json.dumps({'error': said}))\n" + last_line
    )
    with pytest.raises(kind, match=sentence) as caught:
        prepared(workshop, tmp_path)
    assert type(caught.value) is kind
