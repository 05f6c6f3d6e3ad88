"""Which vertices of a mesh are one that an exporter has split, along UV seams, sharp edges, or borders of materials.

A file repeats such a vertex with the same three float32 numbers. Position alone does not tell: parts that touch, and
two faces back to back, also share positions. So only edges are joined, and the vertices follow from them:

* An edge with one face is joined with another one between the same two places that runs the other way.
* Two faces that lie upon each other are not joined: they are the two sides of a card.
* Where more than two such edges meet, as many run either way: those that belong to the same piece otherwise are joined
  first, then those that leave no other choice, then in the order of the file, where the faces of a part stand
  together. An odd one out stays open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .topology import Array, Faces, Remap, connected, edge_keys, numbered

Pairs = tuple[Array, Array]
"""The ones (n,) and the others (n,)."""

MOST_AT_AN_EDGE = 16
"""Where more edges with one face lie between the same two places, they stay open."""
FOLDED = 1e-9
"""How close the cosine of two faces' normals comes to -1 where the faces lie upon each other."""
NEARLY_FOLDED = -0.9
"""Below this cosine, in float32, it is worth computing it in float64."""
NEEDLE = 1e-6
"""A face whose area is less than this part of its longest side squared has no normal."""


def weld(positions: Array, faces: Faces) -> Remap | None:
    """Return what welding makes of vertices (v, 3) float32 and faces; None where it changes nothing.

    Corners that a side of no length joins become one, and a face with fewer than three corners left goes: it shows
    nothing, and would stay open.
    """
    with np.errstate(all="ignore"):  # of a file that may hold any numbers; what is no number is never folded
        return _weld(positions, faces)


def _weld(positions: Array, faces: Faces) -> Remap | None:
    place = numbered(np.zeros(len(positions), dtype=np.int32), positions)
    links, kept = _sides_of_no_length(place, faces)
    corner, face, reduced = _reduced(faces, kept)
    if not len(reduced.start):
        return None
    whole = connected(len(positions), *links)[reduced.vertex]
    joined = _joined_edges(positions, place, Faces(whole, reduced.start))
    if not len(joined[0]) and kept.all():
        return None
    label = connected(len(positions), *_together(links, joined))
    return _renumbered(label, reduced, face, corner)


def _sides_of_no_length(place: Array, faces: Faces) -> tuple[Pairs, Array]:
    """Return the vertices that such a side joins, and for each corner whether it stays."""
    following = faces.following
    kept = place[faces.vertex] != place[faces.vertex[following]]
    return (faces.vertex[~kept], faces.vertex[following[~kept]]), kept


def _reduced(faces: Faces, kept: Array) -> tuple[Array, Array, Faces]:
    """Return the corners and the faces that stay, and the faces that they make up."""
    if kept.all():
        return np.arange(len(kept)), np.arange(len(faces.start)), faces
    left = np.add.reduceat(kept.astype(np.int32), faces.start)
    stays = left >= 3
    corner = np.flatnonzero(kept & np.repeat(stays, faces.sides))
    start = np.cumsum(np.append(0, left[stays]))[:-1]
    return corner, np.flatnonzero(stays), Faces(faces.vertex[corner], start)


def _joined_edges(positions: Array, place: Array, faces: Faces) -> Pairs:
    """Return the vertices that are one because edges of them are joined."""
    sides = _OpenSides.of(positions, place, faces)
    pairs = sides.pairs_of_two()
    if sides.has_crowds:
        links = _together((faces.vertex, faces.vertex[faces.following]), sides.links(*pairs))
        piece = connected(len(positions), *links)[faces.vertex[sides.corner]]
        pairs = _together(pairs, sides.pairs_of_crowds(piece))
    return sides.links(*pairs)


