"""How far two surfaces are from each other: exact distances from points on the one to the other."""

from __future__ import annotations

from typing import NamedTuple

import igl
import numpy as np

from .solids import Array, Solid

SAMPLES = 100_000
DARK, LIGHT = 10 / 255, 40 / 255
"""A texel darker than the one where the source is lighter than the other was never baked."""


class Nearest(NamedTuple):
    """For each point: its distance, and the triangle of the other surface, with weights, on which its nearest lies."""

    distance: Array
    triangle: Array
    weights: Array


def measure(source: Solid, result: Solid) -> dict[str, float]:
    """Return the mean distance both ways in 1e-4 of the diagonal, its 99th percentile, and the normals' difference."""
    there = _from_to(result, source, seed=1)
    back = _from_to(source, result, seed=2)
    both = np.concatenate([there[0], back[0]]) / source.diagonal * 1e4
    return {
        "distance": float(both.mean()),
        "distance_99": float(np.percentile(both, 99)),
        "normals": float(np.mean([there[1], back[1]])),
    }


def points_on(solid: Solid, count: int, seed: int) -> tuple[Array, Array, Array]:
    """Return points spread over the surface by area, (n, 3), their triangles and their weights."""
    random = np.random.default_rng(seed)
    cross = np.cross(solid.corners[:, 1] - solid.corners[:, 0], solid.corners[:, 2] - solid.corners[:, 0])
    area = np.cumsum(np.linalg.norm(cross, axis=1))
    triangle = np.minimum(np.searchsorted(area, random.random(count) * area[-1], side="right"), len(area) - 1)
    first, second = np.sqrt(random.random(count)), random.random(count)
    weights = np.stack([1 - first, first * (1 - second), first * second], axis=1)
    return np.einsum("nc,ncx->nx", weights, solid.corners[triangle]), triangle, weights


def nearest(points: Array, solid: Solid) -> Nearest:
    """Return what of a surface is nearest to points (n, 3)."""
    vertices, triangles = solid.welded
    squared, triangle, place = igl.point_mesh_squared_distance(points, vertices, triangles.astype(np.int64))
    corners = solid.corners[triangle]
    return Nearest(np.sqrt(squared), triangle, barycentric(place, corners))


def barycentric(points: Array, corners: Array) -> Array:
    """Return the weights of points (n, 3) in triangles (n, 3, 3); a third each where a triangle has no area."""
    side, other, away = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    d00, d01, d11 = (np.einsum("nx,nx->n", *pair) for pair in ((side, side), (side, other), (other, other)))
    d20, d21 = np.einsum("nx,nx->n", away, side), np.einsum("nx,nx->n", away, other)
    area = d00 * d11 - d01 * d01
    is_flat = area <= 1e-30
    area = np.where(is_flat, 1.0, area)
    second, third = (d11 * d20 - d01 * d21) / area, (d00 * d21 - d01 * d20) / area
    weights = np.clip(np.stack([1 - second - third, second, third], axis=1), 0.0, 1.0)
    weights = np.where(is_flat[:, None], 1 / 3, weights)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def unbaked(source: Solid, result: Solid, triangle: Array, weights: Array) -> float:
    """Return the share of points on the result that are black where the source is not."""
    points = np.einsum("nc,ncx->nx", weights, result.corners[triangle])
    there = nearest(points, source)
    is_dark = result.colour_at(triangle, weights).max(axis=1) < DARK
    is_light = source.colour_at(there.triangle, there.weights).max(axis=1) > LIGHT
    return float(np.mean(is_dark & is_light))


def _from_to(first: Solid, second: Solid, seed: int) -> tuple[Array, float]:
    points, triangle, _ = points_on(first, SAMPLES, seed)
    found = nearest(points, second)
    cosine = np.einsum("nx,nx->n", first.normals[triangle], second.normals[found.triangle])
    return found.distance, float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean())
