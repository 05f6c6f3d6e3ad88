"""The preferences are opened, the extension is found there and enabled, and its tab is opened."""

from __future__ import annotations

import bpy

from tests.window import ui_driver
from window import kit

CHECKBOXES = (0.04, 0.05, 0.03, 0.06)
"""They are small, and stand at the left."""
_context = bpy.context


def editor() -> ui_driver.Place:
    window = _context.window_manager.windows[0]
    area = next(each for each in window.screen.areas if each.type == "PREFERENCES")
    return ui_driver.Place(window, area, next(each for each in area.regions if each.type == "WINDOW"))


def navigation() -> ui_driver.Place:
    found = editor()
    kinds = {"NAVIGATION_BAR", "UI"}
    return found._replace(region=next(each for each in found.area.regions if each.type in kinds and each.width > 1))


def scene() -> ui_driver.Steps:
    ui_driver.check(ui_driver.EXTENSION not in _context.preferences.addons, "it is enabled already")
    yield from kit.enlarge_viewport()
    # A window of its own would stand half outside the screen: there is no window manager.
    kit.view().area.type = "PREFERENCES"
    yield 0.5
    yield from section("ADDONS")
    yield from filtered("csm")
    ui_driver.picture("preferences")
    spot = yield from ui_driver.find("addon_enable", editor, CHECKBOXES)
    ui_driver.check("csm_refine" in spot.what, spot.what)
    yield from ui_driver.click_at(editor(), spot.x, spot.y)
    yield from kit.until(lambda: ui_driver.EXTENSION in _context.preferences.addons, what="the extension to be enabled")
    yield 0.5
    ui_driver.picture("enabled")
    editor().area.type = "VIEW_3D"
    yield 0.3
    yield from ui_driver.open_tab()
    yield from ui_driver.look("first_use")
    yield from ui_driver.click("csm_refine.use_local")
    ui_driver.check(ui_driver.settings().service == "LOCAL", "the local service is not chosen")
    yield from ui_driver.look("local")


def section(name: str) -> ui_driver.Steps:
    """Click down the list of sections until this one is open."""
    place = navigation()
    y = place.region.y + place.region.height - 8.0
    while _context.preferences.active_section != name and y > place.region.y:
        yield from ui_driver.click_at(place, place.region.x + place.region.width * 0.5, y)
        y -= 12
    ui_driver.check(_context.preferences.active_section == name, f"no section {name}")


def filtered(text: str) -> ui_driver.Steps:
    spot = yield from ui_driver.find("addon_search", editor)
    yield from ui_driver.click_at(editor(), spot.x, spot.y)
    yield from ui_driver.type_text(text, editor().window)
    yield from ui_driver.press("RET", window=editor().window)
    yield 0.5
