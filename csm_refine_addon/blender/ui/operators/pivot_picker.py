"""Operators for what the viewport shows: pick a named point as the pivot, show or hide the overlay."""

from __future__ import annotations

from typing import Any

import bpy

from ....core.axes import NAMED_PIVOTS, NamedPivot
from ...i18n import in_tooltip
from ...properties import settings_of
from .. import sidebar_visibility

PICK = "Make {name} of the box the pivot, which becomes the refined mesh's origin: right {x:g}, top {y:g}, front {z:g}"
POINTS = {named.identifier: named for named in NAMED_PIVOTS}


def _described(named: NamedPivot, name: str = "") -> str:
    x, y, z = named.pivot_point
    return PICK.format(name=name or named.name, x=x, y=y, z=z)


ITEMS = [(named.identifier, named.name, _described(named)) for named in NAMED_PIVOTS]
"""Not in the annotation: Python 3.11 evaluates that where a comprehension does not see this module."""


class CSM_OT_pick_pivot(bpy.types.Operator):
    """Make a named point of the box the pivot, which becomes the refined mesh's origin"""

    bl_idname = "csm_refine.pick_pivot"
    bl_label = "Pick Pivot Point"
    bl_options = {"REGISTER", "UNDO"}
    bl_property = "point"

    point: bpy.props.EnumProperty(
        name="Point",
        description="The point of the box, as seen from its front",
        items=ITEMS,
        default="CENTER",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def description(cls, context: bpy.types.Context, properties: Any) -> str:
        if not properties.is_property_set("point"):
            return in_tooltip(cls.__doc__ or "")
        named = POINTS[properties.point]
        return in_tooltip(_described(named, in_tooltip(named.name)))

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """A button names its point; from the search and the keyboard, the points' names are searched."""
        if self.properties.is_property_set("point"):
            return self.execute(context)
        context.window_manager.invoke_search_popup(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = settings_of(context)
        settings.pivot_mode = "TYPED"  # takes the object's pivot, therefore first
        settings.pivot = POINTS[self.point].pivot_point
        sidebar_visibility.redraw()
        return {"FINISHED"}


class CSM_OT_toggle_overlay(bpy.types.Operator):
    """Show or hide the box and the pivot that will be sent in the 3D viewport, and the selected job's box"""

    bl_idname = "csm_refine.toggle_overlay"
    bl_label = "Toggle Bounds Overlay"

    def execute(self, context: bpy.types.Context) -> set[str]:
        settings = settings_of(context)
        settings.show_overlay = not settings.show_overlay
        sidebar_visibility.redraw()
        return {"FINISHED"}


CLASSES = (CSM_OT_pick_pivot, CSM_OT_toggle_overlay)
