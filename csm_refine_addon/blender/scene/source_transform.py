"""Where a result stands: as its source was measured, and as the source has moved, turned and been scaled since."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import bpy

from ...core.axes import Vector3
from ...core.errors import InputError
from ...core.models import Box, Placement, Quaternion
from ...core.placement import rotated
from ..geometry import bounds

SAME_SCALE = 1e-5
"""A scale so near to 1 is the float32 noise of a rotation."""
UNSCALED = (1.0, 1.0, 1.0)
SCALED = "“{name}” was scaled since it was measured: the result is scaled with it, by {x:.4g} × {y:.4g} × {z:.4g}."


@dataclass(frozen=True, slots=True)
class Standing:
    """A place as it is now: ``scale`` is the result's own, negative on all axes where the source was mirrored since."""

    placement: Placement
    scale: Vector3 = UNSCALED

    @property
    def remark(self) -> str:
        """A sentence where the source was scaled since it was measured."""
        if self.scale == UNSCALED:
            return ""
        x, y, z = self.scale
        return SCALED.format(name=self.placement.object_name, x=x, y=y, z=z)


def standing(placement: Placement, source: bpy.types.Object | None) -> Standing:
    """Return where a result stands beside its source; without one, or an unusable transform, where it was measured."""
    if source is None or placement.source_origin is None or placement.source_scale is None:
        return Standing(placement)
    try:
        now = bounds.frame(source)
    except InputError:
        return Standing(placement)
    ratios = (there / then for there, then in zip(now.scale or UNSCALED, placement.source_scale, strict=True))
    x, y, z = (1.0 if abs(ratio - 1.0) < SAME_SCALE else ratio for ratio in ratios)
    if (now.origin, now.rotation, (x, y, z)) == (placement.source_origin, placement.rotation, UNSCALED):
        return Standing(placement)
    offset = _turned_back(placement.rotation, placement.origin, placement.source_origin)
    i, j, k = rotated(now.rotation, (offset[0] * x, offset[1] * y, offset[2] * z))
    moved = dataclasses.replace(
        placement,
        origin=(now.origin[0] + i, now.origin[1] + j, now.origin[2] + k),
        rotation=now.rotation,
        box=scaled(placement.box, (x, y, z)) if placement.box else None,
    )
    return Standing(moved, (x, y, z))


def scaled(box: Box, scale: Vector3) -> Box:
    """Return a box scaled from the origin."""
    x, y, z = (part * by for part, by in zip(box.centre, scale, strict=True))
    width, depth, height = (side * abs(by) for side, by in zip(box.size, scale, strict=True))
    return Box((x, y, z), (width, depth, height))


def unscaled(box: Box, scale: Vector3) -> Box:
    """Return the box that :func:`scaled` makes ``box`` of."""
    x, y, z = scale
    return scaled(box, (1.0 / x, 1.0 / y, 1.0 / z))


def _turned_back(rotation: Quaternion, origin: Vector3, source_origin: Vector3) -> Vector3:
    """Return an origin as seen from the source, in its rotation."""
    w, x, y, z = rotation
    a, b, c = (there - here for there, here in zip(origin, source_origin, strict=True))
    return rotated((w, -x, -y, -z), (a, b, c))
