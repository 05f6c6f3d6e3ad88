"""Names that look like options or shell commands are names: of objects, collections, materials, files, sessions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import bpy
import pytest

from csm_refine_addon import cli
from csm_refine_addon.blender import preferences
from csm_refine_addon.blender.jobs import job_monitor
from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.jobs.job_factory import new_job
from csm_refine_addon.core.models import JobState, RefineRequest
from csm_refine_addon.core.processes.blender_tasks import BackgroundTasks
from tests.support import panel, placed_mesh, sample_meshes, scenes
from tests.support.repository import ROOT

VICTIM = "victim"
NAMES = {
    "an option": f"--report={VICTIM}",
    "a short option": "-c",
    "several options": "--objects",
    "a file of arguments": f"@{VICTIM}",
    "a shell command": f"$(echo x>{VICTIM})`echo x>{VICTIM}`;echo x>{VICTIM}",
    "lines": f"two\nlines\n--blend={VICTIM}",
    "10,000 letters": "x" * 10_000,
}
CONTENT = "what the user wrote"
LONGEST_FILE_NAME = 255


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a file that the names speak of; in the end it is as it was, and nothing is beside it."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / VICTIM).write_text(CONTENT)
    monkeypatch.chdir(folder)
    yield folder
    assert (folder / VICTIM).read_text() == CONTENT
    assert [path.name for path in folder.iterdir()] == [VICTIM]


def file_name(name: str, suffix: str, *, room: int = 0) -> str:
    """The longest name of a file that begins like this name; Blender has ``room`` for one letter more as it saves."""
    return name[: LONGEST_FILE_NAME - room - len(suffix)] + suffix


def add_objects() -> list[bpy.types.Object]:
    """An object of each name, with its mesh, its material and its collection of that name."""
    found = []
    for number, name in enumerate(NAMES.values()):
        obj = scenes.mesh_object("Wedge")
        collection = bpy.data.collections.new("Collection")
        bpy.context.scene.collection.children.link(collection)
        collection.objects.link(obj)
        bpy.context.scene.collection.objects.unlink(obj)
        material = bpy.data.materials.new("Material")
        obj.data.materials.append(material)
        obj.location.x = 2.0 * number
        for data in (obj, obj.data, collection, material):
            data.name = name
        assert obj.name == name[: len(obj.name)]
        found.append(obj)
    return found


def test_in_the_panel(here, tmp_path, monkeypatch):
    """New Session from Selection with all of them, from a file with such a name, in a home with such a name."""
    home = tmp_path / file_name("\n".join(NAMES.values()), "")
    with panel.enabled(home, monkeypatch):
        for other in list(bpy.data.objects):
            bpy.data.objects.remove(other)
        objects = add_objects()
        (tmp_path / "scene").mkdir()
        scene = tmp_path / "scene" / file_name(NAMES["an option"], ".blend")
        bpy.ops.wm.save_as_mainfile(filepath=str(scene))
        before = sum(placed_mesh.read(obj).sides[4] for obj in objects)
        scenes.select(*objects)
        preferences.choose_service("LOCAL")
        assert bpy.ops.csm_refine.create_session() == {"FINISHED"}
        job_monitor.current().refresh()
        (job,) = job_monitor.current().jobs.values()
        assert bpy.ops.csm_refine.wait(job=job.id) == {"FINISHED"}
        job = job_monitor.current().jobs[job.id]
        assert (job.state, job.error) == (JobState.PLACED, None)
        assert job.fit_error < 1e-5
        assert placed_mesh.read(bpy.data.objects[job.placed_object]).sides[4] == before


@pytest.mark.parametrize("kind", NAMES)
def test_by_command(here, tmp_path, monkeypatch, capfd, kind):
    """create of the object and of a file, refine, and its output, each with such a name."""
    monkeypatch.setenv("CSM_REFINE_HOME", str(tmp_path / "home"))
    scenes.empty_scene()
    names = {key: obj.name for key, obj in zip(NAMES, add_objects(), strict=True)}
    folder = tmp_path / "files"
    folder.mkdir()
    mesh, output = (folder / file_name(NAMES[kind], suffix) for suffix in (".glb", ".out.glb"))
    scene = folder / file_name(NAMES[kind], ".blend", room=1)
    bpy.ops.wm.save_as_mainfile(filepath=str(scene))
    mesh.write_bytes(sample_meshes.glb())

    def run(*arguments: str) -> dict:
        code = cli.main([*arguments, "--json", "--service=local"])
        said = capfd.readouterr()
        assert code == 0, said.out + said.err
        return json.loads(said.out.splitlines()[-1])

    source = (f"--blend={scene}", f"--object={names[kind]}")
    assert run("create", *source)["session"]
    code = run("create", str(mesh))["session"]
    found = run("refine", code, *source, f"--output={output}")
    assert (found["state"], found["fit_error"] < 1e-5) == ("PLACED", True)
    assert output.stat().st_size
    assert sorted(folder.iterdir()) == sorted([scene, mesh, output])


@pytest.mark.parametrize("kind", NAMES)
def test_a_session(here, tmp_path, kind):
    """A session that is called so, whatever service or journal it comes from, gives its name to what is prepared."""
    mesh = tmp_path / "mesh.glb"
    mesh.write_bytes(sample_meshes.glb())
    workshop = BackgroundTasks(DataDir(tmp_path / "home").ensure(), bpy.app.binary_path, threading.Event().wait)
    blend, report = workshop.prepare(new_job(RefineRequest(NAMES[kind]), "local", now=1.0), mesh)
    assert report.triangles > 0
    with bpy.data.libraries.load(str(blend)) as (found, _wanted):
        (name,) = found.objects
    assert name == NAMES[kind][: len(name)]


@pytest.mark.parametrize("kind", NAMES)
def test_what_is_no_session(here, tmp_path, kind):
    """A word that holds no code is refused with a sentence, by the program as by its parser."""
    environment = {**os.environ, "CSM_REFINE_HOME": str(tmp_path / "home")}
    command = [sys.executable, str(ROOT / "scripts" / "refine.py"), "submit", "--json", "--service=local", "--"]
    done = subprocess.run(
        [*command, NAMES[kind]], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert json.loads(done.stdout.splitlines()[-1])["error"]["message"]
