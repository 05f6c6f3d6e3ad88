"""Connected components of a mesh, and removal of small ones."""

from __future__ import annotations

import bpy  # where Blender is a Python module, bmesh is there only after it

# isort: split
import bmesh
import numpy as np

from ..blender.background.topology import connected_components
from .cleaning import edited_mesh
from .edges import build_edges
from .surface import Array, Surface, areas, of_mesh, triangles_of_mesh


def component_of_face(faces: Array, count: int) -> Array:
    """Return the component number of each face (f,), from 0; faces that share a vertex are connected."""
    edges = build_edges(faces, count)
    label = connected_components(count, edges.start[edges.first], edges.end[edges.first])
    return np.unique(label[faces[:, 0]], return_inverse=True)[1]


def without_small_components(surface: Surface, share: float) -> Surface:
    """Return the surface without components below this share of its area; the largest is always kept."""
    kept = _is_kept(surface.faces, len(surface.points), face_areas(surface), share)
    return compact(Surface(surface.points, surface.faces[kept]))


def delete_small_components(mesh: bpy.types.Mesh, share: float) -> int:
    """Delete the same components from a Blender mesh and return the number of deleted faces."""
    triangles, owner = triangles_of_mesh(mesh)
    points = of_mesh(mesh).points
    kept = _is_kept(triangles, len(points), areas(points, triangles), share)
    doomed = np.unique(owner[~kept])
    if len(doomed):
        with edited_mesh(mesh) as edited:
            edited.faces.ensure_lookup_table()
            bmesh.ops.delete(edited, geom=[edited.faces[index] for index in doomed], context="FACES")
    return len(doomed)


def _is_kept(faces: Array, count: int, sizes: Array, share: float) -> Array:
    part = component_of_face(faces, count)
    size = np.bincount(part, weights=sizes)
    keep = size >= share * size.sum()
    keep[size.argmax()] = True
    return np.asarray(keep[part])


def face_areas(surface: Surface) -> Array:
    """Return the area of each face (f,)."""
    halves = areas(surface.points, surface.triangles())
    sizes = halves[: len(surface.faces)].copy()
    sizes[surface.is_quad] += halves[len(surface.faces) :]
    return sizes


def compact(surface: Surface) -> Surface:
    """Return the surface without unused points."""
    used = np.unique(surface.faces[surface.faces >= 0])
    number = np.full(len(surface.points) + 1, -1)
    number[used] = np.arange(len(used))
    return Surface(surface.points[used], number[surface.faces])
