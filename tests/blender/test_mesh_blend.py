"""One mesh object as a .blend of its own: what it keeps, and what is not taken out of one."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from PIL import Image

from csm_refine_addon.blender.background import mesh_io, session_source
from csm_refine_addon.core import mesh_files
from csm_refine_addon.core.errors import BlendTooNew, MeshUnusable
from csm_refine_addon.core.mesh_files import MeshKind, blend_files
from csm_refine_addon.remesh import comparison_picture, finish, refine_settings
from tests.support import placed_mesh, scenes, whole_shapes


@pytest.fixture(autouse=True)
def scene():
    return scenes.empty_scene()


@pytest.fixture
def blend(tmp_path):
    return tmp_path / "mesh.blend"


def read_again(blend) -> bpy.types.Object:
    scenes.empty_scene()
    return mesh_io.import_mesh(blend, blend.parent)


def material_of(obj):
    return obj.data.materials[0]


def test_it_passes_the_checks_of_mesh_files(blend):
    """It is a .blend of one object, of this Blender's version, and refused where none is allowed."""
    mesh_io.export_mesh(whole_shapes.ball(), blend)
    assert mesh_files.check(blend, allow_blend=True) is MeshKind.BLEND
    assert blend_files.version(blend) == bpy.app.version[:2]
    with pytest.raises(MeshUnusable, match=r"A \.blend came"):
        mesh_files.check(blend)


def test_all_attributes_come_back(blend):
    """Faces, UV maps, colours, sharp edges and creases are those of the object."""
    obj = whole_shapes.ball()
    crease = obj.data.attributes.new("crease_edge", "FLOAT", "EDGE")
    crease.data.foreach_set("value", np.linspace(0, 1, len(obj.data.edges)))
    before, names = placed_mesh.read(obj), set(obj.data.attributes.keys())
    mesh_io.export_mesh(obj, blend)
    found = read_again(blend)
    assert placed_mesh.read(found) == before
    assert set(found.data.attributes.keys()) >= {name for name in names if not name.startswith(".")}


def image_from_a_file(obj, folder):
    Image.new("RGB", (7, 5), (200, 10, 10)).save(folder / "red.png")
    return bpy.data.images.load(str(folder / "red.png"))


def generated_image(_obj, _folder):
    return bpy.data.images.new("Generated", 7, 5)


def image_that_is_gone(obj, folder):
    image = image_from_a_file(obj, folder)
    (folder / "red.png").unlink()
    return image


@pytest.mark.parametrize(
    ("make", "size"), [(image_from_a_file, (7, 5)), (generated_image, (7, 5)), (image_that_is_gone, None)]
)
def test_images_are_inside(blend, tmp_path, make, size):
    """A file's image and a generated one are packed; what is gone leaves its node without an image."""
    obj = whole_shapes.cube()
    (node,) = (node for node in material_of(obj).node_tree.nodes if node.type == "TEX_IMAGE")
    node.image = make(obj, tmp_path)
    mesh_io.export_mesh(obj, blend)
    found = read_again(blend)
    (node,) = (node for node in material_of(found).node_tree.nodes if node.type == "TEX_IMAGE")
    assert (tuple(node.image.size) if node.image else None) == size
    assert node.image is None or node.image.packed_file
    assert str(tmp_path).encode() not in blend.read_bytes()


def point_at_an_object(obj):
    node = material_of(obj).node_tree.nodes.new("ShaderNodeTexCoord")
    node.object = scenes.mesh_object("Other")


def point_at_a_text(obj):
    node = material_of(obj).node_tree.nodes.new("ShaderNodeTexIES")
    node.ies = bpy.data.texts.new("lamp.ies")


def point_at_a_mesh(obj):
    obj.data.texture_mesh = bpy.data.meshes.new("Other")


def annotate(obj):
    tree = material_of(obj).node_tree
    notes = bpy.data.annotations if hasattr(bpy.data, "annotations") else bpy.data.grease_pencils
    setattr(tree, "annotation" if hasattr(tree, "annotation") else "grease_pencil", notes.new("Notes"))


def keep_an_object_with_a_node(obj):
    material_of(obj).node_tree.nodes[0]["other"] = scenes.mesh_object("Other")


def add_a_script_node(obj):
    material_of(obj).node_tree.nodes.new("ShaderNodeScript")


def add_a_driver(obj):
    shader = material_of(obj).node_tree.nodes["Principled BSDF"]
    shader.inputs["Roughness"].driver_add("default_value").driver.expression = "frame"


NO_PART = (
    *(point_at_an_object, point_at_a_text, point_at_a_mesh, annotate, keep_an_object_with_a_node),
    *(add_a_script_node, add_a_driver),
)


