"""Evaluates the node trees that importers build, as functions of surface points.

Supported are images with UV maps and transforms, colour attributes, and multiplied factors; other nodes count with the
value of their socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
import numpy as np
from mathutils import Euler

from .corner_attributes import CornerAttributes, SurfacePoints
from .sampling import image_pixels, linear_of_srgb, sample_image
from .surface import Array, unit

Values = Callable[[SurfacePoints], Array]
Pixels = Callable[[Any], "Array | None"]
UNPAINTED = (0.8, 0.8, 0.8, 1.0)
"""What Blender shows where there is neither a material nor a colour, linear."""
_MAX_DEPTH = 20
_SHADERS = {"BSDF_PRINCIPLED": "Base Color", "EMISSION": "Color", "BSDF_DIFFUSE": "Color"}
"""Where a shader has its colour; emission is how glTF's unlit materials come."""


class Material:
    """One material of a mesh, or what is shown where there is None.

    Images are read with ``pixels`` at each evaluation, without a cache of its own.
    """

    def __init__(
        self, material: bpy.types.Material | None, corners: CornerAttributes, pixels: Pixels = image_pixels
    ) -> None:
        self._corners, self._pixels = corners, pixels
        shader = _shader(material)
        base = base_colour(material)
        plain = _constant(_plain_colour(material, corners))
        self._colour = self._socket(base) if base else plain
        # Blender shows the mesh's colours only where nodes ask for them; without any, they are all the colour it has.
        self._tint = None if base and base.is_linked else corners.colours()
        alpha = _alpha_socket(shader)
        self._alpha = self._socket(alpha) if alpha else _constant(1.0)
        self._roughness = self._of(shader, "Roughness", 0.5)
        self._metallic = self._of(shader, "Metallic", 0.0)
        self.has_alpha = bool(alpha and (alpha.is_linked or alpha.default_value < 1))
        self.plain_values = _plain_values(shader)
        self._bumps, self._bump_strength, self._bump_map = self._normal_map(shader)

    def colour(self, places: SurfacePoints) -> Array:
        """Return the base colour (n, 4), linear, with alpha."""
        found = self._colour(places)
        if self._tint is not None:
            found = found * places.blend(self._tint)
        return np.column_stack([found[:, :3], self._alpha(places)[:, 0]])

    def roughness(self, places: SurfacePoints) -> Array:
        """Return (n,)."""
        return np.asarray(self._roughness(places)[:, 0])

    def metallic(self, places: SurfacePoints) -> Array:
        """Return (n,)."""
        return np.asarray(self._metallic(places)[:, 0])

    def normal(self, places: SurfacePoints, smooth: Array) -> Array:
        """Return the normals (n, 3) that its normal map makes of the mesh's own."""
        tangents = self._corners.tangents(self._bump_map) if self._bumps else None
        if tangents is None or self._bumps is None:
            return smooth
        tangent = places.blend(tangents)
        along = unit(tangent[:, :3])
        across = np.cross(smooth, along) * np.sign(tangent[:, 3:])
        bump = self._bumps(places)[:, :3] * 2 - 1
        bump[:, :2] *= self._bump_strength
        return unit(along * bump[:, :1] + across * bump[:, 1:2] + smooth * np.maximum(bump[:, 2:], 0.05))

    def _normal_map(self, shader: Any) -> tuple[Values | None, float, str]:
        socket = shader.inputs.get("Normal") if shader else None
        node = socket.links[0].from_node if socket and socket.is_linked else None
        if node is None or node.type != "NORMAL_MAP" or not node.inputs["Color"].is_linked:
            return None, 1.0, ""
        return self._socket(node.inputs["Color"]), float(node.inputs["Strength"].default_value), node.uv_map

    def _of(self, shader: Any, name: str, default: float) -> Values:
        socket = shader.inputs.get(name) if shader else None
        return _constant(default) if socket is None else self._socket(socket)

    def _socket(self, socket: Any, depth: int = 0) -> Values:
        """Return what arrives at an input, (n, 4)."""
        if not socket.is_linked or depth > _MAX_DEPTH:
            return _constant(getattr(socket, "default_value", 0.0))
        link = socket.links[0]
        node, output = link.from_node, link.from_socket
        if node.type == "TEX_IMAGE" and node.image:
            return self._image(node, alpha=output.name == "Alpha")
        if node.type in {"VERTEX_COLOR", "ATTRIBUTE"}:
            return self._painted(node, alpha=output.name == "Alpha")
        if node.type in {"SEPARATE_COLOR", "SEPRGB"}:
            return _channel(self._socket(node.inputs[0], depth + 1), list(node.outputs).index(output))
        return self._mixed(node, socket, depth)

    def _mixed(self, node: Any, socket: Any, depth: int) -> Values:
        inputs = [one for one in node.inputs if one.enabled and one.type in {"RGBA", "VALUE"}]
        pair = inputs[1:3] if node.type in {"MIX", "MIX_RGB"} else inputs[:2]
        way = getattr(node, "blend_type", "") or getattr(node, "operation", "")
        if way in _BLENDS and len(pair) == 2:
            mix, one, other = _BLENDS[way], *(self._socket(part, depth + 1) for part in pair)
            return lambda places: mix(one(places), other(places))
        linked = next((part for part in inputs if part.is_linked), None)
        return self._socket(linked, depth + 1) if linked else _constant(getattr(socket, "default_value", 0.0))

    def _painted(self, node: Any, *, alpha: bool) -> Values:
        values = self._corners.colours(node.layer_name if node.type == "VERTEX_COLOR" else node.attribute_name)
        if values is None:
            return _constant((1, 1, 1, 1))
        wanted = np.repeat(values[:, :, 3:], 4, axis=2) if alpha else values
        return lambda places: places.blend(wanted)

    def _image(self, node: Any, *, alpha: bool) -> Values:
        at, image, read = self._vector(node.inputs["Vector"]), node.image, self._pixels
        if at is None:
            return _constant((1, 1, 1, 1))
        is_srgb = image.colorspace_settings.name == "sRGB" and not image.is_float
        extension, closest = node.extension, node.interpolation == "Closest"

        def values(places: SurfacePoints) -> Array:
            pixels = read(image)
            if pixels is None:
                return np.ones((len(places.triangle), 4))
            found = sample_image(pixels, at(places)[:, :2], extension, closest=closest)
            if is_srgb and not alpha:  # behind the sampling, as in Cycles
                found[:, :3] = linear_of_srgb(found[:, :3])
            return found

        return _channel(values, 3) if alpha else values

    def _vector(self, socket: Any, depth: int = 0) -> Values | None:
        """Return where an image is looked at (n, 3): along a UV map; None where the mesh has none."""
        node = socket.links[0].from_node if socket.is_linked and depth < _MAX_DEPTH else None
        if node and node.type == "MAPPING" and node.vector_type in _MAPPINGS:
            before = self._vector(node.inputs["Vector"], depth + 1)
            return before and _MAPPINGS[node.vector_type](before, *_mapping_values(node))
        if node and node.type == "COMBXYZ":
            parts = [self._number(one, depth + 1) for one in node.inputs]
            return lambda places: np.stack([part(places) for part in parts], axis=1)
        uvs = self._corners.coordinates(node.uv_map if node and node.type == "UVMAP" else "")
        return None if uvs is None else lambda places: np.pad(places.blend(uvs), ((0, 0), (0, 1)))

    def _number(self, socket: Any, depth: int) -> Values:
        """Return one of the coordinates (n,), wrapped as glTF's importer does it for each axis by itself."""
        value = float(socket.default_value)
        node = socket.links[0].from_node if socket.is_linked and depth < _MAX_DEPTH else None
        if node and node.type == "SEPXYZ" and (whole := self._vector(node.inputs[0], depth + 1)):
            axis = list(node.outputs).index(socket.links[0].from_socket)
            return lambda places: whole(places)[:, axis]
        if node and node.type == "MATH" and node.operation in _WRAPS:
            first, *others = node.inputs
            before, wrap = self._number(first, depth + 1), _WRAPS[node.operation]
            limits = [float(one.default_value) for one in others]
            return lambda places: wrap(before(places), *limits)
        return lambda places: np.full(len(places.triangle), value)


