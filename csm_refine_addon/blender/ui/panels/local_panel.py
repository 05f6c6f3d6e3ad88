"""How the local service is to refine; other services do not show it."""

from __future__ import annotations

import bpy

from ... import preferences
from ...properties import settings_of
from .. import sidebar_visibility
from .session_panel import InSidebar


class CSM_PT_local(InSidebar, bpy.types.Panel):
    bl_label = "Local Refining"
    bl_parent_id = "CSM_PT_refine"
    bl_order = 1
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return preferences.service_choice() == "LOCAL"

    def draw(self, context: bpy.types.Context) -> None:
        sidebar_visibility.note_draw(context)
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        kept = settings_of(context).local
        layout.prop(kept, "topology")
        if kept.topology != "KEEP":
            column = layout.column()
            column.prop(kept, "detail")
            if kept.detail == "TYPED":
                column.prop(kept, "faces")
            column.prop(kept, "texture_size")
            column.prop(kept, "symmetry")
        layout.use_property_split = False  # half of the width is not enough for these
        if kept.topology != "KEEP":
            layout.prop(kept, "drop_parts")
        layout.prop(kept, "keep_aspect")


CLASSES = (CSM_PT_local,)
