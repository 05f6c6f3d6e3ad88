"""Text in a narrow sidebar: wrapped at the region's width, so that no sentence is cut off."""

from __future__ import annotations

import bpy

MARGIN = 40.0
"""What the panel's frame, the indent and an icon take of a region's width, in points."""
LEAST_WIDTH = 120.0


def width_of(context: bpy.types.Context) -> float:
    """Return how many pixels a line of text may take in the region that is drawn."""
    scale = context.preferences.system.ui_scale
    if context.region is None:
        return 200.0 * scale
    return max(LEAST_WIDTH, context.region.width / scale - MARGIN) * scale


def wrapped(context: bpy.types.Context, text: str, indent: float = 0.0) -> list[str]:
    """Return the text in lines that fit the region; ``indent`` is in points. A word that is too long stays whole."""
    import blf

    preferences = context.preferences
    size = preferences.ui_styles[0].widget.points * preferences.system.ui_scale
    blf.size(0, size)
    room = width_of(context) - indent * preferences.system.ui_scale
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and blf.dimensions(0, longer)[0] <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def sentences(
    layout: bpy.types.UILayout, context: bpy.types.Context, text: str, *, icon: str = "NONE", alert: bool = False
) -> None:
    """Draw a text over as many lines as it needs; ``alert`` makes it red and is for errors only."""
    column = layout.column(align=True)
    column.alert = alert
    column.scale_y = 0.8
    for number, line in enumerate(wrapped(context, text)):
        if icon == "NONE":
            column.label(text=line)
        else:
            column.label(text=line, icon=icon if number == 0 else "BLANK1")


def fact(layout: bpy.types.UILayout, name: str, value: str) -> None:
    """Draw a name with a value next to it, as split properties are drawn."""
    row = layout.split(factor=0.4, align=True)
    left = row.row()
    left.alignment = "RIGHT"
    left.label(text=name)
    row.label(text=value)
