"""Detection of vertices that an exporter split along UV seams, sharp edges or material borders.

A file repeats such a vertex with the same three float32 numbers. Equal positions alone are not enough: parts that
touch, and two faces back to back, also share positions. So edges are joined, and vertices only as a consequence:

* An open edge is joined with another one between the same two positions that runs in the opposite direction.
* Two coincident faces are not joined: they are the two sides of a card.
* If more than two open edges lie between the same two positions, pairs of the same connected component are joined
  first, then pairs without an alternative, then pairs in file order, in which the faces of a part are adjacent. Pairs
  of different components are joined only if as many edges run in one direction as in the other. An edge without a
  partner stays open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .topology import Array, Faces, Remap, connected_components, edge_keys, number_rows

Pairs = tuple[Array, Array]
"""Two arrays (n,) of the first and the second elements."""

MAX_SIDES_TO_JOIN = 16
"""More open edges than this between the same two positions stay open."""
COINCIDENT = 1e-9
"""Faces are coincident if the cosine of their normals is closer to -1 than this."""
NEARLY_COINCIDENT = -0.9
"""Below this cosine in float32, it is computed again in float64."""
DEGENERATE = 1e-6
"""A face whose area is less than this fraction of its longest side squared has no normal."""


def weld(positions: Array, faces: Faces) -> Remap | None:
    """Weld vertices (v, 3) float32 and their faces; return None if nothing changes.

    Corners joined by a side of zero length are merged, and faces with fewer than three corners left are removed: they
    are not visible and would leave open edges.
    """
    with np.errstate(all="ignore"):  # a file may hold any numbers; faces with NaN never count as coincident
        return _weld(positions, faces)


def _weld(positions: Array, faces: Faces) -> Remap | None:
    position_number = number_rows(np.zeros(len(positions), dtype=np.int32), positions)
    links, kept = _zero_length_sides(position_number, faces)
    corner, face, reduced = _remaining_faces(faces, kept)
    if not len(reduced.start):
        return None
    whole = connected_components(len(positions), *links)[reduced.vertex]
    merged = _merged_vertices(positions, position_number, Faces(whole, reduced.start))
    if not len(merged[0]) and kept.all():
        return None
    label = connected_components(len(positions), *_concatenate(links, merged))
    return _renumber(label, reduced, face, corner)


def _zero_length_sides(position_number: Array, faces: Faces) -> tuple[Pairs, Array]:
    """Return the vertex pairs joined by sides of zero length, and for each corner whether it stays."""
    following = faces.following
    kept = position_number[faces.vertex] != position_number[faces.vertex[following]]
    return (faces.vertex[~kept], faces.vertex[following[~kept]]), kept


def _remaining_faces(faces: Faces, kept: Array) -> tuple[Array, Array, Faces]:
    """Return the old corners and faces that stay, and the resulting faces."""
    if kept.all():
        return np.arange(len(kept)), np.arange(len(faces.start)), faces
    left = np.add.reduceat(kept.astype(np.int32), faces.start)
    stays = left >= 3
    corner = np.flatnonzero(kept & np.repeat(stays, faces.sides))
    start = np.cumsum(np.append(0, left[stays]))[:-1]
    return corner, np.flatnonzero(stays), Faces(faces.vertex[corner], start)


def _merged_vertices(positions: Array, position_number: Array, faces: Faces) -> Pairs:
    """Return the pairs of vertices that are merged because edges are joined."""
    sides = _OpenSides.of(positions, position_number, faces)
    pairs = sides.pairs_in_small_groups()
    if sides.has_large_groups:
        links = _concatenate((faces.vertex, faces.vertex[faces.following]), sides.links(*pairs))
        component = connected_components(len(positions), *links)[faces.vertex[sides.corner]]
        pairs = _concatenate(pairs, sides.pairs_in_large_groups(component))
    return sides.links(*pairs)


@dataclass(frozen=True, slots=True)
class _OpenSides:
    """Open sides of faces, in groups of sides between the same two positions.

    All (n,): the first corner of a side, its two vertices, its face, its group, and whether it runs from the lower
    position number to the higher; ``first`` and ``size`` give each group's first side and number of sides.
    """

    positions: Array
    faces: Faces
    corner: Array
    ends: Pairs
    face: Array
    group: Array
    is_forward: Array
    first: Array
    size: Array

    @classmethod
    def of(cls, positions: Array, position_number: Array, faces: Faces) -> _OpenSides:
        following = faces.vertex[faces.following]
        corner = np.flatnonzero(_occurs_once(edge_keys(faces.vertex, following)))
        ends = faces.vertex[corner], following[corner]
        keys = edge_keys(position_number[ends[0]], position_number[ends[1]])
        order = np.argsort(keys, kind="stable")
        first = np.flatnonzero(np.append(True, np.diff(keys[order]) != 0)) if len(keys) else keys
        size = np.diff(np.append(first, len(keys)))
        start, end = ends[0][order], ends[1][order]
        return cls(
            positions=positions,
            faces=faces,
            corner=corner[order],
            ends=(start, end),
            face=faces.face[corner[order]],
            group=np.repeat(np.arange(len(first)), size),
            is_forward=position_number[start] < position_number[end],
            first=first,
            size=size,
        )

    @property
    def has_large_groups(self) -> bool:
        """Whether any group has more than two sides."""
        return bool((self.size > 2).any())

    def links(self, one: Array, other: Array) -> Pairs:
        """Return the pairs of vertices that joining these sides merges."""
        start, end = self.ends
        return _concatenate((start[one], end[other]), (end[one], start[other]))

    def pairs_in_small_groups(self) -> Pairs:
        """Return the pairs of sides to join in groups of two."""
        one = self.first[self.size == 2]
        fits = self._can_join(one, one + 1)
        return one[fits], one[fits] + 1

    def pairs_in_large_groups(self, component: Array) -> Pairs:
        """Return the pairs of sides to join in larger groups; ``component`` (n,) is the component of each side."""
        one, other = self._candidates()
        is_apart = component[one] != component[other]
        wanted = ~is_apart | self._is_balanced()[self.group[one]]
        one, other, is_apart = one[wanted], other[wanted], is_apart[wanted]
        found: list[Pairs] = [(one[:0], other[:0])]
        while len(one):
            choices = np.bincount(np.concatenate([one, other]), minlength=len(self.corner))
            has_other = np.minimum(choices[one], choices[other]) > 1
            order = np.lexsort((other, one, has_other, is_apart, self.group[one]))
            best = order[np.append(True, np.diff(self.group[one][order]) != 0)]
            found.append((one[best], other[best]))
            is_taken = np.zeros(len(self.corner), dtype=bool)
            is_taken[one[best]] = is_taken[other[best]] = True
            left = ~(is_taken[one] | is_taken[other])
            one, other, is_apart = one[left], other[left], is_apart[left]
        return _concatenate(*found)

    def _candidates(self) -> Pairs:
        """Return all candidate pairs in groups of more than two sides."""
        wanted = (self.size > 2) & (self.size <= MAX_SIDES_TO_JOIN)
        side = np.flatnonzero(wanted[self.group])
        pairs = [(side[:0], side[:0])]
        for step in range(1, int(self.size[wanted].max(initial=1))):
            one = side[side + step < len(self.corner)]
            one = one[self.group[one] == self.group[one + step]]
            fits = self._can_join(one, one + step)
            pairs.append((one[fits], one[fits] + step))
        return _concatenate(*pairs)

    def _is_balanced(self) -> Array:
        """Return for each group whether equally many sides run in either direction."""
        forward = np.bincount(self.group, weights=self.is_forward, minlength=len(self.first))
        return np.asarray(2 * forward == self.size)

    def _can_join(self, one: Array, other: Array) -> Array:
        """Return which pairs of sides run in opposite directions and belong to faces that are not coincident."""
        face, neighbour = self.face[one], self.face[other]
        fits = (self.is_forward[one] != self.is_forward[other]) & (face != neighbour)
        return fits & ~_are_coincident(self.positions, self.faces, face, neighbour)


def _are_coincident(positions: Array, faces: Faces, face: Array, neighbour: Array) -> Array:
    """Return which faces coincide with their neighbours; each pair has a common side, in opposite directions."""
    x, y, z = _normals(positions, faces)
    coincident = x[face] * x[neighbour] + y[face] * y[neighbour] + z[face] * z[neighbour] < NEARLY_COINCIDENT
    candidates = np.unique(np.concatenate([face[coincident], neighbour[coincident]]))
    if len(candidates):
        exact = np.stack(_normals(positions.astype(np.float64), _subset(faces, candidates)), axis=1)
        one, other = (exact[np.searchsorted(candidates, which[coincident])] for which in (face, neighbour))
        coincident[coincident] = np.einsum("ij,ij->i", one, other) < COINCIDENT - 1
    return coincident


def _occurs_once(keys: Array) -> Array:
    order = np.argsort(keys, kind="stable")
    differs = np.diff(keys[order]) != 0
    once = np.empty(len(keys), dtype=bool)
    once[order] = np.append(True, differs) & np.append(differs, True) if len(keys) else False
    return once


def _subset(faces: Faces, which: Array) -> Faces:
    is_wanted = np.zeros(len(faces.start), dtype=bool)
    is_wanted[which] = True
    sides = faces.sides
    return Faces(faces.vertex[np.repeat(is_wanted, sides)], np.cumsum(np.append(0, sides[is_wanted]))[:-1])


def _normals(positions: Array, faces: Faces) -> tuple[Array, Array, Array]:
    """Return x, y, z of each face's unit normal (f,), zero for degenerate faces, in the dtype of ``positions``."""
    first, following = np.repeat(faces.vertex[faces.start], faces.sides), faces.following
    ax, ay, az = (np.ascontiguousarray(axis)[faces.vertex] - axis[first] for axis in positions.T)
    bx, by, bz = ax[following], ay[following], az[following]
    products = (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    x, y, z = (np.add.reduceat(product, faces.start) for product in products)
    longest = np.maximum.reduceat(ax * ax + ay * ay + az * az, faces.start)
    length = np.sqrt(x * x + y * y + z * z)
    scale = np.where(length > DEGENERATE * longest, 1 / np.maximum(length, np.finfo(length.dtype).tiny), 0)
    return x * scale, y * scale, z * scale


def _concatenate(*pairs: Pairs) -> Pairs:
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])


def _renumber(label: Array, faces: Faces, face: Array, corner: Array) -> Remap:
    vertex, vertex_of = np.unique(label, return_inverse=True)
    return _split_repeated(Remap(Faces(vertex_of[faces.vertex], faces.start), face, corner, vertex, vertex_of), faces)


def _split_repeated(welded: Remap, before: Faces) -> Remap:
    """Split vertices that would occur twice in one face; return the corrected remap."""
    if (before.sides == 3).all():
        return welded
    keys = welded.faces.face.astype(np.int64) << 32 | welded.faces.vertex
    order = np.argsort(keys, kind="stable")
    again = order[1:][np.diff(keys[order]) == 0]
    if not len(again):
        return welded
    vertex = welded.faces.vertex.copy()
    vertex[again] = len(welded.vertex) + np.arange(len(again))
    sources = np.append(welded.vertex, before.vertex[again])
    return Remap(Faces(vertex, before.start), welded.face, welded.corner, sources, welded.vertex_of)
