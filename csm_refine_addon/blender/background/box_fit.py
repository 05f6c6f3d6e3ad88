"""A returned mesh and the box that it should fill: how far they are apart, in numbers and words, and making it fit."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Matrix

from ...core.axes import Vector3
from ...core.models import Box
from ...core.placement import sent_centre
from ..geometry.bounds import FLAT, SIDES
from ..geometry.visible_meshes import Array, point_bounds, read_positions
from .mesh_io import transform_mesh

RESIZED = "size {} changed to {}"
MOVED = "moved by ({})"
BOTH = "size {} changed to {} and moved by ({})"
SAME = 1e-5
"""A difference below this part of the box's diagonal is not worth a word; the vertices are snapped all the same."""


def mesh_box(mesh: bpy.types.Mesh) -> Box:
    """Return the box of a mesh's vertices, seen from its origin; Blender axes. The mesh has vertices."""
    low, high = point_bounds(read_positions(mesh))
    return Box(vector((low + high) / 2), vector(high - low))


def difference(found: Box, wanted: Box) -> float:
    """Return the largest difference of a side or of the centre, relative to the diagonal of ``wanted``."""
    sides = np.subtract(found.size, wanted.size), np.subtract(found.centre, wanted.centre)
    return float(np.abs(sides).max() / wanted.diagonal)


def expected_box(box: Box) -> Box:
    """Return the box as a faithful service returns it: around the pivot that could be sent, not the true origin."""
    return Box(sent_centre(box), box.size)


def correction(found: Box, wanted: Box) -> str:
    """Say in numbers what fitting changes; empty below :data:`SAME`."""
    if difference(found, wanted) < SAME:
        return ""
    sizes = (_numbers(found.size, " x "), _numbers(wanted.size, " x "))
    is_other_size = np.abs(np.subtract(found.size, wanted.size)).max() >= SAME * wanted.diagonal
    moved = np.subtract(wanted.centre, found.centre)
    moved[np.abs(moved) < SAME * wanted.diagonal] = 0.0
    if not moved.any():
        return RESIZED.format(*sizes)
    way = _numbers(vector(moved), ", ")
    return BOTH.format(*sizes, way) if is_other_size else MOVED.format(way)


def flat_sides(found: Box) -> tuple[str, ...]:
    """Return a sentence for each side that has no length and so cannot be stretched."""
    return tuple(
        f"The mesh has no {name}, so that side cannot be stretched to the box."
        for name, side in zip(SIDES, found.size, strict=True)
        if side <= FLAT * found.diagonal
    )


def fit_mesh(mesh: bpy.types.Mesh, box: Box) -> None:
    """Stretch and move the vertices so that the mesh's box is ``box``, to the last bit of float32.

    A flat side is moved only. Custom normals stay true to the stretched surface. For the background: seconds.
    """
    positions = read_positions(mesh)
    low, high = point_bounds(positions)
    scale, wanted_low, wanted_high = _stretch(low, high, box)
    fitted = wanted_low + (positions.astype(np.float64) - low) * scale
    fitted = np.where(positions == high, wanted_high, fitted).astype(np.float32)
    transform_mesh(mesh, _matrix(scale, wanted_low - low * scale))
    _write_positions(mesh, fitted)


def fit_mesh_quickly(mesh: bpy.types.Mesh, found: Box, wanted: Box) -> None:
    """Stretch and move the vertices by what brings ``found`` to ``wanted``, to float32's rounding.

    For the main thread: 20 ms with 1.3 million triangles, where :func:`fit_mesh` takes seconds over custom normals.
    Those keep their angle to the faces.
    """
    half = np.array(found.size) / 2
    low, high = np.array(found.centre) - half, np.array(found.centre) + half
    scale, wanted_low, _ = _stretch(low, high, wanted)
    mesh.transform(_matrix(scale, wanted_low - low * scale))
    mesh.update()


def mirror(mesh: bpy.types.Mesh) -> None:
    """Mirror the vertices on all axes within the mesh's box; faces keep looking outwards."""
    centre = np.array(mesh_box(mesh).centre)
    transform_mesh(mesh, Matrix.Translation((2 * centre).tolist()) @ Matrix.Scale(-1.0, 4))


def restore_origin(mesh: bpy.types.Mesh, box: Box) -> None:
    """Move the vertices from the pivot that could be sent to the true origin; nothing where that lies in the box."""
    transform_mesh(mesh, Matrix.Translation(np.subtract(box.centre, sent_centre(box)).tolist()))


def vector(values: Array) -> Vector3:
    """Return three numbers as plain Python floats."""
    x, y, z = values.tolist()
    return (x, y, z)


def _stretch(low: Array, high: Array, box: Box) -> tuple[Array, Array, Array]:
    """Return the scale per axis, and where the least and the greatest corner come to lie."""
    size = high - low
    flat = size <= FLAT * np.linalg.norm(size)
    scale = np.where(flat, 1.0, np.array(box.size) / np.where(flat, 1.0, size))
    half = np.where(flat, size, box.size) / 2
    return scale, box.centre - half, box.centre + half


def _matrix(scale: Array, shift: Array) -> Matrix:
    matrix = np.diag([*scale, 1.0])
    matrix[:3, 3] = shift
    return Matrix(matrix.tolist())


def _write_positions(mesh: bpy.types.Mesh, positions: Array) -> None:
    attribute: Any = mesh.attributes["position"]
    attribute.data.foreach_set("vector", np.ascontiguousarray(positions).ravel())
    mesh.update()


def _numbers(values: Vector3, between: str) -> str:
    return between.join(f"{value:.6g}" for value in values)
