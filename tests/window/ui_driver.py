"""Inside Blender: a hand on mouse and keyboard, and an eye for what is drawn. What it does goes the way of real events.

A scene is a generator, `scene` in a module of tests/window/scenes, that yields the seconds until it wants to go on:

    def scene():
        yield from hand.open_tab()
        yield from hand.click("csm_refine.refine")
        yield from hand.look("sent")

Buttons are found by moving the mouse over them and asking Blender what lies there: an operator gives its Python
command, a property its data path. Positions are in pixels from the window's lower left corner.
"""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import bpy

from window import kit

EXTENSION = "bl_ext.user_default.csm_refine"
JOB = Path("/job")
PICTURES = JOB / "pictures"
SEEN = JOB / "seen.json"
LEFT, RIGHT, EDGE = 0.35, 0.78, 0.15
ICONS = (0.74, 0.7, 0.82, 0.86, 0.66)
"""Where the mouse is moved down a region, as parts of its width: what is wide lies under the first."""
ROW = 11
"""Pixels between two places that are tried, at resolution scale 1: every button is higher."""
HEADER = 26.0
"""Pixels between the headers of two closed sub-panels, at resolution scale 1."""
EVENT_S = 0.02
SETTLE_S = 0.25
MOST_SCROLLS, MOST_TRIES = 3, 3

Steps = Iterator[float]
_context: Any = bpy.context
_seen: dict[str, Any] = {}


class Place(NamedTuple):
    """A window, and an area and region in it. Ask for it anew after a pause: Blender may have moved it."""

    window: Any
    area: Any
    region: Any


class Spot(NamedTuple):
    """Where something is drawn."""

    x: int
    y: int
    what: str


_known: dict[str, Spot] = {}


def play(scene: Callable[[], Steps], limit_s: float) -> None:
    """Play a scene; leave what was noted in /job/seen.json, and a last picture where it fails."""
    PICTURES.mkdir(exist_ok=True)
    kit.play(lambda: _witnessed(scene), limit_s)


def _witnessed(scene: Callable[[], Steps]) -> Steps:
    try:
        yield from kit.first_draw()
        yield from scene()
    except GeneratorExit:  # Blender ends in the middle, as the scene wanted
        raise
    except BaseException:
        _report()
        raise
    write_notes()


def write_notes() -> None:
    """Leave what was noted; by itself at the end of a scene, and by hand before Blender ends in the middle of one."""
    SEEN.write_text(json.dumps(_seen), encoding="utf-8")


def _report() -> None:
    """Print how things stand and take a last picture."""
    kit.say("known places:", *sorted(_known))
    if hasattr(bpy.types.Scene, "csm_refine"):
        kit.say("jobs:", *(f"{job.id} {job.state} {job.error}" for job in jobs()))
        kit.say("settings:", {name: str(getattr(settings(), name)) for name in settings().bl_rna.properties.keys()})  # noqa: SIM118
    picture("failed")


def note(name: str, value: Any) -> None:
    """Keep something for the test outside."""
    _seen[name] = value
    kit.say(name, value)


def check(condition: object, what: str) -> None:
    """Raise with what was promised where it is not so."""
    if not condition:
        raise AssertionError(what)


def tell(service: str, what: str) -> None:
    """Have the service outside do something, such as to finish its refine."""
    with urllib.request.urlopen(f"{service}/{what}", timeout=10) as answer:  # noqa: S310 -- our own server
        answer.read()


# --- what the extension knows -------------------------------------------------------------------------------------


@functools.cache
def part(name: str) -> Any:
    """Return a module of the installed extension by its last name, in whatever room it stands."""
    found = [known for known in sys.modules if known.startswith(EXTENSION) and known.endswith(f".{name}")]
    check(len(found) == 1, f"modules called {name}: {found}")
    return sys.modules[found[0]]


def preferences() -> Any:
    return _context.preferences.addons[EXTENSION].preferences


def settings() -> Any:
    return _context.scene.csm_refine


