"""Hiding a source for its result, and showing it again just as it was: with its children, in viewport and render."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from ...core.errors import InputError
from ...core.models import Job
from ..geometry.object_hierarchy import with_children
from . import object_metadata

GONE = "The result “{name}” is not in this file."
SOURCE_GONE = "The source object “{name}” is not in this file any more."
ELSEWHERE = "“{name}” is not in this view layer."


def hide(context: bpy.types.Context, *objects: Any) -> None:
    """Hide objects and their children in viewport and renders; what was hidden before is remembered as such."""
    for each in with_children(objects):
        mark = object_metadata.of(each)
        if each.name in context.view_layer.objects and not each.hide_get():
            each.hide_set(True)
            mark.hid_in_viewport = True
        if not each.hide_render:
            each.hide_render = mark.hid_in_render = True


def show(context: bpy.types.Context, obj: Any) -> None:
    """Show an object, and those of its children that :func:`hide` has hidden."""
    for each in with_children([obj]):
        mark = object_metadata.of(each)
        was_ours = mark.hid_in_viewport or mark.hid_in_render
        if each.name in context.view_layer.objects and (mark.hid_in_viewport or each == obj):
            each.hide_set(False)
        if mark.hid_in_render or (each == obj and not was_ours):
            each.hide_render = False
        mark.hid_in_viewport = mark.hid_in_render = False


def shows_result(job: Job) -> bool:
    """Tell, for ``draw``, whether the placed object is visible now, and not its source."""
    obj = bpy.data.objects.get(object_metadata.result_name(job))
    return obj is not None and not obj.hide_get()


def swap(context: bpy.types.Context, job: Job) -> Any:
    """Show a job's source instead of its result, or the other way round; return the object that is shown now.

    The shown one becomes active and selected where the hidden one was, and is seen in every local view where that was.
    Raises InputError where one of them is gone.
    """
    result, source = _both(context, job)
    hidden, shown = (source, result) if result.hide_get() else (result, source)
    objects = context.view_layer.objects
    was_active, was_selected = objects.active == hidden, hidden.select_get()
    local_views = [space for space in _local_views(context, hidden, shown) if hidden.visible_get(viewport=space)]
    merged = [obj for obj in object_metadata.find_merged(job) if obj.name in objects]
    hide(context, hidden, *(merged if hidden == source else ()))
    for each in (shown, *(merged if shown == source else ())):
        show(context, each)
    for space in local_views:
        _bring_into(context, space, shown)
    if was_active:
        objects.active = shown
    if was_active or was_selected:
        shown.select_set(True)
    return shown


def _local_views(context: bpy.types.Context, *objects: Any) -> Iterator[Any]:
    """Yield the viewports that isolate some objects (numpad /), and could show these.

    What comes into the scene later, as a result does, is in each of them; what was there before, and not selected, in
    none (object_base_new in Blender's layer.cc).
    """
    for window in context.window_manager.windows:
        if window.view_layer == context.view_layer and all(obj.name in window.view_layer.objects for obj in objects):
            spaces = (area.spaces.active for area in window.screen.areas)
            yield from (space for space in spaces if space.type == "VIEW_3D" and space.local_view)


def _bring_into(context: bpy.types.Context, space: Any, obj: Any) -> None:
    """Have a local view show an object and its children, where it does not show it already."""
    if not obj.visible_get(viewport=space):
        for each in with_children([obj]):
            if each.name in context.view_layer.objects:
                each.local_view_set(space, True)


def _both(context: bpy.types.Context, job: Job) -> tuple[Any, Any]:
    result, source = object_metadata.find_result(job), object_metadata.find_source(job)
    if result is None:
        raise InputError(GONE.format(name=job.placed_object), "Place it again.")
    if source is None:
        name = job.placement.object_name if job.placement else ""
        raise InputError(SOURCE_GONE.format(name=name), "There is only the result to be seen.")
    context.view_layer.update()  # what was unlinked just now is still listed before
    for obj in (result, source):
        if obj.name not in context.view_layer.objects:
            raise InputError(ELSEWHERE.format(name=obj.name), "Show its collection, or go to its scene.")
    return result, source
