"""Restoring of quads that an exporter triangulated: glTF has no quads, but keeps the halves of one adjacent.

Unlike Blender's *Tris to Quads*, this does not search for good quads: either every two successive triangles form a
quad, all triangulated in the way of one exporter, or nothing is joined.
"""

from __future__ import annotations

import bpy
import numpy as np

from .merging import CORNER, FACE, attributes_of, corner_normals_of, rebuild
from .topology import Array, Faces, Remap, read_faces

SAME_NORMAL = 1e-3
_BLENDER_SIDES = {(2, 0), (1, 2)}
"""The shared sides after Blender's exporter: the first diagonal, or the other one if the quad is not convex."""


def join_pairs(mesh: bpy.types.Mesh) -> int:
    """Join all triangles of a mesh in pairs; return the number of quads, or 0 if the mesh is not all such pairs.

    Both halves of a quad must have the same material, and the same UVs, colours and normals at their common side.
    """
    faces = read_faces(mesh)
    if not len(faces.start) or len(faces.start) % 2 or (faces.sides != 3).any():
        return 0
    sides = _common_sides(faces.vertex.reshape(-1, 2, 3))
    if sides is None:
        return 0
    first = 6 * np.arange(len(faces.start) // 2)
    halves = first + sides[:, 0], first + 3 + sides[:, 1]  # the first corners of the common sides
    if not _attributes_match(mesh, *halves):
        return 0
    corner = np.stack([_next(halves[0], 1), _next(halves[0], 2), _next(halves[1], 1), _next(halves[1], 2)], axis=1)
    vertices = np.arange(len(mesh.vertices))
    quads = Faces(faces.vertex[corner.ravel()], np.arange(0, corner.size, 4))
    rebuild(mesh, Remap(quads, 2 * np.arange(len(first)), corner.ravel(), vertices, vertices))
    return len(first)


def _common_sides(pairs: Array) -> Array | None:
    """Return the common sides (n, 2) of triangle pairs (n, 2, 3), or None if the pairs do not match one exporter."""
    one, other = pairs[:, 0], pairs[:, 1]
    meets = np.stack(
        [
            (one[:, i] == other[:, (j + 1) % 3]) & (one[:, (i + 1) % 3] == other[:, j])
            for i in range(3)
            for j in range(3)
        ],
        axis=1,
    )
    ways = {(int(way) // 3, int(way) % 3) for way in np.flatnonzero(meets.any(axis=0))}
    if (meets.sum(axis=1) != 1).any() or not (len(ways) == 1 or ways <= _BLENDER_SIDES):
        return None
    way = meets.argmax(axis=1)
    return np.stack([way // 3, way % 3], axis=1)


def _attributes_match(mesh: bpy.types.Mesh, one: Array, other: Array) -> bool:
    """Return whether the attributes on both sides of all diagonals are equal."""
    ends = np.concatenate([one, _next(one, 1)]), np.concatenate([_next(other, 1), other])
    for attribute in attributes_of(mesh):
        if attribute.domain == CORNER and (attribute.values[ends[0]] != attribute.values[ends[1]]).any():
            return False
        if attribute.domain == FACE and (attribute.values[::2] != attribute.values[1::2]).any():
            return False
    if not mesh.has_custom_normals:
        return True
    normals = corner_normals_of(mesh)
    return bool(np.abs(normals[ends[0]] - normals[ends[1]]).max() < SAME_NORMAL)


def _next(corner: Array, steps: int) -> Array:
    return corner - corner % 3 + (corner + steps) % 3
