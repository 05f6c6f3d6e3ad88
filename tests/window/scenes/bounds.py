"""Bounds and pivot are changed by hand: menus, numbers, the named points, the overlay; the readout follows."""

from __future__ import annotations

import bpy

from tests.window import hand
from window import kit

LEFT_POINTS = (0.38, 0.42, 0.4)


def scene() -> hand.Steps:
    yield from hand.open_tab()
    yield from hand.choose_service("LOCAL")
    yield from hand.look("overlay")
    yield from hand.click("show_overlay", hand.RIGHT, *hand.ICONS)
    hand.check(not hand.settings().show_overlay, "the overlay is still on")
    yield from hand.look("no_overlay")
    yield from hand.click("show_overlay", hand.RIGHT, *hand.ICONS)
    yield from hand.open_bounds()
    yield from hand.look("open")
    yield from hand.choose("bounds_mode", "t")
    hand.check(hand.settings().bounds_mode == "TYPED", hand.settings().bounds_mode)
    yield from hand.type_into("csm_refine.bbox[1]", "3.5", hand.RIGHT)
    hand.check(abs(hand.settings().bbox[1] - 3.5) < 1e-6, "the height is not 3.5")
    yield from hand.choose("pivot_mode", "t")
    yield from hand.click("point='BOTTOM'", hand.EDGE)
    yield from hand.click("point='LEFT_BOTTOM_BACK'", *LEFT_POINTS)
    hand.check(tuple(hand.settings().pivot) == (-0.5, -0.5, -0.5), str(tuple(hand.settings().pivot)))
    yield from hand.look("typed")
    yield from hand.choose("bounds_mode", "s")
    yield from hand.choose("pivot_mode", "s")
    hand.check((hand.settings().bounds_mode, hand.settings().pivot_mode) == ("AUTO", "AUTO"), "not left to the service")
    yield from hand.look("left_to_the_service")
    yield from hand.undo()
    hand.note("after_undo", [hand.settings().bounds_mode, hand.settings().pivot_mode])
    bpy.ops.object.select_all(action="DESELECT")
    yield from hand.choose("bounds_mode", "f")
    yield from kit.until(lambda: hand.part("readout").current().problem, what="the problem with no selection")
    yield from hand.look("nothing_selected")
