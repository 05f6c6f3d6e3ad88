"""The look that is baked is the one that Blender shows: Cycles bakes the same imported files, and says what that is."""

from __future__ import annotations

import json
import struct
import zipfile

import bpy
import numpy as np
import pytest
from bpy_extras import node_shader_utils

from csm_refine_addon.blender.background import mesh_io
from csm_refine_addon.remesh import corner_attributes, material_sampling, retexture, sampling, surface
from csm_refine_addon.remesh.progress import Progress
from tests.support import raw_files, raw_meshes

SIDE = 64
WRAPS = {"REPEAT": 10497, "EXTEND": 33071, "MIRROR": 33648}


@pytest.fixture(autouse=True)
def empty_scene():
    bpy.ops.wm.read_factory_settings(use_empty=True)


def sheet(uvs=((0, 0), (1, 0), (1, 1), (0, 1)), **more) -> raw_files.Piece:
    """A square that looks to the front, from 0 to 1 in X and Y; UVs with V down, as glTF has them."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.0]])
    return raw_files.Piece(corners, np.array([[0, 1, 2], [0, 2, 3]]), np.array(uvs, float), **more)


def changed_glb(path, change):
    """The GLB with another document."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<I", content, 12)
    document = json.loads(content[20 : 20 + length])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + length :]
    head = struct.pack("<4sIIII", b"glTF", 2, 20 + len(text) + len(rest), len(text), 0x4E4F534A)
    path.write_bytes(head + text + rest)
    return path


def transformed_glb(path, transform, wraps=("REPEAT", "REPEAT")):
    def change(document):
        information = document["materials"][0]["pbrMetallicRoughness"]["baseColorTexture"]
        information["extensions"] = {"KHR_texture_transform": transform}
        document["extensionsUsed"] = ["KHR_texture_transform"]
        document["samplers"] = [{"wrapS": WRAPS[wraps[0]], "wrapT": WRAPS[wraps[1]]}]
        document["textures"][0]["sampler"] = 0

    piece = sheet(material=raw_files.Material(raw_meshes.checker(48, 64)))
    return changed_glb(raw_files.write_glb(path, [piece]), change)


def seen(obj, *, alpha: bool = False) -> np.ndarray:
    """What the bake would see: the base colour over the sheet, (SIDE, SIDE, 3), linear; or its alpha, three times."""
    shown = material_sampling.MaterialSampler(obj.data)
    points = shown.points[shown.triangles]
    middles = (np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=-1).reshape(-1, 2) + 0.5) / SIDE
    found = np.zeros((len(middles), 4))
    for number, corner in enumerate(points[:, :, [0, 2]]):
        share = np.linalg.solve((corner[1:] - corner[0]).T, (middles - corner[0]).T).T
        weights = np.column_stack([1 - share.sum(axis=1), share])
        inside = np.flatnonzero((weights > -1e-9).all(axis=1))
        places = corner_attributes.SurfacePoints(np.full(len(inside), number), weights[inside])
        found[inside] = shown.at(places).colour
    return found[:, [3, 3, 3] if alpha else [0, 1, 2]].reshape(SIDE, SIDE, 3)


def shown_by_blender(obj, *, alpha: bool = False) -> np.ndarray:
    """The same out of Cycles: what arrives at the shader's input, as light, baked onto the sheet as it lies."""
    mesh = obj.data
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples = "CYCLES", 1
    where = np.array([mesh.vertices[loop.vertex_index].co[:] for loop in mesh.loops])[:, [0, 2]]
    layer = mesh.uv_layers.new(name="sheet")
    layer.data.foreach_set("uv", where.astype(np.float32).ravel())
    mesh.uv_layers.active = layer
    image = bpy.data.images.new("baked", SIDE, SIDE, float_buffer=True)
    for material in mesh.materials:
        _shine(material.node_tree, "Alpha" if alpha else "Base Color")
        node = material.node_tree.nodes.new("ShaderNodeTexImage")
        node.image = image
        material.node_tree.nodes.active = node
    obj.select_set(True)
    bpy.context.view_layer.objects.active = obj
    bpy.ops.object.bake(type="EMIT", margin=0)
    values = np.empty(SIDE * SIDE * 4, np.float32)
    image.pixels.foreach_get(values)
    return values.reshape(SIDE, SIDE, 4)[:, :, :3]


