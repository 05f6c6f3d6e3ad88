"""Joining of mesh objects that preserves the materials and vertex colours of each."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

PAINT = "csm_refine_paint"
"""The common colour attribute for vertex colours with different names or types."""


def join(objects: list[bpy.types.Object]) -> None:
    """Join mesh objects of the scene into the first one; each part keeps its materials, UV maps and colours."""
    meshes: list[Any] = [part.data for part in objects]
    without_material = [mesh for mesh in meshes if not mesh.materials]
    painted = [mesh for mesh in without_material if len(mesh.color_attributes)]
    paint = _unify_colours(painted, meshes) if painted else ""
    plain: dict[str, bpy.types.Material] = {}
    # Without a material, 4.2 assigns the first one of the other parts, and FBX loses the empty slot.
    for mesh in without_material:
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
    """Return a new material in Blender's default grey, or one that shows the colour attribute ``paint``.

    The glTF exporter writes vertex colours only for materials whose nodes use them, and white for all others.
    """
    material: Any = bpy.data.materials.new("Plain")
    if paint:
        material.diffuse_color = (1, 1, 1, 1)
        if material.node_tree is None:  # since 5.0, new materials have nodes
            material.use_nodes = True
        tree = material.node_tree
        shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
        colours = tree.nodes.new("ShaderNodeVertexColor")
        colours.layer_name = paint
        tree.links.new(colours.outputs["Color"], shader.inputs["Base Color"])
    return material


def _unify_colours(painted: list[Any], meshes: list[Any]) -> str:
    """Give the displayed colours of ``painted``, the ``meshes`` without a material, one attribute name; return it."""
    shown = [mesh.color_attributes[max(mesh.color_attributes.render_color_index, 0)] for mesh in painted]
    names = {one.name for one in shown}
    kinds = {
        (one.name, *_type_and_domain(one)) for mesh in meshes for one in mesh.color_attributes if one.name in names
    }
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


def _type_and_domain(attribute: Any) -> tuple[str, str]:
    return attribute.data_type, attribute.domain


def _share_colours(meshes: list[Any]) -> None:
    """Add the others' colour attributes to each part, in white: since 5.0, joining fills missing ones with black."""
    kinds = {one.name: _type_and_domain(one) for mesh in meshes for one in mesh.color_attributes}
    for name, kind in kinds.items():
        for mesh in meshes:
            if name not in mesh.color_attributes:
                colours = mesh.color_attributes.new(name, *kind).data
                colours.foreach_set("color", np.ones(len(colours) * 4, np.float32))
