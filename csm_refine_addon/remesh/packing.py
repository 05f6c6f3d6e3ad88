"""Packs charts into the unit square by outline, each where most of its border touches placed charts.

Outlines are pixel masks; all positions of an outline are tested at once by FFT convolution.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from . import tuning
from .raster import UVLayout, rasterize, signed_areas
from .surface import TINY, Array

SIDE = 320
"""Cells along a side of the square, with a border of one all around that counts as taken."""
CELL = 1 / (SIDE - 2)
_OCCUPIED = 4096.0
"""More than the border of any outline has cells: what a cell on another chart counts for."""


@dataclass(frozen=True)
class _Outline:
    """A chart, turned: the cells it takes (rows, columns), and how its corners get there: turn, then shift."""

    cells: Array
    turn: Array
    shift: Array

    def quarter(self) -> _Outline:
        """Return it a quarter turn further."""
        cells = np.ascontiguousarray(self.cells[::-1].T)
        turn = np.array([[0.0, -1.0], [1.0, 0.0]])
        return _Outline(cells, turn @ self.turn, turn @ self.shift + (self.cells.shape[0] * CELL, 0.0))

    def kernel(self) -> Array:
        """Return the cells, and, for less, the cells around them; one wider on each side."""
        wide = np.pad(self.cells, 1)
        around = wide.copy()
        for axis in (0, 1):
            around |= np.roll(wide, 1, axis) | np.roll(wide, -1, axis)
        return np.where(wide, _OCCUPIED, around.astype(np.float64))


def pack_charts(flat: UVLayout, texture_size: int) -> Array:
    """Return the corners' places (t, 3, 2) in the unit square, charts apart by texels of a texture of this size.

    All charts in one scale, as large as fits.
    """
    gap = min(tuning.GAP_TEXELS / texture_size, tuning.MAX_GAP)
    members = _members(flat)
    charts = [_min_area_rotation(flat.places[inside]) for inside in members]
    placed = _by_outline(charts, gap) if len(charts) <= tuning.PACK_CHARTS else None
    return _scatter_to_corners(flat, members, placed or _pack_boxes(charts, gap))


def pack_charts_quickly(flat: UVLayout) -> Array:
    """Pack the charts by their boxes: fast, with more wasted space."""
    members = _members(flat)
    charts = [flat.places[inside] - flat.places[inside].min(axis=(0, 1)) for inside in members]
    return _scatter_to_corners(flat, members, _pack_boxes(charts, 0.002))


def _members(flat: UVLayout) -> list[Array]:
    order = np.argsort(flat.chart, kind="stable")
    begins = np.searchsorted(flat.chart[order], np.arange(int(flat.chart.max()) + 2))
    return [order[begin:end] for begin, end in itertools.pairwise(begins)]


def _scatter_to_corners(flat: UVLayout, members: list[Array], placed: list[Array]) -> Array:
    result = np.empty_like(flat.places)
    for inside, places in zip(members, placed, strict=True):
        result[inside] = places
    return np.clip(result, 0, 1)


def _min_area_rotation(places: Array) -> Array:
    """Return a chart turned so that its box is the smallest, its corner at the origin."""
    corners = places.reshape(-1, 2)
    angles = np.radians(np.arange(0, 90, 3))
    across = np.outer(corners[:, 0], np.cos(angles)) + np.outer(corners[:, 1], np.sin(angles))
    up = np.outer(corners[:, 1], np.cos(angles)) - np.outer(corners[:, 0], np.sin(angles))
    best = int(np.argmin(np.ptp(across, axis=0) * np.ptp(up, axis=0)))
    turned = np.stack([across[:, best], up[:, best]], axis=1)
    return (turned - turned.min(axis=0)).reshape(-1, 3, 2)


def _by_outline(charts: list[Array], gap: float) -> list[Array] | None:
    area = sum(float(np.abs(signed_areas(places)).sum()) for places in charts)
    order = sorted(range(len(charts)), key=lambda number: -float(np.abs(signed_areas(charts[number])).sum()))
    low, high = tuning.PACK_SHARES
    best: list[Array] | None = None
    for _ in range(tuning.PACK_TRIES):
        share = (low + high) / 2
        placed = _pack_at_scale(charts, order, float(np.sqrt(share / max(area, TINY))), gap)
        low, high = (low, share) if placed is None else (share, high)
        best = placed or best
    while best is None and low > tuning.MIN_SHARE:
        low *= tuning.SHARE_STEP
        best = _pack_at_scale(charts, order, float(np.sqrt(low / max(area, TINY))), gap)
    return best


def _pack_at_scale(charts: list[Array], order: list[int], scale: float, gap: float) -> list[Array] | None:
    """Return the charts' places at a scale, or None if one does not fit."""
    taken = np.ones((SIDE, SIDE))
    taken[1:-1, 1:-1] = 0
    result = list(charts)
    for number in order:
        outline = _outline(charts[number] * scale, gap)
        if max(outline.cells.shape) > SIDE - 2:
            return None
        turns = [outline, half := outline.quarter(), half := half.quarter(), half.quarter()]
        found = _best_spot(taken, turns)
        if found is None:
            return None
        outline, row, column = found
        rows, columns = outline.cells.shape
        taken[row : row + rows, column : column + columns] += outline.cells
        shift = outline.shift + np.array([column - 1, row - 1]) * CELL
        result[number] = charts[number] * scale @ outline.turn.T + shift
    return result