def jobs() -> list[Any]:
    """Return the jobs, oldest first."""
    return sorted(part("job_monitor").current().jobs.values(), key=lambda job: job.created_at)


def job() -> Any:
    """Return the newest job."""
    return jobs()[-1]


def until_job(*states: str, limit_s: float = 60.0) -> Steps:
    """Wait until the newest job is in one of these states."""

    def stands() -> str:
        return f"{job().state} {job().error or ''}" if jobs() else "there is none"

    ends_at = time.monotonic() + limit_s
    while not jobs() or job().state not in states:
        if time.monotonic() > ends_at or (jobs() and job().state == "FAILED" and "PLACED" in states):
            raise TimeoutError(f"the job should become {', '.join(states)} within {limit_s:.0f} s: {stands()}")
        yield kit.TURN_S


# --- where things are ---------------------------------------------------------------------------------------------


def sidebar() -> Place:
    found = kit.view()
    return Place(found.window, found.area, found.sidebar)


def viewport() -> Place:
    found = kit.view()
    return Place(found.window, found.area, found.main)


def scale() -> float:
    return float(_context.preferences.system.ui_scale)


def middle(place: Place) -> tuple[int, int]:
    """Return the middle of what a region shows beside the sidebar, which may lie over it."""
    region = place.region
    left = region.width
    if region.type == "WINDOW" and place.area.type == "VIEW_3D" and kit.view().space.show_region_ui:
        left = max(left - kit.view().sidebar.width, 40)
    return region.x + left // 2, region.y + region.height // 2


# --- events -------------------------------------------------------------------------------------------------------


class _Mouse:
    x, y = 0, 0


def event(window: Any, kind: str, value: str, **more: Any) -> None:
    window.event_simulate(type=kind, value=value, x=_Mouse.x, y=_Mouse.y, **more)


def move(window: Any, x: float, y: float) -> Steps:
    _Mouse.x, _Mouse.y = int(x), int(y)
    event(window, "MOUSEMOVE", "NOTHING")
    yield 0.001
    yield 0.001  # the first turn may come before the event is dealt with


def press(kind: str, *, window: Any = None, letter: str = "", **modifiers: Any) -> Steps:
    """Press and release a key or a mouse button where the mouse is."""
    window = window or kit.view().window
    unicode = {"unicode": letter} if letter else {}
    event(window, kind, "PRESS", **unicode, **modifiers)
    yield EVENT_S
    event(window, kind, "RELEASE", **modifiers)
    yield EVENT_S


def click_at(place: Place, x: float, y: float, button: str = "LEFTMOUSE") -> Steps:
    yield from move(place.window, x, y)
    yield 2 * EVENT_S
    yield from press(button, window=place.window)
    yield SETTLE_S


_DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
_SIGNS = {"_": "MINUS", "-": "MINUS", ".": "PERIOD", "/": "SLASH", ":": "SEMI_COLON", " ": "SPACE"}
_KEYS = _SIGNS | {str(number): name for number, name in enumerate(_DIGITS)}


def type_text(text: str, window: Any = None) -> Steps:
    """Type into the field that is open."""
    for letter in text:
        kind = _KEYS.get(letter) or letter.upper()
        yield from press(kind, window=window, letter=letter, shift=letter.isupper() or letter in "_:")


def over_viewport() -> Steps:
    place = viewport()
    yield from move(place.window, *middle(place))
    yield 2 * EVENT_S


def undo() -> Steps:
    yield from over_viewport()
    yield from press("Z", ctrl=True)
    yield 2 * SETTLE_S


def redo() -> Steps:
    yield from over_viewport()
    yield from press("Z", ctrl=True, shift=True)
    yield 2 * SETTLE_S


# --- finding ------------------------------------------------------------------------------------------------------