def base_colour(material: bpy.types.Material | None) -> Any:
    """Return the socket that a material's colour arrives at; None where no shader has one."""
    shader = _shader(material)
    return shader.inputs[_SHADERS[shader.type]] if shader else None


def _shader(material: bpy.types.Material | None) -> Any:
    tree: Any = material.node_tree if material else None
    nodes = {node.type: node for node in reversed(list(tree.nodes))} if tree else {}
    return next((nodes[kind] for kind in _SHADERS if kind in nodes), None)


def _alpha_socket(shader: Any) -> Any:
    """Return where a shader's alpha arrives; where it has none, by how much another one, clear in glTF, is mixed in."""
    if shader is None or "Alpha" in shader.inputs:
        return shader and shader.inputs["Alpha"]
    output = shader.outputs[0]
    for _ in range(_MAX_DEPTH):
        node = output.links[0].to_node if output.is_linked else None
        if node is None or node.type != "MIX_SHADER":
            break
        share = node.inputs[0]
        is_second = output.links[0].to_socket == node.inputs[2]
        if is_second and not (share.is_linked and share.links[0].from_node.type == "LIGHT_PATH"):
            return share
        output = node.outputs[0]
    return None


def _plain_colour(material: bpy.types.Material | None, corners: CornerAttributes) -> Any:
    if material:
        return material.diffuse_color
    return UNPAINTED if corners.colours() is None else (1, 1, 1, 1)


