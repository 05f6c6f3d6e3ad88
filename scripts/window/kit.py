"""Inside Blender: plays a scenario, a generator that yields the seconds until it wants to go on, from a timer.

    from window import kit

    def scenario():
        yield from kit.first_draw()
        yield from kit.open_sidebar("CSM")
        kit.picture("/job/panel.png")

    kit.play(scenario)

An exception ends Blender with exit code 3. Positions are in pixels from the lower left corner, as Blender has them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import bpy

Steps = Iterator[float]
TURN_S = 0.05
_context: Any = bpy.context  # in the stubs nearly everything of it may be None


class View(NamedTuple):
    """The 3D viewport of the first window. Ask for it again after a pause: Blender may have moved it."""

    window: Any
    area: Any
    space: Any
    sidebar: Any
    main: Any

    def override(self) -> Any:
        """Give a context manager in which operators see the viewport."""
        return bpy.context.temp_override(window=self.window, area=self.area, region=self.main)


class _Drawn:
    count = 0


def play(scenario: Callable[[], Steps], limit_s: float = 100.0) -> None:
    """Play a scenario and quit. Call it once, at the end of the script that Blender is started with."""
    _context.preferences.view.show_splash = False
    _context.preferences.use_preferences_save = False
    bpy.types.SpaceView3D.draw_handler_add(_note_draw, (), "WINDOW", "POST_PIXEL")
    steps = _limited(scenario(), limit_s)

    def turn() -> float | None:
        try:
            return next(steps)
        except StopIteration:
            sys.stdout.flush()
            bpy.ops.wm.quit_blender()
        except BaseException:  # noqa: BLE001 -- the top of a timer: one that raises only prints
            traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(3)
        return None

    bpy.app.timers.register(turn, first_interval=0.01, persistent=True)


def _limited(steps: Steps, limit_s: float) -> Steps:
    ends_at = time.monotonic() + limit_s
    for pause in steps:
        if time.monotonic() > ends_at:
            raise TimeoutError(f"the scenario is not done after {limit_s:.0f} s")
        yield pause


def _note_draw() -> None:
    _Drawn.count += 1


def say(*words: object) -> None:
    """Print with the seconds since Blender was started."""
    print(f"[{time.time() - float(os.environ.get('STARTED_AT', '0')):7.3f}]", *words, flush=True)


def view() -> View:
    """Return the first window's 3D viewport."""
    window = _context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    regions = {region.type: region for region in area.regions}
    return View(window, area, area.spaces.active, regions["UI"], regions["WINDOW"])


def until(condition: Callable[[], object], limit_s: float = 20.0, what: str = "") -> Steps:
    """Wait until a condition holds. Raises TimeoutError."""
    ends_at = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > ends_at:
            raise TimeoutError(f"waited {limit_s:.0f} s in vain for {what or condition}")
        yield TURN_S


def first_draw() -> Steps:
    """Wait until the viewport has been drawn: seconds with a cold shader cache."""
    yield from until(lambda: _Drawn.count, 60.0, "the first draw")
    say("first draw")


def redrawn() -> Steps:
    """Have everything drawn again, and wait for it."""
    before = _Drawn.count
    for area in view().window.screen.areas:
        area.tag_redraw()
    yield from until(lambda: _Drawn.count > before, what="a redraw")
    yield 2 * TURN_S


def open_sidebar(tab: str) -> Steps:
    """Open the viewport's sidebar on a tab. Raises TypeError, with the tabs' names, where there is no such tab."""
    view().space.show_region_ui = True
    yield from until(lambda: view().sidebar.active_panel_category not in {"", "UNSUPPORTED"}, what="the sidebar")
    view().sidebar.active_panel_category = tab
    yield from redrawn()


def picture(path: str, area: Any = None) -> None:
    """Save what is on the screen, or an area of it, as PNG. (`bpy.ops.screen.screenshot` is black on this OpenGL.)"""
    command = ["import", "-window", "root"]
    if area is not None:
        top = view().window.height - area.y - area.height
        command += ["-crop", f"{area.width}x{area.height}+{area.x}+{top}", "+repage"]
    subprocess.run([*command, path], check=True)


def enlarge_viewport() -> Steps:
    """Move the splits around the viewport so that it takes nearly the whole window."""
    found = view()
    bpy.ops.screen.area_move(x=found.area.x + found.area.width, y=found.area.y + 40, delta=found.window.width)
    bpy.ops.screen.area_move(x=found.area.x + 40, y=found.area.y, delta=-found.window.height)
    yield from redrawn()
    say("viewport", view().area.width, view().area.height)
