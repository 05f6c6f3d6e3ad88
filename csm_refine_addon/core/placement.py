"""From a measured object and the user's choices to what is sent (API axes) and where the result belongs (Blender's).

The rule that all combinations follow: the pivot is a point of the box, and the result's pivot comes to stand on the
same point of the source's box. With the object's own pivot that point is the object's origin. So the result fills
the source's box whatever the pivot, and a box that was typed stands on the chosen point of the source's box.
"""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass

from .axes import (
    PIVOT_LIMIT,
    Vector3,
    blender_from_pivot_point,
    box_centre,
    clamp_pivot,
    origin_fraction,
    pivot_point_from_blender,
    scaled_bbox_from_size,
    size_from_scaled_bbox,
)
from .errors import InputError
from .models import Box, Placement, Quaternion

OUTSIDE = 1e-5
"""Tolerance for an origin outside the box, as a fraction of it, before a warning: float32 rounding."""
OUTSIDE_WARNING = (
    "The origin lies outside the bounds: the nearest pivot that can be sent is sent, "
    "and the origin is put back when the result is placed."
)


class BoundsSource(enum.StrEnum):
    """Where ``scaled_bbox`` comes from; AUTO leaves it out, so that the service decides."""

    OBJECT = "object"
    TYPED = "typed"
    AUTO = "auto"


class PivotSource(enum.StrEnum):
    """Where ``pivot_point`` comes from; AUTO leaves it out, so that the service decides: the centre, as documented."""

    OBJECT = "object"
    CENTER = "center"
    BOTTOM = "bottom"
    TYPED = "typed"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class BoundsOptions:
    """What the user chose. Typed values are checked ones, in API axes (see ``checks``)."""

    bounds: BoundsSource = BoundsSource.OBJECT
    pivot: PivotSource = PivotSource.OBJECT
    typed_bbox: Vector3 | None = None
    typed_pivot: Vector3 | None = None

    @property
    def needs_geometry(self) -> bool:
        """Whether something that is sent is read off the object's geometry."""
        return self.bounds is BoundsSource.OBJECT or self.pivot is PivotSource.OBJECT


@dataclass(frozen=True, slots=True)
class Measured:
    """An object's frame in the world, and the box of its geometry in that frame (Blender axes).

    ``box`` is None where only the frame was asked for. ``warnings`` are sentences for the user.
    """

    object_name: str
    origin: Vector3
    rotation: Quaternion
    box: Box | None = None
    warnings: tuple[str, ...] = ()
    scale: Vector3 | None = None
    """As ``matrix_world.decompose()`` has it: negative on all axes where the object is mirrored."""
    merged_names: tuple[str, ...] = ()
    """The objects that were measured with it as one; their names, without its own."""

    @property
    def mirrored(self) -> bool:
        """Whether the object's matrix mirrors its mesh."""
        return self.scale is not None and self.scale[0] < 0


@dataclass(frozen=True, slots=True)
class RefineParameters:
    """What is sent (API axes; None leaves the key out), where the result belongs, and what the user should know."""

    scaled_bbox: Vector3 | None
    pivot_point: Vector3 | None
    placement: Placement
    warnings: tuple[str, ...] = ()


def resolve(measured: Measured | None, choices: BoundsOptions) -> RefineParameters:
    """Return all that follows from an object (None: there is none) and the user's choices.

    Raises InputError where a choice needs an object, its geometry, or a typed value that is not there.
    """
    return RefineParameters(
        scaled_bbox(measured, choices),
        pivot_point(measured, choices),
        placement_of(measured, choices),
        warnings_of(measured, choices),
    )


def scaled_bbox(measured: Measured | None, choices: BoundsOptions) -> Vector3 | None:
    """Return the ``scaled_bbox`` to send, width, height, depth, or None to leave it out. Raises InputError."""
    if choices.bounds is BoundsSource.AUTO:
        return None
    return scaled_bbox_from_size(_size(measured, choices))


def pivot_point(measured: Measured | None, choices: BoundsOptions) -> Vector3 | None:
    """Return the ``pivot_point`` to send, inside its limits, or None to leave it out. Raises InputError."""
    if choices.pivot is PivotSource.AUTO:
        return None
    x, y, z = clamp_pivot(pivot_point_from_blender(_fraction(measured, choices)))
    return (x + 0.0, y + 0.0, z + 0.0)  # no negative zeros


