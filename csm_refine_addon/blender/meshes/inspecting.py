"""What a mesh and its textures are like: measured once, in the background, because it looks at every edge and pixel.

With 1.3 million triangles :func:`open_edges` takes about a second.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ...core.models import Texture
from ..measuring.pieces import Array, read_positions

PIXEL_LIMIT = 4096 * 4096
"""A larger image is not looked at pixel by pixel: Blender would hand out more than a quarter of a gigabyte."""
COLOURED = 4
"""A smaller image, in pixels of a side, is a plain colour on purpose."""
SAME_COLOUR = 1.5 / 255.0


def images_of(obj: bpy.types.Object) -> list[bpy.types.Image]:
    """Return the images that the object's materials show, each once."""
    return list(dict.fromkeys(node.image for node in _image_nodes(obj)))


def textures(obj: bpy.types.Object) -> tuple[Texture, ...]:
    """Return the images of an object with their sizes in pixels."""
    colours = {node.image for node in _image_nodes(obj) if _is_colour(node)}
    return tuple(_texture(image, is_colour=image in colours) for image in images_of(obj))


def open_edges(mesh: bpy.types.Mesh) -> int:
    """Return how many edges have not exactly two faces; 0: the mesh is watertight.

    Vertices at the same place count as one, because files split them along the seams of UV maps and normals. An edge
    without length, and a face that has less than three corners then, count as not there.
    """
    corners, starts = _corners(mesh), _face_starts(mesh)
    if not len(starts):
        return 0
    following = np.append(corners[1:], 0)
    ends = np.append(starts[1:], len(corners)) - 1
    following[ends] = corners[starts]
    is_edge = corners != following
    sides = np.add.reduceat(is_edge.astype(np.int32), starts)
    is_edge &= np.repeat(sides >= 3, np.diff(np.append(starts, len(corners))))
    low, high = np.minimum(corners, following)[is_edge], np.maximum(corners, following)[is_edge]
    keys = np.sort(low.astype(np.int64) << 32 | high.astype(np.int64))
    firsts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])) if len(keys) else keys
    return int((np.diff(np.append(firsts, len(keys))) != 2).sum())


def _corners(mesh: bpy.types.Mesh) -> Array:
    """Return for each corner of each face the number of its place."""
    corners = np.empty(len(mesh.loops), dtype=np.int32)
    mesh.loops.foreach_get("vertex_index", corners)
    places = np.unique(_place_keys(read_positions(mesh) + np.float32(0.0)), return_inverse=True)[1]
    return places.astype(np.int32)[corners]


def _place_keys(positions: Array) -> Array:
    """Return a number for each place, the same for the same place; sorting numbers is far faster than sorting rows.

    650,000 places meet in one number in one of 80 million meshes: 64 bits, mixed as by SplitMix64 (Steele 2014).
    """
    keys = np.zeros(len(positions), dtype=np.uint64)
    for axis in positions.T:
        keys += np.ascontiguousarray(axis).view(np.uint32) + np.uint64(0x9E3779B97F4A7C15)
        keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        keys ^= keys >> np.uint64(31)
    return keys


def _face_starts(mesh: bpy.types.Mesh) -> Array:
    starts = np.empty(len(mesh.polygons), dtype=np.int32)
    mesh.polygons.foreach_get("loop_start", starts)
    return starts


def _image_nodes(obj: bpy.types.Object) -> list[Any]:
    trees = [material.node_tree for material in obj.data.materials if material and material.node_tree]
    return [node for tree in trees for node in tree.nodes if node.type == "TEX_IMAGE" and node.image]


def _is_colour(node: Any) -> bool:
    """Tell whether an image gives a surface its colour, directly or through one node that mixes it."""
    links = [link for output in node.outputs for link in output.links]
    behind = [link for each in links for output in each.to_node.outputs for link in output.links]
    return any(link.to_socket.identifier == "Base Color" for link in (*links, *behind))


def _texture(image: Any, *, is_colour: bool) -> Texture:
    width, height = image.size
    return Texture(image.name, width, height, is_colour and _is_plain(image))


def _is_plain(image: Any) -> bool:
    width, height = image.size
    if min(width, height) <= COLOURED or width * height > PIXEL_LIMIT:
        return False
    values = np.empty(width * height * image.channels, dtype=np.float32)
    image.pixels.foreach_get(values)
    pixels = values.reshape(-1, image.channels)
    return bool((np.ptp(pixels, axis=0) < SAME_COLOUR).all())
