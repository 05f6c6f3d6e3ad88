"""Where the actions are found besides the sidebar: the Object menus, the F3 search, a right click on the code field.

Blender's search goes through the menus of the editor, so every action stands in one of these.
"""

from __future__ import annotations

from typing import Any

import bpy

from ...core.models import Job
from ..jobs import job_list, job_monitor, job_text
from ..jobs.job_text import JobAction
from ..properties import CSM_PG_settings
from .operators.operator_base import set_job
from .panels.job_details import BUTTONS, button_text

CHANGING = (JobAction.RETRY, JobAction.PLACE, JobAction.STOP)
"""What is called another thing in another state."""


class CSM_MT_refine(bpy.types.Menu):
    """Refine sessions and selected objects, and see to the jobs"""

    bl_label = "CSM Refine"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("csm_refine.refine", text="Refine Session", icon="MOD_REMESH")
        layout.operator("csm_refine.create_session", icon="ADD")
        layout.operator("csm_refine.refine_each")
        layout.operator("csm_refine.place_all", icon="SNAP_ON")
        layout.operator("csm_refine.fetch_again", icon="IMPORT")
        layout.separator()
        layout.menu("CSM_MT_job")
        layout.menu("CSM_MT_jobs")
        layout.separator()
        layout.menu("CSM_MT_session")
        layout.operator("csm_refine.pick_pivot", icon="PIVOT_BOUNDBOX")
        layout.operator("csm_refine.toggle_overlay", icon="OVERLAY")
        layout.separator()
        layout.menu("CSM_MT_service")


class CSM_MT_session(bpy.types.Menu):
    """Which session is to be refined"""

    bl_label = "Session"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("csm_refine.paste_code", icon="PASTEDOWN")
        layout.operator("csm_refine.choose_session", icon="VIEWZOOM")
        layout.operator("csm_refine.look_up", icon="FILE_REFRESH")
        layout.separator()
        layout.operator("csm_refine.list_sessions")
        layout.operator("csm_refine.more_sessions")


class CSM_MT_job(bpy.types.Menu):
    """What can be done about the job that is selected in the list"""

    bl_label = "Selected Job"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        job = job_monitor.current().jobs.get(job_list.selected_id())
        if job is None:
            layout.label(text="No job is selected")
            return
        for deed, operator, icon in BUTTONS:
            if job_text.can(job, deed):
                _draw_deed(layout, job, deed, operator, icon)
        if job_text.can(job, JobAction.SWAP):
            set_job(layout.operator("csm_refine.swap", icon="ARROW_LEFTRIGHT"), job)
        if job_text.can(job, JobAction.OPEN_PICTURE):
            set_job(layout.operator("csm_refine.open_picture", icon="IMAGE_DATA"), job)
        layout.separator()
        if job.request.session_code:
            set_job(layout.operator("csm_refine.copy_code", icon="COPYDOWN"), job)
        if job.error is not None:
            set_job(layout.operator("csm_refine.copy_error", icon="COPYDOWN"), job)


def _draw_deed(layout: bpy.types.UILayout, job: Job, deed: JobAction, operator: str, icon: str) -> None:
    """Draw it with the operator's own name, which is longer than a button's, where the state does not change that."""
    if deed in CHANGING:
        set_job(layout.operator(operator, text=button_text(job, deed), icon=icon), job)
    else:
        set_job(layout.operator(operator, icon=icon), job)


class CSM_MT_jobs(bpy.types.Menu):
    """What can be done about all jobs of the files that the list shows"""

    bl_label = "All Jobs"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("csm_refine.place_all", icon="SNAP_ON")
        layout.operator("csm_refine.stop_all", icon="CANCEL")
        layout.operator("csm_refine.remove_ended", icon="TRASH")


class CSM_MT_service(bpy.types.Menu):
    """Which service refines, and its key"""

    bl_label = "Service"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator("csm_refine.check_service", icon="CHECKMARK")
        layout.operator("csm_refine.use_local", icon="HOME")
        layout.operator("csm_refine.clean_up", icon="TRASH")
        layout.operator("csm_refine.open_preferences", icon="PREFERENCES")


CLASSES = (CSM_MT_refine, CSM_MT_session, CSM_MT_job, CSM_MT_jobs, CSM_MT_service)


def draw_in_object_menu(self: bpy.types.Menu, _context: bpy.types.Context) -> None:
    """Draw our menu at the end of the viewport's Object menu and object context menu."""
    self.layout.separator()
    self.layout.menu("CSM_MT_refine", icon="MOD_REMESH")


def draw_on_button(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    """Draw *Paste Session Code* in the menu of a right click, where that was on the code field."""
    found: Any = context
    owner, shown = getattr(found, "button_pointer", None), getattr(found, "button_prop", None)
    if isinstance(owner, CSM_PG_settings) and shown is not None and shown.identifier == "session_code":
        self.layout.separator()
        self.layout.operator("csm_refine.paste_code", icon="PASTEDOWN")


def _entries() -> tuple[tuple[Any, Any], ...]:
    types: Any = bpy.types
    return (
        (types.VIEW3D_MT_object, draw_in_object_menu),
        (types.VIEW3D_MT_object_context_menu, draw_in_object_menu),
        (types.UI_MT_button_context_menu, draw_on_button),
    )


def add() -> None:
    """Append to Blender's menus."""
    for menu, draw in _entries():
        menu.append(draw)


def take_away() -> None:
    """Undo :func:`add`."""
    for menu, draw in _entries():
        menu.remove(draw)
