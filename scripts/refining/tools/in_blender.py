"""What Blender itself can do to a mesh, as a program: METHOD MESH SOURCE FOLDER --faces N --texture N

Writes result.obj (the faces as they are) and result.glb (with the source's colour baked) into FOLDER. The settings are
the best that are known for each method; none of it is the refinery's code.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix

VOXELS = 200
"""Along the diagonal."""
CAGE = 0.006
"""Of the diagonal: at 2 % the rays hit what lies opposite."""


def main() -> None:
    options = parse()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    source = load(options.source, "Source")
    obj = load(options.mesh, "Result")
    diagonal = float(np.linalg.norm(obj.dimensions))
    select(obj)
    METHODS[options.method](obj, options.faces, diagonal)
    if not options.bare:
        bake(source, obj, options.texture, diagonal, keep_uvs=options.keep_uvs)
    select(obj)
    bpy.ops.wm.obj_export(
        filepath=str(options.folder / "result.obj"), export_selected_objects=True, export_materials=False
    )
    bpy.ops.export_scene.gltf(filepath=str(options.folder / "result.glb"), export_format="GLB", use_selection=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=list(METHODS))
    parser.add_argument("mesh", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--faces", type=int, required=True)
    parser.add_argument("--texture", type=int, required=True)
    parser.add_argument("--bare", action="store_true", help="no UV layout and no texture")
    parser.add_argument("--keep-uvs", action="store_true")
    return parser.parse_args()


def load(path: Path, name: str) -> bpy.types.Object:
    """One object out of all meshes in a file."""
    if path.suffix == ".obj":
        bpy.ops.wm.obj_import(filepath=str(path))
    else:
        bpy.ops.import_scene.gltf(filepath=str(path))
    meshes = [obj for obj in bpy.context.selected_objects if obj.type == "MESH"]
    for obj in meshes:
        world = obj.matrix_world.copy()
        obj.parent = None
        obj.matrix_world = world
    select(*meshes)
    if len(meshes) > 1:
        bpy.ops.object.join()
    bpy.ops.object.transform_apply()
    meshes[0].name = name
    return meshes[0]


def select(*objects: bpy.types.Object) -> None:
    for other in bpy.context.view_layer.objects:
        other.select_set(other in objects)
    bpy.context.view_layer.objects.active = objects[0]


def weld(diagonal: float) -> None:
    edit(lambda: bpy.ops.mesh.remove_doubles(threshold=1e-6 * diagonal))


def edit(act) -> None:  # noqa: ANN001 -- any callable
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    act()
    bpy.ops.object.mode_set(mode="OBJECT")


def as_it_is(_obj: bpy.types.Object, _faces: int, _diagonal: float) -> None:
    """The mesh comes from another tool."""


def collapse(obj: bpy.types.Object, faces: int, diagonal: float) -> None:
    weld(diagonal)
    decimate(obj, faces)


def decimate(obj: bpy.types.Object, faces: int) -> None:
    obj.data.calc_loop_triangles()
    modifier = obj.modifiers.new("Decimate", "DECIMATE")
    modifier.ratio = min(1.0, faces / len(obj.data.loop_triangles))
    bpy.ops.object.modifier_apply(modifier=modifier.name)


def collapse_quads(obj: bpy.types.Object, faces: int, diagonal: float) -> None:
    """As many triangles as it takes that so many faces are left when pairs of them are joined."""
    weld(diagonal)
    whole, wanted = obj.data.copy(), faces * 1.5
    for _ in range(4):
        obj.data = whole.copy()
        decimate(obj, round(wanted))
        edit(lambda: bpy.ops.mesh.tris_convert_to_quads(face_threshold=0.9, shape_threshold=0.9))
        if abs(len(obj.data.polygons) / faces - 1) < 0.01:
            break
        wanted *= faces / len(obj.data.polygons)


def quadriflow(obj: bpy.types.Object, faces: int, diagonal: float) -> None:
    """On a copy with a diagonal of 100: QuadriFlow refuses edges shorter than about 1e-4."""
    weld(diagonal)
    obj.data.transform(Matrix.Scale(100 / diagonal, 4))
    obj.data.remesh_voxel_size = 100 / VOXELS
    bpy.ops.object.voxel_remesh()
    if "FINISHED" not in bpy.ops.object.quadriflow_remesh(target_faces=faces, seed=0):
        sys.exit("QuadriFlow gave up")
    obj.data.transform(Matrix.Scale(diagonal / 100, 4))


METHODS = {method.__name__: method for method in (as_it_is, collapse, collapse_quads, quadriflow)}


def bake(source: bpy.types.Object, obj: bpy.types.Object, side: int, diagonal: float, *, keep_uvs: bool) -> None:
    """Give the mesh a UV layout and a texture with the source's base colour, by Cycles."""
    if not keep_uvs:
        for layer in list(obj.data.uv_layers):
            obj.data.uv_layers.remove(layer)
        edit(lambda: bpy.ops.uv.smart_project(angle_limit=1.15, island_margin=0.003))
    obj.data.shade_smooth()
    show_base_colour(source)
    image = bpy.data.images.new("Baked", side, side)
    material = bpy.data.materials.new("Baked")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    texture = nodes.new("ShaderNodeTexImage")
    texture.image = image
    nodes.active = texture
    obj.data.materials.clear()
    obj.data.materials.append(material)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 4
    scene.view_settings.view_transform = "Standard"
    select(obj)
    source.select_set(True)
    bpy.ops.object.bake(
        type="EMIT",
        use_selected_to_active=True,
        cage_extrusion=CAGE * diagonal,
        margin=8,
    )
    image.pack()
    links.new(texture.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])


def show_base_colour(source: bpy.types.Object) -> None:
    """Have the source's materials shine in their base colour, so that no light is needed."""
    if not source.data.materials:
        source.data.materials.append(None)
    colours = source.data.color_attributes.active_color
    for slot in source.material_slots:
        if slot.material is None:
            slot.material = bpy.data.materials.new("Plain")
            slot.material.use_nodes = True
        material = slot.material
        nodes, links = material.node_tree.nodes, material.node_tree.links
        shader = next((node for node in nodes if node.type == "BSDF_PRINCIPLED"), None)
        output = next(node for node in nodes if node.type == "OUTPUT_MATERIAL")
        emission = nodes.new("ShaderNodeEmission")
        base = shader.inputs["Base Color"] if shader else None
        if base is not None and base.is_linked:
            links.new(base.links[0].from_socket, emission.inputs["Color"])
        elif colours is not None:
            attribute = nodes.new("ShaderNodeVertexColor")
            attribute.layer_name = colours.name
            links.new(attribute.outputs["Color"], emission.inputs["Color"])
        elif base is not None:
            emission.inputs["Color"].default_value = base.default_value
        links.new(emission.outputs["Emission"], output.inputs["Surface"])


if __name__ == "__main__":
    code = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        print(end, file=sys.stderr)
    except Exception:  # noqa: BLE001 -- the top of a process that used bpy, which must not end in the normal way
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
