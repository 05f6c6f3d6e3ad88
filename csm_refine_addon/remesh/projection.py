"""Fits a coarse mesh to its source: moves vertices by least squares and flips edges.

After H. Hoppe et al., Mesh Optimization (SIGGRAPH 1993), with the point-to-plane distance of registration and weights
that make it a mean distance, not a mean square.
"""

from __future__ import annotations

import numpy as np

from . import tuning
from .edges import boundary_vertices, build_edges
from .progress import turns
from .surface import Array, Nearest, crosses, samples, scatter_add, unit, weights_in


def fit_to_source(
    points: Array, triangles: Array, source_points: Array, source_triangles: Array
) -> tuple[Array, Array]:
    """Return points and triangles fitted to the source; counts and boundary edges do not change."""
    source = Nearest(source_points, source_triangles)
    triangles = flip_edges(points, triangles, source)
    for turn in turns(tuning.PROJECTION_ROUNDS, 0.2, 1.0):
        points = move_vertices(points, triangles, source, source_points, source_triangles, turn)
        if turn < tuning.PROJECTION_FLIPS:
            triangles = flip_edges(points, triangles, source)
    return points, triangles


def move_vertices(
    points: Array,
    triangles: Array,
    source: Nearest,
    source_points: Array,
    source_triangles: Array,
    seed: int = 0,
    ease: tuple[float, float] = tuning.PROJECTION_WEIGHTS,
) -> Array:
    """Return the vertices of one Gauss-Newton step towards the least mean distance between both surfaces.

    ``ease``: how much a distance along the surface counts beside one across it, and staying in place beside both.
    Vertices at open edges are held more strongly: a half that left the mirror plane could not be mirrored.
    """
    count = int(np.clip(tuning.SAMPLES_PER_TRIANGLE * len(triangles), *tuning.SAMPLES_RANGE))
    there, of_source = samples(source_points, source_triangles, count, seed)
    places, which, far = Nearest(points, triangles)(there)
    here, which_back = samples(points, triangles, count // 2, seed + 100)
    back, of_source_back, far_back = source(here)
    normals = unit(crosses(source_points, source_triangles))[np.concatenate([of_source, of_source_back])]
    which = np.concatenate([which, which_back])
    weights = weights_in(points, triangles, which, np.concatenate([places, here]))
    target, far = np.concatenate([there, back]), np.concatenate([far, far_back])
    agree = np.einsum("ij,ij->i", unit(crosses(points, triangles))[which], normals) > tuning.SAME_SIDE_COSINE
    scale = np.median(far) * tuning.PROJECTION_ROBUST_SCALE + 1e-12 * np.ptp(points)
    # What sticks out of the source's box would be pushed back when the mesh is fitted to the box that is asked for.
    trust = agree / np.hypot(far, scale)
    held = np.full(len(points), ease[1])
    held[boundary_vertices(triangles, len(points))] = tuning.BOUNDARY_HOLD_WEIGHT
    corners = triangles[which]
    missing = target - np.einsum("ijk,ij->ik", points[corners], weights)
    moved = points + _solve_moves(corners, weights, missing, normals, trust, ease[0], held)
    return np.clip(moved, source_points.min(axis=0), source_points.max(axis=0))


def _solve_moves(
    corners: Array,
    weights: Array,
    missing: Array,
    normals: Array,
    trust: Array,
    slide: float,
    held: Array,
) -> Array:
    """Solve for the vertices' moves by conjugate gradients; the distance along the normal counts, the rest hardly."""
    count = len(held)
    square = np.bincount(corners.ravel(), weights=(trust[:, None] * weights**2).ravel(), minlength=count)
    hold = (held * square.mean() + 1e-300)[:, None]
    precondition = 1 / (square[:, None] * (1 / 3 + slide) + hold)

    def spread(pull: Array) -> Array:
        return scatter_add(corners, pull[:, None, :] * weights[:, :, None], count)

    def along_normal(vectors: Array) -> Array:
        return normals * (np.einsum("ij,ij->i", normals, vectors) * trust)[:, None]

    def apply(moves: Array) -> Array:
        moved = np.einsum("ijk,ij->ik", moves[corners], weights)
        return spread(along_normal(moved) + slide * trust[:, None] * moved) + hold * moves

    return conjugate_gradients(apply, spread(along_normal(missing)), precondition, tuning.PROJECTION_STEPS)


def conjugate_gradients(apply, wanted: Array, precondition: Array, steps: int, start: Array | None = None) -> Array:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Return x with apply(x) = wanted, nearly, for a symmetric positive ``apply``; Jacobi preconditioned."""
    found = np.zeros_like(wanted) if start is None else start
    rest = wanted - (apply(found) if start is not None else 0)
    eased = precondition * rest
    direction, size = eased.copy(), float((rest * eased).sum())
    least = 1e-10 * size
    for _ in range(steps):
        if size <= least:
            break
        image = apply(direction)
        step = size / max(float((direction * image).sum()), 1e-300)
        found = found + step * direction
        rest = rest - step * image
        eased = precondition * rest
        before, size = size, float((rest * eased).sum())
        direction = eased + size / before * direction
    return found


def flip_edges(points: Array, triangles: Array, source: Nearest) -> Array:
    """Return triangles with the edges along the other diagonal of two faces where that is nearer to the source.

    No face loses two of its edges at once.
    """
    triangles = np.array(triangles, np.int64)
    edges = build_edges(triangles, len(points))
    one, other = edges.pairs()
    agree = edges.start[one] == edges.end[other]
    one, other = one[agree], other[agree]
    a, b, left, right = edges.start[one], edges.end[one], edges.face[one], edges.face[other]
    c, d = (triangles[face].sum(axis=1) - a - b for face in (left, right))
    crossing = edges.key(c, d)
    allowed = np.flatnonzero((c != d) & ~edges.has(crossing) & _is_flip_allowed(points, a, b, c, d))
    a, b, c, d, left, right, crossing = (array[allowed] for array in (a, b, c, d, left, right, crossing))
    now, then = (_distance_along(points[x], points[y], source) for x, y in ((a, b), (c, d)))
    gain = now - then
    order = np.flatnonzero(gain > tuning.FLIP_MIN_GAIN * now)
    order = order[np.argsort(-gain[order], kind="stable")]
    order = order[np.unique(crossing[order], return_index=True)[1]]
    order = order[np.argsort(-gain[order], kind="stable")]
    rank, best = np.arange(len(order)), np.full(len(triangles), len(order))
    for face in (left[order], right[order]):
        np.minimum.at(best, face, rank)
    chosen = order[(best[left[order]] == rank) & (best[right[order]] == rank)]
    triangles[left[chosen]] = np.stack([a[chosen], d[chosen], c[chosen]], axis=1)
    triangles[right[chosen]] = np.stack([d[chosen], b[chosen], c[chosen]], axis=1)
    return triangles


def _is_flip_allowed(points: Array, a: Array, b: Array, c: Array, d: Array) -> Array:
    """Return where (a, d, c) and (d, b, c) face like (a, b, c) and (b, a, d), and are no needles."""
    before = unit(crosses(points, np.stack([a, b, c], 1)) + crosses(points, np.stack([b, a, d], 1)))
    good = np.ones(len(a), bool)
    for corners in (np.stack([a, d, c], 1), np.stack([d, b, c], 1)):
        normal = crosses(points, corners)
        size = np.linalg.norm(normal, axis=1)
        sides = points[corners] - points[np.roll(corners, 1, axis=1)]
        longest = np.einsum("ijk,ijk->ij", sides, sides).max(axis=1)
        good &= np.einsum("ij,ij->i", normal, before) > tuning.FLIP_MIN_COSINE * size
        good &= size > tuning.FLIP_MIN_ASPECT * longest
    return good


def _distance_along(start: Array, end: Array, source: Nearest) -> Array:
    """Return the mean distance of three places between two points from the source."""
    places = np.concatenate([start * (1 - t) + end * t for t in (0.25, 0.5, 0.75)])
    return source.distances(places).reshape(3, -1).mean(axis=0)
