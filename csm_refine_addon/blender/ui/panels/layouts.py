"""Text in a narrow sidebar: wrapped at the region's width, so that no sentence is cut off."""

from __future__ import annotations

from typing import Any

import bpy

from ...i18n import shown
from ...i18n.lines import wrap

FRAME = 68.0
"""What tabs, frame and padding take of a region's width, in points: seen in Blender 5.2 with its default theme."""
ICON = 24.0
BOX = 12.0
USUAL_WIDTH = 292.0
LEAST_WIDTH = 100.0


def _scale(context: bpy.types.Context) -> float:
    """Return how many pixels a point has; 1 where there is no window."""
    return context.preferences.system.ui_scale or 1.0


def room_of(context: bpy.types.Context, taken: float = 0.0) -> float:
    """Return how many pixels a line of text may take in the region that is drawn; ``taken`` is in points."""
    scale = _scale(context)
    width = context.region.width / scale if context.region is not None else USUAL_WIDTH
    return max(LEAST_WIDTH, width - FRAME - taken) * scale


def wrapped(context: bpy.types.Context, text: str, taken: float = 0.0) -> list[str]:
    """Return the text in lines that fit the region."""
    import blf

    blf.size(0, context.preferences.ui_styles[0].widget.points * _scale(context))
    room = room_of(context, taken)
    return wrap(text, lambda part: _width(part) <= room)


def _width(text: str) -> float:
    """Return how wide a text is, in pixels, in the size set last."""
    import blf

    dimensions: Any = blf.dimensions(0, text)  # the stubs know of no return value
    return float(dimensions[0])


def sentences(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    text: str,
    *,
    icon: str = "NONE",
    alert: bool = False,
    in_box: bool = False,
) -> None:
    """Draw a text over as many lines as it needs; ``alert`` makes it red and is for errors only."""
    column = layout.column(align=True)
    column.alert = alert
    column.scale_y = 0.8
    has_icon = icon != "NONE"
    lines = wrapped(context, shown(text), (ICON if has_icon else 0.0) + (BOX if in_box else 0.0))
    for number, line in enumerate(lines):
        column.label(text=line, icon=icon if number == 0 or not has_icon else "BLANK1", translate=False)


OBJECTS = "{count} objects"


def source_name(name: str, merged: tuple[str, ...]) -> str:
    """Return an object's name; of several objects that are taken as one, how many they are."""
    return shown(OBJECTS.format(count=1 + len(merged))) if merged else name


def fact(layout: bpy.types.UILayout, name: str, value: str, *, is_given: bool = False) -> None:
    """Draw a name with a value next to it, as split properties are drawn.

    ``is_given``: the value is a name that somebody gave, and is not translated.
    """
    row = layout.split(factor=0.4, align=True)
    left = row.row()
    left.alignment = "RIGHT"
    left.label(text=shown(name), translate=False)
    row.label(text=value if is_given else shown(value), translate=False)
