"""What the panel keeps: with the scene, what is asked for; with the window manager, which job is looked at."""

from __future__ import annotations

import math
import re
from typing import Any

import bpy

from ..core import placement, validation
from ..core.axes import PIVOT_LIMIT, Vector3
from ..core.errors import InputError
from ..core.placement import BoundsOptions, BoundsSource, PivotSource
from . import local_options, preferences
from .geometry import selection_bounds
from .i18n import CONTEXT
from .jobs import job_list, known_sessions

BOUNDS_MODES = (
    ("OBJECT", "From Object", "The box of the selected object, with all that belongs to it"),
    ("TYPED", "Typed In", "Width, height and depth as typed"),
    ("AUTO", "Service", "The service chooses the size"),
)
PIVOT_MODES = (
    ("OBJECT", "Object Origin", "Where the selected object's origin stands in its box"),
    ("CENTER", "Centre", "The middle of the box"),
    ("BOTTOM", "Bottom Centre", "The middle of the box's underside"),
    ("TYPED", "Typed In", "A point as typed, each coordinate from -0.5 to 0.5 of the box"),
    ("AUTO", "Service", "The service chooses the origin"),
)


OBJECT_CHOICES = BoundsOptions()
LARGEST = 3.4e38
_QUERY = re.compile(r"(://[^\s?]*)\?\S*")
"""What an address asks for, or is signed with."""


def _code_typed(settings: CSM_PG_settings, _context: bpy.types.Context) -> None:
    """Keep the code of a longer text: the address of a mesh is signed, and the field is saved with the file."""
    try:
        kept = validation.session_code(settings.session_code)
    except InputError:
        kept = _QUERY.sub(r"\1", settings.session_code)
    if kept != settings.session_code:  # to set it comes here once more
        settings.session_code = kept


def _bounds_chosen(settings: CSM_PG_settings, _context: bpy.types.Context) -> None:
    """Typing starts from the object's values."""
    measured = selection_bounds.current().measured
    if settings.bounds_mode == "TYPED" and measured is not None and measured.box is not None:
        settings.bbox = placement.scaled_bbox(measured, OBJECT_CHOICES)
    selection_bounds.mark_stale()


def _pivot_chosen(settings: CSM_PG_settings, _context: bpy.types.Context) -> None:
    measured = selection_bounds.current().measured
    if settings.pivot_mode == "TYPED" and measured is not None and measured.box is not None:
        pivot = placement.pivot_point(measured, OBJECT_CHOICES)
        settings.pivot = [round(part, 6) + 0.0 for part in pivot or ()]
    selection_bounds.mark_stale()


def _thickness_typed(_settings: CSM_PG_settings, _context: bpy.types.Context) -> None:
    selection_bounds.mark_stale()


def _service_index(_settings: Any) -> int:
    return [item[0] for item in preferences.SERVICES].index(preferences.service_choice())


def _choose_service(_settings: Any, index: int) -> None:
    preferences.choose_service(preferences.SERVICES[index][0])


def _service_url(_settings: Any) -> str:
    return (
        preferences.service_text() if preferences.service_choice() == "URL" else preferences.preferences().service_url
    )


def _choose_service_url(_settings: Any, url: str) -> None:
    preferences.choose_service("URL", url)


def _shows_overlay(_settings: Any) -> bool:
    return bool(preferences.preferences().show_overlay)


def _show_overlay(_settings: Any, shown: bool) -> None:
    preferences.change("show_overlay", shown)


class CSM_PG_settings(bpy.types.PropertyGroup):
    """``scene.csm_refine``: what the panel asks for.

    ``service``, ``service_url`` and ``show_overlay`` are the preferences' and stand here for the panel and for scripts.
    They are not saved with the scene: a file from somebody else must not choose where one's key is sent.
    """

    session_code: bpy.props.StringProperty(
        name="Session",
        description="A session code, or any URL that holds one",
        maxlen=4096,
        update=_code_typed,
    )
    service: bpy.props.EnumProperty(
        name="Service",
        description="The service that refines",
        items=preferences.SERVICES,
        translation_context=CONTEXT,
        get=_service_index,
        set=_choose_service,
    )
    service_url: bpy.props.StringProperty(
        name="Address",
        description="The service's base URL, for example https://api.example.com",
        get=_service_url,
        set=_choose_service_url,
    )
    show_overlay: bpy.props.BoolProperty(
        name="Show in Viewport",
        description="Draw the box and the pivot that will be sent in the 3D viewport, and the selected job's box",
        get=_shows_overlay,
        set=_show_overlay,
    )
    bounds_mode: bpy.props.EnumProperty(
        name="Bounds",
        description="The box that the refined mesh is to fill",
        items=BOUNDS_MODES,
        translation_context=CONTEXT,
        default="OBJECT",
        update=_bounds_chosen,
    )
    bbox: bpy.props.FloatVectorProperty(
        name="Box",
        description="Width, height and depth: Blender's X, Z and Y",
        size=3,
        default=(1.0, 1.0, 1.0),
        min=0.0,
        soft_max=1000.0,
        precision=4,
        step=1,
        unit="LENGTH",
    )
    pivot_mode: bpy.props.EnumProperty(
        name="Pivot",
        description="The point of the box that becomes the refined mesh's origin",
        items=PIVOT_MODES,
        translation_context=CONTEXT,
        default="OBJECT",
        update=_pivot_chosen,
    )
    pivot: bpy.props.FloatVectorProperty(
        name="Pivot Point",
        description="As a part of the box from its centre: right, top and front are 0.5",
        size=3,
        default=(0.0, 0.0, 0.0),
        min=-PIVOT_LIMIT,
        max=PIVOT_LIMIT,
        precision=4,
        step=1,
    )
    thickness: bpy.props.FloatProperty(
        name="Thickness",
        translation_context=CONTEXT,
        description="Given to a side of a flat object, which has none; 0 leaves it flat, and that cannot be sent",
        default=0.0,
        min=0.0,
        precision=4,
        step=1,
        unit="LENGTH",
        update=_thickness_typed,
    )
    local: bpy.props.PointerProperty(type=local_options.CSM_PG_local)


