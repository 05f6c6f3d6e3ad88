"""Attributes at the triangle corners of a mesh (normals, UV maps, tangents, colours), and interpolation of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import bpy
import numpy as np

from . import tuning
from .surface import Array, of_mesh, of_triangles, to_mesh, unit, vertex_normals


@dataclass(frozen=True)
class SurfacePoints:
    """Points on a mesh: the triangle of each, and the weights of its corners (n, 3)."""

    triangle: Array
    weights: Array

    def blend(self, corners: Array) -> Array:
        """Return values (n, k) out of those at the triangles' corners (t, 3, k)."""
        return np.einsum("ij,ijk->ik", self.weights, corners[self.triangle])


class CornerAttributes:
    """A mesh in Blender's triangulation; each attribute is read once.

    ``points`` (v, 3) and ``triangles`` (t, 3) are its shape, ``loops`` (t, 3) the corners of its faces that those of
    the triangles are, ``material`` (t,) is the slot of each.
    """

    def __init__(self, mesh: bpy.types.Mesh) -> None:
        mesh.calc_loop_triangles()
        self._mesh = mesh
        self._kept: dict[str, Array] = {}
        self.points = of_mesh(mesh).points
        self.triangles = _read(mesh.loop_triangles, "vertices", 3, np.int32)
        self.loops = _read(mesh.loop_triangles, "loops", 3, np.int32)
        self.material = _read(mesh.loop_triangles, "material_index", 1, np.int32).ravel()

    def colours(self, name: str = "") -> Array | None:
        """Return a colour attribute, the shown one by default, (t, 3, 4), linear; None where there is none."""
        attributes: Any = self._mesh.color_attributes
        if not len(attributes):
            return None
        found = attributes.get(name) or attributes[max(attributes.render_color_index, 0)]
        at = self.loops if found.domain == "CORNER" else self.triangles
        return self._once(f"colour {found.name}", lambda: _read(found.data, "color", 4)[at])

    def coordinates(self, name: str = "") -> Array | None:
        """Return a UV map, the shown one by default, (t, 3, 2); None where there is none."""
        layer = self._layer(name)
        if layer is None:
            return None
        return self._once(f"UV {layer.name}", lambda: _read(layer.data, "uv", 2)[self.loops])

    def tangents(self, name: str = "") -> Array | None:
        """Return tangent and sign of the bitangent along a UV map (t, 3, 4); None where there is none."""
        layer = self._layer(name)
        return None if layer is None else self._once(f"tangents {layer.name}", lambda: self._tangents(layer.name))

    @cached_property
    def own_normals(self) -> Array:
        """(t, 3, 3), as the mesh has them, be they faceted."""
        return _read(self._mesh.corner_normals, "vector", 3)[self.loops].astype(np.float64)

    @cached_property
    def normals(self) -> Array:
        """(t, 3, 3): its own, if it brings some; else smooth but across sharp edges: importers leave meshes faceted."""
        if self._mesh.has_custom_normals:
            return self.own_normals
        corner = self.points[self.triangles]
        flat = unit(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]))
        smooth = vertex_normals(self.points, self.triangles)[self.triangles]
        near = np.einsum("ijk,ik->ij", smooth, flat) > tuning.SMOOTH_COSINE
        return np.where(near[:, :, None], smooth, flat[:, None])

    def _layer(self, name: str) -> Any:
        layers: Any = self._mesh.uv_layers
        return layers.get(name) or next((layer for layer in layers if layer.active_render), None)

    def _tangents(self, name: str) -> Array:
        try:
            return _tangents_of(self._mesh, name)[self.loops]
        except RuntimeError:  # it has faces of more than four corners, for which Blender has none
            mesh = self._in_triangles(name)
            found = _tangents_of(mesh, name).reshape(-1, 3, 4)
            bpy.data.meshes.remove(mesh)
            return found

    def _in_triangles(self, name: str) -> bpy.types.Mesh:
        """Return a copy out of triangles, with this UV map and the same normals."""
        mesh = to_mesh(of_triangles(self.points, self.triangles), "triangles")
        layer: Any = mesh.uv_layers.new(name=name)
        layer.data.foreach_set("uv", _read(self._layer(name).data, "uv", 2)[self.loops].ravel())
        mesh.normals_split_custom_set(self.own_normals.reshape(-1, 3))
        return mesh

    def _once(self, key: str, read: Callable[[], Array]) -> Array:
        if key not in self._kept:
            self._kept[key] = read()
        return self._kept[key]


def _tangents_of(mesh: bpy.types.Mesh, name: str) -> Array:
    """Return tangent and sign at each corner of the faces. Raises RuntimeError where one has more than four corners."""
    mesh.calc_tangents(uvmap=name)
    return np.concatenate([_read(mesh.loops, "tangent", 3), _read(mesh.loops, "bitangent_sign", 1)], axis=1)


def _read(collection: Any, name: str, width: int, kind: Any = np.float32) -> Array:
    values = np.empty(len(collection) * width, kind)
    collection.foreach_get(name, values)
    return values.reshape(-1, width)
