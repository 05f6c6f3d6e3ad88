"""What the UV layout is like: overlaps, stretch, how much of the atlas is used, islands."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .solids import Array, Solid, weld

SIDE = 2048


class Texels(NamedTuple):
    """Texels whose middle a triangle covers: their number in the atlas, the triangle, and the weights there."""

    texel: Array
    triangle: Array
    weights: Array


def measure(solid: Solid) -> dict[str, float]:
    """Return overlap, atlas use and stretch of a mesh with UVs; nothing for one without."""
    if solid.uvs is None:
        return {}
    uses = np.bincount(texels(solid.uvs, SIDE).texel, minlength=SIDE * SIDE)
    return {
        "overlap": float(np.sum(uses > 1) / max(1, int(np.sum(uses > 0)))),
        "atlas_use": float(np.mean(uses > 0)),
        "stretch": stretch(solid),
        "islands": islands(solid),
    }


def texels(uvs: Array, side: int) -> Texels:
    """Return what triangles (f, 3, 2) cover of an atlas of ``side`` texels, row by row from V = 0."""
    points = uvs * side - 0.5
    low = np.maximum(np.ceil(points.min(axis=1)), 0).astype(int)
    high = np.minimum(np.floor(points.max(axis=1)), side - 1).astype(int)
    sizes = np.maximum(high - low + 1, 0)
    counts = sizes[:, 0] * sizes[:, 1]
    found = [_covered(points, low, sizes, some, side) for some in _portions(counts)]
    if not found:
        return Texels(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 3)))
    return Texels(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def stretch(solid: Solid) -> float:
    """Return the mean stretch over the surface, 1 where the layout is a true image of it in one scale.

    L2 of Sander, Snyder, Gortler and Hoppe, "Texture Mapping Progressive Meshes", 2001, times the layout's scale.
    """
    if solid.uvs is None:
        return 0.0
    p, q = solid.corners, solid.uvs
    u, v = q[..., 0], q[..., 1]
    area = ((u[:, 1] - u[:, 0]) * (v[:, 2] - v[:, 0]) - (u[:, 2] - u[:, 0]) * (v[:, 1] - v[:, 0])) / 2
    real = np.linalg.norm(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]), axis=1) / 2
    sound = (np.abs(area) > 1e-14) & (real > 1e-14 * solid.diagonal**2)
    p, u, v, area, real = p[sound], u[sound], v[sound], area[sound], real[sound]
    along_u = _slope(p, v) / (2 * area[:, None])
    along_v = -_slope(p, u) / (2 * area[:, None])
    squared = (np.sum(along_u**2, axis=1) + np.sum(along_v**2, axis=1)) / 2
    return float(np.sqrt(np.sum(squared * real) / real.sum()) * np.sqrt(np.abs(area).sum() / real.sum()))


def islands(solid: Solid) -> int:
    """Return the number of pieces of the layout: triangles that share an edge in space and in the atlas."""
    if solid.uvs is None:
        return 0
    _, place = weld(np.concatenate([solid.uvs, np.zeros((*solid.uvs.shape[:2], 1))], axis=2))
    corner = np.unique(np.stack([solid.welded[1].ravel(), place.ravel()], axis=1), axis=0, return_inverse=True)[1]
    corner = corner.reshape(-1, 3)
    edges = np.sort(np.concatenate([corner[:, [0, 1]], corner[:, [1, 2]], corner[:, [2, 0]]]), axis=1)
    triangle = np.tile(np.arange(len(corner)), 3)
    order = np.lexsort(edges.T)
    edges, triangle = edges[order], triangle[order]
    same = np.all(edges[1:] == edges[:-1], axis=1)
    links = coo_matrix((np.ones(same.sum()), (triangle[:-1][same], triangle[1:][same])), shape=(len(corner),) * 2)
    return int(connected_components(links, directed=False)[0])


def _slope(points: Array, along: Array) -> Array:
    return np.asarray(
        points[:, 0] * (along[:, 1] - along[:, 2])[:, None]
        + points[:, 1] * (along[:, 2] - along[:, 0])[:, None]
        + points[:, 2] * (along[:, 0] - along[:, 1])[:, None]
    )


def _portions(counts: Array) -> list[Array]:
    """Return the triangles in portions whose boxes hold about four million texels each."""
    total = np.cumsum(counts)
    cuts = np.searchsorted(total, np.arange(4_000_000, total[-1] if len(total) else 0, 4_000_000))
    return [part[counts[part] > 0] for part in np.split(np.arange(len(counts)), cuts) if counts[part].sum()]


def _covered(points: Array, low: Array, sizes: Array, some: Array, side: int) -> Texels:
    counts = sizes[some, 0] * sizes[some, 1]
    triangle = np.repeat(some, counts)
    offset = np.arange(len(triangle)) - np.repeat(np.cumsum(counts) - counts, counts)
    x = low[triangle, 0] + offset % sizes[triangle, 0]
    y = low[triangle, 1] + offset // sizes[triangle, 0]
    weights = _weights(points[triangle], x, y)
    inside = np.all(weights > 1e-9, axis=1)
    return Texels((y * side + x)[inside], triangle[inside], weights[inside])


def _weights(corners: Array, x: Array, y: Array) -> Array:
    (ax, ay), (bx, by), (cx, cy) = (corners[:, number].T for number in range(3))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    area = np.where(area == 0, np.inf, area)
    second = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
    third = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
    return np.where(np.isinf(area)[:, None], -1.0, np.stack([1 - second - third, second, third], axis=1))
