"""A refine's picture: source and result side by side, shaded and in wireframe; beside them UV layout and texture.

Takes half a second for each mesh (3.5 s for two million triangles) and needs no graphics system.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from . import rendering
from .materials import UNPAINTED
from .rendering import Array

SIDE = 320
"""Of each of the six views, in pixels."""
_LARGEST_TEXTURE = 1024
_GREY = np.full((1, 1, 3), 0.5, np.float32)


class Picture:
    """A refine's picture, begun with the source. What cannot be drawn costs the picture, never the refine."""

    def __init__(self, source: bpy.types.Object) -> None:
        self._source = _drawn(source)

    def finished(self, result: bpy.types.Object, path: Path) -> list[str]:
        """Write it with the result, as one PNG; return a note where that failed."""
        views = _drawn(result, layout=True) if self._source else None
        try:
            if self._source and views:
                write(path, self._source, views)
                return []
        except (RuntimeError, OSError):
            traceback.print_exc()
        return ["A picture of source and result could not be made."]


def _drawn(obj: bpy.types.Object, *, layout: bool = False) -> Views | None:
    try:
        return look(obj, layout=layout)
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, ValueError):
        traceback.print_exc()
        return None


@dataclass(frozen=True)
class Views:
    """A mesh as it was when it was looked at, (SIDE, SIDE, 3) each; paper where it has no UV layout or texture."""

    shaded: Array
    wired: Array
    layout: Array
    texture: Array


def look(obj: bpy.types.Object, *, layout: bool = False) -> Views:
    """Return a mesh object's pictures as it stands; the layout stays empty where it is not asked for."""
    mesh: Any = obj.data
    mesh.calc_loop_triangles()
    loops, materials, inner = _triangles(mesh)
    corners = _read(mesh.vertices, "co", 3)[_read(mesh.loops, "vertex_index", 1, np.int32).ravel()[loops]]
    seen = rendering.look_at(corners.astype(np.float64), SIDE)
    normals = _mixed(_read(mesh.corner_normals, "vector", 3), loops, seen)
    paints = [_paint(slot.material) for slot in obj.material_slots] or [_Paint()]
    colours = _colours(mesh, loops, materials, seen, paints)
    return Views(
        rendering.shaded(seen, colours, normals),
        rendering.wired(seen, corners, inner),
        *(_layout(mesh, loops, inner, paints) if layout else (_paper(), _paper())),
    )


def write(path: Path, source: Views, result: Views) -> None:
    """Write one PNG, three views wide and two high."""
    rows = [
        np.concatenate([source.shaded, result.shaded, result.layout], axis=1),
        np.concatenate([source.wired, result.wired, result.texture], axis=1),
    ]
    pixels = np.ones((2 * SIDE, 3 * SIDE, 4), np.float32)
    pixels[..., :3] = np.concatenate(rows)[::-1]  # Blender's first row is the lowest
    image: Any = bpy.data.images.new("picture", 3 * SIDE, 2 * SIDE)
    try:
        image.pixels.foreach_set(pixels.ravel())
        image.filepath_raw, image.file_format = str(path), "PNG"
        image.save()
    finally:
        bpy.data.images.remove(image)


@dataclass(frozen=True)
class _Paint:
    """A material's base colour: a texture, or one colour; both are sRGB."""

    texture: Array | None = None
    colour: Array | None = None


def _triangles(mesh: Any) -> tuple[Array, Array, Array]:
    """Return per triangle its corners (t, 3), its material, and which of its edges are none of the face's (t, 3)."""
    loops = _read(mesh.loop_triangles, "loops", 3, np.int32)
    owner = _read(mesh.loop_triangles, "polygon_index", 1, np.int32).ravel()
    starts = _read(mesh.polygons, "loop_start", 1, np.int32).ravel()[owner][:, None]
    totals = _read(mesh.polygons, "loop_total", 1, np.int32).ravel()[owner][:, None]
    inner = (loops - starts + 1) % totals + starts != np.roll(loops, -1, axis=1)
    return loops, _read(mesh.polygons, "material_index", 1, np.int32).ravel()[owner], inner


