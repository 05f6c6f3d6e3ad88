"""The pivot picker: a level of the box, and its nine named points on that level, seen from above."""

from __future__ import annotations

from typing import Any

import bpy

from ....core.axes import PIVOT_LIMIT, Vector3, named_pivot, nearest_pivot
from ...i18n import shown
from ...properties import typed_values

LEVELS = (("Bottom", -PIVOT_LIMIT), ("Middle", 0.0), ("Top", PIVOT_LIMIT))
COLUMNS = (-PIVOT_LIMIT, 0.0, PIVOT_LIMIT)
"""Left to right, and back to front."""
NO_NAME = "Between named points"


def draw_picker(layout: bpy.types.UILayout, settings: Any) -> None:
    """Draw the choice of named points, the one in use emphasised, and its name."""
    pivot = typed_values(settings.pivot)
    picker = layout.column()
    _draw_levels(picker.row(align=True), pivot)
    _draw_points(picker, pivot)
    named = named_pivot(pivot)
    name = picker.row()
    name.alignment = "CENTER"
    name.label(text=named.name if named else NO_NAME)


def _draw_levels(row: bpy.types.UILayout, pivot: Vector3) -> None:
    x, y, z = pivot
    for name, level in LEVELS:
        _draw_point(row, (x, level, z), is_chosen=y == level, text=name)


def _draw_points(layout: bpy.types.UILayout, pivot: Vector3) -> None:
    """Draw a row of three for back, middle and front, with the directions written around them."""
    x, y, z = pivot
    parts = layout.split(factor=0.4)
    _draw_words(parts, ("", "Left", ""), "RIGHT")
    right_part = parts.row()
    grid = right_part.column(align=True)
    for front in COLUMNS:
        line = grid.row(align=True)
        for right in COLUMNS:
            is_chosen = (x, z) == (right, front)
            icon = "RADIOBUT_ON" if is_chosen else "RADIOBUT_OFF"
            _draw_point(line, (right, y, front), is_chosen=is_chosen, icon=icon)
    _draw_words(right_part, ("Back", "Right", "Front"), "LEFT")


def _draw_words(layout: bpy.types.UILayout, words: tuple[str, ...], alignment: str) -> None:
    column = layout.column(align=True)
    for word in words:
        row: Any = column.row()
        row.alignment = alignment
        row.label(text=shown(word), translate=False)


def _draw_point(
    layout: bpy.types.UILayout, point: Vector3, *, is_chosen: bool, text: str = "", icon: str = "NONE"
) -> None:
    button: Any = layout.operator("csm_refine.pick_pivot", text=text, icon=icon, depress=is_chosen)
    button.point = nearest_pivot(point).identifier
