"""What a mesh looks like at a place on it: base colour, roughness, metalness, normal; read off its materials.

A node tree is followed as far as importers build it (images, colour attributes, factors multiplied in); what else is
there counts with the value that its socket shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from . import tuning
from .surface import Array, of_mesh, unit, vertex_normals

Values = Callable[["Places"], Array]
UNPAINTED = (0.8, 0.8, 0.8, 1.0)
"""What Blender shows where there is neither a material nor a colour, linear."""


@dataclass(frozen=True)
class Places:
    """Points on a mesh: the triangle of each, and the weights of its corners (n, 3)."""

    triangle: Array
    weights: Array

    def blend(self, corners: Array) -> Array:
        """Return values (n, k) out of those at the triangles' corners (t, 3, k)."""
        return np.einsum("ij,ijk->ik", self.weights, corners[self.triangle])


@dataclass(frozen=True)
class Seen:
    """At each place: linear base colour (n, 4) with alpha, roughness and metalness (n,), and the normal (n, 3)."""

    colour: Array
    roughness: Array
    metallic: Array
    normal: Array


class Look:
    """The look of one mesh. ``points`` and ``triangles`` are its shape, in Blender's triangles."""

    def __init__(self, mesh: bpy.types.Mesh) -> None:
        mesh.calc_loop_triangles()
        count = len(mesh.loop_triangles)
        self.points = of_mesh(mesh).points
        vertices, corners = np.empty(count * 3, np.int32), np.empty(count * 3, np.int32)
        self._material = np.empty(count, np.int32)
        mesh.loop_triangles.foreach_get("vertices", vertices)
        mesh.loop_triangles.foreach_get("loops", corners)
        mesh.loop_triangles.foreach_get("material_index", self._material)
        self.triangles, self._corners = vertices.reshape(-1, 3), corners.reshape(-1, 3)
        self._mesh = mesh
        self._kept: dict[str, Array] = {}
        self._normals = self._corner_normals()
        self._materials = [_Material(material, self) for material in mesh.materials] or [_Material(None, self)]

    @property
    def has_surface_values(self) -> bool:
        """Whether roughness or metalness differ anywhere."""
        first = self._materials[0]
        same = all((one.plain_values or ()) == first.plain_values for one in self._materials)
        return not (same and first.plain_values)

    @property
    def plain_values(self) -> tuple[float, float]:
        """Roughness and metalness where they are the same everywhere."""
        roughness, metallic = self._materials[0].plain_values or (0.5, 0.0)
        return roughness, metallic

    @property
    def is_see_through(self) -> bool:
        """Whether any material uses its alpha."""
        return any(material.has_alpha for material in self._materials)

    def at(self, places: Places) -> Seen:
        """Return what is seen at each place."""
        count = len(places.triangle)
        seen = Seen(np.ones((count, 4)), np.zeros(count), np.zeros(count), unit(places.blend(self._normals)))
        which = np.clip(self._material[places.triangle], 0, len(self._materials) - 1)
        for number in np.unique(which):
            here = np.flatnonzero(which == number)
            some = Places(places.triangle[here], places.weights[here])
            material = self._materials[number]
            seen.colour[here] = material.colour(some)
            seen.roughness[here] = material.roughness(some)
            seen.metallic[here] = material.metallic(some)
            seen.normal[here] = material.normal(some, seen.normal[here])
        return seen

    def colours(self, name: str = "") -> Array | None:
        """Return a colour attribute, the shown one by default, at the triangles' corners (t, 3, 4), linear."""
        attributes: Any = self._mesh.color_attributes
        found = attributes.get(name) or attributes.active_color or (attributes[0] if len(attributes) else None)
        if found is None:
            return None
        if found.name not in self._kept:
            values = np.empty(len(found.data) * 4, np.float32)
            found.data.foreach_get("color", values)
            at = self._corners if found.domain == "CORNER" else self.triangles
            self._kept[found.name] = values.reshape(-1, 4)[at]
        return self._kept[found.name]

    def coordinates(self, name: str = "") -> Array | None:
        """Return a UV map, the shown one by default, at the triangles' corners (t, 3, 2)."""
        layers: Any = self._mesh.uv_layers
        found = layers.get(name) or next((layer for layer in layers if layer.active_render), None)
        if found is None:
            return None
        key = f"UV {found.name}"
        if key not in self._kept:
            values = np.empty(len(self._mesh.loops) * 2, np.float32)
            found.data.foreach_get("uv", values)
            self._kept[key] = values.reshape(-1, 2)[self._corners]
        return self._kept[key]

    def tangents(self, name: str = "") -> Array | None:
        """Return tangent and sign of the bitangent at the triangles' corners (t, 3, 4), None without a UV map."""
        layers: Any = self._mesh.uv_layers
        if not len(layers):
            return None
        try:
            self._mesh.calc_tangents(uvmap=name if name in layers else layers.active.name)
        except RuntimeError:  # faces of more than four corners
            return None
        values, signs = np.empty(len(self._mesh.loops) * 3, np.float32), np.empty(len(self._mesh.loops), np.float32)
        self._mesh.loops.foreach_get("tangent", values)
        self._mesh.loops.foreach_get("bitangent_sign", signs)
        return np.column_stack([values.reshape(-1, 3), signs])[self._corners]

    def _corner_normals(self) -> Array:
        """Its own, if it brings some; else smooth but across sharp edges: importers leave raw meshes faceted."""
        if self._mesh.has_custom_normals:
            values = np.empty(len(self._mesh.loops) * 3, np.float32)
            self._mesh.corner_normals.foreach_get("vector", values)
            return values.reshape(-1, 3)[self._corners].astype(np.float64)
        corner = self.points[self.triangles]
        flat = unit(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]))
        smooth = vertex_normals(self.points, self.triangles)[self.triangles]
        near = np.einsum("ijk,ik->ij", smooth, flat) > tuning.SMOOTH_COSINE
        return np.where(near[:, :, None], smooth, flat[:, None])