def _colours(mesh: Any, loops: Array, materials: Array, seen: rendering.Visible, paints: list[_Paint]) -> Array:
    """Return the base colour of what is seen, (n, 3): of the texture, else at the vertices, else of the material."""
    at_corners = _vertex_colours(mesh)
    uvs = _mixed(_read(mesh.uv_layers.active.uv, "vector", 2), loops, seen) if mesh.uv_layers.active else None
    found = np.tile(_srgb(np.array(UNPAINTED[:3])), (len(seen.triangle), 1))
    if at_corners is not None:
        found = _mixed(at_corners, loops, seen)
    material = np.minimum(materials[seen.triangle], len(paints) - 1)
    for number, paint in enumerate(paints):
        mine = material == number
        if paint.texture is not None and uvs is not None:
            found[mine] = _sampled(paint.texture, uvs[mine])
        elif paint.colour is not None and at_corners is None:
            found[mine] = paint.colour
    return found


def _vertex_colours(mesh: Any) -> Array | None:
    """Return the colour of each corner, (l, 3), sRGB; None where the mesh has none."""
    attribute = mesh.color_attributes.active_color
    if attribute is None:
        return None
    colours = _read(attribute.data, "color_srgb", 4)[:, :3]
    return colours[_read(mesh.loops, "vertex_index", 1, np.int32).ravel()] if attribute.domain == "POINT" else colours


def _paint(material: Any) -> _Paint:
    shader = next((node for node in _nodes(material) if node.type == "BSDF_PRINCIPLED"), None)
    if shader is None:
        return _Paint()
    base = shader.inputs["Base Color"]
    image = next((node.image for node in _behind(base) if node.type == "TEX_IMAGE" and node.image), None)
    if image is not None and image.size[0]:
        return _Paint(texture=_pixels(image))
    return _Paint(colour=None if base.is_linked else _srgb(np.array(base.default_value[:3])))


def _nodes(material: Any) -> list[Any]:
    return list(material.node_tree.nodes) if material is not None and material.node_tree else []


def _behind(socket: Any) -> Iterator[Any]:
    """Yield the nodes that a socket gets its value from, the nearest first."""
    for link in socket.links:
        yield link.from_node
        for behind in link.from_node.inputs:
            yield from _behind(behind)


def _pixels(image: Any) -> Array:
    """Return an image as (rows, columns, 3), sRGB, the first row on top; large ones are reduced."""
    copy = image.copy()
    try:
        if max(copy.size) > _LARGEST_TEXTURE:
            copy.scale(*(min(side, _LARGEST_TEXTURE) for side in copy.size))
        columns, rows = copy.size
        pixels = np.empty(rows * columns * copy.channels, np.float32)
        copy.pixels.foreach_get(pixels)
        found = pixels.reshape(rows, columns, -1)[::-1, :, :3]
        found = np.repeat(found, 3, axis=2) if found.shape[2] < 3 else found
        return _srgb(found) if copy.is_float else found
    finally:
        bpy.data.images.remove(copy)


def _layout(mesh: Any, loops: Array, inner: Array, paints: list[_Paint]) -> tuple[Array, Array]:
    texture = next((paint.texture for paint in paints if paint.texture is not None), None)
    alone = _paper() if texture is None else rendering.reduced(texture, SIDE)
    if mesh.uv_layers.active is None:
        return _paper(), alone
    uvs = _read(mesh.uv_layers.active.uv, "vector", 2)[loops]
    return rendering.unrolled(uvs, inner, _GREY if texture is None else texture, SIDE), alone


def _paper() -> Array:
    return np.broadcast_to(rendering.PAPER, (SIDE, SIDE, 3))


def _mixed(values: Array, loops: Array, seen: rendering.Visible) -> Array:
    """Return what stands at corners, (l, k), at the places that are seen, (n, k)."""
    return np.einsum("nc,nck->nk", seen.weights, values[loops[seen.triangle]])


def _sampled(texture: Array, uvs: Array) -> Array:
    rows, columns = texture.shape[:2]
    uvs = np.where(np.isfinite(uvs), uvs, 0.0) % 1.0
    row, column = ((1 - uvs[:, 1]) * rows).astype(np.int64), (uvs[:, 0] * columns).astype(np.int64)
    return texture[np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)]


def _srgb(light: Array) -> Array:
    light = np.maximum(light, 0.0)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def _read(collection: Any, name: str, width: int, kind: Any = np.float32) -> Array:
    values = np.empty(len(collection) * width, kind)
    collection.foreach_get(name, values)
    return values.reshape(-1, width)
