"""Into the box that was asked for, and onto the pivot."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ...blender.meshes import mesh_io
from ...core import axes
from ...core.axes import Vector3
from .tuning import FLAT_FRACTION


def fit(
    mesh: bpy.types.Mesh,
    scaled_bbox: Sequence[float] | None,
    pivot_point: Sequence[float] | None,
    *,
    keep_aspect: bool = False,
) -> list[str]:
    """Stretch the mesh to the box and put its origin at the pivot, in float64; return notes of what could not be.

    API axes; v' = v - c - (px w, py h, pz d) once stretched (CSM API reference). None keeps the size, or the centre.
    A flat side cannot be stretched: it stays flat, in the middle of its side of the box. With ``keep_aspect`` the mesh
    is as large as it can be inside the box, and the pivot is that of its own box.
    """
    positions = mesh_io.vertex_positions(mesh).astype(np.float64)
    low, high = positions.min(axis=0), positions.max(axis=0)
    size = high - low
    is_flat = size <= FLAT_FRACTION * size.max()
    box = size if scaled_bbox is None else np.array(axes.size_from_scaled_bbox(_vector(scaled_bbox)))
    if keep_aspect and scaled_bbox is not None:
        box = size * np.min(box[~is_flat] / size[~is_flat], initial=np.inf)
    pivot = np.array(axes.blender_from_pivot_point(_vector(pivot_point or (0.0, 0.0, 0.0))))
    along = np.where(is_flat, 0.5, (positions - low) / np.where(is_flat, 1.0, size))
    stretch = np.where(is_flat, 1.0, box / np.where(is_flat, 1.0, size))
    mesh_io.transform_mesh(mesh, Matrix.Diagonal(Vector((*stretch.tolist(), 1.0))))  # for the normals' sake
    placed = along * box + (-0.5 - pivot) * box
    mesh.vertices.foreach_set("co", placed.astype(np.float32).ravel())
    mesh.update()
    names = [name for name, flat in zip(("width", "depth", "height"), is_flat, strict=True) if flat]
    return [f"The mesh has no {name}, so it was not stretched that way." for name in names]


def _vector(values: Sequence[float]) -> Vector3:
    x, y, z = (float(value) for value in values)
    return (x, y, z)
