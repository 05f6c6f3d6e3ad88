"""Bounds and pivot are changed by hand: menus, numbers, the named points, the overlay; the readout follows."""

from __future__ import annotations

import bpy

from tests.window import ui_driver
from window import kit

LEFT_POINTS = (0.38, 0.42, 0.4)


def scene() -> ui_driver.Steps:
    yield from ui_driver.open_tab()
    yield from ui_driver.choose_service("LOCAL")
    yield from ui_driver.look("overlay")
    yield from ui_driver.click("show_overlay", ui_driver.RIGHT, *ui_driver.ICONS)
    ui_driver.check(not ui_driver.settings().show_overlay, "the overlay is still on")
    yield from ui_driver.look("no_overlay")
    yield from ui_driver.click("show_overlay", ui_driver.RIGHT, *ui_driver.ICONS)
    yield from ui_driver.open_bounds()
    yield from ui_driver.look("open")
    yield from ui_driver.choose("bounds_mode", "t")
    ui_driver.check(ui_driver.settings().bounds_mode == "TYPED", ui_driver.settings().bounds_mode)
    yield from ui_driver.type_into("csm_refine.bbox[1]", "3.5", ui_driver.RIGHT)
    ui_driver.check(abs(ui_driver.settings().bbox[1] - 3.5) < 1e-6, "the height is not 3.5")
    yield from ui_driver.choose("pivot_mode", "t")
    yield from ui_driver.click("point='BOTTOM'", ui_driver.EDGE)
    yield from ui_driver.click("point='LEFT_BOTTOM_BACK'", *LEFT_POINTS)
    ui_driver.check(tuple(ui_driver.settings().pivot) == (-0.5, -0.5, -0.5), str(tuple(ui_driver.settings().pivot)))
    yield from ui_driver.look("typed")
    yield from ui_driver.choose("bounds_mode", "s")
    yield from ui_driver.choose("pivot_mode", "s")
    ui_driver.check(
        (ui_driver.settings().bounds_mode, ui_driver.settings().pivot_mode) == ("AUTO", "AUTO"),
        "not left to the service",
    )
    yield from ui_driver.look("left_to_the_service")
    yield from ui_driver.undo()
    ui_driver.note("after_undo", [ui_driver.settings().bounds_mode, ui_driver.settings().pivot_mode])
    bpy.ops.object.select_all(action="DESELECT")
    yield from ui_driver.choose("bounds_mode", "f")
    yield from kit.until(
        lambda: ui_driver.part("selection_bounds").current().problem, what="the problem with no selection"
    )
    yield from ui_driver.look("nothing_selected")
