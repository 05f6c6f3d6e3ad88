"""Operators that come back to a result: compare it with its source, fetch it again, take its settings again."""

from __future__ import annotations

from typing import Any

import bpy

from ....core.models import CSM_BASE_URL, LOCAL, Job
from ... import local_options, preferences
from ...i18n import in_tooltip
from ...jobs import job_monitor, job_text
from ...jobs.job_text import JobAction
from ...properties import settings_of
from ...scene import object_metadata, refetch, visibility
from .operator_base import OfJob, reported
from .result_operators import is_in_object_mode

SHOWN = "“{name}” is shown."
FETCHING = "The result of {code} is being fetched; nothing is sent."


class CSM_OT_swap(OfJob, bpy.types.Operator):
    """Show the source object instead of the placed result, or the result again, in viewport and renders"""

    bl_idname = "csm_refine.swap"
    bl_label = "Swap Source and Result"
    bl_options = {"REGISTER", "UNDO"}
    deed = JobAction.SWAP

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_in_object_mode(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: SHOWN.format(name=visibility.swap(context, self.found()).name))


class CSM_OT_fetch_again(bpy.types.Operator):
    """Download the refined mesh of the active object's session once more and place it; no refine is sent or paid"""

    bl_idname = "csm_refine.fetch_again"
    bl_label = "Fetch Result Again"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not object_metadata.is_result(context.active_object):
            cls.poll_message_set(in_tooltip("The active object is no result of a refine. Select one that is."))
            return False
        problem = refetch.obstacle(context.active_object)
        if problem is not None:
            cls.poll_message_set(in_tooltip(str(problem)))
        return problem is None

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: self._fetch(context))

    def _fetch(self, context: bpy.types.Context) -> str:
        keeper = job_monitor.current()
        keeper.refresh()
        job = refetch.order(context, context.active_object, keeper.jobs.values(), keeper.window)
        keeper.add(job)
        return FETCHING.format(code=job_text.title(job))


class CSM_OT_use_settings(OfJob, bpy.types.Operator):
    """Fill the panel with the job's session, service, box and pivot; nothing is sent"""

    bl_idname = "csm_refine.use_settings"
    bl_label = "Use These Settings Again"
    bl_options = {"REGISTER", "UNDO"}
    deed = JobAction.USE_AGAIN

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: self._use(context))

    def _use(self, context: bpy.types.Context) -> str:
        job = self.found()
        fill(settings_of(context), job)
        return f"The panel has the settings of {job_text.title(job)}."


def fill(settings: Any, job: Job) -> None:
    """Fill the panel's settings from a job; what it left to the service is left to it again."""
    request = job.request
    settings.session_code = request.session_code
    choice = {CSM_BASE_URL: "CSM", LOCAL: "LOCAL"}.get(job.service, "URL")
    preferences.choose_service(choice, job.service if choice == "URL" else None)
    settings.bounds_mode = "AUTO" if request.scaled_bbox is None else "TYPED"
    settings.pivot_mode = "AUTO" if request.pivot_point is None else "TYPED"
    if request.scaled_bbox is not None:  # after the mode, which starts from the selected object's values
        settings.bbox = request.scaled_bbox
    if request.pivot_point is not None:
        settings.pivot = request.pivot_point
    local_options.fill(settings.local, request.local)


CLASSES = (CSM_OT_swap, CSM_OT_fetch_again, CSM_OT_use_settings)