class _Material:
    """One material's values as functions of places."""

    def __init__(self, material: bpy.types.Material | None, look: Look) -> None:
        self._look = look
        tree: Any = material.node_tree if material and material.use_nodes else None
        nodes = list(tree.nodes) if tree else []
        shader = next((node for node in nodes if node.type == "BSDF_PRINCIPLED"), None)
        plain_colour = UNPAINTED if look.colours() is None else (1, 1, 1, 1)
        self._colour = self._of(shader, "Base Color", tuple(material.diffuse_color) if material else plain_colour)
        self._alpha = self._of(shader, "Alpha", 1.0)
        self._roughness = self._of(shader, "Roughness", 0.5)
        self._metallic = self._of(shader, "Metallic", 0.0)
        self._tints = not any(node.type in {"VERTEX_COLOR", "ATTRIBUTE"} for node in nodes)
        self.has_alpha = bool(shader and (shader.inputs["Alpha"].is_linked or shader.inputs["Alpha"].default_value < 1))
        plain = shader and not (shader.inputs["Roughness"].is_linked or shader.inputs["Metallic"].is_linked)
        values = (
            (0.5, 0.0) if shader is None else tuple(shader.inputs[k].default_value for k in ("Roughness", "Metallic"))
        )
        self.plain_values: tuple[float, ...] | None = values if plain or shader is None else None
        self._bumps, self._bump_strength, self._bump_map = self._normal_map(shader)

    def colour(self, places: Places) -> Array:
        found = self._colour(places)
        tint = self._look.colours() if self._tints else None
        if tint is not None:
            found = found * places.blend(tint)
        return np.column_stack([found[:, :3], self._alpha(places)[:, 0]])

    def roughness(self, places: Places) -> Array:
        return np.asarray(self._roughness(places)[:, 0])

    def metallic(self, places: Places) -> Array:
        return np.asarray(self._metallic(places)[:, 0])

    def normal(self, places: Places, smooth: Array) -> Array:
        tangents = self._look.tangents(self._bump_map) if self._bumps else None
        if tangents is None or self._bumps is None:
            return smooth
        tangent = places.blend(tangents)
        along = unit(tangent[:, :3])
        across = np.cross(smooth, along) * np.sign(tangent[:, 3:])
        bump = self._bumps(places)[:, :3] * 2 - 1
        bump[:, :2] *= self._bump_strength
        return unit(along * bump[:, :1] + across * bump[:, 1:2] + smooth * np.maximum(bump[:, 2:], 0.05))

    def _normal_map(self, shader: Any) -> tuple[Values | None, float, str]:
        link = next(iter(shader.inputs["Normal"].links), None) if shader else None
        node = link.from_node if link else None
        if node is None or node.type != "NORMAL_MAP" or not node.inputs["Color"].is_linked:
            return None, 1.0, ""
        return self._of(node, "Color", (0.5, 0.5, 1, 1)), float(node.inputs["Strength"].default_value), node.uv_map

    def _of(self, node: Any, name: str, default: Any) -> Values:
        """Return what arrives at an input."""
        socket = node.inputs.get(name) if node else None
        if socket is None:
            return _constant(default)
        return self._socket(socket)

    def _socket(self, socket: Any, depth: int = 0) -> Values:
        if not socket.is_linked or depth > 20:
            return _constant(getattr(socket, "default_value", 0.0))
        link = socket.links[0]
        node, output = link.from_node, link.from_socket
        if node.type == "TEX_IMAGE" and node.image:
            picture = self._picture(node, depth)
            return (lambda places: np.repeat(picture(places)[:, 3:], 4, axis=1)) if output.name == "Alpha" else picture
        if node.type in {"VERTEX_COLOR", "ATTRIBUTE"}:
            name = node.layer_name if node.type == "VERTEX_COLOR" else node.attribute_name
            values = self._look.colours(name)
            return _constant((1, 1, 1, 1)) if values is None else lambda places: places.blend(values)
        if node.type in {"SEPARATE_COLOR", "SEPRGB"}:
            whole = self._socket(node.inputs[0], depth + 1)
            channel = list(node.outputs).index(output)
            return lambda places: np.repeat(whole(places)[:, channel : channel + 1], 4, axis=1)
        return self._mixed(node, socket, depth)

    def _mixed(self, node: Any, socket: Any, depth: int) -> Values:
        inputs = [one for one in node.inputs if one.enabled and one.type in {"RGBA", "VALUE"}]
        pair = inputs[1:3] if node.type in {"MIX", "MIX_RGB"} else inputs[:2]
        way = getattr(node, "blend_type", "") or getattr(node, "operation", "")
        if way == "MULTIPLY" and len(pair) == 2:
            one, other = (self._socket(part, depth + 1) for part in pair)
            return lambda places: one(places) * other(places)
        linked = next((part for part in inputs if part.is_linked), None)
        return self._socket(linked, depth + 1) if linked else _constant(getattr(socket, "default_value", 0.0))

    def _picture(self, node: Any, depth: int) -> Values:
        link = next(iter(node.inputs["Vector"].links), None)
        source = link.from_node if link else None
        name = source.uv_map if source and source.type == "UVMAP" and depth >= 0 else ""
        places_in, pixels = self._look.coordinates(name), _linear_pixels(node.image)
        if places_in is None or pixels is None:
            return _constant((1, 1, 1, 1))
        clips = node.extension == "EXTEND"
        return lambda places: bilinear(pixels, places.blend(places_in), clips=clips)


