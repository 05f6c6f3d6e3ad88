"""Size and content of a mesh's textures; reads every pixel, so it runs in the background."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from ...core.models import Texture

PIXEL_LIMIT = 4096 * 4096
"""The pixels of larger images are not read: that would take more than a quarter of a gigabyte."""
COLOURED = 4
"""An image with a side of at most this many pixels is a plain colour on purpose."""
SAME_COLOUR = 1.5 / 255.0


def images_of(obj: bpy.types.Object) -> list[bpy.types.Image]:
    """Return the images in the object's materials, each once."""
    return list(dict.fromkeys(node.image for node in _image_nodes(obj)))


def textures(obj: bpy.types.Object) -> tuple[Texture, ...]:
    """Return the images of an object with their sizes in pixels."""
    colours = {node.image for node in _image_nodes(obj) if _is_colour(node)}
    return tuple(_texture(image, is_colour=image in colours) for image in images_of(obj))


def _image_nodes(obj: bpy.types.Object) -> list[Any]:
    trees = [material.node_tree for material in obj.data.materials if material and material.node_tree]
    return [node for tree in trees for node in tree.nodes if node.type == "TEX_IMAGE" and node.image]


def _is_colour(node: Any) -> bool:
    """Return whether an image node is connected to Base Color, directly or through one other node."""
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
