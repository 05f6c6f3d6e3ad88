"""What an append brings in is data: a prepared .blend that was tampered with brings in nothing at all."""

from __future__ import annotations

import json
import shutil

import bpy
import pytest

from csm_refine_addon.blender.background import chunked_append, data_only, prepare
from csm_refine_addon.core.errors import MeshUnusable
from tests.support import returned, scenes

CODE = "import bpy; bpy.app.driver_namespace['ran'] = True"


@pytest.fixture
def blend(tmp_path):
    """A .blend as it is prepared, with a texture, in a folder of its own."""
    mesh = returned.write_glb(tmp_path / "mesh.glb", (1.0, 3.0, 2.0), (0.1, -0.5, 0.2), textured=True)
    files = {"mesh": mesh, "blend": tmp_path / "result.blend", "report": tmp_path / "report.json"}
    assert prepare.main({"name": "SESSION_1", **{name: str(path) for name, path in files.items()}}) == 0
    return tmp_path / "result.blend"


def delivered(blend):
    """The object as the window brings it in, part by part."""
    delivery = chunked_append.ChunkedAppend(blend)
    while not delivery.is_complete:
        delivery.append_next()
    return delivery.take()


def everything() -> set[str]:
    kinds = [kind for kind in dir(bpy.data) if isinstance(getattr(bpy.data, kind), bpy.types.bpy_prop_collection)]
    return {repr(block) for kind in kinds for block in getattr(bpy.data, kind)}


def material(obj):
    return obj.data.materials[0]


def drive(obj, _folder):
    obj.driver_add("location", 0).driver.expression = "bpy.app.driver_namespace.update(ran=True)"


def drive_a_material(obj, _folder):
    node = material(obj).node_tree.nodes["Principled BSDF"]
    node.inputs["Roughness"].driver_add("default_value").driver.expression = "open('x')"


def drive_the_mesh(obj, _folder):
    obj.data.driver_add('["x"]') if obj.data.keys() else obj.data.animation_data_create()


def animate(obj, _folder):
    obj.keyframe_insert("location", frame=1)


def add_text(_obj, _folder):
    text = bpy.data.texts.new("start.py")
    text.write(CODE)
    text.use_module = True
    text.use_fake_user = True


def add_script_node(obj, folder):
    node = material(obj).node_tree.nodes.new("ShaderNodeScript")
    node.mode = "EXTERNAL"
    node.filepath = str(folder / "shader.osl")


def hide_a_script_in_a_group(obj, folder):
    group = bpy.data.node_groups.new("Group", "ShaderNodeTree")
    node = group.nodes.new("ShaderNodeScript")
    node.mode, node.filepath = "EXTERNAL", str(folder / "shader.osl")
    material(obj).node_tree.nodes.new("ShaderNodeGroup").node_tree = group


def add_geometry_nodes(obj, _folder):
    group = bpy.data.node_groups.new("Geometry", "GeometryNodeTree")
    obj.modifiers.new("Nodes", "NODES").node_group = group


def add_property(obj, _folder):
    obj["csm_refine"] = CODE


def add_property_to_the_mesh(obj, _folder):
    obj.data["csm_refine"] = CODE


def add_constraint(obj, _folder):
    obj.constraints.new("LIMIT_LOCATION")


def add_parent(obj, _folder):
    obj.parent = scenes.link(bpy.data.objects.new("Parent", None))


def add_shape_keys(obj, _folder):
    obj.shape_key_add(name="Basis")


def mark_as_asset(obj, _folder):
    obj.asset_mark()


def unpack_the_image(_obj, folder):
    (image,) = (image for image in bpy.data.images if image.packed_file)
    image.filepath_raw = str(folder / "elsewhere.png")
    image.unpack(method="REMOVE")


def link_the_mesh(obj, folder):
    bpy.data.libraries.write(str(folder / "other.blend"), {obj.data}, fake_user=True)
    with bpy.data.libraries.load(str(folder / "other.blend"), link=True) as (source, target):
        target.meshes = source.meshes[:1]
    obj.data = target.meshes[0]


