"""Draws a picture of the overlay into the viewport, with Blender's ``gpu``: called from a draw handler only.

All sizes are in points: pixels at resolution scale 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import blf
import bpy
import gpu
from gpu_extras.batch import batch_for_shader
from mathutils import Matrix, Vector

from ...core.axes import Vector3
from ...core.models import Box
from .. import i18n
from . import overlay_geometry
from .overlay_geometry import Picture, Sketch

ARM_PX, BACK_PX = 40.0, 10.0
"""The pivot's arms, and how far they reach to the other side."""
GAP_PX = 6.0
LINE_PX, MARK_PX, HIDDEN_PX, RIM_PX = 1.5, 2.5, 1.0, 2.0
RIM = (0.0, 0.0, 0.0, 0.5)
"""Dark, around every bright line and letter: so they are readable on light backgrounds, too."""
HIDDEN_ALPHA = 0.35
NEARER = 2e-4
"""Lines that lie in the object's own faces win over them; a part of the depth range."""
MOST_BATCHES = 16
OUTLINE = 6
"""``blf.shadow``'s level for a rim of one pixel."""

_gpu: Any = gpu  # the stubs know few of its return values
_font: Any = blf
_batches: dict[Any, Any] = {}
"""The lines drawn last, as the graphics card has them."""


def frame_now(shown: Sketch) -> Any:
    """Return the matrix from a sketch to the world at this moment; None where its object is gone."""
    if not shown.object_name:
        return shown.frame(None)
    found = bpy.data.objects.get(shown.object_name)
    return None if found is None else shown.frame(found.matrix_world)


def _view(context: Any) -> overlay_geometry.View:
    return overlay_geometry.View(context.region_data.perspective_matrix, context.region.width, context.region.height)


def _scale(context: Any) -> float:
    return float(context.preferences.system.ui_scale)


def lines(context: Any, picture: Picture) -> None:
    """Draw the boxes and the pivot's cross, in the world."""
    colors = context.preferences.themes[0].user_interface
    with _pen(_scale(context)) as pen:
        if picture.request is not None:
            _draw_box(pen, picture.request, overlay_geometry.edges, colors.gizmo_primary, LINE_PX)
            _draw_pivot(pen, picture.request, _view(context), colors)
        if picture.target is not None:
            _draw_box(pen, picture.target, overlay_geometry.corner_marks, colors.gizmo_secondary, MARK_PX)


def forget() -> None:
    """Give the graphics card's memory back."""
    _batches.clear()


def _draw_box(pen: _Pen, shown: Sketch, points: Callable[[Box], list[Vector3]], color: Any, width: float) -> None:
    frame, box = frame_now(shown), shown.box
    if frame is not None and box is not None:
        pen.stroke((points.__name__, box), lambda: points(box), frame, color, width)


def _draw_pivot(pen: _Pen, shown: Sketch, view: overlay_geometry.View, colors: Any) -> None:
    frame = frame_now(shown)
    if frame is None:
        return
    if any(shown.pivot):  # what can be sent lies on the box, the true origin outside
        pen.stroke(("way", shown), lambda: [(0.0, 0.0, 0.0), shown.pivot], frame, colors.gizmo_primary, HIDDEN_PX)
    pixel = view.size_of_pixel(frame @ Vector(shown.pivot)) * pen.scale
    cross = frame @ Matrix.Translation(shown.pivot) @ Matrix.Scale(pixel, 4)
    for arm in overlay_geometry.ARMS:
        ends = partial(_arm_ends, arm.direction)
        pen.stroke(("arm", arm.name), ends, cross, getattr(colors, arm.color), MARK_PX, on_top=True)


def _arm_ends(direction: Vector3) -> list[Vector3]:
    x, y, z = direction
    return [(-BACK_PX * x, -BACK_PX * y, -BACK_PX * z), (ARM_PX * x, ARM_PX * y, ARM_PX * z)]


class _Pen:
    """Draws lines with a dark rim; what is behind something is thin and faint."""

    def __init__(self, shader: Any, scale: float) -> None:
        self.shader = shader
        self.scale = scale

    def stroke(
        self,
        name: Any,
        points: Callable[[], list[Vector3]],
        frame: Any,
        color: Any,
        width: float,
        *,
        on_top: bool = False,
    ) -> None:
        """Draw pairs of points in a frame. They are made once for each name."""
        batch = _batch(name, self.shader, points)
        with _gpu.matrix.push_pop():
            _gpu.matrix.multiply_matrix(frame)
            if not on_top:
                self._line(batch, "NONE", (*color[:3], HIDDEN_ALPHA), min(width, HIDDEN_PX))
            depth = "NONE" if on_top else "LESS_EQUAL"
            self._line(batch, depth, RIM, width + RIM_PX)
            self._line(batch, depth, (*color[:3], 1.0), width)

    def _line(self, batch: Any, depth: str, color: tuple[float, ...], width: float) -> None:
        _gpu.state.depth_test_set(depth)
        self.shader.uniform_float("color", color)
        self.shader.uniform_float("lineWidth", width * self.scale)
        batch.draw(self.shader)


