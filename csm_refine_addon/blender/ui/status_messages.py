"""Says once, in Blender's status bar, what became of a job: a timer has no operator to report with."""

from __future__ import annotations

from typing import Any

import bpy

from ..i18n import in_report
from . import sidebar_visibility

MOST = 5
_waiting: list[tuple[str, str]] = []


def say(kind: str, text: str) -> None:
    """Show a sentence with the next event that the window gets; ``kind`` is INFO or WARNING.

    ERROR would open a dialog under the mouse of somebody who is working on something else.
    """
    _waiting.append((kind, in_report(text)))
    del _waiting[:-MOST]
    if bpy.app.background:
        return
    with sidebar_visibility.window_context():
        ours: Any = bpy.ops
        ours.csm_refine.notice("INVOKE_DEFAULT")


class CSM_OT_notice(bpy.types.Operator):
    """Report what happened in the background"""

    bl_idname = "csm_refine.notice"
    bl_label = "CSM Refine Notice"
    bl_options = {"INTERNAL"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        # What a modal operator reports is shown in the status bar; what one called from Python reports is only printed.
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        while _waiting:
            kind, text = _waiting.pop(0)
            self.report({kind}, text)
        return {"FINISHED", "PASS_THROUGH"}


CLASSES = (CSM_OT_notice,)