def add_sound(_obj, folder):
    (folder / "x.wav").write_bytes(b"RIFF")
    bpy.data.sounds.load(str(folder / "x.wav")).use_fake_user = True


TRICKS = (
    *(drive, drive_a_material, drive_the_mesh, animate, add_text, add_script_node, hide_a_script_in_a_group),
    *(add_geometry_nodes, add_property, add_property_to_the_mesh, add_constraint, add_parent, add_shape_keys),
    *(mark_as_asset, unpack_the_image, link_the_mesh, add_sound),
)


def tamper(blend, trick):
    """Open a prepared .blend, change it, and save it over itself, as an attacker would."""
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    (obj,) = bpy.data.objects
    trick(obj, blend.parent)
    bpy.ops.wm.save_as_mainfile(filepath=str(blend), compress=False, check_existing=False)


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick.__name__)
def test_a_tampered_file_brings_in_nothing(blend, trick):
    """Drivers, scripts, actions, properties, links, and files elsewhere: a sentence, and the user's file as it was."""
    tamper(blend, trick)
    scenes.empty_scene()
    scenes.mesh_object("Mine")
    before = everything()
    with pytest.raises(MeshUnusable) as caught:
        chunked_append.append(blend)
    assert caught.value.action == "Retry the job."
    assert everything() == before
    assert "ran" not in bpy.app.driver_namespace


def test_the_untouched_file_comes_in(blend):
    """What was prepared passes the same look: one object, mesh, material and packed image."""
    scenes.empty_scene()
    before = everything()
    obj = chunked_append.append(blend)
    assert data_only.is_plain(obj)
    assert len(everything() - before) == 4


@pytest.mark.parametrize("in_parts", [False, True])
def test_nothing_says_where_it_came_from(blend, in_parts):
    """Neither a library nor a path of the prepared files stays in what the user saves, nor what lay in memory."""
    scenes.empty_scene()
    if in_parts:
        scenes.link(chunked_append.append(blend))
        chunked_append.write(bpy.data.objects["SESSION_1"], blend, large_bytes=0)
        scenes.empty_scene()
    scenes.link(delivered(blend) if in_parts else chunked_append.append(blend))
    assert not bpy.data.libraries
    assert not any(block.library_weak_reference for block in bpy.data.user_map())
    saved = blend.with_name("saved.blend")
    bpy.ops.wm.save_as_mainfile(filepath=str(saved), compress=False, copy=True)
    content = saved.read_bytes()
    assert b"SESSION_1" in content
    assert str(blend.parent).encode() not in content.replace(str(saved).encode(), b"")
    assert b"/" * 900 in content  # behind the path of a packed image, where Blender saves memory as it found it


def test_names_stay(blend):
    """The copies that take the place of what came in have its names, beside others of the same name, too."""
    scenes.empty_scene()
    for expected in ("SESSION_1", "SESSION_1.001"):
        obj = chunked_append.append(blend)
        assert (obj.data.name, obj.data.materials[0].name) == (expected, expected)


@pytest.mark.parametrize("content", [b"", b"BLENDER", b"BLENDER-v402" + b"\xff" * 40, b"\x28\xb5\x2f\xfd" + b"x" * 99])
def test_what_is_no_blend_is_a_sentence(tmp_path, content):
    """Cut, changed and compressed files are refused before Blender opens them."""
    (tmp_path / "result.blend").write_bytes(content)
    with pytest.raises(MeshUnusable, match="cannot be read"):
        chunked_append.append(tmp_path / "result.blend")


@pytest.mark.parametrize("file", ["../secret", "/etc/passwd", "uv_0.npy/../../x"])
def test_parts_from_elsewhere_are_not_taken(tmp_path, file):
    """A list of parts that names other files is no list of parts: the whole .blend is appended instead."""
    folder = tmp_path / chunked_append.FOLDER
    folder.mkdir()
    (folder / chunked_append.CONTENTS).write_text(json.dumps({"uv_maps": [], "images": [[0, file, ""]]}))
    shutil.copyfile(__file__, tmp_path / "secret")
    assert chunked_append.ChunkedAppend(tmp_path / "result.blend").is_complete
