"""Scales a mesh to the requested box and moves its origin to the pivot."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ..blender.background import mesh_io
from ..core import axes
from ..core.axes import Vector3
from .surface import Array
from .tuning import FLAT_FRACTION, RIM


def fit(
    mesh: bpy.types.Mesh,
    scaled_bbox: Sequence[float] | None,
    pivot_point: Sequence[float] | None,
    *,
    keep_aspect: bool = False,
    frame: tuple[Array, Array] | None = None,
) -> list[str]:
    """Stretch the mesh to the box and put its origin at the pivot, in float64; return notes of what could not be.

    API axes; v' = v - c - (px w, py h, pz d) once stretched (CSM API reference). None keeps the size, or the centre.
    A flat side cannot be stretched: it stays flat, in the middle of its side of the box. With ``keep_aspect`` the mesh
    is as large as it can be inside the box, and the pivot is that of its own box. ``frame`` is the box of the mesh that
    this one was made of: what is stretched to the box is that, and only the outermost of this mesh is drawn to it.
    """
    positions = mesh_io.vertex_positions(mesh).astype(np.float64)
    own = positions.min(axis=0), positions.max(axis=0)
    low, high = frame if frame is not None and _is_near(own, frame) else own
    size = high - low
    is_flat = size <= FLAT_FRACTION * size.max()
    box = size if scaled_bbox is None else np.array(axes.size_from_scaled_bbox(_vector(scaled_bbox)))
    if keep_aspect and scaled_bbox is not None:
        box = size * np.min(box[~is_flat] / size[~is_flat], initial=np.inf)
    pivot = np.array(axes.blender_from_pivot_point(_vector(pivot_point or (0.0, 0.0, 0.0))))
    along = np.where(is_flat, 0.5, _snap_rim((positions - low) / np.where(is_flat, 1.0, size)))
    stretch = np.where(is_flat, 1.0, box / np.where(is_flat, 1.0, size))
    mesh_io.transform_mesh(mesh, Matrix.Diagonal(Vector((*stretch.tolist(), 1.0))))  # for the normals' sake
    placed = along * box + (-0.5 - pivot) * box
    mesh.vertices.foreach_set("co", placed.astype(np.float32).ravel())
    mesh.update()
    names = [name for name, flat in zip(("width", "depth", "height"), is_flat, strict=True) if flat]
    return [f"The mesh has no {name}, so it was not stretched that way." for name in names]


def _is_near(own: tuple[Array, Array], frame: tuple[Array, Array]) -> bool:
    """Return whether a mesh fills its frame to within half of RIM; a mesh that lost a part does not."""
    size = frame[1] - frame[0]
    return bool(all(np.all(np.abs(one - other) <= RIM / 2 * size) for one, other in zip(own, frame, strict=True)))


def _snap_rim(along: Array) -> Array:
    """Draw what lies in the rim of a box from 0 to 1 to its sides, exactly; what lies within stays."""
    found = np.empty_like(along)
    for axis, values in enumerate(along.T):
        ends = [values.min(), RIM, 1 - RIM, values.max()]
        found[:, axis] = np.interp(values, ends, [0, RIM, 1 - RIM, 1]) if ends[0] < RIM < 1 - RIM < ends[3] else values
    return found


def _vector(values: Sequence[float]) -> Vector3:
    x, y, z = (float(value) for value in values)
    return (x, y, z)
