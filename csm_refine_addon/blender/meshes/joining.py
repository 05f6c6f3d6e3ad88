"""Several mesh objects as one, each part in the look that it had alone."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np


def join(objects: list[bpy.types.Object]) -> None:
    """Join mesh objects of the scene into the first one; materials, UV maps and colours stay, each part's its own."""
    meshes: list[Any] = [part.data for part in objects]
    plain: dict[bool, bpy.types.Material] = {}
    for mesh in meshes:
        if not mesh.materials:  # else it takes the first material of the others in 4.2; none at all is lost in an FBX
            is_painted = len(mesh.color_attributes) > 0
            plain[is_painted] = plain.get(is_painted) or _plain_material(is_white=is_painted)
            mesh.materials.append(plain[is_painted])
    _share_colours(meshes)
    override: Any = bpy.context.temp_override(
        active_object=objects[0], object=objects[0], selected_editable_objects=objects
    )
    with override:
        bpy.ops.object.join()


def _plain_material(*, is_white: bool) -> bpy.types.Material:
    """Return a new one, as grey as Blender shows what has none; white where a part's own colours are all it has."""
    material: Any = bpy.data.materials.new("Plain")
    nodes = material.node_tree.nodes if material.node_tree else ()  # since 5.0 a new one has some
    if is_white:
        material.diffuse_color = (1, 1, 1, 1)
        for node in nodes:
            if node.type == "BSDF_PRINCIPLED":
                node.inputs["Base Color"].default_value = (1, 1, 1, 1)
    return material


def _share_colours(meshes: list[Any]) -> None:
    """Give each part the colours of the others, in white: joined, it would have them in black since 5.0."""
    kinds = {one.name: (one.data_type, one.domain) for mesh in meshes for one in mesh.color_attributes}
    for name, kind in kinds.items():
        for mesh in meshes:
            if name not in mesh.color_attributes:
                colours = mesh.color_attributes.new(name, *kind).data
                colours.foreach_set("color", np.ones(len(colours) * 4, np.float32))
