"""Edge connectivity of faces as arrays, and counts of edge defects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .surface import Array, Surface


@dataclass(frozen=True)
class Edges:
    """Half edges of all face corners, sorted so that those of one edge are adjacent.

    ``start``/``end`` vertex and ``face`` per half edge; per edge ``first`` is the index of its
    first half edge, ``uses`` the number of its half edges, and ``keys`` its unique key, ascending.
    """

    start: Array
    end: Array
    face: Array
    first: Array
    uses: Array
    keys: Array
    count: int
    """Number of vertices; part of the keys."""

    def key(self, one: Array, other: Array) -> Array:
        """Return the keys of edges between these vertices, existing or not."""
        return np.minimum(one, other) * self.count + np.maximum(one, other)

    def has(self, keys: Array) -> Array:
        """Return which keys belong to an existing edge."""
        if not len(self.keys):
            return np.zeros(len(keys), bool)
        return self.keys[np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)] == keys

    def pairs(self) -> tuple[Array, Array]:
        """Return the indices of both half edges of each edge between exactly two faces."""
        two = self.first[self.uses == 2]
        return two, two + 1


def build_edges(faces: Array, count: int) -> Edges:
    """Return the edges of faces (f, 3) or (f, 4), -1 for no corner, of a mesh with ``count`` vertices."""
    faces = np.asarray(faces, np.int64)
    width = faces.shape[1]
    following = np.roll(faces, -1, axis=1)
    if width == 4:
        triangle = faces[:, 3] < 0
        following[triangle, 2] = faces[triangle, 0]
    there = faces.ravel() >= 0
    start, end = faces.ravel()[there], following.ravel()[there]
    face = np.repeat(np.arange(len(faces)), width)[there]
    keys = np.minimum(start, end) * count + np.maximum(start, end)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, np.int64)
    uses = np.diff(np.r_[first, len(keys)])
    return Edges(start[order], end[order], face[order], first, uses, keys[first], count)


def boundary_vertices(faces: Array, count: int) -> Array:
    """Return the vertices at open edges, ascending."""
    edges = build_edges(faces, count)
    open_ = edges.first[edges.uses == 1]
    return np.unique(np.concatenate([edges.start[open_], edges.end[open_]]))


@dataclass(frozen=True)
class EdgeDefects:
    """Number of open edges, edges with more than two faces, and edges whose two faces have opposite orientation."""

    open: int
    non_manifold: int
    inconsistent: int

    @property
    def is_closed(self) -> bool:
        """Return whether the mesh is watertight and consistently oriented."""
        return not (self.open or self.non_manifold or self.inconsistent)


def count_edge_defects(surface: Surface) -> EdgeDefects:
    """Count the edge defects of a surface."""
    edges = build_edges(surface.faces, len(surface.points))
    one, other = edges.pairs()
    return EdgeDefects(
        open=int((edges.uses == 1).sum()),
        non_manifold=int((edges.uses > 2).sum()),
        inconsistent=int((edges.start[one] == edges.start[other]).sum()),
    )


def volume(surface: Surface) -> float:
    """Return the signed volume; exact for closed surfaces."""
    triangles = surface.triangles()
    corners = (surface.points - surface.points.mean(axis=0))[triangles]
    return float(np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)