def under(place: Place) -> str:
    """Return what the mouse is over: an operator's command, a property's path, or nothing."""
    manager = _context.window_manager
    kept = manager.clipboard
    manager.clipboard = ""
    with bpy.context.temp_override(window=place.window, area=place.area, region=place.region):
        if bpy.ops.ui.copy_python_command_button.poll():
            bpy.ops.ui.copy_python_command_button()
        elif bpy.ops.ui.copy_data_path_button.poll():
            bpy.ops.ui.copy_data_path_button(full_path=True)
    found = str(manager.clipboard)
    manager.clipboard = kept
    return found


def over(place: Place, x: float, y: float) -> Iterator[Any]:
    """Move the mouse somewhere and return what is there."""
    yield from move(place.window, x, y)
    return under(place)


def find(what: str, where: Callable[[], Place] = sidebar, columns: tuple[float, ...] = ()) -> Iterator[Any]:
    """Return the spot of a button by a part of its command or path; scroll to it where it is not in sight.

    With ``columns`` it is looked for there only.

    Raises LookupError with what was seen instead.
    """
    place = where()
    for name, known in list(_known.items()):
        if what in name:
            seen = yield from over(place, known.x, known.y)
            if what in seen:
                return Spot(known.x, known.y, seen)
            del _known[name]
    for group in [(column,) for column in columns] or [(LEFT,), (RIGHT,), (EDGE, *ICONS)]:
        for scroll in range(MOST_SCROLLS + 1):
            if scroll:
                yield from scrolled(place, to_top=scroll == MOST_SCROLLS)
            spot = yield from _swept(place, what, group)
            if spot is not None:
                return spot
    raise LookupError(f"no button {what!r}; seen: {sorted(_known)}")


def _swept(place: Place, what: str, columns: tuple[float, ...]) -> Iterator[Any]:
    """Move the mouse over a region, column by column, and note what there is, until the wanted is found."""
    region = place.region
    for column in columns:
        x, y = region.x + region.width * column, region.y + region.height - 4.0
        while y > region.y + 2:
            seen = yield from over(place, x, y)
            if seen:
                _known[seen] = Spot(int(x), int(y - 3 * scale()), seen)
            if what in seen:
                spot = yield from _centred(place, x, y, seen)
                _known[seen] = spot
                return spot
            y -= ROW * scale()
    return None


def _centred(place: Place, x: float, y: float, what: str) -> Iterator[Any]:
    """Return the middle, from top to bottom, of what was found at its upper edge."""
    low = y
    while low > y - 60 * scale():
        seen = yield from over(place, x, low - 4)
        if seen != what:
            break
        low -= 4
    return Spot(int(x), int((y + low) / 2), what)


def scrolled(place: Place, *, to_top: bool) -> Steps:
    """Turn the wheel over a region."""
    _known.clear()
    yield from move(place.window, place.region.x + place.region.width * 0.5, place.region.y + place.region.height * 0.5)
    for _ in range(40 if to_top else 6):
        event(place.window, "WHEELUPMOUSE" if to_top else "WHEELDOWNMOUSE", "PRESS")
        yield 0.005
    yield SETTLE_S


def forget_places() -> None:
    """Look for everything anew."""
    _known.clear()


# --- what a hand does ---------------------------------------------------------------------------------------------


def click(what: str, *columns: float, where: Callable[[], Place] = sidebar) -> Steps:
    """Find a button and click it; look again where it has moved meanwhile."""
    for _ in range(MOST_TRIES):
        spot = yield from find(what, where, columns)
        yield from move(where().window, spot.x, spot.y)
        yield SETTLE_S
        if what in under(where()):
            yield from press("LEFTMOUSE", window=where().window)
            yield SETTLE_S
            return
        forget_places()
    raise LookupError(f"{what!r} does not stand still")


def type_into(what: str, text: str, *columns: float) -> Steps:
    """Click a text or number field, type, and press Enter."""
    yield from click(what, *columns)
    yield from press("A", ctrl=True)
    yield from type_text(text)
    yield from press("RET")
    yield SETTLE_S


def choose(what: str, letter: str) -> Steps:
    """Open a menu of choices and press the underlined letter of one."""
    yield from click(what, RIGHT)
    yield from press(letter.upper(), letter=letter)
    yield SETTLE_S


