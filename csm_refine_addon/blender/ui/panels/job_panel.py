"""The panel's lower part: the list of jobs."""

from __future__ import annotations

import time
from typing import Any

import bpy

from ....core.jobs import state_machine
from ....core.models import Job
from ...i18n import shown
from ...jobs import job_list, job_monitor, job_text
from ...jobs.job_text import JobAction
from ...scene import object_metadata
from .. import sidebar_visibility
from ..operators.batch_operators import ready_jobs
from ..operators.operator_base import set_job
from . import job_details
from .layouts import source_name
from .session_panel import InSidebar

NOT_HERE = "Not in this file"
PLACE_ALL = "Place All Ready ({})"


class CSM_UL_jobs(bpy.types.UIList):
    def draw_item(  # noqa: PLR0913, PLR0917  # Blender counts the arguments
        self,
        context: bpy.types.Context,
        layout: bpy.types.UILayout,
        data: Any,
        item: Any,
        icon: int,
        active_data: Any,
        active_property: str,
        index: int = 0,
        flt_flag: int = 0,
    ) -> None:
        job = job_monitor.current().jobs.get(item.name)
        if job is None:
            return
        column = layout.column(align=True)
        _draw_row_head(column.row(align=True), job)
        _draw_row_foot(column.split(factor=0.5, align=True), job)

    def draw_filter(self, context: bpy.types.Context, layout: bpy.types.UILayout) -> None:
        layout.prop(self, "filter_name", text="", icon="VIEWZOOM")

    def filter_items(self, context: bpy.types.Context, data: Any, property_name: str) -> tuple[list[int], list[int]]:
        keeper = job_monitor.current()
        jobs = [keeper.jobs.get(row.name) for row in getattr(data, property_name)]
        wanted = [job is not None and self._is_wanted(job) for job in jobs]
        return [self.bitflag_filter_item if each else 0 for each in wanted], job_list.order(jobs)

    def _is_wanted(self, job: Job) -> bool:
        return job_list.is_listed(job) and (not self.filter_name or job_list.matches(job, self.filter_name))


def _draw_row_head(row: bpy.types.UILayout, job: Job) -> None:
    icon = "INTERNET_OFFLINE" if job.trouble and state_machine.is_active(job) else job_text.icon(job)
    row.label(text=shown(job_text.short_title(job)), icon=icon, translate=False)
    answered = job_text.last_answer(job, time.time())
    if object_metadata.is_missing(job):
        set_job(
            row.operator("csm_refine.place", text=job_details.button_text(job, JobAction.PLACE), icon="SNAP_ON"), job
        )
    elif answered:
        right = row.row()
        right.alignment = "RIGHT"
        right.label(text=shown(answered), translate=False)


def _draw_row_foot(row: bpy.types.UILayout, job: Job) -> None:
    row.scale_y = 0.8
    left = row.row()
    left.alignment = "LEFT"
    name = source_name(job_text.object_name(job), job_text.merged_names(job)) or shown("No object")
    set_job(left.operator("csm_refine.select", text=name, icon="BLANK1", emboss=False, translate=False), job)
    part = job_text.progress(job)
    if part is not None:
        row.progress(factor=part[0], text=shown(part[1]), translate=False)
    else:  # a button, too: a label of a selected row is drawn for the blue behind the first line, not for the grey here
        right = row.row()
        right.alignment = "LEFT"
        status = shown(NOT_HERE if object_metadata.is_missing(job) else job_text.short_status(job))
        set_job(right.operator("csm_refine.select", text=status, emboss=False, translate=False), job)


class CSM_PT_jobs(InSidebar, bpy.types.Panel):
    bl_label = "Jobs"
    bl_parent_id = "CSM_PT_refine"
    bl_order = 3

    def draw(self, context: bpy.types.Context) -> None:
        sidebar_visibility.note_draw(context)
        layout = self.layout
        keeper, kept = job_monitor.current(), context.window_manager.csm_refine
        if not keeper.jobs:
            layout.label(text="No jobs yet", icon="INFO")
            return
        _draw_choices(layout, kept)
        layout.template_list("CSM_UL_jobs", "", kept, "jobs", kept, "active", rows=2, maxrows=6)
        _draw_place_all(layout)
        job = keeper.jobs.get(job_list.selected_id())
        if job is not None and job_list.is_listed(job):
            job_details.draw_job(layout, context, job)


def _draw_choices(layout: bpy.types.UILayout, kept: Any) -> None:
    """Draw whose jobs are listed, in which order, and the menu of what can be done about all of them."""
    row = layout.row(align=True)
    row.prop(kept, "files", text="")
    row.prop(kept, "sort", text="")
    row.menu("CSM_MT_jobs", text="", icon="DOWNARROW_HLT")


def _draw_place_all(layout: bpy.types.UILayout) -> None:
    count = len(ready_jobs())
    if count > 1:
        layout.operator("csm_refine.place_all", text=shown(PLACE_ALL.format(count)), icon="SNAP_ON", translate=False)


CLASSES = (CSM_UL_jobs, CSM_PT_jobs)
