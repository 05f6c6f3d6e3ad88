"""Software rendering of triangles with numpy; a background Blender may have no GPU.

Pictures are (rows, columns, 3) float32, sRGB, 0 to 1, the first row on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_SHADES = ([0.2] * 3, [0.72] * 3, [0.1, 0.14, 0.22], [1.0] * 3)
BACKGROUND, CLAY, WIRE, SEAM = (np.array(shade, np.float32) for shade in _SHADES)
_TO_CAMERA = np.array([0.5, -1.0, 0.45]) / np.linalg.norm([0.5, -1.0, 0.45])
_RIGHT = np.cross((0, 0, 1), _TO_CAMERA) / np.linalg.norm(np.cross((0, 0, 1), _TO_CAMERA))
_UP = np.cross(_TO_CAMERA, _RIGHT)
_LIGHT = np.array([0.1, -0.6, 0.8]) / np.linalg.norm([0.1, -0.6, 0.8])
_SUPERSAMPLING = 2
"""So many pixels are drawn for one, each way."""
_FADE_BELOW = 8.0
"""Faces smaller than so many pixels get fainter edges: many small ones would be nothing but black."""
_MARGIN = 1.06
_CHUNK_PIXELS = 4_000_000


@dataclass(frozen=True)
class VisiblePixels:
    """What a camera sees of triangles: which pixels are covered (side, side); for those, triangle and weights in it."""

    covered: Array
    triangle: Array
    weights: Array
    flat: Array
    """All triangles' corners in pixels, (t, 3, 2)."""


def project_triangles(corners: Array, side: int) -> VisiblePixels:
    """Look at triangles (t, 3, 3), Blender axes, from their front right above, without perspective; all fit in."""
    pixels = side * _SUPERSAMPLING
    points = corners.reshape(-1, 3)
    along = np.stack([points @ _RIGHT, points @ -_UP, points @ _TO_CAMERA], axis=1)
    low, high = along.min(axis=0), along.max(axis=0)
    scale = pixels / max(float((high - low)[:2].max()) * _MARGIN, 1e-30)
    flat = ((along - (low + high) / 2) * scale + (pixels - 1) / 2).reshape(-1, 3, 3)
    pixel, triangle, weights = rasterize_weighted(flat[..., :2], pixels)
    depth = np.einsum("nc,nc->n", weights, flat[triangle, :, 2])
    nearest = np.full(pixels * pixels, -1)
    order = np.argsort(depth, kind="stable")
    nearest[pixel[order]] = order  # of several assignments to a pixel, numpy keeps the last
    seen = nearest[nearest >= 0]
    return VisiblePixels((nearest >= 0).reshape(pixels, pixels), triangle[seen], weights[seen], flat[..., :2])


def rasterize_weighted(flat: Array, side: int) -> tuple[Array, Array, Array]:
    """Return every pixel whose middle lies in a triangle (t, 3, 2), row by row: its number, the triangle, weights."""
    low = np.maximum(np.ceil(flat.min(axis=1)), 0).astype(np.int64)
    high = np.minimum(np.floor(flat.max(axis=1)), side - 1).astype(np.int64)
    sizes = np.maximum(high - low + 1, 0)
    counts = sizes[:, 0] * sizes[:, 1]
    drawn = np.flatnonzero(counts)
    total = np.cumsum(counts[drawn])
    cuts = np.searchsorted(total, np.arange(_CHUNK_PIXELS, total[-1] if len(total) else 0, _CHUNK_PIXELS))
    found = [_rasterize_chunk(flat, low, sizes, some, side) for some in np.split(drawn, cuts)]
    pixel, triangle, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return pixel, triangle, weights


def render_shaded(seen: VisiblePixels, colours: Array, normals: Array) -> Array:
    """Return a picture in colours (n, 4) of what is seen, lit along its normals (n, 3); paper shows through it."""
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    normals = normals * np.where(normals @ _TO_CAMERA < 0, -1.0, 1.0)[:, None]
    light = 0.45 + 0.65 * np.maximum(normals @ _LIGHT, 0.0)
    opaque = colours[:, 3:].clip(0, 1)
    lit = (colours[:, :3] * light[:, None]).clip(0, 1)
    return _compose(seen, lit * opaque + BACKGROUND * (1 - opaque))


