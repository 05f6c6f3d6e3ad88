"""Who looks at the panel: noted by its ``draw``, asked by the timer, so that nobody works for a closed sidebar."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import bpy

TAB = "CSM"
LATELY_S = 2.5
"""A visible panel is redrawn at least this often while a job runs, because the timer asks for it every second."""


class _Seen:
    def __init__(self) -> None:
        self.ever = False
        self.at = -math.inf
        self.asked_at = -math.inf
        self.window = 0
        self.on_draw: Callable[[], None] | None = None


_seen = _Seen()


def note_draw(context: bpy.types.Context) -> None:
    """Note that one of our panels is drawn."""
    _seen.ever = True
    _seen.at = time.monotonic()
    _seen.window = context.window.as_pointer() if context.window else 0
    if _seen.on_draw:
        _seen.on_draw()


def when_drawn(call: Callable[[], None]) -> None:
    """Have ``call`` called whenever one of our panels is drawn, until :func:`forget`."""
    _seen.on_draw = call


def was_seen() -> bool:
    """Tell whether a panel of ours has been on screen since Blender started."""
    return _seen.ever


def is_seen(now: float) -> bool:
    """Tell whether a panel of ours is on screen: drawn lately, or since it was last asked to be."""
    return now - _seen.at < LATELY_S or _seen.at >= _seen.asked_at


def is_tab_open() -> bool:
    """Tell whether our tab is the one shown in some 3D view's sidebar, at this moment; microseconds."""
    return any(_shows_tab(area) for area in _views())


def forget() -> None:
    """Back to how it began."""
    _seen.__init__()  # type: ignore[misc]


def redraw() -> None:
    """Ask for a redraw of every 3D view's sidebar."""
    _seen.asked_at = time.monotonic()
    for area in _views():
        _redraw_sidebar(area)


def redraw_viewports() -> None:
    """Ask for a redraw of what every 3D view shows of the scene."""
    for area in _views():
        for region in area.regions:
            if region.type == "WINDOW":
                region.tag_redraw()


def _views() -> Iterator[Any]:
    for window in bpy.context.window_manager.windows:
        yield from (area for area in window.screen.areas if area.type == "VIEW_3D")


def _shows_tab(area: Any) -> bool:
    if not area.spaces.active.show_region_ui:
        return False
    return any(each.type == "UI" and each.width > 1 and each.active_panel_category == TAB for each in area.regions)


def _redraw_sidebar(area: Any) -> None:
    for region in area.regions:
        if region.type == "UI" and region.width > 1:
            region.tag_redraw()


@contextmanager
def window_context() -> Iterator[bpy.types.Context]:
    """Give the context of the window in which the panel was drawn last; a timer has none of its own.

    A 3D view of that window is part of it where there is one. Headless, it is the context as it stands.
    """
    windows = list(bpy.context.window_manager.windows)
    window = next((each for each in windows if each.as_pointer() == _seen.window), windows[0] if windows else None)
    if window is None:
        yield bpy.context
        return
    area = next((each for each in window.screen.areas if each.type == "VIEW_3D"), None)
    place: dict[str, Any] = {"window": window}
    if area is not None:
        place |= {"area": area, "region": next(each for each in area.regions if each.type == "WINDOW")}
    override: Any = bpy.context.temp_override(**place)
    with override:
        yield bpy.context