def _outline(places: Array, gap: float) -> _Outline:
    size = places.max(axis=(0, 1)) + 2 * gap
    columns, rows = (int(np.ceil(length / CELL)) for length in size)
    fine = tuning.OUTLINE_PIXELS
    cells = np.zeros((rows * fine, columns * fine), bool)
    square = (places + gap) / (columns * CELL, rows * CELL)
    _, row, column = rasterize(square, columns * fine, rows * fine, grow=gap / CELL * fine + 0.75)
    cells[row, column] = True
    for k in range(3):  # needles between the pixels
        at = np.minimum(
            (square[:, k] * (columns * fine, rows * fine)).astype(int), (columns * fine - 1, rows * fine - 1)
        )
        cells[at[:, 1], at[:, 0]] = True
    return _Outline(cells.reshape(rows, fine, columns, fine).any(axis=(1, 3)), np.eye(2), np.array([gap, gap]))


def _best_spot(taken: Array, turns: list[_Outline]) -> tuple[_Outline, int, int] | None:
    field = np.fft.rfft2(taken)
    best: tuple[float, _Outline, int, int] | None = None
    for outline in turns:
        kernel = outline.kernel()
        rows, columns = kernel.shape
        image = np.zeros((SIDE, SIDE))
        image[:rows, :columns] = kernel
        met = np.fft.irfft2(field * np.conj(np.fft.rfft2(image)), (SIDE, SIDE))[: SIDE - rows + 1, : SIDE - columns + 1]
        touch = np.where(met < _OCCUPIED - 0.5, met / (kernel == 1).sum(), -np.inf)
        touch -= tuning.PACK_CORNER * (np.arange(touch.shape[0])[:, None] + np.arange(touch.shape[1])) / SIDE
        row, column = np.unravel_index(int(touch.argmax()), touch.shape)
        if np.isfinite(touch[row, column]) and (best is None or touch[row, column] > best[0]):
            best = (float(touch[row, column]), outline, int(row) + 1, int(column) + 1)
    return best[1:] if best else None


def _pack_boxes(charts: list[Array], gap: float) -> list[Array]:
    """Return the charts side by side by their boxes, the tallest first, in rows: for very many."""
    boxes = np.array([places.max(axis=(0, 1)) for places in charts])
    order = np.argsort(-boxes[:, 1], kind="stable")
    low, high = 0.0, 1 / max(float(boxes.max()), TINY)
    gap = min(gap, 0.25 / max(len(charts), 1) ** 0.5)
    for _ in range(30):
        scale = (low + high) / 2
        fits = _shelf_corners(boxes[order] * scale + 2 * gap) is not None
        low, high = (scale, high) if fits else (low, scale)
    corners = np.zeros_like(boxes)
    spots = _shelf_corners(boxes[order] * low + 2 * gap)
    corners[order] = 0 if spots is None else spots
    return [places * low + gap + corner for places, corner in zip(charts, corners, strict=True)]


def _shelf_corners(boxes: Array) -> Array | None:
    corners = np.zeros_like(boxes)
    x = y = height = 0.0
    for number, (wide, tall) in enumerate(boxes.tolist()):
        if x + wide > 1:
            x, y, height = 0.0, y + height, 0.0
        corners[number] = x, y
        x, height = x + wide, max(height, tall)
        if wide > 1 or y + height > 1:
            return None
    return corners
