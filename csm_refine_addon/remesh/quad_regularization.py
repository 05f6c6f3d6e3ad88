"""Makes quads more rectangular and fits them to the source.

Alternates local and global steps, after S. Bouaziz et al., Shape-Up: Shaping Discrete Geometry with Projections
(Computer Graphics Forum 2012): the nearest rectangle to each quad, then the vertices that fit all rectangles best.
"""

from __future__ import annotations

import numpy as np

from . import tuning
from .components import compact
from .edges import boundary_vertices
from .progress import turns
from .projection import conjugate_gradients, move_vertices
from .surface import Array, Nearest, Surface, scatter_add, unit, vertex_normals


def regularize_quads(quads: Surface, source: Surface) -> Surface:
    """Return the quads with more even angles, fitted to the source."""
    quads = compact(quads)
    triangles = source.triangles()
    nearest = Nearest(source.points, triangles)
    points = quads.points
    for _ in turns(tuning.REGULARIZE_ROUNDS, 0.7, 0.78):
        points = nearest(_regularize(points, quads))[0]
    for turn in turns(tuning.QUAD_PROJECTION_ROUNDS, 0.78, 1.0):
        for _ in range(tuning.REGULARIZE_PER_ROUND):
            points = _regularize(points, quads)
        quads = orient_diagonals(Surface(points, quads.faces), nearest)
        points = move_vertices(
            points, quads.triangles(), nearest, source.points, triangles, turn, tuning.QUAD_PROJECTION_WEIGHTS
        )
    return orient_diagonals(Surface(points, quads.faces), nearest)


def orient_diagonals(quads: Surface, source: Nearest) -> Surface:
    """Return the quads rotated so that corners 0 and 2 span the diagonal nearer to the source, where they are split."""
    faces = quads.faces.copy()
    corner = quads.points[faces]
    one, other = ((corner[:, k] + corner[:, k + 2]) / 2 for k in (0, 1))
    turn = quads.is_quad & (source.distances(other) < source.distances(one))
    faces[turn] = np.roll(faces[turn], 1, axis=1)
    return Surface(quads.points, faces)


def _regularize(points: Array, quads: Surface) -> Array:
    """Return the vertices of one least-squares step towards rectangles, moved in the tangent plane.

    The diagonals of a rectangle have equal length and bisect each other.
    """
    faces, count = quads.faces[quads.is_quad], len(points)
    corner = _centred(points[faces])
    one, other = corner[:, 2] - corner[:, 0], corner[:, 3] - corner[:, 1]
    half = (np.linalg.norm(one, axis=1) + np.linalg.norm(other, axis=1))[:, None] / 4
    one, other = unit(one) * half, unit(other) * half
    wanted = np.stack([-one, -other, one, other], axis=1)
    normals = vertex_normals(points, Surface(points, quads.faces).triangles())
    free = np.ones((count, 1))
    free[boundary_vertices(quads.faces, count)] = 0
    times = np.bincount(faces.ravel(), minlength=count)[:, None]

    def in_plane(vectors: Array) -> Array:
        return free * (vectors - normals * np.einsum("ij,ij->i", vectors, normals)[:, None])

    def apply(moves: Array) -> Array:
        return in_plane(
            scatter_add(faces, _centred(moves[faces]), count) + tuning.REGULARIZE_HOLD_WEIGHT * times * moves
        )

    missing = in_plane(scatter_add(faces, wanted - corner, count))
    ease = 1 / np.maximum(times * (0.75 + tuning.REGULARIZE_HOLD_WEIGHT), 1)
    return points + conjugate_gradients(apply, missing, ease, tuning.REGULARIZE_STEPS)


def _centred(corners: Array) -> Array:
    return corners - corners.mean(axis=1, keepdims=True)


def mean_angle_error(quads: Surface) -> float:
    """Return the mean deviation of the quad corners from 90 degrees."""
    faces = quads.faces[quads.is_quad]
    if not len(faces):
        return 90.0
    corner = quads.points[faces]
    after, before = unit(np.roll(corner, -1, axis=1) - corner), unit(np.roll(corner, 1, axis=1) - corner)
    angle = np.degrees(np.arccos(np.clip(np.einsum("ijk,ijk->ij", after, before), -1, 1)))
    return float(np.abs(angle - 90).mean())
