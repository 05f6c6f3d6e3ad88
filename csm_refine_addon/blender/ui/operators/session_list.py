"""Operators about sessions that are not refined yet: look one up, list the account's, take one."""

from __future__ import annotations

import time
from typing import Any

import bpy

from ....core import validation
from ....core.errors import CsmError, InputError
from ... import preferences
from ...i18n import in_tooltip, shown
from ...jobs import job_monitor, session_text, submit
from ...properties import settings_of
from .. import thumbnails
from .operator_base import is_on_button, reported


def _is_ready(operator: Any, context: bpy.types.Context) -> bool:
    """Tell whether the service can be asked, for a button; say what to do where it cannot."""
    if not is_on_button(context):
        return True
    try:
        submit.ready_service()
    except CsmError as error:
        operator.poll_message_set(in_tooltip(str(error)))
        return False
    return True


class CSM_OT_look_up(bpy.types.Operator):
    """Read the session from the service: its picture, stage and age, and whether it can be refined; costs nothing"""

    bl_idname = "csm_refine.look_up"
    bl_label = "Look Up Session"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _is_ready(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: self._ask(context))

    def _ask(self, context: bpy.types.Context) -> str:
        code = validation.session_code(settings_of(context).session_code)
        service = submit.ready_service()
        keeper = job_monitor.current()
        keeper.press()
        keeper.looking.ask_session(keeper.journal(), code, service)
        return f"{code} is being read."


class CSM_OT_list_sessions(bpy.types.Operator):
    """Read the account's sessions from the service, the newest ones first; costs nothing"""

    bl_idname = "csm_refine.list_sessions"
    bl_label = "Read My Sessions"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _is_ready(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._ask)

    def _ask(self) -> str:
        _read_list()
        return "Your sessions are being read."


def _read_list() -> None:
    service = submit.ready_service()
    keeper = job_monitor.current()
    keeper.press()
    keeper.looking.ask_list(keeper.journal(), service)


class CSM_OT_more_sessions(bpy.types.Operator):
    """Read the next page of the account's sessions"""

    bl_idname = "csm_refine.more_sessions"
    bl_label = "Show More Sessions"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _is_ready(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, self._ask)

    def _ask(self) -> str:
        service = submit.ready_service()
        keeper = job_monitor.current()
        keeper.press()
        keeper.looking.ask_more(keeper.journal(), service)
        return ""


class CSM_OT_take_session(bpy.types.Operator):
    """Put this session's code into the field"""

    bl_idname = "csm_refine.take_session"
    bl_label = "Take Session"
    bl_options = {"INTERNAL", "UNDO"}
    session: bpy.props.StringProperty(name="Session", description="The session's code", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        return reported(self, lambda: _take(context, self.session))


_items: list[tuple[str, str, str, int, int]] = []
"""Blender does not keep the texts of an enum's items that are made when it is drawn."""


def _choices(_operator: Any, _context: bpy.types.Context | None) -> list[tuple[str, str, str, int, int]]:
    """Return the known sessions of the service in use, as the items of an enum."""
    looking, now = job_monitor.current().looking, time.time()
    try:
        sessions = looking.sessions(preferences.service_address())
    except CsmError:
        sessions = []
    _items[:] = [
        (
            session.code,
            f"{session.code.removeprefix('SESSION_')}, {session_text.summary(session, now)}",
            shown(session_text.made(session, now)),
            thumbnails.icon(session.thumbnail),
            number,
        )
        for number, session in enumerate(sessions)
    ]
    return _items


class CSM_OT_choose_session(bpy.types.Operator):
    """Search the account's sessions by typing, and take one with Enter"""

    bl_idname = "csm_refine.choose_session"
    bl_label = "Choose Session"
    bl_options = {"UNDO"}
    bl_property = "session"
    session: bpy.props.EnumProperty(
        name="Session", description="One of the account's sessions", items=_choices, options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _is_ready(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not _choices(self, context):
            return self.execute(context)
        context.window_manager.invoke_search_popup(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        if not _choices(self, context):
            return reported(self, self._read_first)
        return reported(self, lambda: _take(context, self.session))

    def _read_first(self) -> str:
        _read_list()
        return "Your sessions are being read. Choose one in a moment."


def _take(context: bpy.types.Context, text: str) -> str:
    if not text:
        raise InputError("No session was chosen.", "Read your sessions first.")
    settings_of(context).session_code = validation.session_code(text)
    return ""


CLASSES = (
    CSM_OT_look_up,
    CSM_OT_list_sessions,
    CSM_OT_more_sessions,
    CSM_OT_take_session,
    CSM_OT_choose_session,
)
