"""Whole jobs on the local service, in this Blender: what stands in the scene at their end."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix

from csm_refine_addon import cli
from csm_refine_addon.blender import preferences
from csm_refine_addon.blender.jobs import job_monitor
from csm_refine_addon.core import mesh_counts
from csm_refine_addon.core.models import Job, JobState
from csm_refine_addon.remesh import tuning
from tests.support import panel, placed_mesh, scenes, sides_of_faces, whole_shapes
from tests.support.counted import counted

ROOT = Path(__file__).resolve().parents[2]
LONGEST_S = 1200
"""Each method of quads has minutes for the bicycle."""
FACES, MORE_FACES, TEXTURE = 500, 6000, 128
TOPOLOGIES = ("keep", "tris", "quads")
SHORT = (("cube", "keep"), ("ball", "keep"), ("torus", "keep"), ("ball", "tris"), ("torus", "quads"))


@contextlib.contextmanager
def local_service(home: Path, blender: str = sys.executable) -> Iterator[None]:
    """Run the local service of a home folder with this Blender; whoever works with that home finds it."""
    command = [sys.executable, "-m", "csm_refine_addon.service", "--port", "0", "--data", str(home / "service")]
    process = subprocess.Popen([*command, "--blender", blender], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline().startswith(b"listening")
        yield
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@contextlib.contextmanager
def window(home: Path, monkeypatch) -> Iterator[None]:
    """The add-on, enabled, with the local service chosen and short pauses between looks."""
    with panel.enabled(home, monkeypatch):
        for obj in list(bpy.data.objects):
            bpy.data.objects.remove(obj)
        preferences.choose_service("LOCAL")
        panel.preferences().poll_first_s = 1.0
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a home, whose local service runs."""
    folder = tmp_path_factory.mktemp("whole")
    with local_service(folder / "home"):
        yield folder


@pytest.fixture
def at_work(folder, monkeypatch):
    with window(folder / "home", monkeypatch):
        yield folder


def pytest_generate_tests(metafunc):
    """``--length long`` takes every shape with every topology, and the larger shapes, too."""
    if "topology" in metafunc.fixturenames and "shape" in metafunc.fixturenames:
        is_long = metafunc.config.getoption("--length") == "long"
        every = list(itertools.product([*whole_shapes.SMALL, *whole_shapes.LARGE], TOPOLOGIES))
        metafunc.parametrize(("shape", "topology"), every if is_long else SHORT)


def made(shape: str, folder) -> bpy.types.Object:
    obj = {**whole_shapes.SMALL, **whole_shapes.LARGE}[shape](folder)
    scenes.select(obj)
    return obj


def refined(topology: str, faces: int = FACES) -> tuple[bpy.types.Object, Job]:
    """Press New Session from Selection, wait, and return what stands in the scene, and the job."""
    local = panel.settings().local
    local.topology, local.detail, local.faces = topology.upper(), "TYPED", faces
    if topology != "keep":
        local.texture_size = TEXTURE
    job_monitor.current().refresh()
    before = set(job_monitor.current().jobs)
    assert bpy.ops.csm_refine.create_session() == {"FINISHED"}
    job_monitor.current().refresh()
    (job_id,) = set(job_monitor.current().jobs) - before
    assert bpy.ops.csm_refine.wait(job=job_id) == {"FINISHED"}
    job = job_monitor.current().jobs[job_id]
    assert job.state is JobState.PLACED
    return bpy.data.objects[job.placed_object], job


def source_kinds(home: Path, job: Job) -> list[str]:
    """As what the session's source was handed over."""
    folder = home / "service" / "sessions" / job.request.session_code / "original"
    return [path.suffix for path in folder.glob("mesh.*")]


def values(attributes, name: str, length: int) -> np.ndarray:
    found = np.empty((len(attributes), length), np.float32)
    attributes.foreach_get(name, found.ravel())
    return found


def corner_values(obj: bpy.types.Object) -> dict[str, np.ndarray]:
    """All that an artist sees at the corners of the faces."""
    mesh = obj.data
    return {
        "normals": values(mesh.corner_normals, "vector", 3),
        **{layer.name: values(layer.uv, "vector", 2) for layer in mesh.uv_layers},
        **{each.name: values(each.data, "color", 4) for each in mesh.color_attributes},
    }


def assert_measured_as_reported(placed: bpy.types.Object, job: Job) -> None:
    """What was measured is what bmesh finds, and what the service reports: less in the scene is an error here."""
    assert job.placed_counts == job.reported_counts == counted(placed.data)
    assert mesh_counts.warnings(job) == ()


