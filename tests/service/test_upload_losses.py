"""What a refine cannot keep is said for each kind of file that can hold it."""

from __future__ import annotations

import bpy
import pytest

from csm_refine_addon.core import mesh_files
from csm_refine_addon.service.upload_losses import losses


@pytest.fixture
def cube():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.mesh.primitive_cube_add()
    return bpy.context.object


def hung_on_bones(cube) -> None:
    bpy.ops.object.armature_add()
    armature = bpy.context.object
    cube.parent = armature
    cube.vertex_groups.new(name=armature.data.bones[0].name).add(range(8), 1.0, "REPLACE")
    cube.modifiers.new("Armature", "ARMATURE").object = armature


def with_shape_keys(cube) -> None:
    for name in ("Basis", "Wide"):
        cube.shape_key_add(name=name)
    cube.data.shape_keys.key_blocks["Wide"].data[0].co.x += 1


def animated(cube) -> None:
    for frame in (1, 20):
        cube.location.x = frame
        cube.keyframe_insert("location", frame=frame)


WAYS = {"armature": hung_on_bones, "shape keys": with_shape_keys, "animation": animated}


@pytest.mark.parametrize("kind", ["glb", "fbx"])
@pytest.mark.parametrize("name", WAYS)
def test_each_loss_is_said_for_itself(tmp_path, cube, name, kind):
    """A GLB and an FBX with one thing that a refine takes away have one sentence, which names it."""
    WAYS[name](cube)
    path = tmp_path / f"source.{kind}"
    if kind == "glb":
        bpy.ops.export_scene.gltf(filepath=str(path))
    else:
        bpy.ops.export_scene.fbx(filepath=str(path), add_leaf_bones=False, bake_anim=name == "animation")
    (said,) = losses(path, mesh_files.check(path))
    assert name in said


@pytest.mark.parametrize("kind", ["glb", "fbx", "obj"])
def test_nothing_is_said_where_nothing_is_lost(tmp_path, cube, kind):
    """A plain mesh has no warnings."""
    path = tmp_path / f"source.{kind}"
    export = {"glb": bpy.ops.export_scene.gltf, "fbx": bpy.ops.export_scene.fbx, "obj": bpy.ops.wm.obj_export}
    export[kind](filepath=str(path))
    assert losses(path, mesh_files.check(path)) == ()
