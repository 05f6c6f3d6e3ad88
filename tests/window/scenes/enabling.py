"""The preferences are opened, the extension is found there and enabled, and its tab is opened."""

from __future__ import annotations

import bpy

from tests.window import hand
from window import kit

CHECKBOXES = (0.04, 0.05, 0.03, 0.06)
"""They are small, and stand at the left."""
_context = bpy.context


def editor() -> hand.Place:
    window = _context.window_manager.windows[0]
    area = next(each for each in window.screen.areas if each.type == "PREFERENCES")
    return hand.Place(window, area, next(each for each in area.regions if each.type == "WINDOW"))


def navigation() -> hand.Place:
    found = editor()
    kinds = {"NAVIGATION_BAR", "UI"}
    return found._replace(region=next(each for each in found.area.regions if each.type in kinds and each.width > 1))


def scene() -> hand.Steps:
    hand.check(hand.EXTENSION not in _context.preferences.addons, "it is enabled already")
    yield from kit.enlarge_viewport()
    # A window of its own would stand half outside the screen: there is no window manager.
    kit.view().area.type = "PREFERENCES"
    yield 0.5
    yield from section("ADDONS")
    yield from filtered("csm")
    hand.picture("preferences")
    spot = yield from hand.find("addon_enable", editor, CHECKBOXES)
    hand.check("csm_refine" in spot.what, spot.what)
    yield from hand.click_at(editor(), spot.x, spot.y)
    yield from kit.until(lambda: hand.EXTENSION in _context.preferences.addons, what="the extension to be enabled")
    yield 0.5
    hand.picture("enabled")
    editor().area.type = "VIEW_3D"
    yield 0.3
    yield from hand.open_tab()
    yield from hand.look("first_use")
    yield from hand.click("csm_refine.use_local")
    hand.check(hand.settings().service == "LOCAL", "the local service is not chosen")
    yield from hand.look("local")


def section(name: str) -> hand.Steps:
    """Click down the list of sections until this one is open."""
    place = navigation()
    y = place.region.y + place.region.height - 8.0
    while _context.preferences.active_section != name and y > place.region.y:
        yield from hand.click_at(place, place.region.x + place.region.width * 0.5, y)
        y -= 12
    hand.check(_context.preferences.active_section == name, f"no section {name}")


def filtered(text: str) -> hand.Steps:
    spot = yield from hand.find("addon_search", editor)
    yield from hand.click_at(editor(), spot.x, spot.y)
    yield from hand.type_text(text, editor().window)
    yield from hand.press("RET", window=editor().window)
    yield 0.5