def _shine(tree, name: str) -> None:
    shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    light = tree.nodes.new("ShaderNodeEmission")
    base = shader.inputs[name]
    if base.is_linked:
        tree.links.new(base.links[0].from_socket, light.inputs["Color"])
    else:
        light.inputs["Color"].default_value = base.default_value
    output = next(node for node in tree.nodes if node.type == "OUTPUT_MATERIAL")
    tree.links.new(light.outputs["Emission"], output.inputs["Surface"])


def assert_as_in_blender(obj, *, alpha: bool = False) -> None:
    found, wanted = seen(obj, alpha=alpha), shown_by_blender(obj, alpha=alpha)
    assert np.ptp(wanted, axis=(0, 1)).max() > 0.2
    off = np.abs(found - wanted).max(axis=2)
    assert (off > 0.02).mean() < 0.005  # a texel's edge may fall on the other side of a pixel's middle
    assert off.mean() < 0.001


TRANSFORMS = {
    "tiled": {"scale": [2, 3]},
    "moved": {"offset": [0.3, 0.1]},
    "turned": {"rotation": 0.7},
    "all": {"scale": [1.5, -0.75], "offset": [0.2, -0.4], "rotation": -1.2},
}


@pytest.mark.parametrize(
    "wraps", [("REPEAT", "REPEAT"), ("MIRROR", "MIRROR"), ("EXTEND", "MIRROR"), ("MIRROR", "REPEAT")]
)
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_texture_stands_where_its_transform_puts_it(tmp_path, name, wraps):
    """A GLB's texture transform, and what each axis has outside of 0 to 1, are baked as Blender shows them."""
    path = transformed_glb(tmp_path / "a.glb", TRANSFORMS[name], wraps)
    assert_as_in_blender(mesh_io.import_mesh(path, tmp_path))


@pytest.mark.parametrize("extension", ["REPEAT", "EXTEND", "CLIP", "MIRROR"])
@pytest.mark.parametrize("interpolation", ["Linear", "Closest"])
def test_an_image_ends_as_its_node_says(tmp_path, extension, interpolation):
    """Outside of 0 to 1 it repeats, goes on, ends or turns back; between its texels it is smooth or not."""
    uvs = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * 3.5 - 1.2
    piece = sheet(uvs, material=raw_files.Material(raw_meshes.checker(5, 7)))
    obj = mesh_io.import_mesh(raw_files.write_glb(tmp_path / "a.glb", [piece]), tmp_path)
    node = next(node for node in obj.data.materials[0].node_tree.nodes if node.type == "TEX_IMAGE")
    node.extension, node.interpolation = extension, interpolation
    assert_as_in_blender(obj)


OBJ = """mtllib {0}.mtl
usemtl one
v 0 0 0 0.9 0.1 0.1
v 1 0 0 0.1 0.9 0.1
v 1 1 0 0.1 0.1 0.9
v 0 1 0 0.9 0.9 0.1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
f 1/1 2/2 3/3 4/4
"""


def obj_file(folder, material: str):
    picture = raw_files.png(raw_meshes.checker(48, 64))
    files = {"picture.png": picture, "sheet.mtl": f"newmtl one\n{material}\n", "sheet.obj": OBJ.format("sheet")}
    return zipped(folder / "sheet.zip", files)


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("options", ["", "-s 2 3 1 -o 0.25 0.1 0"])
def test_colours_of_an_obj_do_not_darken_its_texture(tmp_path, options):
    """With a texture, scaled and moved or not, the colours behind the vertices are not shown: as in Blender."""
    assert_as_in_blender(mesh_io.import_mesh(obj_file(tmp_path, f"map_Kd {options} picture.png"), tmp_path))


def test_colours_of_an_obj_are_all_it_has(tmp_path):
    """Where the material has no texture, the colours behind the vertices are kept."""
    found = seen(mesh_io.import_mesh(obj_file(tmp_path, "Kd 1 1 1"), tmp_path))
    assert found[2, 2] == pytest.approx(sampling.linear_of_srgb(np.array([0.9, 0.1, 0.1])), abs=0.05)


@pytest.mark.parametrize("material", [raw_files.Material(raw_meshes.checker(48, 64), colour=(0.5, 1, 0.8)), None])
def test_colours_of_a_glb_are_multiplied_as_blender_does(tmp_path, material):
    """Texture, factor and colours together are what Blender's importer makes of them."""
    colours = np.array([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.1, 0.9], [0.9, 0.9, 0.1]])
    obj = mesh_io.import_mesh(
        raw_files.write_glb(tmp_path / "a.glb", [sheet(colours=colours, material=material)]), tmp_path
    )
    if obj.data.materials:
        assert_as_in_blender(obj)
    else:  # Blender 4.x makes no material out of colours alone
        assert seen(obj)[2, 2] == pytest.approx(sampling.linear_of_srgb(colours[0]), abs=0.05)


