"""Several mesh objects as one, each part in the look that it had alone."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

PAINT = "csm_refine_paint"
"""Where the colours of painted parts come together that were named, or kept, differently."""


def join(objects: list[bpy.types.Object]) -> None:
    """Join mesh objects of the scene into the first one; materials, UV maps and colours stay, each part's its own."""
    meshes: list[Any] = [part.data for part in objects]
    bare = [mesh for mesh in meshes if not mesh.materials]
    painted = [mesh for mesh in bare if len(mesh.color_attributes)]
    paint = _brought_together(painted, meshes) if painted else ""
    plain: dict[str, bpy.types.Material] = {}
    for mesh in bare:  # else it takes the first material of the others in 4.2; none at all is lost in an FBX
        wanted = paint if len(mesh.color_attributes) else ""
        plain[wanted] = plain.get(wanted) or _plain_material(wanted)
        mesh.materials.append(plain[wanted])
    _share_colours(meshes)
    override: Any = bpy.context.temp_override(
        active_object=objects[0], object=objects[0], selected_editable_objects=objects
    )
    with override:
        bpy.ops.object.join()


def _plain_material(paint: str) -> bpy.types.Material:
    """Return a new one, as grey as Blender shows what has none; for a painted part with the colours of this name.

    The glTF exporter writes a mesh's colours for those materials only whose nodes have them; for others, white ones.
    """
    material: Any = bpy.data.materials.new("Plain")
    if paint:
        material.diffuse_color = (1, 1, 1, 1)
        if material.node_tree is None:  # since 5.0 a new one has some nodes
            material.use_nodes = True
        tree = material.node_tree
        shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
        colours = tree.nodes.new("ShaderNodeVertexColor")
        colours.layer_name = paint
        tree.links.new(colours.outputs["Color"], shader.inputs["Base Color"])
    return material


def _brought_together(painted: list[Any], meshes: list[Any]) -> str:
    """Have the shown colours of ``painted``, those of ``meshes`` without a material, under one name; return it."""
    shown = [mesh.color_attributes[max(mesh.color_attributes.render_color_index, 0)] for mesh in painted]
    names = {one.name for one in shown}
    kinds = {(one.name, *_kind(one)) for mesh in meshes for one in mesh.color_attributes if one.name in names}
    if len(kinds) == 1:
        return str(shown[0].name)
    for mesh, one in zip(painted, shown, strict=True):
        values = np.empty((len(one.data), 4), np.float32)
        one.data.foreach_get("color", values.ravel())
        if one.domain == "POINT":
            corners = np.empty(len(mesh.loops), np.int32)
            mesh.loops.foreach_get("vertex_index", corners)
            values = values[corners]
        mesh.color_attributes.remove(one)
        mesh.color_attributes.new(PAINT, "FLOAT_COLOR", "CORNER").data.foreach_set("color", values.ravel())
    return PAINT


def _kind(attribute: Any) -> tuple[str, str]:
    return attribute.data_type, attribute.domain


def _share_colours(meshes: list[Any]) -> None:
    """Give each part the colours of the others, in white: joined, it would have them in black since 5.0."""
    kinds = {one.name: _kind(one) for mesh in meshes for one in mesh.color_attributes}
    for name, kind in kinds.items():
        for mesh in meshes:
            if name not in mesh.color_attributes:
                colours = mesh.color_attributes.new(name, *kind).data
                colours.foreach_set("color", np.ones(len(colours) * 4, np.float32))
