"""Quads out of the triangles that an exporter cut them into: glTF has no quads, but keeps their halves together.

Not a search for good quads, as Blender's *Tris to Quads* is: either every two triangles in a row are a quad, all cut in
the way of one exporter, or nothing is joined.
"""

from __future__ import annotations

import bpy
import numpy as np

from .merging import CORNER, FACE, attributes_of, corner_normals_of, remake
from .topology import Array, Faces, Remap, read_faces

SAME_NORMAL = 1e-3
_BLENDERS = {(2, 0), (1, 2)}
"""How Blender's exporter cuts: along the first diagonal, or the other one where the quad is not convex."""


def join_pairs(mesh: bpy.types.Mesh) -> int:
    """Join all triangles of a mesh in pairs, and return how many quads that makes; 0 where it is not exactly that.

    Both halves of a quad have one material, and the same UVs, colours and normals where they meet.
    """
    faces = read_faces(mesh)
    if not len(faces.start) or len(faces.start) % 2 or (faces.sides != 3).any():
        return 0
    cut = _cut(faces.vertex.reshape(-1, 2, 3))
    if cut is None:
        return 0
    first = 6 * np.arange(len(faces.start) // 2)
    halves = first + cut[:, 0], first + 3 + cut[:, 1]  # the corners at which the sides that meet start
    if not _look_alike(mesh, *halves):
        return 0
    corner = np.stack([_next(halves[0], 1), _next(halves[0], 2), _next(halves[1], 1), _next(halves[1], 2)], axis=1)
    vertices = np.arange(len(mesh.vertices))
    quads = Faces(faces.vertex[corner.ravel()], np.arange(0, corner.size, 4))
    remake(mesh, Remap(quads, 2 * np.arange(len(first)), corner.ravel(), vertices, vertices))
    return len(first)


def _cut(pairs: Array) -> Array | None:
    """Return the sides (n, 2) with which the triangles (n, 2, 3) of each pair meet; None where that is not one way."""
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
    if (meets.sum(axis=1) != 1).any() or not (len(ways) == 1 or ways <= _BLENDERS):
        return None
    way = meets.argmax(axis=1)
    return np.stack([way // 3, way % 3], axis=1)


def _look_alike(mesh: bpy.types.Mesh, one: Array, other: Array) -> bool:
    """Tell whether what is shown on both sides of all cuts is the same."""
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