def test_a_textures_transform_is_baked(tmp_path):
    """A GLB whose texture is tiled, turned and moved looks the same on its new UV layout."""
    obj = mesh_io.import_mesh(transformed_glb(tmp_path / "a.glb", TRANSFORMS["all"]), tmp_path)
    wanted = seen(obj)
    result = retexture.retexture_shape(surface.of_mesh(obj.data), obj, 256, Progress(tmp_path / "progress"))
    assert np.abs(seen(result) - wanted).mean() < 0.01


def test_an_unlit_material_has_its_texture(tmp_path):
    """A GLB whose material is unlit, as scanners' apps write it, is seen with the same colours as a lit one."""

    def change(document):
        document["materials"][0]["extensions"] = {"KHR_materials_unlit": {}}
        document["extensionsUsed"] = ["KHR_materials_unlit"]

    path = raw_files.write_glb(tmp_path / "a.glb", [sheet(material=raw_files.Material(raw_meshes.checker(48, 64)))])
    lit = seen(mesh_io.import_mesh(path, tmp_path))
    assert np.ptp(lit) > 0.5
    assert np.array_equal(seen(mesh_io.import_mesh(changed_glb(path, change), tmp_path)), lit)


CLEAR = np.array([[0.9, 0.1, 0.1, 0.1], [0.1, 0.9, 0.1, 0.9], [0.1, 0.1, 0.9, 1], [0.9, 0.9, 0.1, 0.3]])
"""Colours whose alpha is none of the others."""


def clear_glb(folder, mode: str, picture=None, factor: float = 1.0, **more):
    """A sheet with an alpha at its vertices, times a factor, in one of glTF's ways; a mask is cut at a third."""

    def change(document):
        (material,) = document["materials"]
        material |= {"alphaMode": mode, **({"alphaCutoff": 1 / 3} if mode == "MASK" else {}), **more}
        material["pbrMetallicRoughness"]["baseColorFactor"] = [1, 1, 1, factor]
        document["extensionsUsed"] = list(more.get("extensions", {}))

    piece = sheet(colours=CLEAR, material=raw_files.Material(picture))
    return changed_glb(raw_files.write_glb(folder / "clear.glb", [piece]), change)


@pytest.mark.parametrize("mode", ["BLEND", "MASK"])
@pytest.mark.parametrize("picture", [raw_meshes.checker(48, 64), None])
@pytest.mark.parametrize("factor", [1.0, 0.7])
def test_what_can_be_seen_through_is_what_blender_shows(tmp_path, mode, picture, factor):
    """A GLB's alpha out of vertex colours, with a texture and a factor or not, is there; what is cut out is cut out."""
    obj = mesh_io.import_mesh(clear_glb(tmp_path, mode, picture, factor), tmp_path)
    assert_as_in_blender(obj, alpha=True)
    assert (len(np.unique(seen(obj, alpha=True))) == 2) == (mode == "MASK")


@pytest.mark.parametrize("mode", ["OPAQUE", "BLEND", "MASK"])
@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_what_is_unlit_can_be_seen_through_as_well(tmp_path, mode, factor):
    """An unlit material has the alpha of a lit one that is like it, where it is opaque none; and its result has it."""
    lit = seen(mesh_io.import_mesh(clear_glb(tmp_path, mode, factor=factor), tmp_path), alpha=True)
    path = clear_glb(tmp_path, mode, factor=factor, extensions={"KHR_materials_unlit": {}})
    obj = mesh_io.import_mesh(path, tmp_path)
    assert np.array_equal(seen(obj, alpha=True), lit)
    assert material_sampling.MaterialSampler(obj.data).is_see_through == (mode != "OPAQUE")
    result = retexture.retexture_shape(surface.of_mesh(obj.data), obj, 256, Progress(tmp_path / "progress"))
    assert np.abs(seen(result, alpha=True) - lit).mean() < 0.01


def test_an_image_is_read_where_it_is_asked_for_and_once(tmp_path):
    """Neither a look by itself nor its colours read what roughness, metalness and normals are made of."""
    picture = raw_meshes.checker(48, 64)
    piece = sheet(material=raw_files.Material(picture, picture, picture))
    obj = mesh_io.import_mesh(raw_files.write_glb(tmp_path / "a.glb", [piece]), tmp_path)
    read = []
    shown = material_sampling.MaterialSampler(
        obj.data, lambda image: read.append(image.name) or sampling.image_pixels(image)
    )
    places = corner_attributes.SurfacePoints(np.arange(2), np.full((2, 3), 1 / 3))
    assert read == []
    shown.colour(places)
    assert len(read) == 1
    for _ in range(2):
        shown.at(places)
    assert len(read) == len(set(read)) == 3


