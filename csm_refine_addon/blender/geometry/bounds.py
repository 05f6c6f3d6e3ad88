"""Oriented bounding box, origin and rotation of objects, from evaluated geometry."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Matrix, Quaternion

from ...core import models
from ...core.axes import Vector3
from ...core.errors import InputError
from ...core.models import Box
from ...core.placement import BoundsOptions, BoundsSource, Measured, PivotSource
from .object_hierarchy import with_children
from .visible_meshes import Array, extent, visible_pieces

SHEAR = 1e-4
"""A matrix is sheared if the cosine between two of its axes is larger; float32 noise stays below 1e-6."""
FLAT = 1e-6
"""A side below this fraction of the diagonal is zero."""
FINITE = 1e30
"""Larger coordinates are infinite: Blender's cached box has the largest float32, 3.4e38, instead."""
JOIN_SIDES = "{} and no {}"
SIDES = ("width (X)", "depth (Y)", "height (Z)")


def find_object(view_layer: bpy.types.ViewLayer, name: str) -> bpy.types.Object:
    """Return the object of this name. Raises InputError if the view layer has none."""
    found = view_layer.objects.get(name)
    if found is None:
        raise InputError(f"There is no object “{name}” in the view layer “{view_layer.name}”.", "Check the name.")
    return found


def selection(view_layer: bpy.types.ViewLayer) -> tuple[bpy.types.Object, list[bpy.types.Object]]:
    """Return the active object and all selected ones; if the active object is not selected, the first selected one.

    Raises InputError if nothing is selected.
    """
    chosen = list(view_layer.objects.selected)
    if not chosen:
        raise InputError("Nothing is selected.", "Select an object, type the bounds, or leave them to the service.")
    active = view_layer.objects.active
    return (active if active in chosen else chosen[0]), chosen


def frame(active: bpy.types.Object) -> Measured:
    """Return an object's origin and rotation, with warnings about its matrix. ``box`` is None.

    The rotation is that of ``matrix_world.decompose()``; for a sheared matrix, the nearest rotation.
    Raises InputError if the matrix has a zero axis or is not finite.
    """
    matrix = active.matrix_world
    linear = np.array(matrix, dtype=np.float64)[:3, :3]
    lengths = np.linalg.norm(linear, axis=0)
    if not np.isfinite(np.array(matrix)).all():
        raise InputError(f"The transform of “{active.name}” is not finite.", "Clear its location, rotation and scale.")
    if not lengths.all():
        raise InputError(f"“{active.name}” has a scale of zero.", "Give it a scale other than zero on each axis.")
    warnings = []
    cosines = (linear / lengths).T @ (linear / lengths) - np.eye(3)
    if np.abs(cosines).max() > SHEAR:
        rotation = _nearest_rotation(linear)
        warnings.append(f"“{active.name}” is sheared by its parent's scale: the nearest rotation is used.")
    else:
        rotation = matrix.decompose()[1]
    scale = _vector(lengths * (-1.0 if matrix.determinant() < 0 else 1.0))
    return Measured(active.name, tuple(matrix.translation), tuple(rotation), None, tuple(warnings), scale)


def measure(
    depsgraph: bpy.types.Depsgraph,
    active: bpy.types.Object,
    objects: Sequence[bpy.types.Object] = (),
    *,
    thickness: float | None = None,
    allow_flat: bool = False,
) -> Measured:
    """Return the common box of ``objects``, or of ``active`` if empty, in the frame of ``active``.

    The box contains all visible geometry of the objects and their children: evaluated, with modifiers and instances.
    Blender axes and units. A flat side gets the ``thickness``, centred; with ``allow_flat`` it stays zero, for callers
    that need only the origin's position relative to the box.
    Raises InputError if there is no geometry, or it is not finite or flat.
    """
    found = frame(active)
    pieces = visible_pieces(depsgraph, with_children(objects or [active]))
    if not pieces:
        raise _no_geometry_error(active, depsgraph)
    low, high = extent(pieces, rotation_matrix(found.rotation), np.array(found.origin))
    if not (np.abs([low, high]) < FINITE).all():
        raise InputError(f"“{active.name}” has vertices that are not finite numbers.", "Clean up its geometry.")
    size = _with_thickness(high - low, thickness, active.name, allow_flat=allow_flat)
    box = Box(_vector((low + high) / 2), _vector(size))
    return dataclasses.replace(found, box=box, merged_names=_merged(active, objects))


def measure_for(
    choices: BoundsOptions,
    depsgraph: bpy.types.Depsgraph,
    active: bpy.types.Object,
    objects: Sequence[bpy.types.Object] = (),
    *,
    thickness: float | None = None,
) -> Measured:
    """Measure what ``choices`` need; if they need no geometry, return the frame of an object that has none.

    Raises InputError as :func:`measure`, if geometry is needed.
    """
    if choices.bounds is BoundsSource.AUTO and choices.pivot is not PivotSource.OBJECT:
        return _framed(active, objects)
    allow_flat = choices.bounds is not BoundsSource.OBJECT
    try:
        return measure(depsgraph, active, objects, thickness=thickness, allow_flat=allow_flat)
    except InputError:
        if choices.needs_geometry:
            raise
        return _framed(active, objects)


def _framed(active: bpy.types.Object, objects: Sequence[bpy.types.Object]) -> Measured:
    return dataclasses.replace(frame(active), merged_names=_merged(active, objects))


def _merged(active: bpy.types.Object, objects: Sequence[bpy.types.Object]) -> tuple[str, ...]:
    return tuple(sorted(obj.name for obj in objects if obj != active))


def rotation_matrix(rotation: models.Quaternion) -> Array:
    """Return the (3, 3) float64 rotation matrix of a quaternion w, x, y, z, which is normalized first."""
    w, x, y, z = np.array(rotation, dtype=np.float64) / np.linalg.norm(rotation)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _nearest_rotation(linear: Array) -> Quaternion:
    """Return the nearest rotation to a (3, 3) matrix, also a mirrored one, by polar decomposition (Higham 1986)."""
    left, _, right = np.linalg.svd(linear * np.sign(np.linalg.det(linear)))
    return Matrix((left @ right).tolist()).to_quaternion()


def _with_thickness(size: Array, thickness: float | None, name: str, *, allow_flat: bool) -> Array:
    flat = size <= FLAT * np.linalg.norm(size)
    if not flat.any():
        return size
    if thickness is not None and thickness > 0:
        return np.where(flat, thickness, size)
    if allow_flat:
        return np.where(flat, 0.0, size)
    sides = functools.reduce(JOIN_SIDES.format, (side for side, is_flat in zip(SIDES, flat, strict=True) if is_flat))
    raise InputError(f"“{name}” is flat: it has no {sides}.", "Give it a thickness, or type the bounds.")


def _no_geometry_error(active: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> InputError:
    if not active.visible_get(view_layer=depsgraph.view_layer):
        return InputError(f"“{active.name}” is hidden.", "Show it in the viewport, or type the bounds.")
    return InputError(
        f"“{active.name}” has no geometry to take the bounds from.", "Select another object, or type the bounds."
    )


def _vector(values: Array) -> Vector3:
    x, y, z = values.tolist()
    return (x, y, z)
