"""Surfaces out of distance fields, on a grid, as image-to-3D models make them; numpy alone, and always the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Field = Callable[[Array], Array]
"""Points (n, 3) to signed distances (n,), below zero inside."""


def surface(field: Field, low: Sequence[float], high: Sequence[float], cells: int) -> tuple[Array, Array]:
    """Return vertices (n, 3) and quads (m, 4) around what is inside, counter-clockwise from outside.

    One vertex in each cell that the surface cuts, at the mean of the cuts of its edges (surface nets, Gibson 1998).
    ``cells`` is their number along the longest side.
    """
    start = np.array(low, dtype=np.float64)
    step = float(np.max(np.array(high) - start)) / cells
    shape = tuple(np.ceil((np.array(high) - start) / step).astype(int) + 1)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    values = field(start + points * step).reshape(shape)
    sums, counts, quads = np.zeros((values.size, 3)), np.zeros(values.size), []
    for axis in range(3):
        cut, around, forwards = _cut_edges(values, axis)
        quads.append(np.where(forwards[:, None], around, around[:, ::-1]))
        for cell in around.T:
            np.add.at(sums, cell, cut)
            np.add.at(counts, cell, 1)
    used = np.flatnonzero(counts)
    number = np.full(values.size, -1)
    number[used] = np.arange(len(used))
    return start + sums[used] / counts[used, None] * step, number[np.concatenate(quads)]


def _cut_edges(values: Array, axis: int) -> tuple[Array, Array, Array]:
    """Return where the surface cuts edges along an axis, the four cells around each, and which way it looks."""
    here = np.take(values, range(values.shape[axis] - 1), axis)
    there = np.take(values, range(1, values.shape[axis]), axis)
    second, third = (axis + 1) % 3, (axis + 2) % 3
    at = np.argwhere((here < 0) != (there < 0))
    at = at[(at[:, second] > 0) & (at[:, third] > 0)]
    first, last = here[tuple(at.T)], there[tuple(at.T)]
    cut = at.astype(np.float64)
    cut[:, axis] += first / (first - last)
    corners = []
    for back, left in ((0, 0), (1, 0), (1, 1), (0, 1)):
        cell = at.copy()
        cell[:, second] -= back
        cell[:, third] -= left
        corners.append(np.ravel_multi_index(tuple(cell.T), values.shape))
    return cut, np.stack(corners, axis=1), first < 0


def triangles_of(quads: Array) -> Array:
    """Return each quad as two triangles, (2m, 3)."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def box(points: Array, centre: Sequence[float], half: Sequence[float], radius: float = 0.0) -> Array:
    """Return the distance to a box with rounded edges."""
    away = np.abs(points - centre) - (np.array(half) - radius)
    outside = np.linalg.norm(np.maximum(away, 0.0), axis=1)
    return np.asarray(outside + np.minimum(away.max(axis=1), 0.0) - radius)


def rod(points: Array, start: Sequence[float], end: Sequence[float], radius: float) -> Array:
    """Return the distance to a rod with round ends."""
    along = np.array(end) - start
    share = np.clip((points - start) @ along / (along @ along), 0.0, 1.0)
    return np.asarray(np.linalg.norm(points - start - share[:, None] * along, axis=1) - radius)


def ball(points: Array, centre: Sequence[float], radii: Sequence[float]) -> Array:
    """Return roughly the distance to an ellipsoid."""
    scaled = (points - centre) / radii
    length = np.linalg.norm(scaled, axis=1)
    return np.asarray((length - 1.0) * min(radii))


def blend(first: Array, second: Array, width: float) -> Array:
    """Return the union of two, flowing into each other (polynomial smooth minimum)."""
    share = np.clip(0.5 + 0.5 * (second - first) / width, 0.0, 1.0)
    return second + (first - second) * share - width * share * (1 - share)


def unrest(points: Array, size: float, wave: float) -> Array:
    """Return the bumps that such models leave on a surface that should be smooth."""
    x, y, z = (points * (2 * np.pi / wave)).T
    bumps = np.sin(x + 1.3 * np.sin(y)) * np.sin(y + 0.7) + np.sin(z * 1.7 + x) * np.cos(y * 0.6 + z)
    return np.asarray(size * bumps / 2)


def sphere(rings: int, segments: int) -> tuple[Array, Array]:
    """Return a ball of radius 1 as vertices and triangles, one vertex at each pole."""
    down = np.pi * np.arange(1, rings)[:, None] / rings
    around = 2 * np.pi * np.arange(segments)[None, :] / segments
    heights = np.broadcast_to(np.cos(down), (rings - 1, segments))
    middle = np.stack([np.sin(down) * np.cos(around), heights, -np.sin(down) * np.sin(around)], axis=-1).reshape(-1, 3)
    vertices = np.concatenate([middle, [[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]])
    ring, segment = (part.ravel() for part in np.mgrid[0 : rings - 2, 0:segments])
    following = (segment + 1) % segments
    a, b = ring * segments + segment, (ring + 1) * segments + segment
    c, d = (ring + 1) * segments + following, ring * segments + following
    edge = np.arange(segments)
    after = (edge + 1) % segments
    top, bottom = len(middle), len(middle) + 1
    last = (rings - 2) * segments
    caps = [
        np.stack([np.full(segments, top), edge, after], axis=1),
        np.stack([np.full(segments, bottom), last + after, last + edge], axis=1),
    ]
    return vertices, np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1), *caps])


def cube() -> tuple[Array, Array]:
    """Return a cube of side 1 around the origin as vertices and triangles."""
    vertices = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    return vertices, triangles_of(quads)
