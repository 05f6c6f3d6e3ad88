from __future__ import annotations

import dataclasses
import json
import threading

import bpy
import numpy as np
import pytest
import trimesh

from csm_refine_addon.blender.background import box_fit, prepare
from csm_refine_addon.core import serialization
from csm_refine_addon.core.models import Box, MeshReport, Placement
from csm_refine_addon.core.placement import sent_centre
from csm_refine_addon.core.processes.background import find_background_blender
from tests.support import returned, scenes

BBOX, PIVOT = (1.0, 3.0, 2.0), (0.1, -0.5, 0.2)
BOX = Box((-0.1, 0.4, 1.5), (1.0, 2.0, 3.0))
"""The same in Blender axes: x -0.1 * 1, y 0.2 * 2, z 0.5 * 3."""


def asked(folder, mesh, placement, fit=True) -> dict:
    files = {"mesh": mesh, "blend": folder / "result.blend", "report": folder / "report.json"}
    wanted = {"name": "SESSION_1", "placement": placement and dataclasses.asdict(placement), "fit": fit}
    return {**{name: str(path) for name, path in files.items()}, **wanted}


def prepared(folder, mesh, placement=None, *, fit=True) -> tuple[int, dict]:
    code = prepare.main(asked(folder, mesh, placement, fit))
    return code, json.loads((folder / "report.json").read_text())


def appended(folder) -> bpy.types.Object:
    """The one object of the prepared file, in a new scene."""
    scenes.empty_scene()
    with bpy.data.libraries.load(str(folder / "result.blend")) as (source, target):
        target.objects = list(source.objects)
    (obj,) = target.objects
    return scenes.link(obj)


def test_faithful_mesh_is_taken_as_it_is(tmp_path):
    """A mesh that fills its box is reported without correction, named, with its texture inside the .blend."""
    mesh = returned.write_glb(tmp_path / "mesh.glb", BBOX, PIVOT, textured=True)
    code, report = prepared(tmp_path, mesh, Placement(box=BOX))
    found = serialization.decode(MeshReport, report)
    assert (code, report["ok"], report["error"], found.correction, found.problems) == (0, True, None, "", ())
    assert (found.triangles, found.vertices, found.materials) == (8, 6, 1)
    assert found.size_bytes == mesh.stat().st_size
    assert box_fit.difference(found.box, BOX) < 1e-6
    obj = appended(tmp_path)
    assert (obj.name, obj.data.name, obj.data.materials[0].name) == ("SESSION_1",) * 3
    (image,) = (image for image in bpy.data.images if image.name in found.textures)
    assert image.packed_file


@pytest.mark.parametrize(
    ("bbox", "pivot"),
    [((2, 3, 2), PIVOT), (BBOX, (0, 0, 0)), ((0.1, 50, 7), (0.5, 0.5, -0.5)), ((1, 3.0001, 2), PIVOT)],
)
def test_wrong_size_or_pivot_is_fitted_to_the_last_bit(bbox, pivot, tmp_path):
    """Whatever came back, the vertices' box is the float32 of the box that was asked for, and the report says so."""
    mesh = returned.write_glb(tmp_path / "mesh.glb", bbox, pivot)
    _, report = prepared(tmp_path, mesh, Placement(box=BOX))
    assert report["correction"]
    positions = np.array([vertex.co for vertex in appended(tmp_path).data.vertices], dtype=np.float32)
    centre, size = np.array(BOX.centre), np.array(BOX.size)
    assert (positions.min(axis=0) == (centre - size / 2).astype(np.float32)).all()
    assert (positions.max(axis=0) == (centre + size / 2).astype(np.float32)).all()
    expected = centre + np.array(scenes.WEDGE) * size
    assert np.abs(positions - expected).max() < 1e-6 * BOX.diagonal


def test_fitting_is_exact_where_float32_steps_are_coarse(tmp_path):
    """A small box far from its origin: stretching in float32 would miss the corners by its rounding."""
    box = Box((123.4, -77.7, 31.3), (0.31, 2.7, 0.59))
    prepared(tmp_path, returned.write_glb(tmp_path / "mesh.glb", (0.37, 1.3, 7.1), (0, 0, 0)), Placement(box=box))
    positions = np.array([vertex.co for vertex in appended(tmp_path).data.vertices], dtype=np.float32)
    centre, size = np.array(box.centre), np.array(box.size)
    assert (positions.min(axis=0) == (centre - size / 2).astype(np.float32)).all()
    assert (positions.max(axis=0) == (centre + size / 2).astype(np.float32)).all()


def test_without_fitting_the_mesh_stays_as_returned(tmp_path):
    """With fitting off, a wrong size stays wrong, and nothing is said to be corrected."""
    mesh = returned.write_glb(tmp_path / "mesh.glb", (2, 3, 2), PIVOT)
    _, report = prepared(tmp_path, mesh, Placement(box=BOX), fit=False)
    box = box_fit.mesh_box(appended(tmp_path).data)
    assert report["correction"] == ""
    assert box.size == pytest.approx((2, 2, 3))


@pytest.mark.parametrize("fit", [True, False])
def test_origin_outside_the_box_is_put_back(fit, tmp_path):
    """A pivot that had to be clamped is no correction: the true origin comes back, fitting on or off."""
    box = Box((-5.0, 0.4, 1.5), BOX.size)
    assert sent_centre(box) == (-0.5, 0.4, 1.5)
    mesh = returned.write_glb(tmp_path / "mesh.glb", BBOX, (0.5, -0.5, 0.2))
    _, report = prepared(tmp_path, mesh, Placement(box=box), fit=fit)
    assert report["correction"] == ""
    assert box_fit.difference(box_fit.mesh_box(appended(tmp_path).data), box) < 1e-6