def _plain_values(shader: Any) -> tuple[float, float] | None:
    """Return roughness and metalness where they are the same everywhere."""
    if shader is None or shader.type != "BSDF_PRINCIPLED":
        return 0.5, 0.0
    roughness, metallic = shader.inputs["Roughness"], shader.inputs["Metallic"]
    return None if roughness.is_linked or metallic.is_linked else (roughness.default_value, metallic.default_value)


def _constant(value: Any) -> Values:
    parts = [float(part) for part in value] if hasattr(value, "__len__") else [float(value)] * 4
    row = np.array([*parts, 1.0][:4])
    return lambda places: np.repeat(row[None], len(places.triangle), axis=0)


def _channel(whole: Values, number: int) -> Values:
    return lambda places: np.repeat(whole(places)[:, number : number + 1], 4, axis=1)


def _mapping_values(node: Any) -> tuple[Array, Array, Array]:
    """Return a Mapping node's location, rotation as a matrix, and scale."""
    location, rotation, scale = (
        np.array(node.inputs[name].default_value) for name in ("Location", "Rotation", "Scale")
    )
    return location, np.array(Euler(rotation).to_matrix()), scale


def _map_point(before: Values, location: Array, turn: Array, scale: Array) -> Values:
    """Scaled, turned, then moved: Blender's manual on the Mapping node of type Point."""
    return lambda places: (before(places) * scale) @ turn.T + location


def _map_texture(before: Values, location: Array, turn: Array, scale: Array) -> Values:
    """The other way round, 0 along what has no scale: as type Texture does it (mapping_texture in Blender's shaders).

    It is what the importers of FBX make.
    """
    there = scale != 0
    return lambda places: ((before(places) - location) @ turn) * there / np.where(there, scale, 1)


_MAPPINGS: dict[str, Callable[..., Values]] = {"POINT": _map_point, "TEXTURE": _map_texture}


def _wrap(value: Array, high: float, low: float, *_: float) -> Array:
    """As Blender's Math node does it (math_wrap in its shaders)."""
    span = high - low
    return value - span * np.floor((value - low) / span) if span else np.full_like(value, low)


def _ping_pong(value: Array, most: float, *_: float) -> Array:
    """As Blender's Math node does it (math_pingpong in its shaders)."""
    if not most:
        return np.zeros_like(value)
    share = (value - most) / (2 * most)
    return np.abs((share - np.floor(share)) * 2 * most - most)


_BLENDS: dict[str, Callable[[Array, Array], Array]] = {
    "MULTIPLY": np.multiply,
    "SUBTRACT": np.subtract,
    "LESS_THAN": lambda one, other: (one < other).astype(np.float64),
}
"""How a node makes one value of two; a mask of glTF is 1 - (alpha < cutoff)."""
_WRAPS: dict[str, Callable[..., Array]] = {"WRAP": _wrap, "PINGPONG": _ping_pong}
