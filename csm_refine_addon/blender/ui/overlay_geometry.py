"""What the overlay draws, as plain geometry: which lines, where, and where their labels stand. No window needed.

A sketch stands in a frame: an object's origin and rotation at the moment of drawing, or the world.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from mathutils import Matrix, Quaternion, Vector

from ...core import models
from ...core.axes import Vector3, blender_from_pivot_point
from ...core.models import Box, Placement
from ...core.placement import Measured, rotated, sent_centre

SHEAR = 1e-4
"""As ``bounds.SHEAR``, which needs numpy: cosine between two axes from which on a matrix counts as sheared."""
POLAR_STEPS = 12
MARK = 0.2
"""How much of a side a corner's mark takes, at each end."""
SHORTEST_ARM = 0.3
"""An arm that points so much at the viewer that less than this part of it is left carries no name."""


class Arm(NamedTuple):
    """One arm of the pivot's cross, in Blender axes, with its name in the API's sense and its colour in the theme."""

    name: str
    direction: Vector3
    color: str


ARMS = (
    Arm("Right", blender_from_pivot_point((1.0, 0.0, 0.0)), "axis_x"),
    Arm("Top", blender_from_pivot_point((0.0, 1.0, 0.0)), "axis_z"),
    Arm("Front", blender_from_pivot_point((0.0, 0.0, 1.0)), "axis_y"),
)


class Sketch(NamedTuple):
    """A box and a pivot, in Blender axes, seen from ``offset`` in the frame of the object; without one, in the world.

    ``offset`` is where the result's origin comes to stand; ``pivot``, seen from there, is the point that is sent: they
    differ only where the origin lies outside the box. ``rotation`` is the identity for an object.
    """

    object_name: str
    offset: Vector3
    rotation: models.Quaternion
    box: Box | None
    pivot: Vector3

    def frame(self, matrix_world: Matrix | None) -> Matrix:
        """Return the matrix from the sketch to the world; ``matrix_world`` is the object's, as it stands now."""
        own = Matrix.Translation(self.offset) @ Quaternion(self.rotation).to_matrix().to_4x4()
        return own if matrix_world is None else frame_of(matrix_world) @ own


class Picture(NamedTuple):
    """What is to be drawn: the request, the selected job's place, what is known of its fit, and in which scene."""

    request: Sketch | None = None
    target: Sketch | None = None
    text: str = ""
    scene: str = ""


def following(measured: Measured, placement: Placement) -> Sketch:
    """Return the sketch of a placement that moves along with the object that it was measured from."""
    w, x, y, z = measured.rotation
    far = [there - here for there, here in zip(placement.origin, measured.origin, strict=True)]
    offset = rotated((w, -x, -y, -z), (far[0], far[1], far[2]))
    return Sketch(measured.object_name, offset, (1.0, 0.0, 0.0, 0.0), placement.box, _pivot(placement.box))


def standing(placement: Placement) -> Sketch:
    """Return the sketch of a placement that stays where it is in the world."""
    return Sketch("", placement.origin, placement.rotation, placement.box, _pivot(placement.box))


def _pivot(box: Box | None) -> Vector3:
    if box is None:
        return (0.0, 0.0, 0.0)
    x, y, z = (true - sent for true, sent in zip(box.centre, sent_centre(box), strict=True))
    return (x, y, z)


def frame_of(matrix_world: Matrix) -> Matrix:
    """Return an object's origin and rotation without its scale: the frame that ``bounds.frame`` measures in."""
    return Matrix.Translation(matrix_world.translation) @ _rotation(matrix_world).to_4x4()


def _rotation(matrix_world: Matrix) -> Matrix:
    linear: Any = matrix_world.to_3x3()
    columns = [linear.col[axis].normalized() for axis in range(3)]
    shear = max(abs(columns[a].dot(columns[b])) for a, b in ((0, 1), (0, 2), (1, 2)))
    if shear <= SHEAR or not linear.determinant():
        return matrix_world.decompose()[1].to_matrix()
    return _nearest_rotation(linear)


