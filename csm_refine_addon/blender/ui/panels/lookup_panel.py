"""What is known of a session before it is paid for, and the list of the account's sessions."""

from __future__ import annotations

from typing import Any

import bpy

from ....core.errors import CsmError
from ....core.jobs.lookups import Lookup, SeenSession
from ....core.models import LOCAL
from ....core.providers.csm_schema import STATUS_WORDS
from ... import preferences
from ...i18n import shown
from ...jobs import job_monitor, session_text
from ...jobs.session_lookup import SessionLookup
from .. import sidebar_visibility, thumbnails
from .layouts import sentences

PICTURE_SCALE = 3.0
ROW_PICTURE_SCALE = 1.6


def draw_session(layout: bpy.types.UILayout, context: bpy.types.Context, code: str) -> None:
    """Draw what is known of a session; the box is as high while it is read as it is afterwards."""
    looking, service = job_monitor.current().looking, _service()
    if not service:
        return
    lookup = looking.session(code, service)
    seen = lookup.sessions[0] if lookup is not None and lookup.sessions else None
    box = layout.box().column()
    _draw_seen(box, seen, looking.now())
    if lookup is not None and lookup.error is not None:
        _draw_error(box, context, lookup)
    elif seen is not None:
        icon = "CHECKMARK" if session_text.can_be_refined(seen.status) else "INFO"
        sentences(box, context, session_text.verdict(seen.status), icon=icon, in_box=True)
        for warning in seen.warnings:
            sentences(box, context, warning, icon="INFO", in_box=True)
    else:
        sentences(box, context, "Not looked up yet", icon="INFO", in_box=True)
    _draw_state(box, lookup, looking, "csm_refine.look_up")


def _draw_seen(layout: bpy.types.UILayout, seen: SeenSession | None, now: float) -> None:
    row = layout.row(align=False)
    _draw_picture(row, seen, PICTURE_SCALE)
    column = row.column(align=True)
    column.scale_y = 0.8
    column.label(text=shown(session_text.stage(seen.status)) if seen else "", translate=False)
    column.label(text=_word(seen), translate=False)
    column.label(text=shown(session_text.made(seen, now)) if seen else "", translate=False)


def _word(seen: SeenSession | None) -> str:
    """Return how far the session is, where the service says that; in front, a word of it that is not known."""
    if seen is None:
        return ""
    percent = seen.status.percent
    is_telling = percent is not None and 0 < percent < 100
    unknown = "" if seen.status.word.lower() in STATUS_WORDS else seen.status.word
    return ", ".join(filter(None, (unknown, f"{percent:.0f} %" if is_telling else "")))


def _draw_picture(layout: bpy.types.UILayout, seen: SeenSession | None, scale: float) -> None:
    icon = thumbnails.icon(seen.thumbnail) if seen else 0
    layout.template_icon(icon_value=icon or _stand_in(), scale=scale)


def _stand_in() -> int:
    layout: Any = bpy.types.UILayout.bl_rna
    icons = layout.functions["prop"].parameters["icon"].enum_items
    return int(icons[thumbnails.NO_PICTURE].value)


def _draw_state(layout: bpy.types.UILayout, lookup: Lookup | None, looking: SessionLookup, operator: str) -> None:
    """Draw when it was read, and the button that reads it again."""
    row = layout.row(align=True)
    now = looking.now()
    if lookup is not None and lookup.is_open(now):
        row.label(text="Reading…", icon="SORTTIME")
    elif lookup is not None and lookup.answered_at < lookup.asked_at:
        row.label(text="No answer came", icon="INFO")
    elif lookup is None:
        row.label(text="Not read yet", icon="TIME")
    else:
        at = lookup.sessions[0].seen_at if lookup.sessions else lookup.answered_at
        row.label(text=shown(session_text.read(at, now)), icon="TIME", translate=False)
    button = row.row(align=True)
    button.operator_context = "INVOKE_DEFAULT"  # see common.is_on_button
    button.operator(operator, text="", icon="FILE_REFRESH")


def _draw_error(layout: bpy.types.UILayout, context: bpy.types.Context, lookup: Lookup) -> None:
    if lookup.error is not None:
        text = f"{lookup.error.message} {lookup.error.action}".strip()
        sentences(layout, context, text, icon="INFO", in_box=True)


def _service() -> str:
    try:
        return preferences.service_address()
    except CsmError:
        return ""


class CSM_UL_sessions(bpy.types.UIList):
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
        looking = job_monitor.current().looking
        seen = next((each for each in looking.sessions(_service()) if each.code == item.name), None)
        if seen is None:
            return
        row = layout.row()
        _draw_picture(row, seen, ROW_PICTURE_SCALE)
        column = row.column(align=True)  # both lines take a click; of a row, Blender takes one on its first line only
        column.scale_y = 0.8
        for text in (seen.code.removeprefix("SESSION_"), session_text.summary(seen, looking.now())):
            line = column.row(align=True)
            line.alignment = "LEFT"
            button: Any = line.operator(
                "csm_refine.take_session", text=text, icon="BLANK1", emboss=False, translate=False
            )
            button.session = seen.code

    def draw_filter(self, context: bpy.types.Context, layout: bpy.types.UILayout) -> None:
        """Leave Blender's own filter away: the search stands above the list."""

    def filter_items(self, context: bpy.types.Context, data: Any, property: str) -> tuple[list[int], list[int]]:  # noqa: A002
        text = context.window_manager.csm_refine.session_search
        return filtered(self.bitflag_filter_item, data.sessions, text), []


def filtered(flag: int, rows: Any, text: str) -> list[int]:
    """Return the flag for each row that a search finds, 0 for the others."""
    found = {
        each.code for each in job_monitor.current().looking.sessions(_service()) if session_text.is_found(each, text)
    }
    return [flag if row.name in found else 0 for row in rows]


class CSM_PT_sessions(bpy.types.Panel):
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = sidebar_visibility.TAB
    bl_label = "My Sessions"
    bl_parent_id = "CSM_PT_refine"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 0

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        row = self.layout.row()
        row.operator_context = "INVOKE_DEFAULT"  # see common.is_on_button
        row.operator("csm_refine.choose_session", text="", icon="VIEWZOOM", emboss=False)

    def draw(self, context: bpy.types.Context) -> None:
        sidebar_visibility.note_draw(context)
        looking, service, kept = job_monitor.current().looking, _service(), context.window_manager.csm_refine
        looking.note_list()
        layout = self.layout
        page = looking.page(service)
        _draw_state(layout.column(), page, looking, "csm_refine.list_sessions")
        if page is not None and page.error is not None:
            _draw_error(layout, context, page)
        if not kept.sessions:
            layout.label(text=_nothing(service, page), icon="INFO")
            return
        layout.prop(kept, "session_search", text="", icon="VIEWZOOM", placeholder="Search by code or stage")
        layout.template_list("CSM_UL_sessions", "", kept, "sessions", kept, "active_session", rows=4, maxrows=4)
        row = layout.row()
        row.operator_context = "INVOKE_DEFAULT"
        row.enabled = page is not None and page.is_full
        row.operator("csm_refine.more_sessions", text="Show More" if row.enabled else "No More Sessions")


def _nothing(service: str, page: Lookup | None) -> str:
    if page is None or page.error is not None or page.answered_at < page.asked_at:
        return "No sessions read yet"
    return "No sessions here yet" if service == LOCAL else "No sessions in this account"


CLASSES = (CSM_UL_sessions, CSM_PT_sessions)
