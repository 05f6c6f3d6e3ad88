"""Operators that send: refine, a session out of the selection, retry, sending again, and taking over."""

from __future__ import annotations

import functools
import time
from typing import Any

import bpy

from ....core.errors import CsmError
from ....core.jobs import state_machine
from ....core.models import JobState
from ... import preferences
from ...i18n import in_report, in_tooltip, shown
from ...jobs import job_list, job_monitor, job_text, session_files, submit
from ...jobs.job_text import JobAction
from ...jobs.submit import Order, Overrides
from ...properties import typed_values
from .operator_base import DIALOG_WIDTH, OfJob, is_on_button, note, reported

OTHER_SOURCE = "The session was made from “{source}”. Its refined mesh is placed at “{name}”."


class CSM_OT_refine(bpy.types.Operator):
    """Send the session to be refined in these bounds; Blender goes on, and the result comes back by itself"""

    bl_idname = "csm_refine.refine"
    bl_label = "Refine"

    session_code: bpy.props.StringProperty(
        name="Session", description="A session code, or any URL that holds one", options={"SKIP_SAVE"}
    )
    scaled_bbox: bpy.props.FloatVectorProperty(
        name="Box", description="Width, height, depth along the API's axes: Blender's X, Z, Y", options={"SKIP_SAVE"}
    )
    pivot_point: bpy.props.FloatVectorProperty(
        name="Pivot", description="From -0.5 to 0.5 of the box along the API's axes", options={"SKIP_SAVE"}
    )

    _shown: Order | None = None
    """What the user said yes to: exactly that is sent."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = submit.obstacle(context, job_monitor.current().jobs.values()) if is_on_button(context) else None
        if reason is not None:
            cls.poll_message_set(in_tooltip(str(reason)))
        return reason is None

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        try:
            self._shown = self._order(context)
        except CsmError as error:
            self.report({"ERROR"}, in_report(str(error)))
            return {"CANCELLED"}
        if not self._shown.may_charge and not self._shown.made_from:
            return self.execute(context)
        return ask_first(self, context, "Send this refine?", "Send")

    def draw(self, context: bpy.types.Context) -> None:
        if self._shown is not None:
            draw_order(self.layout, self._shown)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: self._send(context))

    def _send(self, context: bpy.types.Context) -> str:
        order = self._shown or self._order(context)
        keeper = job_monitor.current()
        job = keeper.add(order.job(keeper.window))
        return f"{job_text.title(job)} is being refined; go on working."

    def _order(self, context: bpy.types.Context) -> Order:
        keeper = job_monitor.current()
        keeper.refresh()
        return submit.refine_order(context, keeper.jobs.values(), self._given())

    def _given(self) -> Overrides:
        is_set = self.properties.is_property_set
        return Overrides(
            self.session_code if is_set("session_code") and self.session_code else None,
            typed_values(self.scaled_bbox) if is_set("scaled_bbox") else None,
            typed_values(self.pivot_point) if is_set("pivot_point") else None,
        )


class CSM_OT_create_session(bpy.types.Operator):
    """Make a session out of the selected object on the local service, and refine it in one go"""

    bl_idname = "csm_refine.create_session"
    bl_label = "New Session from Selection"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        reason = submit.session_obstacle(context) if is_on_button(context) else None
        if reason is not None:
            cls.poll_message_set(in_tooltip(str(reason)))
        return reason is None

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: self._create(context))

    def _create(self, context: bpy.types.Context) -> str:
        from ...geometry import bounds  # brings numpy

        keeper = job_monitor.current()
        order = submit.session_order(context)
        for warning in order.asked.warnings:
            self.report({"WARNING"}, in_report(warning))
        source = session_files.write(*bounds.selection(context.view_layer))
        try:
            keeper.add(order.job(keeper.window, source))
        except BaseException:
            session_files.drop(source)
            raise
        return "A session is being made and refined; go on working."


class CSM_OT_retry(OfJob, bpy.types.Operator):
    """Take the job up again where it ended: nothing that is done already is done, or paid, twice"""

    bl_idname = "csm_refine.retry"
    bl_label = "Retry"
    deed = JobAction.RETRY

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        try:
            job = self.found()
        except CsmError as error:
            self.report({"ERROR"}, in_report(str(error)))
            return {"CANCELLED"}
        if not submit.needs_yes(job):
            return self.execute(context)
        return ask_first(self, context, "Send this refine again?", "Send Again")

    def draw(self, context: bpy.types.Context) -> None:
        draw_job(self.layout, self.job)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._retry)

    def _retry(self) -> str:
        job = self.found()
        job = job_monitor.current().change(job.id, lambda job: state_machine.retried(job, time.time()))
        return f"{in_report(job_text.title(job))}: {in_report(job_text.status(job))}."


class CSM_OT_send_again(OfJob, bpy.types.Operator):
    """Send the refine once more, although the first one may have arrived: the service may charge for both"""

    bl_idname = "csm_refine.send_again"
    bl_label = "Send Again"
    deed = JobAction.SEND_AGAIN

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return ask_first(self, context, "Send this refine again?", "Send Again")

    def draw(self, context: bpy.types.Context) -> None:
        draw_job(self.layout, self.job)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._send)

    def _send(self) -> str:
        job = self.found()
        job_monitor.current().change(job.id, lambda job: state_machine.sent_again(job, time.time()), again=True)
        return f"{job_text.title(job)} is sent again."


class CSM_OT_take_over(OfJob, bpy.types.Operator):
    """Go on with this job with the present API key, though it was made with another one"""

    bl_idname = "csm_refine.take_over"
    bl_label = "Take Over"
    deed = JobAction.TAKE_OVER

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return ask_first(self, context, "Go on with the present key?", "Take Over")

    def draw(self, context: bpy.types.Context) -> None:
        draw_job(self.layout, self.job)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._take_over)

    def _take_over(self) -> str:
        from ....core.providers import account_binding

        job = self.found()
        keeper = job_monitor.current()
        keeper.press()
        keeper.change(job.id, functools.partial(account_binding.taken_over, folder=keeper.home.folder))
        return f"{job_text.title(job)} goes on with the present key."


def ask_first(operator: Any, context: bpy.types.Context, title: str, confirm: str) -> set[str]:
    """Open the confirmation and return at once; ``execute`` follows if the user says yes."""
    manager: Any = context.window_manager
    answer: set[str] = manager.invoke_props_dialog(
        operator, width=DIALOG_WIDTH, title=shown(title), confirm_text=shown(confirm)
    )
    return answer


def draw_order(layout: bpy.types.UILayout, order: Order) -> None:
    """Draw what will be sent."""
    _draw_facts(layout, order.request.session_code, order.asked.scaled_bbox, order.asked.pivot_point, order.service)
    if order.made_from:
        note(layout, OTHER_SOURCE.format(source=order.made_from, name=order.asked.placement.object_name), "ERROR")
    for warning in order.asked.warnings:
        note(layout, warning)


def draw_job(layout: bpy.types.UILayout, job_id: str) -> None:
    """Draw what will be sent again."""
    job = job_monitor.current().jobs.get(job_id or job_list.selected_id())
    if job is None:
        return
    request = job.request
    _draw_facts(layout, request.session_code, request.scaled_bbox, request.pivot_point, job.service)
    if job.state is JobState.UNCERTAIN:
        note(layout, "The first one may have arrived: both may be charged.")


def _draw_facts(layout: bpy.types.UILayout, code: str, bbox: Any, pivot: Any, service: str) -> None:
    automatic = "left to the service"
    facts = (
        ("Session", code or "a new one"),
        ("W × H × D", automatic if bbox is None else job_text.triple(bbox)),
        ("Pivot", automatic if pivot is None else job_text.pivot(pivot)),
        ("Service", preferences.service_name(service)),
    )
    column = layout.column(align=True)
    for name, value in facts:
        row = column.split(factor=0.3)
        row.label(text=name)
        row.label(text=shown(value), translate=False)
    if preferences.may_charge(service):
        note(layout, "The service may charge credits, and does not return them.")


CLASSES = (CSM_OT_refine, CSM_OT_create_session, CSM_OT_retry, CSM_OT_send_again, CSM_OT_take_over)
