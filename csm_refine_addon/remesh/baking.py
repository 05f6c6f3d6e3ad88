"""Bakes the materials of the source into textures: each texel samples the nearest point of the source.

No cage is used: rays from a cage that is too far away hit other parts, from one that is too near they miss. If the
nearest point faces the other way, as on the back of a thin wall, the nearest hit along the normal is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import bpy
import numpy as np

from . import tuning
from .corner_attributes import CornerAttributes, SurfacePoints
from .material_sampling import MaterialSampler
from .progress import turns
from .raster import rasterize
from .sampling import srgb_of_linear
from .surface import Array, Nearest, crosses, unit, weights_in


@dataclass(frozen=True)
class Textures:
    """Rows from below, columns, channels, from 0 to 1; the base colour in sRGB, with alpha.

    ``surface`` packs roughness (green) and metalness (blue) as glTF does; None if both are constant.
    """

    colour: Array
    normal: Array
    surface: Array | None


def bake_textures(mesh: bpy.types.Mesh, look: MaterialSampler, size: int) -> Textures:
    """Return textures of ``size`` squared for a mesh with a UV map and triangles or quads."""
    canvas = _BakeTarget(mesh, size)
    source = Nearest(look.points, look.triangles)
    facing = unit(crosses(look.points, look.triangles))
    colour, normal = np.zeros((size, size, 4), np.float32), np.zeros((size, size, 3), np.float32)
    surface = np.zeros((size, size, 3), np.float32) if look.has_surface_values else None
    filled = np.zeros((size, size), bool)
    step = tuning.TEXELS_AT_A_TIME
    for turn in turns(math.ceil(len(canvas.row) / step), 0.2, 0.8):
        some = slice(turn * step, (turn + 1) * step)
        at = canvas.row[some], canvas.column[some]
        places, shading = canvas.places(some)
        found, triangle = _source_points(places, shading, source, facing, canvas.reach)
        seen = look.at(SurfacePoints(triangle, weights_in(look.points, look.triangles, triangle, found)))
        colour[at] = np.column_stack([srgb_of_linear(seen.colour[:, :3]), seen.colour[:, 3]])
        normal[at] = canvas.tangent_space(some, seen.normal) / 2 + 0.5
        if surface is not None:
            surface[at] = np.stack([np.ones(len(found)), seen.roughness, seen.metallic], axis=1)
        filled[at] = True
    maps = [dilate(values, filled) for values in (colour, normal) + ((surface,) if surface is not None else ())]
    return Textures(maps[0], maps[1], maps[2] if surface is not None else None)


class _BakeTarget:
    """The texels that a mesh covers, with position, normal and tangent space of each."""

    def __init__(self, mesh: bpy.types.Mesh, size: int) -> None:
        shown = CornerAttributes(mesh)
        self.triangles, self.points = shown.triangles, shown.points
        self.reach = float(np.linalg.norm(np.ptp(self.points, axis=0))) * tuning.BAKE_RAY_LENGTH
        uv, self._tangents = shown.coordinates(), shown.tangents()
        assert uv is not None  # noqa: S101 -- the mesh was just given one
        self._normals = shown.own_normals
        triangle, row, column = rasterize(uv.astype(np.float64), size, size, grow=tuning.BAKE_GROW)
        # Of two triangles that reach a texel, the one that contains it is written last and wins.
        inside = rasterize(uv.astype(np.float64), size, size)
        self.triangle, self.row, self.column = (
            np.concatenate(both) for both in zip((triangle, row, column), inside, strict=True)
        )
        last = len(self.row) - 1 - np.unique((self.row * size + self.column)[::-1], return_index=True)[1]
        self.triangle, self.row, self.column = self.triangle[last], self.row[last], self.column[last]
        middle = np.stack([self.column, self.row], axis=1) / size + 0.5 / size
        flat = np.concatenate([uv, np.zeros((*uv.shape[:2], 1))], axis=2).reshape(-1, 3).astype(np.float64)
        own = np.arange(len(flat)).reshape(-1, 3)
        self.weights = weights_in(flat, own, self.triangle, np.column_stack([middle, np.zeros(len(middle))]))

    def places(self, some: slice) -> tuple[Array, Array]:
        """Return positions and unit normals (n, 3) of the texels."""
        here = SurfacePoints(self.triangle[some], self.weights[some])
        return here.blend(self.points[self.triangles]), unit(here.blend(self._normals))

    def tangent_space(self, some: slice, normals: Array) -> Array:
        """Return object-space normals (n, 3) in tangent space (MikkTSpace)."""
        here = SurfacePoints(self.triangle[some], self.weights[some])
        up = here.blend(self._normals)
        if self._tangents is None:
            return np.tile([0.0, 0.0, 1.0], (len(up), 1))
        tangent = here.blend(self._tangents.astype(np.float64))
        along, sign = tangent[:, :3], np.sign(self._tangents[here.triangle, 0, 3])[:, None]
        across = np.cross(up, along) * sign
        frame = np.stack([along, across, up], axis=2)
        frame += np.eye(3) * 1e-9  # where a triangle has no tangent
        found = unit(np.linalg.solve(frame, normals[:, :, None])[:, :, 0])
        return np.where(np.isfinite(found).all(axis=1, keepdims=True), found, (0.0, 0.0, 1.0))


def _source_points(places: Array, shading: Array, source: Nearest, facing: Array, reach: float) -> tuple[Array, Array]:
    """Return the source point (n, 3) to sample for each texel, and its triangle (n,)."""
    found, triangle = places.copy(), source.triangles(places)
    odd = np.flatnonzero(np.einsum("ij,ij->i", facing[triangle], shading) < tuning.SAME_SIDE_COSINE)
    best = np.full(len(odd), np.inf)
    for way in (-1.0, 1.0):
        hit, met = source.along(places[odd], shading[odd] * way, reach)
        far = np.linalg.norm(hit - places[odd], axis=1)
        better = (
            (met >= 0) & (far < best) & (np.einsum("ij,ij->i", facing[met], shading[odd]) > tuning.SAME_SIDE_COSINE)
        )
        found[odd[better]], triangle[odd[better]], best[better] = hit[better], met[better], far[better]
    return found, triangle


def dilate(values: Array, filled: Array) -> Array:
    """Fill empty texels from their neighbours, and those further away from a downsampled image."""
    filled = filled.copy()
    for _ in range(tuning.DILATE_TEXELS):
        total, count = np.zeros_like(values), np.zeros(filled.shape, np.float32)
        for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            near = np.roll(filled, (down, right), (0, 1))
            total += np.roll(values, (down, right), (0, 1)) * near[:, :, None]
            count += near
        fresh = ~filled & (count > 0)
        values[fresh] = total[fresh] / count[fresh][:, None]
        filled |= fresh
    return _fill_from_coarser(values, filled)


def _fill_from_coarser(values: Array, filled: Array) -> Array:
    """Fill the remaining texels from halved images, recursively."""
    if filled.all():
        return values
    rows, columns = filled.shape
    if not filled.any() or min(rows, columns) == 1:
        values[~filled] = values[filled].mean(axis=0) if filled.any() else 0.5
        return values
    even = (rows + rows % 2, columns + columns % 2)
    weight = np.zeros((*even, 1), values.dtype)
    weight[:rows, :columns, 0] = filled
    padded = np.zeros((*even, values.shape[2]), values.dtype)
    padded[:rows, :columns] = values
    shape = (even[0] // 2, 2, even[1] // 2, 2, -1)
    count = weight.reshape(shape).sum(axis=(1, 3))
    small = (padded * weight).reshape(shape).sum(axis=(1, 3)) / np.maximum(count, 1)
    small = _fill_from_coarser(small, count[:, :, 0] > 0)
    large = small.repeat(2, axis=0).repeat(2, axis=1)[:rows, :columns]
    values[~filled] = large[~filled]
    return values