class CSM_PG_job_row(bpy.types.PropertyGroup):
    """One row of the job list; ``name`` is the job's id, everything else stands in the pump's snapshot."""


class CSM_PG_session_row(bpy.types.PropertyGroup):
    """One row of the list of sessions; ``name`` is the code, everything else stands in the pump's snapshot."""


def _session_clicked(kept: CSM_PG_window, context: bpy.types.Context) -> None:
    code = known_sessions.picked(kept.active_session)
    if code:
        settings_of(context).session_code = code


class CSM_PG_window(bpy.types.PropertyGroup):
    """``window_manager.csm_refine``: the lists of jobs and sessions. Their rows are never saved with a file."""

    jobs: bpy.props.CollectionProperty(type=CSM_PG_job_row)
    active: bpy.props.IntProperty(name="Job", description="The job whose details are shown", default=0, min=0)
    sessions: bpy.props.CollectionProperty(type=CSM_PG_session_row)
    active_session: bpy.props.IntProperty(
        name="Session", description="The session that is to be refined", default=-1, min=-1, update=_session_clicked
    )
    session_search: bpy.props.StringProperty(
        name="Search",
        description="Show only sessions whose code or stage holds these words",
        maxlen=256,
        options={"TEXTEDIT_UPDATE"},
    )
    files: bpy.props.EnumProperty(
        name="Files",
        description="Whose jobs the list shows",
        items=job_list.FILES,
        get=job_list.files_index,
        set=job_list.choose_files,
    )
    sort: bpy.props.EnumProperty(
        name="Order",
        description="Which job stands first in the list",
        items=job_list.SORTS,
        get=job_list.sort_index,
        set=job_list.choose_sort,
    )


CLASSES = (*local_options.CLASSES, CSM_PG_settings, CSM_PG_job_row, CSM_PG_session_row, CSM_PG_window)


def settings_of(context: bpy.types.Context) -> Any:
    """Return ``scene.csm_refine`` of the context."""
    return context.scene.csm_refine


def choices_of(settings: Any, scaled_bbox: Vector3 | None = None, pivot_point: Vector3 | None = None) -> BoundsOptions:
    """Return what the panel's settings choose; a given box or pivot (API axes) takes the place of theirs.

    Raises InputError where a box or pivot that is in use is not one.
    """
    bounds, pivot = BoundsSource(settings.bounds_mode.lower()), PivotSource(settings.pivot_mode.lower())
    if scaled_bbox is not None:
        bounds = BoundsSource.TYPED
    elif bounds is BoundsSource.TYPED:
        scaled_bbox = typed_values(settings.bbox)
    if pivot_point is not None:
        pivot = PivotSource.TYPED
    elif pivot is PivotSource.TYPED:
        pivot_point = typed_values(settings.pivot)
    return BoundsOptions(
        bounds,
        pivot,
        None if scaled_bbox is None else validation.scaled_bbox(scaled_bbox),
        None if pivot_point is None else validation.pivot_point(pivot_point),
    )


def typed_values(values: Any) -> Vector3:
    """Return numbers as they were typed: Blender keeps 0.1 as the float32 0.10000000149, infinity as its largest."""
    x, y, z = (math.inf if value >= LARGEST else float(f"{value:.7g}") for value in values)
    return (x, y, z)


def add() -> None:
    """Hang the settings on scene and window manager."""
    types: Any = bpy.types
    types.Scene.csm_refine = bpy.props.PointerProperty(type=CSM_PG_settings)
    types.WindowManager.csm_refine = bpy.props.PointerProperty(type=CSM_PG_window)


def take_away() -> None:
    """Undo :func:`add`."""
    types: Any = bpy.types
    del types.WindowManager.csm_refine
    del types.Scene.csm_refine
