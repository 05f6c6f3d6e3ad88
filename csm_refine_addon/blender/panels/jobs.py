"""The panel's lower part: the list of jobs."""

from __future__ import annotations

import time
from typing import Any

import bpy

from ...core.models import Job
from .. import job_rows, job_words, pump, sidebar
from ..operators.common import set_job
from . import details
from .session import InSidebar


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
        job = pump.current().jobs.get(item.name)
        if job is None:
            return
        column = layout.column(align=True)
        _draw_row_head(column.row(align=True), job)
        _draw_row_foot(column.split(factor=0.5, align=True), job)


def _draw_row_head(row: bpy.types.UILayout, job: Job) -> None:
    row.label(text=job_words.short_title(job), icon=job_words.ICONS[job.state])
    answered = job_words.last_answer(job, time.time())
    if answered:
        right = row.row()
        right.alignment = "RIGHT"
        right.label(text=answered)


def _draw_row_foot(row: bpy.types.UILayout, job: Job) -> None:
    row.scale_y = 0.8
    left = row.row()
    left.alignment = "LEFT"
    name = job_words.object_name(job) or "No object"
    set_job(left.operator("csm_refine.select", text=name, icon="BLANK1", emboss=False), job)
    part = job_words.progress(job)
    if part is not None:
        row.progress(factor=part[0], text=part[1])
    else:
        row.label(text=job_words.short_status(job))


class CSM_PT_jobs(InSidebar, bpy.types.Panel):
    bl_label = "Jobs"
    bl_parent_id = "CSM_PT_refine"
    bl_order = 3

    def draw(self, context: bpy.types.Context) -> None:
        sidebar.note_draw(context)
        layout = self.layout
        keeper, kept = pump.current(), context.window_manager.csm_refine
        if not keeper.jobs:
            layout.label(text="No jobs yet", icon="INFO")
            return
        layout.template_list("CSM_UL_jobs", "", kept, "jobs", kept, "active", rows=2, maxrows=6)
        job = keeper.jobs.get(job_rows.selected_id())
        if job is not None:
            details.draw_job(layout, context, job)


CLASSES = (CSM_UL_jobs, CSM_PT_jobs)
