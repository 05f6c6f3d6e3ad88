"""The comparison picture: source and result side by side, shaded and as wireframe, with UV layout and texture.

Takes 0.2 to 0.9 s for each mesh (4 s for two million triangles), up to half a second more for each texture of 4,096 by
4,096 that its colours are made of, and needs no graphics system.
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
from .corner_attributes import SurfacePoints
from .material_sampling import MaterialSampler
from .rendering import Array
from .sampling import reduced_image_pixels, srgb_of_linear
from .source_materials import base_colour

SIDE = 320
"""Of each of the six views, in pixels."""
_LARGEST_TEXTURE = 1024
_GREY = np.full((1, 1, 3), 0.5, np.float32)


class ComparisonPicture:
    """Renders the source first and the result later. A failure only loses the picture, not the refine."""

    def __init__(self, source: bpy.types.Object) -> None:
        self._source = _try_render_views(source)

    def finished(self, result: bpy.types.Object, path: Path) -> list[str]:
        """Write it with the result, as one PNG; return a note where that failed."""
        views = _try_render_views(result, layout=True) if self._source else None
        try:
            if self._source and views:
                write(path, self._source, views)
                return []
        except (RuntimeError, OSError):
            traceback.print_exc()
        return ["A picture of source and result could not be made."]


def _try_render_views(obj: bpy.types.Object, *, layout: bool = False) -> Views | None:
    try:
        return render_views(obj, layout=layout)
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, ValueError):
        traceback.print_exc()
        return None


@dataclass(frozen=True)
class Views:
    """Views of a mesh, (SIDE, SIDE, 3) each; background colour if it has no UV layout or texture."""

    shaded: Array
    wired: Array
    layout: Array
    texture: Array


def render_views(obj: bpy.types.Object, *, layout: bool = False) -> Views:
    """Return the views of a mesh object; the UV layout only if ``layout`` is set."""
    mesh: Any = obj.data
    shown = MaterialSampler(mesh, _texture_pixels)
    corners = shown.points[shown.triangles]
    seen = rendering.project_triangles(corners, SIDE)
    places = SurfacePoints(seen.triangle, seen.weights)
    inner = _inner_edges(mesh, shown.corners.loops)
    colours = shown.colour(places)
    colours[:, :3] = srgb_of_linear(colours[:, :3])
    return Views(
        rendering.render_shaded(seen, colours, places.blend(shown.corners.own_normals)),
        rendering.render_wireframe(seen, corners, inner),
        *(_layout(obj, shown, inner) if layout else (_background(), _background())),
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


def _inner_edges(mesh: Any, loops: Array) -> Array:
    """Return which edges of the triangles are none of the face's (t, 3), that from corner k to k + 1."""
    owner = _read(mesh.loop_triangles, "polygon_index")
    starts = _read(mesh.polygons, "loop_start")[owner][:, None]
    totals = _read(mesh.polygons, "loop_total")[owner][:, None]
    return np.asarray((loops - starts + 1) % totals + starts != np.roll(loops, -1, axis=1))


def _layout(obj: bpy.types.Object, shown: MaterialSampler, inner: Array) -> tuple[Array, Array]:
    texture = next((_upright(image, shown.pixels(image)) for image in _textures(obj)), None)
    alone = _background() if texture is None else rendering.render_texture(texture, SIDE)
    uvs = shown.corners.coordinates()
    if uvs is None:
        return _background(), alone
    return rendering.render_uv_layout(uvs, inner, _GREY if texture is None else texture, SIDE), alone


def _textures(obj: bpy.types.Object) -> Iterator[Any]:
    """Yield the images that the base colours of its materials are made of."""
    for slot in obj.material_slots:
        base = base_colour(slot.material)
        behind = _upstream_nodes(base) if base else ()
        yield from (node.image for node in behind if node.type == "TEX_IMAGE" and node.image and node.image.size[0])


def _upstream_nodes(socket: Any) -> Iterator[Any]:
    """Yield the nodes that a socket gets its value from, the nearest first."""
    for link in socket.links:
        yield link.from_node
        for behind in link.from_node.inputs:
            yield from _upstream_nodes(behind)


def _texture_pixels(image: Any) -> Array | None:
    return reduced_image_pixels(image, _LARGEST_TEXTURE)


def _upright(image: Any, pixels: Array | None) -> Array | None:
    """Return an image as (rows, columns, 3), sRGB, the first row on top."""
    if pixels is None:
        return None
    found = pixels[::-1, :, :3]
    return srgb_of_linear(found) if image.is_float else found


def _background() -> Array:
    return np.broadcast_to(rendering.BACKGROUND, (SIDE, SIDE, 3))


def _read(collection: Any, name: str) -> Array:
    values = np.empty(len(collection), np.int32)
    collection.foreach_get(name, values)
    return values