@contextmanager
def _pen(scale: float) -> Iterator[_Pen]:
    shader = _gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    nearer = Matrix.Identity(4)
    nearer[2][3] = -NEARER
    with _gpu.matrix.push_pop_projection():
        _gpu.matrix.load_projection_matrix(nearer @ _gpu.matrix.get_projection_matrix())
        _gpu.state.blend_set("ALPHA")
        try:
            shader.bind()
            shader.uniform_float("viewportSize", _gpu.state.viewport_get()[2:])
            yield _Pen(shader, scale)
        finally:
            _gpu.state.blend_set("NONE")
            _gpu.state.depth_test_set("NONE")


def _batch(name: Any, shader: Any, points: Callable[[], list[Vector3]]) -> Any:
    if name not in _batches:
        if len(_batches) >= MOST_BATCHES:
            _batches.clear()
        _batches[name] = batch_for_shader(shader, "LINES", {"pos": points()})
    return _batches[name]


def labels(context: Any, picture: Picture) -> None:
    """Write the names of the arms, and how well the selected job's result fits, over what is drawn."""
    colors, scale = context.preferences.themes[0].user_interface, _scale(context)
    _font.size(0, context.preferences.ui_styles[0].widget.points * scale)
    _font.enable(0, _font.SHADOW)
    _font.shadow(0, OUTLINE, 0.0, 0.0, 0.0, 0.8)
    _font.shadow_offset(0, 0, 0)
    try:
        if picture.request:
            _name_arms(context, picture.request, colors, scale)
        if picture.target and picture.text:
            _draw_fit(context, picture.target, i18n.shown(picture.text), colors.gizmo_secondary, scale)
    finally:
        _font.disable(0, _font.SHADOW)


def _name_arms(context: Any, request: Sketch, colors: Any, scale: float) -> None:
    frame, view = frame_now(request), _view(context)
    if frame is None:
        return
    middle = frame @ Vector(request.pivot)
    pivot = view.pixel(middle)
    if pivot is None:
        return
    length = ARM_PX * scale
    reach = view.size_of_pixel(middle) * length
    for arm in overlay_geometry.ARMS:
        end = view.pixel(middle + frame.to_3x3() @ Vector(arm.direction) * reach)
        if end is None:
            continue
        name = i18n.shown(arm.name)
        place = overlay_geometry.beside_arm(pivot, end, length, _text_size(name), GAP_PX * scale)
        if place is not None:
            _write(name, place, _pale(getattr(colors, arm.color)))


def _pale(color: Any) -> list[float]:
    """Return a colour half-way to white: small letters in a full blue or red are hard to read."""
    return [(part + 1) / 2 for part in color[:3]]


def _draw_fit(context: Any, shown: Sketch, text: str, color: Any, scale: float) -> None:
    frame, view = frame_now(shown), _view(context)
    corners = [view.pixel(frame @ Vector(corner)) for corner in overlay_geometry.corners_of(shown)]
    seen = [corner for corner in corners if corner is not None]
    place = overlay_geometry.below(seen, _text_size(text), _room(context), GAP_PX * scale)
    if place is not None:
        _write(text, place, color)


def _room(context: Any) -> overlay_geometry.Room:
    """Return what sidebar, toolbar and headers leave, where regions lie over one another."""
    room = overlay_geometry.Room(0.0, 0.0, float(context.region.width), float(context.region.height))
    if not context.preferences.system.use_region_overlap:
        return room
    for each in context.area.regions:
        if each.alignment == "LEFT":
            room = room._replace(left=room.left + each.width)
        elif each.alignment == "RIGHT":
            room = room._replace(right=room.right - each.width)
        elif each.alignment == "BOTTOM":
            room = room._replace(bottom=room.bottom + each.height)
        elif each.alignment == "TOP":
            room = room._replace(top=room.top - each.height)
    return room


def _text_size(text: str) -> tuple[float, float]:
    width, height = _font.dimensions(0, text)
    return (width, height)


def _write(text: str, place: Any, color: Any) -> None:
    _font.color(0, *color[:3], 1.0)
    _font.position(0, place.x, place.y, 0.0)
    _font.draw(0, text)
