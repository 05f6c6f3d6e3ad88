"""Operators about many objects or many jobs at once."""

from __future__ import annotations

import time
from typing import Any

import bpy

from ....core.errors import CsmError, InputError
from ....core.jobs import state_machine
from ....core.models import TERMINAL, Job, JobState
from ...i18n import in_report, in_tooltip, shown
from ...jobs import batch_submit, job_list, job_monitor, job_text
from ...jobs.job_text import JobAction
from ...scene import object_metadata
from .operator_base import note, reported
from .result_operators import is_in_object_mode
from .submit_operators import ask_first

MOST_LINES = 8
REFINED = "Refining {} of {} selected objects; go on working."
WILL_BE_REFINED = "{} of {} selected objects, each in a box of its own"
NOT_REFINED = "Not refined: {}"
MORE = "… and {} more"
PLACED = "Placed: {} of {} results."
NOT_PLACED = "{}: {}"
WILL_BE_STOPPED = "Jobs: {}. Local refines are cancelled; what runs at another service runs on, and may be charged."
STOPPED = "Jobs that are cancelled or no longer tracked: {}."
WILL_BE_REMOVED = "Jobs: {}. Their downloaded files are deleted; what is placed stays."
WILL_BE_LOST = "Jobs: {}. Their downloaded files are deleted. Results that are not in this file, or may still come: {}."
REMOVED = "Jobs removed from the list: {}."


class CSM_OT_refine_each(bpy.types.Operator):
    """Make a session out of each selected object on the local service, each with its own box, and refine them all"""

    bl_idname = "csm_refine.refine_each"
    bl_label = "Refine Each"

    _plan: batch_submit.Plan | None = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.view_layer.objects.selected:
            return True
        cls.poll_message_set(in_tooltip("Nothing is selected. Select the objects to refine."))
        return False

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        try:
            self._plan = batch_submit.plan(context)
            _require_orders(self._plan)
        except CsmError as error:
            self.report({"ERROR"}, in_report(str(error)))
            return {"CANCELLED"}
        return ask_first(self, context, "Refine each selected object?", "Refine Each")

    def draw(self, context: bpy.types.Context) -> None:
        if self._plan is not None:
            draw_plan(self.layout, self._plan)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: self._begin(context))

    def _begin(self, context: bpy.types.Context) -> str:
        plan = self._plan or batch_submit.plan(context)
        _require_orders(plan)
        for sentence in (*plan.refused, *plan.warnings):
            self.report({"WARNING"}, in_report(sentence))
        batch_submit.begin(job_monitor.current(), plan.orders)
        return REFINED.format(len(plan.orders), plan.count)


def _require_orders(plan: batch_submit.Plan) -> None:
    if not plan.orders:
        raise InputError("None of the selected objects can be refined.", plan.refused[0])


def draw_plan(layout: bpy.types.UILayout, plan: batch_submit.Plan) -> None:
    """Draw how many are refined, and why others are not."""
    note(layout, WILL_BE_REFINED.format(len(plan.orders), plan.count), "MOD_REMESH")
    note(layout, "The local service refines them on this machine.", "BLANK1")
    for warning in plan.warnings:
        note(layout, warning)
    if plan.refused:
        note(layout, NOT_REFINED.format(len(plan.refused)))
    for sentence in plan.refused[:MOST_LINES]:
        note(layout, sentence, "BLANK1")
    if len(plan.refused) > MOST_LINES:
        note(layout, MORE.format(len(plan.refused) - MOST_LINES), "BLANK1")


class CSM_OT_place_all(bpy.types.Operator):
    """Put every finished result of this file into the box of its source object, in one undo step"""

    bl_idname = "csm_refine.place_all"
    bl_label = "Place All Ready"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not is_in_object_mode(cls, context):
            return False
        if ready_jobs():
            return True
        cls.poll_message_set(
            in_tooltip("No result of this file is ready. Wait for a job, or place one of another file by itself.")
        )
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: self._place(context))

    def _place(self, context: bpy.types.Context) -> str:
        job_monitor.current().refresh()
        ready = ready_jobs()
        names = list(filter(None, (self._place_one(context, job) for job in _counted(context, ready))))
        if not names:
            raise InputError("No result could be placed.", "Place one by itself to see why.")
        return PLACED.format(len(names), len(ready))

    def _place_one(self, context: bpy.types.Context, job: Job) -> str:
        """Return the placed object's name; the others go on where one fails."""
        try:
            return job_monitor.current().place(context, job).placed_object
        except CsmError as error:
            self.report(
                {"WARNING"},
                NOT_PLACED.format(job_text.object_name(job) or job_text.title(job), in_report(str(error))),
            )
            return ""


