"""Files named like modules, in the current folder, beside the .blend and beside the mesh: none of them is ever run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import bpy
import pytest

from csm_refine_addon.blender import preferences
from csm_refine_addon.blender.jobs import job_monitor
from csm_refine_addon.core.models import JobState
from tests.support import panel, sample_meshes, scenes
from tests.support.planted import NAMES, PACKAGE, Planted
from tests.support.repository import ROOT

SCRIPT = (sys.executable, str(ROOT / "scripts" / "refine.py"))
MODULE = (sys.executable, "-m", f"{PACKAGE}.cli")
SAFE_MODULE = (sys.executable, "-P", "-m", f"{PACKAGE}.cli")
NOT_OURS = tuple(name for name in NAMES if name != PACKAGE)
"""Python itself takes our package from the current folder, before a line of ours is run, unless it has ``-P``."""
WAYS = {
    "script": (SCRIPT, "", NAMES, "tris"),
    "script, current folder in PYTHONPATH": (SCRIPT, os.pathsep, NAMES, "keep"),
    "module": (MODULE, str(ROOT), NOT_OURS, "keep"),
    "module with -P": (SAFE_MODULE, str(ROOT), NAMES, "quads"),
}
SMALL = ("--faces", "500", "--texture-size", "128")
LIMIT_S = 280.0


@pytest.fixture
def planted(tmp_path):
    return Planted(tmp_path / "marks")


def save_scene(folder: Path) -> Path:
    """Save a .blend with nothing but the object Source."""
    for other in list(bpy.data.objects):
        bpy.data.objects.remove(other)
    scenes.select(scenes.mesh_object("Source"))
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    return folder / "scene.blend"


class Shell:
    """Runs commands in a folder, with a home of their own and nothing of this process's Python settings."""

    def __init__(self, command: tuple[str, ...], python_path: str, here: Path) -> None:
        self._command, self._here = command, here
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._home = here.parent / "home"
        own = {"CSM_REFINE_HOME": str(self._home), "BLENDER_USER_RESOURCES": str(here.parent / "user")}
        self._environment = {**kept, **own, **({"PYTHONPATH": python_path} if python_path else {})}

    def run(self, *arguments: object) -> dict:
        command = [*self._command, *map(str, arguments), "--json"]
        options = {"cwd": self._here, "env": self._environment, "capture_output": True, "text": True}
        done = subprocess.run(command, timeout=LIMIT_S, check=False, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def serve(self, *command: str) -> None:
        """Start a service, and stop it once it listens."""
        place = ["--port", "0", "--data", str(self._here.parent / "data")]
        with subprocess.Popen(
            [*command, *place], cwd=self._here, env=self._environment, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
            process.terminate()
        assert process.returncode == 0

    def close(self) -> None:
        endpoint = self._home / "service" / "endpoint.json"
        if endpoint.exists():
            os.kill(json.loads(endpoint.read_text())["pid"], signal.SIGTERM)


@pytest.mark.parametrize("way", WAYS)
def test_by_command(planted, tmp_path, way):
    """A session out of a file and out of an object, a refine, and each look at it, on each way into the program."""
    command, python_path, names, topology = WAYS[way]
    here, beside_blend, beside_mesh = (planted.put(tmp_path / name, names) for name in ("here", "blend", "mesh"))
    scene, mesh = save_scene(beside_blend), beside_mesh / "mesh.glb"
    mesh.write_bytes(sample_meshes.glb())
    shell = Shell(command, python_path, here)
    local, source = ("--service", "local"), ("--blend", scene, "--object", "Source")
    try:
        assert shell.run("create", *source, *local)["session"]
        code = shell.run("create", mesh, *local)["session"]
        output = beside_blend / "out.blend"
        of = ("--topology", topology, *(SMALL if topology != "keep" else ()), "--output", output)
        refined = shell.run("refine", code, *source, *local, *of)
        assert (refined["state"], output.is_file()) == ("PLACED", True)
        assert shell.run("status", code, *local)["remote_status"] == "refine_done"
        assert shell.run("wait", refined["job"])["state"] == "PLACED"
        assert [job["job"] for job in shell.run("jobs")["jobs"]] == [refined["job"]]
    finally:
        shell.close()
    assert planted.ran() == []


@pytest.mark.parametrize("way", ["script", "module", "module with -P", "serve.py"])
def test_serve(planted, tmp_path, way):
    """The local service, however it is started."""
    command, python_path, names, _ = WAYS.get(way, ((), "", NAMES, ""))
    shell = Shell(command, python_path, planted.put(tmp_path / "here", names))
    serve = (sys.executable, str(ROOT / "scripts" / "serve.py"))
    shell.serve(*(serve if way == "serve.py" else (*command, "serve")))
    assert planted.ran() == []


def until(condition) -> None:
    ends_at = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < ends_at, "it did not come about in time"
        job_monitor.tick()
        time.sleep(0.02)


def test_in_the_window(planted, tmp_path, monkeypatch):
    """Blender as a .blend was opened with it: its folder is the current one. The worker drives a job, and checks."""
    here = planted.put(tmp_path / "here")
    monkeypatch.chdir(here)
    with panel.enabled(tmp_path / "home", monkeypatch):
        save_scene(here)
        preferences.choose_service("LOCAL")
        local = panel.settings().local
        local.topology, local.detail, local.faces, local.texture_size = "TRIS", "TYPED", 500, 128
        assert bpy.ops.csm_refine.create_session() == {"FINISHED"}
        job_monitor.current().refresh()
        (job_id,) = job_monitor.current().jobs
        until(lambda: job_monitor.current().jobs[job_id].state in (JobState.PLACED, JobState.FAILED))
        job = job_monitor.current().jobs[job_id]
        assert (job.state, job.error) == (JobState.PLACED, None)
        assert bpy.ops.csm_refine.check_service() == {"FINISHED"}
        until(lambda: job_monitor.current().check_answer)
        assert job_monitor.current().check_answer.is_good
    assert planted.ran() == []