@pytest.mark.timeout(LONGEST_S)
def test_what_stands_in_the_scene(at_work, shape, topology):
    """The mesh has the faces that the refining made, on one closed surface, in its box, with layout and texture."""
    source = made(shape, at_work)
    before = placed_mesh.read(source)
    placed, job = refined(topology, FACES if shape in whole_shapes.SMALL else MORE_FACES)
    found = placed_mesh.read(placed)
    assert found.sides == sides_of_faces.of_file(Path(job.mesh_path).with_name("mesh.obj"))
    assert (Path(job.mesh_path).suffix, source_kinds(at_work / "home", job)) == (".blend", [".blend"])
    assert job.fit_error < 1e-5
    assert_measured_as_reported(placed, job)
    assert found.uv_maps[:1] == before.uv_maps[:1] or topology != "keep"
    if topology == "keep":
        assert found == before
        return
    if "No method could refine this mesh: it was cleaned only." in job.notes:
        assert shape in whole_shapes.LARGE
        return
    assert len(found.uv_maps) == 1
    image = next(image for image in bpy.data.images if tuple(image.size) == (TEXTURE, TEXTURE))
    assert image.packed_file
    if shape in whole_shapes.SMALL:
        assert (found.open_edges, found.pieces) == (0, 1)
    if topology == "tris":
        assert set(found.sides) == {3}
    else:
        assert found.quad_share >= tuning.MIN_QUADS_SHARE


def test_keep_gives_back_all_that_the_corners_have(at_work):
    """UV maps, colours, custom normals and sharp edges come back as they were, corner by corner, and the material."""
    source = made("ball", at_work)
    placed, _job = refined("keep")
    before, after = corner_values(source), corner_values(placed)
    assert before.keys() == after.keys()
    assert {name: np.abs(after[name] - values).max() < 2e-3 for name, values in before.items()} == dict.fromkeys(
        before, True
    )
    assert placed.data.has_custom_normals
    sharp = [[edge.use_edge_sharp for edge in obj.data.edges] for obj in (source, placed)]
    assert sharp[0] == sharp[1]
    (material,) = placed.data.materials
    (texture,) = (node for node in material.node_tree.nodes if node.type == "TEX_IMAGE")
    assert tuple(texture.image.size) == (32, 32)
    assert texture.image.packed_file


def test_a_mirrored_source_stands_vertex_on_vertex(at_work):
    """Its session has the mesh as it is modelled; the result is mirrored, by itself and by a second refine of that."""
    matrix = Matrix.LocRotScale((1, 2, 3), Euler((0.3, 0.2, 0.1)), (1, -2, 1))
    source = scenes.mesh_object("Source", np.array(scenes.WEDGE) - (0.2, 0.1, 0.3), matrix=matrix)
    scenes.select(source)
    placed, job = refined("keep")
    assert (job.placement.mirrored, placed.matrix_world.is_negative) == (True, False)
    panel.settings().session_code = job.request.session_code
    source.hide_set(False)
    scenes.select(source)
    assert bpy.ops.csm_refine.refine() == {"FINISHED"}
    assert bpy.ops.csm_refine.wait() == {"FINISHED"}
    vertices = scenes.world_vertices(source)
    for obj in (placed, bpy.context.view_layer.objects.active):
        assert obj is not source
        found = scenes.world_vertices(obj)
        assert np.linalg.norm(found[:, None] - vertices[None], axis=2).min(axis=0).max() < 1e-5
        middle = found.mean(axis=0)
        for face in obj.data.polygons:
            out = found[list(face.vertices)].mean(axis=0) - middle
            assert (obj.matrix_world.to_3x3() @ face.normal).dot(out) > 0


def test_a_linked_source_is_refined(at_work, tmp_path):
    """An object of a library: its result stands in its place, and it is hidden."""
    made = scenes.mesh_object("Asset", matrix=Matrix.Translation((1, 2, 3)))
    bpy.data.libraries.write(str(tmp_path / "library.blend"), {made})
    bpy.data.objects.remove(made)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_found, wanted):
        wanted.objects = ["Asset"]
    (source,) = wanted.objects
    scenes.select(scenes.link(source))
    placed, job = refined("keep")
    assert (placed.name, job.fit_error < 1e-5) == ("Asset refined", True)
    assert np.abs(scenes.world_vertices(placed) - scenes.world_vertices(source)).max() < 1e-5
    assert source.hide_get()