@dataclass(frozen=True, slots=True)
class _OpenSides:
    """Sides of faces that no other face shares, those between the same two places next to each other.

    All (n,): the corner that a side starts at, its two vertices, its face, its group, whether it runs from the lower
    place to the higher; and for each group its first side and how many it has.
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
    def of(cls, positions: Array, place: Array, faces: Faces) -> _OpenSides:
        following = faces.vertex[faces.following]
        corner = np.flatnonzero(_occurs_once(edge_keys(faces.vertex, following)))
        ends = faces.vertex[corner], following[corner]
        keys = edge_keys(place[ends[0]], place[ends[1]])
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
            is_forward=place[start] < place[end],
            first=first,
            size=size,
        )

    @property
    def has_crowds(self) -> bool:
        """Whether more than two sides lie between the same two places somewhere."""
        return bool((self.size > 2).any())

    def links(self, one: Array, other: Array) -> Pairs:
        """Return the vertices that become one where these sides are joined."""
        start, end = self.ends
        return _together((start[one], end[other]), (end[one], start[other]))

    def pairs_of_two(self) -> Pairs:
        """Return the sides that are joined because there is no other one between the same two places."""
        one = self.first[self.size == 2]
        fits = self._fits(one, one + 1)
        return one[fits], one[fits] + 1

    def pairs_of_crowds(self, piece: Array) -> Pairs:
        """Return the sides that are joined where there are more; ``piece`` (n,) is what each belongs to otherwise."""
        one, other = self._choices()
        is_apart = piece[one] != piece[other]
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
        return _together(*found)

    def _choices(self) -> Pairs:
        """Return all pairs of sides of a crowd that could be joined."""
        wanted = (self.size > 2) & (self.size <= MOST_AT_AN_EDGE)
        side = np.flatnonzero(wanted[self.group])
        pairs = [(side[:0], side[:0])]
        for step in range(1, int(self.size[wanted].max(initial=1))):
            one = side[side + step < len(self.corner)]
            one = one[self.group[one] == self.group[one + step]]
            fits = self._fits(one, one + step)
            pairs.append((one[fits], one[fits] + step))
        return _together(*pairs)

    def _is_balanced(self) -> Array:
        """Tell for each group whether as many sides run one way as the other."""
        forward = np.bincount(self.group, weights=self.is_forward, minlength=len(self.first))
        return np.asarray(2 * forward == self.size)

    def _fits(self, one: Array, other: Array) -> Array:
        """Tell which sides run opposite ways, and belong to two faces that do not lie upon each other."""
        face, neighbour = self.face[one], self.face[other]
        fits = (self.is_forward[one] != self.is_forward[other]) & (face != neighbour)
        return fits & ~_are_folded(self.positions, self.faces, face, neighbour)


def _are_folded(positions: Array, faces: Faces, face: Array, neighbour: Array) -> Array:
    """Tell which faces lie upon their neighbours; they have a side in common, and look the same way around it."""
    x, y, z = _normals(positions, faces)
    folded = x[face] * x[neighbour] + y[face] * y[neighbour] + z[face] * z[neighbour] < NEARLY_FOLDED
    looked_at = np.unique(np.concatenate([face[folded], neighbour[folded]]))
    if len(looked_at):
        exact = np.stack(_normals(positions.astype(np.float64), _some(faces, looked_at)), axis=1)
        one, other = (exact[np.searchsorted(looked_at, which[folded])] for which in (face, neighbour))
        folded[folded] = np.einsum("ij,ij->i", one, other) < FOLDED - 1
    return folded


def _occurs_once(keys: Array) -> Array:
    order = np.argsort(keys, kind="stable")
    differs = np.diff(keys[order]) != 0
    once = np.empty(len(keys), dtype=bool)
    once[order] = np.append(True, differs) & np.append(differs, True) if len(keys) else False
    return once


def _some(faces: Faces, which: Array) -> Faces:
    is_wanted = np.zeros(len(faces.start), dtype=bool)
    is_wanted[which] = True
    sides = faces.sides
    return Faces(faces.vertex[np.repeat(is_wanted, sides)], np.cumsum(np.append(0, sides[is_wanted]))[:-1])


def _normals(positions: Array, faces: Faces) -> tuple[Array, Array, Array]:
    """Return x, y, z of each face's normal (f,), of length 1, or 0 for a needle; as precise as ``positions``."""
    first, following = np.repeat(faces.vertex[faces.start], faces.sides), faces.following
    ax, ay, az = (np.ascontiguousarray(axis)[faces.vertex] - axis[first] for axis in positions.T)
    bx, by, bz = ax[following], ay[following], az[following]
    products = (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    x, y, z = (np.add.reduceat(product, faces.start) for product in products)
    longest = np.maximum.reduceat(ax * ax + ay * ay + az * az, faces.start)
    length = np.sqrt(x * x + y * y + z * z)
    scale = np.where(length > NEEDLE * longest, 1 / np.maximum(length, np.finfo(length.dtype).tiny), 0)
    return x * scale, y * scale, z * scale


def _together(*pairs: Pairs) -> Pairs:
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])


def _renumbered(label: Array, faces: Faces, face: Array, corner: Array) -> Remap:
    vertex, vertex_of = np.unique(label, return_inverse=True)
    return _without_loops(Remap(Faces(vertex_of[faces.vertex], faces.start), face, corner, vertex, vertex_of), faces)


def _without_loops(welded: Remap, before: Faces) -> Remap:
    """Return the same with vertices of their own for corners that would be a vertex of their face a second time."""
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
