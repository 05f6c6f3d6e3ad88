"""Detects faces with wrong orientation: numpy over plain arrays, linear in the size of the mesh.

A component (faces joined by edges) is wrong if two neighbours have opposite orientation, or if it is closed and faces
inwards, unless it is the wall of a cavity in a larger component.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..blender.background.topology import connected_components

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Faces:
    """A mesh as arrays: vertex positions (v, 3), and per corner its vertex, edge and face.

    ``edges`` holds the two vertices of each edge, ``starts`` the first corner of each face.
    """

    positions: Array
    corner_vertex: Array
    corner_edge: Array
    corner_face: Array
    edges: Array
    starts: Array


@dataclass(frozen=True)
class WrongFaces:
    """Face indices of inconsistently oriented components, and of closed components that are inside out."""

    inconsistent: Array
    inside_out: Array


def find_wrong_faces(faces: Faces) -> WrongFaces:
    """Return the faces of all components whose normals need repair."""
    part = connected_components(len(faces.positions), *faces.edges.T)[faces.corner_vertex[faces.starts]]
    _, part = np.unique(part, return_inverse=True)
    count = int(part.max()) + 1
    open_edges, odd_edges = _edge_faults(faces)
    inconsistent = _any_in_component(odd_edges, faces, part, count)
    is_open = _any_in_component(open_edges, faces, part, count)
    volume = np.bincount(part, weights=_volumes(faces), minlength=count)
    inside_out = ~inconsistent & ~is_open & (volume < 0) & ~_is_nested(faces, part, count)
    return WrongFaces(np.flatnonzero(inconsistent[part]), np.flatnonzero(inside_out[part]))


def _edge_faults(faces: Faces) -> tuple[Array, Array]:
    """Return per edge whether it is not between exactly two faces, and whether its two faces disagree."""
    forwards = faces.corner_vertex == faces.edges[faces.corner_edge, 0]
    uses = np.bincount(faces.corner_edge, minlength=len(faces.edges))
    forward_uses = np.bincount(faces.corner_edge, weights=forwards, minlength=len(faces.edges))
    return uses != 2, (uses == 2) & (forward_uses != 1)


def _any_in_component(edge_fault: Array, faces: Faces, part: Array, count: int) -> Array:
    faulty = part[faces.corner_face[edge_fault[faces.corner_edge]]]
    return np.bincount(faulty, minlength=count) > 0


def _volumes(faces: Faces) -> Array:
    """Return six times the signed volume between each face and the middle of the mesh, by a fan of triangles."""
    centred = faces.positions - faces.positions.mean(axis=0)
    corners = len(faces.corner_vertex)
    following = np.minimum(np.arange(corners) + 1, corners - 1)
    first = centred[faces.corner_vertex[faces.starts[faces.corner_face]]]
    here, there = centred[faces.corner_vertex], centred[faces.corner_vertex[following]]
    in_face = faces.corner_face[following] == faces.corner_face
    volumes = np.where(in_face, np.einsum("ij,ij->i", first, np.cross(here, there)), 0.0)
    return np.bincount(faces.corner_face, weights=volumes, minlength=len(faces.starts))


def _is_nested(faces: Faces, part: Array, count: int) -> Array:
    """Return per component whether its box lies within another one's: walls of cavities correctly face inwards."""
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    corner_part = part[faces.corner_face]
    np.minimum.at(low, corner_part, faces.positions[faces.corner_vertex])
    np.maximum.at(high, corner_part, faces.positions[faces.corner_vertex])
    order = np.argsort(-np.prod(high - low, axis=1))[:MAX_NESTING_COMPONENTS]
    inside = np.zeros(count, dtype=bool)
    for outer in order:
        inside |= np.all(low > low[outer], axis=1) & np.all(high < high[outer], axis=1)
    return inside


MAX_NESTING_COMPONENTS = 100
"""Only the largest components are tested for cavities: each test visits all components."""