def test_flat_mesh_is_moved_and_reported(tmp_path):
    """A side without length cannot be stretched: it is moved into the box, and that is a problem in the report."""
    mesh = returned.write_glb(tmp_path / "mesh.glb", (1, 0, 2), PIVOT)
    _, report = prepared(tmp_path, mesh, Placement(box=BOX))
    assert any("height (Z)" in problem for problem in report["problems"])
    box = box_fit.mesh_box(appended(tmp_path).data)
    assert box.size == pytest.approx((1, 2, 0))
    assert box.centre == pytest.approx(BOX.centre)


def test_custom_normals_stay_true_when_stretched(tmp_path):
    """Normals of a stretched mesh go through the inverse transpose, as those of the stretched surface do."""
    sphere = trimesh.creation.icosphere(2)
    tilt = np.random.default_rng(1).normal(size=sphere.vertices.shape) * 0.2
    normals = (sphere.vertices + tilt) / np.linalg.norm(sphere.vertices + tilt, axis=1)[:, None]
    sphere = trimesh.Trimesh(sphere.vertices, sphere.faces, vertex_normals=normals, process=False)
    (tmp_path / "mesh.glb").write_bytes(trimesh.Scene(sphere).export(file_type="glb", include_normals=True))
    prepared(tmp_path, tmp_path / "mesh.glb", Placement(box=Box((0, 0, 0), (2, 4, 6))))
    mesh = appended(tmp_path).data
    found = np.array([normal.vector for normal in mesh.corner_normals])
    corners = [loop.vertex_index for loop in mesh.loops]
    expected = normals[:, [0, 2, 1]] * (1, -1, 1) / (1, 2, 3)
    expected /= np.linalg.norm(expected, axis=1)[:, None]
    assert np.abs(found - expected[corners]).max() < 0.01


def test_normals_that_show_nothing_are_dropped(tmp_path):
    """Normals that equal Blender's own cost time at each drawing: the prepared mesh has none."""
    sphere = trimesh.creation.icosphere(2)
    (tmp_path / "mesh.glb").write_bytes(trimesh.Scene(sphere).export(file_type="glb", include_normals=True))
    prepared(tmp_path, tmp_path / "mesh.glb")
    mesh = appended(tmp_path).data
    assert not mesh.has_custom_normals
    assert not {"material_index", "sharp_face", ".select_vert"} & set(mesh.attributes.keys())
    outwards = [vertex.co.normalized().dot(vertex.normal) for vertex in mesh.vertices]
    assert min(outwards) > 0.99


def test_nothing_but_the_object_is_in_the_file(tmp_path):
    """Cameras, lights, animation and empties of a file do not come along."""
    scenes.empty_scene()
    bpy.ops.object.camera_add()
    bpy.ops.object.light_add()
    obj = scenes.mesh_object("Hull")
    obj.parent = scenes.link(bpy.data.objects.new("Root", None))
    obj["note"] = "custom property"
    obj.keyframe_insert("location")
    bpy.ops.export_scene.gltf(
        filepath=str(tmp_path / "mesh.glb"), export_cameras=True, export_lights=True, export_extras=True
    )
    code, _ = prepared(tmp_path, tmp_path / "mesh.glb")
    assert code == 0
    with bpy.data.libraries.load(str(tmp_path / "result.blend")) as (source, _):
        found = {kind: getattr(source, kind) for kind in dir(source)}
    kinds = {kind for kind, names in found.items() if isinstance(names, list) and names}
    assert kinds - {"scenes", "workspaces", "materials"} == {"objects", "meshes"}
    found = appended(tmp_path)
    assert not found.keys()
    assert not found.animation_data


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "empty"), (b"<?xml?><Error/>", "error page"), (b"glTF\x02\x00\x00\x00", "damaged")]
)
def test_bad_file_is_reported_with_exit_code_8(content, said, tmp_path):
    """What is no mesh ends with 8, a sentence in the report, and no .blend, not even an older one."""
    (tmp_path / "mesh.glb").write_bytes(content)
    (tmp_path / "result.blend").write_bytes(b"older")
    code, report = prepared(tmp_path, tmp_path / "mesh.glb")
    assert (code, report["ok"], report["error"]["code"]) == (8, False, "mesh_unusable")
    assert said in report["error"]["message"]
    assert report["error"]["action"]
    assert not (tmp_path / "result.blend").exists()


def test_what_is_not_the_meshs_fault_is_another_error(tmp_path):
    """Where Blender or the disk fails, the error is ``prepare_failed``, so that importing in the window is offered."""
    mesh = returned.write_glb(tmp_path / "mesh.glb", BBOX, PIVOT)
    request = {**asked(tmp_path, mesh, None), "blend": str(tmp_path / "missing" / "result.blend")}
    assert prepare.main(request) == 8
    assert json.loads((tmp_path / "report.json").read_text())["error"]["code"] == "prepare_failed"


def test_runs_as_a_background_blender(tmp_path):
    """The command that the engine starts works in a process of its own."""
    mesh = returned.write_glb(tmp_path / "mesh.glb", BBOX, PIVOT)
    blender, request = find_background_blender(bpy.app.binary_path), asked(tmp_path, mesh, Placement(box=BOX))
    how = {"log": tmp_path / "log", "pause": threading.Event().wait, "limit_s": 120}
    assert blender.run("blender.background.prepare", request, **how) == 0
    assert json.loads((tmp_path / "report.json").read_text())["ok"]
    assert (tmp_path / "result.blend").stat().st_size > 0
