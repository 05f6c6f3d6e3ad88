"""Image sampling like Blender's Image Texture node (extension, interpolation), and sRGB conversion."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from .surface import Array

FURTHEST = 1e6
"""Beyond, float32 cannot tell one texel from the next."""


def image_pixels(image: Any) -> Array | None:
    """Return (rows, columns, 4) as the image keeps them, rows from below; None where there are none."""
    width, height = image.size
    if not width or not height or image.channels == 0:
        return None
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)
    values = values.reshape(height, width, image.channels)
    if image.channels == 4:
        return values
    colour = values if image.channels == 3 else np.repeat(values[:, :, :1], 3, axis=2)
    return np.concatenate([colour, np.ones((height, width, 1), np.float32)], axis=2)


def reduced_image_pixels(image: Any, most: int) -> Array | None:
    """Return the same of an image whose longer sides Blender has reduced to ``most``; the image stays as it is."""
    if max(image.size) <= most:
        return image_pixels(image)
    copy = image.copy()
    try:
        copy.scale(*(min(side, most) for side in copy.size))
        return image_pixels(copy)
    finally:
        bpy.data.images.remove(copy)


def sample_image(pixels: Array, at: Array, extension: str = "REPEAT", *, closest: bool = False) -> Array:
    """Return (n, channels): the picture at places (n, 2), one wide and high.

    ``extension`` is that of Blender's Image Texture node: REPEAT, EXTEND, CLIP or MIRROR.
    """
    height, width = pixels.shape[:2]
    spots = np.nan_to_num(at, posinf=0, neginf=0).clip(-FURTHEST, FURTHEST) * (width, height) - 0.5
    low = np.floor(spots + 0.5 * closest).astype(np.int64)

    def pixel(right: int, up: int) -> Array:
        x, y = low[:, 0] + right, low[:, 1] + up
        found = pixels[_wrap_index(y, height, extension), _wrap_index(x, width, extension)]
        if extension == "CLIP":
            found = found * ((x >= 0) & (x < width) & (y >= 0) & (y < height))[:, None]
        return np.asarray(found)

    if closest:
        return pixel(0, 0)
    part = (spots - low)[:, :, None]
    below = pixel(0, 0) * (1 - part[:, 0]) + pixel(1, 0) * part[:, 0]
    above = pixel(0, 1) * (1 - part[:, 0]) + pixel(1, 1) * part[:, 0]
    return np.asarray(below * (1 - part[:, 1]) + above * part[:, 1])


def _wrap_index(number: Array, count: int, extension: str) -> Array:
    if extension == "MIRROR":
        turned = number % (2 * count)
        return np.minimum(turned, 2 * count - 1 - turned)
    return number % count if extension == "REPEAT" else number.clip(0, count - 1)


def linear_of_srgb(values: Array) -> Array:
    """IEC 61966-2-1."""
    return np.where(values <= 0.04045, values / 12.92, ((np.maximum(values, 0) + 0.055) / 1.055) ** 2.4)


def srgb_of_linear(values: Array) -> Array:
    """IEC 61966-2-1."""
    values = np.clip(values, 0, 1)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
