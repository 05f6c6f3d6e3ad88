from __future__ import annotations

import bpy
import numpy as np
import pytest
import trimesh
from mathutils import Euler, Matrix

from csm_refine_addon.blender.background import mesh_io, session_source
from csm_refine_addon.remesh import corner_attributes, material_sampling
from tests.support import scenes

GREEN, RED, BLUE = (0.1, 0.6, 0.2, 1.0), (0.9, 0.1, 0.1, 1.0), (0.1, 0.1, 0.9, 1.0)
SQUARE = ((0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1))


@pytest.fixture(autouse=True)
def scene():
    return scenes.empty_scene()


def part(at: int, *paints, material=None) -> bpy.types.Object:
    """A square at this place along X, painted; of several paints, each name, colour and kind, the last one is shown."""
    obj = scenes.mesh_object(f"Part {at}", [(x / 2 + at, y, z) for x, y, z in SQUARE], [(0, 1, 2), (0, 2, 3)])
    for name, colour, *kind in paints:
        painted = obj.data.color_attributes.new(name, *(kind or ("FLOAT_COLOR", "CORNER")))
        painted.data.foreach_set("color", [*colour] * len(painted.data))
        obj.data.color_attributes.render_color_index = obj.data.color_attributes.find(name)
    if material is not None:
        obj.data.materials.append(material)
    return obj


def exported(folder, *parts):
    path = folder / "source.glb"
    session_source.export(parts, path)
    return path


def seen(path, folder) -> list[np.ndarray]:
    """The colour that the local service sees in each part, along X."""
    scenes.empty_scene()
    shown = material_sampling.MaterialSampler(mesh_io.import_mesh(path, folder).data)
    order = np.argsort(shown.points[shown.triangles].mean(axis=1)[:, 0])
    return list(shown.at(corner_attributes.SurfacePoints(order, np.full((len(order), 3), 1 / 3))).colour[::2, :3])


def near(*colours):
    return [pytest.approx(colour[:3], abs=0.02) for colour in colours]


BYTES, POINTS = ("BYTE_COLOR", "CORNER"), ("FLOAT_COLOR", "POINT")


@pytest.mark.parametrize(
    "paints",
    [
        ([("Col", GREEN)], [("Col", RED)]),
        ([("Col", GREEN)], [("Color", RED)]),
        ([("Col", GREEN, *BYTES)], [("Col", RED, *POINTS)]),
        ([("Color", BLUE), ("Col", GREEN)], [("Col", BLUE, *BYTES), ("Color", RED, *POINTS)]),
    ],
    ids=["alike", "other names", "other kinds", "several"],
)
def test_painted_parts_without_a_material_keep_their_paint(tmp_path, paints):
    """However each part's colours are called and kept: in the file, and as the local service reads it."""
    path = exported(tmp_path, *(part(at, *each) for at, each in enumerate(paints)))
    (geometry,) = trimesh.load(path).geometry.values()
    found = np.asarray(geometry.visual.vertex_attributes["color"], float)[:, :3]
    first = geometry.vertices[:, 0] < geometry.vertices[:, 0].mean()
    found /= 255 if found.max() > 1 else 1
    assert [found[first].min(axis=0), found[~first].max(axis=0)] == near(GREEN, RED)
    assert seen(path, tmp_path) == near(GREEN, RED)


def test_parts_that_are_not_painted_stay_as_they_were(tmp_path):
    """Beside a painted part: one in a material, one whose material leaves its paint aside, and a bare one."""
    blue = bpy.data.materials.new("Blue")
    if blue.node_tree is None:
        blue.use_nodes = True
    blue.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = BLUE
    parts = [part(0, material=blue), part(1, ("Col", GREEN)), part(2, ("Color", RED), material=blue), part(3)]
    assert seen(exported(tmp_path, *parts), tmp_path) == near(BLUE, GREEN, BLUE, (0.8, 0.8, 0.8))


def linked(library, kind: str) -> bpy.types.Object:
    """The object of a library, as it comes into a file."""
    with bpy.data.libraries.load(str(library), link=True) as (_found, wanted):
        wanted.objects, wanted.collections = ["Asset"], ["Kit"]
    (asset,), (kit,) = wanted.objects, wanted.collections
    if kind == "instance":
        obj = bpy.data.objects.new("Instance", None)
        obj.instance_type, obj.instance_collection = "COLLECTION", kit
        return scenes.link(obj)
    if kind == "data":
        return scenes.link(bpy.data.objects.new("Local", asset.data))
    scenes.link(asset)
    return asset.override_create(remap_local_usages=True) if kind == "override" else asset


@pytest.mark.parametrize("kind", ["object", "data", "override", "instance"])
def test_what_is_linked_from_a_library_is_copied(tmp_path, kind):
    """Linked objects, their data, overrides and instances of collections; the open file is as before."""
    made = scenes.mesh_object("Asset", matrix=Matrix.LocRotScale((1, 2, 3), Euler((0.3, 0.2, 0.1)), (1, 2, 3)))
    kit = bpy.data.collections.new("Kit")
    bpy.context.scene.collection.children.link(kit)
    kit.objects.link(made)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    scenes.empty_scene()
    obj = linked(tmp_path / "library.blend", kind)
    scenes.select(obj)
    before = {repr(block) for block in (*bpy.data.objects, *bpy.data.meshes)}
    names = session_source.write(obj, [], tmp_path / "source.blend")
    assert {repr(block) for block in (*bpy.data.objects, *bpy.data.meshes)} == before
    objects = session_source._append_objects(str(tmp_path / "source.blend"), names)
    session_source.export(objects, tmp_path / "source.glb")
    assert len(trimesh.load(tmp_path / "source.glb", force="mesh").triangles) == 8