@pytest.mark.parametrize("add", NO_PART)
def test_what_is_no_part_of_the_mesh_stays_behind(blend, add):
    """Whatever an artist's material holds, the file has one object and nothing that runs."""
    obj = whole_shapes.cube()
    add(obj)
    mesh_io.export_mesh(obj, blend)
    assert mesh_files.check(blend, allow_blend=True) is MeshKind.BLEND
    assert placed_mesh.read(read_again(blend)).sides == {4: 6}
    assert len(bpy.data.objects) == len(bpy.data.meshes) == 1


def with_a_modifier(obj):
    obj.modifiers.new("Subdivision", "SUBSURF")


def with_an_image_elsewhere(obj):
    (node,) = (node for node in material_of(obj).node_tree.nodes if node.type == "TEX_IMAGE")
    node.image.unpack(method="REMOVE")
    node.image.filepath = "/elsewhere.png"


@pytest.mark.parametrize("spoil", [with_a_modifier, with_an_image_elsewhere, add_a_driver, add_a_script_node])
def test_a_file_that_is_more_than_plain_data_is_refused(blend, spoil):
    """A .blend that somebody else made is one mesh with packed images, or nothing of it is taken."""
    obj = whole_shapes.cube()
    spoil(obj)
    bpy.data.libraries.write(str(blend), {obj})
    scenes.empty_scene()
    with pytest.raises(MeshUnusable, match="more than one plain mesh object"):
        mesh_io.import_mesh(blend, blend.parent)
    assert not bpy.data.objects


def test_two_objects_are_refused(blend):
    """A scene is no mesh file, whatever it holds."""
    bpy.data.libraries.write(str(blend), {whole_shapes.cube(), scenes.mesh_object("Other")})
    with pytest.raises(MeshUnusable, match="more than one plain mesh object"):
        mesh_files.check(blend, allow_blend=True)


def test_a_file_of_a_newer_blender_is_named_as_such(blend):
    """It is not opened: the version stands in its first bytes."""
    mesh_io.export_mesh(whole_shapes.cube(), blend)
    content = bytearray(blend.read_bytes())
    at = content.index(b"v") + 1
    content[at] = ord("9")
    blend.write_bytes(bytes(content))
    with pytest.raises(BlendTooNew, match=f"and Blender {bpy.app.version[0]}.{bpy.app.version[1]} cannot read it"):
        mesh_io.import_mesh(blend, blend.parent)


def test_the_picture_shows_what_the_file_holds(tmp_path):
    """A refine's picture is that of the mesh in its .blend, pixel by pixel."""
    mesh_io.export_mesh(whole_shapes.ball(), tmp_path / "source.blend")
    (tmp_path / "scratch").mkdir()
    order = {"code": "SESSION_1", "mesh": str(tmp_path / "source.blend"), "scaled_bbox": [1.0, 2.0, 3.0]}
    assert finish.refine(tmp_path, order)["ok"]
    drawn = np.asarray(Image.open(tmp_path / refine_settings.PICTURE).convert("RGB"))[:, comparison_picture.SIDE :]
    views = comparison_picture.render_views(read_again(tmp_path / "mesh.blend"), layout=True)
    comparison_picture.write(tmp_path / "again.png", views, views)
    again = np.asarray(Image.open(tmp_path / "again.png").convert("RGB"))[:, comparison_picture.SIDE :]
    assert np.array_equal(drawn, again)


def test_a_source_of_several_objects_keeps_its_faces(blend):
    """Objects with modifiers are one mesh of evaluated quads and n-gons, upright in the first one's frame."""
    cube = whole_shapes.cube()
    cube.modifiers.new("Array", "ARRAY").count = 2
    disc = scenes.mesh_object("Disc", [(np.cos(a), np.sin(a), 3) for a in np.arange(0, 6, 1)], [tuple(range(6))])
    session_source.export([cube, disc], blend)
    found = placed_mesh.read(read_again(blend))
    assert (found.sides, found.vertices, found.pieces) == ({4: 12, 6: 1}, 22, 3)
    assert found.uv_maps == whole_shapes.LAYOUTS


@pytest.mark.parametrize("is_override", [False, True])
def test_a_source_with_a_linked_material_keeps_it(blend, tmp_path, is_override):
    """A material of another file, with its texture, is the session's own then."""
    material = material_of(whole_shapes.cube())
    bpy.data.libraries.write(str(tmp_path / "library.blend"), {material}, fake_user=True)
    scenes.empty_scene()
    cube = whole_shapes.cube()
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (found, wanted):
        wanted.materials = list(found.materials)
    (linked,) = wanted.materials
    cube.data.materials[0] = linked.override_create() if is_override else linked
    source, report = tmp_path / "source.blend", tmp_path / "report.json"
    names = session_source.write(cube, (), source)
    request = {"blend": str(source), "mesh": str(blend), "report": str(report), "objects": list(names)}
    assert session_source.main(request) == 0, report.read_text()
    found = read_again(blend)
    (texture,) = (node for node in material_of(found).node_tree.nodes if node.type == "TEX_IMAGE")
    assert texture.image.packed_file
    assert material_of(found).library is None
