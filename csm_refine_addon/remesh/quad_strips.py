"""Splits the widest quad strips (quads joined by opposite edges) to reach a number of faces.

QuadriFlow takes 15 s for 20,000 faces and misses their number by up to 7 %; a second run is as far
off as the first. A strip split along its middle yields only quads and does not change its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..blender.background.topology import connected_components
from . import tuning
from .edges import Edges, build_edges
from .surface import Array, Surface


def split_strips(quads: Surface, least: int, most: int) -> Surface:
    """Split the widest strips until there are at least ``least`` faces, if possible, and never more than ``most``.

    Strips that meet a triangle, a non-manifold edge or themselves are not split.
    """
    for _ in range(tuning.STRIP_ROUNDS):
        if len(quads.faces) >= least:
            break
        rows = _find_strips(quads)
        chosen = _select_strips(quads, rows, least - len(quads.faces), most - len(quads.faces))
        if not chosen.any():
            break
        quads = _split_selected(quads, rows, chosen)
    return quads


@dataclass(frozen=True)
class _Strips:
    """``edge`` (f, 4): the number of the edge from each corner, of quads; ``row`` of each edge, below ``count``."""

    edges: Edges
    edge: Array
    row: Array
    count: int
    width: Array
    """Of each row: how long the edges that would be cut are, beside those along it; 0 where it cannot be cut."""

    @property
    def across(self) -> Array:
        """(f, 2): the row whose cut goes through a face's first and third edge, and through the others."""
        return self.row[self.edge[:, :2]]


def _find_strips(quads: Surface) -> _Strips:
    edges = build_edges(quads.faces, len(quads.points))
    edge = np.searchsorted(edges.keys, edges.key(quads.faces, np.roll(quads.faces, -1, axis=1)))
    edge = np.where(quads.is_quad[:, None], edge, 0)
    whole = edge[quads.is_quad]
    found = connected_components(len(edges.keys), whole[:, :2].ravel(), whole[:, 2:].ravel())
    _, row = np.unique(found, return_inverse=True)
    count = int(row.max(initial=-1)) + 1
    ends = edges.start[edges.first], edges.end[edges.first]
    length = np.linalg.norm(quads.points[ends[0]] - quads.points[ends[1]], axis=1)
    sides = np.stack([length[whole[:, k]] + length[whole[:, k + 2]] for k in (0, 1)], axis=1)
    own = row[whole[:, :2]]
    cut, along = (np.bincount(own.ravel(), weights=side.ravel(), minlength=count) for side in (sides, sides[:, ::-1]))
    width = cut / np.where(along > 0, along, 1.0) * (along > 0)
    width[own[own[:, 0] == own[:, 1]]] = 0
    width[row[edges.uses > 2]] = 0
    of_triangles = np.isin(edges.face, np.flatnonzero(~quads.is_quad))
    width[row[np.repeat(np.arange(len(edges.uses)), edges.uses)[of_triangles]]] = 0
    return _Strips(edges, edge, row, count, width)


def _select_strips(quads: Surface, rows: _Strips, wanted: int, most: int) -> Array:
    """Return for each row whether it is cut: the widest first, none that crosses another split strip."""
    across = rows.across
    order = np.argsort(across.ravel(), kind="stable")
    order = order[quads.is_quad[order // 2]]
    face_of = order // 2
    ends = np.cumsum(np.bincount(across.ravel()[order], minlength=rows.count))
    chosen, taken, gained = np.zeros(rows.count, bool), np.zeros(len(across), bool), 0
    for row in np.argsort(-rows.width, kind="stable").tolist():
        if gained >= wanted or rows.width[row] <= 0:
            break
        faces = face_of[ends[row - 1] if row else 0 : ends[row]]
        if gained + len(faces) <= most and not taken[faces].any():
            chosen[row] = taken[faces] = True
            gained += len(faces)
    return chosen


def _split_selected(quads: Surface, rows: _Strips, chosen: Array) -> Surface:
    edges, cut = rows.edges, np.flatnonzero(chosen[rows.row])
    middle = np.full(len(edges.keys), -1)
    middle[cut] = len(quads.points) + np.arange(len(cut))
    ends = edges.start[edges.first[cut]], edges.end[edges.first[cut]]
    points = np.concatenate([quads.points, (quads.points[ends[0]] + quads.points[ends[1]]) / 2])
    first, second = (chosen[rows.across[:, k]] & quads.is_quad for k in (0, 1))
    faces = np.concatenate([quads.faces[first], np.roll(quads.faces[second], -1, axis=1)])
    edge = np.concatenate([rows.edge[first], np.roll(rows.edge[second], -1, axis=1)])
    here, there = middle[edge[:, 0]], middle[edge[:, 2]]
    halves = [
        np.stack([faces[:, 0], here, there, faces[:, 3]], axis=1),
        np.stack([here, faces[:, 1], faces[:, 2], there], axis=1),
    ]
    return Surface(points, np.concatenate([quads.faces[~(first | second)], *halves]))
