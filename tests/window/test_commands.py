"""The command line in a Blender program that has no window: from a clone, and of the installed extension."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

import environment
from tests.support import api_server, sample_meshes
from tests.support.planted import Planted
from tests.support.repository import ROOT, files
from window import room

FROM_CLONE = ["--background", "--python-exit-code", "9", "--python", f"{room.PROJECT}/scripts/refine.py", "--"]
INSTALLED = ["--command", "csm_refine"]
WAYS = {"a clone": FROM_CLONE, "installed": INSTALLED, "installed, -b": ["--background", *INSTALLED]}
MESH = f"{room.JOB}/mesh.glb"


@pytest.fixture
def blender(suite, archive, tmp_path):
    """Runs Blender with these arguments in the room, where the extension is installed."""
    (tmp_path / "mesh.glb").write_bytes(sample_meshes.glb())
    shutil.copy(archive, tmp_path)

    def run(*arguments, project=environment.ROOT, here=room.JOB, **variables):
        paths = {"PATH": f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ['PATH']}", "HOME": "/root", "LANG": "C.UTF-8"}
        folders = {"CSM_REFINE_HOME": f"{room.JOB}/home", "BLENDER_USER_RESOURCES": f"{room.JOB}/user"}
        command = room.command_inside(
            room.ready(suite), project, tmp_path, ["env", "-C", here, "blender", *map(str, arguments)]
        )
        environ = {**paths, **folders, **variables}
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)

    install = ["--command", "extension", "install-file", "--repo", "user_default", "--enable"]
    assert run(*install, f"{room.JOB}/{archive.name}").returncode == 0
    return run


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["jobs"], 0, None),
        (["wait", "cafe"], 2, "bad_input"),
        (["status", api_server.CODE], 3, "key_missing"),
        (["create", MESH, "--service", "local"], 0, None),
    ],
    ids=["jobs", "an unknown job", "no key", "create"],
)
def test_json_is_the_last_line(blender, way, arguments, code, error):
    """Whatever Blender prints itself, stdout's last line is the JSON object, and the exit code is the command's."""
    done = blender(*WAYS[way], *arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert (document.get("error") or {}).get("code") == error


@pytest.mark.parametrize("way", ["a clone", "installed"])
def test_no_planted_module_runs(blender, tmp_path, way):
    """Modules in the current folder, beside the .blend and the mesh stay alone, in the background Blenders, too."""
    planted, here = Planted(tmp_path / "marks", f"{room.JOB}/marks"), f"{room.JOB}/here"
    planted.put(tmp_path / "here")
    shutil.copy(tmp_path / "mesh.glb", tmp_path / "here")
    make = "import bpy; bpy.ops.wm.save_as_mainfile(filepath='scene.blend')"
    assert blender("--background", "--factory-startup", "--python-expr", make, here=here).returncode == 0

    def run(*arguments) -> dict:
        opened = ["--background", f"{here}/scene.blend", *FROM_CLONE[1:]] if way == "a clone" else INSTALLED
        done = blender("--online-mode", *opened, *arguments, "--json", here=here)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    local, source = ["--service", "local"], ["--blend", f"{here}/scene.blend", "--object", "Cube"]
    assert run("create", *source, *local)["session"]
    code = run("create", f"{here}/mesh.glb", *local)["session"]
    refined = run("refine", code, *source, *local, "--topology", "tris", "--output", f"{here}/out.blend")
    assert (refined["state"], (tmp_path / "here" / "out.blend").is_file()) == ("PLACED", True)
    assert run("status", code, *local)["remote_status"] == "refine_done"
    assert run("wait", refined["job"])["state"] == "PLACED"
    assert planted.ran() == []


def test_a_clone_without_wheels(blender, tmp_path):
    """Offline, where the local service's libraries cannot be fetched, an error names what to run."""
    clone = tmp_path / "clone"
    for name in files():
        if name.parts[0] in ("csm_refine_addon", "scripts"):
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, clone / name)
    empty = {"BLENDER_USER_RESOURCES": f"{room.JOB}/empty"}  # an installed extension's wheels would be found
    done = blender(*FROM_CLONE, "create", MESH, "--service", "local", "--json", project=clone, **empty)
    document = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, "scripts/wheels.py" in document["error"]["action"]) == (7, True)
    assert document["seconds"] < 2


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interrupted(blender, api, number):
    """Blender's own handlers stand before Python starts; a refine ends at once all the same, with 130, and is kept."""
    script = f"{room.PROJECT}/tests/window/interrupted_command.py"
    start = ["--background", "--factory-startup", "--python-exit-code", "9", "--python", script, "--"]
    command = [*start, "refine", api_server.CODE, "--bbox", "auto", "--pivot", "auto", "--json"]
    done = blender(*command, SIGNAL=number, CSM_API_KEY=api_server.KEY, CSM_SERVICE=api.url)
    assert done.returncode == 130, done.stdout + done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["error"]["code"] == "interrupted"
    assert len(api.refines) == 1
