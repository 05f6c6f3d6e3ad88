"""Samples the materials of a mesh at surface points: base colour, roughness, metalness, normal."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import bpy
import numpy as np

from .corner_attributes import CornerAttributes, SurfacePoints
from .sampling import image_pixels
from .source_materials import Material, Pixels
from .surface import Array, unit


@dataclass(frozen=True)
class MaterialSamples:
    """At each place: linear base colour (n, 4) with alpha, roughness and metalness (n,), and the normal (n, 3)."""

    colour: Array
    roughness: Array
    metallic: Array
    normal: Array


class MaterialSampler:
    """Material sampler of one mesh. ``points``, ``triangles`` and ``corners`` use Blender's triangulation.

    Each image is read once, on first use, and cached as long as the sampler; ``pixels`` returns a cached image.
    """

    def __init__(self, mesh: bpy.types.Mesh, read: Pixels = image_pixels) -> None:
        self.pixels: Pixels = functools.cache(read)
        self.corners = corners = CornerAttributes(mesh)
        self.points, self.triangles = corners.points, corners.triangles
        self._materials = [Material(one, corners, self.pixels) for one in mesh.materials or (None,)]

    @property
    def has_surface_values(self) -> bool:
        """Whether roughness or metalness differ anywhere."""
        first = self._materials[0]
        same = all((one.plain_values or ()) == first.plain_values for one in self._materials)
        return not (same and first.plain_values)

    @property
    def plain_values(self) -> tuple[float, float]:
        """Roughness and metalness where they are the same everywhere."""
        return self._materials[0].plain_values or (0.5, 0.0)

    @property
    def is_see_through(self) -> bool:
        """Whether any material uses its alpha."""
        return any(material.has_alpha for material in self._materials)

    def at(self, places: SurfacePoints) -> MaterialSamples:
        """Return the material values at each point."""
        count = len(places.triangle)
        seen = MaterialSamples(
            self.colour(places), np.zeros(count), np.zeros(count), unit(places.blend(self.corners.normals))
        )
        for material, here, some in self._by_material(places):
            seen.roughness[here] = material.roughness(some)
            seen.metallic[here] = material.metallic(some)
            seen.normal[here] = material.normal(some, seen.normal[here])
        return seen

    def colour(self, places: SurfacePoints) -> Array:
        """Return the linear base colour at each place (n, 4), with alpha."""
        found = np.ones((len(places.triangle), 4))
        for material, here, some in self._by_material(places):
            found[here] = material.colour(some)
        return found

    def _by_material(self, places: SurfacePoints) -> Iterator[tuple[Material, Array, SurfacePoints]]:
        """Yield each material that is there, with the numbers of its places and the places."""
        which = np.clip(self.corners.material[places.triangle], 0, len(self._materials) - 1)
        for number in np.unique(which):
            here = np.flatnonzero(which == number)
            yield self._materials[number], here, SurfacePoints(places.triangle[here], places.weights[here])
