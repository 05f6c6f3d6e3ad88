"""The panel's upper part: which session, which service, which bounds, and the button."""

from __future__ import annotations

from itertools import islice
from typing import Any

import bpy

from ....core import validation
from ....core.errors import CsmError
from ....core.models import LOCAL
from ....core.placement import BoundsOptions, RefineParameters
from ... import preferences
from ...geometry import selection_bounds
from ...i18n import shown
from ...jobs import job_monitor, job_text, submit
from ...preferences import KeySource
from ...properties import choices_of, settings_of
from .. import sidebar_visibility
from . import lookup_panel, pivot_panel
from .layouts import fact, sentences, source_name


class InSidebar:
    """Where all our panels are."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = sidebar_visibility.TAB


class CSM_PT_refine(InSidebar, bpy.types.Panel):
    bl_label = "CSM Refine"

    def draw(self, context: bpy.types.Context) -> None:
        sidebar_visibility.note_draw(context)
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        keeper = job_monitor.current()
        for trouble in filter(None, (keeper.told, keeper.trouble, keeper.worker.trouble)):
            sentences(layout, context, trouble, icon="ERROR", alert=True)
        settings = settings_of(context)
        _draw_service(layout, context, settings)
        _draw_session(layout, context, settings)


def _draw_session(layout: bpy.types.UILayout, context: bpy.types.Context, settings: Any) -> None:
    job_monitor.current().looking.note_panel(context)
    column = layout.column(align=True)
    row = column.row(align=True)
    row.prop(settings, "session_code", text="", placeholder=shown("Session code, or a URL with one"))
    row.operator("csm_refine.paste_code", text="", icon="PASTEDOWN")
    if not settings.session_code.strip():
        return
    try:
        code = validation.session_code(settings.session_code)
    except CsmError as error:
        sentences(column, context, str(error), icon="ERROR", alert=True)
        return
    lookup_panel.draw_session(layout, context, code)


def _draw_service(layout: bpy.types.UILayout, context: bpy.types.Context, settings: Any) -> None:
    column = layout.column()
    column.row().prop(settings, "service", expand=True)
    choice = preferences.service_choice()
    if choice == "URL":
        column.prop(settings, "service_url", text="Address", placeholder="https://api.example.com")
    try:
        service = preferences.service_address()
    except CsmError as error:
        sentences(column, context, str(error), icon="ERROR", alert=bool(preferences.service_text()))
        return
    if service == LOCAL:
        return
    if preferences.key_source() is KeySource.MISSING:
        _draw_first_use(column, context)
        return
    _draw_key(column, context)
    _draw_offline(column, context, service)
    _draw_check(column, context, service)


def _draw_offline(layout: bpy.types.UILayout, context: bpy.types.Context, service: str) -> None:
    try:
        submit.require_online(service)
    except CsmError as error:
        box = layout.box().column()
        sentences(box, context, str(error), icon="INTERNET_OFFLINE", alert=True, in_box=True)
        box.operator("screen.userpref_show", text="Open System Preferences", icon="PREFERENCES").section = "SYSTEM"


def _draw_key(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    row = layout.split(factor=0.4, align=True)
    name = row.row()
    name.alignment = "RIGHT"
    name.label(text=shown("Key"), translate=False)
    value = row.row(align=True)
    value.label(text=preferences.key_source().value)
    value.operator_context = "INVOKE_DEFAULT"  # see common.is_on_button
    value.operator("csm_refine.check_service", text="", icon="CHECKMARK")
    value.operator("csm_refine.open_preferences", text="", icon="PREFERENCES")
    try:
        preferences.require_key()
    except CsmError as error:
        sentences(layout, context, str(error), icon="ERROR", alert=True)


def _draw_first_use(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    box = layout.box().column()
    text = "There is no API key yet. Without an account, refine on this machine."
    sentences(box, context, text, icon="INFO", in_box=True)
    box.operator("csm_refine.use_local", icon="HOME")
    box.operator("csm_refine.open_preferences", text="Give a Key", icon="PREFERENCES")


def _draw_check(layout: bpy.types.UILayout, context: bpy.types.Context, service: str) -> None:
    keeper = job_monitor.current()
    if keeper.check is not None:
        layout.label(text="Asking the service…", icon="SORTTIME")
    elif keeper.check_answer is not None and keeper.check_answer.service == service:
        answer = keeper.check_answer
        icon = "CHECKMARK" if answer.is_good else "ERROR"
        sentences(layout, context, answer.message, icon=icon, alert=not answer.is_good)


class CSM_PT_bounds(InSidebar, bpy.types.Panel):
    bl_label = "Bounds & Pivot"
    bl_parent_id = "CSM_PT_refine"
    bl_options = {"DEFAULT_CLOSED"}
    bl_order = 1

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        self.layout.prop(settings_of(context), "show_overlay", text="", icon="OVERLAY")

    def draw(self, context: bpy.types.Context) -> None:
        sidebar_visibility.note_draw(context)
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = settings_of(context)
        _draw_bounds(layout.column(), settings)
        _draw_pivot(layout.column(), settings)


def _draw_bounds(layout: bpy.types.UILayout, settings: Any) -> None:
    layout.prop(settings, "bounds_mode")
    if settings.bounds_mode == "OBJECT":
        problem = selection_bounds.current().problem
        if settings.thickness or (problem is not None and " is flat" in problem.message):
            layout.prop(settings, "thickness")
    elif settings.bounds_mode == "TYPED":
        typed = layout.column(align=True)
        for index, name in enumerate(("Width (X)", "Height (Z)", "Depth (Y)")):
            typed.prop(settings, "bbox", index=index, text=name)


def _draw_pivot(layout: bpy.types.UILayout, settings: Any) -> None:
    layout.prop(settings, "pivot_mode")
    if settings.pivot_mode == "TYPED":
        pivot_panel.draw_picker(layout, settings)
        typed = layout.column(align=True)
        for index, name in enumerate(("Right (X)", "Top (Z)", "Front (-Y)")):
            typed.prop(settings, "pivot", index=index, text=name)


class CSM_PT_send(InSidebar, bpy.types.Panel):
    bl_label = "Refine"
    bl_parent_id = "CSM_PT_refine"
    bl_options = {"HIDE_HEADER"}
    bl_order = 2

    def draw(self, context: bpy.types.Context) -> None:
        sidebar_visibility.note_draw(context)
        settings = settings_of(context)
        _draw_readout(self.layout, context, settings)
        _draw_buttons(self.layout, context, settings)


def _draw_readout(layout: bpy.types.UILayout, context: bpy.types.Context, settings: Any) -> None:
    """Draw what will be sent, or the sentence why nothing can be."""
    try:
        choices = choices_of(settings)
    except CsmError as error:
        sentences(layout, context, str(error), icon="ERROR", alert=True)
        return
    reading = selection_bounds.current()
    if choices.needs_geometry and reading.problem is not None:
        sentences(layout, context, str(reading.problem), icon="INFO")
        return
    is_local = preferences.service_choice() == "LOCAL"
    has_code = bool(settings.session_code.strip())
    asked = submit.asked_now(reading.warning(of_frame=has_code or not is_local, of_losses=is_local), choices)
    if asked is None:
        return
    column = layout.column(align=True)
    column.scale_y = 0.9
    if reading.measured is not None:
        fact(column, "Object", source_name(reading.measured.object_name, reading.measured.merged_names), is_given=True)
    _draw_sent(column, asked, choices)
    for warning in asked.warnings:
        sentences(layout, context, warning, icon="INFO")


def _draw_sent(layout: bpy.types.UILayout, asked: RefineParameters, choices: BoundsOptions) -> None:
    if asked.scaled_bbox is None:
        fact(layout, "Bounds", "Left to the service")
    else:
        for name, side in zip(("Width (X)", "Height (Z)", "Depth (Y)"), asked.scaled_bbox, strict=True):
            fact(layout, name, job_text.length(side))
    fact(layout, "Pivot", "Left to the service" if asked.pivot_point is None else job_text.pivot(asked.pivot_point))


def _draw_buttons(layout: bpy.types.UILayout, context: bpy.types.Context, settings: Any) -> None:
    """Draw the buttons; the one that comes next in the work is large."""
    is_local = preferences.service_choice() == "LOCAL"
    column = layout.column()
    column.operator_context = "INVOKE_DEFAULT"  # see common.is_on_button
    refine, create, each = (
        ("csm_refine.refine", "MOD_REMESH"),
        ("csm_refine.create_session", "ADD"),
        ("csm_refine.refine_each", "DUPLICATE"),
    )
    buttons = [refine]
    if is_local:  # which alone can make sessions
        buttons = [refine, create] if settings.session_code.strip() else [create, refine]
        if len(list(islice(context.view_layer.objects.selected, 2))) > 1:
            buttons.insert(0, each)
    _draw_large(column, *buttons[0])
    for operator, icon in buttons[1:]:
        column.operator(operator, icon=icon)


def _draw_large(layout: bpy.types.UILayout, operator: str, icon: str) -> None:
    row = layout.row()
    row.scale_y = 1.5
    row.operator(operator, icon=icon)


CLASSES = (CSM_PT_refine, CSM_PT_bounds, CSM_PT_send)