def _nearest_rotation(linear: Matrix) -> Matrix:
    """Return the rotation of a matrix's polar decomposition by Newton's iteration (Higham 1986); mirrored: turned."""
    found = linear * (1.0 if linear.determinant() > 0 else -1.0)
    for _ in range(POLAR_STEPS):
        found = (found + found.inverted_safe().transposed()) * 0.5
    return found


def edges(box: Box) -> list[Vector3]:
    """Return the twelve edges of a box, two points each."""
    corners = _corners(box)
    return [corners[place] for a in range(8) for axis in (4, 2, 1) if not a & axis for place in (a, a | axis)]


def corner_marks(box: Box) -> list[Vector3]:
    """Return the ends of a box's edges, three at each corner, two points each."""
    corners = _corners(box)
    return [
        point
        for a in range(8)
        for axis in (4, 2, 1)
        for point in (corners[a], _between(corners[a], corners[a ^ axis], MARK))
    ]


def corners_of(sketch: Sketch) -> list[Vector3]:
    """Return the corners of a sketch's box, or its pivot where it has none."""
    return _corners(sketch.box) if sketch.box else [sketch.pivot]


def _corners(box: Box) -> list[Vector3]:
    """Return eight corners; the bits of a corner's number tell on which side of x, y, z it stands."""
    half = [side / 2 for side in box.size]
    return [
        (
            box.centre[0] + (half[0] if number & 4 else -half[0]),
            box.centre[1] + (half[1] if number & 2 else -half[1]),
            box.centre[2] + (half[2] if number & 1 else -half[2]),
        )
        for number in range(8)
    ]


def _between(start: Vector3, end: Vector3, part: float) -> Vector3:
    x, y, z = (a + (b - a) * part for a, b in zip(start, end, strict=True))
    return (x, y, z)


class View(NamedTuple):
    """A viewport's projection: from the world to clip space, and its size in pixels."""

    matrix: Matrix
    width: float
    height: float

    def pixel(self, point: Vector) -> Vector | None:
        """Return where a point of the world is seen, from the lower left corner; None behind the viewer."""
        seen: Any = self.matrix @ point.to_4d()
        x, y, _, w = seen
        if w <= 0:
            return None
        return Vector(((x / w + 1) * self.width / 2, (y / w + 1) * self.height / 2))

    def size_of_pixel(self, point: Vector) -> float:
        """Return how long a pixel's width is in the world at a point; 0 behind the viewer."""
        w = (self.matrix @ point.to_4d())[3]
        across = self.matrix[0].to_3d().length * self.width
        return max(0.0, 2 * w / across) if across else 0.0


def beside_arm(pivot: Vector, end: Vector, length: float, text: tuple[float, float], gap: float) -> Vector | None:
    """Return the lower left corner of an arm's label, beyond its end; None where the arm points at the viewer.

    Pixels; ``length`` is the arm's where it is seen from the side, ``text`` the label's width and height.
    """
    along = end - pivot
    if along.length < SHORTEST_ARM * length:
        return None
    along.normalize()
    middle = end + along * gap + Vector((along.x * text[0] / 2, along.y * text[1] / 2))
    return middle - Vector((text[0] / 2, text[1] / 2))


class Room(NamedTuple):
    """The part of a viewport that nothing covers, in pixels from its lower left corner."""

    left: float
    bottom: float
    right: float
    top: float


def below(points: Iterable[Vector], text: tuple[float, float], room: Room, gap: float) -> Vector | None:
    """Return the lower left corner of a text below points on the screen, inside the room; None where none is seen.

    Pixels. Below, because Blender writes its own text into the upper left corner.
    """
    seen = [(point.x, point.y) for point in points]
    if not seen:
        return None
    left, right = min(x for x, _ in seen), max(x for x, _ in seen)
    bottom, top = min(y for _, y in seen), max(y for _, y in seen)
    if right < room.left or left > room.right or top < room.bottom or bottom > room.top:
        return None
    x = min((left + right - text[0]) / 2, room.right - text[0] - gap)
    y = min(bottom - text[1] - gap, room.top - text[1] - gap)
    return Vector((math.floor(max(x, room.left + gap)), math.floor(max(y, room.bottom + gap))))
