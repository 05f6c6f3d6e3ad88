"""Reduction of triangles with Blender's Decimate modifier."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from .components import compact
from .surface import Surface, of_mesh, to_mesh


def collapse_edges(shape: Surface, faces: int) -> Surface:
    """Return the shape with about ``faces`` triangles."""
    ratio = min(1.0, faces / max(len(shape.faces), 1))
    return without_coincident_faces(apply_modifier(shape, "DECIMATE", ratio=ratio, use_collapse_triangulate=True))


def reduce_triangles(shape: Surface, faces: int) -> Surface:
    """Return the shape unchanged if it has at most ``faces`` faces, else collapsed."""
    return collapse_edges(shape, faces) if len(shape.faces) > faces else shape


def without_coincident_faces(shape: Surface) -> Surface:
    """Return the triangles without coincident ones, which remain of tiny closed components."""
    _, which, times = np.unique(np.sort(shape.faces[:, :3], axis=1), axis=0, return_inverse=True, return_counts=True)
    single = times[which.ravel()] == 1
    return compact(Surface(shape.points, shape.faces[single])) if single.any() else shape


def apply_modifier(shape: Surface, kind: str, **values: Any) -> Surface:
    """Return the shape with a Blender modifier applied."""
    mesh = to_mesh(shape, "modified")
    obj = bpy.data.objects.new("modified", mesh)
    bpy.context.scene.collection.objects.link(obj)
    modifier: Any = obj.modifiers.new("modifier", kind)
    for name, value in values.items():
        setattr(modifier, name, value)
    depsgraph = bpy.context.evaluated_depsgraph_get()
    done = bpy.data.meshes.new_from_object(obj.evaluated_get(depsgraph))
    result = of_mesh(done)
    bpy.data.objects.remove(obj)
    bpy.data.meshes.remove(mesh)
    bpy.data.meshes.remove(done)
    return result
