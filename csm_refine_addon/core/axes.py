"""Blender (Z up, -Y front) <-> API (Y up, +Z front): box and pivot.

API axes are those of glTF: +X right, +Y up, +Z front. Blender's object axes are +X right, +Z up, -Y front.
All values in Blender axes are in the object's own rotated frame, not in world space.
"""

from __future__ import annotations

from typing import NamedTuple

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
    """Return the position of the origin in a box, as a fraction of its size from its centre (Blender axes).

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


class NamedPivot(NamedTuple):
    """A named point of the box; ``pivot_point`` in API axes: right, top, front."""

    identifier: str
    name: str
    pivot_point: Vector3


NAMED_PIVOTS = (
    NamedPivot("LEFT_TOP_BACK", "Left Top Back", (-0.5, 0.5, -0.5)),
    NamedPivot("TOP_BACK", "Top Back", (0.0, 0.5, -0.5)),
    NamedPivot("RIGHT_TOP_BACK", "Right Top Back", (0.5, 0.5, -0.5)),
    NamedPivot("LEFT_TOP", "Left Top", (-0.5, 0.5, 0.0)),
    NamedPivot("TOP", "Top Centre", (0.0, 0.5, 0.0)),
    NamedPivot("RIGHT_TOP", "Right Top", (0.5, 0.5, 0.0)),
    NamedPivot("LEFT_TOP_FRONT", "Left Top Front", (-0.5, 0.5, 0.5)),
    NamedPivot("TOP_FRONT", "Top Front", (0.0, 0.5, 0.5)),
    NamedPivot("RIGHT_TOP_FRONT", "Right Top Front", (0.5, 0.5, 0.5)),
    NamedPivot("LEFT_BACK", "Left Back", (-0.5, 0.0, -0.5)),
    NamedPivot("BACK", "Back Centre", (0.0, 0.0, -0.5)),
    NamedPivot("RIGHT_BACK", "Right Back", (0.5, 0.0, -0.5)),
    NamedPivot("LEFT", "Left Centre", (-0.5, 0.0, 0.0)),
    NamedPivot("CENTER", "Centre", (0.0, 0.0, 0.0)),
    NamedPivot("RIGHT", "Right Centre", (0.5, 0.0, 0.0)),
    NamedPivot("LEFT_FRONT", "Left Front", (-0.5, 0.0, 0.5)),
    NamedPivot("FRONT", "Front Centre", (0.0, 0.0, 0.5)),
    NamedPivot("RIGHT_FRONT", "Right Front", (0.5, 0.0, 0.5)),
    NamedPivot("LEFT_BOTTOM_BACK", "Left Bottom Back", (-0.5, -0.5, -0.5)),
    NamedPivot("BOTTOM_BACK", "Bottom Back", (0.0, -0.5, -0.5)),
    NamedPivot("RIGHT_BOTTOM_BACK", "Right Bottom Back", (0.5, -0.5, -0.5)),
    NamedPivot("LEFT_BOTTOM", "Left Bottom", (-0.5, -0.5, 0.0)),
    NamedPivot("BOTTOM", "Bottom Centre", (0.0, -0.5, 0.0)),
    NamedPivot("RIGHT_BOTTOM", "Right Bottom", (0.5, -0.5, 0.0)),
    NamedPivot("LEFT_BOTTOM_FRONT", "Left Bottom Front", (-0.5, -0.5, 0.5)),
    NamedPivot("BOTTOM_FRONT", "Bottom Front", (0.0, -0.5, 0.5)),
    NamedPivot("RIGHT_BOTTOM_FRONT", "Right Bottom Front", (0.5, -0.5, 0.5)),
)
"""All 27 corners, middles of edges and sides, and the centre: from top to bottom, back to front, left to right."""
_BY_POINT = {named.pivot_point: named for named in NAMED_PIVOTS}


def nearest_pivot(pivot_point: Vector3) -> NamedPivot:
    """Return the named point nearest to a pivot; a coordinate half-way between two goes to the middle."""
    x, y, z = (_step(part) for part in pivot_point)
    return _BY_POINT[x, y, z]


def named_pivot(pivot_point: Vector3) -> NamedPivot | None:
    """Return the named point equal to a pivot within float32 rounding, or None."""
    nearest = nearest_pivot(pivot_point)
    same = all(abs(a - b) < 1e-6 for a, b in zip(pivot_point, nearest.pivot_point, strict=True))
    return nearest if same else None


def _step(part: float) -> float:
    """Return the nearest of the three coordinates that a named point may have."""
    if abs(part) <= PIVOT_LIMIT / 2:
        return 0.0
    return PIVOT_LIMIT if part > 0 else -PIVOT_LIMIT
