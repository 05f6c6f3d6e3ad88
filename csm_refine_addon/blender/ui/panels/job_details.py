"""The selected job, with what can be done about it: drawn below the list."""

from __future__ import annotations

import time

import bpy

from ....core.errors import CsmError
from ....core.jobs import state_machine
from ....core.models import Job, JobState
from ... import local_options, preferences
from ...i18n import shown
from ...jobs import job_monitor, job_text, submit
from ...jobs.job_text import JobAction
from ..operators.operator_base import set_job
from .layouts import fact, sentences, source_name
from .result_panel import draw_result

BUTTONS: tuple[tuple[JobAction, str, str], ...] = (
    (JobAction.PLACE, "csm_refine.place", "SNAP_ON"),
    (JobAction.FIT, "csm_refine.fit", "FULLSCREEN_EXIT"),
    (JobAction.RETRY, "csm_refine.retry", "FILE_REFRESH"),
    (JobAction.SEND_AGAIN, "csm_refine.send_again", "EXPORT"),
    (JobAction.TAKE_OVER, "csm_refine.take_over", "USER"),
    (JobAction.IMPORT_HERE, "csm_refine.import_here", "IMPORT"),
    (JobAction.STOP, "csm_refine.stop", "CANCEL"),
    (JobAction.OPEN_FOLDER, "csm_refine.open_folder", "FILE_FOLDER"),
    (JobAction.USE_AGAIN, "csm_refine.use_settings", "PASTEDOWN"),
    (JobAction.DIAGNOSE, "csm_refine.diagnostics", "TEXT"),
    (JobAction.REMOVE, "csm_refine.remove", "TRASH"),
)


def draw_job(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job) -> None:
    """Draw a job in full: first what is wrong with it and what can be done, then what it is."""
    _draw_code(layout, job)
    _draw_progress(layout, job)
    for text in _hints(job):
        sentences(layout, context, text, icon="INFO")
    if job.error is not None:
        _draw_error(layout, context, job)
    _draw_buttons(layout, job)
    _draw_facts(layout, job)
    draw_result(layout, context, job)


def _draw_code(layout: bpy.types.UILayout, job: Job) -> None:
    if job.request.session_code:
        row = layout.row(align=True)
        row.label(text=job.request.session_code)
        set_job(row.operator("csm_refine.copy_code", text="", icon="COPYDOWN", emboss=False), job)


def _draw_facts(layout: bpy.types.UILayout, job: Job) -> None:
    column = layout.column(align=True)
    column.scale_y = 0.9
    fact(
        column,
        "Object",
        source_name(job_text.object_name(job), job_text.merged_names(job)) or shown("None"),
        is_given=True,
    )
    fact(column, "Service", preferences.service_name(job.service))
    fact(column, "State", job_text.state_word(job))
    if job.remote is not None:
        fact(column, "Service says", job_text.remote_status(job.remote))
    if job.request.scaled_bbox is not None:
        fact(column, "W × H × D", job_text.triple(job.request.scaled_bbox))
    if job.request.pivot_point is not None:
        fact(column, "Pivot", job_text.pivot(job.request.pivot_point))
    if job.request.local is not None and job.request.local.topology:
        fact(column, "Topology", local_options.topology_name(job.request.local))
    answered = job_text.last_answer(job, time.time())
    if answered:
        fact(column, "Last answer", answered)


def _draw_progress(layout: bpy.types.UILayout, job: Job) -> None:
    part = job_text.progress(job)
    if part is not None:
        if job.state is JobState.RUNNING and job.remote is not None and job.remote.step in job_text.STEPS:
            layout.label(text=shown(job_text.status(job)), translate=False)
        layout.progress(factor=part[0], text=shown(part[1]), translate=False)


def _hints(job: Job) -> list[str]:
    """Return why a job waits, if it does."""
    hints = [job_monitor.current().waiting.get(job.id, ""), job.trouble]
    if state_machine.is_active(job):
        try:
            submit.require_key(job.service)
        except CsmError as error:
            hints.append(f"It waits: {error}")
    elif job.state is JobState.STOPPED and job.accepted_at is not None and job.report is None:
        hints.append("The refine is still running on the service. Press Retry to track it.")
    return [hint for hint in hints if hint]


def _draw_error(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job) -> None:
    if job.error is None:
        return
    box = layout.box().column()
    is_failure = job.state is JobState.FAILED
    icon = "ERROR" if is_failure else "QUESTION"
    sentences(box, context, job.error.message, icon=icon, alert=is_failure, in_box=True)
    if job.error.action:
        sentences(box, context, job.error.action, icon="BLANK1", in_box=True)
    set_job(box.operator("csm_refine.copy_error", icon="COPYDOWN"), job)


def _draw_buttons(layout: bpy.types.UILayout, job: Job) -> None:
    """Draw the buttons that make sense, two in a row; each keeps its place while the state does not change."""
    wanted = [button for button in BUTTONS if job_text.can(job, button[0])]
    grid = layout.grid_flow(row_major=True, columns=2, even_columns=True, align=True)
    for deed, operator, icon in wanted:
        set_job(grid.operator(operator, text=button_text(job, deed), icon=icon), job)


def button_text(job: Job, deed: JobAction) -> str:
    """Return what stands on the button of a deed; the same in menus."""
    if deed is JobAction.RETRY:
        return "Look Again" if job.state is JobState.UNCERTAIN else "Retry"
    if deed is JobAction.PLACE and job.state is JobState.PLACED:
        return "Place Again"
    if deed is JobAction.STOP:
        return "Cancel" if state_machine.can_cancel(job) else "Stop Tracking"
    names = {
        JobAction.PLACE: "Place",
        JobAction.FIT: "Fit to Box",
        JobAction.SEND_AGAIN: "Send Again",
        JobAction.TAKE_OVER: "Take Over",
        JobAction.IMPORT_HERE: "Import Here",
        JobAction.OPEN_FOLDER: "Open Folder",
        JobAction.USE_AGAIN: "Use Settings",
        JobAction.DIAGNOSE: "Diagnostics",
        JobAction.REMOVE: "Remove",
    }
    return names[deed]
