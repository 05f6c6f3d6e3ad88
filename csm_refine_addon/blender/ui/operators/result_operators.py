"""Operators about one job: cancel it or track it no longer, place it, fit it, show its files, remove it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ....core.errors import CsmError, InputError
from ....core.jobs import state_machine
from ....core.models import Job
from ...i18n import in_report, in_tooltip, shown
from ...jobs import job_list, job_monitor, job_text
from ...jobs.job_text import JobAction
from ...scene import auto_place, object_metadata
from .operator_base import OfJob, reported

if TYPE_CHECKING:
    from ...scene.placing import Placed


class CSM_OT_stop(OfJob, bpy.types.Operator):
    """End the job: the local service cancels its refine; at another service it runs on, and may be charged"""

    bl_idname = "csm_refine.stop"
    bl_label = "Cancel or Stop Tracking"
    deed = JobAction.STOP

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._stop)

    def _stop(self) -> str:
        job = job_monitor.current().change(self.found().id, lambda job: state_machine.stopped(job, time.time()))
        if job.is_cancelled:
            return f"{job_text.title(job)} is cancelled."
        return f"{job_text.title(job)} is no longer tracked; the service's work goes on."


def is_in_object_mode(operator: Any, context: bpy.types.Context) -> bool:
    """Tell whether Blender is in Object Mode; say what to do where it is not."""
    if context.mode == "OBJECT":
        return True
    operator.poll_message_set(in_tooltip("Results are placed in Object Mode. Leave the mode you are in first."))
    return False


class _Placing(OfJob):
    """Brings a result into the scene and writes down where it stands."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_in_object_mode(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: self._place(context))

    def _place(self, context: bpy.types.Context) -> str:
        job = job_monitor.current().place(context, self.found(), self._bring)
        return f"Placed as “{job.placed_object}”."

    def _bring(self, context: bpy.types.Context, job: Job) -> Placed:
        raise NotImplementedError


class CSM_OT_place(_Placing, bpy.types.Operator):
    """Put the refined mesh into the box, orientation and origin of its source object"""

    bl_idname = "csm_refine.place"
    bl_label = "Place"
    bl_options = {"REGISTER", "UNDO"}
    deed = JobAction.PLACE

    def _bring(self, context: bpy.types.Context, job: Job) -> Placed:
        return auto_place.place(context, job)


class CSM_OT_import_here(_Placing, bpy.types.Operator):
    """Import the downloaded mesh with Blender's own importer, and place it: Blender stands still meanwhile"""

    bl_idname = "csm_refine.import_here"
    bl_label = "Import Here"
    bl_options = {"REGISTER", "UNDO"}
    deed = JobAction.IMPORT_HERE

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        manager: Any = context.window_manager
        answer: set[str] = manager.invoke_confirm(
            self, event, title=shown("Import in this window?"),
            message=shown("Blender stands still until it is done."), confirm_text=shown("Import"),
        )  # fmt: skip
        return answer

    def _bring(self, context: bpy.types.Context, job: Job) -> Placed:
        return auto_place.import_here(context, job)


class CSM_OT_fit(OfJob, bpy.types.Operator):
    """Stretch and shift the placed mesh so that it fills the box that was asked for, around its origin"""

    bl_idname = "csm_refine.fit"
    bl_label = "Fit to Box"
    bl_options = {"REGISTER", "UNDO"}
    deed = JobAction.FIT

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return is_in_object_mode(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._fit)

    def _fit(self) -> str:
        from ...scene import placing, source_transform

        job = self.found()
        obj = auto_place.placed_object(job)
        if job.placement is None:
            raise InputError("This job has no box to fit to.", "Scale the mesh by hand.")
        source = object_metadata.find_source(job)
        correction = placing.fit(obj, job.placement, source, object_metadata.find_merged(job))
        now = source_transform.standing(job.placement, source)
        error = placing.measure_fit(obj, now.placement)
        keeper = job_monitor.current()
        keeper.press()
        keeper.note_placed(job, placing.Placed(obj.name, error, tuple(obj.dimensions), remark=now.remark))
        return correction or "It fitted already."


