"""Rasterization of triangles in the plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .surface import Array

_BLOCK_PIXELS = 4_000_000
"""Pixels tested at a time: about 300 MB."""


@dataclass(frozen=True)
class UVLayout:
    """Per triangle its chart (t,), and its corners' places (t, 3, 2), in the units of the mesh; charts may overlap."""

    chart: Array
    places: Array


def signed_areas(places: Array) -> Array:
    """Return per triangle (t, 3, 2) its area in the plane, negative where it lies on its face."""
    one, other = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
    return np.asarray(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]) / 2


def rasterize(places: Array, width: int, height: int, grow: float = 0.0) -> tuple[Array, Array, Array]:
    """Return triangle, row and column of each pixel whose middle lies in a triangle (t, 3, 2) of the unit square.

    With ``grow``, in pixels, those too that are so far from a triangle, nearly. Pixels outside are left out.
    """
    corners = places * (width, height)
    low = np.floor(corners.min(axis=1) - 0.5 - grow).astype(np.int64).clip(0, (width - 1, height - 1))
    high = np.ceil(corners.max(axis=1) - 0.5 + grow).astype(np.int64).clip(0, (width - 1, height - 1))
    wide, tall = (high - low + 1).T
    ends = np.cumsum(wide * tall)
    found = []
    first = 0
    while first < len(places):
        last = max(first + 1, int(np.searchsorted(ends, (ends[first - 1] if first else 0) + _BLOCK_PIXELS)))
        found.append(
            _rasterize_block(corners[first:last], low[first:last], wide[first:last], tall[first:last], grow, first)
        )
        first = last
    if not found:
        return tuple(np.empty(0, np.int64) for _ in range(3))  # type: ignore[return-value]
    triangle, row, column = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return triangle, row, column


def _rasterize_block(
    corners: Array, low: Array, wide: Array, tall: Array, grow: float, first: int
) -> tuple[Array, Array, Array]:
    many = wide * tall
    which = np.repeat(np.arange(len(corners)), many)
    place = np.arange(len(which)) - np.repeat(np.cumsum(many) - many, many)
    row = place // wide[which]
    column = low[which, 0] + place - row * wide[which]
    row += low[which, 1]
    turn = np.sign(signed_areas(corners))
    for k in range(3):  # what one side shuts out is not looked at for the next
        start, side = corners[:, k], corners[:, (k + 1) % 3] - corners[:, k]
        down, right = side[:, 0] * turn, -side[:, 1] * turn
        level = grow * np.linalg.norm(side, axis=1) - start[:, 1] * down - start[:, 0] * right + (down + right) / 2
        level[turn == 0] = -np.inf
        inside = row * down[which] + column * right[which] + level[which] >= 0
        which, row, column = which[inside], row[inside], column[inside]
    return which + first, row, column