def _counted(context: bpy.types.Context, jobs: list[Job]) -> Any:
    """Go through the jobs with their number at the mouse: each takes some hundredths of a second."""
    manager: Any = context.window_manager
    manager.progress_begin(0, len(jobs))
    try:
        for number, job in enumerate(jobs):
            manager.progress_update(number)
            yield job
    finally:
        manager.progress_end()


def ready_jobs() -> list[Job]:
    """Return this file's jobs that are ready to be placed, oldest first."""
    keeper = job_monitor.current()
    found = (job for job in keeper.jobs.values() if job.state is JobState.READY and job_text.can(job, JobAction.PLACE))
    return sorted(filter(object_metadata.is_of_this_file, found), key=lambda job: job.created_at)


class _OverMany:
    """An operator about all jobs of the files that the list shows, with a question first."""

    nothing = ""

    @classmethod
    def meant(cls) -> list[Job]:
        """Return the jobs that it is about, as last read."""
        return [job for job in job_list.listed(job_monitor.current().jobs.values()) if cls.is_meant(job)]

    @classmethod
    def is_meant(cls, job: Job) -> bool:
        raise NotImplementedError

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if cls.meant():
            return True
        cls.poll_message_set(in_tooltip(cls.nothing))  # type: ignore[attr-defined]  # of the operator
        return False


class CSM_OT_stop_all(_OverMany, bpy.types.Operator):
    """End the listed jobs: the local service cancels refines; at another service they run on, and may be charged"""

    bl_idname = "csm_refine.stop_all"
    bl_label = "Cancel or Stop Tracking All"
    nothing = "No listed job is under way."

    @classmethod
    def is_meant(cls, job: Job) -> bool:
        return state_machine.is_active(job)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return batch_submit.is_waiting() or super().poll(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        message = WILL_BE_STOPPED.format(len(self.meant()))
        return confirmed(self, context, event, "Cancel or stop tracking all?", message, "Stop All")

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._stop)

    def _stop(self) -> str:
        keeper = job_monitor.current()
        keeper.refresh()
        dropped = batch_submit.drop()
        stopped = keeper.change_each(
            [job.id for job in self.meant()], lambda job: state_machine.stopped(job, time.time())
        )
        return STOPPED.format(len(stopped) + dropped)


class CSM_OT_remove_ended(_OverMany, bpy.types.Operator):
    """Take every listed job that is placed, failed or stopped off the list, and delete its downloaded files"""

    bl_idname = "csm_refine.remove_ended"
    bl_label = "Remove Ended"
    nothing = "No listed job has ended."

    @classmethod
    def is_meant(cls, job: Job) -> bool:
        return job.state in TERMINAL

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return confirmed(self, context, event, "Remove all ended jobs?", removal(self.meant()), "Remove")

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._remove)

    def _remove(self) -> str:
        keeper = job_monitor.current()
        keeper.refresh()
        ended = self.meant()
        keeper.remove(*(job.id for job in ended))
        return REMOVED.format(len(ended))


def removal(jobs: list[Job]) -> str:
    """Return what becomes of jobs that are removed, in a sentence."""
    here = {object_metadata.of(obj).job for obj in bpy.data.objects if object_metadata.is_marked(obj)}
    lost = sum(bool(job_text.loss(job, is_here=job.id in here)) for job in jobs)
    return WILL_BE_LOST.format(len(jobs), lost) if lost else WILL_BE_REMOVED.format(len(jobs))


def confirmed(
    operator: Any, context: bpy.types.Context, event: bpy.types.Event, title: str, message: str, confirm: str
) -> set[str]:
    """Ask first, and return at once; ``execute`` follows if the user says yes."""
    manager: Any = context.window_manager
    answer: set[str] = manager.invoke_confirm(
        operator, event, title=shown(title), message=shown(message), confirm_text=shown(confirm)
    )
    return answer


CLASSES = (CSM_OT_refine_each, CSM_OT_place_all, CSM_OT_stop_all, CSM_OT_remove_ended)
