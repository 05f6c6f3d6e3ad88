"""Blender (Z up, -Y front) <-> API (Y up, +Z front): box and pivot.

API axes are those of glTF: +X right, +Y up, +Z front. Blender's object axes are +X right, +Z up, -Y front.
Everything in Blender axes here stands in the object's own rotated frame, not in the world's.
"""

from __future__ import annotations

Vector3 = tuple[float, float, float]

PIVOT_LIMIT = 0.5
"""A pivot coordinate reaches from -PIVOT_LIMIT to PIVOT_LIMIT, inclusive (CSM API reference, ``pivot_point``)."""


def scaled_bbox_from_size(size: Vector3) -> Vector3:
    """Return ``[width, height, depth]`` (API X, Y, Z) of a box of ``size`` (Blender x, y, z)."""
    x, y, z = size
    return (x, z, y)


def size_from_scaled_bbox(scaled_bbox: Vector3) -> Vector3:
    """Return the size in Blender x, y, z of ``[width, height, depth]``."""
    width, height, depth = scaled_bbox
    return (width, depth, height)


def pivot_point_from_blender(fraction: Vector3) -> Vector3:
    """Return ``pivot_point`` of an origin at ``fraction`` of the box, counted from its centre, in Blender axes."""
    x, y, z = fraction
    return (x, z, -y)


def blender_from_pivot_point(pivot_point: Vector3) -> Vector3:
    """Return the fraction of the box from its centre, in Blender axes, of an API ``pivot_point``."""
    x, y, z = pivot_point
    return (x, -z, y)


def origin_fraction(box_centre: Vector3, box_size: Vector3) -> Vector3:
    """Return where the origin stands in a box, as a fraction of its size from its centre (Blender axes).

    ``box_centre`` is relative to the origin. A side of size zero gives 0.
    """
    x, y, z = (-centre / side if side else 0.0 for centre, side in zip(box_centre, box_size, strict=True))
    return (x, y, z)


def box_centre(fraction: Vector3, box_size: Vector3) -> Vector3:
    """Return the box's centre relative to an origin at ``fraction``: the inverse of :func:`origin_fraction`."""
    x, y, z = (-part * side for part, side in zip(fraction, box_size, strict=True))
    return (x, y, z)


def clamp_pivot(pivot: Vector3) -> Vector3:
    """Return the pivot with every coordinate moved into the range that can be sent."""
    x, y, z = (min(PIVOT_LIMIT, max(-PIVOT_LIMIT, part)) for part in pivot)
    return (x, y, z)