def choose_in_row(what: str, number: int, count: int) -> Steps:
    """Click one of several choices that are drawn as a row of buttons."""
    spot = yield from find(what, columns=(RIGHT, LEFT))
    place = sidebar()
    found, x = [], float(place.region.x)
    while x < place.region.x + place.region.width:
        if (yield from over(place, x, spot.y)) == spot.what:
            found.append(x)
        x += 6 * scale()
    left, right = found[0], found[-1]
    yield from click_at(place, left + (right - left) * (number + 0.5) / count, spot.y)


def is_there(what: str, *columns: float) -> Iterator[Any]:
    """Tell whether a button is drawn somewhere in the sidebar."""
    try:
        yield from find(what, columns=columns)
    except LookupError:
        return False
    return True


def open_tab(tab: str = "CSM") -> Steps:
    """Make the viewport large, press N over it, and click through the tabs until this one is open."""
    if viewport().area.width < 0.9 * viewport().window.width:
        yield from kit.enlarge_viewport()
    yield from over_viewport()
    if not kit.view().space.show_region_ui:
        yield from press("N", letter="n")
    yield from kit.until(lambda: sidebar().region.width > 1, what="the sidebar")
    yield SETTLE_S
    place = sidebar()
    y = place.region.y + place.region.height - 10.0 * scale()
    while place.region.active_panel_category != tab and y > place.region.y:
        yield from click_at(place, place.region.x + place.region.width - 9 * scale(), y)
        y -= 20 * scale()
    check(sidebar().region.active_panel_category == tab, f"no tab {tab}")
    yield from kit.redrawn()


def open_bounds() -> Steps:
    """Click the header of Bounds & Pivot, left of its eye."""
    yield from toggle_bounds()
    found = yield from is_there("bounds_mode", RIGHT)
    check(found, "Bounds & Pivot does not open")


def toggle_bounds() -> Steps:
    spot = yield from find("show_overlay", columns=(RIGHT, *ICONS))
    place = sidebar()
    yield from click_at(place, place.region.x + place.region.width * 0.3, spot.y)


def open_local() -> Steps:
    """Click the header of Local Refining, which stands under that of Bounds & Pivot."""
    spot = yield from find("show_overlay", columns=(RIGHT, *ICONS))
    place = sidebar()
    yield from click_at(place, place.region.x + place.region.width * 0.3, spot.y - HEADER * scale())
    found = yield from is_there("local.topology", RIGHT)
    check(found, "Local Refining does not open")


def choose_service(name: str) -> Steps:
    """Click CSM, LOCAL or URL in the row of services."""
    yield from choose_in_row("csm_refine.service", ("CSM", "LOCAL", "URL").index(name), 3)
    forget_places()
    check(settings().service == name, f"the service is {settings().service}, not {name}")


def use_url(address: str) -> Steps:
    """Choose a service by its URL, as a hand types it."""
    yield from choose_service("URL")
    yield from type_into("service_url", address, RIGHT)
    check(settings().service_url == address, f"the address is {settings().service_url}")


def confirm() -> Steps:
    """Press Enter in the dialog that has just opened."""
    yield 2 * SETTLE_S
    yield from press("RET")
    yield SETTLE_S


def cancel() -> Steps:
    yield 2 * SETTLE_S
    yield from press("ESC")
    yield SETTLE_S


# --- pictures -----------------------------------------------------------------------------------------------------


def look(name: str) -> Steps:
    """Have everything drawn, and keep a picture of it."""
    yield from kit.redrawn()
    yield 0.15
    picture(name)


def picture(name: str, area: Any = None) -> None:
    """Keep a picture of the window, or of an area of it, as it is drawn now."""
    number = len(list(PICTURES.glob("*.png"))) + 1
    kit.picture(str(PICTURES / f"{number:02}_{re.sub(r'[^a-z0-9]+', '_', name.lower())}.png"), area)


def kill_blender() -> None:
    """End Blender as the system does when memory runs out."""
    write_notes()
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
