"""The overlay in the viewport: the box and the pivot that will be sent, and where the selected job's result belongs.

The timer decides what is drawn (``follow``), from what it has measured; drawing looks up the object by name and takes
its matrix as it stands, so the box follows while the object is dragged. Nothing is measured to draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy

from ...core.errors import CsmError
from ...core.models import Job, JobState
from .. import preferences
from ..geometry import selection_bounds
from ..jobs import job_list, job_text, submit
from ..properties import choices_of, settings_of
from ..scene import object_metadata
from . import overlay_geometry, sidebar_visibility, status_messages
from .overlay_geometry import Picture, Sketch

PLACED_TEXT = "Placed. Difference to the box: {difference}"
READY_TEXT = "Ready. Difference to the box: {difference}"
FITTED_TEXT = "Ready, fitted. It came back with a difference of {difference}"
TROUBLE = "CSM Refine cannot draw in the viewport: {error}. The system console has more."


NOTHING = Picture()


class _Overlay:
    def __init__(self) -> None:
        self.picture = NOTHING
        self.handles: list[Any] = []
        self.trouble = ""
        self.is_told = False


_overlay = _Overlay()


# --- what is drawn: the timer's part ------------------------------------------------------------------------------


def follow(context: bpy.types.Context, jobs: Mapping[str, Job]) -> bool:
    """Take in what is to be drawn now, and have the viewports redrawn if it changed; tell whether it did."""
    _tell_trouble()
    picture = compose(context, jobs) if is_wanted() else NOTHING
    if picture == _overlay.picture:
        return False
    _overlay.picture = picture
    sidebar_visibility.redraw_viewports()
    return True


def is_wanted() -> bool:
    """Tell whether the overlay is switched on and somebody looks at our tab."""
    return bool(preferences.preferences().show_overlay) and sidebar_visibility.is_tab_open()


def compose(context: bpy.types.Context, jobs: Mapping[str, Job]) -> Picture:
    """Return what is to be drawn for the panel's settings, the last reading, and the job selected in the list."""
    job = jobs.get(job_list.selected_id())
    target = _target(job) if job else None
    text = fit_text(job) if job and target else ""
    return Picture(_request(context), target, text, context.scene.name)


def _request(context: bpy.types.Context) -> Sketch | None:
    measured = selection_bounds.current().measured
    try:
        asked = submit.asked_now(measured, choices_of(settings_of(context)))
    except CsmError:
        return None
    if asked is None:
        return None
    return (
        overlay_geometry.following(measured, asked.placement)
        if measured
        else overlay_geometry.standing(asked.placement)
    )


def _target(job: Job) -> Sketch | None:
    """Return where a job's result belongs, or, placed, was placed: nothing where it is not in this file any more."""
    if job.state not in (JobState.READY, JobState.PLACED) or job.placement is None or job.placement.box is None:
        return None
    if job.state is JobState.PLACED and not object_metadata.result_name(job):
        return None
    from ..scene import source_transform  # brings numpy

    source = bpy.data.objects.get(object_metadata.source_name(job))
    return overlay_geometry.standing(source_transform.standing(job.placement, source).placement)


def fit_text(job: Job) -> str:
    """Return how far the result of a job is off its box, relative to the diagonal, as far as that was measured."""
    box = job.placement.box if job.placement else None
    if box is None:
        return ""
    if job.state is JobState.PLACED:
        known = job.fit_error is not None
        return PLACED_TEXT.format(difference=job_text.fit_error(job.fit_error or 0.0)) if known else ""
    if job.report is None:
        return ""
    from ..background import box_fit  # brings numpy

    difference = box_fit.difference(job.report.box, box_fit.expected_box(box))
    is_fitted = job.fit_to_box and difference >= box_fit.TOLERANCE
    return (FITTED_TEXT if is_fitted else READY_TEXT).format(difference=job_text.fit_error(difference))


def _tell_trouble() -> None:
    if _overlay.trouble and not _overlay.is_told:
        _overlay.is_told = True
        status_messages.say("WARNING", TROUBLE.format(error=_overlay.trouble))


# --- drawing --------------------------------------------------------------------------------------------------------


def add() -> None:
    """Have the viewports call us; not without a window."""
    if not bpy.app.background:
        add_handlers()


def add_handlers() -> None:
    """Hang the two draw functions on the 3D viewport."""
    hang: Any = bpy.types.SpaceView3D.draw_handler_add
    for function, when in ((_draw_lines, "POST_VIEW"), (_draw_labels, "POST_PIXEL")):
        _overlay.handles.append(hang(function, (), "WINDOW", when))


def take_away() -> None:
    """Undo :func:`add`, and forget everything."""
    for handle in _overlay.handles:
        bpy.types.SpaceView3D.draw_handler_remove(handle, "WINDOW")
    if _overlay.handles:
        from . import overlay_drawing

        overlay_drawing.forget()
    _overlay.__init__()  # type: ignore[misc]
    sidebar_visibility.redraw_viewports()


def handlers() -> int:
    """Return how many draw functions of ours the viewports call: Blender cannot list them."""
    return len(_overlay.handles)


def trouble() -> str:
    """Return the mistake after which nothing is drawn any more, or an empty text."""
    return _overlay.trouble


def _draw_lines() -> None:
    _guarded("lines")


def _draw_labels() -> None:
    _guarded("labels")


def _guarded(part: str) -> None:
    """Draw, where there is something to draw; after a mistake, print it once and draw no more."""
    if _overlay.trouble or _overlay.picture is NOTHING:
        return
    try:
        if is_drawn_in(bpy.context):
            from . import overlay_drawing

            getattr(overlay_drawing, part)(bpy.context, _overlay.picture)
    except Exception as error:  # noqa: BLE001  # the top: what a draw handler raises is printed at every redraw
        import traceback

        traceback.print_exc()
        _overlay.trouble = repr(error)


def is_drawn_in(context: Any) -> bool:
    """Tell whether the overlay belongs into the viewport that is being drawn."""
    space = context.space_data
    if space is None or space.type != "VIEW_3D" or not space.overlay.show_overlays:
        return False
    return context.scene.name == _overlay.picture.scene and is_wanted()