def placement_of(measured: Measured | None, choices: BoundsOptions) -> Placement:
    """Return where the result belongs. Raises InputError.

    With the service's own bounds there is no box: the result's origin comes to the object's, in its rotation.
    An origin outside the box stays there: it is sent clamped, and ``box`` knows the true one.
    """
    frame = measured or Measured("", Placement().origin, Placement().rotation)
    placed = Placement(
        frame.origin,
        frame.rotation,
        object_name=frame.object_name or None,
        source_origin=measured.origin if measured else None,
        source_scale=frame.scale,
        mirrored=frame.mirrored,
        merged_names=frame.merged_names,
    )
    if choices.bounds is BoundsSource.AUTO:
        return placed
    if choices.bounds is BoundsSource.OBJECT and choices.pivot is PivotSource.OBJECT:
        return dataclasses.replace(placed, box=_box(measured))
    fraction, size = _fraction(measured, choices), _size(measured, choices)
    origin = _point_of_box(frame, fraction) if choices.pivot is not PivotSource.OBJECT else frame.origin
    return dataclasses.replace(placed, origin=origin, box=Box(box_centre(fraction, size), size))


def warnings_of(measured: Measured | None, choices: BoundsOptions) -> tuple[str, ...]:
    """Return the sentences that the user should read before sending. Raises InputError."""
    warnings = measured.warnings if measured else ()
    if choices.pivot is PivotSource.OBJECT and any(
        abs(part) > PIVOT_LIMIT + OUTSIDE for part in _fraction(measured, choices)
    ):
        warnings += (OUTSIDE_WARNING,)
    return warnings


def sent_centre(box: Box) -> Vector3:
    """Return where a box's centre stands, seen from the pivot that could be sent: else it is ``box.centre``.

    The two differ only where the origin lies outside the box. Blender axes.
    """
    fraction = origin_fraction(box.centre, box.size)
    if all(abs(part) <= PIVOT_LIMIT for part in fraction):
        return box.centre
    return box_centre(clamp_pivot(fraction), box.size)


def rotated(rotation: Quaternion, vector: Vector3) -> Vector3:
    """Return a vector turned by a unit quaternion w, x, y, z."""
    w, x, y, z = rotation
    a, b, c = vector
    # v + 2 w cross(q, v) + 2 cross(q, cross(q, v))
    i, j, k = y * c - z * b, z * a - x * c, x * b - y * a
    return (a + 2 * (w * i + y * k - z * j), b + 2 * (w * j + z * i - x * k), c + 2 * (w * k + x * j - y * i))


def _box(measured: Measured | None) -> Box:
    if measured is None or measured.box is None:
        raise InputError(
            "There is no object to take the bounds or the pivot from.",
            "Select an object, type the values, or leave them to the service.",
        )
    return measured.box


def _size(measured: Measured | None, choices: BoundsOptions) -> Vector3:
    if choices.bounds is BoundsSource.OBJECT:
        return _box(measured).size
    if choices.typed_bbox is None:
        raise InputError("No bounds were typed.", "Type width, height and depth.")
    return size_from_scaled_bbox(choices.typed_bbox)


def _fraction(measured: Measured | None, choices: BoundsOptions) -> Vector3:
    """Where the pivot stands in the box, from its centre, as a fraction of it, Blender axes; not clamped."""
    if choices.pivot is PivotSource.OBJECT:
        box = _box(measured)
        return origin_fraction(box.centre, box.size)
    if choices.pivot is PivotSource.BOTTOM:
        return (0.0, 0.0, -PIVOT_LIMIT)
    if choices.pivot is PivotSource.TYPED:
        if choices.typed_pivot is None:
            raise InputError("No pivot was typed.", "Type its three coordinates, each from -0.5 to 0.5.")
        return blender_from_pivot_point(choices.typed_pivot)
    return (0.0, 0.0, 0.0)


def _point_of_box(frame: Measured, fraction: Vector3) -> Vector3:
    """Return the world position of a point of the measured box; the origin itself where nothing was measured."""
    if frame.box is None:
        return frame.origin
    local = [c + f * s for c, f, s in zip(frame.box.centre, fraction, frame.box.size, strict=True)]
    x, y, z = rotated(frame.rotation, (local[0], local[1], local[2]))
    return (frame.origin[0] + x, frame.origin[1] + y, frame.origin[2] + z)
