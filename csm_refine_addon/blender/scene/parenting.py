"""A result at its place in the world, with its source's parent."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Matrix

from ...core.axes import Vector3
from ..geometry.bounds import rotation_matrix
from ..geometry.visible_meshes import Array
from .source_transform import Standing

SHEAR = 1e-6
"""Cosine between two axes from which on a parent's transform cannot be undone by location, rotation and scale."""
SAME_PLACE = 1e-6
"""A distance from the wanted origin, relative to the box's diagonal, from which on the parent inverse takes it."""


def put(
    obj: bpy.types.Object,
    standing: Standing,
    source: bpy.types.Object | None,
    merged: Sequence[bpy.types.Object] = (),
) -> None:
    """Give an object the place in the world, and the parent of ``source``, with its inverse.

    The ``merged`` objects may be hidden with their children: below one of them, it is given the parent of that one.
    Where the parent is scaled unevenly, the inverse takes the difference, and the object's own location is zero.
    """
    wanted = np.eye(4)
    wanted[:3, :3] = rotation_matrix(standing.placement.rotation) * standing.scale
    wanted[:3, 3] = standing.placement.origin
    obj.rotation_mode = "XYZ"
    obj.delta_location = obj.delta_rotation_euler = (0.0, 0.0, 0.0)
    obj.delta_scale = (1.0, 1.0, 1.0)
    ancestor = source.parent if source is not None else None
    while ancestor is not None:
        source, ancestor = ancestor if ancestor in merged else source, ancestor.parent
    parent = source.parent if source is not None else None
    _hang_on(obj, source if parent is not None else None)
    base = _world(obj) if parent is not None else np.eye(4)
    if not abs(np.linalg.det(base)) > 0.0:  # a parent scaled to nothing, or not finite
        _hang_on(obj, None)
        base = np.eye(4)
    location = np.linalg.inv(base) @ wanted[:, 3]
    if source is not None and np.array_equal(wanted[:3, 3], np.array(source.matrix_world.translation, float)):
        own = np.array(source.matrix_basis, dtype=np.float64)  # its very location: no rounding
        location = own[:, 3] if obj.parent is not None else wanted[:, 3]
    linear = np.linalg.inv(base[:3, :3]) @ wanted[:3, :3]
    if _is_sheared(linear):
        _take_into_inverse(obj, base, wanted)
        return
    _stand(obj, location[:3], linear)
    diagonal = standing.placement.box.diagonal if standing.placement.box else 1.0
    if obj.parent is not None and np.abs(_world(obj) - wanted)[:3, 3].max() > SAME_PLACE * diagonal:
        _take_into_inverse(obj, base, wanted)


def _hang_on(obj: bpy.types.Object, source: bpy.types.Object | None) -> None:
    """Parent an object as ``source`` is, at its parent's place; None: take its parent away."""
    obj.parent = source.parent if source is not None else None
    obj.parent_type = source.parent_type if source is not None else "OBJECT"
    if source is not None:
        obj.parent_bone = source.parent_bone
        if source.parent_type.startswith("VERTEX"):
            obj.parent_vertices = source.parent_vertices
        obj.matrix_parent_inverse = source.matrix_parent_inverse
    _stand(obj, np.zeros(3), np.eye(3))


def _take_into_inverse(obj: bpy.types.Object, base: Array, wanted: Array) -> None:
    """Have the parent inverse bring the object to its place, and its own rotation and scale turn it there."""
    place = np.eye(4)
    place[:3, 3] = wanted[:3, 3]
    inverse = np.array(obj.matrix_parent_inverse, dtype=np.float64) @ np.linalg.inv(base) @ place
    obj.matrix_parent_inverse = Matrix(inverse.tolist())
    _stand(obj, np.zeros(3), wanted[:3, :3])
    obj.location = (wanted - _world(obj))[:3, 3].tolist()  # what float32 lost


def _stand(obj: bpy.types.Object, location: Array, linear: Array) -> None:
    scale = np.linalg.norm(linear, axis=0) * np.sign(np.linalg.det(linear))
    obj.location = location.tolist()
    obj.rotation_euler = euler_xyz(linear / scale)
    obj.scale = scale.tolist()


def _world(obj: bpy.types.Object) -> Array:
    bpy.context.view_layer.update()
    return np.array(obj.matrix_world, dtype=np.float64)


def _is_sheared(linear: Array) -> bool:
    axes = linear / np.linalg.norm(linear, axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > SHEAR)


def euler_xyz(matrix: Array) -> Vector3:
    """Return the XYZ Euler angles of a (3, 3) rotation matrix, in float64.

    ``Quaternion.to_euler`` works in float32: near a pitch of 90 degrees it is off by up to 0.5 degrees (4.5.15). There
    the third angle is arbitrary, and the first one is read from the matrix turned back by it: so rounding in the
    matrix adds no more than itself.
    """
    pitch = np.arctan2(-matrix[2, 0], np.hypot(matrix[0, 0], matrix[1, 0]))
    yaw = np.arctan2(matrix[1, 0], matrix[0, 0])
    sine, cosine = np.sin(yaw), np.cos(yaw)
    roll = np.arctan2(
        sine * matrix[0, 2] - cosine * matrix[1, 2],
        cosine * matrix[1, 1] - sine * matrix[0, 1],
    )
    return (float(roll), float(pitch), float(yaw))