GREEN = np.array([[0.1, 0.6, 0.2]] * 4)


def scene_of(folder, *pieces) -> bpy.types.Object:
    """A GLB in which each piece is a mesh of its own, side by side; imported."""

    def change(document):
        document["meshes"] = [{"primitives": [one]} for one in document["meshes"][0]["primitives"]]
        document["nodes"] = [{"mesh": at, "translation": [at, 0, 0]} for at in range(len(pieces))]
        document["scenes"] = [{"nodes": list(range(len(pieces)))}]

    return mesh_io.import_mesh(changed_glb(raw_files.write_glb(folder / "scene.glb", pieces), change), folder)


def colours_of(obj) -> list[np.ndarray]:
    """The colour seen in each part, in turn along X, linear."""
    shown = material_sampling.MaterialSampler(obj.data)
    order = np.argsort(shown.points[shown.triangles].mean(axis=1)[:, 0])
    found = shown.at(corner_attributes.SurfacePoints(order, np.full((len(order), 3), 1 / 3))).colour[:, :3]
    return list(found[::2])


def test_colours_of_several_meshes_are_not_darkened(tmp_path):
    """Meshes with colours alone, joined, have the colours that each had."""
    wanted = sampling.linear_of_srgb(GREEN[0])
    assert (
        colours_of(scene_of(tmp_path, sheet(colours=GREEN), sheet(colours=GREEN)))
        == [pytest.approx(wanted, abs=0.01)] * 2
    )


@pytest.mark.parametrize("painted_first", [True, False])
def test_each_mesh_keeps_its_own_look_when_joined(tmp_path, painted_first):
    """One without colours is neither black nor in another's material; nor is a material's colour lost."""
    red = raw_files.Material(colour=(0.9, 0.1, 0.1))
    pieces = [sheet(colours=GREEN), sheet(), sheet(material=red)]
    wanted = [sampling.linear_of_srgb(GREEN[0]), np.array([0.8] * 3), sampling.linear_of_srgb(np.array(red.colour))]
    turn = 1 if painted_first else -1
    found = colours_of(scene_of(tmp_path, *pieces[::turn]))[::turn]
    for colour, other in zip(found, wanted, strict=True):
        assert colour == pytest.approx(other, abs=0.01)


def test_a_files_own_plain_material_is_left_to_it(tmp_path):
    """A part without a material does not get the file's own one of the name that join uses."""
    pieces = [sheet(material=raw_files.Material(colour=(0.9, 0.1, 0.1))), sheet()]
    bpy.data.materials.new("Plain").diffuse_color = (0, 0, 1, 1)
    assert colours_of(scene_of(tmp_path, *pieces))[1] == pytest.approx([0.8] * 3, abs=0.01)


def test_painted_parts_of_an_fbx_are_not_darkened(tmp_path):
    """An FBX of two parts with colours and without a material has them as they were painted."""
    for at in range(2):
        mesh = bpy.data.meshes.new("part")
        mesh.from_pydata([(at, 0, 0), (at + 1, 0, 0), (at + 1, 0, 1), (at, 0, 1)], [], [(0, 1, 2), (0, 2, 3)])
        colours = mesh.color_attributes.new("Color", "FLOAT_COLOR", "CORNER")
        colours.data.foreach_set("color", [0.1, 0.6, 0.2, 1.0] * 6)
        bpy.context.scene.collection.objects.link(bpy.data.objects.new("part", mesh))
    path = tmp_path / "painted.fbx"
    bpy.ops.export_scene.fbx(filepath=str(path))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    (tmp_path / "work").mkdir()
    found = colours_of(mesh_io.import_mesh(path, tmp_path / "work"))
    assert found == [pytest.approx([0.1, 0.6, 0.2], abs=0.02)] * 2


