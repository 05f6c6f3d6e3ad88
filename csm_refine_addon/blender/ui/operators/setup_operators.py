"""Operators around the work: fill the code field, choose and check the service, wait for a job."""

from __future__ import annotations

from collections.abc import Mapping

import bpy

from ....core import validation
from ....core.errors import CsmError, InputError
from ....core.models import TERMINAL, Job, JobState
from ... import preferences
from ...i18n import in_report, in_tooltip
from ...jobs import job_monitor, job_text, submit
from ...properties import settings_of
from .operator_base import is_on_button, reported


class CSM_OT_paste_code(bpy.types.Operator):
    """Take the session code out of what the clipboard holds: a code, an API address or a mesh address"""

    bl_idname = "csm_refine.paste_code"
    bl_label = "Paste Session Code"
    bl_options = {"UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        pasted = context.window_manager.clipboard.strip()
        if not pasted:
            self.report({"WARNING"}, in_report("The clipboard holds no text. Copy a session code first."))
            return {"CANCELLED"}
        try:
            # The rest of a mesh's address is a credential: it does not get into the file.
            settings_of(context).session_code = validation.session_code(pasted)
        except CsmError as error:
            self.report({"WARNING"}, in_report(str(error)))
            return {"CANCELLED"}
        return {"FINISHED"}


class CSM_OT_use_local(bpy.types.Operator):
    """Refine on this machine, with Blender itself: no account, no key, no network"""

    bl_idname = "csm_refine.use_local"
    bl_label = "Use Local Service"

    def execute(self, context: bpy.types.Context) -> set[str]:
        preferences.choose_service("LOCAL")
        self.report({"INFO"}, in_report("Refines run on this machine now."))
        return {"FINISHED"}


class CSM_OT_open_preferences(bpy.types.Operator):
    """Open the extension's preferences, where the API key is kept"""

    bl_idname = "csm_refine.open_preferences"
    bl_label = "Open Preferences"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if preferences.ADDON in context.preferences.addons:
            return True
        cls.poll_message_set(in_tooltip("CSM Refine is not installed as an extension here. Set CSM_API_KEY instead."))
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        bpy.ops.preferences.addon_show(module=preferences.ADDON)
        return {"FINISHED"}


class CSM_OT_check_service(bpy.types.Operator):
    """Ask the service whether its address and the key are good; that costs nothing"""

    bl_idname = "csm_refine.check_service"
    bl_label = "Check Service"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not is_on_button(context):
            return True
        if job_monitor.current().check is not None:
            cls.poll_message_set(in_tooltip("The service is being asked already. Wait for its answer."))
            return False
        try:
            submit.ready_service()
        except CsmError as error:
            cls.poll_message_set(in_tooltip(str(error)))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._ask)

    def _ask(self) -> str:
        service = submit.ready_service()
        job_monitor.current().ask_service(service)
        return f"{preferences.service_name(service)} is being asked."


class CSM_OT_wait(bpy.types.Operator):
    """Wait until a job is placed or has ended; for scripts, because Blender stands still meanwhile"""

    bl_idname = "csm_refine.wait"
    bl_label = "Wait for Job"
    bl_options = {"INTERNAL"}

    job: bpy.props.StringProperty(name="Job", description="The job's id; empty: the newest one", options={"SKIP_SAVE"})
    timeout: bpy.props.FloatProperty(
        name="Time-out",
        description="Seconds to wait; 0: as long as the job is followed",
        default=0.0,
        min=0.0,
        options={"SKIP_SAVE"},
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: self._wait(context))

    def _wait(self, context: bpy.types.Context) -> str:
        from ... import headless

        keeper = job_monitor.current()
        keeper.refresh()
        job = self._found(keeper.jobs)
        if job.state not in TERMINAL:
            job = headless.wait_for(job, self.timeout or job.timeout_s)
        keeper.refresh()
        if job.state is JobState.READY and job.place_automatically:
            job = keeper.place(context, job)
        if job.state is not JobState.PLACED and job.error is not None:
            raise InputError(job.error.message, job.error.action)
        return f"{in_report(job_text.title(job))}: {in_report(job_text.status(job))}."

    def _found(self, jobs: Mapping[str, Job]) -> Job:
        job = jobs.get(self.job) if self.job else max(jobs.values(), key=lambda job: job.created_at, default=None)
        if job is None:
            raise InputError("There is no such job to wait for.", "Refine something first.")
        return job


CLASSES = (CSM_OT_paste_code, CSM_OT_use_local, CSM_OT_open_preferences, CSM_OT_check_service, CSM_OT_wait)