def test_keep_joins_nothing_that_only_touches(at_work):
    """Two cubes side by side in one object stay two, and a card with two sides keeps both."""
    corners = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    faces = [(0, 1, 3, 2), (2, 3, 7, 6), (6, 7, 5, 4), (4, 5, 1, 0), (2, 6, 4, 0), (7, 3, 1, 5)]
    beside = [(x + 1, y, z) for x, y, z in corners]
    card = [(3, 0, 0), (4, 0, 0), (4, 0, 1), (3, 0, 1)]
    sides = [(16, 17, 18, 19), (23, 22, 21, 20)]
    again = [tuple(corner + 8 for corner in face) for face in faces]
    scenes.select(scenes.mesh_object("Parts", [*corners, *beside, *card, *card], [*faces, *again, *sides]))
    before = placed_mesh.read(bpy.context.object)
    assert before.pieces == 4
    placed, _job = refined("keep")
    assert placed_mesh.read(placed) == before


def test_open_folder_shows_every_format(at_work):
    """Beside the mesh that was placed, the job's folder holds the formats that the service made."""
    made("cube", at_work)
    _placed, job = refined("keep")
    (folder,) = {path.parent for path in (at_work / "home" / "jobs").glob(f"{job.id}/result.blend")}
    assert {path.suffix for path in folder.glob("mesh.*")} >= {".blend", ".glb", ".fbx", ".obj", ".zip"}


def test_an_object_of_a_file_by_command(folder, monkeypatch, capfd):
    """create --blend FILE --object NAME and refine --output out.blend give back 8 vertices and 6 quads."""
    monkeypatch.setenv("CSM_REFINE_HOME", str(folder / "home"))
    scenes.empty_scene()
    whole_shapes.cube()
    scene, output = str(folder / "scene.blend"), str(folder / "out.blend")
    bpy.ops.wm.save_as_mainfile(filepath=scene)
    of_file = ("--blend", scene, "--object", "Cube", "--service", "local", "--json")
    assert cli.main(["create", *of_file]) == 0
    code = json.loads(capfd.readouterr().out.splitlines()[-1])["session"]
    assert cli.main(["refine", code, *of_file, "--output", output]) == 0
    found = json.loads(capfd.readouterr().out.splitlines()[-1])
    bpy.ops.wm.open_mainfile(filepath=output)
    placed = placed_mesh.read(bpy.data.objects[found["object"]])
    assert placed == placed_mesh.read(bpy.data.objects["Cube"])
    assert (placed.vertices, placed.sides) == (8, {4: 6})
    assert (found["warnings"], found["fit_error"] < 1e-5) == ([], True)
    capfd.readouterr()
    assert cli.main(["place", found["job"], "--blend", scene, "--output", str(folder / "out.glb"), "--json"]) == 0
    said = capfd.readouterr()
    (warning,) = json.loads(said.out.splitlines()[-1])["warnings"]
    assert warning.startswith("GLB holds triangles only: 6 quads were written as 12 triangles.")
    assert warning in said.err


def marked_as_newer(folder: Path) -> str:
    """A Python with this Blender, whose .blend files say that a newer Blender wrote them."""
    program = folder / "python_newer"
    mark = "BLENDER17-01v9" if bpy.app.version >= (5, 0) else "BLENDER-v9"
    patch = f"[ -e ../mesh.blend ] && printf {mark} | dd of=../mesh.blend conv=notrunc status=none"
    program.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\ncode=$?\n{patch}\nexit $code\n')
    program.chmod(0o755)
    return str(program)


def newest_blender(_folder: Path) -> str:
    """The Python with the newest Blender of the test environments."""
    program = ROOT / ".environments" / "blender-5.2" / "bin" / "python"
    if bpy.app.version >= (5, 2) or not program.is_file():
        pytest.skip("there is no environment with a newer Blender than this one")
    return str(program)


@pytest.mark.skipif(os.name != "posix", reason="the program that marks files is a shell script")
@pytest.mark.parametrize(("newer", "topology"), [(marked_as_newer, "quads"), (newest_blender, "keep")])
def test_a_service_with_a_newer_blender(tmp_path, monkeypatch, newer, topology):
    """Its .blend cannot be read here: the mesh is taken as FBX, which holds the same faces."""
    home = tmp_path / "home"
    with local_service(home, newer(tmp_path)), window(home, monkeypatch):
        source = made("torus", tmp_path)
        placed, job = refined(topology)
        before, found = placed_mesh.read(source), placed_mesh.read(placed)
        assert (Path(job.mesh_path).suffix, job.no_blend, job.fit_error < 1e-5) == (".fbx", True, True)
        assert (found.open_edges, found.pieces) == (0, 1)
        assert source_kinds(home, job) == [".fbx"]
        if topology == "keep":
            assert (found.vertices, found.sides, found.uv_maps) == (before.vertices, before.sides, before.uv_maps)
        else:
            assert found.quad_share >= tuning.MIN_QUADS_SHARE
