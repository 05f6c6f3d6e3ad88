"""Quads made square without leaving the source, and drawn near to it.

Local and global steps in turns, after S. Bouaziz et al., Shape-Up: Shaping Discrete Geometry with Projections (Computer
Graphics Forum 2012): the rectangle that is nearest to each quad, then the vertices that suit all rectangles best.
"""

from __future__ import annotations

import numpy as np

from . import tuning
from .components import compact
from .edges import rim_of
from .progress import turns
from .projection import conjugate_gradients, move_vertices
from .surface import Array, Nearest, Surface, scattered, unit, vertex_normals


def squared(quads: Surface, source: Surface) -> Surface:
    """Return the quads with more even angles, on the source, as near to it as they allow."""
    quads = compact(quads)
    triangles = source.triangles()
    nearest = Nearest(source.points, triangles)
    points = quads.points
    for _ in turns(tuning.SQUARE_ROUNDS, 0.7, 0.78):
        points = nearest(_more_square(points, quads))[0]
    for turn in turns(tuning.QUADS_NEARING, 0.78, 1.0):
        for _ in range(tuning.SQUARE_BETWEEN):
            points = _more_square(points, quads)
        quads = turned_to_cut(Surface(points, quads.faces), nearest)
        points = move_vertices(points, quads.triangles(), nearest, source.points, triangles, turn, tuning.QUADS_EASE)
    return turned_to_cut(Surface(points, quads.faces), nearest)


def turned_to_cut(quads: Surface, source: Nearest) -> Surface:
    """Return the quads with the diagonal that is nearer to the source first to third: they are cut there."""
    faces = quads.faces.copy()
    corner = quads.points[faces]
    one, other = ((corner[:, k] + corner[:, k + 2]) / 2 for k in (0, 1))
    turn = quads.is_quad & (source.distances(other) < source.distances(one))
    faces[turn] = np.roll(faces[turn], 1, axis=1)
    return Surface(quads.points, faces)


def _more_square(points: Array, quads: Surface) -> Array:
    """Return the vertices where their faces, as rectangles, want them most; they move in the surface's plane.

    A rectangle's diagonals are as long as each other and cut each other in half.
    """
    faces, count = quads.faces[quads.is_quad], len(points)
    corner = _centred(points[faces])
    one, other = corner[:, 2] - corner[:, 0], corner[:, 3] - corner[:, 1]
    half = (np.linalg.norm(one, axis=1) + np.linalg.norm(other, axis=1))[:, None] / 4
    one, other = unit(one) * half, unit(other) * half
    wanted = np.stack([-one, -other, one, other], axis=1)
    normals = vertex_normals(points, Surface(points, quads.faces).triangles())
    free = np.ones((count, 1))
    free[rim_of(quads.faces, count)] = 0
    times = np.bincount(faces.ravel(), minlength=count)[:, None]

    def in_plane(vectors: Array) -> Array:
        return free * (vectors - normals * np.einsum("ij,ij->i", vectors, normals)[:, None])

    def apply(moves: Array) -> Array:
        return in_plane(scattered(faces, _centred(moves[faces]), count) + tuning.SQUARE_HOLD * times * moves)

    missing = in_plane(scattered(faces, wanted - corner, count))
    ease = 1 / np.maximum(times * (0.75 + tuning.SQUARE_HOLD), 1)
    return points + conjugate_gradients(apply, missing, ease, tuning.SQUARE_STEPS)


def _centred(corners: Array) -> Array:
    return corners - corners.mean(axis=1, keepdims=True)


def off_square(quads: Surface) -> float:
    """Return by how many degrees the quads' corners are off 90, on the mean."""
    faces = quads.faces[quads.is_quad]
    if not len(faces):
        return 90.0
    corner = quads.points[faces]
    after, before = unit(np.roll(corner, -1, axis=1) - corner), unit(np.roll(corner, 1, axis=1) - corner)
    angle = np.degrees(np.arccos(np.clip(np.einsum("ijk,ijk->ij", after, before), -1, 1)))
    return float(np.abs(angle - 90).mean())