def render_wireframe(seen: VisiblePixels, corners: Array, inner: Array) -> Array:
    """Return a picture of faces with their edges.

    ``inner`` (t, 3) tells which edge, that from corner k to k + 1, only divides a face into triangles.
    """
    flat = seen.flat[seen.triangle]
    side, other = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    area = np.abs(side[:, 0] * other[:, 1] - side[:, 1] * other[:, 0])
    edges = np.linalg.norm(np.roll(flat, -1, axis=1) - flat, axis=2)
    away = np.roll(seen.weights, -2, axis=1) * area[:, None] / np.maximum(edges, 1e-9)  # corner k + 2 lies opposite
    away[inner[seen.triangle]] = np.inf
    mine = corners[seen.triangle]
    normals = np.cross(mine[:, 1] - mine[:, 0], mine[:, 2] - mine[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    light = 0.5 + 0.5 * np.abs(normals @ _TO_CAMERA)
    ink = np.where(away.min(axis=1) < 0.55, np.clip(np.sqrt(2 * area) / _FADE_BELOW, 0.25, 1.0), 0.0)[:, None]
    return _compose(seen, ink * WIRE + (1 - ink) * CLAY * light[:, None])


def render_uv_layout(uvs: Array, inner: Array, texture: Array, side: int) -> Array:
    """Return the UV layout (t, 3, 2) over its texture, which is darkened; what lies outside 0 to 1 is not drawn."""
    pixels = side * _SUPERSAMPLING
    picture = _resample(texture, pixels) * np.float32(0.6)
    starts, ends = uvs[~inner], np.roll(uvs, -1, axis=1)[~inner]
    lengths = np.abs(ends - starts).max(axis=1) * pixels
    points = np.ceil(np.clip(lengths, 0, pixels)).astype(np.int64) + 1
    edge = np.repeat(np.arange(len(points)), points)
    share = (np.arange(len(edge)) - np.repeat(np.cumsum(points) - points, points)) / np.maximum(points - 1, 1)[edge]
    along = starts[edge] + share[:, None] * (ends - starts)[edge]
    along = along[np.all((along >= 0) & (along < 1), axis=1)]
    picture[((1 - along[:, 1]) * (pixels - 1)).astype(np.int64), (along[:, 0] * pixels).astype(np.int64)] = SEAM
    return _downsample(picture)


def render_texture(texture: Array, side: int) -> Array:
    """Return a texture as a square picture."""
    return _downsample(_resample(texture, side * _SUPERSAMPLING))


def _resample(texture: Array, side: int) -> Array:
    rows, columns = texture.shape[:2]
    at = np.arange(side)
    return np.asarray(texture[(at * rows // side)[:, None], at * columns // side])


def _compose(seen: VisiblePixels, colours: Array) -> Array:
    picture = np.empty((*seen.covered.shape, 3), np.float32)
    picture[:] = BACKGROUND
    picture[seen.covered] = np.clip(colours, 0, 1)
    return _downsample(picture)


def _downsample(picture: Array) -> Array:
    rows, columns = picture.shape[0] // _SUPERSAMPLING, picture.shape[1] // _SUPERSAMPLING
    return np.asarray(picture.reshape(rows, _SUPERSAMPLING, columns, _SUPERSAMPLING, 3).mean(axis=(1, 3)))


def _rasterize_chunk(flat: Array, low: Array, sizes: Array, some: Array, side: int) -> tuple[Array, Array, Array]:
    counts = sizes[some, 0] * sizes[some, 1]
    triangle = np.repeat(some, counts)
    offset = np.arange(len(triangle)) - np.repeat(np.cumsum(counts) - counts, counts)
    x, y = low[triangle, 0] + offset % sizes[triangle, 0], low[triangle, 1] + offset // sizes[triangle, 0]
    weights = _weights(flat[triangle], x, y)
    inside = np.all(weights >= 0, axis=1)
    return (y * side + x)[inside], triangle[inside], weights[inside]


def _weights(corners: Array, x: Array, y: Array) -> Array:
    """Return the barycentric weights of pixels (n,) in triangles (n, 3, 2); below 0 where a triangle has no area."""
    (ax, ay), (bx, by), (cx, cy) = (corners[:, number].T for number in range(3))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    is_flat = area == 0
    area = np.where(is_flat, 1.0, area)
    second = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
    third = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
    weights = np.stack([1 - second - third, second, third], axis=1)
    weights[is_flat] = -1.0
    return weights