def _constant(value: Any) -> Values:
    parts = [float(part) for part in value] if hasattr(value, "__len__") else [float(value)] * 4
    row = np.array([*parts, 1.0][:4])
    return lambda places: np.repeat(row[None], len(places.triangle), axis=0)


def _linear_pixels(image: Any) -> Array | None:
    """Return (rows, columns, 4), linear where the image says that it is sRGB; None where there are none."""
    width, height = image.size
    if not width or not height or image.channels == 0:
        return None
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)
    values = values.reshape(height, width, image.channels)
    if image.channels < 4:
        grey = image.channels < 3
        colour = np.repeat(values[:, :, :1], 3, axis=2) if grey else values[:, :, :3]
        values = np.concatenate([colour, np.ones((height, width, 1), np.float32)], axis=2)
    if image.colorspace_settings.name == "sRGB" and not image.is_float:
        values[:, :, :3] = linear_of_srgb(values[:, :, :3])
    return values


def bilinear(pixels: Array, at: Array, *, clips: bool = False) -> Array:
    """Return (n, 4): the picture at places (n, 2), which repeats outside 0 to 1, or ends there."""
    height, width = pixels.shape[:2]
    spots = np.nan_to_num(at) * (width, height) - 0.5
    low = np.floor(spots).astype(np.int64)
    part = (spots - low)[:, :, None]

    def pixel(right: int, up: int) -> Array:
        x, y = low[:, 0] + right, low[:, 1] + up
        if clips:
            return np.asarray(pixels[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)])
        return np.asarray(pixels[y % height, x % width])

    below = pixel(0, 0) * (1 - part[:, 0]) + pixel(1, 0) * part[:, 0]
    above = pixel(0, 1) * (1 - part[:, 0]) + pixel(1, 1) * part[:, 0]
    return np.asarray(below * (1 - part[:, 1]) + above * part[:, 1])


def linear_of_srgb(values: Array) -> Array:
    """IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((np.maximum(values, 0) + 0.055) / 1.055) ** 2.4)


def srgb_of_linear(values: Array) -> Array:
    """IEC 61966-2-1."""
    values = np.clip(values, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