def placed_fbx(folder, **mapping) -> bpy.types.Object:
    """An FBX of a sheet whose texture is placed by these values of a Mapping node; imported."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    picture = folder / "picture.png"
    picture.write_bytes(raw_files.png(raw_meshes.checker(48, 64)))
    mesh = bpy.data.meshes.new("sheet")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)], [], [(0, 1, 2, 3)])
    mesh.uv_layers.new().data.foreach_set("uv", [0, 0, 1, 0, 1, 1, 0, 1])
    mesh.materials.append(bpy.data.materials.new("placed"))
    wrapper = node_shader_utils.PrincipledBSDFWrapper(mesh.materials[0], is_readonly=False)
    wrapper.base_color_texture.image = bpy.data.images.load(str(picture))
    for name, values in mapping.items():
        setattr(wrapper.base_color_texture, name, values)
    bpy.context.scene.collection.objects.link(bpy.data.objects.new("sheet", mesh))
    bpy.ops.export_scene.fbx(filepath=str(folder / "placed.fbx"), path_mode="COPY", embed_textures=True)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    (folder / "work").mkdir()
    return mesh_io.import_mesh(folder / "placed.fbx", folder / "work")


PLACED = {
    "tiled": {"scale": (0.5, 0.25, 1)},
    "moved": {"translation": (0.3, 0.1, 0)},
    "turned": {"rotation": (0, 0, 0.7)},
    "all": {"scale": (0.6, -0.4, 1), "translation": (0.2, -0.4, 0), "rotation": (0, 0, -1.2)},
}


@pytest.mark.parametrize("name", PLACED)
def test_a_texture_of_an_fbx_stands_where_it_is_placed(tmp_path, name):
    """An FBX's texture that is tiled, moved and turned is baked as Blender shows it."""
    obj = placed_fbx(tmp_path, **PLACED[name])
    assert mapping_of(obj).vector_type == "TEXTURE"
    assert_as_in_blender(obj)


@pytest.mark.parametrize("scale", [(0.6, -0.4, 0.7), (0.5, 0.0, 1.0)])
def test_a_texture_is_placed_about_all_axes(tmp_path, scale):
    """Turned about each axis, and along one that has no extent, it stands where Blender shows it, too."""
    obj = placed_fbx(tmp_path, **PLACED["all"])
    mapping = mapping_of(obj)
    for way, values in (("Location", (0.1, 0.2, 0.3)), ("Rotation", (0.4, -0.3, 1.1)), ("Scale", scale)):
        mapping.inputs[way].default_value = values
    assert_as_in_blender(obj)


def mapping_of(obj):
    return next(node for node in obj.data.materials[0].node_tree.nodes if node.type == "MAPPING")


def bumpy_obj(folder, faces: str) -> bpy.types.Object:
    """A pentagon with a normal map, in faces as given; imported."""
    angles = 2 * np.pi * np.arange(5) / 5
    points = np.column_stack([np.cos(angles), 0 * angles, -np.sin(angles)])
    slope = np.full((4, 4, 3), (200, 90, 220), np.uint8)
    material = "newmtl one\nmap_Bump -bm 1 bumps.png\n"
    lines = ["mtllib pentagon.mtl", "usemtl one", *(f"v {x} {y} {z}" for x, y, z in points)]
    lines += [*(f"vt {x / 2 + 0.5} {-z / 2 + 0.5}" for x, _, z in points), faces]
    files = {"bumps.png": raw_files.png(slope), "pentagon.mtl": material, "pentagon.obj": "\n".join(lines) + "\n"}
    return mesh_io.import_mesh(zipped(folder / "pentagon.zip", files), folder)


def test_a_normal_map_on_faces_of_many_corners_is_kept(tmp_path):
    """Blender has no tangents for a pentagon: it is seen with the same bumps as its triangles."""
    whole = material_sampling.MaterialSampler(bumpy_obj(tmp_path, "f 1/1 2/2 3/3 4/4 5/5").data)
    middles = corner_attributes.SurfacePoints(np.arange(3), np.full((3, 3), 1 / 3))
    found = whole.at(middles).normal
    cut = material_sampling.MaterialSampler(bumpy_obj(tmp_path, "f 1/1 2/2 3/3\nf 1/1 3/3 4/4\nf 1/1 4/4 5/5").data)
    assert np.abs(found - cut.at(middles).normal).max() < 1e-3
    assert np.abs(found[:, 2]).max() < 0.95  # bumpy: not the pentagon's own normal


def test_tangents_are_computed_once(tmp_path):
    """However many places are asked for, and however often."""
    held = corner_attributes.CornerAttributes(bumpy_obj(tmp_path, "f 1/1 2/2 3/3 4/4 5/5").data)
    first, meshes = held.tangents(), len(bpy.data.meshes)
    assert held.tangents() is first
    assert len(bpy.data.meshes) == meshes == 1