def loss(job: Job) -> str:
    """Return what is lost with a job that is removed, or an empty text."""
    return job_text.loss(job, is_here=object_metadata.find_result(job) is not None)


class CSM_OT_remove(OfJob, bpy.types.Operator):
    """Take the job off the list, cancel its local refine and delete its files; what is placed stays"""

    bl_idname = "csm_refine.remove"
    bl_label = "Remove"
    deed = JobAction.REMOVE

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        try:
            job = self.found()
        except CsmError as error:
            self.report({"ERROR"}, in_report(str(error)))
            return {"CANCELLED"}
        lost = loss(job)
        if not lost:
            return self.execute(context)
        manager: Any = context.window_manager
        answer: set[str] = manager.invoke_confirm(
            self, event, title=shown("Remove this job?"), message=shown(lost), confirm_text=shown("Remove")
        )
        return answer

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._remove)

    def _remove(self) -> str:
        job = self.found()
        job_monitor.current().remove(job.id)
        return f"{job_text.title(job)} is removed from the list."


class CSM_OT_open_folder(OfJob, bpy.types.Operator):
    """Show the job's downloaded files in the file manager"""

    bl_idname = "csm_refine.open_folder"
    bl_label = "Open Folder"
    deed = JobAction.OPEN_FOLDER

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._open)

    def _open(self) -> str:
        job = self.found()
        folder = Path(job.blend_path or job.mesh_path).parent
        if not folder.is_dir():
            raise InputError(f"The folder {folder} is gone.", "Retry the job to fetch its files again.")
        bpy.ops.wm.path_open(filepath=str(folder))
        return ""


class CSM_OT_open_picture(OfJob, bpy.types.Operator):
    """Look at source and result side by side, with their wireframes and the UV layout"""

    bl_idname = "csm_refine.open_picture"
    bl_label = "Open Picture"
    deed = JobAction.OPEN_PICTURE

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._open)

    def _open(self) -> str:
        path = self.found().picture_path
        if not Path(path).is_file():
            raise InputError(f"The picture {path} is gone.", "Retry the job to fetch its files again.")
        bpy.ops.wm.path_open(filepath=path)
        return ""


class CSM_OT_select(bpy.types.Operator):
    """Show this job's details"""

    bl_idname = "csm_refine.select"
    bl_label = "Select Job"
    bl_options = {"INTERNAL"}
    job: bpy.props.StringProperty(name="Job", description="The job's id", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        # Blender makes only the first line of a list's row a place to click.
        job_list.show(job_monitor.current().jobs, select=self.job)
        return {"FINISHED"}


class CSM_OT_copy_error(bpy.types.Operator):
    """Copy the error's full text"""

    bl_idname = "csm_refine.copy_error"
    bl_label = "Copy Error"
    job: bpy.props.StringProperty(name="Job", description="The job's id", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        job = job_monitor.current().jobs.get(self.job)
        if job is None or job.error is None:
            self.report({"ERROR"}, in_report("This job has no error. Select another one."))
            return {"CANCELLED"}
        context.window_manager.clipboard = job_text.error_text(job)
        self.report({"INFO"}, in_report("The error's text is copied."))
        return {"FINISHED"}


class CSM_OT_copy_code(bpy.types.Operator):
    """Copy the job's session code"""

    bl_idname = "csm_refine.copy_code"
    bl_label = "Copy Session Code"
    job: bpy.props.StringProperty(name="Job", description="The job's id", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        job = job_monitor.current().jobs.get(self.job)
        if job is None or not job.request.session_code:
            self.report({"ERROR"}, in_report("This job has no session code yet. Wait until its session is made."))
            return {"CANCELLED"}
        context.window_manager.clipboard = job.request.session_code
        self.report({"INFO"}, in_report(f"{job.request.session_code} is copied."))
        return {"FINISHED"}


CLASSES = (
    CSM_OT_stop,
    CSM_OT_place,
    CSM_OT_import_here,
    CSM_OT_fit,
    CSM_OT_remove,
    CSM_OT_open_folder,
    CSM_OT_open_picture,
    CSM_OT_select,
    CSM_OT_copy_error,
    CSM_OT_copy_code,
)
