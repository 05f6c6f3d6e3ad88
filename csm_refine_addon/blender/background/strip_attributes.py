"""Removal of mesh attributes that have no visible effect but slow down the append and the first redraw."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ..geometry.visible_meshes import Array

SAME_NORMAL = 0.01
"""Unit normals that differ by less than this, 0.6 degrees, are considered equal."""
SELECTION = (".select_vert", ".select_edge", ".select_poly")
ZERO_IS_DEFAULT = {"material_index": np.int32, "sharp_face": np.bool_, "sharp_edge": np.bool_}


def strip_attributes(obj: bpy.types.Object) -> None:
    """Remove custom normals that equal Blender's own, attributes with only default values, and the selection.

    Redundant custom normals make the first redraw of 1.3 million triangles 0.4 s slower.
    The object must be in the active view layer.
    """
    _drop_redundant_normals(obj)
    mesh = obj.data
    for name in SELECTION:
        _remove(mesh, name)
    for name, kind in ZERO_IS_DEFAULT.items():
        if name in mesh.attributes and not _values(mesh, name, kind).any():
            _remove(mesh, name)


def _drop_redundant_normals(obj: bpy.types.Object) -> None:
    mesh = obj.data
    if not mesh.has_custom_normals:
        return
    before = _corner_normals(mesh)
    obj.data = mesh.copy()
    _clear_normals(obj)
    redundant = np.abs(_corner_normals(obj.data) - before).max() < SAME_NORMAL
    unused = mesh if redundant else obj.data
    obj.data = obj.data if redundant else mesh
    bpy.data.meshes.remove(unused)


def _clear_normals(obj: bpy.types.Object) -> None:
    context: Any = bpy.context
    with context.temp_override(object=obj, active_object=obj, selected_objects=[obj]):
        bpy.ops.mesh.customdata_custom_splitnormals_clear()


def _corner_normals(mesh: bpy.types.Mesh) -> Array:
    normals = np.empty(len(mesh.loops) * 3, dtype=np.float32)
    mesh.corner_normals.foreach_get("vector", normals)
    return normals


def _values(mesh: bpy.types.Mesh, name: str, kind: Any) -> Array:
    attribute: Any = mesh.attributes[name]
    values = np.empty(len(attribute.data), dtype=kind)
    attribute.data.foreach_get("value", values)
    return values


def _remove(mesh: bpy.types.Mesh, name: str) -> None:
    attribute = mesh.attributes.get(name)
    if attribute:
        mesh.attributes.remove(attribute)
